# SPDX-License-Identifier: MIT
"""workers.py [COUNT]: the share of primes below COUNT, by Python's own worker processes on weir's memory.

An array that all workers fill in, a dictionary in which they count without a lock, and a worker that is killed in the
middle: its part is done again by another, and at the end nothing is left in /dev/shm.
"""

import multiprocessing
import os
import signal
import sys

import weir


def sieve(is_prime, counts, begin, end, dies):
    """Marks the primes of a part, and counts them."""
    found = 0
    for n in range(max(begin, 2), end):
        is_prime[n] = all(n % d for d in range(2, int(n**0.5) + 1))
        found += bool(is_prime[n])
        if dies and n == (begin + end) // 2:
            os.kill(os.getpid(), signal.SIGKILL)
    counts.setdefault("part %d" % begin, found)
    counts.add("primes", found)


def main(count):
    parts = [(count * i // 4, count * (i + 1) // 4) for i in range(4)]
    with weir.scope() as s:
        is_prime = s.array(count, "bool")
        counts = s.dict()
        killed = 0
        while parts:
            workers = [multiprocessing.Process(target=sieve, args=(is_prime, counts, begin, end, begin == 0 and not killed))
                       for begin, end in parts]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            killed += sum(worker.exitcode == -signal.SIGKILL for worker in workers)
            parts = [part for part, worker in zip(parts, workers) if worker.exitcode != 0]
        print("%d primes below %d, %d workers killed" % (counts["primes"], count, killed))
        assert counts["primes"] == sum(is_prime)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20000))

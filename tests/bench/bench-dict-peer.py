# SPDX-License-Identifier: MIT
"""bench-dict-peer.py get|set|add [KEYS]: what bench-dict does, with multiprocessing.Manager().dict().

One round for each line on stdin; prints the round's microseconds an operation. Adding is reading and writing
there, and not atomic.
"""

import multiprocessing
import random
import sys
import time

OPERATIONS = 500


def main():
    case, keys = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    manager = multiprocessing.Manager()
    shared = manager.dict({i: 0 for i in range(keys)})
    for _ in sys.stdin:
        some = [random.randrange(keys) for _ in range(OPERATIONS)]
        begin = time.perf_counter_ns()
        if case == "get":
            for key in some:
                shared[key]
        elif case == "set":
            for key in some:
                shared[key] = key
        else:
            for key in some:
                shared[key] += 1
        print("%.3f" % ((time.perf_counter_ns() - begin) / 1000 / OPERATIONS), flush=True)
    manager.shutdown()


if __name__ == "__main__":
    main()

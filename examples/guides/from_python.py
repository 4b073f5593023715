# SPDX-License-Identifier: MIT
"""from_python.py [killed]: what from_python.c does, with multiprocessing."""

import collections
import math
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import Manager, Pool
from multiprocessing.managers import SharedMemoryManager


def root(i):
    if i < 0:
        raise ValueError("no root of %d" % i)
    return math.sqrt(i)


def count(letters, word):
    letters[word[0]] = letters.get(word[0], 0) + 1  # two processes at once: a number is lost


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def main():
    with Pool(2) as pool:
        roots = pool.map(root, range(1000), chunksize=100)
        print("roots %.6f" % sum(roots))

    with ProcessPoolExecutor(2) as executor:
        futures = {executor.submit(root, i): i for i in (16, -4, 9)}
        for future in as_completed(futures):
            if future.exception():
                print("failed:", future.exception())

    with SharedMemoryManager() as smm:
        values = smm.ShareableList([1, 2.5, "three"])
        values[2] = "four"
        print(values[2], len(values))

    words = "a scope begins and a scope ends".split()
    with Manager() as manager:
        letters = manager.dict()
        for word in words:
            count(letters, word)
        print("a: %d, s: %d" % (letters["a"], letters["s"]))

    lengths = collections.Counter(len(word) for word in words)
    print("words of five letters: %d" % lengths[5])

    if sys.argv[1:] == ["killed"]:
        with Pool(2) as pool:
            pool.map(die, range(4))


if __name__ == "__main__":
    main()

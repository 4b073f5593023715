# SPDX-License-Identifier: MIT
"""What CPython's multiprocessing takes for the things that weir is measured on.

    peers.py CASE           one round each time a line arrives on stdin; prints the round's microseconds an
                            operation, so that a benchmark can alternate between weir and this
    peers.py CASE ROUNDS    so many rounds, then one JSON object with their median

    pool_map     Pool(2).map of an empty function over 16 items, in a pool that exists
    submit       Pool(2).imap_unordered of an empty function over 2,000 items, an item
    result       the same of a function that returns 200 bytes
    executor     ProcessPoolExecutor(2): submit 2,000 calls of it, then wait for all, a call
    manager      SharedMemoryManager: start and shutdown
    pool_job     Pool(2), one map over 2 items, close and join
    pool_each    the same with an initializer
    shm          SharedMemory of 4 KiB: create, close, unlink
    manager_shm  the same, made by a SharedMemoryManager
    list_get     reading an int of a ShareableList
    list_set     writing an int of a ShareableList
"""

import json
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.managers import SharedMemoryManager
from multiprocessing.shared_memory import ShareableList, SharedMemory


def nothing(_):
    pass


def give_bytes(_):
    return bytes(200)


def timed(operation, count):
    """Microseconds an operation, over so many."""
    begin = time.perf_counter_ns()
    for _ in range(count):
        operation()
    return (time.perf_counter_ns() - begin) / 1000 / count


class PoolMap:
    def __init__(self):
        self.pool = multiprocessing.Pool(2)
        self.pool.map(nothing, range(16))

    def round(self):
        return timed(lambda: self.pool.map(nothing, range(16)), 50)

    def close(self):
        self.pool.close()
        self.pool.join()


class Submit(PoolMap):
    def round(self):
        begin = time.perf_counter_ns()
        for _ in self.pool.imap_unordered(nothing, range(2000)):
            pass
        return (time.perf_counter_ns() - begin) / 1000 / 2000


class Result(PoolMap):
    def round(self):
        begin = time.perf_counter_ns()
        for _ in self.pool.imap_unordered(give_bytes, range(2000)):
            pass
        return (time.perf_counter_ns() - begin) / 1000 / 2000


class Executor:
    def __init__(self):
        self.executor = ProcessPoolExecutor(2)

    def round(self):
        begin = time.perf_counter_ns()
        for future in [self.executor.submit(nothing, i) for i in range(2000)]:
            future.result()
        return (time.perf_counter_ns() - begin) / 1000 / 2000

    def close(self):
        self.executor.shutdown()


class Manager:
    def round(self):
        def operation():
            manager = SharedMemoryManager()
            manager.start()
            manager.shutdown()

        return timed(operation, 3)

    def close(self):
        pass


class PoolJob(Manager):
    options = {}

    def round(self):
        def operation():
            pool = multiprocessing.Pool(2, **self.options)
            pool.map(nothing, range(2))
            pool.close()
            pool.join()

        return timed(operation, 3)


class PoolEach(PoolJob):
    options = {"initializer": nothing, "initargs": (0,)}


class Shm(Manager):
    def round(self):
        def operation():
            block = SharedMemory(create=True, size=4096)
            block.close()
            block.unlink()

        return timed(operation, 100)


class ManagerShm:
    def __init__(self):
        self.manager = SharedMemoryManager()
        self.manager.start()

    def round(self):
        def operation():
            block = self.manager.SharedMemory(4096)
            block.close()

        return timed(operation, 50)

    def close(self):
        self.manager.shutdown()


class ListGet:
    def __init__(self):
        self.list = ShareableList(range(1000))

    def round(self):
        values = self.list
        begin = time.perf_counter_ns()
        for _ in range(20):
            for i in range(1000):
                values[i]
        return (time.perf_counter_ns() - begin) / 1000 / 20000

    def close(self):
        self.list.shm.close()
        self.list.shm.unlink()


class ListSet(ListGet):
    def round(self):
        values = self.list
        begin = time.perf_counter_ns()
        for i in range(20):
            for k in range(1000):
                values[k] = i
        return (time.perf_counter_ns() - begin) / 1000 / 20000


CASES = {
    "pool_map": PoolMap,
    "submit": Submit,
    "result": Result,
    "executor": Executor,
    "manager": Manager,
    "pool_job": PoolJob,
    "pool_each": PoolEach,
    "shm": Shm,
    "manager_shm": ManagerShm,
    "list_get": ListGet,
    "list_set": ListSet,
}


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in CASES:
        sys.exit(__doc__)
    case = CASES[sys.argv[1]]()
    try:
        case.round()  # what is done only once is done now
        if len(sys.argv) == 2:
            for _ in sys.stdin:
                print("%.3f" % case.round(), flush=True)
        else:
            rounds = [case.round() for _ in range(int(sys.argv[2]))]
            print(json.dumps({
                "peer": "CPython " + sys.version.split()[0],
                "case": sys.argv[1],
                "rounds": len(rounds),
                "us": round(statistics.median(rounds), 3),
            }))
    finally:
        case.close()


if __name__ == "__main__":
    main()

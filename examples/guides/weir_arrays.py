# SPDX-License-Identifier: MIT
"""weir_arrays.py: processes of Python share an array and a dictionary by weir.py."""

import concurrent.futures
import weir


def square(x, counts, begin, end):
    x[begin:end] **= 2  # the same memory as the program's
    counts.add("rows", end - begin)  # atomic


if __name__ == "__main__":
    with weir.scope() as s:
        x = s.array((1000, 1000), "float64")  # a numpy.ndarray
        x += 3
        counts = s.dict()
        with concurrent.futures.ProcessPoolExecutor() as pool:
            for begin in range(0, 1000, 100):
                pool.submit(square, x, counts, begin, begin + 100)
        print(x.sum(), counts["rows"])  # 9000000.0 1000
    # Here every name in /dev/shm is gone, and after a SIGKILL it would be, too; x can still be used.

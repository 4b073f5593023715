# SPDX-License-Identifier: MIT
"""share.py: uses the objects of share.c, with nothing but NumPy and the standard library."""

import numpy as np
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import ShareableList, SharedMemory

matrix = np.load("/dev/shm/matrix", mmap_mode="r+")  # the live array, nothing tracked
matrix[0, 0] = 1.5
numbers = ShareableList(name="numbers")
numbers[0] = "text"
block = SharedMemory("plain")  # 3.13 and later: SharedMemory("plain", track=False)
plain = np.ndarray((3, 4), "float64", buffer=block.buf)
plain[2, 3] = 2.5
for shm in numbers.shm, block:  # or Python unlinks them when it ends, see below
    resource_tracker.unregister(shm._name, "shared_memory")

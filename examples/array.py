# SPDX-License-Identifier: MIT
"""array.py PATH: looks at an array that a weir program shares, and doubles its items in place.

np.load with mmap_mode opens the block as the file that it is: no copy, and no resource tracker, which up to Python
3.12 would unlink a block that is only attached with multiprocessing.shared_memory.
"""

import sys

import numpy as np

array = np.load(sys.argv[1], mmap_mode="r+")
print("NumPy sees", array.shape, array.dtype, "with a mean of", array.mean())
array *= 2

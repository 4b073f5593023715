# SPDX-License-Identifier: MIT
"""Arrays shared by weir and NumPy.

    arrays.py PEER [CLASS...]

PEER is the weir program of array-peer.c. Every test makes its own names and checks at its end that none of them
is left in /dev/shm.
"""

import errno
import json
import os
import subprocess
import sys
import unittest

try:
    import numpy as np
    from multiprocessing import resource_tracker
    from multiprocessing.shared_memory import SharedMemory
except ImportError as error:
    print("skipped: this Python has no NumPy:", error)
    sys.exit(77)

PEER = None
NPY = 2  # WEIR_ARRAY_NPY
DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
          "float32", "float64", "complex64", "complex128"]
SHAPES = [(7,), (3, 4), (2, 3, 4), (5, 1), (), (0,), (3, 0, 2), (1,) * 16]


def values(shape, dtype, seed=1):
    """An array of values that use all of the type's bytes."""
    count = int(np.prod(shape))
    random = np.random.RandomState(seed)
    if dtype == "bool":
        items = random.randint(0, 2, count)
    elif np.dtype(dtype).kind in "iu":
        items = np.frombuffer(random.bytes(count * np.dtype(dtype).itemsize), dtype)
    elif np.dtype(dtype).kind == "c":
        items = random.standard_normal(count) + 1j * random.standard_normal(count)
    else:
        items = random.standard_normal(count)
    return np.asarray(items).astype(dtype).reshape(shape)


class Test(unittest.TestCase):
    def setUp(self):
        self.peer = subprocess.Popen([PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.name = "weirtest-%d-%s" % (os.getpid(), self._testMethodName)
        self.path = "/dev/shm/" + self.name

    def tearDown(self):
        self.peer.stdin.close()
        self.assertEqual(self.peer.wait(), 0)
        self.peer.stdout.close()
        left = [name for name in os.listdir("/dev/shm") if name.startswith("weirtest-%d-" % os.getpid())]
        for name in left:
            os.unlink("/dev/shm/" + name)
        self.assertEqual(left, [])

    def ask(self, *words):
        """The code and the rest of the answer."""
        self.peer.stdin.write(" ".join(map(str, words)) + "\n")
        self.peer.stdin.flush()
        line = self.peer.stdout.readline()
        if not line:
            raise RuntimeError("the peer ended with %s" % self.peer.wait())
        code, _, rest = line.rstrip("\n").partition(" ")
        return int(code), rest

    def tell(self, *words):
        code, rest = self.ask(*words)
        self.assertEqual(code, 0, words)
        return rest

    def refused(self, code, *words):
        self.assertEqual(self.ask(*words)[0], -code)

    def create(self, dtype, shape, flags=NPY):
        self.tell("create", self.name, flags, dtype, *shape)

    def items(self, like):
        """What the peer reads, as an array like another."""
        return np.frombuffer(bytes.fromhex(self.tell("read")), like.dtype).reshape(like.shape)

    def same(self, a, b):
        self.assertEqual(a.dtype, b.dtype)
        self.assertEqual(a.shape, b.shape)
        self.assertEqual(a.tobytes(), b.tobytes())


class Made(Test):
    """Arrays that weir made."""

    def test_np_load_gives_the_live_array(self):
        for dtype in DTYPES:
            for shape in SHAPES:
                with self.subTest(dtype=dtype, shape=shape):
                    self.create(dtype, shape)
                    array = np.load(self.path, mmap_mode="r+")
                    self.same(array, np.zeros(shape, dtype))
                    wanted = values(shape, dtype)
                    array[...] = wanted
                    self.same(self.items(wanted), wanted)
                    wanted = values(shape, dtype, 2)
                    self.tell("write", wanted.tobytes().hex())
                    self.same(array, wanted)
                    self.same(np.load(self.path), wanted)
                    self.tell("unlink")

    def repr_of(self, wanted, most=0):
        self.create(wanted.dtype, wanted.shape)
        self.tell("write", wanted.tobytes().hex())
        text = bytes.fromhex(self.tell("repr", most)).decode()
        self.tell("unlink")
        return text

    def test_the_repr_is_the_array_again(self):
        names = dict(vars(np), array=np.array)
        for dtype in DTYPES:
            for shape in SHAPES:
                with self.subTest(dtype=dtype, shape=shape):
                    wanted = values(shape, dtype)
                    text = self.repr_of(wanted)
                    if wanted.size == 0:  # NumPy's own has a shape that no function takes
                        self.assertEqual(text, repr(wanted))
                        continue
                    self.same(eval(text, names), wanted)  # pylint: disable=eval-used
        for dtype in ("float32", "float64"):
            wanted = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, np.finfo(dtype).tiny, np.finfo(dtype).max, 0.1], dtype)
            self.same(eval(self.repr_of(wanted), names), wanted)  # pylint: disable=eval-used

    def test_the_repr_has_numpys_form(self):
        with np.printoptions(threshold=20, linewidth=10**6):
            for dtype in ("int8", "int64", "uint16", "uint64"):
                for shape in ((), (7,), (21,), (3, 4), (2, 3, 2), (2, 1, 2, 2), (7, 2), (3, 9), (7, 7, 2), (0,), (3, 0)):
                    for high in (10, 100):
                        wanted = np.random.RandomState(3).randint(0, high, shape).astype(dtype)
                        wanted = np.asarray(wanted)
                        shown, expected = self.repr_of(wanted, 20), repr(wanted)
                        if high == 100:  # NumPy pads the numbers
                            shown, expected = (" ".join(text.replace("[", "[ ").split()) for text in (shown, expected))
                        self.assertEqual(shown, expected, (dtype, shape))
            for shape in ((3,), (2, 2)):
                wanted = np.zeros(shape, bool)
                self.assertEqual(self.repr_of(wanted), repr(wanted))

    def test_data_is_aligned_and_behind_the_header(self):
        self.create("float64", (3, 4))
        self.assertEqual(self.tell("info"), "float64 128 3 4")
        array = np.load(self.path, mmap_mode="r+")
        self.assertEqual(array.offset % 64, 0)
        self.assertEqual(array.ctypes.data % 64, 0)
        self.assertEqual(os.stat(self.path).st_size, 128 + 96)
        self.tell("unlink")

    def test_buffer_of_shared_memory_is_the_array(self):
        for dtype in DTYPES:
            with self.subTest(dtype=dtype):
                self.create(dtype, (4, 5), flags=0)
                block = SharedMemory(self.name)
                resource_tracker.unregister(block._name, "shared_memory")  # or it unlinks what is not its own
                array = np.ndarray((4, 5), dtype, buffer=block.buf)
                wanted = values((4, 5), dtype)
                array[...] = wanted
                self.same(self.items(wanted), wanted)
                self.tell("fill", wanted[1, 1].tobytes().hex())
                self.same(array, np.full((4, 5), wanted[1, 1], dtype))
                del array
                block.close()
                self.tell("unlink")

    def test_handle_says_how_to_open_the_array(self):
        for flags in 0, NPY:
            self.create("int32", (6, 7), flags)
            self.tell("fill", "2a000000")
            line = self.tell("handle")
            handle = json.loads(line)
            self.assertEqual(handle["ino"], os.stat(self.path).st_ino)
            array = np.memmap("/dev/shm/" + handle["name"], handle["dtype"], "r+", handle["offset"],
                              tuple(handle["shape"]))
            self.same(array, np.full((6, 7), 42, "int32"))
            array[5, 6] = 43
            self.tell("from", json.dumps(dict(reversed(list(handle.items())))))
            self.assertEqual(self.items(array)[5, 6], 43)
            self.tell("unlink")
            self.refused(errno.ENOENT, "from", line)

    def test_block_stays_when_python_has_ended(self):
        self.create("int16", (3,))
        subprocess.run([sys.executable, "-c", "import numpy, sys\n"
                        "numpy.load(sys.argv[1], mmap_mode='r+')[1] = 5", self.path], check=True)
        self.assertEqual(self.tell("read"), "000005000000")
        self.tell("unlink")


class Written(Test):
    """Files that NumPy wrote."""

    def attach(self, wanted):
        self.tell("attach", self.name)
        dtype, offset, *shape = self.tell("info").split()
        self.assertEqual(dtype, wanted.dtype.name)
        self.assertEqual(tuple(map(int, shape)), wanted.shape)
        self.same(self.items(wanted), wanted)

    def test_saved_array_is_attached(self):
        for dtype in DTYPES:
            for shape in SHAPES:
                with self.subTest(dtype=dtype, shape=shape):
                    wanted = values(shape, dtype)
                    with open(self.path, "wb") as file:
                        np.save(file, wanted)
                    self.attach(wanted)
                    os.unlink(self.path)

    def test_memmap_is_live_both_ways(self):
        array = np.lib.format.open_memmap(self.path, "w+", "float64", (5, 6))
        array[...] = wanted = values((5, 6), "float64")
        self.attach(wanted)
        array[2, 3] = -1.5
        self.assertEqual(self.items(array)[2, 3], -1.5)
        wanted = values((5, 6), "float64", 2)
        self.tell("write", wanted.tobytes().hex())
        self.same(np.asarray(array), wanted)
        os.unlink(self.path)

    def test_every_version_is_attached(self):
        wanted = values((2, 3), "uint16")
        for version in (1, 0), (2, 0), (3, 0):
            with self.subTest(version=version), open(self.path, "wb") as file:
                np.lib.format.write_array(file, wanted, version=version)
                file.flush()
                self.attach(wanted)
            os.unlink(self.path)

    def test_what_weir_has_no_arrays_of_is_refused(self):
        cases = {
            "Fortran order": np.asfortranarray(values((2, 3), "float64")),
            "byte order": values((2, 3), "float64").astype(">f8"),
            "objects": np.array([{}, []], object),
            "records": np.zeros(3, [("a", "i4"), ("b", "f8")]),
            "text": np.array(["some", "text"]),
            "half": np.zeros(3, "float16"),
            "long double": np.zeros(3, "longdouble"),
            "dates": np.zeros(3, "datetime64[s]"),
            "axes": np.zeros((1,) * 17),
        }
        for what, array in cases.items():
            with self.subTest(what):
                with open(self.path, "wb") as file:
                    np.save(file, array)
                self.refused(errno.ENOTSUP, "attach", self.name)
                os.unlink(self.path)

    def test_order_does_not_matter_with_one_axis(self):
        wanted = values((1, 6), "int32")
        with open(self.path, "wb") as file:
            np.save(file, np.asfortranarray(wanted))
        self.attach(wanted)
        os.unlink(self.path)

    def test_damaged_file_is_refused(self):
        with open(self.path, "wb") as file:
            np.save(file, values((8, 8), "int64"))
        whole = os.stat(self.path).st_size
        for size in 1, 9, 60, whole - 1:
            os.truncate(self.path, size)
            self.refused(errno.EBADMSG, "attach", self.name)
        os.truncate(self.path, 0)
        self.refused(errno.EBADMSG, "attach", self.name)
        os.unlink(self.path)

    def test_raw_block_of_python_is_attached(self):
        block = SharedMemory(self.name, True, 4096)
        array = np.ndarray((10, 10), "float32", buffer=block.buf)
        array[...] = wanted = values((10, 10), "float32")
        self.tell("raw", self.name, "float32", 10, 10)
        self.same(self.items(wanted), wanted)
        self.tell("fill", np.float32(2.5).tobytes().hex())
        self.same(array, np.full((10, 10), 2.5, "float32"))
        self.refused(errno.EBADMSG, "raw", self.name, "float32", 1025)
        self.refused(errno.EBADMSG, "attach", self.name)
        del array
        block.close()
        block.unlink()


if __name__ == "__main__":
    PEER = sys.argv.pop(1)
    unittest.main(verbosity=2)

# SPDX-License-Identifier: MIT
"""weir.py, the Python door.

    door.py HOST VERSION [CLASS...]

HOST is the program of tests/manager/door.c, a C program whose scope listens; VERSION is the project's. The environment
names the library and the manager, and where weir.py is. Each test's sockets lie in a folder of its own, which is empty
afterwards, and nothing of its scopes is left in /dev/shm.
"""

import concurrent.futures
import ctypes
import errno
import gc
import inspect
import json
import multiprocessing
import os
import pickle
import py_compile
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import typing
import unittest
from multiprocessing.shared_memory import ShareableList, SharedMemory
from xml.etree import ElementTree

import weir

try:
    import numpy as np
except ImportError:
    np = None

HOST = None
VERSION = None
BOUND = 60  # seconds that a loaded machine may take
EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")
KEY = b"a key\0of Python's"
DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
          "complex64", "complex128"]
HOWDY = ["howdy", b"HoWdY", -273.154, 100, None, True, 42]

needs_numpy = unittest.skipIf(np is None, "this Python has no NumPy")


def scope_of(name):
    """The id of the scope that made a name."""
    return re.fullmatch(r"weir-([0-9a-f]{16})-[0-9a-f]+", name).group(1)


def left(*ids):
    return [name for name in os.listdir("/dev/shm") if any(part in name for part in ids)]


def eventually(check, what):
    deadline = time.monotonic() + BOUND
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError(what)
        time.sleep(0.01)


def exists(name):
    return os.path.exists("/dev/shm/" + name)


def is_running(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


# ---- what other processes do --------------------------------------------------------------------


def fill(items, position):
    items[position] = position


def add_to(dictionary, key, count):
    for _ in range(count):
        dictionary.add(key)


def write_all(block, numbers, names):
    block.buf[:5] = b"child"
    numbers[0] = "child"
    numbers.add(1, 5)
    names["child"] = os.getpid()


def make_some(scope):
    made = scope.dict({"from": "a worker"})
    return made.name


def kill_myself(numbers):
    numbers[0] = "dead"
    os.kill(os.getpid(), signal.SIGKILL)


def look_and_leave(numbers, status):
    if numbers[0] != 1:
        os._exit(9)
    sys.exit(status)


def raise_weir(_):
    return weir.SharedMemory("weirtest-nothing-of-that-name")


def sum_of(items):
    return float(items.sum())


class Test(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="weirtest-door-")
        os.environ["XDG_RUNTIME_DIR"] = self.folder
        self.mine = "weirtest-%d-%s" % (os.getpid(), self._testMethodName[:50])

    def tearDown(self):
        eventually(lambda: not os.listdir(self.folder), "in the folder of sockets: %s" % os.listdir(self.folder))
        os.rmdir(self.folder)
        names = left(self.mine)
        for name in names:
            os.unlink("/dev/shm/" + name)
        self.assertEqual(names, [])

    def python(self, text, *arguments, **options):
        """Starts a Python of its own on some lines."""
        return subprocess.Popen([sys.executable, "-c", text, *arguments], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def run_python(self, text, *arguments, status=0):
        with self.python(text, *arguments) as process:
            out, err = process.communicate(timeout=BOUND)
        self.assertEqual(process.returncode, status, err)
        return out, err


# ---- objects ------------------------------------------------------------------------------------


class Blocks(Test):
    def test_interface_is_that_of_shared_memory(self):
        with weir.scope() as s:
            block = s.shm(100)
            self.assertEqual((block.size, len(block.buf), bytes(block.buf)), (100, 100, bytes(100)))
            block.buf[:3] = b"abc"
            other = weir.SharedMemory(block.name)
            self.assertEqual(bytes(other.buf[:3]), b"abc")
            other.close()
            other.close()
            self.assertRaises(ValueError, lambda: other.buf)
            self.assertEqual((other.name, other.size), (block.name, 100))
            self.assertIn(block.name, repr(block))
            other.unlink()
            self.assertRaises(FileNotFoundError, block.unlink)
            block.buf[0] = 1
        self.assertRaises(weir.NotFoundError, weir.SharedMemory, block.name)

    def test_block_of_its_own_stays_until_unlinked(self):
        block = weir.SharedMemory(self.mine, create=True, size=5)
        self.assertRaises(FileExistsError, weir.SharedMemory, self.mine, create=True, size=5)
        block.close()
        self.assertTrue(exists(self.mine))
        block.unlink()
        self.assertFalse(exists(self.mine))

    def test_wrong_arguments_are_refused(self):
        with weir.scope() as s:
            for size in 0, -1, 1 << 63:
                self.assertRaises(ValueError, s.shm, size)
                self.assertRaises(ValueError, weir.SharedMemory, create=True, size=size)
            self.assertRaises(TypeError, s.shm, "1")
            for name in "a/b", "a\0b", ".":
                self.assertRaises(ValueError, s.shm, 1, name)
            self.assertRaises(OSError, s.shm, 1, "x" * 300)
            self.assertRaises(ValueError, weir.SharedMemory)
            self.assertRaises(TypeError, weir.SharedMemory, 5)

    def test_views_stay_valid__when_all_else_is_gone(self):
        with weir.scope() as s:
            block = s.shm(1 << 20)
            whole, part = block.buf, block.buf[5:10]
            over = np.ndarray(100, "u1", buffer=block.buf) if np else block.buf[:100]
            block.close()
            block.unlink()
            self.assertRaises(ValueError, lambda: whole[0])
            del block, whole
        gc.collect()
        over[5] = 7
        self.assertEqual(part[0], 7)

    def test_memory_is_unmapped__when_the_last_view_is_gone(self):
        with weir.scope() as s:
            block = s.shm(1 << 20)
            inode, part = os.stat("/dev/shm/" + block.name).st_ino, block.buf[5:10]

            def mapped():
                with open("/proc/self/maps", encoding="utf-8") as file:
                    return " %d " % inode in file.read()

            del block
            gc.collect()
            self.assertTrue(mapped())
            del part
            gc.collect()
            self.assertFalse(mapped())

    def test_memory_is_freed__when_blocks_are_unlinked_in_a_long_scope(self):
        with weir.scope() as s:
            inodes = set()
            for _ in range(64):
                block = s.shm(1 << 20)
                inodes.add(os.stat("/dev/shm/" + block.name).st_ino)
                weir.SharedMemory(block.name).unlink()
            del block
            gc.collect()
            self.assertEqual(s.blocks(), [])
            # neither this process nor the manager holds a file of them
            with open("/proc/self/maps", encoding="utf-8") as file:
                self.assertEqual(inodes & {int(line.split()[4]) for line in file}, set())
            for pid in os.getpid(), s.manager_pid:
                for fd in os.listdir("/proc/%d/fd" % pid):
                    try:
                        self.assertNotIn(os.stat("/proc/%d/fd/%s" % (pid, fd)).st_ino, inodes)
                    except FileNotFoundError:
                        pass


class Lists(Test):
    def test_values_are_those_that_were_stored(self):
        values = HOWDY + ["", b"", "x\0", b"\0\0", "größer", 2**63 - 1, -2**63, float("inf"), -0.0, False, bytearray(b"b")]
        with weir.scope() as s:
            numbers = s.list(values)
            self.assertEqual(list(numbers), values)
            self.assertEqual([type(value) for value in numbers][:-1], [type(value) for value in values][:-1])
            self.assertEqual(list(reversed(numbers)), values[::-1])
            self.assertEqual((len(numbers), numbers[-2]), (len(values), False))
            self.assertEqual(list(s.list(range(1000))), list(range(1000)))
            empty = s.list()
            self.assertEqual((len(empty), empty.format, list(empty)), (0, "", []))

    def test_element_changes_its_type__when_it_has_room(self):
        with weir.scope() as s:
            numbers = s.list(HOWDY)
            numbers[2] = "dry ice"
            self.assertEqual(numbers[2], "dry ice")
            self.assertRaisesRegex(ValueError, "exceeds available storage", numbers.__setitem__, 2, "larger than that")
            self.assertEqual((numbers[2], numbers[3]), ("dry ice", 100))
            self.assertEqual(numbers.format, "5s3x5s3x7s1xqxxxxxx?xxxxxxxx?q")

    def test_finding_follows_python(self):
        with weir.scope() as s:
            numbers = s.list([1, 1.0, True, "1", b"1", None, float("nan")])
            self.assertEqual((numbers.count(1), numbers.index("1"), numbers.index(None)), (3, 3, 5))
            self.assertIn(b"1", numbers)
            for absent in "2", (1,), 1 << 70, float("nan"):
                self.assertNotIn(absent, numbers)
                self.assertEqual(numbers.count(absent), 0)
                self.assertRaises(ValueError, numbers.index, absent)

    def test_wrong_arguments_are_refused(self):
        with weir.scope() as s:
            numbers = s.list([1, "text"])
            for i in 2, -3, 1 << 70:
                self.assertRaises(IndexError, numbers.__getitem__, i)
                self.assertRaises(IndexError, numbers.__setitem__, i, 1)
            self.assertRaises(TypeError, lambda: numbers["0"])
            self.assertRaises(TypeError, numbers.__setitem__, 0, [])
            self.assertRaises(OverflowError, numbers.__setitem__, 0, 1 << 63)
            self.assertRaises(UnicodeEncodeError, numbers.__setitem__, 0, "\ud800")
            self.assertRaises(ValueError, numbers.add, 1, 1)
            self.assertRaises(OverflowError, numbers.add, 0, 2**63 - 1)
            self.assertEqual(list(numbers), [1, "text"])
            self.assertEqual(numbers.add(0, 41), 42)

    @unittest.skipIf(sys.version_info < (3, 9), "CPython 3.8 has another layout of lists")
    def test_stock_python_reads_and_writes_it(self):
        with weir.scope() as s:
            numbers = s.list(HOWDY)
            out, err = self.run_python(
                "import sys\nfrom multiprocessing import resource_tracker, shared_memory\n"
                "numbers = shared_memory.ShareableList(name=sys.argv[1])\nprint(list(numbers))\nnumbers[0] = 'there'\n"
                "resource_tracker.unregister(numbers.shm._name, 'shared_memory')", numbers.name)
            self.assertEqual((out, err), (repr(HOWDY) + "\n", ""))
            self.assertEqual(numbers[0], "there")
            self.assertTrue(exists(numbers.name))
        stock = ShareableList(HOWDY, name=self.mine)
        self.assertEqual(list(weir.ShareableList(name=self.mine)), HOWDY)
        stock.shm.close()
        stock.shm.unlink()

    @needs_numpy
    def test_numbers_of_numpy_are_taken(self):
        with weir.scope() as s:
            numbers = s.list([np.int64(5), np.float64(2.5), np.bool_(True), np.str_("text")])
            self.assertEqual([(type(value), value) for value in numbers],
                             [(int, 5), (float, 2.5), (bool, True), (str, "text")])
            self.assertEqual(s.dict({np.int32(3): np.uint8(4)}).copy(), {3: 4})

    def test_threads_may_use_and_close_it(self):
        with weir.scope() as s:
            numbers, done = s.list([1] * 100), []

            def read():
                try:
                    while True:
                        assert numbers[5] == 1
                except ValueError as error:
                    done.append(str(error))

            threads = [threading.Thread(target=read) for _ in range(4)]
            for thread in threads:
                thread.start()
            numbers.close()
            for thread in threads:
                thread.join()
            self.assertEqual(len(done), 4)
            self.assertIn("closed", done[0])


class Arrays(Test):
    @needs_numpy
    def test_every_type_and_shape_is_live_after_pickle(self):
        with weir.scope() as s:
            for dtype in DTYPES:
                for shape in (7,), (3, 4), (2, 3, 4), (), (0,), (3, 0, 2), 5:
                    with self.subTest(dtype=dtype, shape=shape):
                        made = s.array(shape, dtype)
                        self.assertEqual((made.dtype, made.shape), (np.zeros(shape, dtype).dtype, np.zeros(shape).shape))
                        other = pickle.loads(pickle.dumps(made))
                        made[...] = 1
                        self.assertEqual(other.tobytes(), made.tobytes())
                        self.assertEqual(weir.from_handle(made.handle()).tobytes(), np.ones(shape, dtype).tobytes())

    @needs_numpy
    def test_views_are_pickled_as_views(self):
        with weir.scope() as s:
            made = s.array((4, 6), "i4")
            made[...] = np.arange(24).reshape(4, 6)
            for view in (made[1:], made[::-1, ::2], made.T, made[2], made[:, 3], made.view("u1"), made[3:3],
                         made.reshape(2, 12), made[1:3, 2:5][::-1]):
                for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                    other = pickle.loads(pickle.dumps(view, protocol))
                    self.assertEqual((other.shape, other.strides, other.dtype), (view.shape, view.strides, view.dtype))
                    np.testing.assert_array_equal(other, view)
            pickle.loads(pickle.dumps(made.T))[5, 3] = 99
            self.assertEqual(made[3, 5], 99)
            made.flags.writeable = False
            self.assertFalse(pickle.loads(pickle.dumps(made)).flags.writeable)

    @needs_numpy
    def test_what_is_computed_is_an_ordinary_array(self):
        with weir.scope() as s:
            made = s.array((3, 4))
            for result in made + 1, made.sum(axis=0), np.sqrt(made), made[[0, 1]], made[made == 0]:
                self.assertIs(type(result), np.ndarray)
            self.assertIs(type(made.sum()), np.float64)
            self.assertIs(type(pickle.loads(pickle.dumps(made.copy()))), np.ndarray)
            self.assertRaises(ValueError, made.copy().handle)
            made += 1
            self.assertEqual(type(made), weir.SharedArray)
            np.add(made, 1, out=made)
            self.assertEqual(made.sum(), 24)

    @needs_numpy
    def test_array_outlives_its_scope(self):
        with weir.scope() as s:
            made = s.array(1 << 18)
            view = made[5:]
            made[5] = 3
            name = made.name
        self.assertFalse(exists(name))
        del made, s
        gc.collect()
        view += 1
        self.assertEqual(view[0], 4)
        self.assertRaises(weir.NotFoundError, pickle.loads, pickle.dumps(view))

    @needs_numpy
    def test_block_is_a_file_of_numpy(self):
        with weir.scope() as s:
            made = s.array((3, 4), "f4", huge=True)
            np.load("/dev/shm/" + made.name, mmap_mode="r+")[1, 2] = 5
            self.assertEqual(made[1, 2], 5)
            raw = s.array((3, 4), "f4", header=False, lazy=True)
            raw[2, 3] = 6
            self.assertEqual(weir.Array(raw.name, (3, 4), "f4").ndarray[2, 3], 6)
            self.assertEqual(weir.from_handle(raw.handle())[2, 3], 6)
            self.assertRaises(OSError, weir.Array, raw.name)

    @needs_numpy
    def test_wrong_arguments_are_refused(self):
        with weir.scope() as s:
            for dtype in ">f8", "object", "U5", "f2", [("a", "i4")], "no such":
                self.assertRaises(TypeError, s.array, 3, dtype)
            self.assertRaises(ValueError, s.array, (3, -1))
            self.assertRaises(TypeError, s.array, 3.5)
            self.assertRaises(ValueError, s.array, (1,) * 17)
            self.assertRaises(ValueError, s.array, (1 << 40, 1 << 40))
            self.assertRaises(OSError, s.array, 1 << 50)
            self.assertEqual(s.blocks(), [])

    def test_all_works_without_numpy(self):
        out, _ = self.run_python("""if 1:
            import sys
            sys.modules["numpy"] = None
            import pickle, weir
            with weir.scope() as s:
                a = s.array((2, 3), "f8")
                a[1, 2] = 2.5
                b = pickle.loads(pickle.dumps(a))
                b[0, 0] = 1
                print(type(a).__name__, a.view.tolist(), len(a), a.shape, a.dtype)
                print(s.attach(a.name)[1, 2], weir.from_handle(a.handle())[0, 0], s.array(0, float).view.tolist())
                c = s.array(3, "complex128")
                try:
                    c.view
                except TypeError as error:
                    print(error)
                print(sum(s.array(4, int)), s.array((), "i2").view.tolist())
                view = a.view
            print(view[1, 2])
            """)
        self.assertEqual(out, "Array [[1.0, 0.0, 0.0], [0.0, 0.0, 2.5]] 2 (2, 3) float64\n2.5 1.0 []\n"
                         "memoryview has no complex numbers: NumPy is needed for complex128\n0 0\n2.5\n")


class Dicts(Test):
    def test_it_does_what_a_dict_does(self):
        rng = random.Random(7)
        keys = [*range(-3, 4), 2**63 - 1, -2**63, "", "a", "k" * 300, b"a", b"", "größer"]
        values = [None, True, False, 0, -5, 2.5, "", "text", b"bytes", "x" * 5000, b"\0" * 100000]
        with weir.scope() as s:
            shared, model = s.dict(), {}
            for _ in range(3000):
                key, value, what = rng.choice(keys), rng.choice(values), rng.randrange(8)
                if what < 3:
                    shared[key] = model[key] = value
                elif what == 3:
                    self.assertEqual(shared.pop(key, "none"), model.pop(key, "none"))
                elif what == 4:
                    self.assertEqual(shared.setdefault(key, value), model.setdefault(key, value))
                elif what == 5:
                    self.assertEqual(key in shared, key in model)
                elif what == 6:
                    self.assertEqual(shared.get(key, "none"), model.get(key, "none"))
                elif model:
                    popped, of = shared.popitem()
                    self.assertEqual(model.pop(popped), of)
            self.assertEqual(shared, model)
            self.assertEqual(shared.copy(), model)
            self.assertEqual(len(shared), len(model))
            self.assertEqual(set(shared), set(model))
            self.assertEqual(set(shared.items()), set(model.items()))
            self.assertEqual(sorted(map(repr, shared.values())), sorted(map(repr, model.values())))
            other = s.dict({"k": 1})
            other.update(shared)
            other |= {"k": 2}
            other.update([("l", 3)], m=4)
            self.assertEqual(other, {**model, "k": 2, "l": 3, "m": 4})
            self.assertIn(3, other.values())
            other.clear()
            self.assertFalse(other)
            self.assertRaises(KeyError, other.popitem)

    def test_missing_keys_are_key_errors(self):
        with weir.scope() as s:
            empty = s.dict()
            for call in (lambda: empty["k"], lambda: empty.pop("k"), lambda: empty.__delitem__("k"),
                         lambda: empty.compare_and_set("k", 1, 2)):
                with self.assertRaises(KeyError) as raised:
                    call()
                self.assertEqual(raised.exception.args, ("k",))

    def test_wrong_arguments_are_refused(self):
        with weir.scope() as s:
            shared = s.dict({"text": "x"})
            for key in None, 1.5, True, (1,), bytearray(b"k"):
                self.assertRaises(TypeError, shared.__setitem__, key, 1)
                self.assertRaises(TypeError, shared.get, key)
                self.assertRaises(TypeError, shared.__contains__, key)
            self.assertRaises(TypeError, shared.__setitem__, "k", [])
            self.assertRaises(OverflowError, shared.__setitem__, 1 << 63, 1)
            self.assertRaises(ValueError, shared.__setitem__, "k" * 65536, 1)
            self.assertRaises(TypeError, shared.add, "text")
            self.assertRaises(TypeError, shared.compare_and_set, "text", 1, 2)
            self.assertRaises(TypeError, hash, shared)
            shared["n"] = 2**63 - 1
            self.assertRaises(OverflowError, shared.add, "n")
            self.assertRaises(ValueError, s.dict, max_size=-1)
            self.assertRaises(ValueError, s.dict, max_size=5)
            self.assertRaises(TypeError, s.dict, {"k": []})
            self.assertEqual([block.name for block in s.blocks()], [shared.name])

    def test_full_dictionary_says_so(self):
        with weir.scope() as s:
            shared = s.dict(max_size=65536)
            with self.assertRaises(weir.Error) as raised:
                for i in range(10000):
                    shared[i] = "x" * 100
            self.assertEqual(raised.exception.errno, errno.ENOSPC)
            self.assertIn("65536", str(raised.exception))

    def test_iterating_survives_changes(self):
        with weir.scope() as s:
            shared = s.dict((i, "x") for i in range(1000))
            seen = []
            for key in shared:
                seen.append(key)
                shared.pop(key + 500, None) if key < 500 else None
                shared[key + 5000] = "new"
                if len(seen) > 100000:
                    break
            self.assertTrue(set(range(500)) <= set(seen))
            self.assertEqual(len(seen), len(set(seen)))
            for view in shared.items(), shared.values(), shared.keys():
                shared.update((i, "y") for i in range(10))
                for _ in view:  # those that are gone are not looked up
                    shared.clear()
                self.assertFalse(shared)

    def test_adding_is_atomic_among_processes(self):
        with weir.scope() as s:
            shared, numbers = s.dict(), s.list([0])
            context = multiprocessing.get_context("fork")
            workers = [context.Process(target=add_to, args=(shared, "k", 2000)) for _ in range(3)]
            for worker in workers:
                worker.start()
            threads = [threading.Thread(target=numbers.add, args=(0,)) for _ in range(20)]
            for thread in threads:
                thread.start()
            for each in workers + threads:
                each.join()
            self.assertEqual((shared["k"], numbers[0]), (6000, 20))
            self.assertTrue(shared.compare_and_set("k", 6000, 1))
            self.assertFalse(shared.compare_and_set("k", 6000, 2))


class Handles(Test):
    def test_handle_is_the_same_object(self):
        with weir.scope() as s:
            for made, change, look in (
                    (s.shm(8), lambda o: o.buf.__setitem__(0, 7), lambda o: o.buf[0]),
                    (s.list([1]), lambda o: o.__setitem__(0, 7), lambda o: o[0]),
                    (s.array(3), lambda o: o.__setitem__(0, 7), lambda o: o[0]),
                    (s.dict({0: 1}), lambda o: o.__setitem__(0, 7), lambda o: o[0])):
                text = made.handle()
                change(weir.from_handle(text))
                self.assertEqual(look(made), 7)
                self.assertEqual(look(pickle.loads(pickle.dumps(made))), 7)
                self.assertEqual(json.loads(text)["weir"], 1)
                made.unlink()
                self.assertRaises(weir.NotFoundError, weir.from_handle, text)

    def test_name_of_another_object_is_not_it(self):
        block = weir.SharedMemory(self.mine, create=True, size=5)
        text = block.handle()
        block.unlink()
        weir.SharedMemory(self.mine, create=True, size=5)
        self.assertRaises(weir.NotFoundError, weir.from_handle, text)
        self.assertRaises(weir.NotFoundError, block.unlink)
        weir.SharedMemory(self.mine).unlink()

    def test_other_texts_are_refused(self):
        with weir.scope() as s:
            good = json.loads(s.list([1, 2]).handle())
            texts = ["", "[]", "{", "5", "null", '{"kind":[]}', '{"kind":"x"}', '{"kind":"shm"}', "[" * 4000, "x" * 9999]
            for name, value in ("weir", 2), ("kind", "dict"), ("size", -1), ("name", "../x"), ("count", 1), ("more", 1):
                texts.append(json.dumps({**good, name: value}))
            for text in texts:
                with self.subTest(text[:60]):
                    self.assertRaises((ValueError, weir.Error), weir.from_handle, text)

    def test_part_closes_the_whole(self):
        with weir.scope() as s:
            for made in s.list([1]), s.dict({1: 2}), weir.Array(None, 3, "i4", create=True):
                self.assertEqual((made.shm.name, made.shm.size, len(made.shm.buf)), (made.name, made.size, made.size))
                pickle.loads(pickle.dumps(made.shm)).close()
                part = made.shm
                part.close()
                self.assertRaises(ValueError, lambda: made[0])
                part.unlink()
                self.assertFalse(exists(made.name))


# ---- scopes -------------------------------------------------------------------------------------


class Scopes(Test):
    def test_all_is_gone_after_the_end(self):
        with weir.scope() as s:
            names = [s.shm(5).name, s.list([1]).name, s.dict().name, s.shm(1, self.mine + "-named").name,
                     weir.Array(None, 5, create=True).name]
            s.track(names[4])
            worker_names = {block.name: block for block in s.blocks()}
            self.assertEqual(set(worker_names), set(names))
            self.assertEqual((worker_names[names[1]].kind, worker_names[names[0]].size), ("list", 5))
            self.assertEqual(worker_names[names[0]].pid, os.getpid())
            manager = s.manager_pid
            self.assertTrue(is_running(manager))
        self.assertFalse(is_running(manager))
        self.assertEqual([name for name in names if exists(name)], [])
        self.assertEqual(left(scope_of(names[0])), [])
        self.assertRaises(ValueError, s.shm, 1)
        self.assertIn("ended", repr(s))
        s.close()

    def test_objects_of_several_scopes_go_with_their_own(self):
        with weir.scope() as outer:
            a = outer.list([1])
            with weir.scope() as inner:
                b = inner.list([2])
            self.assertTrue(exists(a.name))
            self.assertFalse(exists(b.name))
        self.assertFalse(exists(a.name))

    def test_object_keeps_its_scope(self):
        made = weir.scope().list([1])
        gc.collect()
        self.assertTrue(exists(made.name))
        name = made.name
        del made
        gc.collect()
        self.assertFalse(exists(name))

    def test_names_and_early_ends(self):
        with weir.scope() as s:
            s.dict({1: 2}, self.mine)
            self.assertRaises(weir.ExistsError, s.shm, 5, self.mine)
            self.assertEqual(s.attach(self.mine)[1], 2)
            self.assertRaises(weir.NotFoundError, s.attach, self.mine + "x")
            s.release(self.mine)
            self.assertFalse(exists(self.mine))
            self.assertRaises(weir.NotFoundError, s.release, self.mine)
            self.assertRaises(weir.NotFoundError, s.track, self.mine)

    def test_many_blocks_are_listed(self):
        with weir.scope() as s:
            held = [s.shm(1) for _ in range(300)]
            self.assertEqual({block.name for block in s.blocks()}, {block.name for block in held})

    def test_another_program_connects(self):
        address = self.folder + "/door"
        with weir.scope(address=address) as s:
            made = s.list([1, 2])
            self.assertEqual(s.address, address)
            out, err = self.run_python("""if 1:
                import sys, weir
                with weir.connect(sys.argv[1]) as s:
                    s.attach(sys.argv[2])[0] = 5
                    d = s.dict({"a": 1})
                    print(d.name)
                """, address, made.name)
            self.assertEqual((made[0], err), (5, ""))
            name = out.strip()
            self.assertEqual(s.attach(name).copy(), {"a": 1})
            self.assertRaises(TypeError, connect_wrongly, address)
        self.assertFalse(exists(name))
        self.assertRaises(weir.NotFoundError, weir.connect, address)

    def test_environment_names_the_scope(self):
        address = self.folder + "/door"
        os.environ.pop("WEIR_ADDRESS", None)
        with self.assertRaisesRegex(ValueError, "WEIR_ADDRESS is not set"):
            weir.connect()
        os.environ["WEIR_ADDRESS"] = address
        self.addCleanup(os.environ.pop, "WEIR_ADDRESS")
        with weir.scope(address=address) as s:
            with weir.connect() as c:
                self.assertEqual(c.address, address)
                made = c.list([5])
                self.assertEqual(s.attach(made.name)[0], 5)
                self.assertEqual(pickle.loads(pickle.dumps(c)).attach(made.name)[0], 5)
            out, _ = self.run_python("import sys, weir; print(weir.connect().attach(sys.argv[1])[0])", made.name)
            self.assertEqual(out, "5\n")
        with self.assertRaisesRegex(weir.NotFoundError, "WEIR_ADDRESS.*has ended"):
            weir.connect()

    def scope_with_key(self, address):
        try:
            return weir.scope(address=address, key=KEY)
        except weir.Error as error:
            self.assertEqual(error.errno, errno.ENOTSUP)
            self.skipTest("built without libsodium")

    def test_environment_names_the_key_file(self):
        address, file = self.folder + "/door", self.folder + "/key"
        os.environ.update(WEIR_ADDRESS=address, WEIR_KEY_FILE=file)
        self.addCleanup(os.environ.pop, "WEIR_ADDRESS")
        self.addCleanup(os.environ.pop, "WEIR_KEY_FILE")
        with self.scope_with_key(address) as s:
            self.assertRaises(weir.NotFoundError, weir.connect)
            with open(file, "wb", opener=lambda *args: os.open(*args, 0o644)) as opened:
                opened.write(KEY)
            with self.assertRaisesRegex(PermissionError, "WEIR_KEY_FILE"):
                weir.connect()
            os.chmod(file, 0o600)
            with weir.connect() as c:
                self.assertRaises(TypeError, pickle.dumps, c)
                child = os.fork()
                if child == 0:
                    os.unlink(file)
                    os._exit(c.list([5])[0])
                self.assertEqual(os.waitpid(child, 0)[1], 5 << 8)
            self.assertRaises(weir.AccessError, weir.connect, address)

    def test_key_is_needed__when_there_is_one(self):
        address = self.folder + "/door"
        with self.scope_with_key(address) as s:
            self.assertRaises(weir.AccessError, weir.connect, address)
            self.assertRaises(PermissionError, weir.connect, address, KEY + b"x")
            with weir.connect(address, KEY) as c:
                self.assertEqual(s.attach(c.list([5]).name)[0], 5)
            self.assertRaises(TypeError, pickle.dumps, s)
        self.assertRaises(ValueError, weir.scope, key=KEY)

    def test_scope_of_a_c_program(self):
        address = self.folder + "/door"
        with subprocess.Popen([HOST, address, ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as host:
            block, dictionary = host.stdout.readline().split()

            def seen(name):
                host.stdin.write(name + "\n")
                host.stdin.flush()
                return host.stdout.readline().strip()

            with weir.connect(address) as s:
                self.assertEqual((s.attach(block).size, len(s.attach(dictionary))), (100, 10))
                self.assertEqual(seen(s.list([1, 2]).name), "1 2")
                self.assertEqual(seen(s.dict({1: 2, "3": 4}).name), "2 items")
                made = s.array(100, "int32")
                for i in range(100):
                    made[i] = i
                name = made.name
                self.assertEqual(seen(name), "int32 100 sum 4950")
            self.assertTrue(exists(name))
            host.stdin.close()
            self.assertEqual(host.wait(BOUND), 0)
        self.assertFalse(exists(name))

    def test_scope_finds_a_place_for_its_socket(self):
        for value in "", "relative", "/no/such/folder", "/tmp":
            os.environ["XDG_RUNTIME_DIR"] = value
            home = self.folder + "/tmp"
            os.mkdir(home)
            for _ in range(2):
                out, _ = self.run_with_tmp(home)
                self.assertTrue(out.startswith(home + "/weir-%d/" % os.getuid()), out)
            self.assertEqual(os.listdir(home), ["weir-%d" % os.getuid()])
            # somebody else's folder of that name
            os.chmod(home + "/weir-%d" % os.getuid(), 0o755)
            out, _ = self.run_with_tmp(home)
            self.assertFalse(out.startswith(home + "/weir-%d/" % os.getuid()), out)
            self.assertEqual(os.listdir(home), ["weir-%d" % os.getuid()])
            shutil.rmtree(home)
        os.environ["XDG_RUNTIME_DIR"] = self.folder

    def test_scope_begins__when_the_folder_for_temporary_files_has_a_long_path(self):
        home = os.path.join(self.folder, "x" * 90)
        os.mkdir(home)
        os.environ["XDG_RUNTIME_DIR"] = ""
        out, _ = self.run_with_tmp(home)
        self.assertTrue(out.startswith("/tmp/weir-"), out)
        os.rmdir(home)

    def test_calls_are_refused__when_another_thread_ends_the_scope(self):
        for _ in range(5):
            s, ended = weir.scope(), []

            def make():
                try:
                    while True:
                        s.shm(1).buf[0] = 1
                except (ValueError, weir.GoneError, weir.NotFoundError):
                    ended.append(1)

            threads = [threading.Thread(target=make) for _ in range(3)]
            for thread in threads:
                thread.start()
            name = s.shm(1).name
            s.close()
            for thread in threads:
                thread.join()
            self.assertEqual((len(ended), left(scope_of(name))), (3, []))

    def run_with_tmp(self, home):
        os.environ["TMPDIR"] = home
        try:
            return self.run_python("import weir\nwith weir.scope() as s:\n    print(s.address)")
        finally:
            del os.environ["TMPDIR"]

    def test_manager_that_is_not_there_is_an_error(self):
        out, _ = self.run_python("import os, weir\nos.environ['WEIR_MANAGER'] = '/no/manager'\n"
                                 "try:\n    weir.scope()\nexcept FileNotFoundError as error:\n    print(error)")
        self.assertIn("/no/manager", out)

    def test_errors_can_be_pickled(self):
        for cls in (weir.Error, weir.NotFoundError, weir.ExistsError, weir.AccessError, weir.TimedOutError,
                    weir.RefusedError, weir.GoneError):
            error = pickle.loads(pickle.dumps(cls(errno.ENOSPC, "a message")))
            self.assertEqual((type(error), error.errno, error.strerror), (cls, errno.ENOSPC, "a message"))


def connect_wrongly(address):
    weir.connect(address, 5)


# ---- deaths -------------------------------------------------------------------------------------

PROGRAM = """if 1:
    import os, sys, time, weir
    s = weir.scope()
    held = [s.shm(4096), s.list([1]), s.dict({1: 2}), s.array(100)]
    print(held[0].name, s.manager_pid, flush=True)
    """


class Deaths(Test):
    def started(self, more="sys.stdin.read()"):
        process = self.python(PROGRAM + "sys.stdin.readline()\n    " + more.replace("\n", "\n    "))
        name, manager = process.stdout.readline().split()
        self.assertEqual(len(left(scope_of(name))), 5)
        process.stdin.write("go on\n")
        process.stdin.flush()
        return process, scope_of(name), int(manager)

    def gone(self, scope, manager):
        eventually(lambda: not left(scope), "in /dev/shm: %s" % left(scope))
        eventually(lambda: not is_running(manager), "the manager runs")

    def test_nothing_is_left__when_the_program_is_killed(self):
        for number in signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV:
            process, scope, manager = self.started()
            with process:
                process.send_signal(number)
                process.communicate(timeout=BOUND)
                self.assertNotEqual(process.returncode, 0)
            self.gone(scope, manager)

    def test_nothing_is_left__when_the_program_just_ends(self):
        for more, status, said in (("", 0, False), ("sys.exit(3)", 3, False), ("raise KeyError(1)", 1, True),
                                   ("os._exit(4)", 4, False), ("os.execv('/bin/true', ['true'])", 0, False),
                                   ("os.abort()", -signal.SIGABRT, False)):
            with self.subTest(more):
                process, scope, manager = self.started(more)
                with process:
                    _, err = process.communicate(timeout=BOUND)
                self.assertEqual((process.returncode, "Traceback" in err), (status, said), err)
                self.assertNotIn("Exception ignored", err)
                self.gone(scope, manager)

    def test_names_are_gone_before_the_interpreter_is(self):
        process, scope, _ = self.started("")
        with process:
            process.stderr.read()
            process.wait(BOUND)
        self.assertEqual(left(scope), [])

    def test_program_cleans_up__when_the_manager_is_killed(self):
        s = weir.scope()
        made, name = s.dict({1: 2}), s.shm(4096).name
        os.kill(s.manager_pid, signal.SIGKILL)
        eventually(lambda: not is_running(s.manager_pid), "the manager runs")
        made[2] = 3
        self.assertEqual(made.copy(), {1: 2, 2: 3})
        self.assertRaises(weir.GoneError, s.shm, 5)
        self.assertTrue(exists(name))
        s.close()
        self.assertEqual(left(scope_of(name)), [])
        self.assertEqual(os.listdir(self.folder), [])

    def test_next_scope_cleans_up__when_both_are_killed(self):
        process, scope, manager = self.started()
        with process:
            os.kill(manager, signal.SIGSTOP)
            process.kill()
            process.wait(BOUND)
            os.kill(manager, signal.SIGKILL)
            eventually(lambda: not is_running(manager), "the manager runs")
        with weir.scope():
            self.assertEqual(left(scope), [])

    def test_scope_goes_on__when_a_forked_child_ends(self):
        with weir.scope() as s:
            made = s.list([1])
            for method in "fork", "spawn":
                for status in 0, 3:
                    child = multiprocessing.get_context(method).Process(target=look_and_leave, args=(made, status))
                    child.start()
                    child.join()
                    self.assertEqual(child.exitcode, status)
            out, err = self.run_python(PROGRAM + """
                pid = os.fork()
                if pid == 0:
                    print(s.list([5])[0], flush=True)
                    if len(sys.argv) > 1:
                        s.close()
                        assert held[1][0] == 1
                    sys.exit(0)  # with atexit
                assert os.waitpid(pid, 0)[1] == 0
                assert all(os.path.exists("/dev/shm/" + block.name) for block in s.blocks()) and len(s.blocks()) == 5
                assert held[1][0] == 1 and s.list([7])[0] == 7
                s.close()
                """.replace("\n                ", "\n    "))
            self.assertEqual((out.split()[2:], err), (["5"], ""))
            self.assertEqual((made[0], s.list([2])[0]), (1, 2))

    def test_scope_goes_on__when_a_worker_is_killed(self):
        with weir.scope() as s:
            made = s.list(["alive"])
            for method in "fork", "spawn":
                child = multiprocessing.get_context(method).Process(target=kill_myself, args=(made,))
                child.start()
                child.join()
                self.assertEqual((child.exitcode, made[0]), (-signal.SIGKILL, "dead"))
            self.assertEqual([block.name for block in s.blocks()], [made.name])

    def test_block_stays__when_a_foreign_python_has_attached(self):
        with weir.scope() as s:
            made = s.list([1])
            out, err = self.run_python("import sys, weir\nprint(weir.ShareableList(name=sys.argv[1])[0])", made.name)
            self.assertEqual((out, err), ("1\n", ""))
            time.sleep(0.2)
            self.assertTrue(exists(made.name))

    def test_nothing_is_left__when_the_program_dies_with_children(self):
        process, scope, manager = self.started("""
import multiprocessing
if os.fork() == 0:
    while True:
        time.sleep(0.01)
        try:
            if held[1][0] != 1 or not os.path.exists("/dev/shm/" + held[0].name):
                os._exit(0)
        except BaseException:
            os._exit(1)
sys.stdin.read()""")
        with process:
            process.kill()
            process.communicate(timeout=BOUND)
        self.gone(scope, manager)


# ---- other ways to have processes ---------------------------------------------------------------


class Processes(Test):
    def test_children_use_what_they_are_given(self):
        for method in multiprocessing.get_all_start_methods():
            with self.subTest(method), weir.scope() as s:
                block, numbers, names = s.shm(100), s.list(["parent", 1]), s.dict()
                child = multiprocessing.get_context(method).Process(target=write_all, args=(block, numbers, names))
                child.start()
                child.join()
                self.assertEqual(child.exitcode, 0)
                self.assertEqual((bytes(block.buf[:5]), numbers[0], numbers[1]), (b"child", "child", 6))
                self.assertEqual(names["child"], child.pid)

    def test_pools_use_what_they_are_given(self):
        for method in multiprocessing.get_all_start_methods():
            with self.subTest(method), weir.scope() as s:
                numbers, items = s.list([0] * 10), s.array(10, "i8")
                with multiprocessing.get_context(method).Pool(2) as pool:
                    pool.starmap(fill, [(numbers, i) for i in range(10)])
                    pool.starmap(fill, [(items, i) for i in range(10)])
                self.assertEqual((list(numbers), list(items)), (list(range(10)), list(range(10))))

    def test_workers_make_objects_of_the_scope(self):
        for method in multiprocessing.get_all_start_methods():
            with self.subTest(method), weir.scope() as s:
                with multiprocessing.get_context(method).Pool(2) as pool:
                    names = pool.map(make_some, [s] * 4)
                self.assertEqual([s.attach(name)["from"] for name in names], ["a worker"] * 4)
            self.assertEqual([name for name in names if exists(name)], [])

    def test_executors_use_what_they_are_given(self):
        for method in "fork", "spawn":
            with self.subTest(method), weir.scope() as s:
                numbers = s.list([0] * 10)
                context = multiprocessing.get_context(method)
                with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
                    list(pool.map(fill, [numbers] * 10, range(10)))
                    self.assertEqual(list(numbers), list(range(10)))
                    with self.assertRaises(weir.NotFoundError) as raised:
                        pool.submit(raise_weir, 0).result()
                    self.assertIn("weirtest-nothing", str(raised.exception))
                    with self.assertRaises(concurrent.futures.process.BrokenProcessPool):
                        pool.submit(kill_myself, s.list(["alive"])).result()
                self.assertEqual(list(numbers), list(range(10)))

    def test_joblib_uses_what_it_is_given(self):
        try:
            import joblib
        except ImportError:
            self.skipTest("this Python has no joblib")
        with weir.scope() as s:
            numbers = s.list([0] * 10)
            items = s.array((10, 50000)) if np else s.list([0] * 10)
            for backend in "loky", "multiprocessing", "threading":
                for i in range(10):
                    numbers[i] = 0
                joblib.Parallel(2, backend=backend)(joblib.delayed(fill)(numbers, i) for i in range(10))
                joblib.Parallel(2, backend=backend)(joblib.delayed(fill)(items, i) for i in range(10))
                self.assertEqual(list(numbers), list(range(10)))
                if np:
                    self.assertEqual(items.sum(), 45 * 50000)
                    sums = joblib.Parallel(2, backend=backend)(joblib.delayed(sum_of)(row) for row in items)
                    self.assertEqual(sums, [50000.0 * i for i in range(10)])
                    items[...] = 0
            from joblib.externals.loky import get_reusable_executor
            get_reusable_executor().shutdown(wait=True)


# ---- the module ---------------------------------------------------------------------------------


class Module(Test):
    def public(self):
        for name in weir.__all__:
            thing = getattr(weir, name)
            yield name, thing
            if inspect.isclass(thing):
                for part, value in vars(thing).items():
                    if not part.startswith("_") or part in ("__init__", "__getitem__", "__setitem__", "__len__"):
                        yield name + "." + part, value

    def test_everything_public_is_documented_and_annotated(self):
        count = 0
        for name, thing in self.public():
            with self.subTest(name):
                if isinstance(thing, property):
                    thing = thing.fget
                if inspect.isclass(thing):
                    self.assertTrue(thing.__doc__, name)
                elif inspect.isfunction(thing):
                    hints = typing.get_type_hints(thing)
                    arguments = list(inspect.signature(thing).parameters)
                    wanted = set(arguments) - {"self"} | {"return"}
                    self.assertEqual(set(hints), wanted)
                    if not thing.__name__.startswith("__"):
                        self.assertTrue(thing.__doc__, name)
                count += 1
        self.assertGreater(count, 60)

    def test_program_of_the_manual_runs(self):
        program = weir.__doc__.split("    import multiprocessing\n", 1)[1].split("\nAn object", 1)[0]
        path = os.path.join(self.folder, "manual.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write("import multiprocessing\n" + re.sub("^    ", "", program, flags=re.M))
        try:
            if np is None:
                self.skipTest("this Python has no NumPy")
            done = subprocess.run([sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  timeout=BOUND, check=False)
            self.assertEqual((done.stdout, done.stderr, done.returncode), ("8000.0\n", "", 0))
        finally:
            os.unlink(path)

    @needs_numpy
    def test_documents_lines_do_what_they_say(self):
        with open(os.path.join(EXAMPLES, "guides", "numpy.md"), encoding="utf-8") as file:
            section = file.read().split("\n## weir.py\n", 1)[1].split("\n## ")[0]
        blocks = re.findall(r"^```python\n(.*?)^```", section, re.M | re.S)
        self.assertEqual(len(blocks), 2)
        path = os.path.join(self.folder, "document.py")
        said = [comment for block in blocks for comment in re.findall(r"print\(.*\)  # (.*)", block)]
        try:
            for block in blocks:
                with open(path, "w", encoding="utf-8") as file:
                    file.write("import weir\n" + block)
                done = subprocess.run([sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                      timeout=BOUND, check=False)
                self.assertEqual((done.stdout, done.stderr, done.returncode), (said.pop(0) + "\n", "", 0))
        finally:
            os.unlink(path)

    def test_example_counts_primes(self):
        done = subprocess.run([sys.executable, os.path.join(EXAMPLES, "workers.py"), "20000"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=BOUND, check=False)
        self.assertEqual((done.stdout, done.stderr, done.returncode),
                         ("2262 primes below 20000, 1 workers killed\n", "", 0))

    def test_version_is_the_projects(self):
        self.assertEqual(weir.__version__, VERSION)
        before = weir.__version__
        weir.__version__ = "0.999.0"
        try:
            self.assertRaisesRegex(ImportError, "0.999.0.*WEIR_LIBRARY", weir._load)
        finally:
            weir.__version__ = before

    def test_library_that_is_not_there_is_an_import_error(self):
        out, err = self.run_python("import os\nos.environ['WEIR_LIBRARY'] = '/no/libweir.so'\nimport weir", status=1)
        self.assertRegex(err, "ImportError: .*WEIR_LIBRARY.*/no/libweir.so")
        out, err = self.run_python("import os\nos.environ['WEIR_LIBRARY'] = 'libc.so.6'\nimport weir", status=1)
        self.assertRegex(err, "ImportError: .*weir_version")

    def test_file_compiles_and_needs_no_build(self):
        py_compile.compile(weir.__file__, cfile=os.path.join(self.folder, "weir.pyc"), doraise=True)
        os.unlink(os.path.join(self.folder, "weir.pyc"))

    def test_annotations_agree__when_mypy_is_strict(self):
        found = subprocess.run([sys.executable, "-m", "mypy", "--version"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, check=False)
        if found.returncode != 0 or np is None:
            self.skipTest("this Python has no mypy or no NumPy")
        done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, weir.__file__],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_structures_are_those_of_the_headers(self):
        known = ElementTree.parse(os.path.join(EXAMPLES, "..", "tests", "abi", "weir.abi"))
        for name, mine in (("weir_error", weir._CError), ("weir_scope_options", weir._CScopeOptions),
                           ("weir_block_info", weir._CBlockInfo)):
            structure = known.find(".//class-decl[@name='%s']" % name)
            self.assertEqual(ctypes.sizeof(mine) * 8, int(structure.get("size-in-bits")), name)
            places = [(member.find("var-decl").get("name"), int(member.get("layout-offset-in-bits")))
                      for member in structure.findall("data-member")]
            self.assertEqual([(field, getattr(mine, field).offset * 8) for field, _ in mine._fields_], places)
        for mine in weir._CValue, weir._CText, weir._CReal:
            self.assertEqual([getattr(mine, field).offset for field, _ in mine._fields_], [0, 4, 8])
            self.assertEqual(ctypes.sizeof(mine), 16)

    def test_importing_starts_nothing(self):
        out, _ = self.run_python("import os, threading, weir\n"
                                 "print(threading.active_count(), 'numpy' in __import__('sys').modules, "
                                 "'multiprocessing' in __import__('sys').modules)")
        self.assertEqual(out, "1 False False\n")


if __name__ == "__main__":
    HOST = sys.argv.pop(1)
    VERSION = sys.argv.pop(1)
    unittest.main(verbosity=2)

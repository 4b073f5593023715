# SPDX-License-Identifier: MIT
"""Lists and blocks shared by weir and stock CPython.

    interop.py PEER [CLASS...]

PEER is the weir program of peer.c. Every test makes its own names and checks at its end that none of
them is left in /dev/shm. Python's resource tracker is told to forget what is attached here, or it would
unlink the blocks when this script ends (that it does so is itself tested, in Foreign).
"""

import errno
import math
import os
import random
import select
import struct
import subprocess
import sys
import time
import unittest

try:
    from multiprocessing import resource_tracker
    from multiprocessing.shared_memory import ShareableList, SharedMemory
except ImportError as error:
    print("skipped: this Python has no shared memory:", error)
    sys.exit(77)

PEER = None
HOWDY = ["howdy", b"HoWdY", -273.154, 100, None, True, 42]


def encode(value):
    if value is None:
        return "n"
    if isinstance(value, bool):
        return "b %d" % value
    if isinstance(value, int):
        return "i %d" % value
    if isinstance(value, float):
        return "f " + struct.pack("d", value).hex()
    if isinstance(value, str):
        return "s " + value.encode().hex()
    return "y " + bytes(value).hex()


def decode(line):
    kind, _, data = line.partition(" ")
    if kind == "n":
        return None
    if kind == "b":
        return data == "1"
    if kind == "i":
        return int(data)
    if kind == "f":
        return struct.unpack("d", bytes.fromhex(data))[0]
    if kind == "s":
        return bytes.fromhex(data).decode()
    if kind == "y":
        return bytes.fromhex(data)
    raise OSError(-int(kind), os.strerror(-int(kind)))


class Peer:
    """A weir program that has one list and one block open."""

    def __init__(self):
        self.process = subprocess.Popen([PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def ask(self, *lines):
        for line in lines:
            self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the peer ended with %s" % self.process.wait())
        return line.rstrip("\n")

    def number(self, *lines):
        return int(self.ask(*lines))

    def create(self, name, values):
        return self.number("list %s %d" % (name, len(values)), *map(encode, values))

    def get(self, index):
        return decode(self.ask("get %d" % index))

    def set(self, index, value):
        return self.number("set %d %s" % (index, encode(value)))

    def all(self):
        count = self.number("len")
        if count == 0:
            return []
        return [decode(self.ask("all"))] + [decode(self.answer()) for _ in range(count - 1)]

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(10)


def forget(shm):
    """Keeps the resource tracker's hands off a block."""
    resource_tracker.unregister(shm._name, "shared_memory")


def identical(a, b):
    """The same type and value; NaN is itself, and -0.0 is not 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    return a == b


class Case(unittest.TestCase):
    def setUp(self):
        self.peer = Peer()
        self.prefix = "weirtest-%d-%s" % (os.getpid(), self.id().rpartition(".")[2][:60])
        self.names = 0
        self.opened = []

    def tearDown(self):
        for shm in self.opened:
            shm.close()
        self.assertEqual(self.peer.end(), 0)
        left = [name for name in os.listdir("/dev/shm") if name.startswith(self.prefix)]
        for name in left:
            os.unlink("/dev/shm/" + name)
        self.assertEqual(left, [])

    def name(self):
        self.names += 1
        return "%s-%d" % (self.prefix, self.names)

    def attach(self, name):
        """Python's view of a list that weir made."""
        listed = ShareableList(name=name)
        forget(listed.shm)
        self.opened.append(listed.shm)
        return listed

    def python_list(self, values, name=None):
        listed = ShareableList(values, name=name or self.name())
        self.opened.append(listed.shm)
        return listed

    def assert_identical(self, got, expected, what=""):
        got, expected = list(got), list(expected)
        self.assertEqual(len(got), len(expected), what)
        for i, (a, b) in enumerate(zip(got, expected)):
            if not identical(a, b):
                self.fail("%s element %d is %.100r, not %.100r" % (what, i, a, b))


class SharedMemoryTest(Case):
    def test_block_made_by_weir(self):
        name = self.name()
        self.assertEqual(self.peer.number("shm %s 5000" % name), 0)
        shm = SharedMemory(name)
        forget(shm)
        self.opened.append(shm)
        self.assertEqual(shm.size, 5000)
        self.assertEqual(bytes(shm.buf), bytes(5000))
        self.peer.number("shm-write 10 %s" % b"from weir".hex())
        self.assertEqual(bytes(shm.buf[10:19]), b"from weir")
        shm.buf[4990:5000] = b"fromPython"
        self.assertEqual(bytes.fromhex(self.peer.ask("shm-read 4990 10")), b"fromPython")
        # The size asked for is ignored on attaching.
        other = SharedMemory(name, size=1)
        forget(other)
        self.assertEqual(other.size, 5000)
        other.close()
        self.assertEqual(self.peer.number("shm-unlink"), 0)
        self.assertRaises(FileNotFoundError, SharedMemory, name)
        self.assertEqual(bytes(shm.buf[10:19]), b"from weir")

    def test_block_made_by_python(self):
        shm = SharedMemory(self.name(), create=True, size=100)
        self.opened.append(shm)
        shm.buf[:5] = b"hello"
        self.assertEqual(self.peer.number("shm-attach " + shm.name), 0)
        self.assertEqual(self.peer.number("shm-size"), 100)
        self.assertEqual(bytes.fromhex(self.peer.ask("shm-read 0 5")), b"hello")
        self.peer.number("shm-write 95 %s" % b"weir!".hex())
        self.assertEqual(bytes(shm.buf[95:]), b"weir!")
        shm.unlink()
        self.assertEqual(self.peer.number("shm-unlink"), -errno.ENOENT)
        self.assertEqual(bytes.fromhex(self.peer.ask("shm-read 95 5")), b"weir!")

    def test_existing_and_missing_names(self):
        name = self.name()
        self.assertEqual(self.peer.number("shm-attach " + name), -errno.ENOENT)
        shm = SharedMemory(name, create=True, size=100)
        self.opened.append(shm)
        shm.buf[:4] = b"mine"
        self.assertEqual(self.peer.number("shm %s 10" % name), -errno.EEXIST)
        self.assertEqual(self.peer.create(name, [1, 2]), -errno.EEXIST)
        self.assertEqual(bytes(shm.buf[:4]), b"mine")
        shm.unlink()
        self.assertEqual(self.peer.number("shm %s 10" % name), 0)
        self.assertRaises(FileExistsError, SharedMemory, name, True, 10)
        self.assertEqual(self.peer.number("shm-size"), 10)
        self.assertEqual(self.peer.number("shm-unlink"), 0)
        self.assertEqual(self.peer.number("shm-unlink"), -errno.ENOENT)
        self.assertEqual(self.peer.number("shm-attach " + name), -errno.ENOENT)


class ListsTest(Case):
    def both_ways(self, values):
        """What weir writes Python reads, and what Python writes weir reads."""
        name = self.name()
        self.assertEqual(self.peer.create(name, values), 0)
        listed = self.attach(name)
        self.assertEqual(len(listed), len(values))
        self.assert_identical(listed, values, "Python's view:")
        self.assertEqual(listed.format, self.peer.ask("format"))
        self.assertEqual(self.peer.number("unlink"), 0)
        self.assertEqual(self.peer.number("close"), 0)
        listed.shm.close()  # a container's /dev/shm of 64 MiB has room for one of the large lists

        listed = self.python_list(values)
        self.assertEqual(self.peer.number("attach " + listed.shm.name), 0)
        self.assert_identical(self.peer.all(), values, "weir's view:")
        self.assertEqual(listed.format, self.peer.ask("format"))
        self.assertEqual(self.peer.number("unlink"), 0)
        self.assertEqual(self.peer.number("close"), 0)
        forget(listed.shm)
        listed.shm.close()

    def test_a_list_has_pythons_repr(self):
        odd = random.Random(1)
        floats = [struct.unpack("d", odd.randbytes(8))[0] for _ in range(2000)]
        floats += [0.0, -0.0, 1.0, 1e15, 1e16, 1e-4, 1e-5, 0.1, 1 / 3, 5e-324, math.inf, -math.inf, math.nan, 9007199254740993.0]
        texts = ["", "it's", 'say "so"', "both ' and \"", "a\\b", "\t\n\r", "\x01\x7f\x80", "\u00e9\u4e2d", "\U0001f600", "\u200b"]
        data = [b"", b"it's", b'"', b"' \"", bytes(range(1, 256)), b"\\\x00x"]
        for values in ([], HOWDY, floats, texts + data + [0, -1, 2**63 - 1, -2**63, True, False, None]):
            listed = self.python_list(values)
            self.assertEqual(self.peer.number("attach " + listed.shm.name), 0)
            self.assertEqual(self.peer.ask("repr 0"), repr(listed))
            self.assertEqual(self.peer.ask("repr %d" % max(len(values), 1)), repr(listed))
            self.peer.number("unlink")
            self.peer.number("close")
            forget(listed.shm)

    def test_howdy(self):
        self.both_ways(HOWDY)

    def test_empty(self):
        self.both_ways([])

    def test_edges(self):
        self.both_ways([0, -1, 2**63 - 1, -2**63, 0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324,
                        1.7976931348623157e308, True, False, None, "", b"", "a", b"a", "\x00a",
                        b"\x00a", "12345678", b"12345678", "1234567", "\U0001f600", "z\u00df\u6c34",
                        b"\xff\xfe\xfd"])

    def test_a_million_ints(self):
        values = [i * i - 10**9 for i in range(1000000)]
        self.both_ways(values)
        name = self.name()
        self.assertEqual(self.peer.number("range %s -5 2999995 3" % name), 0)
        self.assert_identical(self.attach(name), range(-5, 2999995, 3), "range:")
        self.assertEqual(self.peer.number("unlink"), 0)

    def test_a_large_mixed_list(self):
        makers = [lambda i: i, lambda i: i / 7, lambda i: "text %d" % i, lambda i: b"%d" % i,
                  lambda i: None, lambda i: i % 2 == 0, lambda i: "\u00e9" * (i % 20) + "a" * (i % 40)]
        values = [makers[i % len(makers)](i) for i in range(70000)]
        name = self.name()
        self.assertEqual(self.peer.create(name, values), 0)
        self.assert_identical(self.attach(name), values, "Python's view:")
        self.assertEqual(self.peer.number("unlink"), 0)
        self.peer.number("close")
        # CPython makes room by characters: text that is not ASCII may not fit in its own lists.
        values = [v if not isinstance(v, str) or v.isascii() else "ascii" for v in values]
        self.both_ways(values)

    def test_text_that_python_cut(self):
        # Room for 16 bytes, and 30 of text: CPython cuts, here between two characters ...
        listed = self.python_list(["\u00e9" * 15, 7])
        self.assertEqual(self.peer.number("attach " + listed.shm.name), 0)
        self.assertEqual(self.peer.get(0), "\u00e9" * 8)
        self.assertEqual(self.peer.get(1), 7)
        listed.shm.unlink()
        # ... and here inside of one, which neither can read.
        listed = self.python_list(["a" + "\u00e9" * 14, 7])
        self.assertEqual(self.peer.number("attach " + listed.shm.name), 0)
        self.assertRaises(UnicodeDecodeError, listed.__getitem__, 0)
        self.assertEqual(self.peer.number("get 0"), -errno.EBADMSG)
        self.assertEqual(self.peer.get(1), 7)
        self.assertEqual(self.peer.set(0, "\u00e9" * 8), 0)
        self.assertEqual(listed[0], "\u00e9" * 8)
        listed.shm.unlink()


class LengthsTest(Case):
    def check(self, values):
        name = self.name()
        self.assertEqual(self.peer.create(name, values), 0)
        self.assert_identical(self.peer.all(), values, "weir's view:")
        # Python strips the NULs that end a str, whatever the format; never those of weir's bytes.
        seen = [v.rstrip("\0") if isinstance(v, str) else v for v in values]
        listed = self.attach(name)
        self.assert_identical(listed, seen, "Python's view:")
        self.assertEqual(self.peer.number("unlink"), 0)
        self.peer.number("close")

    def test_every_short_length(self):
        values = []
        for size in range(40):
            values += [b"x" * size, "x" * size, bytes(size), "\0" * size, b"x" * size + b"\0", 7]
        self.check(values)

    def test_encodes(self):
        values = ["encod\u00e9s", 1, "encod\u00e9es", 2]
        self.check(values)
        name = self.name()
        self.assertEqual(self.peer.create(name, ["1234567", 42]), 0)
        listed = self.attach(name)
        self.assertEqual(self.peer.set(0, "encod\u00e9s"), 0)
        self.assert_identical(listed, ["encod\u00e9s", 42])
        self.assertEqual(self.peer.set(0, "encod\u00e9es"), -errno.E2BIG)
        with self.assertRaises(ValueError):
            listed[0] = "encod\u00e9es"
        self.assert_identical(listed, ["encod\u00e9s", 42])
        self.assert_identical(self.peer.all(), ["encod\u00e9s", 42])
        self.assertEqual(self.peer.number("unlink"), 0)

    def test_long_lengths(self):
        for size in (9999, 10000, 99990, 99991, 99999, 100000, 100001, 999999):
            self.check([1, b"x" * size, 2, "x" * size, 3, b"x" * (size - 1) + b"\0", 4,
                        "x" * (size - 2) + "\0\0", 5])

    def test_a_million_bytes_and_more(self):
        for size in (1000000, 1000001, 9999991):
            self.check([1, b"x" * size, 2, "x" * size, 3])
            self.assertEqual(self.peer.create(self.name(), [b"x" * (size - 1) + b"\0"]),
                             -errno.ENOTSUP)
        self.assertEqual(self.peer.create(self.name(), [b"x" * 9999992]), -errno.E2BIG)

    def test_full_rooms(self):
        for room in (8, 16, 1008, 99992, 100000, 999992, 1000000):
            name = self.name()
            self.assertEqual(self.peer.create(name, [1, b"a" * (room - 1), "b" * (room - 1), 2]), 0)
            listed = self.attach(name)
            for full in (b"c" * room, bytes(room), "d" * room, b"e" * (room - 3) + bytes(3)):
                if room >= 1000000 and encode(full).endswith("00"):
                    self.assertEqual(self.peer.set(1, full), -errno.ENOTSUP)
                    continue
                self.assertEqual(self.peer.set(1, full), 0)
                self.assertEqual(self.peer.set(2, full), 0)
                self.assert_identical(self.peer.all(), [1, full, full, 2], "weir's view:")
                self.assert_identical(listed, [1, full, full, 2], "Python's view:")
            # Python may still use the whole room of what weir wrote.
            for value in ("short", "f" * room, b"g" * room, 5, b"h" * room):
                listed[1] = value
                self.assert_identical(listed, [1, value, full if room < 1000000 else listed[2], 2])
                self.assertTrue(identical(self.peer.get(1), value))
            self.assertEqual(self.peer.number("unlink"), 0)
            self.peer.number("close")


class ChangesTest(Case):
    def test_python_extends_in_place(self):
        name = self.name()
        self.assertEqual(self.peer.create(name, HOWDY), 0)
        listed = self.attach(name)
        values = list(HOWDY)
        for index, value in [(0, "dry ice"), (0, "12345678"), (1, b"12345678"), (2, "float"), (3, b"i"),
                             (3, 1.5), (4, 5), (5, None), (6, False), (0, ""), (0, 3), (0, "back")]:
            listed[index] = value
            values[index] = value
            self.assert_identical(self.peer.all(), values)
            self.assert_identical(listed, values)
        with self.assertRaises(ValueError):
            listed[0] = "123456789"
        self.assert_identical(self.peer.all(), values)
        self.assertEqual(self.peer.number("unlink"), 0)

    def test_weir_extends_in_place(self):
        listed = self.python_list(HOWDY)
        self.assertEqual(self.peer.number("attach " + listed.shm.name), 0)
        values = list(HOWDY)
        for index, value in [(0, "dry ice"), (0, "12345678"), (1, b"\0\0"), (2, "float"), (3, b"i\0"),
                             (3, 1.5), (4, 5), (-2, None), (-1, False), (0, ""), (0, 3), (0, "back")]:
            self.assertEqual(self.peer.set(index, value), 0)
            values[index] = value
            self.assert_identical(self.peer.all(), values)
            self.assert_identical(listed, values)
        self.assertEqual(self.peer.set(0, "123456789"), -errno.E2BIG)
        self.assertEqual(self.peer.set(7, 1), -errno.ERANGE)
        self.assert_identical(listed, values)
        self.assertEqual(self.peer.number("add 4 -15"), 0)
        self.assertEqual(listed[4], -10)
        listed.shm.unlink()

    def test_both_change_at_random(self):
        dice = random.Random(20240607)
        rooms = [8, 8, 16, 24, 1008, 100000, 8, 8]
        start = ["x" * (room - 1) for room in rooms]
        name = self.name()
        self.assertEqual(self.peer.create(name, start), 0)
        listed = self.attach(name)
        weirs, pythons = list(start), list(start)   # what each must see

        def any_value(room):
            size = dice.choice([0, 1, room // 2, room - 1, room, room, room + 1])
            data = bytes(dice.choice([0, 0, 97, 98, 255]) for _ in range(min(size, 40)))
            data = (b"z" * (size - len(data)) + data)[:size]
            return dice.choice([None, True, False, dice.getrandbits(63), -5, 0.25, data,
                                data.replace(b"\xff", b"y").decode()])

        for step in range(3000):
            index = dice.randrange(len(rooms))
            value = any_value(rooms[index])
            size = len(value) if isinstance(value, (str, bytes)) else 0
            if dice.random() < 0.5:
                self.assertEqual(self.peer.set(index, value), 0 if size <= rooms[index] else
                                 -errno.E2BIG)
                if size <= rooms[index]:
                    weirs[index] = value
                    pythons[index] = value.rstrip("\0") if isinstance(value, str) else value
            else:
                try:
                    listed[index] = value
                except ValueError:
                    self.assertGreater(size, rooms[index])
                else:
                    # Python loses the NULs at the end, of str and of bytes.
                    if isinstance(value, str):
                        value = value.rstrip("\0")
                    elif isinstance(value, bytes):
                        value = value.rstrip(b"\0")
                    weirs[index] = pythons[index] = value
            self.assertTrue(identical(self.peer.get(index), weirs[index]), step)
            self.assertTrue(identical(listed[index], pythons[index]), step)
            if step % 100 == 0:
                self.assert_identical(self.peer.all(), weirs, "weir's view:")
                self.assert_identical(listed, pythons, "Python's view:")
                self.assertEqual(listed.format, self.peer.ask("format"))
        self.assertEqual(self.peer.number("unlink"), 0)


class WrittenTest(Case):
    """What weir reads while Python writes: an element whose type stays."""

    def watch(self, index, values, ms=700):
        """Sets the element to one value after the other while the peer reads it."""
        listed = self.python_list([1, 2.5, "text", b"bytes", True, None])
        self.assertEqual(self.peer.number("attach " + listed.shm.name), 0)
        listed[index] = values[0]
        process = self.peer.process
        process.stdin.write("watch %d %d\n%s\n%s\n" % (index, ms, encode(values[0]), encode(values[1])))
        process.stdin.flush()
        while not select.select([process.stdout], [], [], 0)[0]:
            for _ in range(100):
                listed[index] = values[0]
                listed[index] = values[1]
        calls, failed, zeros, others = map(int, self.peer.answer().split())
        self.assertGreater(calls, 100)
        self.assertEqual(failed, 0, "of %d" % calls)
        listed.shm.unlink()
        return zeros, others

    def test_int(self):
        zeros, others = self.watch(0, [222, 2**62])
        self.assertEqual(others, 0)
        print("%d zeros" % zeros)

    def test_float(self):
        self.assertEqual(self.watch(1, [1.5, -273.154])[1], 0)

    def test_bool(self):
        self.assertEqual(self.watch(4, [True, False])[1], 0)

    def test_none(self):
        self.assertEqual(self.watch(5, [None, None]), (0, 0))

    def test_str(self):
        self.watch(2, ["h\u00e4ndy", "\u20acuro"])    # a mixture can be no UTF-8 for a moment

    def test_bytes(self):
        self.watch(3, [b"aaaaaaa", b"bbb"])

    def test_killed_between_two_steps(self):
        listed = self.python_list([1, 2, 3])
        self.assertEqual(self.peer.number("attach " + listed.shm.name), 0)
        struct.pack_into("8s", listed.shm.buf, listed._offset_packing_formats + 8, b"")
        begin = time.monotonic()
        for command in ("get 1", "add 1 1", "format", "count n"):
            self.assertEqual(self.peer.number(command), -errno.EBADMSG)
        self.assertLess(time.monotonic() - begin, 2)
        self.assertEqual(self.peer.get(2), 3)
        self.assertEqual(self.peer.set(1, 5), 0)
        self.assertEqual(self.peer.get(1), 5)
        listed.shm.unlink()


class EqualityTest(Case):
    def test_index_and_count(self):
        values = [0, 1, -1, 2, True, False, None, 0.0, -0.0, 1.0, 1.5, math.nan, math.inf, -math.inf,
                  "", "1", "a", b"", b"1", b"a", "a\0b", b"a\0b", 2**53, 2**53 + 1, float(2**53),
                  2**63 - 1, -2**63, float(2**63), -float(2**63), 2**63 - 1024, float(2**63 - 1024),
                  5e-324, 1e300, "\u00e9", "\u00e9".encode()]
        name = self.name()
        self.assertEqual(self.peer.create(name, values), 0)
        listed = self.attach(name)
        for value in values:
            self.assertEqual(self.peer.number("count " + encode(value)), listed.count(value), value)
            try:
                expected = listed.index(value)
            except ValueError:
                expected = -errno.ENOENT
            self.assertEqual(self.peer.number("index " + encode(value)), expected, value)
        self.assertEqual(self.peer.number("unlink"), 0)


ATTACH = """
from multiprocessing.shared_memory import ShareableList
listed = ShareableList(name=%r)
assert list(listed)[3] == 100
listed[3] = 101
listed.shm.close()
"""

ATTACH_UNTRACKED = """
from multiprocessing.shared_memory import SharedMemory
shm = SharedMemory(%r, track=False)
shm.buf[0] = shm.buf[0]
shm.close()
"""

MAP = """
import mmap, os
fd = os.open("/dev/shm/" + %r, os.O_RDWR)
with mmap.mmap(fd, 0) as mapped:
    mapped[0] = mapped[0]
os.close(fd)
"""


class ForeignTest(Case):
    """Another Python that attaches a block and ends."""

    def run_python(self, program, name):
        done = subprocess.run([sys.executable, "-c", program % name], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def exists(self, name, seconds):
        """Whether the name is still there after that time; no longer waits than until it is gone."""
        end = time.monotonic() + seconds
        while os.path.exists("/dev/shm/" + name):
            if time.monotonic() > end:
                return True
            time.sleep(0.005)
        return False

    def check_alive(self):
        self.assertEqual(self.peer.get(3), 101)
        self.assertEqual(self.peer.set(0, "alive"), 0)
        self.assertEqual(self.peer.get(0), "alive")
        self.assertEqual(self.peer.number("add 3 1"), 0)
        self.assertEqual(self.peer.get(3), 102)

    def test_the_tracker_unlinks_the_block(self):
        name = self.name()
        self.assertEqual(self.peer.create(name, HOWDY), 0)
        self.run_python(ATTACH, name)
        if self.exists(name, 5):
            print("skipped: this Python's tracker leaves attached blocks alone")
            self.assertEqual(self.peer.number("unlink"), 0)
            return
        # The name is gone. weir works on, says so on unlinking, and can use the name again.
        self.check_alive()
        self.assertEqual(self.peer.number("unlink"), -errno.ENOENT)
        self.check_name_can_be_used_again(name)

    def check_name_can_be_used_again(self, name):
        other = Peer()
        self.assertEqual(other.create(name, [1]), 0)
        self.assertEqual(self.peer.number("unlink"), -errno.ENOENT)
        self.assertEqual(other.number("unlink"), 0)
        self.assertEqual(other.end(), 0)

    def test_mapping_the_file_leaves_the_block(self):
        name = self.name()
        self.assertEqual(self.peer.create(name, HOWDY), 0)
        self.run_python(MAP, name)
        self.assertTrue(self.exists(name, 0.3))
        self.assertEqual(self.peer.number("unlink"), 0)

    @unittest.skipIf(sys.version_info < (3, 13), "track=False is new in Python 3.13")
    def test_an_untracked_attach_leaves_the_block(self):
        name = self.name()
        self.assertEqual(self.peer.create(name, HOWDY), 0)
        self.run_python(ATTACH_UNTRACKED, name)
        self.assertTrue(self.exists(name, 0.3))
        self.assertEqual(self.peer.number("unlink"), 0)

    def test_a_killed_python_leaves_weirs_view_whole(self):
        name = self.name()
        self.assertEqual(self.peer.create(name, HOWDY), 0)
        program = (ATTACH % name).replace("listed.shm.close()",
                                          "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True)
        self.assertEqual(done.returncode, -9)
        gone = not self.exists(name, 1)
        self.check_alive()
        self.assertEqual(self.peer.number("unlink"), -errno.ENOENT if gone else 0)


if __name__ == "__main__":
    PEER = sys.argv[1]
    chosen = [name + "Test" for name in sys.argv[2:]] or None
    unittest.main(argv=[sys.argv[0]], defaultTest=chosen, verbosity=2)

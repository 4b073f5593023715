# SPDX-License-Identifier: MIT
"""CPython's own tests of shared memory and managers, with the classes of weir.py in place of Python's.

    cpython.py fork|spawn|forkserver

The tests are those of test._test_multiprocessing: of this Python (Debian: libpython3.N-testsuite), or in the folder
that WEIR_CPYTHON_TESTS names, in which a folder `test` is. Nothing of them is changed or copied; what stands between is
in Adapted..., and a test that does not apply is listed with its reason.
"""

import importlib
import multiprocessing
import multiprocessing.managers
import os
import re
import sys
import types
import unittest
from multiprocessing import shared_memory as stock

import weir

TRACKER = "is about Python's resource tracker, in programs that use Python's classes; weir has none"
NOT_APPLICABLE = {
    "test_shared_memory_SharedMemoryManager_reuses_resource_tracker": TRACKER,
    "test_shared_memory_cleaned_after_process_termination": TRACKER + " (door.py kills programs that use weir's)",
    "test_shared_memory_untracking": TRACKER,
    "test_shared_memory_tracking": TRACKER,
    "test_shared_memory_name_with_embedded_null": "changes a private attribute of a block that is open; weir has none",
}
# Of the tests of managers, those about dictionaries. Others are about what weir has not: lists that grow, locks, queues.
DICTIONARIES = {
    "test_dict": None,
    "test_dict_iter": "wants the order of insertion, and a RuntimeError where the dictionary changes; weir iterates on",
    "test_dict_isinstance": None,
    "test_dict_proxy_nested": "puts dictionaries into dictionaries",
}


def find_suite():
    """CPython's test module, or None."""
    given = os.environ.get("WEIR_CPYTHON_TESTS")
    if given and os.path.isfile(os.path.join(given, "test", "_test_multiprocessing.py")):
        import test
        test.__path__.insert(0, os.path.join(given, "test"))  # what is not there comes from this Python
    try:
        return importlib.import_module("test._test_multiprocessing")
    except (ImportError, unittest.SkipTest) as error:
        print("no tests of CPython:", error)
        return None


# ---- what the tests expect of Python's classes beyond their interface ----------------------------


class AdaptedMemory(weir.SharedMemory):
    """With `_name`, and names made by the function that the tests replace. `track` (3.13) changes nothing."""

    def __init__(self, name=None, create=False, size=0, *, track=True):
        if create and name is None:
            while True:
                try:
                    super().__init__(stock._make_filename().lstrip("/"), True, size)
                    return
                except FileExistsError:
                    pass
        super().__init__(name, create, size)

    @property
    def _name(self):
        return "/" + self.name


class AdaptedList(weir.ShareableList):
    """With the formats that stock Python gives: its "8s" is weir's "5s3x", which keeps the length.

    And with room for a str by the number of its characters, as stock Python has it (gh-88336); weir counts bytes.
    """

    def __init__(self, sequence=None, *, name=None):
        if sequence is not None:
            sequence = list(sequence)
            super().__init__(["x" * len(value) if isinstance(value, str) else value for value in sequence], name=name)
            for i, value in enumerate(sequence):
                self[i] = value
        else:
            super().__init__(name=name)

    FORMAT = re.compile(r"(\d+)s(?:(\d+)x)?|[qd]|x+\?x?")

    def _formats(self):
        return [found[0] if found[1] is None else "%ds" % (int(found[1]) + int(found[2] or 0))
                for found in self.FORMAT.finditer(super().format)]

    @property
    def format(self):
        return "".join(self._formats())

    def _get_packing_format(self, position):
        return self._formats()[position]

    def __reduce__(self):
        # A test compares the pickles' lengths, but weir's handle has the list's length and size in decimal.
        attach, (cls, text) = super().__reduce__()
        return attach, (cls, text.ljust(500))


class AdaptedManager:
    """SharedMemoryManager with start() and shutdown(), and SyncManager as far as it has dictionaries."""

    _scope = None

    def __init__(self, *_, **__):
        pass

    def start(self):
        self._scope = weir.scope()
        self._process = types.SimpleNamespace(pid=self._scope.manager_pid)

    def shutdown(self):
        self._scope.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.shutdown()

    def _begun(self):
        if self._scope is None:
            raise ValueError("the manager has not been started")
        return self._scope

    def SharedMemory(self, size):
        return self._begun().shm(size)

    def ShareableList(self, sequence):
        return self._begun().list(sequence)

    def dict(self, *arguments, **items):
        return self._begun().dict(dict(*arguments, **items))


suite = find_suite()
if suite is not None:
    # Also in the children that the tests start, as they import this file.
    suite.shared_memory = types.SimpleNamespace(
        SharedMemory=AdaptedMemory, ShareableList=AdaptedList, _USE_POSIX=True,
        _SHM_NAME_PREFIX=stock._SHM_NAME_PREFIX)
    multiprocessing.managers.SharedMemoryManager = AdaptedManager

    class SharedMemoryTests(suite._TestSharedMemory, suite.ProcessesMixin, unittest.TestCase):
        """All of them."""

    class ContainerTests(suite._TestContainers, suite.BaseTestCase, unittest.TestCase):
        """Dictionaries in one process."""

        def setUp(self):
            self.manager = AdaptedManager()
            self.manager.start()
            self.addCleanup(self.manager.shutdown)

        def dict(self, *arguments, **items):
            return self.manager.dict(*arguments, **items)

    class ManagerTests(suite.TestSyncManagerTypes):
        """Dictionaries that a child uses."""

        manager_class = AdaptedManager

        def wait_proc_exit(self):
            # The original waits until the manager is the only child; weir's manager is none.
            self.proc.join()


def applicable(cls, reasons, also_others):
    """The tests of a class, those that do not apply as skipped ones."""
    tests = unittest.TestSuite()
    for name in unittest.defaultTestLoader.getTestCaseNames(cls):
        if name not in reasons and not also_others:
            continue
        reason = reasons.get(name)
        if reason is not None:
            setattr(cls, name, unittest.skip(reason)(getattr(cls, name)))
        tests.addTest(cls(name))
    return tests


def main(method):
    if suite is None:
        print("skipped: CPython's tests are not here (libpython%d.%d-testsuite)" % sys.version_info[:2])
        return 77
    multiprocessing.set_start_method(method, force=True)
    tests = unittest.TestSuite([
        applicable(SharedMemoryTests, NOT_APPLICABLE, True),
        applicable(ContainerTests, DICTIONARIES, False),
        applicable(ManagerTests, DICTIONARIES, False)])
    before = set(os.listdir("/dev/shm"))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(tests)
    mine = [name for name in set(os.listdir("/dev/shm")) - before if name.endswith(str(os.getpid()))]
    print("%d tests of CPython's, %d of them do not apply; left: %s" % (result.testsRun, len(result.skipped), mine))
    if result.testsRun - len(result.skipped) < 8:
        print("fewer tests than there should be")
        return 1
    return 0 if result.wasSuccessful() and not mine else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

# SPDX-License-Identifier: MIT
"""weir: shared memory for several processes, gone when its program is gone, however that ends.

    import multiprocessing
    import weir

    def double(a, i):
        a[i] *= 2

    if __name__ == "__main__":
        with weir.scope() as s:
            a = s.array((4, 1000), "float64")       # a numpy.ndarray, all zeros
            a += 1
            with multiprocessing.Pool() as pool:    # spawn, fork and forkserver; also concurrent.futures and joblib
                pool.starmap(double, [(a, i) for i in range(4)])
            print(a.sum())                          # 8000.0

An object of a scope is pickled as its name, not as its contents: what a worker gets is the same memory. This module is
the door to the C library libweir, whose objects are the same (weir-scope.h, weir-shm.h); it has no pools of its own.

What a scope makes

    s.array(shape, dtype)   a numpy.ndarray; without NumPy an Array, whose items are those of a memoryview
    s.shm(size)             a SharedMemory, as multiprocessing.shared_memory has it: .name, .size, .buf
    s.list(values)          a ShareableList: fixed length; None, bool, int, float, str and bytes
    s.dict(items)           a Dict, as Manager().dict() but without a server: every call is atomic, and waits for nobody

How long what lives

    Names. When the `with` block ends, or its program, by whatever cause (SIGKILL too), the manager process of the scope
    takes every name of the scope out of /dev/shm. If the manager is killed the program does it, and if both are killed
    at once, the next weir.scope() of the same user. An object that is attached (by pickle, from_handle() or a name) is
    never unlinked by that, and Python's resource tracker knows of none of them.
    Memory. What an object has mapped stays mapped as long as the object, an array over it or a memoryview of it is
    there, also after close(), unlink() and the end of the scope: nothing that Python holds can point into nowhere.
    Processes. Only the process that began a scope ends it. A child by fork() may use the scope and end as it likes; a
    scope without a key can be pickled, and is then connected to.

Other programs

    with weir.scope(address="/run/user/1000/prices/door", key=b"secret") as s: ...      # one program
    with weir.connect("/run/user/1000/prices/door", key=b"secret") as s:                # another one
        d = s.attach("weir-4f47061b3000b605-1f")
    with weir.connect() as s:       # in what `weir run` has started, the scope of that: WEIR_ADDRESS names it

    text = d.handle()               # a line of JSON, which C programs read too
    d = weir.from_handle(text)      # the same object, or weir.NotFoundError when it is gone

SharedMemory, ShareableList, Array and Dict can also be made without a scope. Then they live until somebody unlinks
them, as POSIX has it, and a program that dies leaves them behind.

Which library is used: the file that the environment variable WEIR_LIBRARY names; or libweir.so.0 under the prefix that
this file is installed in; or the one that the system's linker finds. This file needs Python 3.8 and nothing else.

Errors of the system are weir.Error, which is an OSError; a wrong argument is a ValueError, TypeError or OverflowError,
a missing key or index a KeyError or IndexError, as in Python's own classes.
"""

from __future__ import annotations

import collections.abc
import ctypes
import ctypes.util
import errno
import json
import operator
import os
import secrets
import stat
import struct
import sys
import sysconfig
import tempfile
import weakref
from typing import (TYPE_CHECKING, Any, Callable, Dict as _Dict, Iterable, Iterator, List as _List, Mapping,
                    MutableMapping, NamedTuple, Optional, Sequence, Tuple, Type, TypeVar, Union)

if TYPE_CHECKING:
    import numpy as _np
    _Ndarray = _np.ndarray[Any, Any]
else:
    _Ndarray = Any

__version__ = "0.1.0"

__all__ = ["scope", "connect", "from_handle", "Scope", "Connection", "BlockInfo", "SharedMemory", "ShareableList",
           "Array", "Dict", "Error", "NotFoundError", "ExistsError", "AccessError", "TimedOutError", "RefusedError",
           "GoneError", "Key", "Value"]

Key = Union[str, bytes, int]
Value = Union[None, bool, int, float, str, bytes]

_SONAME = "libweir.so.0"


# ---- the library ----------------------------------------------------------------------------------------------------


def _libraries() -> Iterator[str]:
    """Where the library may be, the best place first."""
    given = os.environ.get("WEIR_LIBRARY")
    if given:
        yield given
        return
    folder = os.path.dirname(os.path.realpath(__file__))
    while folder != os.path.dirname(folder):
        # of PREFIX/lib/python3/dist-packages: PREFIX/lib
        if os.path.basename(folder) in ("lib", "lib64"):
            prefix = os.path.dirname(folder)
            multiarch = sysconfig.get_config_var("MULTIARCH") or ""
            for libdir in os.path.join("lib", multiarch), "lib", "lib64":
                path = os.path.join(prefix, libdir, _SONAME)
                if os.path.exists(path):
                    yield path
            break
        folder = os.path.dirname(folder)
    found = ctypes.util.find_library("weir")
    if found:
        yield found
    yield _SONAME


def _load() -> ctypes.CDLL:
    failures = []
    for path in _libraries():
        try:
            library = ctypes.CDLL(path)
            library.weir_version.restype = ctypes.c_char_p
            version = library.weir_version().decode()
        except (OSError, AttributeError) as error:
            failures.append(str(error))
            continue
        # the layouts below are of one minor version
        if version.split(".")[:2] != __version__.split(".")[:2]:
            raise ImportError("%s is weir %s, but this weir.py is of %s; set WEIR_LIBRARY to the path of a libweir.so "
                              "of that version" % (path, version, __version__))
        return library
    raise ImportError("cannot load weir's library; set WEIR_LIBRARY to the path of libweir.so, or LD_LIBRARY_PATH to "
                      "its folder. Tried: " + "; ".join(failures))


class _CError(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("worker", ctypes.c_int), ("pid", ctypes.c_int), ("signal", ctypes.c_int),
                ("exit_status", ctypes.c_int), ("attempt", ctypes.c_int), ("task_code", ctypes.c_int),
                ("range", ctypes.c_int64 * 2), ("message", ctypes.c_char * 768)]


# A weir_value. The third member is a union in C; an integer is passed by value as that union is.
class _CValue(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("size", ctypes.c_uint32), ("word", ctypes.c_int64)]


class _CText(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("size", ctypes.c_uint32), ("data", ctypes.c_char_p)]


class _CReal(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("size", ctypes.c_uint32), ("real", ctypes.c_double)]


class _CScopeOptions(ctypes.Structure):
    _fields_ = [("address_space", ctypes.c_size_t), ("timeout_ms", ctypes.c_int), ("address", ctypes.c_char_p),
                ("authkey", ctypes.c_char_p), ("authkey_size", ctypes.c_size_t), ("anonymous", ctypes.c_bool),
                ("dump_objects", ctypes.c_bool), ("reserved", ctypes.c_uint64 * 4)]


class _CBlockInfo(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 129), ("kind", ctypes.c_char * 16), ("pid", ctypes.c_int),
                ("size", ctypes.c_size_t), ("ino", ctypes.c_uint64)]


class _CDictOptions(ctypes.Structure):
    _fields_ = [("max_size", ctypes.c_size_t), ("reserved", ctypes.c_uint64 * 4)]


class _CCursor(ctypes.Structure):
    _fields_ = [("at", ctypes.c_uint64 * 2)]


_NONE, _BOOL, _INT, _FLOAT, _STR, _BYTES = range(6)

_lib = _load()


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_lib, name)
    function.restype = result
    function.argtypes = arguments
    return function


_P, _I, _I64, _SIZE, _S = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_size_t, ctypes.c_char_p
_VALUES = ctypes.POINTER(_CValue)
_SHAPE = ctypes.POINTER(ctypes.c_int64)

_last_error = _function("weir_last_error", ctypes.POINTER(_CError))
_free = ctypes.CDLL(None).free
_free.argtypes = [_P]
_free.restype = None

_scope_begin = _function("weir_scope_begin", _P, ctypes.POINTER(_CScopeOptions))
_scope_end = _function("weir_scope_end", _I, _P)
_scope_manager_pid = _function("weir_scope_manager_pid", _I, _P)
_scope_connect = _function("weir_scope_connect", _P, _S, _S, _SIZE)
_scope_disconnect = _function("weir_scope_disconnect", None, _P)
_scope_blocks = _function("weir_scope_blocks", _I64, _P, ctypes.POINTER(_CBlockInfo), _SIZE)
_scope_lookup = _function("weir_scope_lookup", _I, _P, _S, ctypes.POINTER(_CBlockInfo))
_scope_track = _function("weir_scope_track", _I, _P, _S)
_scope_release = _function("weir_scope_release", _I, _P, _S)
_scope_shm = _function("weir_scope_shm", _P, _P, _SIZE)
_scope_shm_named = _function("weir_scope_shm_named", _P, _P, _S, _SIZE)
_scope_list = _function("weir_scope_list", _P, _P, _VALUES, _SIZE)
_scope_list_named = _function("weir_scope_list_named", _P, _P, _S, _VALUES, _SIZE)
_scope_array = _function("weir_scope_array", _P, _P, _I, _I, _SHAPE, ctypes.c_uint)
_scope_array_named = _function("weir_scope_array_named", _P, _P, _S, _I, _I, _SHAPE, ctypes.c_uint)
_scope_dict = _function("weir_scope_dict", _P, _P, ctypes.POINTER(_CDictOptions))
_scope_dict_named = _function("weir_scope_dict_named", _P, _P, _S, ctypes.POINTER(_CDictOptions))

_shm_create = _function("weir_shm_create", _P, _S, _SIZE, ctypes.c_uint)
_shm_buf = _function("weir_shm_buf", _P, _P)
_shm_size = _function("weir_shm_size", _SIZE, _P)
_shm_name = _function("weir_shm_name", _S, _P)
_shm_unlink = _function("weir_shm_unlink", _I, _P)

_list_create = _function("weir_list_create", _P, _S, _VALUES, _SIZE)
_list_len = _function("weir_list_len", _I64, _P)
_list_get = _function("weir_list_get", _I, _P, _I64, _VALUES)
_list_set = _function("weir_list_set", _I, _P, _I64, _CValue)
_list_add = _function("weir_list_add", _I, _P, _I64, _I64, _SHAPE)
_list_index = _function("weir_list_index", _I64, _P, _CValue)
_list_count = _function("weir_list_count", _I64, _P, _CValue)
_list_format = _function("weir_list_format", _I64, _P, _P, _SIZE)

_array_create = _function("weir_array_create", _P, _S, _I, _I, _SHAPE, ctypes.c_uint)
_array_attach_raw = _function("weir_array_attach_raw", _P, _S, _I, _I, _SHAPE)
_array_data = _function("weir_array_data", _P, _P)
_array_dtype = _function("weir_array_dtype", _I, _P)
_array_ndim = _function("weir_array_ndim", _I, _P)
_array_shape = _function("weir_array_shape", _SHAPE, _P)
_array_item_size = _function("weir_array_item_size", _SIZE, _P)
_array_len = _function("weir_array_len", _I64, _P)

_dict_create = _function("weir_dict_create", _P, _S, ctypes.POINTER(_CDictOptions))
_dict_get = _function("weir_dict_get", _I, _P, _CValue, _VALUES, _P, _SIZE)
_dict_contains = _function("weir_dict_contains", _I, _P, _CValue)
_dict_set = _function("weir_dict_set", _I, _P, _CValue, _CValue)
_dict_setdefault = _function("weir_dict_setdefault", _I, _P, _CValue, _CValue, _VALUES, _P, _SIZE)
_dict_add = _function("weir_dict_add", _I, _P, _CValue, _I64, _SHAPE)
_dict_compare_and_set = _function("weir_dict_compare_and_set", _I, _P, _CValue, _SHAPE, _I64)
_dict_delete = _function("weir_dict_delete", _I, _P, _CValue)
_dict_pop = _function("weir_dict_pop", _I, _P, _CValue, _VALUES, _P, _SIZE)
_dict_popitem = _function("weir_dict_popitem", _I, _P, _VALUES, _VALUES, _P, _SIZE)
_dict_next = _function("weir_dict_next", _I, _P, ctypes.POINTER(_CCursor), _VALUES, _VALUES, _P, _SIZE)
_dict_len = _function("weir_dict_len", _I64, _P)
_dict_clear = _function("weir_dict_clear", _I, _P)
_dict_update = _function("weir_dict_update", _I, _P, _P)


# ---- errors ---------------------------------------------------------------------------------------------------------


class Error(OSError):
    """A failure of the system or of a shared object: `errno`, and a message that says what was needed and found.

    Its subclasses are those of OSError that Python has, too: NotFoundError is a FileNotFoundError, and so on.
    """


class NotFoundError(Error, FileNotFoundError):
    """ENOENT: no such name, or the object that a handle or a pickle stands for is gone."""


class ExistsError(Error, FileExistsError):
    """EEXIST: the name is taken; what has it is left alone."""


class AccessError(Error, PermissionError):
    """EPERM, EACCES: the block is another user's, or the key is wrong."""


class TimedOutError(Error, TimeoutError):
    """ETIMEDOUT: the manager did not answer."""


class RefusedError(Error, ConnectionRefusedError):
    """ECONNREFUSED: nobody listens at that address any more."""


class GoneError(Error, BrokenPipeError):
    """EPIPE, ESTALE: the manager has died, or the scope is over."""


_ERRORS: _Dict[int, Type[Error]] = {
    errno.ENOENT: NotFoundError, errno.EEXIST: ExistsError, errno.EPERM: AccessError, errno.EACCES: AccessError,
    errno.ETIMEDOUT: TimedOutError, errno.ECONNREFUSED: RefusedError, errno.EPIPE: GoneError, errno.ESTALE: GoneError}


def _message() -> str:
    return str(_last_error().contents.message.decode("utf-8", "replace"))


def _failure(code: int = 0) -> Exception:
    """The exception for this thread's last failure; `code` is what the call returned, if it returns one."""
    number = -(code or _last_error().contents.code)
    text = _message()
    if number in (errno.EINVAL, errno.E2BIG):
        return ValueError(text)
    if number == errno.ERANGE:
        return IndexError(text)
    if number == errno.EOVERFLOW:
        return OverflowError(text)
    return _ERRORS.get(number, Error)(number, text or os.strerror(number))


def _made(pointer: Optional[int]) -> int:
    if not pointer:
        raise _failure()
    return pointer


# ---- values ---------------------------------------------------------------------------------------------------------


def _text(value: Union[str, bytes, bytearray]) -> _CValue:
    if isinstance(value, str):
        kind, data = _STR, value.encode()
    else:
        kind, data = _BYTES, bytes(value)
    if len(data) > 0xffffffff:
        raise ValueError("a value of %d bytes is too long" % len(data))
    return _CValue.from_buffer(_CText(kind, len(data), data))  # which holds the bytes


def _number(value: int) -> _CValue:
    if not -1 << 63 <= value < 1 << 63:
        raise OverflowError("%d does not fit into 64 bits" % value)
    return _CValue(_INT, 0, value)


def _value(value: Any) -> _CValue:
    """The C value of a Python one. It holds what it points to."""
    if value is None:
        return _CValue(_NONE, 0, 0)
    if isinstance(value, bool):
        return _CValue(_BOOL, 0, int(value))
    if isinstance(value, int):
        return _number(value)
    if isinstance(value, float):
        return _CValue.from_buffer(_CReal(_FLOAT, 0, value))
    if isinstance(value, (str, bytes, bytearray)):
        return _text(value)
    if type(value).__name__ in ("bool_", "bool"):  # NumPy's
        return _CValue(_BOOL, 0, int(bool(value)))
    try:
        return _number(operator.index(value))
    except TypeError:
        raise TypeError("a value can be None, bool, int, float, str or bytes, not " + type(value).__name__) from None


def _key(key: Any) -> _CValue:
    if isinstance(key, (str, bytes)):
        return _text(key)
    if isinstance(key, int) and not isinstance(key, bool):
        return _number(key)
    try:
        if not isinstance(key, bool):
            return _number(operator.index(key))
    except TypeError:
        pass
    raise TypeError("a key can be str, bytes or int, not " + type(key).__name__)


def _values(values: Iterable[Any]) -> Tuple[Any, int, Any]:
    """A C array of values, its length, and what has to be kept as long as it is used."""
    held = [_value(value) for value in values]
    return (_CValue * len(held))(*held), len(held), held


def _python(value: _CValue) -> Any:
    """The Python value of a C one, whose bytes are copied."""
    kind = value.type
    if kind == _INT:
        return value.word
    if kind == _NONE:
        return None
    if kind == _BOOL:
        return bool(value.word & 0xff)
    if kind == _FLOAT:
        return struct.unpack("d", struct.pack("q", value.word))[0]
    data = ctypes.string_at(value.word, value.size) if value.size else b""
    return data.decode() if kind == _STR else data


def _name(name: Optional[str]) -> Optional[bytes]:
    if name is None:
        return None
    if not isinstance(name, str):
        raise TypeError("a name is a str, not " + type(name).__name__)
    if "\0" in name:
        raise ValueError("embedded null character in a name")
    return os.fsencode(name)


def _size(size: int, what: str = "a size") -> int:
    size = operator.index(size)
    if not 0 < size < 1 << 63:
        raise ValueError("%s is a positive number, not %d" % (what, size))
    return size


# ---- objects --------------------------------------------------------------------------------------------------------


class _Handle:
    """A C handle. Whoever uses it holds it, so it is closed when nobody does: no call can meet a closed one."""

    __slots__ = ("pointer", "_close", "__weakref__")

    def __init__(self, pointer: int, close: Callable[[int], None]) -> None:
        self.pointer = pointer
        self._close = close

    def __del__(self) -> None:
        self._close(self.pointer)


class _Mapped(NamedTuple):
    """What the C library has for a kind of object."""

    close: Callable[[int], None]
    shm: Callable[[int], int]
    to_json: Callable[[int], int]
    from_json: Callable[[bytes], int]
    attach: Callable[[Optional[bytes]], int]
    scope_attach: Callable[[int, Optional[bytes]], int]


def _mapped(kind: str) -> _Mapped:
    return _Mapped(
        _function("weir_%s_close" % kind, None, _P),
        _function("weir_%s_shm" % kind, _P, _P) if kind != "shm" else (lambda pointer: pointer),
        _function("weir_%s_to_json" % kind, _P, _P),
        _function("weir_%s_from_json" % kind, _P, _S),
        _function("weir_%s_attach" % kind, _P, _S),
        _function("weir_scope_attach_" + kind, _P, _P, _S))


_Self = TypeVar("_Self", bound="_Object")


class _Object:
    """What blocks, lists, arrays and dictionaries have in common."""

    _c: _Mapped
    _handle: Optional[_Handle]
    _json: Optional[str]
    _scope: Any
    _block_name: str
    _block_size: int

    def _adopt(self, pointer: int, scope: Any = None) -> None:
        handle = _Handle(pointer, self._c.close)
        block = self._c.shm(pointer)
        self._block_name = os.fsdecode(_shm_name(block))
        self._block_size = _shm_size(block)
        self._json = None
        self._scope = scope  # which lives at least as long
        self._handle = handle

    @classmethod
    def _wrap(cls: Type[_Self], pointer: Optional[int], scope: Any = None) -> _Self:
        self = cls.__new__(cls)
        self._adopt(_made(pointer), scope)
        return self

    @classmethod
    def _from_json(cls: Type[_Self], text: str) -> _Self:
        return cls._wrap(cls._c.from_json(text.encode()))

    def _open(self) -> _Handle:
        handle = self._handle
        if handle is None:
            raise ValueError("the object %s is closed" % self._block_name)
        return handle

    @property
    def name(self) -> str:
        """The name of the block in /dev/shm. It stays the same after unlink() and close()."""
        return self._block_name

    @property
    def size(self) -> int:
        """The size of the block in bytes."""
        return self._block_size

    def handle(self) -> str:
        """The object as a line of JSON, for from_handle() in any process of this user, and for C programs.

        It does not keep the object alive.
        """
        if self._json is None:
            handle = self._open()
            text = _made(self._c.to_json(handle.pointer))
            try:
                self._json = ctypes.string_at(text).decode()
            finally:
                _free(text)
        return self._json

    def close(self) -> None:
        """Gives the object up in this process; its name stays. Closing twice is the same as once.

        The memory is unmapped when no array or memoryview of it is left. Calling it is optional: an object that nothing
        refers to is closed.
        """
        if self._handle is not None:
            try:
                self.handle()  # for unlink() and pickle
            except (Error, ValueError):
                pass
            self._handle = None

    def unlink(self) -> None:
        """Removes the name, in any process, and before or after close(). What is mapped stays usable.

        NotFoundError: the name is gone, or is another block's by now.
        """
        handle = self._handle
        if handle is None:
            if self._json is None:
                raise ValueError("the object %s is closed" % self._block_name)
            handle = _Handle(_made(self._c.from_json(self._json.encode())), self._c.close)
        code = _shm_unlink(self._c.shm(handle.pointer))
        if code < 0:
            raise _failure(code)

    def __reduce__(self) -> Any:
        return _attached, (type(self), self.handle())

    def __repr__(self) -> str:
        return "weir.%s(%r, size=%d)" % (type(self).__name__, self.name, self.size)


def _attached(cls: Type[_Self], text: str) -> _Self:
    return cls._from_json(text)


def _memory(handle: _Handle, address: int, size: int) -> Any:
    """Mapped memory as an object with the buffer protocol. Whatever views it holds it, and it holds the mapping."""
    memory = (ctypes.c_ubyte * size).from_address(address)
    memory.handle = handle  # type: ignore[attr-defined]
    return memory


class SharedMemory(_Object):
    """A block of shared memory, with the interface of multiprocessing.shared_memory.SharedMemory.

    SharedMemory(name) attaches; SharedMemory(name, create=True, size=n) and SharedMemory(create=True, size=n) make a
    block of their own, which lives until somebody unlinks it. Scope.shm() makes one that goes with the scope.
    """

    _c = _mapped("shm")
    _view: Optional[memoryview] = None

    def __init__(self, name: Optional[str] = None, create: bool = False, size: int = 0) -> None:
        if create:
            self._adopt(_made(_shm_create(_name(name), _size(size), 0)))
        elif name is None:
            raise ValueError("a block without a name can only be made (create=True)")
        else:
            self._adopt(_made(self._c.attach(_name(name))))

    @property
    def buf(self) -> memoryview:
        """The memory. A view of it (a slice, an array) keeps the memory mapped; close() releases `buf` itself."""
        if self._view is None:
            handle = self._open()
            self._view = memoryview(_memory(handle, _shm_buf(handle.pointer), self._block_size)).cast("B")
        return self._view

    def close(self) -> None:
        """Gives the block up in this process; its name stays. Closing twice is the same as once.

        Arrays and memoryviews over the memory stay valid, other than with multiprocessing.shared_memory, where using
        one is a crash; the memory is unmapped with the last of them.
        """
        super().close()
        view, self._view = self._view, None
        if view is not None:
            try:
                view.release()
            except BufferError:  # something is over it, and keeps it
                pass


class _Part(SharedMemory):
    """The block of a list, array or dictionary, which closes together with it."""

    def __init__(self, whole: _Object) -> None:  # pylint: disable=super-init-not-called
        self._whole = whole
        self._block_name = whole.name
        self._block_size = whole.size

    def _open(self) -> _Handle:
        return self._whole._open()

    @property
    def buf(self) -> memoryview:
        """The memory of the block, the object's own records among it."""
        if self._view is None:
            handle = self._open()
            address = _shm_buf(self._whole._c.shm(handle.pointer))
            self._view = memoryview(_memory(handle, address, self._block_size)).cast("B")
        return self._view

    def handle(self) -> str:
        """The whole object's handle."""
        return self._whole.handle()

    def close(self) -> None:
        """Closes the whole object."""
        self._handle = None
        super().close()
        self._whole.close()

    def unlink(self) -> None:
        """Unlinks the whole object."""
        self._whole.unlink()

    def __reduce__(self) -> Any:
        return _Part, (self._whole,)


class ShareableList(_Object):
    """A list of fixed length, with the interface and layout of multiprocessing.shared_memory.ShareableList.

    ShareableList(sequence, name=None) makes one of its own, which lives until somebody unlinks it; ShareableList(name=x)
    attaches. Scope.list() makes one that goes with the scope.

    Elements are None, bool, int (64 bits), float, str and bytes. An element can change its type. A str or bytes element
    has room for as many bytes as fit into the multiple of 8 above its first value, other types have 8. What CPython
    gets wrong is right here: NULs at the end are kept, and str are measured in bytes.

    An int that stays an int is set in one atomic step; add() is atomic too. Other changes of an element are not, so
    processes that write the same element have to agree. Different elements are independent.
    """

    _c = _mapped("list")

    def __init__(self, sequence: Optional[Iterable[Value]] = None, *, name: Optional[str] = None) -> None:
        if name is not None and sequence is None:
            self._adopt(_made(self._c.attach(_name(name))))
            return
        values, count, _held = _values(() if sequence is None else sequence)
        self._adopt(_made(_list_create(_name(name), values, count)))

    @property
    def shm(self) -> SharedMemory:
        """The block that the list is in; to close or unlink it is to close or unlink the list."""
        return _Part(self)

    @property
    def format(self) -> str:
        """The struct formats of all elements, joined. For a str or bytes of 5 bytes it is "5s3x", where CPython has
        "8s": that keeps the length."""
        handle = self._open()
        size = 4096
        while True:
            text = ctypes.create_string_buffer(size)
            length = _list_format(handle.pointer, text, size)
            if length < 0:
                raise _failure(length)
            if length < size:
                return text.value.decode()
            size = length + 1

    def __len__(self) -> int:
        return int(_list_len(self._open().pointer))

    def __getitem__(self, position: int) -> Value:
        handle = self._open()
        out = _CValue()
        code = _list_get(handle.pointer, _position(position), out)
        if code < 0:
            raise _failure(code)
        value: Value = _python(out)
        return value

    def __setitem__(self, position: int, value: Value) -> None:
        handle = self._open()
        code = _list_set(handle.pointer, _position(position), _value(value))
        if code == -errno.E2BIG:
            raise ValueError("exceeds available storage: " + _message())
        if code < 0:
            raise _failure(code)

    def __iter__(self) -> Iterator[Value]:
        for i in range(len(self)):
            yield self[i]

    def __reversed__(self) -> Iterator[Value]:
        for i in reversed(range(len(self))):
            yield self[i]

    def __contains__(self, value: object) -> bool:
        return self._find(_list_index, value) is not None

    def _find(self, function: Callable[..., int], value: object) -> Optional[int]:
        handle = self._open()
        try:
            wanted = _value(value)
        except (TypeError, OverflowError):  # such a value cannot be in it
            return None
        found = function(handle.pointer, wanted)
        if found == -errno.ENOENT:
            return None
        if found < 0:
            raise _failure(found)
        return found

    def add(self, position: int, delta: int = 1) -> int:
        """Adds to an int in one atomic step, and gives the sum. ValueError if it is not an int."""
        handle = self._open()
        after = ctypes.c_int64()
        code = _list_add(handle.pointer, _position(position), _number(operator.index(delta)).word, after)
        if code < 0:
            raise _failure(code)
        return after.value

    def index(self, value: Value) -> int:
        """The first position of the value; ValueError if it is not there. 1, 1.0 and True are equal, as in Python."""
        found = self._find(_list_index, value)
        if found is None:
            raise ValueError("%r is not in the list" % (value,))
        return found

    def count(self, value: Value) -> int:
        """How many elements are equal to the value."""
        return self._find(_list_count, value) or 0

    def __repr__(self) -> str:
        if self._handle is None:
            return "weir.ShareableList(name=%r, closed)" % self.name
        return "weir.ShareableList(%s, name=%r)" % (list(self), self.name)


def _position(position: Any) -> int:
    try:
        number = operator.index(position)
    except TypeError:
        raise TypeError("a position is an int, not " + type(position).__name__) from None
    if not -1 << 63 <= number < 1 << 63:
        raise IndexError("there is no element %d" % number)
    return number


# ---- arrays ---------------------------------------------------------------------------------------------------------

# NumPy's names, in weir's order from 1 on; struct's letter for each, None where memoryview has none.
_DTYPES: _Dict[str, Tuple[int, Optional[str]]] = {
    name: (number, letter) for number, (name, letter) in enumerate(
        [("bool", "?"), ("int8", "b"), ("int16", "h"), ("int32", "i"), ("int64", "q"), ("uint8", "B"), ("uint16", "H"),
         ("uint32", "I"), ("uint64", "Q"), ("float32", "f"), ("float64", "d"), ("complex64", None),
         ("complex128", None)], 1)}
_DTYPE_NAMES = {number: name for name, (number, _) in _DTYPES.items()}
# Further names that need no NumPy.
_ALIASES = {"?": "bool", "b1": "bool", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64", "u1": "uint8",
            "u2": "uint16", "u4": "uint32", "u8": "uint64", "f4": "float32", "f8": "float64", "c8": "complex64",
            "c16": "complex128", "b": "int8", "h": "int16", "i": "int32", "q": "int64", "B": "uint8", "H": "uint16",
            "I": "uint32", "Q": "uint64", "f": "float32", "d": "float64", "float": "float64", "int": "int64",
            "complex": "complex128"}

_NPY, _LAZY, _HUGE = 2, 1, 4


def _numpy() -> Any:
    """NumPy, or None where there is none."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def _dtype(dtype: Any) -> int:
    """The library's number of a type."""
    name = None
    if isinstance(dtype, str):
        name = _ALIASES.get(dtype, dtype)
    elif dtype in (float, int, bool, complex):
        name = _ALIASES.get(dtype.__name__, dtype.__name__)
    if name in _DTYPES:
        return _DTYPES[name][0]
    numpy = _numpy()
    if numpy is not None:
        wanted = numpy.dtype(dtype)  # its own TypeError
        if wanted.isnative and wanted.names is None and wanted.name in _DTYPES:
            return _DTYPES[wanted.name][0]
    raise TypeError("an array's type is one of %s, in this machine's byte order, not %r" % (", ".join(_DTYPES), dtype))


def _shape(shape: Union[int, Sequence[int]]) -> Tuple[Any, int]:
    """The C array of a shape, and its length."""
    try:
        lengths = [operator.index(shape)]  # type: ignore[arg-type]
    except TypeError:
        lengths = [operator.index(length) for length in shape]  # type: ignore[union-attr]
    for length in lengths:
        if not 0 <= length < 1 << 63:
            raise ValueError("a length of an array is from 0 on, not %d" % length)
    return (ctypes.c_int64 * max(len(lengths), 1))(*lengths), len(lengths)


def _array_flags(header: bool, lazy: bool, huge: bool) -> int:
    return (_NPY if header else 0) | (_LAZY if lazy else 0) | (_HUGE if huge else 0)


class Array(_Object):
    """An array of one type, in a block of its own.

    Array(name) attaches an array that has a .npy header, and Array(name, shape, dtype) a block whose items begin at its
    first byte. Array(name, shape, dtype, create=True) makes one, which lives until somebody unlinks it; the name may be
    None. Scope.array() makes one that goes with the scope.

    `ndarray` is the live array for NumPy. Without NumPy the items are a[i] or a[i, j], and `view` is a memoryview.
    Processes that write the same item, or read it meanwhile, have to agree among themselves.
    """

    _c = _mapped("array")
    _shape: Tuple[int, ...]
    _dtype: str

    def __init__(self, name: Optional[str] = None, shape: Union[None, int, Sequence[int]] = None,
                 dtype: Any = "float64", create: bool = False, *, header: bool = True, lazy: bool = False,
                 huge: bool = False) -> None:
        if create:
            if shape is None:
                raise ValueError("an array that is made needs a shape")
            lengths, ndim = _shape(shape)
            self._adopt(_made(_array_create(_name(name), _dtype(dtype), ndim, lengths,
                                            _array_flags(header, lazy, huge))))
        elif name is None:
            raise ValueError("an array without a name can only be made (create=True)")
        elif shape is None:
            self._adopt(_made(self._c.attach(_name(name))))
        else:
            lengths, ndim = _shape(shape)
            self._adopt(_made(_array_attach_raw(_name(name), _dtype(dtype), ndim, lengths)))

    def _adopt(self, pointer: int, scope: Any = None) -> None:
        super()._adopt(pointer, scope)
        ndim = _array_ndim(pointer)
        self._shape = tuple(_array_shape(pointer)[:ndim]) if ndim else ()
        self._dtype = _DTYPE_NAMES[_array_dtype(pointer)]
        self._address = _array_data(pointer)
        self._nbytes = _array_len(pointer) * _array_item_size(pointer)

    @property
    def shape(self) -> Tuple[int, ...]:
        """The lengths of the axes."""
        return self._shape

    @property
    def dtype(self) -> str:
        """NumPy's name of the items' type."""
        return self._dtype

    @property
    def nbytes(self) -> int:
        """The size of all items in bytes."""
        return int(self._nbytes)

    @property
    def shm(self) -> SharedMemory:
        """The block that the array is in; to close or unlink it is to close or unlink the array."""
        return _Part(self)

    @property
    def view(self) -> memoryview:
        """The items as a memoryview of the array's shape, or of length 0. TypeError for complex numbers."""
        letter = _DTYPES[self._dtype][1]
        if letter is None:
            raise TypeError("memoryview has no complex numbers: NumPy is needed for " + self._dtype)
        plain = memoryview(_memory(self._open(), self._address, self._nbytes)).cast("B")
        if 0 in self._shape:
            return plain.cast(letter)
        return plain.cast(letter, list(self._shape))

    @property
    def ndarray(self) -> _Ndarray:
        """The live array as a numpy.ndarray, which is pickled as its name and not as its items. Needs NumPy."""
        array: _Ndarray = self._view(self._shape, self._dtype)
        return array

    def _view(self, shape: Tuple[int, ...], dtype: Any, offset: int = 0,
              strides: Optional[Tuple[int, ...]] = None) -> Any:
        numpy = _numpy()
        if numpy is None:
            raise ImportError("an ndarray needs NumPy")
        cls = _shared_array()
        memory = _memory(self._open(), self._address, self._nbytes)
        made = numpy.ndarray.__new__(cls, shape, dtype, memory, offset, strides)
        made.shared = self
        return made

    def _contains(self, address: int) -> bool:
        return bool(self._address <= address < self._address + self._nbytes)

    def __len__(self) -> int:
        if not self._shape:
            raise TypeError("len() of an array without axes")
        return self._shape[0]

    def __getitem__(self, index: Any) -> Any:
        return self.view[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.view[index] = value

    def __iter__(self) -> Iterator[Any]:
        return iter(self.view)

    def __repr__(self) -> str:
        return "weir.Array(%r, shape=%r, dtype=%r)" % (self.name, self.shape, self.dtype)


_shared_array_class: Any = None


def _shared_array() -> Any:
    """The class of shared ndarrays, which exists once NumPy has been needed."""
    global _shared_array_class  # pylint: disable=global-statement
    if _shared_array_class is not None:
        return _shared_array_class
    numpy = _numpy()

    class SharedArray(numpy.ndarray):  # type: ignore[misc, name-defined]
        """A numpy.ndarray over shared memory.

        It and every view of it (slices, transposed, other types) are pickled as the name of the array and what is seen
        of it, so they are the same memory in another process. What is computed from it is an ordinary ndarray.
        `shared` is the Array; None for a copy.
        """

        shared: Optional[Array]

        def __array_finalize__(self, source: Any) -> None:
            shared = getattr(source, "shared", None)
            if shared is not None and not shared._contains(self.__array_interface__["data"][0]):
                shared = None  # its results have memory of their own
            self.shared = shared

        def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
            if array is self:
                return array
            plain = array.view(numpy.ndarray)
            return plain if plain.shape else plain[()]

        def __getitem__(self, index: Any) -> Any:
            items = super().__getitem__(index)
            if type(items) is type(self) and items.shared is None:
                return items.view(numpy.ndarray)
            return items

        def __reduce_ex__(self, protocol: Any) -> Any:
            if self.shared is None:
                return self.view(numpy.ndarray).__reduce_ex__(protocol)
            offset = self.__array_interface__["data"][0] - self.shared._address
            return _attached_array, (self.shared.handle(), self.shape, self.dtype, offset, self.strides,
                                     self.flags.writeable)

        def __reduce__(self) -> Any:
            return self.__reduce_ex__(2)

        def _whole(self) -> Array:
            if self.shared is None:
                raise ValueError("this array is a copy, and not shared")
            return self.shared

        @property
        def name(self) -> str:
            """The name of the array's block in /dev/shm."""
            return self._whole().name

        def handle(self) -> str:
            """The whole array as a line of JSON, for from_handle()."""
            return self._whole().handle()

        def unlink(self) -> None:
            """Removes the name of the array's block. The array stays usable."""
            self._whole().unlink()

    SharedArray.__module__ = __name__
    SharedArray.__qualname__ = "SharedArray"
    _shared_array_class = SharedArray
    return SharedArray


def __getattr__(name: str) -> Any:
    if name == "SharedArray" and _numpy() is not None:
        return _shared_array()
    raise AttributeError("module %r has no attribute %r" % (__name__, name))


def _attached_array(text: str, shape: Tuple[int, ...], dtype: Any, offset: int, strides: Tuple[int, ...],
                    writeable: bool) -> Any:
    array = Array._from_json(text)._view(shape, dtype, offset, strides)
    array.flags.writeable = writeable
    return array


def _best(array: Array) -> Any:
    """The ndarray where there is NumPy, else the Array."""
    return array if _numpy() is None else array.ndarray


# ---- dictionaries ---------------------------------------------------------------------------------------------------

# Buffers for results, each used by one call at a time.
_buffers: _List[Any] = []
_BUFFER_SIZE = 4096


class _Buffer:
    """Memory for the str and bytes of a result, which are in it until the `with` block ends."""

    def __enter__(self) -> "_Buffer":
        try:
            self.data = _buffers.pop()
        except IndexError:
            self.data = ctypes.create_string_buffer(_BUFFER_SIZE)
        self.size = _BUFFER_SIZE
        return self

    def __exit__(self, *_: Any) -> None:
        if self.size == _BUFFER_SIZE and len(_buffers) < 16:
            _buffers.append(self.data)

    def fill(self, call: Callable[..., int], *arguments: Any, out: Tuple[_CValue, ...]) -> int:
        """The code of a call that gives these values; it is called again while they do not fit."""
        while True:
            code = call(*arguments, *out, self.data, self.size)
            if code != -errno.ENOBUFS:
                return code
            needed = sum(value.size + 1 for value in out if value.type in (_STR, _BYTES))
            self.size = max(needed, 2 * self.size)
            self.data = ctypes.create_string_buffer(self.size)


class _Items(collections.abc.ItemsView):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[Tuple[Key, Value]]:
        return self._mapping._pairs()  # type: ignore[attr-defined, no-any-return]


class _DictValues(collections.abc.ValuesView):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[Value]:
        return (value for _, value in self._mapping._pairs())  # type: ignore[attr-defined]

    def __contains__(self, wanted: object) -> bool:
        return any(value is wanted or value == wanted for value in self)


class Dict(_Object, MutableMapping[Key, Value]):
    """A dictionary in shared memory, with the methods of dict.

    Dict(name) attaches; Dict(name, create=True, max_size=n) makes one, which lives until somebody unlinks it; the name
    may be None. Scope.dict() makes one that goes with the scope.

    Keys are str, bytes and int (64 bits; not bool), values None, bool, int, float, str and bytes. Each call on one key
    is atomic among all processes, and no process waits for another, also not for one that was killed inside a call.
    `d[k] += 1` is two calls: use add(). update(), clear(), copy() and iterating are many.

    Iterating never fails when the dictionary changes meanwhile: keys that are there all the time come exactly once.
    The order is unspecified. len() counts the items, and so is slow for a large dictionary; bool() is not.
    """

    _c = _mapped("dict")

    def __init__(self, name: Optional[str] = None, create: bool = False, *, max_size: int = 0) -> None:
        if create:
            self._adopt(_made(_dict_create(_name(name), _dict_options(max_size))))
        elif name is None:
            raise ValueError("a dictionary without a name can only be made (create=True)")
        else:
            self._adopt(_made(self._c.attach(_name(name))))

    @property
    def shm(self) -> SharedMemory:
        """The block that the dictionary is in; to close or unlink it is to close or unlink the dictionary."""
        return _Part(self)

    def __getitem__(self, key: Key) -> Value:
        handle, out = self._open(), _CValue()
        with _Buffer() as buffer:
            code = buffer.fill(_dict_get, handle.pointer, _key(key), out=(out,))
            if code == 0:
                value: Value = _python(out)
                return value
        if code == -errno.ENOENT:
            raise KeyError(key)
        raise _failure(code)

    def __setitem__(self, key: Key, value: Value) -> None:
        code = _dict_set(self._open().pointer, _key(key), _value(value))
        if code < 0:
            raise _failure(code)

    def __delitem__(self, key: Key) -> None:
        code = _dict_delete(self._open().pointer, _key(key))
        if code == -errno.ENOENT:
            raise KeyError(key)
        if code < 0:
            raise _failure(code)

    def __contains__(self, key: object) -> bool:
        code = _dict_contains(self._open().pointer, _key(key))
        if code < 0:
            raise _failure(code)
        return bool(code)

    def __len__(self) -> int:
        count = _dict_len(self._open().pointer)
        if count < 0:
            raise _failure(count)
        return int(count)

    def __bool__(self) -> bool:
        return next(self._pairs(), None) is not None

    def _pairs(self) -> Iterator[Tuple[Key, Value]]:
        cursor, key, value = _CCursor(), _CValue(), _CValue()
        while True:
            handle = self._open()
            with _Buffer() as buffer:
                code = buffer.fill(_dict_next, handle.pointer, cursor, out=(key, value))
                if code == 0:
                    return
                if code < 0:
                    raise _failure(code)
                pair = _python(key), _python(value)
            yield pair

    def __iter__(self) -> Iterator[Key]:
        return (key for key, _ in self._pairs())

    def items(self) -> collections.abc.ItemsView:  # type: ignore[type-arg]
        """The items, as of dict. Iterating reads key and value at one instant."""
        return _Items(self)

    def values(self) -> collections.abc.ValuesView:  # type: ignore[type-arg]
        """The values, as of dict."""
        return _DictValues(self)

    def setdefault(self, key: Key, default: Value = None) -> Value:  # type: ignore[override]
        """The value of the key; if the key is new, it gets `default`. One atomic step."""
        handle, stored, out = self._open(), _value(default), _CValue()
        with _Buffer() as buffer:
            # of a key that is new, `out` leads to what `stored` has
            code = buffer.fill(_dict_setdefault, handle.pointer, _key(key), stored, out=(out,))
            if code >= 0:
                value: Value = _python(out)
                return value
        raise _failure(code)

    def pop(self, key: Key, *default: Value) -> Value:  # type: ignore[override]
        """Removes the key and gives its value; of several processes that pop one key, one gets it. One atomic step."""
        if len(default) > 1:
            raise TypeError("pop() takes a key and a default")
        handle, out = self._open(), _CValue()
        with _Buffer() as buffer:
            code = buffer.fill(_dict_pop, handle.pointer, _key(key), out=(out,))
            if code == 0:
                value: Value = _python(out)
                return value
        if code != -errno.ENOENT:
            raise _failure(code)
        if default:
            return default[0]
        raise KeyError(key)

    def popitem(self) -> Tuple[Key, Value]:
        """Removes any item and gives it; KeyError if there is none."""
        handle, key, value = self._open(), _CValue(), _CValue()
        with _Buffer() as buffer:
            code = buffer.fill(_dict_popitem, handle.pointer, out=(key, value))
            if code == 0:
                return _python(key), _python(value)
        if code == -errno.ENOENT:
            raise KeyError("the dictionary is empty")
        raise _failure(code)

    def add(self, key: Key, delta: int = 1) -> int:
        """Adds to an int in one atomic step, and gives the sum. A key that is not there counts as 0, and is made.

        TypeError if the value is not an int, OverflowError beyond 64 bits.
        """
        after = ctypes.c_int64()
        code = _dict_add(self._open().pointer, _key(key), _number(operator.index(delta)).word, after)
        if code == -errno.EINVAL:
            raise TypeError(_message())
        if code < 0:
            raise _failure(code)
        return after.value

    def compare_and_set(self, key: Key, expected: int, desired: int) -> bool:
        """Sets an int to `desired` if it is `expected`, in one atomic step; False if it is another number.

        KeyError if the key is not there, TypeError if its value is not an int.
        """
        found = ctypes.c_int64(_number(operator.index(expected)).word)
        code = _dict_compare_and_set(self._open().pointer, _key(key), found, _number(operator.index(desired)).word)
        if code == -errno.ENOENT:
            raise KeyError(key)
        if code == -errno.EINVAL:
            raise TypeError(_message())
        if code < 0:
            raise _failure(code)
        return bool(code)

    def clear(self) -> None:
        """Removes all items, one after the other; items that other processes store meanwhile may stay."""
        code = _dict_clear(self._open().pointer)
        if code < 0:
            raise _failure(code)

    def update(self, *others: Union[Mapping[Key, Value], Iterable[Tuple[Key, Value]]],  # type: ignore[override]
               **items: Value) -> None:
        """Stores all items of the others, one after the other."""
        if len(others) > 1:
            raise TypeError("update() takes one mapping or iterable, and keywords")
        if others and isinstance(others[0], Dict):
            source = others[0]._open()
            code = _dict_update(self._open().pointer, source.pointer)
            if code < 0:
                raise _failure(code)
            others = ()
        super().update(*others, **items)

    def copy(self) -> _Dict[Key, Value]:
        """The items as an ordinary dict."""
        return dict(self._pairs())

    def __ior__(self, other: Union[Mapping[Key, Value], Iterable[Tuple[Key, Value]]]) -> "Dict":
        self.update(other)
        return self


def _dict_options(max_size: int) -> _CDictOptions:
    options = _CDictOptions()
    options.max_size = _size(max_size, "max_size") if max_size else 0
    return options


_KINDS: _Dict[str, Type[_Object]] = {"shm": SharedMemory, "list": ShareableList, "array": Array, "dict": Dict}


def from_handle(text: str) -> Any:
    """Attaches the object that a line of JSON stands for: what handle() gives, or C's weir_..._to_json().

    The text may come from anybody: it has to be of that form exactly (ValueError), and the object has to be the same
    one (NotFoundError when it is gone or another has its name; Error with EBADMSG when it is damaged).
    An array is a numpy.ndarray where there is NumPy, else an Array.
    """
    if len(text) > 4096:
        raise ValueError("a handle has at most 4096 bytes")
    try:
        kind = json.loads(text)["kind"]
        cls = _KINDS[kind]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError("not the handle of a block, list, array or dictionary: %.100r" % (text,)) from None
    made = cls._from_json(text)
    return _best(made) if isinstance(made, Array) else made


# ---- scopes ---------------------------------------------------------------------------------------------------------


class BlockInfo(NamedTuple):
    """A block of a scope: `kind` is "shm", "list", "array", "dict" or "arena", `pid` the process that made it."""

    name: str
    kind: str
    pid: int
    size: int
    ino: int


def _block_info(block: _CBlockInfo) -> BlockInfo:
    return BlockInfo(os.fsdecode(block.name), block.kind.decode(), block.pid, block.size, block.ino)


class _Client:
    """A connection of this process to a manager, closed when nobody uses it."""

    def __init__(self, address: Optional[bytes], key: Optional[bytes]) -> None:
        self.pid = os.getpid()
        self.pointer = _made(_scope_connect(address, key, len(key) if key else 0))

    def __del__(self) -> None:
        # The copy that a forked child has is its parent's.
        if getattr(self, "pointer", None) and self.pid == os.getpid():
            _scope_disconnect(self.pointer)


class Connection:
    """A scope of another program, to which connect() has connected: makes, finds, and looks at its objects.

    What is made here belongs to the scope and goes with it, whether this program is still connected or not. A child of
    this process connects by itself when it first needs to. Threads may share a connection. At most 128 processes are
    connected to a scope at a time (Error with EBUSY); those that only use objects are not.
    """

    _ended = False
    _client_: Optional[_Client] = None

    def __init__(self, address: Optional[str] = None, key: Optional[bytes] = None) -> None:
        if address is None:
            # The library looks at the environment, and checks the key file; a child connects as was connected here.
            self._client_ = _Client(None, key)
            address = os.environ.get("WEIR_ADDRESS", "")
            file = os.environ.get("WEIR_KEY_FILE")
            if key is None and file:
                with open(file, "rb") as opened:
                    key = opened.read()
        self._address = address
        self._key = key
        self._client()

    def _client(self) -> _Client:
        if self._ended:
            raise ValueError("the scope has ended here")
        client = self._client_
        if client is None or client.pid != os.getpid():
            client = self._client_ = _Client(os.fsencode(self._address), self._key)
        return client

    @property
    def address(self) -> str:
        """Where programs of this user can connect()."""
        return self._address

    def _new(self, cls: Type[_Self], plain: Any, named: Any, name: Optional[str], *arguments: Any) -> _Self:
        client = self._client()
        encoded = _name(name)
        if encoded is None:
            return cls._wrap(plain(client.pointer, *arguments), self)
        return cls._wrap(named(client.pointer, encoded, *arguments), self)

    def shm(self, size: int, name: Optional[str] = None) -> SharedMemory:
        """Makes a block of `size` zero bytes. Its memory is reserved, so it cannot run out later."""
        return self._new(SharedMemory, _scope_shm, _scope_shm_named, name, _size(size))

    def list(self, values: Iterable[Value] = (), name: Optional[str] = None) -> ShareableList:
        """Makes a list of these values, whose length never changes."""
        array, count, _held = _values(values)
        return self._new(ShareableList, _scope_list, _scope_list_named, name, array, count)

    def array(self, shape: Union[int, Sequence[int]], dtype: Any = "float64", name: Optional[str] = None, *,
              header: bool = True, lazy: bool = False, huge: bool = False) -> _Ndarray:
        """Makes an array of zeros: a numpy.ndarray (of the class SharedArray), or without NumPy an Array.

        `dtype`: bool, an integer of 8 to 64 bits, a float of 32 or 64, a complex number of two such floats, by any name
        that NumPy has for it.
        `header`: begin the block with a .npy header, by which other programs know shape and type; then
        numpy.load("/dev/shm/NAME", mmap_mode="r+") is the live array, too.
        `lazy`: do not reserve the memory; then touching it when /dev/shm is full is a SIGBUS.
        `huge`: huge pages, where the system gives any.
        """
        lengths, ndim = _shape(shape)
        made: _Ndarray = _best(self._new(Array, _scope_array, _scope_array_named, name, _dtype(dtype), ndim, lengths,
                                         _array_flags(header, lazy, huge)))
        return made

    def dict(self, items: Union[Mapping[Key, Value], Iterable[Tuple[Key, Value]]] = (), name: Optional[str] = None, *,
             max_size: int = 0) -> Dict:
        """Makes a dictionary with these items. It can grow to `max_size` bytes, 64 MiB unless said otherwise, of which
        only the part in use takes memory."""
        made = self._new(Dict, _scope_dict, _scope_dict_named, name, _dict_options(max_size))
        try:
            made.update(items)
        except BaseException:
            made.unlink()
            raise
        return made

    def attach(self, name: str) -> Any:
        """Attaches an object of the scope by its name, whoever made it, as the kind that it is. NotFoundError: the
        scope has no such object. An array is a numpy.ndarray where there is NumPy, else an Array."""
        client = self._client()
        block = _CBlockInfo()
        encoded = _name(name)
        code = _scope_lookup(client.pointer, encoded, block)
        if code < 0:
            raise _failure(code)
        cls = _KINDS.get(block.kind.decode(), SharedMemory)
        made = cls._wrap(cls._c.scope_attach(client.pointer, encoded), self)
        return _best(made) if isinstance(made, Array) else made

    def blocks(self) -> _List[BlockInfo]:
        """The scope's blocks whose names are there, whoever made them."""
        client = self._client()
        room = 64
        while True:
            blocks = (_CBlockInfo * room)()
            count = _scope_blocks(client.pointer, blocks, room)
            if count < 0:
                raise _failure(count)
            if count <= room:
                return [_block_info(block) for block in blocks[:count]]
            room = count + 64

    def track(self, name: str) -> None:
        """Gives an existing block, list, array or dictionary of this user to the scope, which unlinks it at its end."""
        code = _scope_track(self._client().pointer, _name(name))
        if code < 0:
            raise _failure(code)

    def release(self, name: str) -> None:
        """Unlinks a block of the scope early."""
        code = _scope_release(self._client().pointer, _name(name))
        if code < 0:
            raise _failure(code)

    def close(self) -> None:
        """Disconnects. The scope and its objects stay as they are, also those made here."""
        self._ended = True
        self._client_ = None

    def __enter__(self: _Held) -> _Held:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __reduce__(self) -> Any:
        if self._key is not None:
            raise TypeError("a scope with a key is not pickled, as the key would be: connect(address, key) there")
        return Connection, (self._address,)

    def __repr__(self) -> str:
        return "<weir.%s at %s%s>" % (type(self).__name__, self._address, ", ended" if self._ended else "")


_Held = TypeVar("_Held", bound=Connection)


class Scope(Connection):
    """A scope that this program began, by scope(). It ends with its `with` block, by close(), or with the program.

    In a child by fork() the scope can be used, and close() only gives it up there. Pickled, it becomes a Connection.
    """

    def __init__(self, address: Optional[str] = None, key: Optional[bytes] = None, *, address_space: int = 0,
                 timeout: float = 5.0, dump_objects: bool = False) -> None:
        options = _CScopeOptions()
        options.address_space = _size(address_space, "address_space") if address_space else 0
        options.timeout_ms = max(1, int(timeout * 1000))
        options.dump_objects = dump_objects
        if key is not None:
            if address is None:
                raise ValueError("a key needs an address")
            options.authkey, options.authkey_size = key, len(key)
        self._folder: Optional[str] = None
        if address is None:
            pointer, address, self._folder = _begin_privately(options)
        else:
            options.address = _name(os.path.abspath(address))
            pointer = _made(_scope_begin(options))
        self._pointer = pointer
        self._pid = os.getpid()
        self._end = weakref.finalize(self, _end_scope, pointer, self._pid, self._folder)
        self._manager_pid = _scope_manager_pid(pointer)
        try:
            super().__init__(os.path.abspath(address), key)
        except BaseException:
            self._end()
            raise

    @property
    def manager_pid(self) -> int:
        """The process id of the scope's manager, for messages and tests."""
        return int(self._manager_pid)

    def close(self) -> None:
        """Ends the scope in the process that began it: every name goes. Closing twice is the same as once.

        Objects that are still held stay usable in memory. Error: a name could not be unlinked (the rest is gone all
        the same).
        """
        super().close()
        error = self._end()
        if error is not None:
            raise error


def _end_scope(pointer: int, pid: int, folder: Optional[str]) -> Optional[Exception]:
    """Ends a scope once, by close(), when it is collected, or when the interpreter ends; never in a forked child."""
    if pid != os.getpid():
        return None
    code = _scope_end(pointer)
    error = _failure(code) if code < 0 else None
    if folder is not None:
        try:
            os.rmdir(folder)
        except OSError:
            pass
    return error


def _begin_privately(options: _CScopeOptions) -> Tuple[int, str, Optional[str]]:
    """Begins a scope at an address of its own. The third result is a folder that goes with the scope."""
    base = "weir-%d-%s" % (os.getpid(), secrets.token_hex(6))
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    temporary = os.path.abspath(tempfile.gettempdir())
    folders = [runtime] if os.path.isabs(runtime) and _is_private(runtime) else []
    # It stays, for the next scope; the library makes it, and refuses another user's.
    folders += [os.path.join(place, "weir-%d" % os.getuid()) for place in (temporary, "/tmp")]
    for folder in folders:
        address = os.path.join(folder, base)
        options.address = os.fsencode(address)
        pointer = _scope_begin(options)
        if pointer:
            return pointer, address, None
        if _last_error().contents.code not in (-errno.EPERM, -errno.EACCES, -errno.EINVAL, -errno.ENAMETOOLONG,
                                               -errno.EROFS, -errno.ENOTDIR, -errno.EEXIST):
            raise _failure()
    # A socket's path has 107 bytes.
    folder = tempfile.mkdtemp(prefix="weir-", dir=temporary if len(os.fsencode(temporary)) < 80 else "/tmp")
    address = os.path.join(folder, "door")
    options.address = os.fsencode(address)
    pointer = _scope_begin(options)
    if not pointer:
        error = _failure()
        os.rmdir(folder)
        raise error
    return pointer, address, folder


def _is_private(folder: str) -> bool:
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) == 0o700


def _key_bytes(key: Optional[bytes]) -> Optional[bytes]:
    if key is not None and not isinstance(key, (bytes, bytearray, memoryview)):
        raise TypeError("a key is bytes, not " + type(key).__name__)
    return None if key is None else bytes(key)


def scope(address: Optional[str] = None, key: Optional[bytes] = None, *, address_space: int = 0, timeout: float = 5.0,
          dump_objects: bool = False) -> Scope:
    """Begins a scope: `with weir.scope() as s:`. What is made in it is gone with it.

    `address`: the path of a Unix socket to be made, by which other programs of this user connect(); in a folder of mode
    0700, which is made if it is not there. Without it one is chosen, in $XDG_RUNTIME_DIR or in /tmp/weir-UID.
    `key`: what they have to know, 1 to 1024 bytes; only with an address.
    `timeout`: seconds to wait for the manager to start or to end, after which this process acts by itself.
    `address_space`, `dump_objects`: as in weir_scope_options.
    Error: the manager program is not found (the environment variable WEIR_MANAGER can name it), or cannot start.
    """
    return Scope(address, _key_bytes(key), address_space=address_space, timeout=timeout, dump_objects=dump_objects)


def connect(address: Optional[str] = None, key: Optional[bytes] = None) -> Connection:
    """Connects to the scope of another program of this user, Python's or C's, by its address and key.

    Without an address it is what the environment variable WEIR_ADDRESS says, which `weir run` sets for the command that
    it runs; and if there is no key either, the key is what the file holds that WEIR_KEY_FILE names, if that is set.
    NotFoundError: no such socket or key file; RefusedError: nobody listens any more; AccessError: the key is wrong, it
    is another user's, or others may open the key file; ValueError: WEIR_ADDRESS is not set, or the key file is empty or
    too long.
    """
    return Connection(address, _key_bytes(key))

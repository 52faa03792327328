"""The fast kernel: Intel's ISA-L, the library that PyECLib's wheels carry, called through ctypes (docs/adr/0001).

Called directly rather than through PyECLib's driver, which wraps every fragment in an 80-byte header of its own and
copies it: ISA-L's ec_encode_data takes any matrix, so encoding and rebuilding are the same call on our own buffers,
without a copy, and without the GIL.
"""

import ctypes
import glob
import importlib.util
import os
from collections.abc import Sequence
from functools import lru_cache

from rustfs.core.buffers import Buffer
from rustfs.erasure.field import Matrix

_TABLE_BYTES_PER_FACTOR = 32


def load_isal() -> "IsalKernel | None":
    """The kernel, or None where PyECLib's wheel is not installed or carries no ISA-L."""
    spec = importlib.util.find_spec("pyeclib")
    if spec is None or not spec.submodule_search_locations:
        return None
    root = os.path.dirname(spec.submodule_search_locations[0])
    for path in sorted(glob.glob(os.path.join(glob.escape(root), "pyeclib.libs", "libisal*"))):
        try:
            library = ctypes.CDLL(path)
            if hasattr(library, "ec_encode_data") and hasattr(library, "ec_init_tables"):
                return IsalKernel(library)
        except OSError:
            continue
    return None


class IsalKernel:
    """See rustfs.erasure.codec.Kernel. Thread-safe: the library keeps no state."""

    name = "isa-l"
    fast = True

    def __init__(self, library: ctypes.CDLL) -> None:
        self._encode = library.ec_encode_data
        self._encode.restype = None
        self._encode.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int, *(ctypes.c_void_p,) * 3)
        init = library.ec_init_tables
        init.restype = None
        init.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)

        @lru_cache(maxsize=4096)
        def tables(matrix: Matrix) -> "ctypes.Array[ctypes.c_char]":
            rows, columns = len(matrix), len(matrix[0])
            table = ctypes.create_string_buffer(rows * columns * _TABLE_BYTES_PER_FACTOR)
            init(columns, rows, b"".join(bytes(row) for row in matrix), table)
            return table

        self._tables = tables

    def multiply(self, matrix: Matrix, shards: Sequence[Buffer], size_bytes: int) -> list[Buffer]:
        """See Kernel.multiply."""
        rows, columns = len(matrix), len(shards)
        kept: list[object] = []
        sources = (ctypes.c_void_p * columns)(*(_address(shard, kept) for shard in shards))
        output = bytearray(rows * size_bytes)
        base = ctypes.addressof(ctypes.c_char.from_buffer(output))
        targets = (ctypes.c_void_p * rows)(*(base + row * size_bytes for row in range(rows)))
        self._encode(size_bytes, columns, rows, self._tables(matrix), sources, targets)
        view = memoryview(output).toreadonly()
        return [view[row * size_bytes : (row + 1) * size_bytes] for row in range(rows)]


class _PyBuffer(ctypes.Structure):
    """CPython's Py_buffer (stable ABI since 3.11)."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (ctypes.POINTER(_PyBuffer),)
_release_buffer.restype = None


def _address(shard: Buffer, kept: list[object]) -> int | None:
    """Where the shard's bytes lie; `kept` holds what must outlive the use of the address."""
    if isinstance(shard, bytes):
        kept.append(shard)
        return ctypes.cast(ctypes.c_char_p(shard), ctypes.c_void_p).value
    pin = _PyBuffer()
    _get_buffer(shard, pin, 0)
    # The caller holds `shard`, and nobody resizes it meanwhile, so the address outlives the export.
    address: int | None = pin.buf
    _release_buffer(pin)
    kept.append(shard)
    return address

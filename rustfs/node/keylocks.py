"""The lock table that a node's workers share: one byte of a file for each key, locked through the kernel.

The kernel gives the locks of a dead worker back. Locks belong to the worker's open file, so a worker must not lock the
same key twice: its own contenders queue in `rustfs.objects.turns`.
"""

import fcntl
import hashlib
import os
import struct

_RANGE = struct.Struct("hhqqi4x")  # struct flock on 64-bit Linux: type, whence, start, length, process
_OFFSET_BITS = 62


class FileKeyLocks:
    """Exclusive locks by key, shared by the processes that opened the same path."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def try_lock(self, key: bytes) -> bool:
        """Lock without waiting. Whether it is ours now."""
        try:
            self._set(fcntl.F_WRLCK, key)
        except BlockingIOError:
            return False
        return True

    def unlock(self, key: bytes) -> None:
        """Give the lock back."""
        self._set(fcntl.F_UNLCK, key)

    def close(self) -> None:
        """Give all locks back."""
        os.close(self._descriptor)

    def _set(self, kind: int, key: bytes) -> None:
        digest = hashlib.blake2b(key, digest_size=8).digest()
        offset = int.from_bytes(digest, "little") >> (64 - _OFFSET_BITS)
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _RANGE.pack(kind, os.SEEK_SET, offset, 1, 0))

"""Writing past the page cache: a shard's bytes go to the disk from where they are gathered, whole chunks at a time.

What is about to be synced gains nothing from a copy in the page cache, and pays for it twice: in copying, and in pages
that the kernel has to find and the disk to be asked for one by one (docs/performance.md).
"""

import errno
import fcntl
import mmap
import os
from collections.abc import Sequence

from rustfs.core.buffers import Buffer

CHUNK_BYTES = 1 << 20  # a multiple of every disk's block, as are the offsets that whole chunks are written to
_DIRECT = getattr(os, "O_DIRECT", 0)  # 0: not Linux


class DirectWriter:
    """Appends to a file that is open for writing; its end is written by `flush`. Methods block, and raise OSError."""

    __slots__ = ("_chunk", "_descriptor", "_direct", "_filled")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._chunk = mmap.mmap(-1, CHUNK_BYTES)  # aligned, which direct writes ask for
        self._filled = 0
        self._direct = True

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append; nothing of the buffers is kept."""
        for buffer in buffers:
            rest = memoryview(buffer)
            while rest:
                piece = rest[: CHUNK_BYTES - self._filled]
                self._chunk[self._filled : self._filled + len(piece)] = piece
                self._filled += len(piece)
                rest = rest[len(piece) :]
                if self._filled == CHUNK_BYTES:
                    self._write_out()

    def flush(self) -> None:
        """Write the last, incomplete chunk, which may end anywhere: through the page cache."""
        if self._filled:
            self._through_the_cache()
            self._write_out()

    def _write_out(self) -> None:
        with memoryview(self._chunk) as view:
            position = 0
            while position < self._filled:
                try:
                    position += os.write(self._descriptor, view[position : self._filled])
                except OSError as error:
                    if error.errno != errno.EINVAL or not self._direct:
                        raise
                    self._through_the_cache()  # of another mind than when it was asked, or stopped within a block
        self._filled = 0

    def _through_the_cache(self) -> None:
        if self._direct:
            self._direct = False
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, 0)


def direct_writer(descriptor: int) -> DirectWriter | None:
    """A writer for an empty file, or None where its file system knows no direct writes."""
    if not _DIRECT:
        return None
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, _DIRECT)
    except OSError:
        return None
    return DirectWriter(descriptor)

"""Writing past the page cache: a shard's bytes go to the disk from where they are gathered, whole chunks at a time.

What is about to be synced gains nothing from a copy in the page cache, and pays for it twice: in copying, and in pages
that the kernel has to find and the disk to be asked for one by one (docs/performance.md). A direct write takes as long
as the disk does: it goes on in another thread while the next chunk is gathered, so that drives write side by side.
"""

import contextlib
import errno
import fcntl
import mmap
import os
from collections.abc import Sequence
from concurrent.futures import Executor, Future

from rustfs.core.buffers import Buffer

CHUNK_BYTES = 1 << 20  # a multiple of every disk's block, as are the offsets that whole chunks are written to
_DIRECT = getattr(os, "O_DIRECT", 0)  # 0: not Linux


class DirectWriter:
    """Appends to a file that is open for writing; its end is written by `flush`. Methods block, and raise OSError.

    A chunk's error may be raised by the next call only.
    """

    __slots__ = ("_chunk", "_descriptor", "_direct", "_executor", "_filled", "_spare", "_under_way", "_writing")

    def __init__(self, descriptor: int, executor: Executor) -> None:
        self._descriptor = descriptor
        self._executor = executor
        self._chunk = mmap.mmap(-1, CHUNK_BYTES)  # aligned, which direct writes ask for
        self._spare: mmap.mmap | None = None
        self._filled = 0
        self._direct = True
        self._writing: Future[None] | None = None
        self._under_way = self._chunk  # what `_writing` writes

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
                    self._write_behind()

    def flush(self) -> None:
        """Write what is left, up to an incomplete chunk, which may end anywhere: through the page cache."""
        self._settle()
        if self._filled:
            self._through_the_cache()
            self._put(self._chunk, self._filled)
            self._filled = 0

    def end(self) -> None:
        """Nothing is written any more when this returns. Never raises."""
        with contextlib.suppress(OSError):
            self._settle()

    def _write_behind(self) -> None:
        self._settle()
        self._under_way, self._filled = self._chunk, 0
        self._chunk, self._spare = self._spare or mmap.mmap(-1, CHUNK_BYTES), self._chunk
        self._writing = self._executor.submit(self._put, self._under_way, CHUNK_BYTES)

    def _settle(self) -> None:
        """Until the chunk before is written. Where no thread was free for it, by this one: they may all wait here."""
        writing, self._writing = self._writing, None
        if writing is None:
            return
        if writing.cancel():
            self._put(self._under_way, CHUNK_BYTES)
        else:
            writing.result()

    def _put(self, chunk: mmap.mmap, size_bytes: int) -> None:
        with memoryview(chunk) as view:
            position = 0
            while position < size_bytes:
                try:
                    position += os.write(self._descriptor, view[position:size_bytes])
                except OSError as error:
                    if error.errno != errno.EINVAL or not self._direct:
                        raise
                    self._through_the_cache()  # of another mind than when it was asked, or stopped within a block

    def _through_the_cache(self) -> None:
        if self._direct:
            self._direct = False
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, 0)


def direct_writer(descriptor: int, executor: Executor) -> DirectWriter | None:
    """A writer for an empty file, or None where its file system knows no direct writes."""
    if not _DIRECT:
        return None
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, _DIRECT)
    except OSError:
        return None
    return DirectWriter(descriptor, executor)

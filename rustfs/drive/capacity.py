"""How much room a drive has: measured now and then, and estimated from one measurement to the next."""

import asyncio
import logging
import os
from concurrent.futures import Executor

log = logging.getLogger("rustfs.drive")

RESERVE_BYTES_MAX = 256 << 20


class Capacity:
    """The space of one drive, a reserve of which is kept for deletions. Used by the event loop's thread."""

    def __init__(self, root: str, executor: Executor) -> None:
        self._root = root
        self._executor = executor
        self.total_bytes = self.free_bytes = self.reserve_bytes = 0
        self.full = False  # reads go on, writes are refused until there is room again

    @property
    def available_bytes(self) -> int:
        """What writes may still take."""
        return max(0, self.free_bytes - self.reserve_bytes)

    def has_room(self, size_bytes: int) -> bool:
        """See Drive.has_room."""
        return size_bytes + self.reserve_bytes <= self.free_bytes

    def take(self, size_bytes: int) -> None:
        """Count what is about to be written, until the next measurement."""
        self.free_bytes -= size_bytes

    def ran_out(self) -> None:
        """A write met the end of the space before a measurement did (a quota, another program)."""
        self.free_bytes = 0
        self._note_room()

    async def measure(self) -> None:
        """Ask the file system. Raises OSError, also for one that is mounted read-only."""
        status = await asyncio.get_running_loop().run_in_executor(self._executor, os.statvfs, self._root)
        if status.f_flag & os.ST_RDONLY:
            raise OSError(f"{self._root} is mounted read-only")
        self.total_bytes = status.f_blocks * status.f_frsize
        self.free_bytes = status.f_bavail * status.f_frsize
        self.reserve_bytes = min(RESERVE_BYTES_MAX, self.total_bytes // 50)
        self._note_room()

    def _note_room(self) -> None:
        full = not self.has_room(0)
        if full == self.full:
            return
        self.full = full
        if full:
            log.error("drive %s is full: it is read from, but takes no more writes", self._root)
        else:
            log.info("drive %s has room again", self._root)

"""What a drive is told without anybody waiting for it (versions chosen, keys to repair), gathered into few writes."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from rustfs.drive.transactions import Transaction

NOTES_SECONDS = 0.5
NOTES_PER_CALL = 256


class Notes:
    """The notes of one drive, which a crash loses. Used by the event loop's thread."""

    def __init__(
        self,
        write: "Callable[[Callable[[Transaction], None]], asyncio.Future[None]]",
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`write` has the drive's write thread do the work."""
        self._write = write
        self._loop = loop
        self._chosen: list[tuple[bytes, bytes, bytes, bool]] = []
        self._to_repair: set[tuple[bytes, bytes]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def note_chosen(self, bucket: bytes, key: bytes, stamp: bytes, superseded: bool) -> None:
        """See Drive.note_chosen."""
        self._chosen.append((bucket, key, stamp, superseded))
        self._plan()

    def queue_repair(self, bucket: bytes, key: bytes) -> None:
        """See Drive.queue_repair."""
        self._to_repair.add((bucket, key))
        self._plan()

    def _plan(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(NOTES_SECONDS, self.flush)

    def flush(self) -> None:
        """Hand over what was gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        chosen, self._chosen = self._chosen, []
        to_repair, self._to_repair = self._to_repair, set()
        chosen.sort()  # neighbours share pages
        for start in range(0, len(chosen), NOTES_PER_CALL):
            self._write(partial(_note_all, chosen[start : start + NOTES_PER_CALL])).add_done_callback(_forget_outcome)
        if to_repair:
            self._write(partial(_queue_all, sorted(to_repair))).add_done_callback(_forget_outcome)


def _note_all(notes: Sequence[tuple[bytes, bytes, bytes, bool]], transaction: Transaction) -> None:
    transaction.note_chosen(notes)
    transaction.count_versions()


def _queue_all(keys: Sequence[tuple[bytes, bytes]], transaction: Transaction) -> None:
    for bucket, key in keys:
        transaction.queue_repair(bucket, key)


def _forget_outcome(future: "asyncio.Future[None]") -> None:
    if not future.cancelled():
        future.exception()

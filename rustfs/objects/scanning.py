"""The decided contents of a range of keys, over all drives of a set, and over all sets in one order.

Nearly always the drives agree row by row, and then a page is decided by comparing lists. Where they differ, each key
is decided by the read rule, and what it leaves open is read (and completed) like any single key.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rustfs.core.errors import QuorumLost
from rustfs.core.ports import CHOSEN, TOMBSTONE, Held, Level, Mark, Scan, ScanPage
from rustfs.objects.decide import Verdict, decide, write_quorum_of
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import Fanout
from rustfs.objects.register import Register, newest_mark

SCAN_TIMEOUT_SECONDS = 20.0
ROWS_MIN = 32
ROWS_MAX = 1200
LAST = b"\xff"

Row = tuple[bytes, bytes, int, bytes]  # key, stamp, flags, record


class Window(NamedTuple):
    """Decided rows of one set, in key order; one stands for all keys of its common prefix."""

    rows: list[Row]  # live versions only
    more: bool
    resume: bytes
    mark: Mark


class Scanner:
    """Reads ranges of keys. One per process."""

    def __init__(self, register: Register) -> None:
        self._register = register

    async def window(self, drive_set: DriveSet, request: Scan, not_below: bytes) -> Window:
        """Decided rows from one round of scans. Raises QuorumLost."""
        pages = await self._pages(drive_set, request)
        first = next(iter(pages.values()))
        mark = newest_mark([page.mark for page in pages.values()])
        blank = frozenset(p for p in pages if drive_set.drives[p].healing)
        sure = len(pages) - len(blank)
        if not blank and _alike(list(pages.values())):
            rows = self._agreed(pages, sure, not_below)
            if rows is not None:
                return Window(rows, first.more, first.resume, mark)
        horizon = min((page.resume for page in pages.values() if page.more), default=None)
        rows = await self._decided(drive_set, request, pages, blank, horizon, not_below)
        return Window(rows, horizon is not None, horizon or b"", mark)

    async def _pages(self, drive_set: DriveSet, request: Scan) -> dict[int, ScanPage]:
        brief = request._replace(level=Level.STAMPS)
        calls = []
        full_asked = False
        for drive in drive_set.drives:
            if drive.online:
                # One drive sends the records; which one changes with the bucket, so that all share the work.
                calls.append((drive.position, drive.scan(brief if full_asked else request)))
                full_asked = full_asked or not drive.healing
        fan = Fanout(calls)

        def enough() -> bool:
            sure = [p for p in fan.answers if not drive_set.drives[p].healing]
            return len(sure) >= max(drive_set.read_quorum, drive_set.majority) and fan.complete

        await fan.wait(enough, SCAN_TIMEOUT_SECONDS)
        sure = [p for p in fan.answers if not drive_set.drives[p].healing]
        if len(sure) < drive_set.read_quorum:
            raise QuorumLost(f"too few drives of set {drive_set.index} answered to list")
        return dict(sorted(fan.answers.items()))

    def _agreed(self, pages: dict[int, ScanPage], copies: int, not_below: bytes) -> list[Row] | None:
        """The live rows where all drives hold the same, or None where that is not enough to decide one of them."""
        with_records = max(pages.values(), key=lambda page: bool(page.rows and page.rows[0][3]))
        live = []
        previous = b""
        for row in with_records.rows:
            key, stamp, flags, record = row
            if key == previous:
                continue
            previous = key
            if stamp < not_below:
                continue
            if not flags & CHOSEN and copies < write_quorum_of(flags):
                return None
            if not flags & TOMBSTONE:
                if not record:
                    return None
                live.append(row)
        return live

    async def _decided(
        self,
        drive_set: DriveSet,
        request: Scan,
        pages: dict[int, ScanPage],
        blank: frozenset[int],
        horizon: bytes | None,
        not_below: bytes,
    ) -> list[Row]:
        by_key: dict[bytes, dict[int, list[Held]]] = {}
        for position, page in pages.items():
            for key, stamp, flags, record in page.rows:
                if horizon is None or key <= horizon:
                    versions = by_key.setdefault(key, {})
                    versions.setdefault(position, []).append(Held(stamp, flags, record, None))
        rows: list[Row] = []
        shown: set[bytes] = set()
        for key in sorted(by_key):
            prefix = common_prefix(key, request.prefix, request.delimiter)
            if prefix is not None:
                if prefix in shown:
                    continue
                # Drives may have passed over this key for another one of the prefix: only reading it tells.
                row = await self._read(drive_set, request.bucket, key, not_below)
                if row is None:
                    row = await self._any_below(drive_set, request, prefix, key, not_below)
                if row is not None:
                    shown.add(prefix)
                    rows.append(row)
                continue
            answers = {position: tuple(by_key[key].get(position, ())) for position in pages}
            decision = decide(drive_set.size, answers, blank, not_below)
            if decision.verdict is Verdict.VALUE:
                if decision.flags & TOMBSTONE:
                    continue
                records = [
                    held.record
                    for versions in answers.values()
                    for held in versions
                    if held.stamp == decision.stamp and held.record
                ]
                if records:
                    rows.append((key, decision.stamp, decision.flags, records[0]))
                    continue
            if decision.verdict is not Verdict.NOTHING:
                row = await self._read(drive_set, request.bucket, key, not_below)
                if row is not None:
                    rows.append(row)
        return rows

    async def _read(self, drive_set: DriveSet, bucket: bytes, key: bytes, not_below: bytes) -> Row | None:
        reading = await self._register.read(drive_set, bucket, key, not_below=not_below)
        return None if reading.absent else (key, reading.stamp, reading.flags, reading.record)

    async def _any_below(
        self, drive_set: DriveSet, request: Scan, prefix: bytes, after: bytes, not_below: bytes
    ) -> Row | None:
        """The first live key of a common prefix above `after`, looked for one by one."""
        whole = Scan(request.bucket, prefix, b"", after, ROWS_MAX, request.level)
        while True:
            window = await self.window(drive_set, whole, not_below)
            if window.rows:
                return window.rows[0]
            if not window.more:
                return None
            whole = whole._replace(after=window.resume)


def common_prefix(key: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    """The common prefix that stands for a key in a listing, None where the key stands for itself."""
    if not delimiter:
        return None
    cut = key.find(delimiter, len(prefix))
    return None if cut < 0 else key[: cut + len(delimiter)]


def _alike(pages: Sequence[ScanPage]) -> bool:
    first = [(row[0], row[1], row[2] | CHOSEN) for row in pages[0].rows]
    return all(
        page.more == pages[0].more
        and len(page.rows) == len(first)
        and [(row[0], row[1], row[2] | CHOSEN) for row in page.rows] == first
        for page in pages[1:]
    )


class SetCursor:
    """The decided rows of one set, window by window."""

    def __init__(
        self, scanner: Scanner, drive_set: DriveSet, request: Scan, not_below: bytes, see: Callable[[Mark], None]
    ) -> None:
        self._scanner = scanner
        self._set = drive_set
        self._request = request
        self._not_below = not_below
        self._see = see
        self.rows: list[Row] = []
        self.done = False

    async def fill(self) -> None:
        """Have a row at hand, or be done."""
        while not self.rows and not self.done:
            window = await self._scanner.window(self._set, self._request, self._not_below)
            self._see(window.mark)
            self.rows = window.rows[::-1]  # taken from the end
            self.done = not window.more
            self._request = self._request._replace(after=window.resume)


async def merged(
    scanner: Scanner,
    sets: Sequence[DriveSet],
    request: Scan,
    not_below: bytes,
    take: Callable[[Row], bool],
    see: Callable[[Mark], None] = lambda _mark: None,
) -> None:
    """Feed the live rows of all sets to `take` in key order, until it answers False. Raises QuorumLost."""
    cursors = [SetCursor(scanner, drive_set, request, not_below, see) for drive_set in sets]
    if len(cursors) == 1:
        cursor = cursors[0]
        while not cursor.done or cursor.rows:
            await cursor.fill()
            while cursor.rows:
                if not take(cursor.rows.pop()):
                    return
        return
    await asyncio.gather(*(cursor.fill() for cursor in cursors))
    while True:
        alive = [cursor for cursor in cursors if cursor.rows]
        if not alive:
            return
        nearest = min(alive, key=lambda cursor: cursor.rows[-1][0])
        if not take(nearest.rows.pop()):
            return
        if not nearest.rows:
            await nearest.fill()

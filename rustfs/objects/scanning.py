"""The decided contents of a range of keys, over all drives of a set, and over all sets in one order.

Nearly always the drives agree row by row, and then a page is decided by comparing lists. Where they differ, each key
is decided by the read rule, and what it leaves open is read (and completed) like any single key.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rustfs.core import placement
from rustfs.core.drivetypes import CHOSEN, TOMBSTONE, Held, Level, Mark, Scan, ScanPage
from rustfs.core.errors import QuorumLost
from rustfs.core.ports import Clock, Drive
from rustfs.objects.decide import Verdict, decide, write_quorum_of
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import GRACE_SECONDS_MAX, Fanout
from rustfs.objects.pace import Pace
from rustfs.objects.register import Register
from rustfs.objects.rounds import Era, newest_mark

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

    def __init__(self, register: Register, pace: Pace, clock: Clock) -> None:
        self._register = register
        self._pace = pace
        self._clock = clock

    async def window(self, drive_set: DriveSet, request: Scan, era: Era, *, deletions: bool = False) -> Window:
        """Decided rows from one round of scans, or two where the first drives do not agree. Raises QuorumLost.

        Args:
            deletions: tombstones are wanted, too.
        """
        rotation = placement.rotation(placement.placement_hash(request.bucket, request.after), drive_set.size)
        first, rest = self._pace.split(drive_set, drive_set.majority, rotation)
        scans = _Scans(drive_set, request, self._clock)
        scans.ask(first)
        if rest:
            if await scans.fan.wait(scans.quorate, self._pace.hedge_seconds):
                window = self._agreed_window(scans.pages, era, deletions=deletions)
                if window is not None:
                    self._pace.took(scans.fan.elapsed_seconds)
                    return window
            silent = scans.fan.silent
            scans.ask(rest)
            await scans.settle()
            self._pace.late([drive_set.drives[position] for position in silent & scans.fan.silent])
        else:
            await scans.settle()
        pages = scans.pages
        if scans.whole < drive_set.read_quorum:
            raise QuorumLost(f"too few drives of set {drive_set.index} answered to list")
        window = self._agreed_window(pages, era, deletions=deletions)
        if window is not None:
            return window
        horizon = min((page.resume for page in pages.values() if page.more), default=None)
        rows = await self._decided(drive_set, request, pages, horizon, era)
        if not deletions:
            rows = [row for row in rows if not row[2] & TOMBSTONE]
        return Window(rows, horizon is not None, horizon or b"", newest_mark([page.mark for page in pages.values()]))

    def _agreed_window(self, pages: dict[int, ScanPage], era: Era, *, deletions: bool) -> Window | None:
        """The window where all of these drives, none of them blank, hold the same; None where that is not enough."""
        if any(page.blank for page in pages.values()) or not _alike(list(pages.values())):
            return None
        rows = self._agreed(pages, len(pages), era, deletions=deletions)
        if rows is None:
            return None
        first = next(iter(pages.values()))
        return Window(rows, first.more, first.resume, newest_mark([page.mark for page in pages.values()]))

    def _agreed(self, pages: dict[int, ScanPage], copies: int, era: Era, *, deletions: bool) -> list[Row] | None:
        """The rows where all drives hold the same, or None where that is not enough to decide one of them."""
        with_records = max(pages.values(), key=_has_records)
        decided = []
        previous = b""
        for row in with_records.rows:
            key, stamp, flags, record = row
            if key == previous:
                continue
            previous = key
            if stamp < era.created:
                continue
            if not flags & CHOSEN and copies < write_quorum_of(flags):
                return None
            if flags & TOMBSTONE:
                if deletions:
                    decided.append(row)
                continue
            if not record:
                return None
            decided.append(row)
        return decided

    async def _decided(
        self,
        drive_set: DriveSet,
        request: Scan,
        pages: dict[int, ScanPage],
        horizon: bytes | None,
        era: Era,
    ) -> list[Row]:
        blank = frozenset(position for position, page in pages.items() if page.blank)
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
                row = await self._read(drive_set, request.bucket, key, era)
                found = [] if row is None else [row]
                if row is None or row[2] & TOMBSTONE:
                    found += await self._below(drive_set, request, prefix, key, era)
                shown.add(prefix)
                rows += found
                continue
            answers = {position: tuple(by_key[key].get(position, ())) for position in pages}
            decision = decide(drive_set.size, answers, blank, era.created)
            if decision.verdict is Verdict.VALUE:
                if decision.flags & TOMBSTONE:
                    rows.append((key, decision.stamp, decision.flags, b""))
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
                row = await self._read(drive_set, request.bucket, key, era)
                if row is not None:
                    rows.append(row)
        return rows

    async def _read(self, drive_set: DriveSet, bucket: bytes, key: bytes, era: Era) -> Row | None:
        reading = await self._register.read(drive_set, bucket, key, era=era)
        return (key, reading.stamp, reading.flags, reading.record) if reading.stamp else None

    async def _below(self, drive_set: DriveSet, request: Scan, prefix: bytes, after: bytes, era: Era) -> list[Row]:
        """The keys of a common prefix above `after`, looked for one by one, up to the first live one."""
        whole = Scan(request.bucket, prefix, b"", after, ROWS_MAX, request.level)
        found: list[Row] = []
        while True:
            window = await self.window(drive_set, whole, era, deletions=True)
            for row in window.rows:
                found.append(row)
                if not row[2] & TOMBSTONE:
                    return found
            if not window.more:
                return found
            whole = whole._replace(after=window.resume)


class _Scans:
    """The scans of one range by several drives, one of which sends the records."""

    __slots__ = ("_drive_set", "_request", "fan")

    def __init__(self, drive_set: DriveSet, request: Scan, clock: Clock) -> None:
        self._drive_set = drive_set
        self._request = request
        self.fan: Fanout[ScanPage] = Fanout((), clock)

    def ask(self, drives: Sequence[Drive]) -> None:
        """Ask drives that were not asked yet, the first of them that is whole for records, unless these have come."""
        brief = self._request._replace(level=Level.STAMPS)
        full_asked = any(map(_has_records, self.fan.answers.values()))
        calls = []
        for drive in drives:
            calls.append((drive.position, drive.scan(brief if full_asked else self._request)))
            full_asked = full_asked or not drive.healing
        self.fan.ask(calls)

    @property
    def pages(self) -> dict[int, ScanPage]:
        """What has come, by position."""
        return dict(sorted(self.fan.answers.items()))

    @property
    def whole(self) -> int:
        """Answers of drives that are not blank."""
        return sum(not page.blank for page in self.fan.answers.values())

    def quorate(self) -> bool:
        """Whether as many whole drives have answered as decide, by themselves, what all of them hold."""
        return self.whole >= self._drive_set.majority

    async def settle(self) -> None:
        """Wait for all that is worth it; a read quorum will do where no more are in reach."""
        await self.fan.wait(lambda: False, GRACE_SECONDS_MAX, self.quorate)
        await self.fan.wait(lambda: self.whole >= self._drive_set.read_quorum, SCAN_TIMEOUT_SECONDS)


def common_prefix(key: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    """The common prefix that stands for a key in a listing, None where the key stands for itself."""
    if not delimiter:
        return None
    cut = key.find(delimiter, len(prefix))
    return None if cut < 0 else key[: cut + len(delimiter)]


def _has_records(page: ScanPage) -> bool:
    """Whether a page holds more than stamps (records of deletions are empty anyway)."""
    return any(row[3] for row in page.rows)


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
        self,
        scanner: Scanner,
        drive_set: DriveSet,
        request: Scan,
        era: Era,
        see: Callable[[Mark], None],
        *,
        deletions: bool,
    ) -> None:
        self._scanner = scanner
        self._set = drive_set
        self._request = request
        self._era = era
        self._see = see
        self._deletions = deletions
        self.rows: list[Row] = []
        self.done = False

    async def fill(self) -> None:
        """Have a row at hand, or be done."""
        while not self.rows and not self.done:
            window = await self._scanner.window(self._set, self._request, self._era, deletions=self._deletions)
            self._see(window.mark)
            self.rows = window.rows[::-1]  # taken from the end
            self.done = not window.more
            self._request = self._request._replace(after=window.resume)

    async def take(self, key: bytes) -> Row | None:
        """The row of this key, if it is the next one."""
        if not self.rows or self.rows[-1][0] != key:
            return None
        row = self.rows.pop()
        if not self.rows:
            await self.fill()
        return row


async def merged(
    scanner: Scanner,
    sets: Sequence[DriveSet],
    request: Scan,
    era: Era,
    take: Callable[[Row], bool],
    see: Callable[[Mark], None] = lambda _mark: None,
) -> None:
    """Feed the live rows of all sets, which may be of several pools, to `take` in key order, until it answers False.

    Of a key that several sets hold, the version with the highest stamp is the value, be it a deletion.

    Raises QuorumLost.
    """
    if len(sets) == 1:
        cursor = SetCursor(scanner, sets[0], request, era, see, deletions=False)
        while not cursor.done or cursor.rows:
            await cursor.fill()
            while cursor.rows:
                if not take(cursor.rows.pop()):
                    return
        return
    cursors = [SetCursor(scanner, drive_set, request, era, see, deletions=True) for drive_set in sets]
    await asyncio.gather(*(cursor.fill() for cursor in cursors))
    settled = b""  # a common prefix whose keys need no more looking at
    while True:
        alive = [cursor for cursor in cursors if cursor.rows]
        if not alive:
            return
        key = min(cursor.rows[-1][0] for cursor in alive)
        held = [row for cursor in alive if (row := await cursor.take(key)) is not None]
        if settled and key.startswith(settled):
            continue
        row = max(held, key=lambda each: each[1])
        prefix = common_prefix(key, request.prefix, request.delimiter)
        if not row[2] & TOMBSTONE:
            settled = prefix or b""
            if not take(row):
                return
        elif prefix is not None and any(not each[2] & TOMBSTONE for each in held):
            # The key that stood for the prefix in one pool was deleted in another: which one stands for it now?
            settled = prefix
            found = await _first_live(scanner, sets, request, prefix, key, era, see)
            if found is not None and not take(found):
                return


async def _first_live(
    scanner: Scanner,
    sets: Sequence[DriveSet],
    request: Scan,
    prefix: bytes,
    after: bytes,
    era: Era,
    see: Callable[[Mark], None],
) -> Row | None:
    found: list[Row] = []

    def take(row: Row) -> bool:
        found.append(row)
        return False

    whole = Scan(request.bucket, prefix, b"", after, ROWS_MIN, request.level)
    await merged(scanner, sets, whole, era, take, see)
    return found[0] if found else None

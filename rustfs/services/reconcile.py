"""Comparing the drives of a set, and healing what differs.

Runs after a start, when a drive was formatted anew, and when one comes back: whatever was missed meanwhile is found by
comparing digests of ranges of keys, then the stamps of the keys in ranges that differ. So it costs what was missed, a
message per thousand ranges, and no look into the objects. What digests leave out, versions that a drive has not noted
as chosen, the drives list; they are few, because notes follow within a second.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from rustfs.core.drivetypes import CHOSEN, Level, RangePage, Scan, ScanPage
from rustfs.core.errors import DriveError, ObjectError, QuorumLost
from rustfs.core.ports import Clock, Drive
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import Fanout, in_time
from rustfs.objects.heal import Healer
from rustfs.objects.records import BUCKETS, CONFIGURATION, PARTS, UPLOADS
from rustfs.services import metrics
from rustfs.services.ranges import Span, compared_spans
from rustfs.services.throttle import Throttle

log = logging.getLogger("rustfs.services")

SYSTEM_BUCKETS = (BUCKETS, CONFIGURATION, UPLOADS, PARTS)
RANGES_PER_PAGE = 1000
ROWS_PER_PAGE = 1000
UNSETTLED_PER_PAGE = 1000
UNSETTLED_MS = 2_000  # a version that is older, and not noted as chosen, is not just waiting for its note
ABOVE_ALL_STAMPS = b"\xff" * 16
HEALS_AT_ONCE = 4
SCAN_TIMEOUT_SECONDS = 30.0
SCAN_GRACE_SECONDS = 3.0  # a drive that others overtook by that much is compared in a pass of its own


class _Page(Protocol):
    """Part of what a drive holds."""

    @property
    def blank(self) -> bool: ...


P = TypeVar("P", bound=_Page)


@dataclass(slots=True)
class PassResult:
    """What one comparison of a set found."""

    keys: int = 0  # compared, by digests or by themselves
    ranges: int = 0
    ranges_differing: int = 0
    looked_at: int = 0  # keys compared by themselves
    differing: int = 0
    healed: int = 0
    failed: int = 0
    missed: set[int] = field(default_factory=set)  # positions that may still lack a key
    silent: set[int] = field(default_factory=set)  # positions that were not compared throughout


def differing_keys(pages: Mapping[int, ScanPage], horizon: bytes | None) -> Iterator[tuple[bytes, bool]]:
    """Every key up to `horizon`, and whether the drives' copies differ, are old, or are not known to be chosen."""
    by_key: dict[bytes, list[tuple[bytes, int]]] = {}
    for page in pages.values():
        for key, stamp, flags, _ in page.rows:
            if horizon is None or key <= horizon:
                by_key.setdefault(key, []).append((stamp, flags))
    for key in sorted(by_key):
        held = by_key[key]
        first = held[0]
        alike = len(held) == len(pages) and all(each == first for each in held)
        yield key, not (alike and first[1] & CHOSEN)


class Reconciler:
    """Compares and heals one set at a time."""

    def __init__(
        self,
        healer: Healer,
        clock: Clock,
        on_progress: Callable[[PassResult], None],
        throttle: Throttle | None = None,
    ) -> None:
        """`throttle`: makes room for clients; without one the work goes on at full speed."""
        self._healer = healer
        self._clock = clock
        self._on_progress = on_progress
        self._throttle = throttle or Throttle(clock, lambda: 0)

    async def compare(self, drive_set: DriveSet, buckets: list[bytes]) -> PassResult:
        """One pass over all keys of a set.

        Raises:
            QuorumLost: too few drives answer to compare them.
        """
        result = PassResult()
        # Listed before the digests are read: what a drive notes in between is in one of the two, or in both.
        unsettled = await self._unsettled(drive_set, {*SYSTEM_BUCKETS, *buckets}, result)
        began_ms = self._clock.now_milliseconds()
        settled_by_now = max(0, began_ms - UNSETTLED_MS).to_bytes(6, "big")
        young = {name for name, stamp in unsettled.items() if stamp > settled_by_now}
        await self._settle(drive_set, unsettled.keys() - young, result)
        for bucket in (*SYSTEM_BUCKETS, *buckets):
            await self._compare_bucket(drive_set, bucket, result)
        if young:  # most are just waiting for their notes; what a heal finds whole costs it one read
            took_ms = self._clock.now_milliseconds() - began_ms
            await asyncio.sleep(min(UNSETTLED_MS, max(0, UNSETTLED_MS - took_ms)) / 1000)
            await self._settle(drive_set, young, result)
        self._on_progress(result)
        return result

    async def _unsettled(
        self, drive_set: DriveSet, buckets: Collection[bytes], result: PassResult
    ) -> dict[tuple[bytes, bytes], bytes]:
        """The versions that some drive has not noted as chosen, which no digest covers: (bucket, key) -> stamp."""
        found: dict[tuple[bytes, bytes], bytes] = {}
        for drive in drive_set.online():
            after: bytes | None = b""
            while after is not None:
                try:
                    asking = drive.unsettled(after, ABOVE_ALL_STAMPS, UNSETTLED_PER_PAGE)
                    rows = await in_time(asking, SCAN_GRACE_SECONDS)
                except DriveError:
                    result.silent.add(drive.position)
                    break
                found.update({(bucket, key): stamp for bucket, key, stamp in rows if bucket in buckets})
                after = rows[-1][2] if len(rows) == UNSETTLED_PER_PAGE else None
        return found

    async def _settle(
        self, drive_set: DriveSet, unsettled: Collection[tuple[bytes, bytes]], result: PassResult
    ) -> None:
        for bucket in sorted({bucket for bucket, _ in unsettled}):
            await self._heal_all(drive_set, bucket, sorted(key for each, key in unsettled if each == bucket), result)

    async def _compare_bucket(self, drive_set: DriveSet, bucket: bytes, result: PassResult) -> None:
        after: bytes | None = b""
        while after is not None:
            pages = await ask_all(drive_set, partial(_ranges, bucket, after), result.silent, self._clock)
            # A drive that was not compared once is left to the next pass: this one does not wait for it at every page.
            result.silent |= set(range(drive_set.size)) - pages.keys()
            spans, after = compared_spans(list(pages.values()), after)
            for span in spans:
                result.ranges += span.ranges
                metrics.RANGES.inc(span.ranges)
                if span.alike:
                    result.keys += span.rows
                    continue
                result.ranges_differing += span.ranges
                metrics.RANGES_DIFFERING.inc(span.ranges)
                await self._compare_keys(drive_set, bucket, span, result)
            self._on_progress(result)

    async def _compare_keys(self, drive_set: DriveSet, bucket: bytes, span: Span, result: PassResult) -> None:
        """Compare the keys of a span, and heal those that differ."""
        after = span.after
        while after < span.last:
            request = Scan(bucket, b"", b"", after, min(ROWS_PER_PAGE, span.rows + 1), Level.STAMPS)
            pages = await scan_all(drive_set, request, result.silent, self._clock)
            result.silent |= set(range(drive_set.size)) - pages.keys()
            after = min((page.resume for page in pages.values() if page.more), default=span.last)
            after = min(after, span.last)
            work = []
            looked_at = 0
            for key, differs in differing_keys(pages, after):
                looked_at += 1
                if differs:
                    work.append(key)
            result.keys += looked_at
            result.looked_at += looked_at
            metrics.KEYS_LOOKED_AT.inc(looked_at)
            await self._heal_all(drive_set, bucket, work, result)
            self._on_progress(result)

    async def _heal_all(self, drive_set: DriveSet, bucket: bytes, keys: list[bytes], result: PassResult) -> None:
        result.differing += len(keys)
        gate = asyncio.Semaphore(HEALS_AT_ONCE)

        async def heal(key: bytes) -> None:
            async with gate, self._throttle.turn():
                try:
                    outcome = await self._healer.heal(drive_set, bucket, key, deep=False)
                except (ObjectError, DriveError) as error:
                    log.warning("cannot heal %s/%s yet: %s", bucket.decode(), key.decode("utf-8", "replace"), error)
                    result.failed += 1
                    result.missed.update(range(drive_set.size))
                    return
                online = {drive.position for drive in drive_set.online()}
                result.failed += bool(outcome.missed & online)
                result.missed |= outcome.missed
                result.healed += outcome.changed > 0

        await asyncio.gather(*map(heal, keys))


def _ranges(bucket: bytes, after: bytes, drive: Drive) -> "asyncio.Future[RangePage]":
    return drive.ranges(bucket, after, RANGES_PER_PAGE)


async def scan_all(drive_set: DriveSet, request: Scan, silent: set[int], clock: Clock) -> dict[int, ScanPage]:
    """The pages of a scan by all drives that answer; see ask_all."""
    return await ask_all(drive_set, lambda drive: drive.scan(request), silent, clock)


async def ask_all(
    drive_set: DriveSet, ask: "Callable[[Drive], asyncio.Future[P]]", silent: set[int], clock: Clock
) -> dict[int, P]:
    """The pages of all drives that answer, by position, but for those at the positions `silent`.

    Raises:
        QuorumLost: too few answer for every chosen version to be seen on one of them.
    """
    asked = [drive for drive in drive_set.online() if drive.position not in silent]
    fan = Fanout(((drive.position, ask(drive)) for drive in asked), clock)

    def comparable() -> bool:
        # What a blank drive lacks says nothing: every chosen version must be seen on one of the others.
        return sum(not page.blank for page in fan.answers.values()) >= drive_set.read_quorum

    await fan.wait(lambda: False, SCAN_GRACE_SECONDS)
    if not await fan.wait(comparable, SCAN_TIMEOUT_SECONDS):
        raise QuorumLost(f"too few drives of set {drive_set.index} answered to be compared")
    return dict(fan.answers)

"""Comparing the drives of a set key by key, and healing what differs.

Runs after a start, when a drive was formatted anew, and when one comes back: whatever was missed meanwhile is found by
comparing stamps, which costs a range scan per drive and no look into the objects.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from rustfs.core.errors import DriveError, ObjectError, QuorumLost
from rustfs.core.ports import CHOSEN, Clock, Level, Scan, ScanPage
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import Fanout
from rustfs.objects.heal import Healer
from rustfs.objects.records import BUCKETS, PARTS, UPLOADS
from rustfs.services.throttle import Throttle

log = logging.getLogger("rustfs.services")

SYSTEM_BUCKETS = (BUCKETS, UPLOADS, PARTS)
ROWS_PER_PAGE = 1000
HEALS_AT_ONCE = 4
SCAN_TIMEOUT_SECONDS = 30.0
SCAN_GRACE_SECONDS = 3.0  # a drive that others overtook by that much is compared in a pass of its own


@dataclass(slots=True)
class PassResult:
    """What one comparison of a set found."""

    keys: int = 0
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
        for bucket in (*SYSTEM_BUCKETS, *buckets):
            await self._compare_bucket(drive_set, bucket, result)
        return result

    async def _compare_bucket(self, drive_set: DriveSet, bucket: bytes, result: PassResult) -> None:
        after = b""
        while True:
            # A drive that was not compared once is left to the next pass: this one does not wait for it at every page.
            request = Scan(bucket, b"", b"", after, ROWS_PER_PAGE, Level.STAMPS)
            pages = await scan_all(drive_set, request, result.silent, self._clock)
            result.silent |= set(range(drive_set.size)) - pages.keys()
            horizon = min((page.resume for page in pages.values() if page.more), default=None)
            work = []
            for key, differs in differing_keys(pages, horizon):
                result.keys += 1
                if differs:
                    result.differing += 1
                    work.append(key)
            await self._heal_all(drive_set, bucket, work, result)
            self._on_progress(result)
            if horizon is None:
                return
            after = horizon

    async def _heal_all(self, drive_set: DriveSet, bucket: bytes, keys: list[bytes], result: PassResult) -> None:
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


async def scan_all(drive_set: DriveSet, request: Scan, silent: set[int], clock: Clock) -> dict[int, ScanPage]:
    """The pages of all drives that answer, but for those at the positions `silent`.

    Raises:
        QuorumLost: too few answer for every chosen version to be seen on one of them.
    """
    asked = [drive for drive in drive_set.online() if drive.position not in silent]
    fan = Fanout(((drive.position, drive.scan(request)) for drive in asked), clock)

    def comparable() -> bool:
        # What a blank drive lacks says nothing: every chosen version must be seen on one of the others.
        return sum(not page.blank for page in fan.answers.values()) >= drive_set.read_quorum

    await fan.wait(lambda: False, SCAN_GRACE_SECONDS)
    if not await fan.wait(comparable, SCAN_TIMEOUT_SECONDS):
        raise QuorumLost(f"too few drives of set {drive_set.index} answered to be compared")
    return dict(fan.answers)

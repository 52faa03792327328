"""The repair queue's runner: keys that somebody found incomplete or damaged are healed, and only then taken off.

Each queue is gone through from end to end and then from its beginning again, so keys that cannot be healed yet, however
many, never stand in the way of those that can.
"""

import asyncio
import logging

from rustfs.core.errors import DriveError, ObjectError
from rustfs.core.ports import Drive
from rustfs.objects.driveset import DriveSet, Pools
from rustfs.objects.heal import Healer
from rustfs.objects.records import PARTS, UPLOADS

log = logging.getLogger("rustfs.services")

ITEMS_PER_ROUND = 64
REPAIRS_AT_ONCE = 4


class Repairer:
    """Empties the repair queues of this node's drives."""

    def __init__(self, pools: Pools, healer: Healer) -> None:
        self._pools = pools
        self._healer = healer
        self._after: dict[str, int] = {}  # drive -> sequence of the last entry looked at, where more follow

    async def round(self) -> bool:
        """Look at the next entries of every queue once. Whether there is more to do that can be done now."""
        progressed = False
        for drive_set in self._pools.sets:
            for drive in drive_set.online():
                if not drive.near:
                    continue  # its own node sees to it
                progressed = await self._drain(drive_set, drive) or progressed
        return progressed

    async def _drain(self, drive_set: DriveSet, drive: Drive) -> bool:
        try:
            items = await drive.repairs(self._after.pop(drive.drive_id, 0), ITEMS_PER_ROUND)
        except DriveError:
            return False
        if not items:
            return False
        more = len(items) == ITEMS_PER_ROUND
        if more:
            self._after[drive.drive_id] = items[-1].sequence
        gate = asyncio.Semaphore(REPAIRS_AT_ONCE)
        done: list[int] = []

        async def repair(sequence: int, bucket: bytes, key: bytes) -> None:
            async with gate:
                try:
                    outcome = await self._healer.heal(drive_set, bucket, key, deep=True)
                except (ObjectError, DriveError) as error:
                    log.warning("cannot repair %r/%r yet: %s", bucket, key, error)
                    return
                if outcome.whole:
                    done.append(sequence)
                    if outcome.changed and bucket not in (UPLOADS, PARTS):
                        log.info("repaired %s/%s", bucket.decode(), key.decode("utf-8", "replace"))

        await asyncio.gather(*(repair(*item) for item in items))
        if done:
            try:
                await drive.repaired(done)
            except DriveError:
                return False
        return more and bool(done)

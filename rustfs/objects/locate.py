"""Finding keys among several pools, and choosing one for what is new (docs/adr/0007).

A key may hold versions in several pools, and the one with the highest stamp is its value, wherever it lies; a deletion
counts like any other. What keeps this linearizable: whoever writes has looked at all pools just before, and takes a
stamp above all it saw; a key that no pool holds is created, and a condition judged, under promises of all pools. So
stamps order the writes of a key over all pools as they do within one. Versions that were superseded from another pool
are garbage from then on, and are dropped by whoever meets them.

With one pool all of this is the plain register.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace

from rustfs.core.ports import Entropy
from rustfs.erasure.layout import shard_bytes
from rustfs.erasure.parity import STANDARD
from rustfs.objects.conversation import forget
from rustfs.objects.driveset import DriveSet, Place, Pools
from rustfs.objects.egress import data_positions
from rustfs.objects.proposals import Judge, Proposal, Unsettled
from rustfs.objects.register import Register
from rustfs.objects.rounds import SYSTEM, Era, Reading, newest_mark


class Locator:
    """The registers of keys that may live in any pool. One per process."""

    def __init__(self, pools: Pools, register: Register, entropy: Entropy) -> None:
        self._pools = pools
        self._register = register
        self._entropy = entropy

    async def read(
        self,
        places: Sequence[Place],
        bucket: bytes,
        key: bytes,
        *,
        inline: bool = False,
        era: Era = SYSTEM,
    ) -> tuple[Place, Reading]:
        """The key's value, and where it lies (the first place where there is none). Raises what Register.read raises.

        Args:
            inline: read the shards of a small object along with it.
        """
        rounds = [
            self._register.read(place.set, bucket, key, inline_at=_data_positions(place) if inline else (), era=era)
            for place in places
        ]
        if len(places) == 1:
            return places[0], await rounds[0]
        readings = await asyncio.gather(*rounds)
        value = max(readings, key=lambda reading: reading.stamp)
        for place, reading in zip(places, readings, strict=True):
            if reading.stamp and reading is not value:
                forget(place.set, bucket, key, reading.stamp)
        place = places[readings.index(value)]
        return place, replace(value, mark=newest_mark([reading.mark for reading in readings]))

    async def write(
        self, place: Place, bucket: bytes, key: bytes, proposal: Proposal, epoch: bytes, low: bytes
    ) -> bytes:
        """Write a version without a condition; its bytes, if any, are staged at `place`. Its stamp.

        Args:
            low: stamps below it belong to an earlier bucket of this name.

        Raises what Register.write raises.
        """
        places = self._pools.places(bucket, key)
        if len(places) == 1:
            return await self._register.write(place.set, bucket, key, proposal, epoch, low)
        home, reading = await self.read(places, bucket, key, era=Era(low, epoch))
        if reading.stamp and home.set is place.set:
            return await self._register.write(place.set, bucket, key, proposal, epoch, max(low, reading.stamp))

        async def any_value(_current: Reading) -> Proposal:
            return proposal

        return await self.swap(place, bucket, key, any_value, epoch, low)

    async def swap(self, place: Place, bucket: bytes, key: bytes, judge: Judge, epoch: bytes, low: bytes) -> bytes:
        """Compare-and-swap over all pools; the next version goes to `place`. See Register.swap."""
        others = self._pools.beside(place.set, bucket, key)
        return await self._register.swap(place.set, bucket, key, judge, epoch, low, others)

    async def resume(self, unsettled: Unsettled, epoch: bytes) -> bytes:
        """See Register.resume."""
        return await self._register.resume(unsettled, epoch)

    def choose(self, places: Sequence[Place], size_bytes: int, home: Place | None = None) -> Place:
        """Where a version is to be written: where the key lives, or else a pool by lot, weighted by their free space.

        A pool without room is passed over; where none has room, writing will say so.
        """
        if len(places) == 1:
            return places[0]
        roomy = [place for place in places if _has_room(place.set, size_bytes)]
        if home is not None and (not roomy or any(place.set is home.set for place in roomy)):
            return home
        weights = [(place, place.pool.free_bytes) for place in roomy or places]
        lot = self._entropy.uniform(0.0, float(sum(weight for _, weight in weights)))
        for place, weight in weights:
            lot -= weight
            if lot <= 0:
                return place
        return weights[-1][0]


def _data_positions(place: Place) -> Collection[int]:
    size = place.set.size
    return data_positions(place.rotation, size - place.pool.parity(STANDARD), size)


def _has_room(drive_set: DriveSet, size_bytes: int) -> bool:
    share = shard_bytes(size_bytes, max(1, drive_set.size - drive_set.size // 2))
    return sum(drive.has_room(share) for drive in drive_set.online()) >= drive_set.majority

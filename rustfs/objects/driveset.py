"""Sets of drives, pools of sets, and the pools of a cluster: which drives an object may live on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rustfs.core import placement
from rustfs.core.ports import Drive
from rustfs.erasure.parity import STANDARD
from rustfs.objects.decide import majority, read_quorum


@dataclass(frozen=True, slots=True)
class DriveSet:
    """A fixed group of drives, by position; one object lives in exactly one set."""

    index: int
    drives: tuple[Drive, ...]

    @property
    def size(self) -> int:
        """n, the number of drives."""
        return len(self.drives)

    @property
    def majority(self) -> int:
        """The smallest write quorum."""
        return majority(len(self.drives))

    @property
    def read_quorum(self) -> int:
        """Drives that a read must look at."""
        return read_quorum(len(self.drives))

    def whole_beside(self, drive_id: str) -> int:
        """How many of the other drives serve and have all that they should."""
        return sum(drive.online and not drive.healing and drive.drive_id != drive_id for drive in self.drives)

    def online(self) -> list[Drive]:
        """The drives worth asking."""
        return [drive for drive in self.drives if drive.online]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object lives or may live: its set, and the position of the drive with its shard 0."""

    set: DriveSet
    rotation: int
    pool: "Pool"


class Pool:
    """Sets that share out the keys by hash, and the parity shards of each storage class there."""

    __slots__ = ("parities", "sets")

    def __init__(self, sets: Sequence[DriveSet], parities: Mapping[str, int]) -> None:
        self.sets = tuple(sets)
        self.parities = dict(parities)

    def place(self, bucket: bytes, key: bytes) -> Place:
        """Where the object lives, if it lives in this pool."""
        hash64 = placement.placement_hash(bucket, key)
        drive_set = self.sets[placement.set_index(hash64, len(self.sets))]
        return Place(drive_set, placement.rotation(hash64, drive_set.size), self)

    def parity(self, storage_class: str) -> int:
        """Parity shards of a storage class."""
        return self.parities.get(storage_class, self.parities[STANDARD])

    @property
    def free_bytes(self) -> int:
        """Room on all drives."""
        return sum(drive.free_bytes for drive_set in self.sets for drive in drive_set.drives)


class Pools:
    """The pools of a cluster, in the order in which they were added; that order never changes."""

    __slots__ = ("pools", "sets")

    def __init__(self, pools: Sequence[Pool]) -> None:
        self.pools = tuple(pools)
        self.sets = tuple(drive_set for pool in pools for drive_set in pool.sets)

    @property
    def first(self) -> Pool:
        """The pool that bucket records live in."""
        return self.pools[0]

    def places(self, bucket: bytes, key: bytes) -> tuple[Place, ...]:
        """Where an object may live: one place in each pool."""
        return tuple(pool.place(bucket, key) for pool in self.pools)

    def beside(self, drive_set: DriveSet, bucket: bytes, key: bytes) -> list[DriveSet]:
        """The sets of the other pools in which an object's key of this set may live, too.

        Keys of system buckets never move: bucket records are in the first pool, uploads stay where they were begun.
        """
        if bucket.startswith(b"."):
            return []
        return [place.set for place in self.places(bucket, key) if place.set is not drive_set]

"""A set of drives and the pool of sets: which drives an object lives on."""

from collections.abc import Sequence
from dataclasses import dataclass

from rustfs.core import placement
from rustfs.core.ports import Drive
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
    """Where an object lives: its set, and the position of the drive with its shard 0."""

    set: DriveSet
    rotation: int


class Pool:
    """The sets that share out the keys by hash."""

    __slots__ = ("sets",)

    def __init__(self, sets: Sequence[DriveSet]) -> None:
        self.sets = tuple(sets)

    def place(self, bucket: bytes, key: bytes) -> Place:
        """Where the object lives."""
        hash64 = placement.placement_hash(bucket, key)
        drive_set = self.sets[placement.set_index(hash64, len(self.sets))]
        return Place(drive_set, placement.rotation(hash64, drive_set.size))

"""What is offered to the drives of a set, and what is known of an offer whose outcome is open."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from rustfs.core.buffers import Buffer
from rustfs.core.drivetypes import Mark
from rustfs.core.errors import ObjectError
from rustfs.objects.driveset import DriveSet
from rustfs.objects.rounds import Reading


@dataclass(slots=True)
class Proposal:
    """A version to be offered: what is alike on all drives, and which shards each is to take into service."""

    flags: int
    record: bytes
    refs: tuple[bytes, ...] = ()
    inline: Sequence[bytes | Sequence[Buffer] | None] | None = None  # by position
    staged: Mapping[int, tuple[bytes, ...]] = field(default_factory=dict)  # position -> data ids staged there
    positions: Collection[int] | None = None  # drives that can take it; None: all
    if_held: bool = False  # a deletion, for drives that hold something to delete: see Register.write


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A write that some drives may hold: it may be chosen, or become so. See Settler.resume."""

    drive_set: DriveSet
    bucket: bytes
    key: bytes
    proposal: Proposal
    stamps: tuple[bytes, ...]  # under which it was offered, ascending
    blind: bool = False  # no condition depends on what it overwrites


class BucketChanged(ObjectError):
    """A drive knows a newer epoch of the bucket than the one that the caller went by.

    Nothing was written, unless something is `unsettled`: that has to be resumed, not written anew.
    """

    def __init__(self, mark: Mark, unsettled: Unsettled | None = None) -> None:
        super().__init__("the bucket changed")
        self.mark = mark
        self.unsettled = unsettled


# Makes a proposal of an existing version for the drives that lack it, its shards rebuilt from the copies held.
Rebuild = Callable[[DriveSet, bytes, bytes, Reading], Awaitable[Proposal]]
# Looks at the current value and returns the next one, or raises ObjectError to refuse.
Judge = Callable[[Reading], Awaitable[Proposal]]
# The sets of other pools in which a key of this set may live, too.
Elsewhere = Callable[[DriveSet, bytes, bytes], Sequence[DriveSet]]


def nowhere_else(_drive_set: DriveSet, _bucket: bytes, _key: bytes) -> Sequence[DriveSet]:
    """There is one pool."""
    return ()

"""What a version says of those before it, so that a writer who lost sight of its own learns what became of it.

A conditional version, and a copy that was brought forward under a fresh token, follow a certain version directly: under
the promises that were given, nothing can have been chosen in between. Their records name it, and those that it names in
turn. A chosen version whose line passes over a stamp thus proves that this one was never chosen, and cannot be any
more; one whose line contains it proves that it took effect (docs/adr/0011).
"""

from collections.abc import Sequence
from enum import Enum

from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.core.stamps import STAMP_BYTES

ANCESTORS_MAX = 16


class Fate(Enum):
    """What became of a write whose outcome was open."""

    EFFECT = "effect"  # it was chosen, or what is chosen now was built upon it
    DEAD = "dead"  # it never was chosen, and never will be
    UNKNOWN = "unknown"


def descended(record: bytes, ancestors: Sequence[bytes]) -> bytes:
    """The record with its line: the stamp that it follows directly first. What it named before is forgotten.

    Where nothing was there to follow, that "stamp" is the highest of the drives' floors: what was purged is below it.
    """
    line = pb.Lineage.FromString(record)
    line.ancestors = b"".join(ancestors[:ANCESTORS_MAX])
    return line.SerializeToString()


def ancestors_of(record: bytes) -> tuple[bytes, ...]:
    """The stamps that the version follows, its direct predecessor first; none where it does not say."""
    line = pb.Lineage.FromString(record).ancestors
    return tuple(line[at : at + STAMP_BYTES] for at in range(0, len(line), STAMP_BYTES))


def plain(record: bytes) -> bytes:
    """The record without its line."""
    line = pb.Lineage.FromString(record)
    line.ClearField("ancestors")
    return line.SerializeToString()


def fate(own: Sequence[bytes], stamp: bytes, ancestors: Sequence[bytes]) -> Fate:
    """What became of a write.

    Args:
        own: the stamps under which it was offered.
        stamp: the version that is chosen now.
        ancestors: its line.
    """
    if stamp in own:
        return Fate.EFFECT
    if stamp < max(own):
        return Fate.UNKNOWN  # nothing stands in the way of whoever completes it
    for each in ancestors:
        if each in own:
            return Fate.EFFECT
        if each < min(own):
            return Fate.DEAD
    return Fate.UNKNOWN

"""What the drives' answers mean: the read rule of the quorum protocol, as a pure function.

Each key is a replicated register on the n drives of its set (after CASPaxos, Rystsov 2018, with flexible quorums,
Howard 2016, and erasure-coded values, RS-Paxos, Mu 2014). A version is *chosen* once its write quorum W accepted it,
where W = max(n // 2 + 1, k): two write quorums meet, and each meets every read of R = n - n // 2 drives.

The rule: take the newest version seen. Seen on W drives, or marked chosen: it is the value. Else, could it have W on
the drives that did not answer? Then it has to be completed before it may be returned, or nothing can be said. Could
it not? Then it was not chosen when we looked: look at the next older one. Never return something because k copies
happen to be there (k is not W).

A drive that is being rebuilt has forgotten what it accepted: what it holds counts, what it lacks says nothing.
"""

from collections.abc import Collection, Mapping
from enum import Enum
from typing import NamedTuple

from rustfs.core.drivetypes import BLIND, CHOSEN, NEEDED_SHIFT, QUORUM_SHIFT, TOMBSTONE, Held


class Verdict(Enum):
    """What a read found out."""

    VALUE = "value"  # the version is chosen
    NOTHING = "nothing"  # the key never had a chosen version
    COMPLETE = "complete"  # the version may be chosen: bring it to a write quorum, then it is
    UNDECIDED = "undecided"  # it may be chosen, but too few copies are in reach to complete it


class Decision(NamedTuple):
    """The verdict, and the version that it is about (empty stamp for NOTHING)."""

    verdict: Verdict
    stamp: bytes
    flags: int


_NOTHING = Decision(Verdict.NOTHING, b"", 0)


def majority(drive_count: int) -> int:
    """The smallest write quorum of a set; a version with more data shards needs as many drives as it has of them."""
    return drive_count // 2 + 1


def read_quorum(drive_count: int) -> int:
    """Drives that a read must look at: they meet every write quorum."""
    return drive_count - drive_count // 2


def version_flags(drive_count: int, data_shards: int, *, tombstone: bool = False) -> int:
    """Flags of a version; `data_shards` is 1 for registers that are whole on every drive.

    Nobody needs to complete a version from fewer than 2W - n copies: where all other copies may be on drives that do
    not answer, so few drives answer that it cannot reach W. Asking for so many lets more writers know that theirs died.
    """
    quorum = max(majority(drive_count), data_shards)
    needed = max(data_shards, 2 * quorum - drive_count)
    return quorum << QUORUM_SHIFT | needed << NEEDED_SHIFT | (TOMBSTONE if tombstone else 0)


def write_quorum_of(flags: int) -> int:
    """W of a version."""
    return flags >> QUORUM_SHIFT & 0xFF


def copies_needed_of(flags: int) -> int:
    """k of a version."""
    return flags >> NEEDED_SHIFT & 0xFF


def is_tombstone(flags: int) -> bool:
    """Whether the version is a deletion."""
    return bool(flags & TOMBSTONE)


def decide(
    drive_count: int, answers: Mapping[int, tuple[Held, ...]], blank: Collection[int] = (), not_below: bytes = b""
) -> Decision:
    """The value of a register by the answers of some of its drives.

    Args:
        drive_count: n.
        answers: position -> versions held, newest first.
        blank: positions among the answers whose silence about a version says nothing (drives being rebuilt).
        not_below: versions with lower stamps are ignored (they belong to an earlier bucket of that name).
    """
    silent = drive_count - len(answers)
    holders: dict[bytes, tuple[int, int, int]] = {}  # stamp -> copies, copies on blank drives, flags (CHOSEN by any)
    for position, versions in answers.items():
        for held in versions:
            copies, blanks, flags = holders.get(held.stamp, (0, 0, 0))
            holders[held.stamp] = (copies + 1, blanks + (position in blank), flags | held.flags)
    unsure = silent + len(blank)
    for stamp in sorted(holders, reverse=True):
        if stamp < not_below:
            break
        copies, blanks, flags = holders[stamp]
        quorum = write_quorum_of(flags)
        if flags & CHOSEN or copies >= quorum:
            return Decision(Verdict.VALUE, stamp, flags)
        if copies + unsure - blanks >= quorum:
            if copies >= copies_needed_of(flags):
                return Decision(Verdict.COMPLETE, stamp, flags)
            return Decision(Verdict.UNDECIDED, stamp, flags)
    return _NOTHING


class WriteOutcome(Enum):
    """What is known of an offered version by the drives' answers."""

    CHOSEN = "chosen"
    DEAD = "dead"  # too few drives ever held it: nothing is there that anyone could complete
    OPEN = "open"  # some drive may hold it: its fate must be settled before it is proposed anew


def judge_write(asked: int, quorum: int, needed: int, accepted: int, refused: int) -> WriteOutcome:
    """The outcome of offering a version.

    However many drives refused it: as long as enough may hold it to rebuild it, others may bring it forward, or may
    have done so before those refusals, so it must not be proposed anew without a prepare.

    Args:
        asked: drives that it was offered to; the others never had it.
        needed: k, the copies without which nobody can complete it.
        accepted: of those, how many hold it durably.
        refused: how many said that they do not. The rest has not answered.
    """
    if accepted >= quorum:
        return WriteOutcome.CHOSEN
    return WriteOutcome.DEAD if asked - refused < needed else WriteOutcome.OPEN


def overwritten(drive_count: int, accepted: int, stamp: bytes, value: Decision) -> bool:
    """Whether an unconditional write may be acknowledged because of the value that is there now.

    It is that value; or the value is newer, was written without a condition, and was not chosen yet when this many
    drives accepted ours: then ours took effect right before it, whether it was ever chosen or not, and nobody can tell.

    Args:
        accepted: drives that accepted `stamp`, none of which was being rebuilt.
    """
    if value.stamp == stamp:
        return True
    return value.stamp > stamp and bool(value.flags & BLIND) and accepted > drive_count - write_quorum_of(value.flags)

"""When a drive promises and when it accepts: the drive's half of the quorum protocol, as pure functions.

After CASPaxos (Rystsov 2018), where a version's stamp is its ballot: a version is offered under no other token than its
own stamp, whoever offers it. What a drive says stays true for ever: it never accepts below what it promised, and its
versions of a key only ever move to higher stamps. `floor` stands for what the drive has forgotten on purpose (purged
tombstones, old promises): where it knows nothing of a key, stamps up to it are refused. `vow` stands for what it forgot
by accident: a drive that was wiped takes it for promised on every key.
"""

from typing import NamedTuple

from rustfs.core.drivetypes import CHOSEN, TOMBSTONE, Mark, Refusal


class KeyState(NamedTuple):
    """What a drive knows of a key."""

    newest: bytes  # highest stamp held, b"" for none
    holds: bool  # whether the very stamp offered is held
    promise: bytes  # highest token promised, b"" for none
    floor: bytes
    vow: bytes = b""

    @property
    def high(self) -> bytes:
        """The highest stamp or token known."""
        return max(max(self.newest, self.promise) or self.floor, self.vow)


def judge_prepare(state: KeyState, token: bytes) -> tuple[bool, bytes]:
    """Whether to promise `token`; and the highest stamp or token known, of use when not."""
    return token > state.high, state.high


def judge_accept(state: KeyState, stamp: bytes, epoch: bytes, mark: Mark) -> tuple[Refusal, bytes]:
    """Whether to accept the version `stamp`; and the highest stamp or token known.

    A stamp that is held already is accepted again: the answer to the first offer may have been lost.
    """
    high = state.high
    if state.holds:
        return Refusal.NONE, high
    if epoch and (epoch < mark.epoch or (mark.fenced and epoch == mark.epoch)):
        return Refusal.BUCKET, high
    if stamp < state.newest:
        return Refusal.STALE, high
    if stamp < max(state.promise, state.vow):
        return Refusal.PROMISED, high
    if not state.newest and not state.promise and stamp <= state.floor:
        return Refusal.STALE, high
    return Refusal.NONE, max(high, stamp)


def nothing_to_delete(newest_flags: int | None) -> bool:
    """Whether a drive may decline a deletion, going by its newest version of the key (None: it holds none).

    Where as many drives as a read needs say so, the key has no value: what is chosen is held by one of them, and each
    has either nothing, or a chosen tombstone above it. A tombstone that may not be chosen says nothing of the sort.
    """
    return newest_flags is None or newest_flags & (CHOSEN | TOMBSTONE) == CHOSEN | TOMBSTONE


def judge_heal(stamp: bytes, newest_chosen: bytes, purged: bytes) -> Refusal:
    """Whether to take a version that others found to be chosen.

    They may have looked long ago: what was deleted, purged, or written anew since then stays so.

    Args:
        newest_chosen: highest stamp held that is known to be chosen, b"" for none.
        purged: versions of the key up to this stamp were dropped on purpose, b"" for none.
    """
    return Refusal.STALE if stamp < newest_chosen or stamp <= purged else Refusal.NONE


def raised(mark: Mark, epoch: bytes) -> Mark:
    """The mark after a write under `epoch` was accepted."""
    return Mark(epoch, fenced=False) if epoch > mark.epoch else mark


def joined(mark: Mark, other: Mark) -> Mark:
    """The higher of two marks: by epoch; at the same epoch a fence stays."""
    return max(mark, other, key=lambda each: (each.epoch, each.fenced))

"""When a lock is granted, as pure functions over what one table knows of one resource; and when a lock counts as held.

Times are monotonic seconds of the node whose table it is; between nodes only durations travel (how long a lease is to
run, how long somebody has waited), never instants.

A table forgets everything when its node restarts, though leases that it granted may still run. So a table that is
younger than the longest lease is *young*: its grants are PROVISIONAL, and the refresh of a lock that it does not know
teaches it the lock again. A lock is held with firm grants of a majority; or with grants of any kind of all tables, so
that a cluster that has just started need not wait. With fewer than a majority of tables restarting within one lease
there are never two exclusive holders (tests/mesh/locks/test_simulation.py); with more, order suffers, nothing else.

Fairness: who was refused is remembered as a waiter for a short while. A waiter keeps out everyone whose claim conflicts
with its own and who has waited less: so shared holders that come and go never starve an exclusive waiter. Tables see
slightly different waiting times, and must not block each other's favourites: differences below a margin count as none.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

LEASE_SECONDS_MAX = 10.0
WAITER_SECONDS = 2.0  # how long a waiter is remembered after it asked; longer than any back-off and call deadline
WAITERS_MAX = 64  # by resource; others wait all the same, but unremembered
SENIORITY_MARGIN_SECONDS = 0.1
OWNER_ID_BYTES = 16
RESOURCE_BYTES_MAX = 4096
TEXT_CHARACTERS_MAX = 256


class Kind(IntEnum):
    """What an owner is to a resource; an owner is one thing at a time."""

    HOLD = 1
    WAIT = 2
    REVOKED = 3  # force-released, or released before its acquire arrived: what it still sends is refused


class Verdict(IntEnum):
    """A table's answer to acquire and refresh."""

    GRANTED = 1
    PROVISIONAL = 2  # granted by a young table
    HELD = 3  # another owner holds it
    QUEUED = 4  # free, but somebody has waited longer
    NOT_HELD = 5  # refresh of a lock that is not the owner's (any more)
    REVOKED = 6
    FULL = 7  # the table has no room


GRANTS = frozenset({Verdict.GRANTED, Verdict.PROVISIONAL})


@dataclass(frozen=True, slots=True)
class Owner:
    """Who wants or has a lock; a fresh `owner_id` (16 random bytes) for every lock taken."""

    owner_id: bytes
    node: str
    purpose: str  # for the operator


@dataclass(frozen=True, slots=True)
class Claim:
    """A wish to hold, or to go on holding."""

    resource: bytes
    owner: Owner
    shared: bool
    round: int  # ascends with every question of the owner, so that late messages of earlier rounds do no harm
    lease_seconds: float
    waited_seconds: float | None  # None: does not queue where refused


@dataclass(frozen=True, slots=True)
class Release:
    """An owner gives a resource back, as of `round`."""

    resource: bytes
    owner: Owner
    shared: bool
    round: int
    waited_seconds: float | None  # not None: goes on waiting


@dataclass(frozen=True, slots=True)
class Entry:
    """What an owner is to a resource, on one table."""

    kind: Kind
    owner: Owner
    shared: bool
    round: int
    since_seconds: float  # a hold's beginning, or a waiter's
    expires_seconds: float


State = Mapping[bytes, Entry]  # of one resource, by owner id


@dataclass(frozen=True, slots=True)
class LockInfo:
    """A lock, or a wait for one, as others see it: durations from the moment it was asked for."""

    resource: bytes
    owner: Owner
    shared: bool
    waiting: bool
    age_seconds: float
    expires_in_seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A table's answer; `holders` says who is in the way (a few of them)."""

    verdict: Verdict
    holders: tuple[LockInfo, ...] = ()


def live(entries: Collection[Entry], now_seconds: float) -> State:
    """The entries that have not expired, by owner id."""
    return {entry.owner.owner_id: entry for entry in entries if entry.expires_seconds > now_seconds}


def is_young(started_seconds: float, now_seconds: float) -> bool:
    """Whether leases granted before the table's start may still run."""
    return now_seconds < started_seconds + LEASE_SECONDS_MAX


def acquire(state: State, claim: Claim, now_seconds: float, *, young: bool) -> tuple[Verdict, State]:
    """Judge a claim on a resource with these live entries; the entries afterwards."""
    own = state.get(claim.owner.owner_id)
    if own is not None:
        if own.kind is Kind.REVOKED:
            return Verdict.REVOKED, state
        if claim.round < own.round or (claim.round == own.round and own.kind is Kind.WAIT):
            return Verdict.QUEUED, state  # a late message: its sender has moved on
        if own.kind is Kind.HOLD:  # a repetition: it must not fall back into the queue that has formed behind it
            if blockers(state, claim):
                return Verdict.HELD, state  # shared, and now wants to be exclusive
            return _grant(young=young), _with(state, _hold(claim, own.since_seconds, now_seconds))
    since = _since(own, claim.waited_seconds, now_seconds)
    if blockers(state, claim):
        return Verdict.HELD, _queued(state, claim, since, now_seconds)
    if claim.waited_seconds is not None and _seniors(state, claim, since):
        return Verdict.QUEUED, _queued(state, claim, since, now_seconds)
    return _grant(young=young), _with(state, _hold(claim, now_seconds, now_seconds))


def refresh(state: State, claim: Claim, now_seconds: float, *, young: bool) -> tuple[Verdict, State]:
    """Extend a hold's lease from now on; a young table learns a hold that it does not know."""
    own = state.get(claim.owner.owner_id)
    if own is None:
        if blockers(state, claim):
            return Verdict.HELD, state
        if not young:
            return Verdict.NOT_HELD, state
        return Verdict.PROVISIONAL, _with(state, _hold(claim, now_seconds, now_seconds))
    if own.kind is Kind.REVOKED:
        return Verdict.REVOKED, state
    if own.kind is Kind.WAIT or claim.round < own.round or claim.shared != own.shared:
        return Verdict.NOT_HELD, state
    return _grant(young=young), _with(state, _hold(claim, own.since_seconds, now_seconds))


def release(state: State, wish: Release, now_seconds: float) -> State:
    """Give back; idempotent. Of an unknown owner it is remembered, for its acquire may still be on its way."""
    own = state.get(wish.owner.owner_id)
    if own is not None and (own.kind is Kind.REVOKED or own.round > wish.round):
        return state
    if wish.waited_seconds is not None:
        since = _since(own, wish.waited_seconds, now_seconds)
        return _waiting(state, wish.owner, wish.shared, wish.round, since, now_seconds)
    if own is not None and own.kind is Kind.HOLD:
        return {owner_id: entry for owner_id, entry in state.items() if owner_id != wish.owner.owner_id}
    revoked = Entry(Kind.REVOKED, wish.owner, wish.shared, wish.round, now_seconds, now_seconds + LEASE_SECONDS_MAX)
    return _with(state, revoked)


def revoke(state: State, owner_ids: Collection[bytes], now_seconds: float) -> State:
    """Force-release the holds of these owners: they are refused until they must have noticed."""
    expires = now_seconds + 2 * LEASE_SECONDS_MAX
    return {
        owner_id: replace(entry, kind=Kind.REVOKED, since_seconds=now_seconds, expires_seconds=expires)
        if owner_id in owner_ids and entry.kind is Kind.HOLD
        else entry
        for owner_id, entry in state.items()
    }


def blockers(state: State, claim: Claim) -> list[Entry]:
    """The holds of others that this claim conflicts with."""
    return [entry for entry in state.values() if entry.kind is Kind.HOLD and _conflict(entry, claim)]


# -- what counts as held, seen by the owner ------------------------------------------------------------------------


def majority(tables: int) -> int:
    """How many of so many tables any two holders have in common at least one of."""
    return tables // 2 + 1


def is_acquired(tables: int, firm: int, provisional: int) -> bool:
    """Whether these grants, out of `tables` asked, make a lock."""
    return firm >= majority(tables) or firm + provisional == tables


def may_be_acquired(tables: int, firm: int, provisional: int, unanswered: int) -> bool:
    """Whether the answers still to come could make it one."""
    return is_acquired(tables, firm + unanswered, provisional)


# -- parts -----------------------------------------------------------------------------------------------------------


def _grant(*, young: bool) -> Verdict:
    return Verdict.PROVISIONAL if young else Verdict.GRANTED


def _conflict(entry: Entry, claim: Claim) -> bool:
    return entry.owner.owner_id != claim.owner.owner_id and not (entry.shared and claim.shared)


def _seniors(state: State, claim: Claim, since_seconds: float) -> bool:
    threshold = since_seconds - SENIORITY_MARGIN_SECONDS
    return any(
        entry.kind is Kind.WAIT and entry.since_seconds < threshold and _conflict(entry, claim)
        for entry in state.values()
    )


def _since(own: Entry | None, waited_seconds: float | None, now_seconds: float) -> float:
    """When the owner began to wait. The earliest estimate was the least delayed, hence the best."""
    since = now_seconds - (waited_seconds or 0.0)
    return min(since, own.since_seconds) if own is not None and own.kind is Kind.WAIT else since


def _queued(state: State, claim: Claim, since_seconds: float, now_seconds: float) -> State:
    if claim.waited_seconds is None:
        return state
    return _waiting(state, claim.owner, claim.shared, claim.round, since_seconds, now_seconds)


def _waiting(state: State, owner: Owner, shared: bool, round_: int, since_seconds: float, now_seconds: float) -> State:
    others = sum(1 for entry in state.values() if entry.kind is Kind.WAIT and entry.owner != owner)
    if others >= WAITERS_MAX:
        return {owner_id: entry for owner_id, entry in state.items() if owner_id != owner.owner_id}
    return _with(state, Entry(Kind.WAIT, owner, shared, round_, since_seconds, now_seconds + WAITER_SECONDS))


def _hold(claim: Claim, since_seconds: float, now_seconds: float) -> Entry:
    lease = min(claim.lease_seconds, LEASE_SECONDS_MAX)
    return Entry(Kind.HOLD, claim.owner, claim.shared, claim.round, since_seconds, now_seconds + lease)


def _with(state: State, entry: Entry) -> State:
    return {**state, entry.owner.owner_id: entry}

"""A lock that is held: which tables' leases run, by the holder's own clock, and keeping them running.

A lease is counted from the moment at which it was asked for, less what clocks may drift apart: so it ends for the
holder before it ends for the table. The lock is held while leases of a majority run; when too few do, or the tables
say that it is gone, it is lost, and the holder is told at once. It may well go on: safety does not rest on locks.

Grants of young tables (rustfs.mesh.locks.rules) make a lock only where all tables granted; of a table that joins later
only a firm grant counts.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from rustfs.core.ports import Clock, Entropy
from rustfs.mesh.locks.peers import LockPeer, answer_of
from rustfs.mesh.locks.rules import GRANTS, Answer, Claim, Owner, Verdict, majority

log = logging.getLogger("rustfs.locks")

DRIFT_FRACTION = 0.02
REFRESHES_PER_LEASE = 3
CALL_TIMEOUT_SECONDS = 1.0
_PAUSE_SECONDS_MIN = 0.05
_GONE = frozenset({Verdict.HELD, Verdict.NOT_HELD, Verdict.REVOKED})


class Leases:
    """What the holder knows of its leases, by table; synchronous and without I/O."""

    __slots__ = ("_counted", "_ends", "_lease_seconds", "_tables", "revoked")

    def __init__(self, tables: int, lease_seconds: float) -> None:
        self._tables = tables
        self._lease_seconds = lease_seconds * (1 - DRIFT_FRACTION)
        self._ends: dict[int, float] = {}  # table -> when its lease ends
        self._counted: set[int] = set()
        self.revoked: set[int] = set()  # by force: not to be asked again

    def begin(self, grants: Mapping[int, Verdict], asked_seconds: float) -> None:
        """The grants that made the lock, see rules.is_acquired."""
        firm = {table for table, verdict in grants.items() if verdict is Verdict.GRANTED}
        for table in grants:
            self._ends[table] = asked_seconds + self._lease_seconds
        self._counted = firm if len(firm) >= majority(self._tables) else set(grants)

    def learn(self, table: int, verdict: Verdict, asked_seconds: float, now_seconds: float) -> None:
        """A table's answer to a refresh, or to a later acquire, that was asked at `asked_seconds`."""
        if verdict in GRANTS:
            if verdict is Verdict.GRANTED:
                self._counted.add(table)
            elif not self.runs(table, now_seconds):
                self._counted.discard(table)  # forgotten in between: it may have been another's
            end = asked_seconds + self._lease_seconds
            self._ends[table] = max(end, self._ends.get(table, end))
        elif verdict in _GONE:
            self._ends.pop(table, None)
            self._counted.discard(table)
            if verdict is Verdict.REVOKED:
                self.revoked.add(table)

    def runs(self, table: int, now_seconds: float) -> bool:
        """Whether the table's lease runs."""
        return self._ends.get(table, now_seconds) > now_seconds

    def lost_at(self) -> float:
        """When the lock is lost, unless leases are extended until then; monotonic seconds, -inf when it is lost."""
        ends = sorted((self._ends[table] for table in self._counted), reverse=True)
        needed = majority(self._tables)
        return ends[needed - 1] if len(ends) >= needed else float("-inf")


class HeldLock:
    """A lock in hand. `lost` is set when it is not any more, though it was not given back."""

    def __init__(
        self,
        peers: Sequence[LockPeer],
        claim: Claim,
        leases: Leases,
        clock: Clock,
        entropy: Entropy,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self._peers = peers
        self._claim = claim
        self._leases = leases
        self._clock = clock
        self._entropy = entropy
        self._on_lost = on_lost
        self._round = claim.round
        self.lost = asyncio.Event()

    @property
    def resource(self) -> bytes:
        """What is locked."""
        return self._claim.resource

    @property
    def owner(self) -> Owner:
        """Who holds it."""
        return self._claim.owner

    @property
    def alive(self) -> bool:
        """Whether it is held at this moment; true to the clock even where the event loop came to a standstill."""
        return not self.lost.is_set() and self._leases.lost_at() > self._clock.monotonic_seconds()

    @property
    def last_round(self) -> int:
        """The round of the latest question asked for it."""
        return self._round

    async def keep(self) -> None:
        """Refresh until the lock is lost, or this is cancelled."""
        try:
            interval = self._claim.lease_seconds / REFRESHES_PER_LEASE
            pause = interval
            while await self._sleep(pause):
                complete = await self._refresh()
                pause = interval if complete else interval / 2
        except Exception:
            log.exception("refreshing the lock on %r failed", self.resource)
        self._lose()

    def absorb(self, table: int, answer: Answer | None, asked_seconds: float) -> None:
        """A late answer to the claim that made the lock."""
        if answer is not None:
            self._leases.learn(table, answer.verdict, asked_seconds, self._clock.monotonic_seconds())

    async def _sleep(self, pause_seconds: float) -> bool:
        """Wait a while, but not beyond the end of the lock. Whether there still is one."""
        left = self._leases.lost_at() - self._clock.monotonic_seconds()
        if left > 0:
            await asyncio.sleep(min(left, self._entropy.uniform(0.8, 1.0) * max(pause_seconds, _PAUSE_SECONDS_MIN)))
        return self._leases.lost_at() > self._clock.monotonic_seconds()

    async def _refresh(self) -> bool:
        """One round: whether every table granted."""
        now = self._clock.monotonic_seconds()
        self._round += 1
        timeout_seconds = max(_PAUSE_SECONDS_MIN, min(CALL_TIMEOUT_SECONDS, self._leases.lost_at() - now))
        asked = [table for table in range(len(self._peers)) if table not in self._leases.revoked]
        verdicts = await asyncio.gather(*(self._ask(table, now, timeout_seconds) for table in asked))
        return all(verdict in GRANTS for verdict in verdicts)

    async def _ask(self, table: int, asked: float, timeout_seconds: float) -> Verdict | None:
        peer = self._peers[table]
        claim = Claim(
            self.resource, self.owner, self._claim.shared, self._round, self._claim.lease_seconds, waited_seconds=None
        )
        call = peer.refresh if self._leases.runs(table, asked) else peer.acquire
        answer = await answer_of(call(claim, timeout_seconds), timeout_seconds)
        if answer is None:
            return None
        self._leases.learn(table, answer.verdict, asked, self._clock.monotonic_seconds())
        return answer.verdict

    def _lose(self) -> None:
        self.lost.set()
        log.warning("lost the lock on %r (%s)", self.resource, self.owner.purpose)
        if self._on_lost is not None:
            asyncio.get_running_loop().call_soon(self._on_lost)  # its errors are the event loop's to report

"""Taking a lock from a majority of the tables of a set, and giving it back.

All tables are asked at once. Where no lock comes of it, what was granted is given back before the next try, or two
contenders would hold half of the tables each for ever; but the place in the queues is kept. Tries come further and
further apart, with jitter, until the deadline. What is given back for good is given back in the background, at every
table: an acquire whose answer was lost may have been granted.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from rustfs.core.errors import LockTimeout
from rustfs.core.ports import Clock, Entropy
from rustfs.mesh.locks.holding import CALL_TIMEOUT_SECONDS, HeldLock, Leases
from rustfs.mesh.locks.peers import LockPeer, answer_of
from rustfs.mesh.locks.rules import (
    GRANTS,
    LEASE_SECONDS_MAX,
    OWNER_ID_BYTES,
    Answer,
    Claim,
    Owner,
    Release,
    Verdict,
    is_acquired,
    majority,
    may_be_acquired,
)

BACK_OFF_SECONDS = (0.004, 0.25)  # the first, and the longest
STRAGGLER_SECONDS = 0.1
RELEASE_TRIES = 3
RELEASE_PAUSE_SECONDS = 0.5
RELEASES_PENDING_MAX = 4_096


class LockClient:
    """Locks on one quorum of tables, for one node."""

    def __init__(
        self,
        peers: Sequence[LockPeer],
        node: str,
        clock: Clock,
        entropy: Entropy,
        lease_seconds: float = LEASE_SECONDS_MAX,
    ) -> None:
        """`node`: the name of this node, for the operator."""
        if not peers or not 0 < lease_seconds <= LEASE_SECONDS_MAX:
            raise ValueError("locks need tables, and a lease within the longest")
        self._peers = tuple(peers)
        self._node = node
        self._clock = clock
        self._entropy = entropy
        self._lease_seconds = lease_seconds
        self._releases: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def held(
        self,
        resource: bytes,
        *,
        shared: bool = False,
        timeout_seconds: float,
        purpose: str,
        on_lost: Callable[[], None] | None = None,
    ) -> AsyncIterator[HeldLock]:
        """Hold a lock on `resource` meanwhile.

        Args:
            timeout_seconds: how long to wait for it.
            purpose: a few words for the operator.
            on_lost: called once, from the event loop, if the lock is lost while it is held (see HeldLock.lost).

        Raises:
            LockTimeout: it was not to be had in time.
        """
        owner = Owner(self._entropy.bytes(OWNER_ID_BYTES), self._node, purpose)
        contender = _Contender(self._peers, resource, owner, shared, self._clock, self._entropy, self._lease_seconds)
        keeper: asyncio.Task[None] | None = None
        lock: HeldLock | None = None
        try:
            lock = await contender.acquire(timeout_seconds, on_lost)
            keeper = asyncio.create_task(lock.keep(), name="lock-keeper")
            yield lock
        finally:
            if keeper is not None:
                keeper.cancel()
            contender.stop()
            await self._give_back(contender.farewell(lock))

    async def close(self, timeout_seconds: float) -> None:
        """Wait for the releases under way, at most so long; what is not released by then expires."""
        if self._releases:
            _, pending = await asyncio.wait(self._releases, timeout=timeout_seconds)
            for task in pending:
                task.cancel()

    async def _give_back(self, wish: Release) -> None:
        releasing = self._release_everywhere(wish)
        if len(self._releases) >= RELEASES_PENDING_MAX:
            await releasing
            return
        task = asyncio.create_task(releasing, name="lock-release")
        self._releases.add(task)
        task.add_done_callback(self._releases.discard)

    async def _release_everywhere(self, wish: Release) -> None:
        remaining = list(self._peers)
        for attempt in range(RELEASE_TRIES):
            if attempt:
                await asyncio.sleep(self._entropy.uniform(0.5, 1.0) * RELEASE_PAUSE_SECONDS)
            done = await asyncio.gather(*(release_at(peer, wish, CALL_TIMEOUT_SECONDS) for peer in remaining))
            remaining = [peer for peer, ok in zip(remaining, done, strict=True) if not ok]
            if not remaining:
                return


async def release_at(peer: LockPeer, wish: Release, timeout_seconds: float) -> bool:
    """Whether the table confirmed it."""

    async def confirmed() -> bool:
        await peer.release(wish, timeout_seconds)
        return True

    return await answer_of(confirmed(), timeout_seconds) or False


async def _ignore(releasing: Awaitable[bool]) -> None:
    await releasing


class _Contender:
    """One wish for a lock, from the first try to the last."""

    def __init__(
        self,
        peers: Sequence[LockPeer],
        resource: bytes,
        owner: Owner,
        shared: bool,
        clock: Clock,
        entropy: Entropy,
        lease_seconds: float,
    ) -> None:
        self._peers = peers
        self._resource = resource
        self._owner = owner
        self._shared = shared
        self._clock = clock
        self._entropy = entropy
        self._lease_seconds = lease_seconds
        self._round = 0
        self._answers: dict[int, Answer | None] = {}  # of the latest round, by table
        self._heard: dict[int, Answer | None] = {}  # of any round: the latest, for the complaint
        self._calls: set[asyncio.Task[None]] = set()
        self._withdrawals: set[asyncio.Task[None]] = set()
        self._lock: HeldLock | None = None

    async def acquire(self, timeout_seconds: float, on_lost: Callable[[], None] | None) -> HeldLock:
        """The lock. Raises LockTimeout."""
        began = self._clock.monotonic_seconds()
        pause = BACK_OFF_SECONDS[0]
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    asked = self._clock.monotonic_seconds()
                    await self._ask_all(asked, asked - began)
                    if self._acquired():
                        return self._take(asked, on_lost)
                    self._withdraw(began)
                    await asyncio.sleep(self._entropy.uniform(pause / 2, pause))
                    pause = min(pause * 2, BACK_OFF_SECONDS[1])
        except TimeoutError:
            raise LockTimeout(self._complaint(timeout_seconds)) from None

    def stop(self) -> None:
        """Await no answer any more."""
        for call in self._calls | self._withdrawals:
            call.cancel()

    def farewell(self, lock: HeldLock | None) -> Release:
        """The release that ends it all."""
        last = self._round if lock is None else lock.last_round
        return Release(self._resource, self._owner, self._shared, last, waited_seconds=None)

    # -- a round -------------------------------------------------------------------------------------------------------

    async def _ask_all(self, asked: float, waited: float) -> None:
        """Ask all tables, and wait until it is clear whether a lock comes of it."""
        self._round += 1
        answers: dict[int, Answer | None] = {}
        self._answers = answers
        claim = Claim(self._resource, self._owner, self._shared, self._round, self._lease_seconds, waited)
        self._calls = {
            asyncio.create_task(self._ask(table, claim, answers, asked), name="lock-acquire")
            for table in range(len(self._peers))
        }
        pending = self._calls
        while pending and not self._acquired() and self._hopeful():
            patience = STRAGGLER_SECONDS if self._contended() else None
            done, pending = await asyncio.wait(pending, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return

    async def _ask(self, table: int, claim: Claim, answers: dict[int, Answer | None], asked: float) -> None:
        answer = await answer_of(self._peers[table].acquire(claim, CALL_TIMEOUT_SECONDS), CALL_TIMEOUT_SECONDS)
        answers[table] = self._heard[table] = answer
        if self._lock is not None:
            self._lock.absorb(table, answer, asked)

    def _grants(self) -> Mapping[int, Verdict]:
        given = ((table, answer.verdict) for table, answer in self._answers.items() if answer is not None)
        return {table: verdict for table, verdict in given if verdict in GRANTS}

    def _counts(self) -> tuple[int, int]:
        grants = self._grants().values()
        firm = sum(1 for verdict in grants if verdict is Verdict.GRANTED)
        return firm, len(grants) - firm

    def _acquired(self) -> bool:
        return is_acquired(len(self._peers), *self._counts())

    def _hopeful(self) -> bool:
        return may_be_acquired(len(self._peers), *self._counts(), len(self._peers) - len(self._answers))

    def _contended(self) -> bool:
        """A majority has answered, and somebody else is about: not the time to sit on grants and wait for the slow."""
        given = [answer for answer in self._answers.values() if answer is not None]
        return len(given) >= majority(len(self._peers)) and any(answer.verdict not in GRANTS for answer in given)

    def _take(self, asked: float, on_lost: Callable[[], None] | None) -> HeldLock:
        leases = Leases(len(self._peers), self._lease_seconds)
        leases.begin(self._grants(), asked)
        claim = Claim(self._resource, self._owner, self._shared, self._round, self._lease_seconds, None)
        self._lock = HeldLock(self._peers, claim, leases, self._clock, self._entropy, on_lost)
        return self._lock

    def _withdraw(self, began: float) -> None:
        """Give back what this round got, or may have got; those who refused remember us anyway.

        Nothing waits for it: rounds tell a late release from the next try.
        """
        for call in self._calls:
            call.cancel()
        waited = self._clock.monotonic_seconds() - began
        wish = Release(self._resource, self._owner, self._shared, self._round, waited)
        for table, peer in enumerate(self._peers):
            answer = self._answers.get(table)
            if answer is None or answer.verdict in GRANTS:
                task = asyncio.create_task(_ignore(release_at(peer, wish, CALL_TIMEOUT_SECONDS)), name="lock-withdraw")
                self._withdrawals.add(task)
                task.add_done_callback(self._withdrawals.discard)

    def _complaint(self, timeout_seconds: float) -> str:
        answers = [answer for answer in self._heard.values() if answer is not None]
        holders = {
            f"{info.owner.node} ({info.owner.purpose})": None
            for answer in answers
            if answer.verdict is Verdict.HELD
            for info in answer.holders
        }
        tables = len(self._peers)
        silent = sum(1 for answer in self._heard.values() if answer is None) if self._heard else tables
        if holders:
            reason = f"held by {', '.join(holders)}"
        elif silent > tables - majority(tables):
            reason = f"{silent} of {tables} lock tables did not answer"
        else:
            reason = "others contend for it"
        return f"no lock on {self._resource.decode(errors='backslashreplace')} in {timeout_seconds:g} s: {reason}"

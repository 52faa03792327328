"""Turns by key: who wants to compare-and-swap the same key queues, first come, first served within a process.

Order and fairness alone rest on it, never safety: a contender that waited long enough goes ahead, and contenders that
do not know of each other settle it by their promises. Without turns every contender outbids the others' promises, which
costs all of them rounds and leaves some with a half-accepted write whose fate nobody can tell any more.

Between nodes a turn costs a round trip of its own, so it is taken only after promises clashed: the swap that was outbid
takes the key's lease for its remaining tries, and some that queue behind it in this process begin with it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from rustfs.core.ports import ClusterLocks, Entropy, KeyLocks

TURN_TIMEOUT_SECONDS = 4.0
LEASE_TIMEOUT_SECONDS = 4.0
PAUSE_SECONDS = (0.0005, 0.004)
LEASED_TURNS = 8  # so many turns after a clash begin with the lease


class _Queue:
    """The contenders for a key in this process."""

    __slots__ = ("leased_turns", "lock", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0
        self.leased_turns = 0


class Turn:
    """One contender's turn."""

    __slots__ = ("_cluster", "_key", "_queue", "_set_index", "_stack")

    def __init__(
        self, cluster: ClusterLocks | None, set_index: int, key: bytes, queue: _Queue, stack: AsyncExitStack
    ) -> None:
        self._cluster = cluster
        self._set_index = set_index
        self._key = key
        self._queue = queue
        self._stack = stack

    async def begin(self) -> None:
        """Take the cluster-wide lease first, where the key's contenders clashed with other nodes' of late."""
        if self._queue.leased_turns:
            self._queue.leased_turns -= 1
            await self._lease()

    async def next_try(self, *, clashed: bool) -> None:
        """Before each try. Once one clashed with another contender, the rest is under the cluster-wide lease.

        Waits for it for LEASE_TIMEOUT_SECONDS at most, then goes ahead without: it is asked for once.
        """
        if clashed and self._cluster is not None:
            self._queue.leased_turns = LEASED_TURNS
            await self._lease()

    async def _lease(self) -> None:
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            await self._stack.enter_async_context(cluster.held(self._set_index, self._key, LEASE_TIMEOUT_SECONDS))


class Turns:
    """First-in-first-out locks by key of one event loop, behind them those of the node, then those of the cluster."""

    __slots__ = ("_cluster", "_entropy", "_node", "_queues")

    def __init__(self, entropy: Entropy, node: KeyLocks | None, cluster: ClusterLocks | None = None) -> None:
        """What there is one of needs no locks.

        Args:
            node: locks that the node's processes share; None where there is one process.
            cluster: leases that the nodes share; None where there is one node.
        """
        self._entropy = entropy
        self._node = node
        self._cluster = cluster
        self._queues: dict[bytes, _Queue] = {}

    @asynccontextmanager
    async def of(self, key: bytes, set_index: int = 0) -> AsyncIterator[Turn]:
        """Hold the key's turn, or go ahead without it after TURN_TIMEOUT_SECONDS. `set_index`: the key's set."""
        queue = self._queues.setdefault(key, _Queue())
        queue.users += 1
        first = locked = False
        try:
            try:
                async with asyncio.timeout(TURN_TIMEOUT_SECONDS):
                    first = await queue.lock.acquire()
                    if self._node is not None:
                        while not (locked := self._node.try_lock(key)):  # noqa: ASYNC110 -- the kernel wakes nobody
                            await asyncio.sleep(self._entropy.uniform(*PAUSE_SECONDS))
            except TimeoutError:
                pass
            async with AsyncExitStack() as stack:
                turn = Turn(self._cluster, set_index, key, queue, stack)
                await turn.begin()
                yield turn
        finally:
            if locked and self._node is not None:
                self._node.unlock(key)
            if first:
                queue.lock.release()
            queue.users -= 1
            if not queue.users:
                del self._queues[key]

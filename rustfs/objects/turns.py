"""Turns by key: who wants to compare-and-swap the same key queues, first come, first served within a process.

Order and fairness alone rest on it, never safety: a contender that waited long enough goes ahead, and contenders that
do not know of each other settle it by their promises. Without turns every contender outbids the others' promises, which
costs all of them rounds and leaves some with a half-accepted write whose fate nobody can tell any more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rustfs.core.ports import Entropy, KeyLocks

TURN_TIMEOUT_SECONDS = 4.0
PAUSE_SECONDS = (0.0005, 0.004)


class Turns:
    """First-in-first-out locks by key of one event loop, and behind them those of all processes of the node."""

    __slots__ = ("_entropy", "_node", "_queues")

    def __init__(self, entropy: Entropy, node: KeyLocks | None) -> None:
        """`node`: locks that the node's processes share; None where there is one process."""
        self._entropy = entropy
        self._node = node
        self._queues: dict[bytes, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def of(self, key: bytes) -> AsyncIterator[None]:
        """Hold the key's turn, or go ahead without it after TURN_TIMEOUT_SECONDS."""
        queue, users = self._queues.get(key) or (asyncio.Lock(), 0)
        self._queues[key] = (queue, users + 1)
        first = locked = False
        try:
            try:
                async with asyncio.timeout(TURN_TIMEOUT_SECONDS):
                    first = await queue.acquire()
                    if self._node is not None:
                        while not (locked := self._node.try_lock(key)):  # noqa: ASYNC110 -- the kernel wakes nobody
                            await asyncio.sleep(self._entropy.uniform(*PAUSE_SECONDS))
            except TimeoutError:
                pass
            yield
        finally:
            if locked and self._node is not None:
                self._node.unlock(key)
            if first:
                queue.release()
            _, users = self._queues[key]
            if users == 1:
                del self._queues[key]
            else:
                self._queues[key] = (queue, users - 1)

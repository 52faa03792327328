"""Lock tables and clients in one thread, under virtual time, over a network that loses, delays and repeats."""

import asyncio
import random
import selectors
from contextlib import asynccontextmanager

from rustfs.core.errors import LockUnavailable
from rustfs.mesh.locks.client import LockClient
from rustfs.mesh.locks.table import LockTable


class _Selector(selectors.DefaultSelector):
    """Instead of waiting, time goes on."""

    def __init__(self):
        super().__init__()
        self.now = 1_000.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everything waits, and nothing is to come")
        if not ready:
            self.now += max(timeout, 1e-6)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that sleeps in no time; also a Clock."""

    def __init__(self):
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self):
        return self._virtual.now

    def monotonic_seconds(self):
        return self._virtual.now

    def now_milliseconds(self):
        raise AssertionError("locks know no wall clock")

    def stand_still(self, seconds):
        """The process is paused: time goes on, and nothing runs."""
        self._virtual.now += seconds


def run(scenario):
    """Run `scenario(loop)` under virtual time; leftovers are cancelled."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario(runner.get_loop()))


class SeededEntropy:
    def __init__(self, seed=1):
        self._random = random.Random(seed)

    def bytes(self, count):
        return self._random.randbytes(count)

    def uniform(self, low, high):
        return self._random.uniform(low, high)


class Node:
    """A node's lock table, reached over a network. `faults` says, by message, what becomes of it."""

    def __init__(self, name, clock, faults=None):
        self.name = name
        self._clock = clock
        self._faults = faults or (lambda: [0.001])
        self.table = LockTable(":memory:", clock)
        self.up = True
        self.calls = []
        self._on_the_way = set()

    def restart(self):
        """All is forgotten."""
        self.table.close()
        self.table = LockTable(":memory:", self._clock)

    def grown_up(self):
        """As if it had been up for long."""
        self.table._started = self._clock.monotonic_seconds() - 1_000.0
        return self

    async def acquire(self, claim, timeout_seconds):
        return await self._call("acquire", claim)

    async def refresh(self, claim, timeout_seconds):
        return await self._call("refresh", claim)

    async def release(self, wish, timeout_seconds):
        await self._call("release", wish)

    async def _call(self, name, argument):
        answer = asyncio.get_running_loop().create_future()
        delays = self._faults()
        for delay in delays[:2]:  # the request arrives once, or twice, or never
            task = asyncio.create_task(self._arrive(name, argument, delay, answer))
            self._on_the_way.add(task)
            task.add_done_callback(self._on_the_way.discard)
        return await answer

    async def _arrive(self, name, argument, delay, answer):
        # Like a datagram: who sent it may long have given up.
        await asyncio.sleep(delay)
        if not self.up:
            if not answer.done():
                answer.set_exception(LockUnavailable(f"{self.name} is down"))
            return
        self.calls.append(name)
        found = getattr(self.table, name)(argument)
        for back in self._faults()[:1]:
            await asyncio.sleep(back)
            if not answer.done():
                answer.set_result(found)


def nodes(loop, count, faults=None, *, young=False):
    made = [Node(f"node{number}", loop, faults) for number in range(1, count + 1)]
    return made if young else [node.grown_up() for node in made]


@asynccontextmanager
async def client_of(loop, peers, name="node1", seed=1):
    client = LockClient(peers, name, loop, SeededEntropy(seed))
    yield client
    await client.close(10.0)

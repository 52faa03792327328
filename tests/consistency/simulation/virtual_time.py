"""An event loop in which time passes only when nobody has anything to do: hours in moments, the same every time."""

import asyncio
import random
import selectors
from collections.abc import Coroutine
from typing import Any


class _Idle(selectors.SelectSelector):
    """Waiting for something to happen is what lets time pass."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing is going to happen")
        self.loop.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self.now = 1_000.0
        selector = _Idle()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class SimClock:
    """See rustfs.core.ports.Clock: a wall clock that may be off, over virtual time."""

    def __init__(self) -> None:
        self.skew_seconds = 0.0

    def now_milliseconds(self) -> int:
        return int((asyncio.get_running_loop().time() + self.skew_seconds) * 1000)

    def monotonic_seconds(self) -> float:
        return asyncio.get_running_loop().time()


class SimEntropy:
    """See rustfs.core.ports.Entropy: seeded."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def bytes(self, count: int) -> bytes:
        return self._dice.randbytes(count)

    def uniform(self, low: float, high: float) -> float:
        return self._dice.uniform(low, high)

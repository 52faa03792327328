"""How background work makes room for clients: while there are requests it rests in proportion to its work."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rustfs.core.configuration import HEAL_SHARE_DEFAULT
from rustfs.core.ports import Clock

REST_SECONDS_MAX = 10.0
BUSY_SECONDS = 1.0  # after the last request that was seen: clients go to one node after the other


class Throttle:
    """One per process; shared by all that heals."""

    def __init__(self, clock: Clock, requests_in_flight: Callable[[], int]) -> None:
        self._clock = clock
        self._requests_in_flight = requests_in_flight
        self._busy_until = 0.0
        self.share_percent = HEAL_SHARE_DEFAULT  # of its time that it works while there are requests

    @asynccontextmanager
    async def turn(self, share_percent: int | None = None) -> AsyncIterator[None]:
        """Around a piece of work; `share_percent` of work that can wait, in place of what is set for healing."""
        self._look()
        started = self._clock.monotonic_seconds()
        yield
        self._look()
        if self._clock.monotonic_seconds() < self._busy_until:
            await asyncio.sleep(
                rest_seconds(self._clock.monotonic_seconds() - started, share_percent or self.share_percent)
            )

    def _look(self) -> None:
        if self._requests_in_flight():
            self._busy_until = self._clock.monotonic_seconds() + BUSY_SECONDS


def rest_seconds(worked_seconds: float, share_percent: int) -> float:
    """How long to rest after that much work, so that working takes this share of the time; bounded."""
    return min(REST_SECONDS_MAX, worked_seconds * (100 - share_percent) / share_percent)

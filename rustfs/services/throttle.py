"""How background work makes room for clients: while requests are in flight it rests in proportion to its work."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rustfs.core.configuration import HEAL_SHARE_DEFAULT
from rustfs.core.ports import Clock

REST_SECONDS_MAX = 10.0


class Throttle:
    """One per process; shared by all that heals."""

    def __init__(self, clock: Clock, requests_in_flight: Callable[[], int]) -> None:
        self._clock = clock
        self._requests_in_flight = requests_in_flight
        self.share_percent = HEAL_SHARE_DEFAULT  # of its time that it works while there are requests

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Around a piece of work."""
        started = self._clock.monotonic_seconds()
        yield
        if self._requests_in_flight():
            await asyncio.sleep(rest_seconds(self._clock.monotonic_seconds() - started, self.share_percent))


def rest_seconds(worked_seconds: float, share_percent: int) -> float:
    """How long to rest after that much work, so that working takes this share of the time; bounded."""
    return min(REST_SECONDS_MAX, worked_seconds * (100 - share_percent) / share_percent)

"""How background work makes room for clients: while requests are in flight it rests as long as it worked."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rustfs.core.ports import Clock

REST_SECONDS_MAX = 1.0


class Throttle:
    """One per process; shared by all that heals."""

    def __init__(self, clock: Clock, requests_in_flight: Callable[[], int]) -> None:
        self._clock = clock
        self._requests_in_flight = requests_in_flight

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Around a piece of work."""
        started = self._clock.monotonic_seconds()
        yield
        if self._requests_in_flight():
            await asyncio.sleep(min(REST_SECONDS_MAX, self._clock.monotonic_seconds() - started))

"""How long the tries of one operation on a key go on, and the pauses between them."""

import asyncio

from rustfs.core.ports import Clock, Entropy

PATIENCE_SECONDS = 20.0  # no round is begun later than this after the first one


class Patience:
    """Deadlines, and pauses that grow from one try to the next."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy

    def deadline(self) -> float:
        """Of an operation that begins now: monotonic seconds."""
        return self._clock.monotonic_seconds() + PATIENCE_SECONDS

    def over(self, deadline: float) -> bool:
        return self._clock.monotonic_seconds() > deadline

    async def pause(self, attempt: int) -> None:
        """After the try of this number, from 0."""
        ceiling = min(0.4, 0.004 * 2**attempt)
        await asyncio.sleep(self._entropy.uniform(ceiling / 4, ceiling))

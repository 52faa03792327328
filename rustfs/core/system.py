"""The real Clock and Entropy."""

import os
import random
import time

_jitter = random.SystemRandom()


class SystemClock:
    """The machine's clocks."""

    def now_milliseconds(self) -> int:
        """See Clock."""
        return time.time_ns() // 1_000_000

    def monotonic_seconds(self) -> float:
        """See Clock."""
        return time.monotonic()


class SystemEntropy:
    """The machine's random source."""

    def bytes(self, count: int) -> bytes:
        """See Entropy."""
        return os.urandom(count)

    def uniform(self, low: float, high: float) -> float:
        """See Entropy."""
        return _jitter.uniform(low, high)

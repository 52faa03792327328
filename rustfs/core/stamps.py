"""Stamps: hybrid logical clock values that order versions, and that serve as ballots (tokens) of the quorum protocol.

A stamp is 16 bytes, compared as bytes: 6 bytes of milliseconds since the epoch, 2 bytes of counter, 8 bytes that name
the writer (random per process), all big-endian. So a stamp is unique, ascends within a process even when the wall
clock steps back, and carries the version's Last-Modified. Source: Kulkarni et al., Logical Physical Clocks (2014).

Invariant: no two calls of `StampClock.next` in any processes ever return the same stamp.
"""

from rustfs.core.ports import Clock, Entropy

STAMP_BYTES = 16
ZERO_STAMP = bytes(STAMP_BYTES)
HIGHEST_STAMP = b"\xff" * STAMP_BYTES

_COUNTER_BITS = 16
_TICK_MAX = (1 << 64) - 1


def milliseconds_of(stamp: bytes) -> int:
    """The wall clock part of a stamp: milliseconds since the epoch."""
    return int.from_bytes(stamp[:6], "big")


class StampClock:
    """Issues the stamps of one process, each above all that it issued or was shown before."""

    __slots__ = ("_clock", "_last_tick", "_writer")

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._writer = entropy.bytes(8)
        self._last_tick = 0

    def next(self, above: bytes = ZERO_STAMP) -> bytes:
        """A new stamp, above `above` and above every stamp issued before.

        Raises:
            OverflowError: `above` leaves no room (only a forged stamp can).
        """
        tick = self._clock.now_milliseconds() << _COUNTER_BITS
        floor = max(self._last_tick, int.from_bytes(above[:8], "big"))
        if tick <= floor:
            tick = floor + 1
        if tick > _TICK_MAX:
            raise OverflowError("stamp out of range")
        self._last_tick = tick
        return tick.to_bytes(8, "big") + self._writer

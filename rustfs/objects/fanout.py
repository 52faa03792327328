"""Asking several drives at once: one wait, one timer, no task per drive.

A drive that is slow, paused or cut off must not hold up what the others can answer. So a wait has three ends: it is
*enough* (go on at once); there is enough to *proceed*, though more would be better (the rest gets a short grace, three
times as long as the others took); or time is up. Whom a round needs to hear is the caller's rule, never changed here.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Generic, TypeVar

from rustfs.core.errors import DriveOffline
from rustfs.core.ports import Clock

T = TypeVar("T")

GRACE_FACTOR = 3.0
GRACE_SECONDS_MIN = 0.005
GRACE_SECONDS_MAX = 0.25


def grace_seconds(took_seconds: float, longest_seconds: float = GRACE_SECONDS_MAX) -> float:
    """How much longer to wait for the rest, where enough of them took this long."""
    return min(longest_seconds, max(GRACE_SECONDS_MIN, GRACE_FACTOR * took_seconds))


class Fanout(Generic[T]):
    """The answers of drives that were asked the same thing.

    `answers` and `errors` (position -> what came) go on filling after `wait` returned, until all have come.
    """

    __slots__ = ("_clock", "_enough", "_pending", "_proceed", "_started", "_timer", "_waiter", "_when_all", "answers",
                 "asked", "errors")  # fmt: skip

    def __init__(self, calls: Iterable[tuple[int, "asyncio.Future[T]"]], clock: Clock) -> None:
        self.answers: dict[int, T] = {}
        self.errors: dict[int, BaseException] = {}
        self.asked: set[int] = set()
        self._clock = clock
        self._started = clock.monotonic_seconds()
        self._enough: Callable[[], bool] | None = None
        self._proceed: Callable[[], bool] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._when_all: Callable[[], None] | None = None
        self._pending = 0
        self.ask(calls)

    def ask(self, calls: Iterable[tuple[int, "asyncio.Future[T]"]]) -> None:
        """Ask more drives (each position once)."""
        for position, future in calls:
            self.asked.add(position)
            self._pending += 1
            future.add_done_callback(partial(self._arrived, position))

    @property
    def complete(self) -> bool:
        """Whether every drive that was asked has answered or failed."""
        return self._pending == 0

    @property
    def silent(self) -> set[int]:
        """Positions that were asked and have neither answered nor failed."""
        return self.asked - self.answers.keys() - self.errors.keys()

    @property
    def elapsed_seconds(self) -> float:
        """Since the first were asked."""
        return self._clock.monotonic_seconds() - self._started

    async def wait(
        self, enough: Callable[[], bool], timeout_seconds: float, proceed: Callable[[], bool] | None = None
    ) -> bool:
        """Wait until `enough()` (asked at each answer), or all have come, or time is up. Whether it is enough.

        Args:
            proceed: from when this holds, too, the rest gets no more than a grace.
        """
        if self._pending == 0 or enough():
            return enough()
        loop = asyncio.get_running_loop()
        self._enough, self._proceed = enough, proceed
        self._waiter = waiter = loop.create_future()
        self._timer = loop.call_later(timeout_seconds, self._wake)
        try:
            self._shorten()
            await waiter
        finally:
            self._timer.cancel()
            self._waiter = self._timer = self._enough = self._proceed = None
        return enough()

    def when_all(self, callback: Callable[[], None]) -> None:
        """Call back once every drive has answered or failed (at once, if they have)."""
        if self._pending == 0:
            callback()
        else:
            self._when_all = callback

    def _shorten(self) -> None:
        """Where the rest is no longer needed: let the wait end after a grace, if that is sooner."""
        if self._proceed is None or self._timer is None or not self._proceed():
            return
        self._proceed = None
        loop = asyncio.get_running_loop()
        grace = grace_seconds(self.elapsed_seconds)
        if loop.time() + grace < self._timer.when():
            self._timer.cancel()
            self._timer = loop.call_later(grace, self._wake)

    def _arrived(self, position: int, future: "asyncio.Future[T]") -> None:
        self._pending -= 1
        if future.cancelled():
            self.errors[position] = asyncio.CancelledError()
        else:
            error = future.exception()
            if error is None:
                self.answers[position] = future.result()
            else:
                self.errors[position] = error
        if self._waiter is not None:
            if self._pending == 0 or (self._enough is not None and self._enough()):
                self._wake()
            else:
                self._shorten()
        if self._pending == 0 and self._when_all is not None:
            when_all, self._when_all = self._when_all, None
            when_all()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def in_time(future: "asyncio.Future[T]", timeout_seconds: float) -> T:
    """One drive's answer. Raises what the future raises, and DriveOffline when time is up."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return await future
    except TimeoutError:
        raise DriveOffline(f"no answer within {timeout_seconds:g} s") from None

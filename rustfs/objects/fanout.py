"""Asking several drives at once: one wait, one timer, no task per drive."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")


class Fanout(Generic[T]):
    """The answers of drives that were asked the same thing.

    `answers` and `errors` (position -> what came) go on filling after `wait` returned, until all have come.
    """

    __slots__ = ("_enough", "_pending", "_waiter", "_when_all", "answers", "errors")

    def __init__(self, calls: Iterable[tuple[int, "asyncio.Future[T]"]]) -> None:
        self.answers: dict[int, T] = {}
        self.errors: dict[int, BaseException] = {}
        self._enough: Callable[[], bool] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._when_all: Callable[[], None] | None = None
        asked = list(calls)
        self._pending = len(asked)
        for position, future in asked:
            future.add_done_callback(partial(self._arrived, position))

    @property
    def complete(self) -> bool:
        """Whether every drive has answered or failed."""
        return self._pending == 0

    async def wait(self, enough: Callable[[], bool], timeout_seconds: float) -> bool:
        """Wait until `enough()` (asked at each answer), or all have come, or time is up. Whether it is enough."""
        if self._pending == 0 or enough():
            return enough()
        loop = asyncio.get_running_loop()
        self._enough = enough
        self._waiter = waiter = loop.create_future()
        timer = loop.call_later(timeout_seconds, self._wake)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None
        return enough()

    def when_all(self, callback: Callable[[], None]) -> None:
        """Call back once every drive has answered or failed (at once, if they have)."""
        if self._pending == 0:
            callback()
        else:
            self._when_all = callback

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
        if self._waiter is not None and (self._pending == 0 or (self._enough is not None and self._enough())):
            self._wake()
        if self._pending == 0 and self._when_all is not None:
            self._when_all()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

"""Failing a future that perhaps nobody waits for any more."""

import asyncio
from typing import TypeVar

T = TypeVar("T")


def fail(future: "asyncio.Future[T]", error: BaseException) -> None:
    """Let a drive's error be the answer, without effect where there is one.

    Whoever asked may have enough by then, or be gone; asyncio would log an error that nobody looked at as if it were a
    bug. So it is looked at here; whoever still waits gets it all the same.
    """
    if not future.done():
        future.set_exception(error)
        future.exception()

"""One table of a quorum, local or remote: the client cannot tell them apart."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

from rustfs.core.errors import LockUnavailable, RustFSError
from rustfs.mesh.locks.rules import Answer, Claim, LockInfo, Release
from rustfs.mesh.locks.table import LockTable

log = logging.getLogger("rustfs.locks")

CALL_TIMEOUT_SECONDS = 2.0
CALLS_QUEUED_MAX = 1_024

T = TypeVar("T")


class LockPeer(Protocol):
    """A node's lock table.

    Every call ends by `timeout_seconds`: with an answer, or with a RustFSError, OSError or TimeoutError, after which
    nobody knows whether it took effect. Each may be repeated, and may arrive late: rounds tell.
    """

    @property
    def name(self) -> str:
        """Of the node."""

    async def acquire(self, claim: Claim, timeout_seconds: float) -> Answer:
        """See rules.acquire."""

    async def refresh(self, claim: Claim, timeout_seconds: float) -> Answer:
        """See rules.refresh."""

    async def release(self, wish: Release, timeout_seconds: float) -> None:
        """See rules.release."""


async def answer_of(call: Coroutine[Any, Any, T], timeout_seconds: float) -> T | None:  # Any: what is sent to it
    """The answer, or None where a peer gave none in time."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return await call
    except (RustFSError, OSError) as error:  # TimeoutError is an OSError
        log.debug("a lock table did not answer: %s", error)
        return None


class LocalLocks:
    """This node's table, for an event loop: calls go one after the other through one thread, in the order they came."""

    def __init__(self, name: str, open_table: Callable[[], LockTable]) -> None:
        """`open_table` is called in the thread, by the first call."""
        self._name = name
        self._open_table = open_table
        self._table: LockTable | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="locks")
        self._room = threading.BoundedSemaphore(CALLS_QUEUED_MAX)

    @property
    def name(self) -> str:
        """See LockPeer."""
        return self._name

    async def acquire(self, claim: Claim, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> Answer:
        """See LockPeer."""
        return await self._call(lambda table: table.acquire(claim), timeout_seconds)

    async def refresh(self, claim: Claim, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> Answer:
        """See LockPeer."""
        return await self._call(lambda table: table.refresh(claim), timeout_seconds)

    async def release(self, wish: Release, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> None:
        """See LockPeer."""
        await self._call(lambda table: table.release(wish), timeout_seconds)

    async def force_release(self, resource: bytes, owner_id: bytes | None) -> int:
        """See LockTable.force_release."""
        return await self._call(lambda table: table.force_release(resource, owner_id), CALL_TIMEOUT_SECONDS)

    async def list(self, after: tuple[bytes, bytes], limit: int) -> list[LockInfo]:
        """See LockTable.list."""
        return await self._call(lambda table: table.list(after, limit), CALL_TIMEOUT_SECONDS)

    async def close(self) -> None:
        """Wait for the calls under way, and close the table."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                await asyncio.get_running_loop().run_in_executor(self._executor, self._close)
        except TimeoutError:
            pass
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _close(self) -> None:
        if self._table is not None:
            self._table.close()
            self._table = None

    async def _call(self, work: Callable[[LockTable], T], timeout_seconds: float) -> T:
        if not self._room.acquire(blocking=False):
            raise LockUnavailable(f"the lock table of {self._name} is overloaded")
        call = _Call(work)
        outcome = asyncio.wrap_future(self._executor.submit(self._run, call))
        outcome.add_done_callback(_look_at)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await asyncio.shield(outcome)
        except TimeoutError as error:
            raise LockUnavailable(f"the lock table of {self._name} did not answer in time") from error
        finally:
            call.wanted = False

    def _run(self, call: "_Call[T]") -> T:
        self._room.release()
        if not call.wanted:
            raise LockUnavailable("nobody waits for the answer any more")
        if self._table is None:
            self._table = self._open_table()
        return call.work(self._table)


class _Call(Generic[T]):
    """A call in the thread's queue. It stays there when nobody waits any more, and counts, but is not begun."""

    __slots__ = ("wanted", "work")

    def __init__(self, work: Callable[[LockTable], T]) -> None:
        self.work = work
        self.wanted = True


def _look_at(outcome: asyncio.Future[T]) -> None:
    if not outcome.cancelled():
        outcome.exception()

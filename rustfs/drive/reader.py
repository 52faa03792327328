"""Metadata reads: all that one turn of the event loop asks of all local drives becomes one job in one thread.

A hop to a thread costs as much as several point reads, so an object's four drives are read by one hop. A drive that
hangs must not hold up the others: a watch takes the rest of a stuck job over to another thread, and reports the drive.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, NamedTuple, TypeVar

import apsw

from rustfs.core.errors import DriveError, DriveOffline
from rustfs.core.futures import fail
from rustfs.core.ports import Clock
from rustfs.drive import tables
from rustfs.drive.tables import StoreGone

STALL_SECONDS = 4.0
_CONNECTIONS_KEPT = 4

T = TypeVar("T")


class ReadPool:
    """Read connections of one drive's metadata store. Thread-safe."""

    def __init__(self, database: str, file: tuple[int, int], on_failure: Callable[[BaseException], DriveError]) -> None:
        """`file`: what tables.store_file said of the database when the session began."""
        self._database = database
        self._file = file
        self._on_failure = on_failure
        self._idle: list[apsw.Connection] = []
        self._closed = False

    def answer(self, queries: "list[ReadCall]") -> list[Any]:
        """The answers of several queries, or the errors that stand for them. Blocking."""
        connection = None
        try:
            connection = self._idle.pop() if self._idle else tables.connect(self._database, writable=False)
            results: list[Any] = [query.work(connection) for query in queries]
            # Afterwards: what was read, by this connection or one just opened, came from the store of this session.
            if tables.store_file(self._database) != self._file:
                raise StoreGone(f"{self._database} was replaced")
        except (apsw.Error, OSError, StoreGone) as error:
            if connection is not None:
                connection.close()
            failure = DriveOffline("closed") if self._closed else self._on_failure(error)
            return [failure] * len(queries)
        if self._closed or len(self._idle) >= _CONNECTIONS_KEPT:
            connection.close()
        else:
            self._idle.append(connection)
        return results

    def stalled(self) -> None:
        """Report that the drive does not answer."""
        self._on_failure(TimeoutError(f"a read has taken over {STALL_SECONDS:.0f} s"))

    def close(self) -> None:
        """Close idle connections; those in use are closed when they come back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


class ReadCall(NamedTuple):
    """A query waiting for its turn."""

    work: Callable[[apsw.Connection], Any]  # Any: each kind of query has its own answer, for its own future
    future: "asyncio.Future[Any]"


class _Job:
    """The reads of one turn of the loop: per drive its queries."""

    def __init__(self, groups: list[tuple[ReadPool, list[ReadCall]]], started: float) -> None:
        self.groups = groups
        self.started = started
        self.next = 0
        self.lock = threading.Lock()

    def claim(self) -> tuple[ReadPool, list[ReadCall]] | None:
        """The next drive's queries, for whichever thread asks first."""
        with self.lock:
            if self.next >= len(self.groups):
                return None
            self.next += 1
            return self.groups[self.next - 1]


class ReadBatcher:
    """Gathers the reads of one process. Used by the loop's thread."""

    def __init__(self, executor: Executor, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._executor = executor
        self._clock = clock
        self._loop = loop
        self._waiting: dict[ReadPool, list[ReadCall]] = {}
        self._running: set[_Job] = set()
        self._watch: asyncio.TimerHandle | None = None

    def submit(self, pool: ReadPool, work: Callable[[apsw.Connection], T]) -> "asyncio.Future[T]":
        """Run a query on a drive's metadata store in this turn's job."""
        future: asyncio.Future[T] = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._start)
        calls = self._waiting.get(pool)
        if calls is None:
            self._waiting[pool] = [ReadCall(work, future)]
        else:
            calls.append(ReadCall(work, future))
        return future

    def _start(self) -> None:
        job = _Job(list(self._waiting.items()), self._clock.monotonic_seconds())
        self._waiting = {}
        self._running.add(job)
        if self._watch is None:
            self._watch = self._loop.call_later(STALL_SECONDS, self._look)
        self._executor.submit(self._run, job)

    def _run(self, job: _Job) -> None:
        done: list[tuple[list[ReadCall], list[Any]]] = []
        while (group := job.claim()) is not None:
            pool, calls = group
            done.append((calls, pool.answer(calls)))
        try:
            self._loop.call_soon_threadsafe(self._finish, job, done)
        except RuntimeError:
            return  # the loop is closed: nobody is waiting any more

    def _finish(self, job: _Job, done: list[tuple[list[ReadCall], list[Any]]]) -> None:
        self._running.discard(job)
        for calls, results in done:
            for call, result in zip(calls, results, strict=True):
                if call.future.done():
                    continue
                if isinstance(result, BaseException):
                    fail(call.future, result)
                else:
                    call.future.set_result(result)

    def _look(self) -> None:
        """Every few seconds while jobs run: take over from threads that a drive holds up."""
        self._watch = None
        late = self._clock.monotonic_seconds() - STALL_SECONDS
        for job in list(self._running):
            if job.started > late:
                continue
            with job.lock:
                stuck, rest = job.groups[max(0, job.next - 1)], job.groups[job.next :]
                job.groups = job.groups[: job.next]
            self._running.discard(job)
            pool, calls = stuck
            pool.stalled()
            for call in calls:
                fail(call.future, DriveOffline("the drive does not answer"))
            if rest:
                relay = _Job(rest, self._clock.monotonic_seconds())
                self._running.add(relay)
                self._executor.submit(self._run, relay)
        if self._running:
            self._watch = self._loop.call_later(STALL_SECONDS, self._look)

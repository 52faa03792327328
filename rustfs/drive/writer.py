"""Group commit: one thread per drive and process gathers all waiting writes into one transaction.

The processes of a node take turns with a file lock around the whole transaction, which is faster than SQLite's own
waiting (docs/adr/0003), and the answers of a commit come back to the event loop in one call. A commit is answered only
when it is durable. A failing commit fails all its calls and is reported; whether it reached the disk is then unknown,
which is what DriveOffline says.
"""

import asyncio
import contextlib
import fcntl
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import apsw

from rustfs.core.errors import DriveError, DriveOffline, ShardMissing
from rustfs.core.futures import fail
from rustfs.core.ports import Clock
from rustfs.drive import tables
from rustfs.drive.metrics import DriveMeters
from rustfs.drive.shards import StagingArea
from rustfs.drive.tables import StoreGone
from rustfs.drive.transactions import Memory, Transaction

BATCH_CALLS_MAX = 1024
QUEUE_CALLS_MAX = 20_000


class WriteCall(NamedTuple):
    """A call waiting for its turn. `work` may be called once; `future` belongs to the loop's thread."""

    work: Callable[[Transaction], Any]  # Any: each kind of call has its own answer, which goes to its own future
    future: "asyncio.Future[Any]"
    staged: Sequence[bytes]


class Writer:
    """The write thread of one drive. Made by the loop's thread; `close` from any thread."""

    def __init__(
        self,
        root: str,
        database: str,
        file: tuple[int, int],
        lock_path: str,
        staging: StagingArea,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        on_failure: Callable[[BaseException], DriveError],
        meters: DriveMeters,
    ) -> None:
        """`file`: what tables.store_file said of the database when the session began."""
        self._root = root
        self._database = database
        self._staging = staging
        self._clock = clock
        self._loop = loop
        self._on_failure = on_failure
        self._meters = meters
        self._connection = tables.connect(database, writable=True)
        self._file = file
        self._lock = os.open(lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._memory = Memory()
        self._queue: queue.SimpleQueue[WriteCall | None] = queue.SimpleQueue()
        self.busy_since = 0.0  # monotonic start of the commit under way; 0 when idle
        self._ended: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name=f"commit {root}", daemon=True)
        self._thread.start()

    def submit(
        self, work: Callable[[Transaction], Any], future: "asyncio.Future[Any]", staged: Sequence[bytes] = ()
    ) -> None:
        """Queue a call; its answer arrives through `future`."""
        if self._queue.qsize() >= QUEUE_CALLS_MAX:
            fail(future, DriveOffline(f"{self._root}: too many writes are waiting"))
            return
        self._queue.put(WriteCall(work, future, staged))

    def close(self, timeout_seconds: float, ended: Callable[[], None] | None = None) -> None:
        """Commit what is queued, then end, and call `ended` from the write thread. Blocking."""
        self._ended = ended
        self._queue.put(None)
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        ending = False
        while not ending:
            calls = []
            first = self._queue.get()
            while True:
                if first is None:
                    ending = True
                    break
                calls.append(first)
                if len(calls) >= BATCH_CALLS_MAX:
                    break
                try:
                    first = self._queue.get_nowait()
                except queue.Empty:
                    break
            if calls:
                self._serve(calls)
        self._connection.close()
        os.close(self._lock)
        if self._ended is not None:
            self._ended()

    def _serve(self, calls: list[WriteCall]) -> None:
        calls = [call for call in calls if not call.future.done()]  # the others were given up before their turn
        if not calls:
            return
        self.busy_since = started = time.monotonic()
        try:
            results = self._commit(calls)
        except (OSError, apsw.Error, StoreGone) as error:
            failure = self._on_failure(error)
            results = [failure] * len(calls)
        finally:
            self.busy_since = 0.0
        self._meters.committed(len(calls), time.monotonic() - started)
        try:
            self._loop.call_soon_threadsafe(_answer, calls, results)
        except RuntimeError:
            return  # the loop is closed: nobody is waiting any more

    def _commit(self, calls: list[WriteCall]) -> list[Any]:
        linked: list[str] = []
        missing: frozenset[bytes] = frozenset()
        staged = [data_id for call in calls for data_id in call.staged]
        connection = self._connection
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            if tables.store_file(self._database) != self._file:
                raise StoreGone(f"{self._root}: the metadata store was replaced")
            if staged:
                linked, missing = self._staging.link(staged)
            connection.execute("BEGIN IMMEDIATE")
            try:
                transaction = Transaction(connection, self._clock.now_milliseconds(), self._memory)
                try:
                    results = [
                        _outcome(call, transaction) if missing.isdisjoint(call.staged) else _not_staged(call, missing)
                        for call in calls
                    ]
                    transaction.finish()
                    connection.execute("COMMIT")
                except BaseException:
                    transaction.rolled_back()
                    raise
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        for path in linked:
            with contextlib.suppress(FileNotFoundError):  # its lease ended meanwhile
                os.unlink(path)
        return results


def _outcome(call: WriteCall, transaction: Transaction) -> Any:  # noqa: ANN401 -- see WriteCall
    try:
        return call.work(transaction)
    except DriveError as refusal:  # of this call alone; the store is well
        return refusal


def _not_staged(call: WriteCall, missing: frozenset[bytes]) -> ShardMissing:
    """A version is not held without its shards: the drive would count towards a quorum that they are not on."""
    return ShardMissing(f"{', '.join(each.hex() for each in call.staged if each in missing)} is not staged any more")


def _answer(calls: list[WriteCall], results: list[Any]) -> None:
    for call, result in zip(calls, results, strict=True):
        if call.future.done():
            continue
        if isinstance(result, BaseException):
            fail(call.future, result)
        else:
            call.future.set_result(result)

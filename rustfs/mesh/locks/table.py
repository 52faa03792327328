"""The locks that a node granted: one SQLite file in memory that all its workers open.

Nothing in it outlives the node, and it need not: it lies on /dev/shm where that exists, in the runtime directory of one
run of the node. It keeps a write-ahead log, without fsync: that costs no more than a journal in a worker's memory, and
a worker may be killed in the middle of a commit without leaving the others a torn file.

All workers of a node read the same monotonic clock, so instants may be compared between them. A file whose instants
lie in the future is of an earlier boot of the machine, and is emptied. One that is damaged stays refused until the node
restarts: to put another in its place under the feet of the other workers would make two tables of one, and the other
nodes' majority does without it.

Every call blocks (rustfs.mesh.locks.peers calls it in a thread), for a second at the longest where others have a turn.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import apsw

from rustfs.core.errors import LockUnavailable
from rustfs.core.ports import Clock
from rustfs.mesh.locks import rules
from rustfs.mesh.locks.rules import Answer, Claim, Entry, Kind, LockInfo, Owner, Release, State, Verdict

ENTRIES_MAX = 100_000
LIST_MAX = 1_000
_HOLDERS_NAMED_MAX = 4
_BUSY_SECONDS = 1.0
_BUSY_PAUSE_SECONDS = 0.001
_OPENINGS = 40
_OPENING_PAUSE_SECONDS = 0.025
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 -- a file system, not a file

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries(
    resource BLOB NOT NULL, owner_id BLOB NOT NULL, kind INTEGER NOT NULL, shared INTEGER NOT NULL,
    round INTEGER NOT NULL, since REAL NOT NULL, expires REAL NOT NULL, node TEXT NOT NULL, purpose TEXT NOT NULL,
    PRIMARY KEY(resource, owner_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_expires ON entries(expires);
CREATE TABLE IF NOT EXISTS started(id INTEGER PRIMARY KEY CHECK(id = 1), at REAL NOT NULL);
"""
_COLUMNS = "kind, owner_id, node, purpose, shared, round, since, expires"

T = TypeVar("T")


def default_directory() -> str:
    """Where a runtime directory for lock tables is best made: memory, where the system shows it as a directory."""
    return _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else tempfile.gettempdir()


class LockTable:
    """The table, as one thread of one process sees it."""

    def __init__(self, path: str, clock: Clock) -> None:
        """Open it, and make it where it is missing. Blocks, a few seconds at the longest. Raises LockUnavailable."""
        self._path = path
        self._clock = clock
        self._connection, self._started = self._open()

    def acquire(self, claim: Claim) -> Answer:
        """Judge a claim, see rules.acquire. Raises LockUnavailable."""
        return self._judge(claim, rules.acquire)

    def refresh(self, claim: Claim) -> Answer:
        """Extend a lease, see rules.refresh. Raises LockUnavailable."""
        return self._judge(claim, rules.refresh)

    def release(self, wish: Release) -> None:
        """Give a lock, or a place in the queue, back; idempotent. Raises LockUnavailable."""

        def work(now: float) -> None:
            state = self._load(wish.resource, now)
            after = rules.release(state, wish, now)
            if len(after) <= len(state) or self._has_room():
                self._store(wish.resource, state, after)

        self._within(work)

    def force_release(self, resource: bytes, owner_id: bytes | None) -> int:
        """Revoke the holds of a resource, or the one of `owner_id`; how many there were. Raises LockUnavailable."""

        def work(now: float) -> int:
            state = self._load(resource, now)
            holders = {key for key, entry in state.items() if entry.kind is Kind.HOLD}
            chosen = holders if owner_id is None else holders & {owner_id}
            self._store(resource, state, rules.revoke(state, chosen, now))
            return len(chosen)

        return self._within(work)

    def list(self, after: tuple[bytes, bytes], limit: int) -> list[LockInfo]:
        """Locks and waiters in the order of (resource, owner id), beyond `after`. Raises LockUnavailable."""

        def work(now: float) -> list[LockInfo]:
            rows = self._connection.execute(
                f"SELECT resource, {_COLUMNS} FROM entries "  # noqa: S608 -- constants
                "WHERE (resource, owner_id) > (?, ?) AND expires>? AND kind!=? ORDER BY resource, owner_id LIMIT ?",
                (*after, now, int(Kind.REVOKED), min(limit, LIST_MAX)),
            )
            return [_info(row[0], _entry(row[1:]), now) for row in rows]

        return self._within(work)

    def close(self) -> None:
        """Leave it to the others."""
        self._connection.close()

    # -- transactions --------------------------------------------------------------------------------------------------

    def _judge(self, claim: Claim, rule: Callable[..., tuple[Verdict, State]]) -> Answer:
        def work(now: float) -> Answer:
            state = self._load(claim.resource, now)
            verdict, after = rule(state, claim, now, young=rules.is_young(self._started, now))
            if len(after) > len(state) and not self._has_room():
                return Answer(Verdict.FULL)
            self._store(claim.resource, state, after)
            in_the_way = rules.blockers(state, claim)[:_HOLDERS_NAMED_MAX] if verdict is Verdict.HELD else ()
            return Answer(verdict, tuple(_info(claim.resource, entry, now) for entry in in_the_way))

        return self._within(work)

    def _within(self, work: Callable[[float], T]) -> T:
        """Do `work(now)` in a transaction of its own."""
        try:
            with _turn(self._connection):
                # Read once it is our turn: waiting for it must not let an expired lease look alive.
                now = self._clock.monotonic_seconds()
                self._connection.execute("DELETE FROM entries WHERE expires<=?", (now,))
                return work(now)
        except apsw.Error as error:
            raise LockUnavailable(f"the lock table {self._path} fails: {error}") from error

    def _has_room(self) -> bool:
        return bool(self._connection.execute("SELECT count(*) FROM entries").fetchone()[0] < ENTRIES_MAX)

    def _load(self, resource: bytes, now: float) -> State:
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM entries WHERE resource=?",  # noqa: S608 -- constants
            (resource,),
        )
        return rules.live([_entry(row) for row in rows], now)

    def _store(self, resource: bytes, before: State, after: State) -> None:
        gone = [(resource, owner_id) for owner_id in before if owner_id not in after]
        new = [entry for owner_id, entry in after.items() if before.get(owner_id) != entry]
        if gone:
            self._connection.executemany("DELETE FROM entries WHERE resource=? AND owner_id=?", gone)
        if new:
            self._connection.executemany(
                f"INSERT OR REPLACE INTO entries(resource, {_COLUMNS}) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(resource, *_row(entry)) for entry in new],
            )

    # -- opening -------------------------------------------------------------------------------------------------------

    def _open(self) -> tuple[apsw.Connection, float]:
        try:
            for _ in range(_OPENINGS):
                # Turning the log on is the one step for which SQLite does not wait its turn.
                with contextlib.suppress(apsw.BusyError):
                    return self._try_open()
                time.sleep(_OPENING_PAUSE_SECONDS)
            return self._try_open()
        except apsw.Error as error:
            raise LockUnavailable(f"the lock table {self._path} cannot be opened: {error}") from error

    def _try_open(self) -> tuple[apsw.Connection, float]:
        connection = apsw.Connection(self._path)
        try:
            connection.set_busy_handler(_Patience())
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")
            with _turn(connection):
                connection.execute(_SCHEMA)
                now = self._clock.monotonic_seconds()
                row = connection.execute("SELECT at FROM started").fetchone()
                if row is not None and row[0] <= now:
                    return connection, row[0]
                connection.execute("DELETE FROM entries")
                connection.execute("INSERT OR REPLACE INTO started VALUES(1, ?)", (now,))
                return connection, now
        except BaseException:
            connection.close()
            raise


class _Patience:
    """Waits for another worker's transaction, for a second at the longest.

    SQLite's own waiting looks ten times a second after the first few looks: beside workers that come back at once, one
    that waits may not find the table free within its second.
    """

    def __init__(self) -> None:
        self._give_up_at = 0.0

    def __call__(self, looks: int) -> bool:
        now = time.monotonic()
        if looks == 0:
            self._give_up_at = now + _BUSY_SECONDS
        time.sleep(_BUSY_PAUSE_SECONDS)
        return now < self._give_up_at


@contextlib.contextmanager
def _turn(connection: apsw.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(apsw.Error):
            connection.execute("ROLLBACK")
        raise


def _entry(row: tuple[int, bytes, str, str, int, int, float, float]) -> Entry:
    kind, owner_id, node, purpose, shared, round_, since, expires = row
    return Entry(Kind(kind), Owner(owner_id, node, purpose), bool(shared), round_, since, expires)


def _row(entry: Entry) -> tuple[int, bytes, str, str, int, int, float, float]:
    owner = entry.owner
    times = (entry.since_seconds, entry.expires_seconds)
    return (int(entry.kind), owner.owner_id, owner.node, owner.purpose, int(entry.shared), entry.round, *times)


def _info(resource: bytes, entry: Entry, now: float) -> LockInfo:
    return LockInfo(
        resource,
        entry.owner,
        entry.shared,
        entry.kind is Kind.WAIT,
        max(0.0, now - entry.since_seconds),
        max(0.0, entry.expires_seconds - now),
    )

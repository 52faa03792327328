"""What a drive's calls do to its metadata store, as plain functions over one open write transaction.

A `Transaction` lives for one group commit. What every call would ask anew (marks, floor, whether there are promises at
all) is remembered from one commit to the next, for as long as no other process has written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import apsw

from rustfs.core.drivetypes import (
    CHOSEN,
    NO_MARK,
    TOMBSTONE,
    Accept,
    AcceptAnswer,
    Held,
    Level,
    Mark,
    PrepareAnswer,
    Refusal,
)
from rustfs.core.errors import DriveOffline
from rustfs.core.stamps import ZERO_STAMP
from rustfs.drive.digests import RangeDigests
from rustfs.drive.queries import held_versions, mark_of
from rustfs.drive.rules import KeyState, joined, judge_accept, judge_heal, judge_prepare, nothing_to_delete, raised

DATA_ID_BYTES = 16
RECLAIM_GRACE_MS = 60_000
PURGED_KEPT_MS = 3_600_000  # longer than any healer goes by what it saw (rustfs.objects.heal)
PURGED_PER_CALL = 2000
CEILING_STRIDE_MS = 1000  # the durable ceiling is raised by that much at once, so that few commits have to
_TICKS_MAX = (1 << 48) - 1
# A part's register is dropped seconds after it was written, and its name is never used again: no floor need guard it.
_UNGUARDED_BUCKETS = frozenset({b".parts"})

# Not in order: SQLite takes three times as long with an ORDER BY, and there are seldom more than two.
_STAMPS = "SELECT stamp FROM versions WHERE bucket=? AND key=?"


@dataclass(slots=True)
class Memory:
    """What one writer remembers of its metadata store between commits."""

    data_version: int = -1  # of SQLite: changes when another connection commits
    floor: bytes = b""
    ceiling: bytes = b""
    vow: bytes | None = b""  # None: wiped, and not told yet
    has_promises: bool = True
    marks: dict[bytes, Mark] = field(default_factory=dict)
    versions_delta: int = 0  # rows added less rows removed since the counter was last written


class Transaction:
    """One group commit on one drive."""

    __slots__ = ("_connection", "_digests", "_execute", "_memory", "_now_ms", "_versions_before")

    def __init__(self, connection: apsw.Connection, now_ms: int, memory: Memory) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._now_ms = now_ms
        self._memory = memory
        self._digests = RangeDigests(connection)
        self._versions_before = memory.versions_delta
        data_version = self._execute("PRAGMA data_version").fetchone()[0]
        if data_version != memory.data_version:
            self._recall()
            memory.data_version = data_version

    def _recall(self) -> None:
        memory = self._memory
        memory.marks.clear()
        meta = dict(self._execute("SELECT name, value FROM meta WHERE name IN ('floor', 'ceiling', 'vow')"))
        memory.floor, memory.ceiling, memory.vow = meta["floor"], meta["ceiling"], meta["vow"]
        memory.has_promises = self._execute("SELECT 1 FROM promises LIMIT 1").fetchone() is not None

    def finish(self) -> None:
        """The last step before the commit: what follows from all the calls together."""
        self._digests.flush()

    def rolled_back(self) -> None:
        """None of it happened."""
        self._memory.data_version = -1
        self._memory.versions_delta = self._versions_before

    def count_versions(self) -> None:
        """Bring the counter of versions up to date; now and then, for it costs a page."""
        self._execute("UPDATE meta SET value=value+? WHERE name='versions'", (self._memory.versions_delta,))
        self._memory.versions_delta = 0

    # -- the protocol --------------------------------------------------------------------------------------------------

    def accept(self, offer: Accept, *, blank: bool) -> AcceptAnswer:
        """See Drive.accept. Raises DriveOffline."""
        if self._memory.vow is None:
            self._reject(offer.staged)
        vow = self._known_vow()
        bucket, key, stamp = offer.bucket, offer.key, offer.stamp
        rows = self._execute(_STAMPS, (bucket, key)).fetchall()
        newest: bytes = max(rows)[0] if rows else b""
        holds = (stamp,) in rows
        mark = self._mark(bucket) if offer.bucket_epoch else NO_MARK
        promise = self._promise(bucket, key) if self._memory.has_promises else b""
        refusal, high = judge_accept(
            KeyState(newest, holds, promise, self._memory.floor, vow), stamp, offer.bucket_epoch, mark
        )
        if refusal is Refusal.NONE and offer.if_held and not holds and not blank and self._is_gone(bucket, key, newest):
            refusal = Refusal.ABSENT
        if refusal is not Refusal.NONE:
            self._reject(offer.staged)
            return AcceptAnswer(refusal, high, superseded=False, mark=mark)
        if not holds:
            self._raise_ceiling(stamp)
            self._insert(offer)
            if promise and promise <= stamp:
                self._execute("DELETE FROM promises WHERE bucket=? AND key=?", (bucket, key))
            if offer.bucket_epoch > mark.epoch:
                mark = raised(mark, offer.bucket_epoch)
                self._set_mark(bucket, mark)
        older = any(row[0] < stamp for row in rows)
        return AcceptAnswer(Refusal.NONE, high, superseded=older, mark=mark)

    def prepare(self, bucket: bytes, key: bytes, token: bytes, level: Level, *, blank: bool) -> PrepareAnswer:
        """See Drive.prepare. Raises DriveOffline."""
        vow = self._known_vow()
        versions: tuple[Held, ...] = held_versions(self._connection, bucket, key, level)
        newest = versions[0].stamp if versions else b""
        promise = self._promise(bucket, key)
        good, high = judge_prepare(KeyState(newest, False, promise, self._memory.floor, vow), token)
        if good:
            self._raise_ceiling(token)
            self._execute("INSERT OR REPLACE INTO promises VALUES(?, ?, ?)", (bucket, key, token))
            self._memory.has_promises = True
        return PrepareAnswer(good, high, versions, self._mark(bucket), blank, max(self._memory.floor, vow, ZERO_STAMP))

    def note_chosen(self, notes: Sequence[tuple[bytes, bytes, bytes, bool]]) -> None:
        """See Drive.note_chosen; (bucket, key, stamp, superseded) of many keys at once."""
        for bucket, key, stamp, superseded in notes:
            self._execute(
                "UPDATE versions SET flags=flags|1 WHERE bucket=? AND key=? AND stamp=? AND NOT flags & 1",
                (bucket, key, stamp),
            )
            if self._connection.changes():
                self._digests.added(bucket, key, stamp)
            if superseded and self._holds(bucket, key, stamp):
                self._forget(bucket, key, stamp, inclusive=False)

    def mark_bucket(self, bucket: bytes, mark: Mark) -> Mark:
        """See Drive.mark_bucket."""
        held = self._mark(bucket)
        new = joined(held, mark)
        if new != held:
            self._set_mark(bucket, new)
        return new

    def heal(self, offer: Accept, *, replace_inline: bool) -> AcceptAnswer:
        """See Drive.heal."""
        bucket, key, stamp = offer.bucket, offer.key, offer.stamp
        if not self._holds(bucket, key, stamp):
            refusal = judge_heal(stamp, self._newest_chosen(bucket, key), self._purged(bucket, key))
            if refusal is not Refusal.NONE:
                self._reject(offer.staged)
                return AcceptAnswer(refusal, stamp, superseded=False, mark=NO_MARK)
            self._raise_ceiling(stamp)
            self._insert(offer._replace(flags=offer.flags | CHOSEN))
            self._forget(bucket, key, stamp, inclusive=False)
        elif replace_inline and offer.inline is not None:
            self._execute(
                "UPDATE inlines SET shard=? "
                "WHERE id=(SELECT inline FROM versions WHERE bucket=? AND key=? AND stamp=?)",
                (_joined_bytes(offer.inline), bucket, key, stamp),
            )
        return AcceptAnswer(Refusal.NONE, stamp, superseded=False, mark=NO_MARK)

    def drop(self, bucket: bytes, key: bytes, stamp: bytes) -> None:
        """See Drive.drop."""
        self._forget(bucket, key, stamp, inclusive=True)
        self._execute("DELETE FROM promises WHERE bucket=? AND key=? AND token<=?", (bucket, key, stamp))
        if bucket not in _UNGUARDED_BUCKETS:
            self._raise_floor(stamp)
            self._execute(
                "INSERT INTO purged(bucket, key, stamp, due) VALUES(?, ?, ?, ?) "
                "ON CONFLICT(bucket, key) DO UPDATE SET stamp=max(stamp, excluded.stamp), due=excluded.due",
                (bucket, key, stamp, self._now_ms + PURGED_KEPT_MS),
            )

    # -- queues --------------------------------------------------------------------------------------------------------

    def queue_repair(self, bucket: bytes, key: bytes) -> None:
        """See Drive.queue_repair."""
        self._execute("INSERT OR IGNORE INTO repairs(bucket, key) VALUES(?, ?)", (bucket, key))

    def repaired(self, sequences: Sequence[int]) -> None:
        """See Drive.repaired."""
        self._connection.executemany("DELETE FROM repairs WHERE sequence=?", [(number,) for number in sequences])

    def hold_shards(self, data_ids: Sequence[bytes]) -> None:
        """See Drive.hold_shards."""
        due = self._now_ms + RECLAIM_GRACE_MS
        self._connection.executemany(
            "UPDATE reclaim SET due=max(due, ?) WHERE data_id=?", [(due, data_id) for data_id in data_ids]
        )

    def due_for_reclaim(self, limit: int) -> list[bytes]:
        """Data ids whose shard files may go now."""
        rows = self._execute(
            "SELECT data_id FROM reclaim WHERE due<=? ORDER BY due LIMIT ?", (self._now_ms, limit)
        ).fetchall()
        return [row[0] for row in rows]

    def reclaimed(self, data_ids: Iterable[bytes]) -> None:
        """Their shard files are gone."""
        self._connection.executemany("DELETE FROM reclaim WHERE data_id=?", [(data_id,) for data_id in data_ids])

    def purge_promises(self, before: bytes) -> None:
        """Forget promises on keys that hold nothing, older than `before`; the floor guards what they guarded."""
        row = self._execute(
            "SELECT max(token) FROM promises AS p WHERE token<? AND NOT EXISTS("
            "SELECT 1 FROM versions AS v WHERE v.bucket=p.bucket AND v.key=p.key)",
            (before,),
        ).fetchone()
        if row[0] is not None:
            self._raise_floor(row[0])
            self._execute(
                "DELETE FROM promises WHERE token<? AND NOT EXISTS("
                "SELECT 1 FROM versions AS v WHERE v.bucket=promises.bucket AND v.key=promises.key)",
                (before,),
            )

    def forget_purged(self) -> None:
        """Forget which keys were dropped, once nobody can be about to heal them back any more."""
        self._execute(
            "DELETE FROM purged WHERE id IN (SELECT id FROM purged WHERE due<=? ORDER BY due LIMIT ?)",
            (self._now_ms, PURGED_PER_CALL),
        )

    def learn(self, formatting: bytes, ceiling: bytes) -> None:
        """See Drive.learn."""
        if self._memory.vow is None and self._is_formatting(formatting):
            vow = max(ceiling, self._memory.ceiling)
            self._execute("UPDATE meta SET value=? WHERE name='vow'", (vow,))
            self._memory.vow = vow
            self._raise_ceiling(vow)

    def healed(self, formatting: bytes) -> bool:
        """See Drive.healed. Whether it had an effect."""
        whole = self._memory.vow is not None and self._is_formatting(formatting)
        if whole:
            self._execute("UPDATE meta SET value=0 WHERE name='healing'")
        return whole

    def tombstones(self, before: bytes, limit: int) -> list[tuple[bytes, bytes, bytes]]:
        """See Drive.tombstones."""
        rows: list[tuple[bytes, bytes, bytes]] = self._execute(
            f"SELECT bucket, key, stamp FROM versions WHERE flags & {TOMBSTONE} AND stamp<? AND flags & {CHOSEN} "
            "ORDER BY stamp LIMIT ?",
            (before, limit),
        ).fetchall()
        return rows

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _is_gone(self, bucket: bytes, key: bytes, newest: bytes) -> bool:
        if not newest:
            return nothing_to_delete(None)
        row = self._execute("SELECT flags FROM versions WHERE bucket=? AND key=? AND stamp=?", (bucket, key, newest))
        return nothing_to_delete(row.fetchone()[0])

    def _holds(self, bucket: bytes, key: bytes, stamp: bytes) -> bool:
        row = self._execute("SELECT 1 FROM versions WHERE bucket=? AND key=? AND stamp=?", (bucket, key, stamp))
        return row.fetchone() is not None

    def _is_formatting(self, formatting: bytes) -> bool:
        held: bytes = self._execute("SELECT value FROM meta WHERE name='formatting'").fetchone()[0]
        return held == formatting

    def _known_vow(self) -> bytes:
        if self._memory.vow is None:
            raise DriveOffline("the drive was wiped, and has yet to learn what it may have promised")
        return self._memory.vow

    def _newest_chosen(self, bucket: bytes, key: bytes) -> bytes:
        row = self._execute(
            f"SELECT stamp FROM versions WHERE bucket=? AND key=? AND flags & {CHOSEN} ORDER BY stamp DESC LIMIT 1",
            (bucket, key),
        ).fetchone()
        return row[0] if row else b""

    def _purged(self, bucket: bytes, key: bytes) -> bytes:
        row = self._execute("SELECT stamp FROM purged WHERE bucket=? AND key=?", (bucket, key)).fetchone()
        return row[0] if row else b""

    def _promise(self, bucket: bytes, key: bytes) -> bytes:
        row = self._execute("SELECT token FROM promises WHERE bucket=? AND key=?", (bucket, key)).fetchone()
        return row[0] if row else b""

    def _mark(self, bucket: bytes) -> Mark:
        mark = self._memory.marks.get(bucket)
        if mark is None:
            mark = self._memory.marks[bucket] = mark_of(self._connection, bucket)
        return mark

    def _set_mark(self, bucket: bytes, mark: Mark) -> None:
        self._memory.marks[bucket] = mark
        self._execute("INSERT OR REPLACE INTO marks VALUES(?, ?, ?)", (bucket, mark.epoch, int(mark.fenced)))

    def _raise_floor(self, stamp: bytes) -> None:
        if stamp > self._memory.floor:
            self._memory.floor = stamp
            self._execute("UPDATE meta SET value=? WHERE name='floor'", (stamp,))
            self._raise_ceiling(stamp)

    def _raise_ceiling(self, token: bytes) -> None:
        if token > self._memory.ceiling:
            tick = min(_TICKS_MAX, int.from_bytes(token[:6], "big") + CEILING_STRIDE_MS)
            self._memory.ceiling = tick.to_bytes(6, "big") + b"\xff" * (len(token) - 6)
            self._execute("UPDATE meta SET value=? WHERE name='ceiling'", (self._memory.ceiling,))

    def _insert(self, offer: Accept) -> None:
        row_id = None
        if offer.inline is not None:
            shard = _joined_bytes(offer.inline)
            self._execute("INSERT INTO inlines(shard) VALUES(?)", (shard,))
            row_id = self._connection.last_insert_rowid()
        refs = b""
        if offer.refs:
            refs = b"".join(offer.refs)
            self._take_refs(offer)
        self._execute(
            "INSERT INTO versions VALUES(?, ?, ?, ?, ?, ?, ?)",
            (offer.bucket, offer.key, offer.stamp, offer.flags, offer.record, row_id, refs),
        )
        if offer.flags & CHOSEN:
            self._digests.added(offer.bucket, offer.key, offer.stamp)
        self._memory.versions_delta += 1

    def _take_refs(self, offer: Accept) -> None:
        staged = frozenset(offer.staged)
        incomplete = False
        for data_id in offer.refs:
            if not self._changed("UPDATE refs SET count=count+1 WHERE data_id=?", data_id):
                self._execute("INSERT INTO refs VALUES(?, 1)", (data_id,))
                kept = self._changed("DELETE FROM reclaim WHERE data_id=?", data_id)
                incomplete = incomplete or not (kept or data_id in staged)
        if incomplete:
            # A part that this drive missed: the version is held, its shard has to be rebuilt.
            self.queue_repair(offer.bucket, offer.key)

    def _reject(self, staged: Sequence[bytes]) -> None:
        """The files of a refused offer have their names in shards/ already: let the reclaim queue remove them."""
        for data_id in staged:
            if self._execute("SELECT 1 FROM refs WHERE data_id=?", (data_id,)).fetchone() is None:
                # Not at once: the writer may offer the same files again under a higher stamp.
                due = self._now_ms + RECLAIM_GRACE_MS
                self._execute("INSERT OR REPLACE INTO reclaim VALUES(?, ?)", (data_id, due))

    def _forget(self, bucket: bytes, key: bytes, stamp: bytes, *, inclusive: bool) -> None:
        compare = "<=" if inclusive else "<"
        rows = self._execute(
            f"SELECT stamp, flags, inline, refs FROM versions WHERE bucket=? AND key=? AND stamp{compare}?",
            (bucket, key, stamp),
        ).fetchall()
        for held, flags, inline, refs in rows:
            self._execute("DELETE FROM versions WHERE bucket=? AND key=? AND stamp=?", (bucket, key, held))
            if flags & CHOSEN:
                self._digests.removed(bucket, key, held)
            if inline is not None:
                self._execute("DELETE FROM inlines WHERE id=?", (inline,))
            for start in range(0, len(refs), DATA_ID_BYTES):
                self._release(refs[start : start + DATA_ID_BYTES])
        self._memory.versions_delta -= len(rows)

    def _changed(self, statement: str, data_id: bytes) -> bool:
        self._execute(statement, (data_id,))
        return bool(self._connection.changes())

    def _release(self, data_id: bytes) -> None:
        self._execute("UPDATE refs SET count=count-1 WHERE data_id=?", (data_id,))
        if self._changed("DELETE FROM refs WHERE data_id=? AND count<=0", data_id):
            due = self._now_ms + RECLAIM_GRACE_MS
            self._execute("INSERT OR REPLACE INTO reclaim VALUES(?, ?)", (data_id, due))


def _joined_bytes(inline: bytes | Sequence[bytes | bytearray | memoryview]) -> bytes:
    return inline if isinstance(inline, bytes) else b"".join(inline)

"""What is read from a metadata store, as plain functions over a connection."""

import apsw

from rustfs.core.drivetypes import (
    NO_MARK,
    TOMBSTONE,
    Ceiling,
    Held,
    KeyAnswer,
    Level,
    Mark,
    MarksPage,
    RepairItem,
    Scan,
    ScanPage,
)

_STAMPS = "SELECT stamp, flags, x'', NULL FROM versions WHERE bucket=? AND key=? ORDER BY stamp DESC"
_RECORD = "SELECT stamp, flags, record, NULL FROM versions WHERE bucket=? AND key=? ORDER BY stamp DESC"
_INLINE = (
    "SELECT stamp, flags, record, (SELECT shard FROM inlines WHERE id=versions.inline) "
    "FROM versions WHERE bucket=? AND key=? ORDER BY stamp DESC"
)
_VERSIONS = {Level.STAMPS: _STAMPS, Level.RECORD: _RECORD, Level.INLINE: _INLINE}

_SCAN_STAMPS = (
    "SELECT key, stamp, flags, x'' FROM versions WHERE bucket=? AND key>? AND key<? ORDER BY key, stamp DESC LIMIT ?"
)
_SCAN_RECORDS = (
    "SELECT key, stamp, flags, record FROM versions WHERE bucket=? AND key>? AND key<? ORDER BY key, stamp DESC LIMIT ?"
)
# Above every key that starts with what it is appended to: this byte does not occur in UTF-8.
_LAST = b"\xff"


def held_versions(connection: apsw.Connection, bucket: bytes, key: bytes, level: Level) -> tuple[Held, ...]:
    """The versions under a key, newest first."""
    return tuple(map(Held._make, connection.execute(_VERSIONS[level], (bucket, key))))


def unsettled(connection: apsw.Connection, after: bytes, before: bytes, limit: int) -> list[tuple[bytes, bytes, bytes]]:
    """See Drive.unsettled."""
    rows: list[tuple[bytes, bytes, bytes]] = connection.execute(
        "SELECT bucket, key, stamp FROM versions INDEXED BY unsettled WHERE NOT flags & 1 AND stamp>? AND stamp<? "
        "ORDER BY stamp LIMIT ?",
        (after, before, limit),
    ).fetchall()
    return rows


def repairs(connection: apsw.Connection, after: int, limit: int) -> list[RepairItem]:
    """See Drive.repairs."""
    statement = "SELECT sequence, bucket, key FROM repairs WHERE sequence>? ORDER BY sequence LIMIT ?"
    return [RepairItem(*row) for row in connection.execute(statement, (after, limit))]


def mark_of(connection: apsw.Connection, bucket: bytes) -> Mark:
    """The bucket's mark."""
    row = connection.execute("SELECT epoch, fenced FROM marks WHERE bucket=?", (bucket,)).fetchone()
    return Mark(row[0], bool(row[1])) if row else NO_MARK


def marks_page(connection: apsw.Connection, after: bytes, limit: int, *, blank: bool) -> MarksPage:
    """See Drive.marks."""
    statement = "SELECT bucket, epoch, fenced FROM marks WHERE bucket>? ORDER BY bucket LIMIT ?"
    rows = connection.execute(statement, (after, limit))
    return MarksPage([(bucket, Mark(epoch, bool(fenced))) for bucket, epoch, fenced in rows], blank)


def ceiling_of(connection: apsw.Connection) -> Ceiling:
    """See Drive.ceiling."""
    names = "'ceiling', 'vow', 'formatting'"
    meta = dict(connection.execute(f"SELECT name, value FROM meta WHERE name IN ({names})"))
    return Ceiling(meta["ceiling"], meta["vow"] is not None, meta["formatting"])


def is_healing(connection: apsw.Connection) -> bool:
    """Whether the drive is being rebuilt."""
    return bool(connection.execute("SELECT value FROM meta WHERE name='healing'").fetchone()[0])


def upkeep_is_due(connection: apsw.Connection, now_ms: int, before: bytes) -> bool:
    """Whether there is anything to reclaim by now, a purge to forget, or a promise below `before`."""
    statement = (
        "SELECT 1 FROM reclaim WHERE due<=?1 UNION ALL SELECT 1 FROM purged WHERE due<=?1 "
        "UNION ALL SELECT 1 FROM promises WHERE token<?2 LIMIT 1"
    )
    return bool(connection.execute(statement, (now_ms, before)).fetchall())


def counts(connection: apsw.Connection) -> tuple[int, int, int]:
    """How many versions the drive holds, and the lengths of its queues of repairs and of files to reclaim."""
    versions, repair_queue, reclaim_queue = connection.execute(
        "SELECT (SELECT value FROM meta WHERE name='versions'), (SELECT count(*) FROM repairs), "
        "(SELECT count(*) FROM reclaim)"
    ).fetchone()
    return versions, repair_queue, reclaim_queue


def key_answer(connection: apsw.Connection, bucket: bytes, key: bytes, level: Level, *, blank: bool) -> KeyAnswer:
    """See Drive.read_key."""
    return KeyAnswer(held_versions(connection, bucket, key, level), mark_of(connection, bucket), blank)


def scan_page(connection: apsw.Connection, request: Scan, *, blank: bool) -> ScanPage:
    """See Drive.scan."""
    statement = _SCAN_STAMPS if request.level is Level.STAMPS else _SCAN_RECORDS
    end = request.prefix + _LAST
    # Keys are above `after`; the smallest key with the prefix is the prefix itself.
    after = max(request.after, _before(request.prefix))
    mark = mark_of(connection, request.bucket)
    if request.delimiter:
        return _scan_collapsed(connection, statement, request, after, end, mark)._replace(blank=blank)
    rows = connection.execute(statement, (request.bucket, after, end, request.limit + 1)).fetchall()
    if len(rows) <= request.limit:
        return ScanPage(rows, False, b"", mark, blank)
    last = rows[-1][0]
    while rows and rows[-1][0] == last:
        rows.pop()
    if not rows:  # a single key with more versions than the limit
        rows = connection.execute(statement, (request.bucket, after, last + b"\0", -1)).fetchall()
    return ScanPage(rows, True, rows[-1][0], mark, blank)


def _before(prefix: bytes) -> bytes:
    """A byte string below `prefix`, with no key between them; b"" for the empty prefix (no key is empty)."""
    if not prefix:
        return b""
    if prefix[-1]:
        return prefix[:-1] + bytes((prefix[-1] - 1,)) + _LAST
    return prefix[:-1]


def _scan_collapsed(
    connection: apsw.Connection, statement: str, request: Scan, after: bytes, end: bytes, mark: Mark
) -> ScanPage:
    """A scan that seeks over keys that share a common prefix which is shown already."""
    bucket, delimiter, limit = request.bucket, request.delimiter, request.limit
    skip_bytes = len(request.prefix)
    kept: list[tuple[bytes, bytes, int, bytes]] = []
    batch = 64
    while True:
        rows = connection.execute(statement, (bucket, after, end, batch)).fetchall()
        complete = len(rows) < batch
        if not complete:
            last = rows[-1][0]
            if rows[0][0] == last:  # one key fills the batch: take all of it
                rows = connection.execute(statement, (bucket, after, last + b"\0", -1)).fetchall()
            else:
                while rows[-1][0] == last:
                    rows.pop()
        seek = b""
        index = 0
        while index < len(rows):
            key = rows[index][0]
            stop = index + 1
            while stop < len(rows) and rows[stop][0] == key:
                stop += 1
            kept += rows[index:stop]
            after = key
            cut = key.find(delimiter, skip_bytes)
            if cut >= 0 and not rows[index][2] & TOMBSTONE:
                seek = key[: cut + len(delimiter)] + _LAST
                break
            index = stop
            if len(kept) >= limit:
                break
        if seek:
            after = seek
            complete = False
            batch = 16
        elif complete and index >= len(rows):
            return ScanPage(kept, False, b"", mark, blank=False)
        else:
            batch = min(4096, batch * 2)
        if len(kept) >= limit:
            return ScanPage(kept, True, after, mark, blank=False)

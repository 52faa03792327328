"""Digests of ranges of keys, by which drives find out cheaply where they hold different things (docs/adr/0010).

Each bucket's keys are cut into ranges at keys whose hash ends in zeros: such a key is the last one of its range. Where
to cut follows from the keys alone, so drives that hold the same keys have the same ranges, whatever their histories.
A range's digest is the XOR of a hash of every version in it that is noted as chosen (of key and stamp: a stamp names
one write, so it stands for all that is alike on the drives of a set). The others are few, and have an index of their
own. So an accept costs no digest, and notes, which come by hundreds, share the pages that they change.

The rows of `ranges` change in the transaction that changes `versions`, and are always what `recount` would make of it.
"""

import struct
from collections.abc import Iterator

import apsw
from xxhash import xxh3_64_intdigest, xxh3_128_digest

from rustfs.core.drivetypes import OPEN_END, KeyRange, RangePage

RANGE_KEYS = 64  # on average; a power of two

_words = struct.Struct(">qq").unpack
_packed = struct.Struct(">qq").pack

# SQLite has no XOR: bits of either number, without those of both. The range is looked for over all buckets: SQLite
# takes three times as long for "bucket=? AND last>=? ORDER BY last LIMIT 1".
_UPDATE = (
    "UPDATE ranges SET high=(high|?3)-(high&?3), low=(low|?4)-(low&?4), rows=rows+?5 "
    "WHERE bucket=?1 AND (bucket, last)="
    "(SELECT bucket, last FROM ranges WHERE (bucket, last)>=(?1, ?2) ORDER BY bucket, last LIMIT 1)"
)
_COUNTS = "SELECT 1 FROM versions WHERE bucket=? AND key=? AND flags & 1"
_INSERT = "INSERT INTO ranges VALUES(?, ?, ?, ?, ?)"


def ends_range(key: bytes) -> bool:
    """Whether a range ends with this key, on every drive that holds it."""
    return not xxh3_64_intdigest(key) & (RANGE_KEYS - 1)


class RangeDigests:
    """What one transaction adds to and takes from the digests; `flush` writes it down.

    Two changes of one key cancel or combine, so the order in which they are made does not matter.
    """

    __slots__ = ("_changes", "_connection")

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._changes: dict[tuple[bytes, bytes], tuple[int, int, int]] = {}

    def added(self, bucket: bytes, key: bytes, stamp: bytes) -> None:
        """A version noted as chosen is held now."""
        self._change(bucket, key, stamp, 1)

    def removed(self, bucket: bytes, key: bytes, stamp: bytes) -> None:
        """One that was noted as chosen is not held any more."""
        self._change(bucket, key, stamp, -1)

    def _change(self, bucket: bytes, key: bytes, stamp: bytes, rows: int) -> None:
        high, low = _words(xxh3_128_digest(key + stamp))
        before = self._changes.get((bucket, key))
        if before is not None:
            high, low, rows = high ^ before[0], low ^ before[1], rows + before[2]
        self._changes[bucket, key] = (high, low, rows)

    def flush(self) -> None:
        """Write all changes down. The rows of `versions` are by now as they will be committed."""
        changes = sorted((*name, *change) for name, change in self._changes.items() if any(change))
        self._changes.clear()
        buckets = {change[0] for change in changes}
        execute, executemany = self._connection.execute, self._connection.executemany
        for bucket in buckets:
            execute("INSERT OR IGNORE INTO ranges VALUES(?, ?, 0, 0, 0)", (bucket, OPEN_END))
        executemany(_UPDATE, changes)
        for bucket, key, _, _, rows in changes:
            if rows and ends_range(key):
                self._cut_or_join(bucket, key)
        for bucket in buckets:
            execute("DELETE FROM ranges WHERE bucket=? AND last=? AND rows=0", (bucket, OPEN_END))

    def _cut_or_join(self, bucket: bytes, key: bytes) -> None:
        """Let a range end at this key if, and only if, a version of it counts."""
        execute = self._connection.execute
        held = execute(_COUNTS, (bucket, key)).fetchone() is not None
        row = execute("SELECT high, low, rows FROM ranges WHERE bucket=? AND last=?", (bucket, key)).fetchone()
        if held == (row is not None):
            return
        if held:
            after = range_start(self._connection, bucket, key)
            high = low = rows = 0
            for held_key, stamp in execute(
                "SELECT key, stamp FROM versions WHERE bucket=? AND key>? AND key<=? AND flags & 1",
                (bucket, after, key),
            ):
                first, second = _words(xxh3_128_digest(held_key + stamp))
                high, low, rows = high ^ first, low ^ second, rows + 1
            execute(_UPDATE, (bucket, key, high, low, -rows))
            execute(_INSERT, (bucket, key, high, low, rows))
        else:
            execute("DELETE FROM ranges WHERE bucket=? AND last=?", (bucket, key))
            execute(_UPDATE, (bucket, key, *row))


def recount(connection: apsw.Connection) -> None:
    """Fill `ranges` anew from the versions that count, within the transaction that is open."""
    connection.execute("DELETE FROM ranges")
    connection.executemany(_INSERT, counted(connection))


def counted(connection: apsw.Connection) -> Iterator[tuple[bytes, bytes, int, int, int]]:
    """The rows that `ranges` has to have, by reading all versions."""
    bucket = key = b""
    high = low = rows = 0
    query = "SELECT bucket, key, stamp FROM versions WHERE flags & 1 ORDER BY bucket, key"
    for row_bucket, row_key, stamp in connection.execute(query):
        if rows and (row_bucket != bucket or (row_key != key and ends_range(key))):
            yield bucket, key if ends_range(key) else OPEN_END, high, low, rows
            high = low = rows = 0
        bucket, key = row_bucket, row_key
        first, second = _words(xxh3_128_digest(key + stamp))
        high, low, rows = high ^ first, low ^ second, rows + 1
    if rows:
        yield bucket, key if ends_range(key) else OPEN_END, high, low, rows


def range_start(connection: apsw.Connection, bucket: bytes, key: bytes) -> bytes:
    """The key above which the range that holds `key` starts; b"" for a bucket's first range."""
    row = connection.execute(
        "SELECT last FROM ranges WHERE bucket=? AND last<? ORDER BY last DESC LIMIT 1", (bucket, key)
    ).fetchone()
    return row[0] if row else b""


def range_page(connection: apsw.Connection, bucket: bytes, after: bytes, limit: int, *, blank: bool) -> RangePage:
    """See Drive.ranges."""
    start = range_start(connection, bucket, after + b"\0")  # the next byte string above `after`
    rows = connection.execute(
        "SELECT last, high, low, rows FROM ranges WHERE bucket=? AND last>? ORDER BY last LIMIT ?",
        (bucket, after, limit + 1),
    ).fetchall()
    ranges = [KeyRange(last, _packed(high, low), count) for last, high, low, count in rows[:limit]]
    return RangePage(start, ranges, len(rows) > limit, blank)

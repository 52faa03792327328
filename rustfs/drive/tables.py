"""The metadata store's tables, and how a connection to it is opened (docs/format.md).

Inline shards lie in a table of their own, so that scans and listings pass over small rows only.
"""

import os
import sqlite3

# SQLite's own default; larger pages made small writes slower (docs/adr/0003).
PAGE_BYTES = 4096
CHECKPOINT_PAGES = 4000
_CACHE_KIB = 8192

_SCHEMA = """
CREATE TABLE versions(
    bucket BLOB NOT NULL, key BLOB NOT NULL, stamp BLOB NOT NULL,
    flags INTEGER NOT NULL,   -- 1 chosen, 2 tombstone, bits 8-15 write quorum, bits 16-23 copies needed
    record BLOB NOT NULL,     -- protobuf, rustfs.storage.v1
    inline INTEGER,           -- row of inlines with this drive's shard file
    refs BLOB NOT NULL,       -- data ids of the shard files, 16 bytes each
    PRIMARY KEY(bucket, key, stamp DESC)
) WITHOUT ROWID;
CREATE INDEX tombstones ON versions(stamp) WHERE flags & 2;
CREATE TABLE inlines(id INTEGER PRIMARY KEY, shard BLOB NOT NULL);
CREATE TABLE refs(data_id BLOB PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE promises(bucket BLOB, key BLOB, token BLOB NOT NULL, PRIMARY KEY(bucket, key)) WITHOUT ROWID;
CREATE TABLE marks(bucket BLOB PRIMARY KEY, epoch BLOB NOT NULL, fenced INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE repairs(sequence INTEGER PRIMARY KEY AUTOINCREMENT, bucket BLOB, key BLOB, UNIQUE(bucket, key));
CREATE TABLE reclaim(data_id BLOB PRIMARY KEY, due INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX reclaim_due ON reclaim(due);
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""


def create(path: str, floor: bytes, *, healing: bool) -> None:
    """Make an empty metadata store, durably."""
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(path + suffix):
            os.unlink(path + suffix)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
        connection.executemany(
            "INSERT INTO meta VALUES(?, ?)", [("floor", floor), ("healing", int(healing)), ("versions", 0)]
        )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def connect(path: str, *, writable: bool) -> sqlite3.Connection:
    """Open an existing metadata store; used by one thread at a time. Raises sqlite3.Error."""
    mode = "rw" if writable else "ro"
    connection = sqlite3.connect(
        f"file:{_quoted(path)}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=10.0,
        cached_statements=64,
    )
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    if writable:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        connection.execute("PRAGMA journal_size_limit=67108864")
    return connection


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")

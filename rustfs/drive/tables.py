"""The metadata store's tables, and how a connection to it is opened (docs/format.md).

Inline shards lie in a table of their own, so that scans and listings pass over small rows only. Every page ends in a
checksum that SQLite's cksumvfs writes, and verifies whenever it reads the page from the disk: no flipped bit in a
record, a stamp or an index goes unnoticed (docs/adr/0006).
"""

import fcntl
import os
import threading

import apsw
import apsw.sqlite_extra

from rustfs.drive.digests import recount

# SQLite's own default; larger pages made small writes slower (docs/adr/0003).
PAGE_BYTES = 4096
CHECKPOINT_PAGES = 4000
_CACHE_KIB = 8192
_BUSY_MS = 10_000
_STATEMENTS_KEPT = 64
_CHECKED_VFS = "cksmvfs"
_CHECKSUM_BYTES = 8
_loading = threading.Lock()

# What can be derived from `versions`; stores made before this came were without it.
_DERIVED = """
CREATE INDEX unsettled ON versions(stamp) WHERE NOT flags & 1;
CREATE TABLE ranges(
    bucket BLOB NOT NULL, last BLOB NOT NULL,       -- keys up to this one, above the range before
    high INTEGER NOT NULL, low INTEGER NOT NULL,    -- digest: see rustfs.drive.digests
    rows INTEGER NOT NULL,                          -- versions noted as chosen
    PRIMARY KEY(bucket, last)
) WITHOUT ROWID;
"""
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
CREATE TABLE purged(  -- versions of a key up to this stamp were dropped: nobody heals them back
    id INTEGER PRIMARY KEY, bucket BLOB NOT NULL, key BLOB NOT NULL, stamp BLOB NOT NULL, due INTEGER NOT NULL,
    UNIQUE(bucket, key)
);
CREATE INDEX purged_due ON purged(due);
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""


class StoreDamaged(Exception):
    """The metadata store is not what was written."""


class StoreGone(Exception):
    """The metadata store's file is no longer the one that was opened (the drive was wiped or swapped)."""


def store_file(path: str) -> tuple[int, int]:
    """Device and inode of a metadata store: others once it was replaced. Raises OSError."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def is_damage(error: BaseException) -> bool:
    """Whether an error says that the store's bytes are wrong, rather than that the drive fails to give them."""
    if isinstance(error, StoreDamaged | apsw.CorruptError | apsw.NotADBError):
        return True
    return isinstance(error, apsw.IOError) and error.extendedresult == apsw.SQLITE_IOERR_DATA


def create(path: str, formatting: bytes, ceiling: bytes, *, healing: bool) -> None:
    """Make an empty metadata store, durably.

    Args:
        formatting: names the contents.
        ceiling: tokens up to this one may have been promised before.
        healing: there was a store before, and what it held is unknown.

    Raises apsw.Error.
    """
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(path + suffix):
            os.unlink(path + suffix)
    connection = _open(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    try:
        connection.reserve_bytes(None, _CHECKSUM_BYTES)
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"BEGIN;{_SCHEMA}{_DERIVED}COMMIT;")
        connection.executemany(
            "INSERT INTO meta VALUES(?, ?)",
            [
                ("formatting", formatting), ("healing", int(healing)), ("versions", 0),
                ("floor", b""), ("ceiling", ceiling), ("vow", None if healing else b""),
            ],
        )  # fmt: skip
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def complete(path: str, lock_path: str) -> bool:
    """Give a store what it lacks of what is derived, by one look at all its versions. Whether it lacked something.

    The node's other processes wait meanwhile, by the lock that writers take turns with. Raises OSError, apsw.Error.
    """
    connection = connect(path, writable=True)
    lock = os.open(lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    query = "SELECT 1 FROM sqlite_master WHERE name='ranges'"
    try:
        if connection.execute(query).fetchone() is not None:
            return False
        fcntl.flock(lock, fcntl.LOCK_EX)
        with connection:
            if connection.execute(query).fetchone() is not None:
                return False
            connection.execute(_DERIVED)
            recount(connection)
        return True
    finally:
        os.close(lock)
        connection.close()


def connect(path: str, *, writable: bool) -> apsw.Connection:
    """Open an existing metadata store; used by one thread at a time. Raises apsw.Error."""
    connection = _open(path, apsw.SQLITE_OPEN_READWRITE if writable else apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(_BUSY_MS)
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    if writable:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        connection.execute("PRAGMA journal_size_limit=67108864")
    return connection


def _open(path: str, flags: int) -> apsw.Connection:
    with _loading:
        if _CHECKED_VFS not in apsw.vfs_names():
            # Loading through any connection registers it for the whole process, for good.
            apsw.sqlite_extra.load(apsw.Connection(":memory:"), "cksumvfs")
    return apsw.Connection(path, flags=flags, vfs=_CHECKED_VFS, statementcachesize=_STATEMENTS_KEPT)

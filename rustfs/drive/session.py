"""Opening a drive: who it is, whether it has to be formatted anew, recovery of what a crash left, its connections.

A session is what a process needs of a drive while it serves; when the drive fails the session ends, and a new one is
tried until the drive is well. Everything here blocks.
"""

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import apsw

from rustfs.core.errors import DriveError
from rustfs.core.ports import Clock
from rustfs.drive import tables
from rustfs.drive.format import (
    Format,
    FormatMismatch,
    FormatUnusable,
    check_format,
    foreign_contents,
    formatting,
    is_mount_point,
    make_directories,
    read_format,
    system_path,
    write_format,
)
from rustfs.drive.metrics import DriveMeters
from rustfs.drive.reader import ReadPool
from rustfs.drive.shards import StagingArea, recover_staging
from rustfs.drive.tables import StoreDamaged
from rustfs.drive.writer import Writer

log = logging.getLogger("rustfs.drive")

CLOSE_TIMEOUT_SECONDS = 10.0
_FORMATTING_BYTES = 16


class StoreCorrupt(Exception):
    """The metadata store is damaged, and the set cannot rebuild it now."""


@dataclass(slots=True)
class Session:
    """A drive in service, in this process."""

    root: str
    writer: Writer
    reads: ReadPool
    staging: StagingArea
    identity_file: tuple[int, int]  # inode and change time of format.json when the session began
    healing: bool

    def probe(self) -> tuple[int, int]:
        """Whether the drive can still be written, and what its identity file is now. Raises OSError."""
        found = identity_file(self.root)
        if found == self.identity_file:
            self.staging.touch()
        return found

    def close(self) -> None:
        """Commit what is queued and leave."""
        self.writer.close(CLOSE_TIMEOUT_SECONDS)
        with contextlib.suppress(OSError, apsw.Error):
            self.staging.close()
        self.reads.close()

    def abandon(self) -> None:
        """Leave a drive that fails: wait for nothing."""
        # Whoever commits the last calls still needs what is staged.
        self.writer.close(0.0, self.staging.abandon)
        self.reads.close()


def identity_file(root: str) -> tuple[int, int]:
    """What changes when a drive is formatted anew. Raises FileNotFoundError."""
    status = os.stat(system_path(root, "format.json"))
    return status.st_ino, status.st_mtime_ns


def format_drive(root: str, identity: Format, now_ms: int, *, healing: bool) -> None:
    """Make a directory the drive `identity`, unless another process just did.

    Args:
        healing: it takes the place of a drive that was in service: what that one promised and held is forgotten, so
            it takes no part in quorums until its peers told it how high its promises may have gone (at least up to
            now), and its silence says nothing until it is rebuilt.
    """
    os.makedirs(root, exist_ok=True)
    with formatting(root):
        if read_format(root) is not None:
            return
        contents = foreign_contents(root)
        if contents:
            raise FormatUnusable(
                f"{root} is no drive but holds {contents[0]!r}; give an empty directory, or move its contents away"
            )
        make_directories(root)
        ceiling = now_ms.to_bytes(6, "big") + b"\xff" * 10 if healing else b""
        tables.create(system_path(root, "meta.db"), os.urandom(_FORMATTING_BYTES), ceiling, healing=healing)
        write_format(root, identity)


def set_aside(root: str, identity: Format, now_ms: int) -> None:
    """Move a damaged metadata store and its shards out of the way, so that the drive is formatted anew as healing."""
    with formatting(root):
        grave = system_path(root, f"corrupt-{now_ms}")
        os.makedirs(grave)
        os.unlink(system_path(root, "format.json"))
        for name in ("meta.db", "meta.db-wal", "meta.db-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(system_path(root, name), os.path.join(grave, name))
        os.rename(os.path.join(root, "shards"), os.path.join(grave, "shards"))
    log.error(
        "%s: the metadata store is damaged; it was moved to %s and the drive is rebuilt from its set", root, grave
    )
    format_drive(root, identity, now_ms, healing=True)


def remove_set_aside(root: str) -> None:
    """Free what `set_aside` kept, once the drive is whole again."""
    for name in os.listdir(system_path(root)):
        if name.startswith("corrupt-"):
            shutil.rmtree(system_path(root, name), ignore_errors=True)


def open_session(
    root: str,
    identity: Format,
    clock: Clock,
    loop: asyncio.AbstractEventLoop,
    on_failure: Callable[[BaseException], DriveError],
    meters: DriveMeters,
    *,
    deep_check: bool,
    rebuildable: Callable[[], bool],
) -> Session:
    """Begin to serve from a drive.

    Args:
        deep_check: read the whole metadata store first, because damage was met in it.
        rebuildable: whether the rest of the set could rebuild this drive now; asked before a damaged one is set aside.

    Raises:
        FormatMismatch, FormatUnusable, StoreCorrupt: it needs the operator.
        OSError, apsw.Error: it fails; try again later.
    """
    if not os.path.isdir(root) and identity.drive_id not in identity.mount_points:
        os.stat(os.path.dirname(os.path.abspath(root)))
        os.makedirs(root, exist_ok=True)
    found = read_format(root)
    if found is None:
        if identity.drive_id in identity.mount_points and not is_mount_point(root):
            raise FileNotFoundError(f"{root}: no file system is mounted here, as there was when it was formatted")
        log.warning("%s: the drive was wiped; formatting it anew and rebuilding it from its set", root)
        format_drive(root, identity, clock.now_milliseconds(), healing=True)
        found = read_format(root)
    if found is None:
        raise FormatMismatch(f"{root}: the directory keeps losing its format.json")
    check_format(root, found, identity)
    database = system_path(root, "meta.db")
    try:
        file = _store_file(database)
        if tables.complete(database, system_path(root, "write.lock")):
            log.info("%s: the digests of its keys were built, which later versions of its tables have", root)
        healing = _check_store(database, deep=deep_check)
        recover_staging(root, lambda data_ids: _referenced(database, data_ids))
    except (apsw.Error, StoreDamaged) as error:
        if not tables.is_damage(error):
            raise
        if not rebuildable():
            raise StoreCorrupt(
                f"{root}: the metadata store is damaged ({error}), and too few other drives of its set are whole to "
                f"rebuild it from; bring those back first, or restore {database} from a backup"
            ) from error
        set_aside(root, identity, clock.now_milliseconds())
        healing = True
        file = _store_file(database)
    staging = StagingArea(root)
    try:
        staging.prove()
    except OSError:
        staging.abandon()
        raise
    lock_path = system_path(root, "write.lock")
    # Reads and commits compare the file with the one whose state was looked at above, so none goes to another's.
    writer = Writer(root, database, file, lock_path, staging, clock, loop, on_failure, meters)
    return Session(root, writer, ReadPool(database, file, on_failure), staging, identity_file(root), healing)


def _store_file(database: str) -> tuple[int, int]:
    try:
        return tables.store_file(database)
    except FileNotFoundError:
        raise StoreDamaged("meta.db is missing") from None


def _check_store(database: str, *, deep: bool) -> bool:
    """Whether the drive is healing. Raises StoreDamaged, apsw.Error."""
    connection = tables.connect(database, writable=True)
    try:
        connection.execute("SELECT count(*) FROM (SELECT 1 FROM versions LIMIT 1000)").fetchone()
        row = connection.execute("SELECT value FROM meta WHERE name='healing'").fetchone()
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if deep else "ok"
    finally:
        connection.close()
    if row is None or found != "ok":
        raise StoreDamaged("its meta table is empty" if row is None else found)
    return bool(row[0])


def _referenced(database: str, data_ids: Sequence[bytes]) -> frozenset[bytes]:
    connection = tables.connect(database, writable=False)
    try:
        return frozenset(
            data_id
            for data_id in data_ids
            if connection.execute("SELECT 1 FROM refs WHERE data_id=?", (data_id,)).fetchone() is not None
            or connection.execute("SELECT 1 FROM reclaim WHERE data_id=?", (data_id,)).fetchone() is not None
        )
    finally:
        connection.close()

"""Shard files: staged while an upload streams, given their name in `shards/` just before the commit that names them.

A staged file is hard-linked into `shards/ab/`, the directory is synced, the metadata commit follows, and only then the
staging name goes. So after a crash, a shard file that no version names still has its staging name, and recovery finds
it without walking all shards. Every worker stages in a directory of its own and holds a lock there: a directory whose
lock is free belongs to a worker that is gone.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor

from rustfs.core.buffers import Buffer
from rustfs.core.drivetypes import FrameRun
from rustfs.core.errors import DriveFull, DriveOffline, ShardMissing
from rustfs.core.frames import verified
from rustfs.drive.direct import CHUNK_BYTES, DirectWriter, direct_writer
from rustfs.drive.format import sync_directory

_FULL = {errno.ENOSPC, errno.EDQUOT}
_IOV_MAX = 512
_CLAIMS_MAX = 100
PROOF_BYTES = 4096
START_WRITING_BYTES = 4 << 20
_SYNC_FILE_RANGE_WRITE = 2


def shard_path(root: str, data_id: bytes) -> str:
    """Where a shard file in service lies."""
    name = data_id.hex()
    return f"{root}/shards/{name[:2]}/{name}"


class StagingArea:
    """This worker's directory of unfinished shard files on one drive. Methods block."""

    def __init__(self, root: str) -> None:
        self._root = root
        for _ in range(_CLAIMS_MAX):
            self._path = f"{root}/staging/{secrets.token_hex(8)}"
            lock = _claim(self._path)
            if lock is not None:
                self._lock = lock
                return
        raise OSError(errno.EAGAIN, f"{root}/staging: no directory could be kept in it")

    def prove(self) -> None:
        """Write something durably: a disk that fails may still be read from its cache. Raises OSError.

        A full disk is no failing one.
        """
        try:
            os.pwrite(self._lock, bytes(PROOF_BYTES), 0)
            os.fdatasync(self._lock)
        except OSError as error:
            if error.errno not in _FULL:
                raise

    def touch(self) -> None:
        """The cheapest change there is: a file system that gave up after an I/O error refuses it. Raises OSError."""
        os.utime(f"{self._path}/lock")

    def abandon(self) -> None:
        """Leave a drive that fails: what is staged is for the recovery of whoever opens it next."""
        os.close(self._lock)

    def path_of(self, data_id: bytes) -> str:
        """The staging name of a data id."""
        return f"{self._path}/{data_id.hex()}"

    def link(self, data_ids: Iterable[bytes]) -> tuple[list[str], frozenset[bytes]]:
        """Give staged files their name in shards/, durably.

        Returns their staging names, which may go when the commit is done, and the data ids that have no file at all:
        the lease of a file that a peer staged may end at any time.
        """
        linked = []
        missing = set()
        directories = set()
        for data_id in data_ids:
            target = shard_path(self._root, data_id)
            staged = self._staged(data_id)
            try:
                if staged is not None:
                    os.link(staged, target)
                    linked.append(staged)
                    directories.add(os.path.dirname(target))
                    continue
            except (FileExistsError, FileNotFoundError):
                pass
            if not os.path.exists(target):  # else it was offered before: the first answer was lost
                missing.add(data_id)
        for directory in directories:
            sync_directory(directory)
        return linked, frozenset(missing)

    def replace(self, data_id: bytes) -> None:
        """Put the staged file in the place of the one in service, durably. Raises ShardMissing, OSError."""
        target = shard_path(self._root, data_id)
        try:
            os.rename(self._staged(data_id) or self.path_of(data_id), target)
        except FileNotFoundError as error:
            raise ShardMissing(f"{data_id.hex()} is not staged") from error
        sync_directory(os.path.dirname(target))

    def _staged(self, data_id: bytes) -> str | None:
        """Where a file is staged: here, or by another worker, which a peer's bytes reached."""
        own = self.path_of(data_id)
        if os.path.exists(own):
            return own
        staging = os.path.dirname(self._path)
        paths = (f"{staging}/{area}/{data_id.hex()}" for area in os.listdir(staging))
        return next(filter(os.path.exists, paths), None)

    def close(self) -> None:
        """Leave; what is still staged is removed."""
        remove_staging(self._path, lambda _data_ids: frozenset())
        os.close(self._lock)


def _claim(path: str) -> int | None:
    """Make and lock a staging directory; None where the recovery of another worker took it for a dead one's."""
    os.mkdir(path)
    try:
        lock = os.open(f"{path}/lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    fcntl.flock(lock, fcntl.LOCK_EX)
    if _is_in_place(path, lock):
        return lock
    os.close(lock)
    return None


def _is_in_place(path: str, lock: int) -> bool:
    """Whether an open lock file is still the staging directory's: whoever held it may have removed both."""
    try:
        return os.stat(f"{path}/lock").st_ino == os.fstat(lock).st_ino
    except FileNotFoundError:
        return False


def remove_staging(path: str, referenced: Callable[[Sequence[bytes]], frozenset[bytes]]) -> int:
    """Remove a staging directory: a shard file that no version names goes with its staging name. Files removed."""
    root = os.path.dirname(os.path.dirname(path))
    names = [name for name in os.listdir(path) if name != "lock"]
    data_ids = []
    for name in names:
        with contextlib.suppress(ValueError):
            data_ids.append(bytes.fromhex(name))
    kept = referenced(data_ids)
    for data_id in data_ids:
        staged = f"{path}/{data_id.hex()}"
        if data_id not in kept and os.stat(staged).st_nlink > 1:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(shard_path(root, data_id))
        os.unlink(staged)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}/lock")
    with contextlib.suppress(OSError):
        os.rmdir(path)
    return len(names)


def recover_staging(root: str, referenced: Callable[[Sequence[bytes]], frozenset[bytes]]) -> int:
    """Remove what workers that are gone have left staged. Number of files removed."""
    removed = 0
    staging = f"{root}/staging"
    for name in os.listdir(staging):
        path = f"{staging}/{name}"
        try:
            lock = os.open(f"{path}/lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            with contextlib.suppress(OSError):
                os.rmdir(path)  # its worker died between mkdir and lock, or is just about to lock
            continue
        except NotADirectoryError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            if _is_in_place(path, lock):
                removed += remove_staging(path, referenced)
        finally:
            os.close(lock)
    return removed


def _loaded() -> Callable[[int, int, int], None]:
    try:
        call = ctypes.CDLL(None, use_errno=True).sync_file_range
    except (OSError, AttributeError):  # not Linux
        return lambda _descriptor, _offset, _size: None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)

    def start(descriptor: int, offset_bytes: int, size_bytes: int) -> None:
        call(descriptor, offset_bytes, size_bytes, _SYNC_FILE_RANGE_WRITE)  # a hint: fdatasync tells of errors

    return start


# Have the disk begin with a range of a file while more of it comes, so that the last sync finds little to do.
start_writing = _loaded()


class ShardFile:
    """A shard file being written; see StagedShard. Blocking; `failed` tells the drive of errors that are its fault."""

    __slots__ = ("_descriptor", "_direct", "_failed", "_path", "_reserved", "_started", "_written")

    def __init__(
        self, path: str, size_bytes: int, failed: Callable[[OSError], DriveOffline], executor: Executor
    ) -> None:
        """`size_bytes`: as far as it is known; `executor`: where chunks of a long file may be written."""
        self._path = path
        self._failed = failed
        self._written = 0
        self._started = 0  # bytes that the kernel has been asked to begin writing out
        self._reserved = size_bytes
        self._direct: DirectWriter | None = None
        try:
            self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
        except FileExistsError as error:
            raise DriveOffline(f"{path}: is being written already") from error
        except OSError as error:
            raise self._named(error) from error
        if size_bytes:
            try:
                os.posix_fallocate(self._descriptor, 0, size_bytes)
            except OSError as error:
                self.discard()
                raise self._named(error) from error
        if size_bytes >= CHUNK_BYTES:
            self._direct = direct_writer(self._descriptor, executor)

    def write(self, buffers: Sequence[Buffer]) -> None:
        """See StagedShard.write."""
        try:
            if self._direct is not None:
                self._direct.write(buffers)
                self._written += sum(map(len, buffers))
                return
            for start in range(0, len(buffers), _IOV_MAX):
                self._write_some(buffers[start : start + _IOV_MAX])
        except OSError as error:
            raise self._named(error) from error

    def _write_some(self, buffers: Sequence[Buffer]) -> None:
        wanted = sum(map(len, buffers))
        written = os.writev(self._descriptor, buffers)
        self._written += written
        if written == wanted:
            if self._written - self._started >= START_WRITING_BYTES:
                start_writing(self._descriptor, self._started, self._written - self._started)
                self._started = self._written
            return
        rest = memoryview(b"".join(buffers))[written:]
        while rest:
            written = os.write(self._descriptor, rest)
            self._written += written
            rest = rest[written:]

    def finish(self) -> None:
        """Make the bytes durable, then close."""
        try:
            if self._direct is not None:
                self._direct.flush()
            if self._written < self._reserved:
                os.ftruncate(self._descriptor, self._written)
            os.fdatasync(self._descriptor)
            self._close()
        except OSError as error:
            raise self._named(error) from error

    def discard(self) -> None:
        """Remove the file. Never raises.

        A file that has its name in shards/ already stays staged: whether a version names it, recovery finds out.
        """
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            if os.stat(self._path).st_nlink == 1:
                os.unlink(self._path)

    def _close(self) -> None:
        if self._direct is not None:
            self._direct.end()
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _named(self, error: OSError) -> DriveFull | DriveOffline:
        if error.errno in _FULL:
            return DriveFull(f"{self._path}: no space left")
        return self._failed(error)


def read_range(root: str, data_id: bytes, offset_bytes: int, size_bytes: int) -> bytes:
    """Bytes of a shard file in service. Raises ShardMissing, OSError."""
    try:
        descriptor = os.open(shard_path(root, data_id), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ShardMissing(data_id.hex()) from error
    try:
        return os.pread(descriptor, size_bytes, offset_bytes)
    finally:
        os.close(descriptor)


def bad_frames(root: str, run: FrameRun) -> list[int]:
    """Blocks whose frame does not match its checksum, or is cut off. Raises ShardMissing, OSError."""
    bad = []
    try:
        descriptor = os.open(shard_path(root, run.data_id), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ShardMissing(run.data_id.hex()) from error
    try:
        offset = run.offset_bytes
        for block, length in enumerate(run.lengths_bytes, run.first_block):
            frame = os.pread(descriptor, length, offset)
            if len(frame) != length or verified(frame, block, run.shard) is None:
                bad.append(block)
            offset += length
    finally:
        os.close(descriptor)
    return bad


def file_sizes(root: str, data_ids: Sequence[bytes]) -> list[int]:
    """Length of each shard file, -1 where missing."""
    sizes = []
    for data_id in data_ids:
        try:
            sizes.append(os.stat(shard_path(root, data_id)).st_size)
        except FileNotFoundError:
            sizes.append(-1)
    return sizes


def remove_shards(root: str, data_ids: Iterable[bytes]) -> None:
    """Remove shard files; those already gone are passed over."""
    for data_id in data_ids:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(shard_path(root, data_id))

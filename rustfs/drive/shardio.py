"""The file I/O of one drive in service: its shard files are read and written in threads, errors take it offline."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from rustfs.core.buffers import Buffer
from rustfs.core.drivetypes import FrameRun
from rustfs.core.errors import DriveError, DriveOffline
from rustfs.core.ports import Clock
from rustfs.drive.metrics import DriveMeters
from rustfs.drive.shards import ShardFile, StagingArea, bad_frames, file_sizes, read_range


class ShardIO:
    """What threads do with a drive's shard files. Methods block; they raise DriveError only."""

    def __init__(
        self,
        root: str,
        executor: Executor,
        clock: Clock,
        meters: DriveMeters,
        failed: Callable[[BaseException], DriveError],
    ) -> None:
        """`failed` is told of errors, and says what the call ends with."""
        self._root = root
        self._executor = executor
        self._clock = clock
        self._meters = meters
        self._failed = failed

    def create(self, staging: StagingArea, data_id: bytes, size_bytes: int) -> ShardFile:
        """Begin a staged file; see Drive.stage."""
        return ShardFile(staging.path_of(data_id), size_bytes, self._shard_failed, self._executor)

    def _shard_failed(self, error: OSError) -> DriveOffline:
        failure = self._failed(error)
        return failure if isinstance(failure, DriveOffline) else DriveOffline(str(failure))

    def read(self, data_id: bytes, offset_bytes: int, size_bytes: int) -> Buffer:
        """See Drive.read_shard."""
        started = self._clock.monotonic_seconds()
        try:
            piece = read_range(self._root, data_id, offset_bytes, size_bytes)
        except OSError as error:
            raise self._failed(error) from error
        self._meters.read(self._clock.monotonic_seconds() - started)
        return piece

    def sizes(self, data_ids: Sequence[bytes]) -> list[int]:
        """See Drive.stat_shards."""
        try:
            return file_sizes(self._root, data_ids)
        except OSError as error:
            raise self._failed(error) from error

    def verify(self, run: FrameRun) -> list[int]:
        """See Drive.verify_shard."""
        try:
            bad = bad_frames(self._root, run)
        except OSError as error:
            raise self._failed(error) from error
        self._meters.verified.inc(sum(run.lengths_bytes))
        return bad

    def replace(self, staging: StagingArea, data_id: bytes) -> None:
        """See Drive.replace_shard."""
        try:
            staging.replace(data_id)
        except OSError as error:
            raise self._failed(error) from error


class LocalStagedShard:
    """See StagedShard."""

    __slots__ = ("_executor", "_file", "write")

    def __init__(self, file: ShardFile, executor: Executor) -> None:
        self._file = file
        self._executor = executor
        self.write = file.write

    async def finish(self) -> None:
        """See StagedShard.finish."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._file.finish)

    async def abort(self) -> None:
        """See StagedShard.abort."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._file.discard)

    def abandon(self) -> None:
        """See StagedShard.abandon."""
        self._file.discard()

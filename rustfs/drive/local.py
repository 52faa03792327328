"""A drive of this node: the Drive port over a directory. All blocking work is done in threads."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from rustfs.core.buffers import Buffer
from rustfs.core.drivetypes import (
    TOMBSTONE,
    Accept,
    AcceptAnswer,
    Ceiling,
    DriveInfo,
    DriveState,
    FrameRun,
    KeyAnswer,
    Level,
    Mark,
    MarksPage,
    PrepareAnswer,
    RangePage,
    RepairItem,
    Scan,
    ScanPage,
)
from rustfs.core.errors import DriveError, DriveFull, DriveOffline
from rustfs.core.futures import fail
from rustfs.core.ports import Clock
from rustfs.drive.availability import Availability
from rustfs.drive.capacity import Capacity
from rustfs.drive.digests import range_page
from rustfs.drive.format import Format
from rustfs.drive.metrics import DriveMeters
from rustfs.drive.notes import Notes
from rustfs.drive.queries import (
    ceiling_of,
    counts,
    key_answer,
    marks_page,
    repairs,
    scan_page,
    unsettled,
    upkeep_is_due,
)
from rustfs.drive.reader import ReadBatcher
from rustfs.drive.session import remove_set_aside
from rustfs.drive.shardio import LocalStagedShard, ShardIO
from rustfs.drive.shards import remove_shards
from rustfs.drive.transactions import Transaction

RECLAIM_FILES_PER_CALL = 64
PROMISE_KEPT_MS = 3_600_000

T = TypeVar("T")


class LocalDrive:
    """See rustfs.core.ports.Drive. Made and used by the event loop's thread."""

    near = True

    def __init__(
        self,
        root: str,
        identity: Format,
        batcher: ReadBatcher,
        executor: Executor,
        clock: Clock,
        rebuildable: Callable[[], bool],
    ) -> None:
        """`rebuildable` tells whether the other drives of the set could rebuild this one now."""
        self._root = os.path.abspath(root)
        self._batcher = batcher
        self._executor = executor
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._meters = DriveMeters(root)
        self._capacity = Capacity(self._root, executor)
        self._availability = Availability(
            self._root, identity, self._capacity, batcher, executor, clock, self._loop, self._meters, rebuildable
        )
        self._shards = ShardIO(self._root, executor, clock, self._meters, self._availability.failed)
        self._notes = Notes(self._write, self._loop)
        self.drive_id = identity.drive_id
        self.endpoint = root
        self.set_index, self.position = identity.place_of(identity.drive_id)

    # -- life ----------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Begin to serve, or to try to; never raises for a drive that is not well."""
        await self._availability.open()

    async def close(self) -> None:
        """Commit what is queued and leave."""
        self._notes.flush()
        await self._availability.close()

    @property
    def online(self) -> bool:
        """See Drive.online."""
        return self._availability.session is not None

    @property
    def healing(self) -> bool:
        """See Drive.healing."""
        session = self._availability.session
        return session is not None and session.healing

    @property
    def generation(self) -> int:
        """See Drive.generation."""
        return self._availability.generation

    @property
    def state(self) -> DriveState:
        """Whether it serves."""
        return self._availability.state

    @property
    def free_bytes(self) -> int:
        """See Drive.free_bytes."""
        return self._capacity.available_bytes if self._availability.session is not None else 0

    def has_room(self, size_bytes: int) -> bool:
        """See Drive.has_room."""
        return self._capacity.has_room(size_bytes)

    # -- metadata ------------------------------------------------------------------------------------------------------

    def read_key(self, bucket: bytes, key: bytes, level: Level) -> "asyncio.Future[KeyAnswer]":
        """See Drive.read_key."""
        session = self._availability.session
        if session is None:
            return self._refused()
        # `healing` is looked at before the rows: once it has ended, they are whole.
        return self._batcher.submit(
            session.reads, lambda connection: key_answer(connection, bucket, key, level, blank=session.healing)
        )

    def scan(self, request: Scan) -> "asyncio.Future[ScanPage]":
        """See Drive.scan."""
        session = self._availability.session
        if session is None:
            return self._refused()
        return self._batcher.submit(
            session.reads, lambda connection: scan_page(connection, request, blank=session.healing)
        )

    def ranges(self, bucket: bytes, after: bytes, limit: int) -> "asyncio.Future[RangePage]":
        """See Drive.ranges."""
        session = self._availability.session
        if session is None:
            return self._refused()
        return self._batcher.submit(
            session.reads, lambda connection: range_page(connection, bucket, after, limit, blank=session.healing)
        )

    def unsettled(self, after: bytes, before: bytes, limit: int) -> "asyncio.Future[list[tuple[bytes, bytes, bytes]]]":
        """See Drive.unsettled."""
        session = self._availability.session
        if session is None:
            return self._refused()
        return self._batcher.submit(session.reads, lambda connection: unsettled(connection, after, before, limit))

    def prepare(self, bucket: bytes, key: bytes, token: bytes, level: Level) -> "asyncio.Future[PrepareAnswer]":
        """See Drive.prepare."""
        session = self._availability.session
        if session is None:
            return self._refused()
        return self._write(lambda transaction: transaction.prepare(bucket, key, token, level, blank=session.healing))

    def accept(self, offer: Accept) -> "asyncio.Future[AcceptAnswer]":
        """See Drive.accept."""
        if not offer.flags & TOMBSTONE and not self.has_room(len(offer.record) + _inline_bytes(offer)):
            return self._refused(DriveFull(f"{self._root}: no space left"))
        session = self._availability.session
        if session is None:
            return self._refused()
        return self._write(lambda transaction: transaction.accept(offer, blank=session.healing), offer.staged)

    def heal(self, offer: Accept, replace_inline: bool) -> "asyncio.Future[AcceptAnswer]":
        """See Drive.heal."""
        return self._write(partial(_heal, offer, replace_inline), offer.staged)

    def mark_bucket(self, bucket: bytes, mark: Mark) -> "asyncio.Future[Mark]":
        """See Drive.mark_bucket."""
        return self._write(lambda transaction: transaction.mark_bucket(bucket, mark))

    def marks(self, after: bytes, limit: int) -> "asyncio.Future[MarksPage]":
        """See Drive.marks."""
        session = self._availability.session
        if session is None:
            return self._refused()
        return self._batcher.submit(
            session.reads, lambda connection: marks_page(connection, after, limit, blank=session.healing)
        )

    def drop(self, bucket: bytes, key: bytes, stamp: bytes) -> "asyncio.Future[None]":
        """See Drive.drop."""
        return self._write(lambda transaction: transaction.drop(bucket, key, stamp))

    def tombstones(self, before: bytes, limit: int) -> "asyncio.Future[list[tuple[bytes, bytes, bytes]]]":
        """See Drive.tombstones."""
        return self._write(lambda transaction: transaction.tombstones(before, limit))

    def repairs(self, after: int, limit: int) -> "asyncio.Future[list[RepairItem]]":
        """See Drive.repairs."""
        session = self._availability.session
        if session is None:
            return self._refused()
        return self._batcher.submit(session.reads, lambda connection: repairs(connection, after, limit))

    def repaired(self, sequences: Sequence[int]) -> "asyncio.Future[None]":
        """See Drive.repaired."""
        return self._write(lambda transaction: transaction.repaired(sequences))

    def ceiling(self) -> "asyncio.Future[Ceiling]":
        """See Drive.ceiling."""
        session = self._availability.session
        if session is None:
            return self._refused()
        return self._batcher.submit(session.reads, ceiling_of)

    def learn(self, formatting: bytes, ceiling: bytes) -> "asyncio.Future[None]":
        """See Drive.learn."""
        return self._write(lambda transaction: transaction.learn(formatting, ceiling))

    def healed(self, formatting: bytes) -> "asyncio.Future[None]":
        """See Drive.healed."""
        return asyncio.ensure_future(self._healed(formatting))

    async def _healed(self, formatting: bytes) -> None:
        session = self._availability.session
        whole = await self._write(lambda transaction: transaction.healed(formatting))
        if whole and session is not None:
            session.healing = False
            self._executor.submit(remove_set_aside, self._root)

    def _write(self, work: Callable[[Transaction], T], staged: Sequence[bytes] = ()) -> "asyncio.Future[T]":
        session = self._availability.session
        if session is None:
            return self._refused()
        future: asyncio.Future[T] = self._loop.create_future()
        session.writer.submit(work, future, staged)
        return future

    def _refused(self, error: DriveError | None = None) -> "asyncio.Future[T]":
        future: asyncio.Future[T] = self._loop.create_future()
        fail(future, error or DriveOffline(self._availability.reason))
        return future

    def note_chosen(self, bucket: bytes, key: bytes, stamp: bytes, superseded: bool) -> None:
        """See Drive.note_chosen."""
        self._notes.note_chosen(bucket, key, stamp, superseded)

    def queue_repair(self, bucket: bytes, key: bytes) -> None:
        """See Drive.queue_repair."""
        self._notes.queue_repair(bucket, key)

    # -- shard files ---------------------------------------------------------------------------------------------------

    async def stage(self, data_id: bytes, size_bytes: int) -> LocalStagedShard:
        """See Drive.stage."""
        session = self._availability.session
        if session is None:
            raise DriveOffline(self._availability.reason)
        if not self.has_room(size_bytes):
            raise DriveFull(f"{self._root}: no space left")
        self._capacity.take(size_bytes)
        file = await self._loop.run_in_executor(
            self._executor, self._shards.create, session.staging, data_id, size_bytes
        )
        return LocalStagedShard(file, self._executor)

    def read_shard(self, data_id: bytes, offset_bytes: int, size_bytes: int) -> "asyncio.Future[Buffer]":
        """See Drive.read_shard."""
        if self._availability.session is None:
            return self._refused()
        return self._loop.run_in_executor(self._executor, self._shards.read, data_id, offset_bytes, size_bytes)

    def stat_shards(self, data_ids: Sequence[bytes]) -> "asyncio.Future[list[int]]":
        """See Drive.stat_shards."""
        if self._availability.session is None:
            return self._refused()
        return self._loop.run_in_executor(self._executor, self._shards.sizes, data_ids)

    def verify_shard(self, run: FrameRun) -> "asyncio.Future[list[int]]":
        """See Drive.verify_shard."""
        if self._availability.session is None:
            return self._refused()
        return self._loop.run_in_executor(self._executor, self._shards.verify, run)

    def hold_shards(self, data_ids: Sequence[bytes]) -> "asyncio.Future[None]":
        """See Drive.hold_shards."""
        return self._write(lambda transaction: transaction.hold_shards(data_ids))

    def replace_shard(self, data_id: bytes) -> "asyncio.Future[None]":
        """See Drive.replace_shard."""
        session = self._availability.session
        if session is None:
            return self._refused()
        return self._loop.run_in_executor(self._executor, self._shards.replace, session.staging, data_id)

    # -- upkeep --------------------------------------------------------------------------------------------------------

    async def maintain(self) -> None:
        """Free what is due for reclaim, and forget old promises and purges. Called now and then, by one process."""
        now_ms = self._clock.now_milliseconds()
        before = (now_ms - PROMISE_KEPT_MS).to_bytes(6, "big") + bytes(10)
        session = self._availability.session
        if session is None:
            return
        due = await self._batcher.submit(session.reads, lambda connection: upkeep_is_due(connection, now_ms, before))
        if not due:
            return
        await self._write(partial(_forget_old, before))
        freed = RECLAIM_FILES_PER_CALL
        while freed == RECLAIM_FILES_PER_CALL:
            freed = await self._write(self._reclaim)

    def _reclaim(self, transaction: Transaction) -> int:
        """Remove files, then their entries: a crash in between finds them missing, which is what was wanted."""
        data_ids = transaction.due_for_reclaim(RECLAIM_FILES_PER_CALL)
        remove_shards(self._root, data_ids)
        transaction.reclaimed(data_ids)
        self._meters.reclaimed.inc(len(data_ids))
        return len(data_ids)

    async def info(self) -> DriveInfo:
        """See Drive.info."""
        versions = repair_queue = reclaim_queue = 0
        session = self._availability.session
        if session is not None:
            with contextlib.suppress(DriveError):  # it just went offline: the state says so
                versions, repair_queue, reclaim_queue = await self._batcher.submit(session.reads, counts)
        full = f"{self._root} is full: it is read from, but takes no more writes" if self._capacity.full else ""
        return DriveInfo(
            self.drive_id,
            self.endpoint,
            self._availability.state,
            self._availability.reason or full,
            self._capacity.total_bytes,
            self._capacity.free_bytes,
            versions,
            repair_queue,
            reclaim_queue,
            self.healing,
        )


def _heal(offer: Accept, replace_inline: bool, transaction: Transaction) -> AcceptAnswer:
    answer = transaction.heal(offer, replace_inline=replace_inline)
    transaction.count_versions()  # no note that would count it follows
    return answer


def _forget_old(before: bytes, transaction: Transaction) -> None:
    transaction.purge_promises(before)
    transaction.forget_purged()


def _inline_bytes(offer: Accept) -> int:
    inline = offer.inline
    if inline is None:
        return 0
    return len(inline) if isinstance(inline, bytes) else sum(map(len, inline))

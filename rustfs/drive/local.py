"""A drive of this node: the Drive port over a directory.

It goes offline by itself when it fails (absent, foreign, read-only, I/O errors, hanging) and comes back by itself when
it is well again; a probe every two seconds sees to both. All blocking work is done in threads.
"""

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

import apsw

from rustfs.core.buffers import Buffer
from rustfs.core.errors import DriveError, DriveFull, DriveOffline
from rustfs.core.futures import fail
from rustfs.core.ports import (
    TOMBSTONE,
    Accept,
    AcceptAnswer,
    Ceiling,
    Clock,
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
from rustfs.drive import session as sessions
from rustfs.drive.digests import range_page
from rustfs.drive.format import Format, FormatMismatch, FormatUnusable
from rustfs.drive.metrics import DriveMeters
from rustfs.drive.queries import ceiling_of, key_answer, marks_page, scan_page, unsettled
from rustfs.drive.reader import ReadBatcher
from rustfs.drive.session import Session, StoreCorrupt
from rustfs.drive.shards import ShardFile, bad_frames, file_sizes, read_range, remove_shards
from rustfs.drive.tables import is_damage
from rustfs.drive.transactions import Transaction

log = logging.getLogger("rustfs.drive")

PROBE_SECONDS = 2.0
COMMIT_STALL_SECONDS = 15.0
NOTES_SECONDS = 0.5
NOTES_PER_CALL = 256
RESERVE_BYTES_MAX = 256 << 20
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
        self._identity = identity
        self._batcher = batcher
        self._executor = executor
        self._clock = clock
        self._rebuildable = rebuildable
        self._loop = asyncio.get_running_loop()
        self._meters = DriveMeters(root)
        self.drive_id = identity.drive_id
        self.endpoint = root
        self.set_index, self.position = identity.place_of(identity.drive_id)
        self._session: Session | None = None
        self.generation = 0
        self._state = DriveState.OFFLINE
        self._reason = "not opened yet"
        self._total_bytes = self._free_bytes = self._reserve_bytes = 0
        self._chosen: list[tuple[bytes, bytes, bytes, bool]] = []
        self._to_repair: set[tuple[bytes, bytes]] = set()
        self._notes_timer: asyncio.TimerHandle | None = None
        self._prober: asyncio.Task[None] | None = None
        self._suspect = False  # a read or write met damage in the metadata store
        self._full = False  # reads go on, writes are refused until there is room again

    # -- life ----------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Begin to serve, or to try to; never raises for a drive that is not well."""
        await self._try_open()
        self._prober = asyncio.create_task(self._probe_for_ever(), name=f"probe {self._root}")

    async def close(self) -> None:
        """Commit what is queued and leave."""
        if self._prober is not None:
            self._prober.cancel()
        self._flush_notes()
        session, self._session = self._session, None
        self._state, self._reason = DriveState.OFFLINE, "closed"
        if session is not None:
            await self._loop.run_in_executor(self._executor, session.close)

    @property
    def online(self) -> bool:
        """See Drive.online."""
        return self._session is not None

    @property
    def healing(self) -> bool:
        """See Drive.healing."""
        session = self._session
        return session is not None and session.healing

    @property
    def state(self) -> DriveState:
        """Whether it serves."""
        return self._state

    @property
    def free_bytes(self) -> int:
        """See Drive.free_bytes."""
        return max(0, self._free_bytes - self._reserve_bytes) if self._session is not None else 0

    def has_room(self, size_bytes: int) -> bool:
        """See Drive.has_room."""
        return size_bytes + self._reserve_bytes <= self._free_bytes

    async def _try_open(self) -> None:
        opening = partial(
            sessions.open_session,
            self._root,
            self._identity,
            self._clock,
            self._loop,
            self._failed_from_thread,
            self._meters,
            deep_check=self._suspect,
            rebuildable=self._rebuildable,
        )
        try:
            session: Session = await self._loop.run_in_executor(self._executor, opening)
            await self._measure()
        except (FormatMismatch, FormatUnusable, StoreCorrupt) as error:
            self._set_state(DriveState.REFUSED, str(error))
        except (OSError, apsw.Error) as error:
            self._set_state(DriveState.OFFLINE, _sentence(self._root, error))
        else:
            self._suspect = False
            self._session = session
            self.generation += 1
            self._set_state(DriveState.ONLINE, "")

    def _set_state(self, state: DriveState, reason: str) -> None:
        if (state, reason) == (self._state, self._reason):
            return
        was, self._state, self._reason = self._state, state, reason
        if state is DriveState.ONLINE:
            if was is not DriveState.ONLINE:
                log.info("drive %s is online", self._root)
        else:
            log.error("drive %s is %s: %s", self._root, state.value, reason)

    def _failed_from_thread(self, error: BaseException) -> DriveError:
        """Called by whichever thread met the error; the drive goes offline on the loop's next turn."""
        if isinstance(error, apsw.FullError) or (
            isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        ):
            with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
                self._loop.call_soon_threadsafe(self._ran_full)
            return DriveFull(f"{self._root}: no space left")
        session = self._session
        reason = _sentence(self._root, error)
        if is_damage(error):
            self._suspect = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
            self._loop.call_soon_threadsafe(self._go_offline, session, reason)
        return DriveOffline(reason)

    def _ran_full(self) -> None:
        """A write met the end of the space before a measurement did (a quota, another program)."""
        self._free_bytes = 0
        self._note_room()

    def _note_room(self) -> None:
        full = not self.has_room(0)
        if full == self._full:
            return
        self._full = full
        if full:
            log.error("drive %s is full: it is read from, but takes no more writes", self._root)
        else:
            log.info("drive %s has room again", self._root)

    def _go_offline(self, session: Session | None, reason: str) -> None:
        if session is None or session is not self._session:
            return
        self._session = None
        self._meters.failures.inc()
        self._set_state(DriveState.OFFLINE, reason)
        self._executor.submit(session.abandon)

    async def _probe_for_ever(self) -> None:
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            session = self._session
            if session is None:
                await self._try_open()
                continue
            busy = session.writer.busy_since
            if busy and self._clock.monotonic_seconds() - busy > COMMIT_STALL_SECONDS:
                self._go_offline(session, f"{self._root}: a commit has taken over {COMMIT_STALL_SECONDS:.0f} s")
                continue
            try:
                identity = await self._loop.run_in_executor(self._executor, session.probe)
                await self._measure()
            except OSError as error:
                self._go_offline(session, _sentence(self._root, error))
                continue
            if identity != session.identity_file:
                self._go_offline(session, f"{self._root}: the drive was formatted anew")
            elif session.healing:
                await self._look_whether_healed(session)

    async def _look_whether_healed(self, session: Session) -> None:
        """Healing runs in one process of the node; the others learn here that it has ended."""
        query = "SELECT value FROM meta WHERE name='healing'"
        with contextlib.suppress(DriveError):  # it just went offline
            session.healing = await self._batcher.submit(
                session.reads, lambda connection: bool(connection.execute(query).fetchone()[0])
            )

    async def _measure(self) -> None:
        status = await self._loop.run_in_executor(self._executor, os.statvfs, self._root)
        if status.f_flag & os.ST_RDONLY:
            raise OSError(f"{self._root} is mounted read-only")
        self._total_bytes = status.f_blocks * status.f_frsize
        self._free_bytes = status.f_bavail * status.f_frsize
        self._reserve_bytes = min(RESERVE_BYTES_MAX, self._total_bytes // 50)
        self._note_room()

    # -- metadata ------------------------------------------------------------------------------------------------------

    def read_key(self, bucket: bytes, key: bytes, level: Level) -> "asyncio.Future[KeyAnswer]":
        """See Drive.read_key."""
        session = self._session
        if session is None:
            return self._refused()
        # `healing` is looked at before the rows: once it has ended, they are whole.
        return self._batcher.submit(
            session.reads, lambda connection: key_answer(connection, bucket, key, level, blank=session.healing)
        )

    def scan(self, request: Scan) -> "asyncio.Future[ScanPage]":
        """See Drive.scan."""
        session = self._session
        if session is None:
            return self._refused()
        return self._batcher.submit(
            session.reads, lambda connection: scan_page(connection, request, blank=session.healing)
        )

    def ranges(self, bucket: bytes, after: bytes, limit: int) -> "asyncio.Future[RangePage]":
        """See Drive.ranges."""
        session = self._session
        if session is None:
            return self._refused()
        return self._batcher.submit(
            session.reads, lambda connection: range_page(connection, bucket, after, limit, blank=session.healing)
        )

    def unsettled(self, after: bytes, before: bytes, limit: int) -> "asyncio.Future[list[tuple[bytes, bytes, bytes]]]":
        """See Drive.unsettled."""
        session = self._session
        if session is None:
            return self._refused()
        return self._batcher.submit(session.reads, lambda connection: unsettled(connection, after, before, limit))

    def prepare(self, bucket: bytes, key: bytes, token: bytes, level: Level) -> "asyncio.Future[PrepareAnswer]":
        """See Drive.prepare."""
        session = self._session
        if session is None:
            return self._refused()
        return self._write(lambda transaction: transaction.prepare(bucket, key, token, level, blank=session.healing))

    def accept(self, offer: Accept) -> "asyncio.Future[AcceptAnswer]":
        """See Drive.accept."""
        if not offer.flags & TOMBSTONE and not self.has_room(len(offer.record) + _inline_bytes(offer)):
            return self._refused(DriveFull(f"{self._root}: no space left"))
        session = self._session
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
        session = self._session
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
        session = self._session
        if session is None:
            return self._refused()
        return self._batcher.submit(
            session.reads,
            lambda connection: [
                RepairItem(*row)
                for row in connection.execute(
                    "SELECT sequence, bucket, key FROM repairs WHERE sequence>? ORDER BY sequence LIMIT ?",
                    (after, limit),
                )
            ],
        )

    def repaired(self, sequences: Sequence[int]) -> "asyncio.Future[None]":
        """See Drive.repaired."""
        return self._write(lambda transaction: transaction.repaired(sequences))

    def ceiling(self) -> "asyncio.Future[Ceiling]":
        """See Drive.ceiling."""
        session = self._session
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
        session = self._session
        whole = await self._write(lambda transaction: transaction.healed(formatting))
        if whole and session is not None:
            session.healing = False
            self._executor.submit(sessions.remove_set_aside, self._root)

    def _write(self, work: Callable[[Transaction], T], staged: Sequence[bytes] = ()) -> "asyncio.Future[T]":
        session = self._session
        if session is None:
            return self._refused()
        future: asyncio.Future[T] = self._loop.create_future()
        session.writer.submit(work, future, staged)
        return future

    def _refused(self, error: DriveError | None = None) -> "asyncio.Future[T]":
        future: asyncio.Future[T] = self._loop.create_future()
        fail(future, error or DriveOffline(self._reason))
        return future

    # -- lazy notes ----------------------------------------------------------------------------------------------------

    def note_chosen(self, bucket: bytes, key: bytes, stamp: bytes, superseded: bool) -> None:
        """See Drive.note_chosen."""
        self._chosen.append((bucket, key, stamp, superseded))
        self._plan_notes()

    def queue_repair(self, bucket: bytes, key: bytes) -> None:
        """See Drive.queue_repair."""
        self._to_repair.add((bucket, key))
        self._plan_notes()

    def _plan_notes(self) -> None:
        if self._notes_timer is None:
            self._notes_timer = self._loop.call_later(NOTES_SECONDS, self._flush_notes)

    def _flush_notes(self) -> None:
        if self._notes_timer is not None:
            self._notes_timer.cancel()
            self._notes_timer = None
        chosen, self._chosen = self._chosen, []
        to_repair, self._to_repair = self._to_repair, set()
        chosen.sort()  # neighbours share pages
        for start in range(0, len(chosen), NOTES_PER_CALL):
            self._write(partial(_note_all, chosen[start : start + NOTES_PER_CALL])).add_done_callback(_forget_outcome)
        if to_repair:
            self._write(partial(_queue_all, sorted(to_repair))).add_done_callback(_forget_outcome)

    # -- shard files ---------------------------------------------------------------------------------------------------

    async def stage(self, data_id: bytes, size_bytes: int) -> "LocalStagedShard":
        """See Drive.stage."""
        session = self._session
        if session is None:
            raise DriveOffline(self._reason)
        if not self.has_room(size_bytes):
            raise DriveFull(f"{self._root}: no space left")
        self._free_bytes -= size_bytes  # until the next measurement
        opening = partial(ShardFile, session.staging.path_of(data_id), size_bytes, self._shard_failed, self._executor)
        file = await self._loop.run_in_executor(self._executor, opening)
        return LocalStagedShard(file, self._executor)

    def _shard_failed(self, error: OSError) -> DriveOffline:
        failure = self._failed_from_thread(error)
        return failure if isinstance(failure, DriveOffline) else DriveOffline(str(failure))

    def read_shard(self, data_id: bytes, offset_bytes: int, size_bytes: int) -> "asyncio.Future[Buffer]":
        """See Drive.read_shard."""
        if self._session is None:
            return self._refused()
        return self._loop.run_in_executor(self._executor, self._read_range, data_id, offset_bytes, size_bytes)

    def _read_range(self, data_id: bytes, offset_bytes: int, size_bytes: int) -> Buffer:
        started = self._clock.monotonic_seconds()
        try:
            piece = read_range(self._root, data_id, offset_bytes, size_bytes)
        except OSError as error:
            raise self._failed_from_thread(error) from error
        self._meters.read(self._clock.monotonic_seconds() - started)
        return piece

    def stat_shards(self, data_ids: Sequence[bytes]) -> "asyncio.Future[list[int]]":
        """See Drive.stat_shards."""
        if self._session is None:
            return self._refused()
        return self._loop.run_in_executor(self._executor, self._file_sizes, data_ids)

    def _file_sizes(self, data_ids: Sequence[bytes]) -> list[int]:
        try:
            return file_sizes(self._root, data_ids)
        except OSError as error:
            raise self._failed_from_thread(error) from error

    def verify_shard(self, run: FrameRun) -> "asyncio.Future[list[int]]":
        """See Drive.verify_shard."""
        if self._session is None:
            return self._refused()
        return self._loop.run_in_executor(self._executor, self._bad_frames, run)

    def _bad_frames(self, run: FrameRun) -> list[int]:
        try:
            bad = bad_frames(self._root, run)
        except OSError as error:
            raise self._failed_from_thread(error) from error
        self._meters.verified.inc(sum(run.lengths_bytes))
        return bad

    def hold_shards(self, data_ids: Sequence[bytes]) -> "asyncio.Future[None]":
        """See Drive.hold_shards."""
        return self._write(lambda transaction: transaction.hold_shards(data_ids))

    def replace_shard(self, data_id: bytes) -> "asyncio.Future[None]":
        """See Drive.replace_shard."""
        session = self._session
        if session is None:
            return self._refused()
        return self._loop.run_in_executor(self._executor, self._replace, session, data_id)

    def _replace(self, session: Session, data_id: bytes) -> None:
        try:
            session.staging.replace(data_id)
        except OSError as error:
            raise self._failed_from_thread(error) from error

    # -- upkeep --------------------------------------------------------------------------------------------------------

    async def maintain(self) -> None:
        """Free what is due for reclaim, and forget old promises and purges. Called now and then, by one process."""
        before = (self._clock.now_milliseconds() - PROMISE_KEPT_MS).to_bytes(6, "big") + bytes(10)
        session = self._session
        if session is None:
            return
        due: list[tuple[int]] = await self._batcher.submit(
            session.reads,
            lambda connection: connection.execute(
                "SELECT 1 FROM reclaim WHERE due<=?1 UNION ALL SELECT 1 FROM purged WHERE due<=?1 "
                "UNION ALL SELECT 1 FROM promises WHERE token<?2 LIMIT 1",
                (self._clock.now_milliseconds(), before),
            ).fetchall(),
        )
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
        versions = repairs = reclaims = 0
        session = self._session
        if session is not None:
            with contextlib.suppress(DriveError):  # it just went offline: the state says so
                versions, repairs, reclaims = await self._batcher.submit(
                    session.reads,
                    lambda connection: connection.execute(
                        "SELECT (SELECT value FROM meta WHERE name='versions'), (SELECT count(*) FROM repairs), "
                        "(SELECT count(*) FROM reclaim)"
                    ).fetchone(),
                )
        full = f"{self._root} is full: it is read from, but takes no more writes" if self._full else ""
        return DriveInfo(
            self.drive_id,
            self.endpoint,
            self._state,
            self._reason or full,
            self._total_bytes,
            self._free_bytes,
            versions,
            repairs,
            reclaims,
            self.healing,
        )


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


def _heal(offer: Accept, replace_inline: bool, transaction: Transaction) -> AcceptAnswer:
    answer = transaction.heal(offer, replace_inline=replace_inline)
    transaction.count_versions()  # no note that would count it follows
    return answer


def _forget_old(before: bytes, transaction: Transaction) -> None:
    transaction.purge_promises(before)
    transaction.forget_purged()


def _note_all(notes: Sequence[tuple[bytes, bytes, bytes, bool]], transaction: Transaction) -> None:
    transaction.note_chosen(notes)
    transaction.count_versions()


def _queue_all(keys: Sequence[tuple[bytes, bytes]], transaction: Transaction) -> None:
    for bucket, key in keys:
        transaction.queue_repair(bucket, key)


def _forget_outcome(future: "asyncio.Future[None]") -> None:
    if not future.cancelled():
        future.exception()


def _inline_bytes(offer: Accept) -> int:
    inline = offer.inline
    if inline is None:
        return 0
    return len(inline) if isinstance(inline, bytes) else sum(map(len, inline))


def _sentence(root: str, error: BaseException) -> str:
    text = str(error)
    return text if text.startswith(root) else f"{root}: {text}"

"""A drive of another node: the Drive port over a Link (small calls) and PeerCalls (shards and scans)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from rustfs.core.buffers import Buffer
from rustfs.core.drivetypes import (
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
from rustfs.core.pb.peer.v1 import drive_pb2 as pb
from rustfs.mesh import messages
from rustfs.mesh.calls import PeerCalls
from rustfs.mesh.link import Link
from rustfs.mesh.staged import RemoteStagedShard

log = logging.getLogger("rustfs.mesh")

READ_SECONDS = 10.0
WRITE_SECONDS = 12.0
VERIFY_SECONDS = 30.0
NOTES_SECONDS = 0.5
NOTES_PER_CALL = 256
NOTES_MAX = 50_000
UNNAMED_SECONDS = 60.0  # how long a staged file may wait for another offer after one whose answer was lost

T = TypeVar("T")


class RemoteDrive:
    """See rustfs.core.ports.Drive. Made and used by the event loop's thread."""

    near = False

    def __init__(
        self, link: Link, calls: PeerCalls, index: int, position: int, endpoint: str, expected_id: str = ""
    ) -> None:
        """A drive as the volumes place it.

        Args:
            index: among all drives of the volumes.
            position: in its set.
            expected_id: who it must be, where that is known; another drive in its place is not asked.
        """
        self._expected_id = expected_id
        self._link = link
        self._calls = calls
        self._index = index
        self.position = position
        self.endpoint = endpoint
        self._loop = asyncio.get_running_loop()
        self._staged: dict[bytes, RemoteStagedShard] = {}
        self._chosen: list[tuple[bytes, bytes, bytes, bool]] = []
        self._to_repair: set[tuple[bytes, bytes]] = set()
        self._notes_timer: asyncio.TimerHandle | None = None
        self._last_info: DriveInfo | None = None
        self._stranger = ""  # the unexpected drive that was complained about last
        self._tasks: set[asyncio.Future[None]] = set()

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def drive_id(self) -> str:
        """See Drive.drive_id; the name in the volumes while the node was never in reach."""
        status = self._link.status_of(self._index)
        return status.drive_id if status is not None and status.drive_id else self.endpoint

    @property
    def online(self) -> bool:
        """See Drive.online."""
        status = self._link.status_of(self._index)
        return status is not None and status.online and self._is_expected(status.drive_id)

    def _is_expected(self, drive_id: str) -> bool:
        if not self._expected_id or drive_id == self._expected_id:
            return True
        if drive_id != self._stranger:
            self._stranger = drive_id
            log.error(
                "%s is drive %s, but this node's drives know %s there: are the drives mounted in their own places?",
                self.endpoint, drive_id, self._expected_id,
            )  # fmt: skip
        return False

    @property
    def healing(self) -> bool:
        """See Drive.healing."""
        status = self._link.status_of(self._index)
        return status is not None and status.healing

    @property
    def generation(self) -> int:
        """See Drive.generation."""
        return self._link.generation

    @property
    def free_bytes(self) -> int:
        """See Drive.free_bytes."""
        status = self._link.status_of(self._index)
        return status.room_bytes if status is not None else 0

    def has_room(self, size_bytes: int) -> bool:
        """See Drive.has_room."""
        return size_bytes <= self.free_bytes

    # -- metadata ------------------------------------------------------------------------------------------------------

    def read_key(self, bucket: bytes, key: bytes, level: Level) -> "asyncio.Future[KeyAnswer]":
        """See Drive.read_key."""
        call = pb.Call(drive=self._index, read_key=pb.ReadKey(bucket=bucket, key=key, level=level))
        return self._link.call("read_key", call, messages.key_answer, READ_SECONDS)

    def prepare(self, bucket: bytes, key: bytes, token: bytes, level: Level) -> "asyncio.Future[PrepareAnswer]":
        """See Drive.prepare."""
        call = pb.Call(drive=self._index, prepare=pb.Prepare(bucket=bucket, key=key, token=token, level=level))
        return self._link.call("prepare", call, messages.prepare_answer, WRITE_SECONDS)

    def accept(self, offer: Accept) -> "asyncio.Future[AcceptAnswer]":
        """See Drive.accept."""
        call = pb.Call(drive=self._index, accept=messages.offer_message(offer))
        return self._named(offer, self._link.call("accept", call, messages.accept_answer, WRITE_SECONDS))

    def heal(self, offer: Accept, replace_inline: bool) -> "asyncio.Future[AcceptAnswer]":
        """See Drive.heal."""
        message = pb.Heal(offer=messages.offer_message(offer), replace_inline=replace_inline)
        call = pb.Call(drive=self._index, heal=message)
        return self._named(offer, self._link.call("heal", call, messages.accept_answer, WRITE_SECONDS))

    def mark_bucket(self, bucket: bytes, mark: Mark) -> "asyncio.Future[Mark]":
        """See Drive.mark_bucket."""
        message = pb.MarkBucket(bucket=bucket, mark=messages.mark_message(mark))
        call = pb.Call(drive=self._index, mark_bucket=message)
        return self._link.call("mark_bucket", call, messages.mark_answer, WRITE_SECONDS)

    def marks(self, after: bytes, limit: int) -> "asyncio.Future[MarksPage]":
        """See Drive.marks."""
        call = pb.Call(drive=self._index, marks=pb.Marks(after=after, limit=limit))
        return self._link.call("marks", call, messages.marks_answer, READ_SECONDS)

    def drop(self, bucket: bytes, key: bytes, stamp: bytes) -> "asyncio.Future[None]":
        """See Drive.drop."""
        call = pb.Call(drive=self._index, drop=pb.Drop(bucket=bucket, key=key, stamp=stamp))
        return self._link.call("drop", call, messages.done_answer, WRITE_SECONDS)

    def tombstones(self, before: bytes, limit: int) -> "asyncio.Future[list[tuple[bytes, bytes, bytes]]]":
        """See Drive.tombstones."""
        call = pb.Call(drive=self._index, tombstones=pb.Tombstones(before=before, limit=limit))
        return self._link.call("tombstones", call, messages.tombstones_answer, WRITE_SECONDS)

    def ranges(self, bucket: bytes, after: bytes, limit: int) -> "asyncio.Future[RangePage]":
        """See Drive.ranges."""
        call = pb.Call(drive=self._index, ranges=pb.Ranges(bucket=bucket, after=after, limit=limit))
        return self._link.call("ranges", call, messages.ranges_answer, READ_SECONDS)

    def unsettled(self, after: bytes, before: bytes, limit: int) -> "asyncio.Future[list[tuple[bytes, bytes, bytes]]]":
        """See Drive.unsettled."""
        call = pb.Call(drive=self._index, unsettled=pb.Unsettled(after=after, before=before, limit=limit))
        return self._link.call("unsettled", call, messages.tombstones_answer, READ_SECONDS)

    def repairs(self, after: int, limit: int) -> "asyncio.Future[list[RepairItem]]":
        """See Drive.repairs."""
        call = pb.Call(drive=self._index, repairs=pb.Repairs(after=after, limit=limit))
        return self._link.call("repairs", call, messages.repairs_answer, READ_SECONDS)

    def repaired(self, sequences: Sequence[int]) -> "asyncio.Future[None]":
        """See Drive.repaired."""
        call = pb.Call(drive=self._index, repaired=pb.Repaired(sequences=sequences))
        return self._link.call("repaired", call, messages.done_answer, WRITE_SECONDS)

    def ceiling(self) -> "asyncio.Future[Ceiling]":
        """See Drive.ceiling."""
        call = pb.Call(drive=self._index, ceiling=pb.Ceiling())
        return self._link.call("ceiling", call, messages.ceiling_answer, READ_SECONDS)

    def learn(self, formatting: bytes, ceiling: bytes) -> "asyncio.Future[None]":
        """See Drive.learn."""
        call = pb.Call(drive=self._index, learn=pb.Learn(formatting=formatting, ceiling=ceiling))
        return self._link.call("learn", call, messages.done_answer, WRITE_SECONDS)

    def healed(self, formatting: bytes) -> "asyncio.Future[None]":
        """See Drive.healed."""
        call = pb.Call(drive=self._index, healed=pb.Healed(formatting=formatting))
        return self._link.call("healed", call, messages.done_answer, WRITE_SECONDS)

    async def info(self) -> DriveInfo:
        """See Drive.info."""
        call = pb.Call(drive=self._index, drive_info=pb.DriveInfo())
        try:
            self._last_info = await self._link.call("drive_info", call, messages.info_answer, READ_SECONDS)
        except DriveError as error:
            last = self._last_info or DriveInfo(
                self.drive_id, self.endpoint, DriveState.OFFLINE, "", 0, 0, 0, 0, 0, healing=False
            )
            return last._replace(state=DriveState.OFFLINE, reason=f"{self.endpoint}: {error}")
        return self._last_info._replace(endpoint=self.endpoint)

    # -- notes ---------------------------------------------------------------------------------------------------------

    def note_chosen(self, bucket: bytes, key: bytes, stamp: bytes, superseded: bool) -> None:
        """See Drive.note_chosen."""
        if len(self._chosen) < NOTES_MAX:
            self._chosen.append((bucket, key, stamp, superseded))
            self._plan_notes()

    def queue_repair(self, bucket: bytes, key: bytes) -> None:
        """See Drive.queue_repair."""
        if len(self._to_repair) < NOTES_MAX:
            self._to_repair.add((bucket, key))
            self._plan_notes()

    def _plan_notes(self) -> None:
        if self._notes_timer is None:
            self._notes_timer = self._loop.call_later(NOTES_SECONDS, self.flush_notes)

    def flush_notes(self) -> None:
        """Send the notes that are waiting."""
        if self._notes_timer is not None:
            self._notes_timer.cancel()
            self._notes_timer = None
        chosen, self._chosen = self._chosen, []
        to_repair, self._to_repair = self._to_repair, set()
        for start in range(0, len(chosen), NOTES_PER_CALL):
            notes = [
                pb.NoteChosen.Note(bucket=bucket, key=key, stamp=stamp, superseded=superseded)
                for bucket, key, stamp, superseded in chosen[start : start + NOTES_PER_CALL]
            ]
            self._link.tell("note_chosen", pb.Call(drive=self._index, note_chosen=pb.NoteChosen(notes=notes)))
        if to_repair:
            keys = [pb.QueueRepair.Key(bucket=bucket, key=key) for bucket, key in sorted(to_repair)]
            self._link.tell("queue_repair", pb.Call(drive=self._index, queue_repair=pb.QueueRepair(keys=keys)))

    # -- shards and scans ----------------------------------------------------------------------------------------------

    def scan(self, request: Scan) -> "asyncio.Future[ScanPage]":
        """See Drive.scan."""
        return asyncio.ensure_future(self._calls.scan(self._index, request))

    def read_shard(self, data_id: bytes, offset_bytes: int, size_bytes: int) -> "asyncio.Future[Buffer]":
        """See Drive.read_shard."""
        return asyncio.ensure_future(self._calls.read_shard(self._index, data_id, offset_bytes, size_bytes))

    def stat_shards(self, data_ids: Sequence[bytes]) -> "asyncio.Future[list[int]]":
        """See Drive.stat_shards."""
        call = pb.Call(drive=self._index, stat_shards=pb.StatShards(data_ids=data_ids))
        return self._link.call("stat_shards", call, messages.sizes_answer, READ_SECONDS)

    def verify_shard(self, run: FrameRun) -> "asyncio.Future[list[int]]":
        """See Drive.verify_shard."""
        call = pb.Call(drive=self._index, verify_shard=messages.run_message(run))
        return self._link.call("verify_shard", call, messages.bad_frames_answer, VERIFY_SECONDS)

    def hold_shards(self, data_ids: Sequence[bytes]) -> "asyncio.Future[None]":
        """See Drive.hold_shards."""
        call = pb.Call(drive=self._index, hold_shards=pb.HoldShards(data_ids=data_ids))
        return self._link.call("hold_shards", call, messages.done_answer, WRITE_SECONDS)

    async def stage(self, data_id: bytes, size_bytes: int) -> RemoteStagedShard:
        """See Drive.stage."""
        if not self.online:
            raise DriveOffline(self._link.reason or f"{self.endpoint} is offline")
        if not self.has_room(size_bytes):
            raise DriveFull(f"{self.endpoint}: no space left")
        stream = await self._calls.begin_shard(self._index, data_id, size_bytes)
        shard = RemoteStagedShard(self.endpoint, stream, self._loop, self._link.meters, partial(self._unstage, data_id))
        self._staged[data_id] = shard
        return shard

    def replace_shard(self, data_id: bytes) -> "asyncio.Future[None]":
        """See Drive.replace_shard."""
        call = pb.Call(drive=self._index, replace_shard=pb.ReplaceShard(data_id=data_id))
        future = self._link.call("replace_shard", call, messages.done_answer, WRITE_SECONDS)
        future.add_done_callback(partial(self._release, (data_id,)))
        return future

    def _unstage(self, data_id: bytes) -> None:
        self._staged.pop(data_id, None)

    def _named(self, offer: Accept, future: "asyncio.Future[AcceptAnswer]") -> "asyncio.Future[AcceptAnswer]":
        if offer.staged:
            future.add_done_callback(partial(self._release, offer.staged))
        return future

    def _release(self, data_ids: Sequence[bytes], answered: "asyncio.Future[T]") -> None:
        """The peer has judged these staged files; where its answer was lost they are kept for another offer."""
        failed = answered.cancelled() or answered.exception() is not None
        for data_id in data_ids:
            shard = self._staged.get(data_id)
            if shard is None:
                continue
            if failed:
                self._loop.call_later(UNNAMED_SECONDS, self._spawn, shard.abort)
            else:
                self._spawn(shard.entered_service)

    def _spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

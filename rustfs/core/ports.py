"""The seams: what the object layer asks of the world, as Protocols.

`Drive` has a local implementation (rustfs.drive) and a remote one (rustfs.mesh); a simulator has its own.
The object layer cannot tell them apart. The hot calls return futures rather than being coroutines, so that asking four
drives costs no task, and an implementation may serve all calls of one event-loop turn as one batch.

Every future ends: with an answer, or with a DriveError (DriveOffline when the drive cannot serve in time). That of a
small call may be left alone: an error that nobody looks at is not logged.
Cancelling a future abandons the wait; a call whose turn has not come by then has no effect.

Buckets and keys are bytes here (UTF-8), so that SQLite's and Python's order are S3's order.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from rustfs.core.buffers import Buffer
from rustfs.core.drivetypes import (
    Accept,
    AcceptAnswer,
    Ceiling,
    DriveInfo,
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


class Clock(Protocol):
    """Time, so that tests and simulations can own it."""

    def now_milliseconds(self) -> int:
        """Wall clock, milliseconds since the epoch; may step."""

    def monotonic_seconds(self) -> float:
        """A clock that never steps, for deadlines and latencies."""


class KeyLocks(Protocol):
    """Exclusive locks by key that the processes of a node share. They give order, never safety."""

    def try_lock(self, key: bytes) -> bool:
        """Lock without waiting. Whether it is ours now."""

    def unlock(self, key: bytes) -> None:
        """Give the lock back."""


class ClusterLocks(Protocol):
    """Exclusive leases by key that the nodes of a set share. They give order, never safety."""

    def held(self, set_index: int, key: bytes, timeout_seconds: float) -> AbstractAsyncContextManager[None]:
        """Hold the key's lease, or go ahead without it after `timeout_seconds`. Entering never fails for want of it."""


class Entropy(Protocol):
    """Randomness, so that tests and simulations can seed it."""

    def bytes(self, count: int) -> bytes:
        """`count` unpredictable bytes."""

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`, for jitter."""


class StagedShard(Protocol):
    """A shard file being written; not visible until an Accept names its data id."""

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append. Blocking: called in a worker thread, so that one job encodes a block and writes all its shards.

        The buffers may be kept for a while, so they must not change afterwards.

        Raises:
            DriveFull, DriveOffline
        """

    async def finish(self) -> None:
        """Make the bytes durable (fdatasync). The file is complete."""

    async def abort(self) -> None:
        """Remove the file. Never raises; harmless after the file entered service."""

    def abandon(self) -> None:
        """Like abort, blocking: for a worker thread that saw the drive fail."""


class Drive(Protocol):
    """One drive of a set, local or remote."""

    @property
    def drive_id(self) -> str: ...

    @property
    def position(self) -> int:
        """Place in its set, 0 to n-1."""

    @property
    def online(self) -> bool:
        """Cheap; whether it is worth asking. A drive may still go offline before it answers."""

    @property
    def healing(self) -> bool:
        """Being rebuilt, as far as is known here: a hint whom to ask first. What counts is `blank` in each answer."""

    @property
    def near(self) -> bool:
        """Of this node: asking costs no message."""

    @property
    def generation(self) -> int:
        """Counts how often the drive came into reach of this process: what it missed in between is unknown here."""

    @property
    def free_bytes(self) -> int:
        """Cheap: room as of the last measurement, 0 while the drive is not online."""

    def has_room(self, size_bytes: int) -> bool:
        """Cheap: whether a write of this size would be accepted rather than fail with DriveFull."""

    def read_key(self, bucket: bytes, key: bytes, level: Level) -> asyncio.Future[KeyAnswer]:
        """The versions held under a key."""

    def prepare(self, bucket: bytes, key: bytes, token: bytes, level: Level) -> asyncio.Future[PrepareAnswer]:
        """Promise, durably, to refuse tokens below `token` for this key; refused unless above all it knows of."""

    def accept(self, offer: Accept) -> asyncio.Future[AcceptAnswer]:
        """Store a version durably, by the rules of rustfs.drive.rules."""

    def note_chosen(self, bucket: bytes, key: bytes, stamp: bytes, superseded: bool) -> None:
        """Lazily: this version is on a write quorum. Batched; lost by a crash.

        `superseded`: the drive may hold older versions, which can go now.
        """

    def scan(self, request: Scan) -> asyncio.Future[ScanPage]:
        """A range of keys; see Scan."""

    def ranges(self, bucket: bytes, after: bytes, limit: int) -> asyncio.Future[RangePage]:
        """The first `limit` ranges of a bucket with keys above `after`.

        Where ranges end follows from the keys alone, so drives that hold the same keys have the same ranges.
        """

    def unsettled(self, after: bytes, before: bytes, limit: int) -> asyncio.Future[list[tuple[bytes, bytes, bytes]]]:
        """(bucket, key, stamp) of versions not noted as chosen, with stamps between the two, oldest first."""

    def mark_bucket(self, bucket: bytes, mark: Mark) -> asyncio.Future[Mark]:
        """Raise the bucket's mark, durably; answers the mark now held (a mark never falls)."""

    def marks(self, after: bytes, limit: int) -> asyncio.Future[MarksPage]:
        """The marks of buckets with names above `after`, the first `limit` of them."""

    async def stage(self, data_id: bytes, size_bytes: int) -> StagedShard:
        """Begin a shard file, its room reserved first. `size_bytes`: expected length, a lower bound when unknown.

        Raises:
            DriveFull, DriveOffline
        """

    def read_shard(self, data_id: bytes, offset_bytes: int, size_bytes: int) -> asyncio.Future[Buffer]:
        """Bytes of a shard file in service (shorter at its end).

        The future raises ShardMissing or DriveOffline.
        """

    def stat_shards(self, data_ids: Sequence[bytes]) -> asyncio.Future[list[int]]:
        """Length of each shard file in bytes, -1 where missing."""

    def verify_shard(self, run: FrameRun) -> asyncio.Future[list[int]]:
        """Read frames of a shard file in service and check them there; the indices of the blocks whose frame is bad.

        The future raises ShardMissing or DriveOffline.
        """

    def hold_shards(self, data_ids: Sequence[bytes]) -> asyncio.Future[None]:
        """A reader is still streaming these: postpone their reclaim by another grace period."""

    def replace_shard(self, data_id: bytes) -> asyncio.Future[None]:
        """Put the finished staged file in the place of the one in service, durably (healing: same bytes, anew)."""

    def heal(self, offer: Accept, replace_inline: bool) -> asyncio.Future[AcceptAnswer]:
        """Like accept, for a version already chosen: also below a newer one, or the same with a bad shard.

        Refused for what was dropped (see drop): whoever offers it looked before.
        """

    def drop(self, bucket: bytes, key: bytes, stamp: bytes) -> asyncio.Future[None]:
        """Forget versions of a key up to `stamp`, tombstones too; tokens up to `stamp` stay refused, and for an hour
        so do heals of such versions."""

    def tombstones(self, before: bytes, limit: int) -> asyncio.Future[list[tuple[bytes, bytes, bytes]]]:
        """(bucket, key, stamp) of tombstones noted as chosen with stamps below `before`, oldest first."""

    def queue_repair(self, bucket: bytes, key: bytes) -> None:
        """Durably (lazily batched): this key needs to be looked at."""

    def repairs(self, after: int, limit: int) -> asyncio.Future[list[RepairItem]]:
        """The repair queue's entries with sequences above `after`, oldest first."""

    def repaired(self, sequences: Sequence[int]) -> asyncio.Future[None]:
        """Take entries off the repair queue."""

    def ceiling(self) -> asyncio.Future[Ceiling]:
        """How high it went; see Ceiling."""

    def learn(self, formatting: bytes, ceiling: bytes) -> asyncio.Future[None]:
        """To a drive that was wiped: tokens below `ceiling` may have been promised away, refuse them for every key.

        Before that it takes no part in quorums: prepare and accept raise DriveOffline. Without effect where it was told
        before, or formatted anew since.
        """

    def healed(self, formatting: bytes) -> asyncio.Future[None]:
        """The drive is whole again: `healing` ends, unless it has to learn yet or was formatted anew since."""

    async def info(self) -> DriveInfo:
        """State, space and queues; answers for a drive that is offline, too."""

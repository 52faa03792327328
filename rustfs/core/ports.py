"""The seams: what the object layer asks of the world, as Protocols.

`Drive` has a local implementation (rustfs.drive) and will have a remote one (rustfs.mesh); a simulator has its own.
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
from enum import IntEnum, StrEnum
from typing import NamedTuple, Protocol

from rustfs.core.buffers import Buffer


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


# A version's flags: three bits, then its write quorum W and the copies k that rebuild it, so that the read rule needs
# not look into the record. A drive keeps them as they are offered and only ever adds CHOSEN.
CHOSEN = 1  # known to be on a write quorum: a reader may trust this copy alone
TOMBSTONE = 2  # a deletion: the version has no bytes
BLIND = 4  # the first offer of a write without a condition: whatever the key held before, it would have been offered
QUORUM_SHIFT = 8
NEEDED_SHIFT = 16


class Level(IntEnum):
    """How much of each version a read returns; every level includes the ones before it."""

    STAMPS = 0
    RECORD = 1
    INLINE = 2


class Held(NamedTuple):
    """One version of a key as one drive holds it."""

    stamp: bytes
    flags: int
    record: bytes  # encoded ObjectRecord (or another register's record); empty at Level.STAMPS
    inline: bytes | None  # this drive's shard file, where it lies in the metadata store


class Mark(NamedTuple):
    """What a drive knows of a bucket: the newest epoch it was shown, and whether writes below it are refused."""

    epoch: bytes
    fenced: bool


NO_MARK = Mark(b"", False)


class Ceiling(NamedTuple):
    """How high a drive went: it promised no token and holds no stamp above `stamp`.

    `known` is false for a drive that was wiped, and was not told yet how high it may have gone before. `formatting`
    names the drive's contents: one that is wiped, and so formatted anew, has another one.
    """

    stamp: bytes
    known: bool
    formatting: bytes


class MarksPage(NamedTuple):
    """The marks of a range of buckets, by name. `blank`: see KeyAnswer."""

    marks: list[tuple[bytes, Mark]]
    blank: bool


class KeyAnswer(NamedTuple):
    """What a drive holds under a key: newest version first.

    `blank`: the drive was being rebuilt when it answered: what it lacks says nothing.
    """

    versions: tuple[Held, ...]
    mark: Mark
    blank: bool


class PrepareAnswer(NamedTuple):
    """`promised`: the drive will refuse tokens below the one prepared. Otherwise `highest` is what stood against it."""

    promised: bool
    highest: bytes
    versions: tuple[Held, ...]
    mark: Mark
    blank: bool  # see KeyAnswer
    floor: bytes  # what the drive forgot of any key, on purpose or by accident, is not above it; b"": it does not say


class Refusal(IntEnum):
    """Why a drive did not accept."""

    NONE = 0
    STALE = 1  # a higher stamp is held, or the floor is higher
    BUCKET = 2  # the write's bucket epoch is older than the drive's mark, or fenced
    PROMISED = 3  # a higher token is promised
    ABSENT = 4  # there is nothing to delete: see Accept.if_held


class AcceptAnswer(NamedTuple):
    """`highest` is the highest stamp or token that the drive knows of for the key (of use when refused)."""

    refusal: Refusal
    highest: bytes
    superseded: bool  # older versions are still held until the new one is noted as chosen
    mark: Mark


class Accept(NamedTuple):
    """A version offered to one drive. Durable there once answered with Refusal.NONE."""

    bucket: bytes
    key: bytes
    stamp: bytes  # also the token under which it is offered: a drive that promised a higher one refuses it
    flags: int
    record: bytes
    inline: bytes | Sequence[Buffer] | None  # this drive's shard file bytes, for inline extents
    staged: tuple[bytes, ...]  # data ids whose staged shard files enter service with this version
    refs: tuple[bytes, ...]  # data ids of all extents with shard files (staged ones included)
    bucket_epoch: bytes  # b"" for system registers, which no bucket mark guards
    if_held: bool = False  # a whole drive that holds no version, or a chosen tombstone at the top, answers ABSENT


class ScanRow(NamedTuple):
    """A version in a scan; rows ascend by key, and descend by stamp within a key."""

    key: bytes
    stamp: bytes
    flags: int
    record: bytes  # empty at Level.STAMPS


class ScanPage(NamedTuple):
    """Rows up to a key boundary; `more` when keys may follow the last row (or `resume`)."""

    rows: list[tuple[bytes, bytes, int, bytes]]  # ScanRow fields as plain tuples, for speed
    more: bool
    resume: bytes  # where `more`: scan on from keys above this one
    mark: Mark
    blank: bool  # see KeyAnswer


class Scan(NamedTuple):
    """Keys of a bucket above `after`, starting with `prefix`, at most about `limit` rows.

    With a delimiter, of all keys that share the prefix up to and including the first delimiter behind `prefix`, only
    the first whose newest version on this drive is no tombstone is returned, and the others cost a seek. `after`
    may be any byte string, not only a key.
    """

    bucket: bytes
    prefix: bytes
    delimiter: bytes
    after: bytes
    limit: int
    level: Level


OPEN_END = b"\xff"  # ends a bucket's last range: above every key, since the byte does not occur in UTF-8


class KeyRange(NamedTuple):
    """The keys of a bucket up to `last` and above the range before, by what one drive holds of them.

    Drives whose digests of the same range are equal hold the same versions in it, those left aside that they have not
    noted as chosen.
    """

    last: bytes  # or OPEN_END
    digest: bytes  # 16 bytes, over keys and stamps of versions noted as chosen; those of joined ranges are XORed
    rows: int  # such versions


class RangePage(NamedTuple):
    """Ranges in key order, the first of which starts above `start`; empty ones are left out.

    `more`: others follow the last one. `blank`: see KeyAnswer.
    """

    start: bytes
    ranges: list[KeyRange]
    more: bool
    blank: bool


class FrameRun(NamedTuple):
    """Frames of a shard file, one after the other (rustfs.core.frames)."""

    data_id: bytes
    shard: int  # its index among the shards of the extent
    first_block: int  # of the extent
    offset_bytes: int  # of that block's frame in the file
    lengths_bytes: Sequence[int]  # of the frames


class RepairItem(NamedTuple):
    """An entry of a drive's durable repair queue; `sequence` names it when it is done."""

    sequence: int
    bucket: bytes
    key: bytes


class DriveState(StrEnum):
    """Whether a drive serves; everything but ONLINE answers calls with DriveOffline."""

    ONLINE = "online"
    OFFLINE = "offline"  # absent or failing: tried again by itself
    REFUSED = "refused"  # belongs elsewhere: needs the operator


class DriveInfo(NamedTuple):
    """A drive as the operator sees it."""

    drive_id: str
    endpoint: str  # the path given to `rustfs start`
    state: DriveState
    reason: str  # one sentence when not online, or when it takes no writes
    total_bytes: int
    free_bytes: int
    versions: int  # rows in the metadata store, approximately
    repair_queue: int
    reclaim_queue: int
    healing: bool  # formatted anew in place of a wiped drive and not yet whole


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

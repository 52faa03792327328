"""The way of an upload's bytes onto the drives of a set, up to but not including the accept that makes them visible.

Blocks of 1 MiB go through two jobs side by side: digesting (MD5 for the ETag, and what the face wants digested) and
storing (compress, erasure-code, checksum, write to every drive's staged file). Each kind runs in order; a few blocks
are in flight at a time, so memory per upload is bounded whatever the object's size. Small objects are read whole and
their shards go into the metadata store, inline, with the record.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from rustfs.core.buffers import Buffer
from rustfs.core.errors import DriveError, DriveFull, DriveOffline, EntityTooLarge, QuorumLost, StorageFull
from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.core.placement import shard_of
from rustfs.core.ports import Drive, Entropy, StagedShard
from rustfs.erasure.codec import Codec
from rustfs.erasure.compress import Compressor
from rustfs.erasure.layout import BLOCK_BYTES, build_footer, shard_bytes
from rustfs.erasure.stripe import EncodedBlock, encode_block
from rustfs.objects.decide import majority
from rustfs.objects.driveset import DriveSet, Place
from rustfs.objects.fanout import grace_seconds
from rustfs.objects.pace import Pace
from rustfs.objects.types import Body, Checksum

T = TypeVar("T")

DIGEST_ON_LOOP_BYTES_MAX = 16 << 10  # below it, a hop to a thread costs more than the digest (docs/adr/0005)
BLOCKS_IN_FLIGHT = 3
MANY_UPLOADS = 6  # from so many on, they fill the cores by themselves: one block of each is enough, and memory small
STAGE_TIMEOUT_SECONDS = 12.0
FINISH_TIMEOUT_SECONDS = 60.0
# A drive that is late with its shard, when enough others have theirs, is waited for no longer than this (or, if that is
# shorter, three times as long as the others took): then the version is written without it, and the key is repaired.
STRAGGLER_SECONDS_MIN = 0.05
STRAGGLER_SECONDS_MAX = 1.0
STALL_SECONDS = 1.0  # this much later still silent, it is taken for stalled: uploads leave it out for a while


@dataclass(slots=True)
class Ingested:
    """An upload whose bytes are verified and durable, but named by no record yet."""

    size_bytes: int
    md5: bytes
    checksum: Checksum | None
    extent: pb.Extent | None  # None: no bytes
    data_shards: int
    inline: list[Sequence[Buffer] | None] | None = None  # shard file by position
    staged: dict[int, StagedShard] = field(default_factory=dict)  # by position

    @property
    def positions(self) -> list[int] | None:
        """Drives that can accept the version; None: all."""
        return list(self.staged) if self.staged else None

    async def discard(self) -> None:
        """Remove what was staged; for uploads that no record will name."""
        await asyncio.gather(*(shard.abort() for shard in self.staged.values()))


@dataclass(frozen=True, slots=True)
class Shape:
    """k and m for one object."""

    data_shards: int
    parity_shards: int


def shape_for(drive_count: int, parity: int, unreachable: int) -> Shape:
    """k and m where some drives cannot be written: parity is raised, so that the version keeps the tolerance promised.

    k never falls below half of the set (rounded up), so that write quorums keep meeting.
    """
    data = drive_count - parity
    data = max(min(data, (drive_count + 1) // 2), data - unreachable)
    return Shape(data, drive_count - data)


class Ingest:
    """Takes uploads in. One per process."""

    def __init__(
        self,
        codec: Codec,
        compress: bool,
        executor: Executor,
        entropy: Entropy,
        pace: Pace,
        inline_bytes_max: int,
    ) -> None:
        self.pace = pace
        self._codec = codec
        self.compress = compress  # from the next block on
        self._compressor = Compressor()
        self._executor = executor
        self._entropy = entropy
        self.inline_bytes_max = inline_bytes_max
        self.uploads = 0  # large ones under way

    @property
    def blocks_in_flight(self) -> int:
        """Of each upload."""
        return BLOCKS_IN_FLIGHT if self.uploads < MANY_UPLOADS else 1

    async def take(
        self, body: Body, place: Place, parity: int, size_bytes_max: int, *, inline: bool = True
    ) -> Ingested:
        """Read, digest and store a body.

        Raises:
            StorageFull, QuorumLost: too few drives can take it; nothing was written.
            EntityTooLarge: it is longer than `size_bytes_max`.
            Whatever the body raises. In all cases nothing is left staged.
        """
        length = body.length_bytes
        if length is not None and length > size_bytes_max:
            raise EntityTooLarge(f"{length} bytes are more than {size_bytes_max}")
        drives = _writable(place.set, length or 0, self.pace)
        shape = shape_for(place.set.size, parity, place.set.size - len(drives))
        inline_max = self.inline_bytes_max if inline else 0
        head, ended = await _read_head(body, min(size_bytes_max, max(inline_max, BLOCK_BYTES)), length)
        size = sum(len(piece) for piece in head)
        if ended and size <= inline_max:
            return await self._take_inline(body, head, size, place, shape)
        upload = _Upload(self, body, place, shape, drives, size_bytes_max)
        return await upload.run(head, ended)

    async def _take_inline(self, body: Body, head: list[Buffer], size: int, place: Place, shape: Shape) -> Ingested:
        data = head[0] if len(head) == 1 else b"".join(head)
        work = partial(self._digest_and_encode, body, data, shape)
        if size <= DIGEST_ON_LOOP_BYTES_MAX:
            md5, checksum, block = work()
        else:
            md5, checksum, block = await asyncio.get_running_loop().run_in_executor(self._executor, work)
        if block is None:
            return Ingested(0, md5, checksum, None, shape.data_shards)
        n = place.set.size
        extent = pb.Extent(
            data_id=b"",
            size_bytes=size,
            data_shards=shape.data_shards,
            parity_shards=shape.parity_shards,
            rotation=place.rotation,
            compressed=block.compressed,
            stored_bytes=block.stored_bytes,
            inline=True,
        )
        frames = block.frames
        by_position: list[Sequence[Buffer] | None] = [frames[shard_of(p, place.rotation, n)] for p in range(n)]
        return Ingested(size, md5, checksum, extent, shape.data_shards, inline=by_position)

    def _digest_and_encode(
        self, body: Body, data: Buffer, shape: Shape
    ) -> tuple[bytes, Checksum | None, EncodedBlock | None]:
        if data:
            body.absorb(data)
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        checksum = body.settle(md5)
        if not data:
            return md5, checksum, None
        return md5, checksum, self.encode(data, 0, shape)

    def inline_again(self, data: bytes, extent: pb.Extent, place: Place) -> list[Sequence[Buffer] | None]:
        """The inline shard files, by position, of the same bytes once more; `extent` is brought up to date."""
        block = self.encode(data, 0, Shape(extent.data_shards, extent.parity_shards))
        extent.compressed, extent.stored_bytes = block.compressed, block.stored_bytes
        n = place.set.size
        return [block.frames[shard_of(p, extent.rotation, n)] for p in range(n)]

    def encode(self, data: Buffer, index: int, shape: Shape) -> EncodedBlock:
        """One block's frames."""
        compressor = self._compressor if self.compress else None
        return encode_block(data, index, shape.data_shards, shape.parity_shards, self._codec, compressor)

    def new_data_id(self) -> bytes:
        """A name for an extent."""
        return self._entropy.bytes(16)

    @property
    def executor(self) -> Executor:
        """Where digesting and coding run."""
        return self._executor


class _Upload:
    """One large upload on its way."""

    def __init__(
        self, ingest: Ingest, body: Body, place: Place, shape: Shape, drives: list[Drive], size_bytes_max: int
    ) -> None:
        self._ingest = ingest
        self._body = body
        self._place = place
        self._shape = shape
        self._drives = drives
        self._size_bytes_max = size_bytes_max
        self._quorum = max(majority(place.set.size), shape.data_shards)
        self._data_id = ingest.new_data_id()
        self._staged: dict[int, StagedShard] = {}
        self._failures: list[BaseException] = []
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._blocks: list[tuple[int, bool]] = []  # stored length, compressed
        self._size = 0

    async def run(self, head: list[Buffer], ended: bool) -> Ingested:
        """See Ingest.take."""
        self._ingest.uploads += 1
        try:
            await self._stage()
            await self._pump(head, ended)
            checksum = self._body.settle(self._md5.digest())
            await self._finish()
        except BaseException:
            await asyncio.gather(*(shard.abort() for shard in self._staged.values()))
            raise
        finally:
            self._ingest.uploads -= 1
        extent = pb.Extent(
            data_id=self._data_id,
            size_bytes=self._size,
            data_shards=self._shape.data_shards,
            parity_shards=self._shape.parity_shards,
            rotation=self._place.rotation,
            compressed=any(compressed for _, compressed in self._blocks),
            stored_bytes=self._blocks[0][0] if len(self._blocks) == 1 else 0,
        )
        return Ingested(self._size, self._md5.digest(), checksum, extent, self._shape.data_shards, staged=self._staged)

    async def _stage(self) -> None:
        length = self._body.length_bytes
        expected = shard_bytes(length if length is not None else BLOCK_BYTES, self._shape.data_shards)
        staging = {
            drive.position: asyncio.ensure_future(drive.stage(self._data_id, expected)) for drive in self._drives
        }
        await _most(staging, self._quorum, STAGE_TIMEOUT_SECONDS)
        for position, task in staging.items():
            error = _outcome(task)
            if error is None:
                self._staged[position] = task.result()
            elif isinstance(error, DriveError):
                self._failures.append(error)
                if not task.done():
                    _afterwards(_unstage(task, partial(self._stalled, position)))
            else:
                raise error
        self._require_quorum()

    async def _pump(self, pieces: list[Buffer], ended: bool) -> None:
        """Cut the body into blocks and send each through both jobs."""
        digesting = storing = _done()
        in_flight: list[asyncio.Future[None]] = []
        index = 0
        try:
            while True:
                if not ended:
                    ended = await _fill(self._body, pieces, BLOCK_BYTES)
                if not pieces:
                    break
                block = _cut(pieces, BLOCK_BYTES)
                self._size += len(block)
                if self._size > self._size_bytes_max:
                    raise EntityTooLarge(f"more than {self._size_bytes_max} bytes")
                digesting = self._chain(digesting, partial(self._digest, block))
                storing = self._chain(storing, partial(self._store, block, index))
                in_flight += (digesting, storing)
                index += 1
                while len(in_flight) > 2 * self._ingest.blocks_in_flight:
                    await in_flight.pop(0)
            for job in in_flight:
                await job
        except BaseException:
            # The jobs hold the staged files: let them end before anyone removes those.
            await asyncio.gather(*in_flight, return_exceptions=True)
            raise

    def _chain(self, previous: "asyncio.Future[None]", job: Callable[[], None]) -> "asyncio.Future[None]":
        return asyncio.ensure_future(self._after(previous, job))

    async def _after(self, previous: "asyncio.Future[None]", job: Callable[[], None]) -> None:
        await previous
        await asyncio.get_running_loop().run_in_executor(self._ingest.executor, job)

    def _digest(self, block: Buffer) -> None:
        self._md5.update(block)
        self._body.absorb(block)

    def _store(self, block: Buffer, index: int) -> None:
        encoded = self._ingest.encode(block, index, self._shape)
        self._blocks.append((encoded.stored_bytes, encoded.compressed))
        self._write(encoded.frames)

    def _write(self, by_shard: Sequence[Sequence[Buffer]]) -> None:
        n, rotation = self._place.set.size, self._place.rotation
        for position, shard in list(self._staged.items()):
            try:
                shard.write(by_shard[shard_of(position, rotation, n)])
            except DriveError as error:
                self._drop(position, error)
        self._require_quorum()

    def _drop(self, position: int, error: DriveError) -> None:
        self._failures.append(error)
        lost = self._staged.pop(position)
        lost.abandon()

    async def _finish(self) -> None:
        if len(self._blocks) > 1 and any(compressed for _, compressed in self._blocks):
            footer = build_footer(self._blocks)
            job = partial(self._write, [[footer]] * self._place.set.size)
            await asyncio.get_running_loop().run_in_executor(self._ingest.executor, job)
        finishing = {position: asyncio.ensure_future(shard.finish()) for position, shard in self._staged.items()}
        await _most(finishing, self._quorum, FINISH_TIMEOUT_SECONDS)
        for position, task in finishing.items():
            error = _outcome(task)
            if isinstance(error, DriveError):
                self._failures.append(error)
                _afterwards(_give_up(task, self._staged.pop(position), partial(self._stalled, position)))
            elif error is not None:
                raise error
        self._require_quorum()

    def _stalled(self, position: int) -> None:
        self._ingest.pace.stalled(self._place.set.drives[position])

    def _require_quorum(self) -> None:
        if len(self._staged) >= self._quorum:
            return
        share = shard_bytes(max(self._body.length_bytes or 0, self._size), self._shape.data_shards)
        passed_over = set(self._place.set.online()) - set(self._drives)
        full = sum(isinstance(failure, DriveFull) for failure in self._failures)
        full += sum(not drive.has_room(share) for drive in passed_over)
        # Of those that are away nobody knows: with room on the full ones alone, would there be a quorum?
        if full and len(self._staged) + full >= self._quorum:
            raise StorageFull(f"too few drives of set {self._place.set.index} have room")
        raise QuorumLost(f"too few drives of set {self._place.set.index} can be written")


async def _most(tasks: Mapping[int, "asyncio.Task[T]"], enough: int, timeout_seconds: float) -> None:
    """Wait until all have ended; once `enough` have succeeded, only for a grace. Cancelled: all are."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    deadline = started + timeout_seconds
    pending: set[asyncio.Task[T]] = set(tasks.values())
    generous = True
    try:
        while pending and loop.time() < deadline:
            await asyncio.wait(pending, timeout=deadline - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            pending = {task for task in pending if not task.done()}
            good = sum(1 for task in tasks.values() if task.done() and task.exception() is None)
            if generous and good >= enough:
                generous = False
                grace = max(STRAGGLER_SECONDS_MIN, grace_seconds(loop.time() - started, STRAGGLER_SECONDS_MAX))
                deadline = min(deadline, loop.time() + grace)
    except asyncio.CancelledError:
        for task in pending:
            task.cancel()
        raise


def _outcome(task: "asyncio.Task[T]") -> BaseException | None:
    """What a task ended in; one that has not ended is late."""
    return task.exception() if task.done() else DriveOffline("the drive was too slow to wait for")


_leftovers: set["asyncio.Task[None]"] = set()  # the loop itself holds tasks weakly


def _afterwards(cleaning: Coroutine[None, None, None]) -> None:
    task = asyncio.ensure_future(cleaning)
    _leftovers.add(task)
    task.add_done_callback(_leftovers.discard)


async def _unstage(staging: "asyncio.Task[StagedShard]", on_stall: Callable[[], None]) -> None:
    """Remove what a late drive staged in the end."""
    with contextlib.suppress(DriveError, asyncio.CancelledError):
        await (await _late(staging, on_stall)).abort()


async def _give_up(finishing: "asyncio.Task[None]", shard: StagedShard, on_stall: Callable[[], None]) -> None:
    """Remove the shard of a drive that failed or is late; not while it is still being written."""
    with contextlib.suppress(DriveError, asyncio.CancelledError):
        await _late(finishing, on_stall)
    await shard.abort()


async def _late(task: "asyncio.Task[T]", on_stall: Callable[[], None]) -> T:
    """What a late drive's task ends in; tells when it is not late but stalled."""
    await asyncio.wait([task], timeout=STALL_SECONDS)
    if not task.done():
        on_stall()
    return await task


def _writable(drive_set: DriveSet, size_bytes: int, pace: Pace) -> list[Drive]:
    """The drives to write to. Raises StorageFull or QuorumLost when they are fewer than any write quorum."""
    online = drive_set.online()
    if len(online) < drive_set.majority:
        raise QuorumLost(f"too few drives of set {drive_set.index} are online")
    share = shard_bytes(size_bytes, max(1, drive_set.size - drive_set.size // 2))
    roomy = [drive for drive in online if drive.has_room(share)]
    if len(roomy) < drive_set.majority:
        raise StorageFull(f"too few drives of set {drive_set.index} have room")
    moving = [drive for drive in roomy if not pace.is_stalled(drive)]
    return moving if len(moving) >= drive_set.majority else roomy


async def _read_head(body: Body, limit_bytes: int, length: int | None) -> tuple[list[Buffer], bool]:
    """The first pieces, up to `limit_bytes`; whether the body has ended with them."""
    pieces: list[Buffer] = []
    size = 0
    while size <= limit_bytes:
        piece = await body.read(BLOCK_BYTES)
        if not piece:
            return pieces, True
        pieces.append(piece)
        size += len(piece)
        if length is not None and size >= length:
            # The face verifies that nothing follows when it is asked for more.
            ended = not await body.read(BLOCK_BYTES)
            return pieces, ended
    return pieces, False


async def _fill(body: Body, pieces: list[Buffer], size_bytes: int) -> bool:
    """Read until `pieces` hold at least `size_bytes`. Whether the body has ended."""
    size = sum(len(piece) for piece in pieces)
    while size < size_bytes:
        piece = await body.read(size_bytes)
        if not piece:
            return True
        pieces.append(piece)
        size += len(piece)
    return False


def _cut(pieces: list[Buffer], size_bytes: int) -> Buffer:
    """Take the first `size_bytes` (or all there is) off `pieces`, as one buffer."""
    if len(pieces[0]) == size_bytes:
        return pieces.pop(0)
    taken: list[Buffer] = []
    size = 0
    while pieces and size < size_bytes:
        piece = pieces.pop(0)
        if size + len(piece) > size_bytes:
            view = memoryview(piece)
            pieces.insert(0, view[size_bytes - size :])
            piece = view[: size_bytes - size]
        taken.append(piece)
        size += len(piece)
    return taken[0] if len(taken) == 1 else b"".join(taken)


def _done() -> "asyncio.Future[None]":
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future

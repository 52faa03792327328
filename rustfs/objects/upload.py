"""One large upload on its way: blocks of 1 MiB through two jobs side by side, onto a staged file on every drive."""

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from rustfs.core.buffers import Buffer
from rustfs.core.errors import DriveError, DriveFull, EntityTooLarge, QuorumLost, StorageFull
from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.core.placement import shard_of
from rustfs.core.ports import Drive, StagedShard
from rustfs.erasure.layout import BLOCK_BYTES, build_footer, shard_bytes
from rustfs.erasure.stripe import EncodedBlock
from rustfs.objects.decide import majority
from rustfs.objects.driveset import Place
from rustfs.objects.lane import Lane
from rustfs.objects.pace import Pace
from rustfs.objects.stragglers import afterwards, give_up, most, outcome, unstage
from rustfs.objects.types import Body, Checksum

STAGE_TIMEOUT_SECONDS = 12.0
FINISH_TIMEOUT_SECONDS = 60.0


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


class Intake(Protocol):
    """What uploads of a process share (rustfs.objects.ingest)."""

    pace: Pace

    @property
    def executor(self) -> Executor:
        """Where digesting and coding run."""

    @property
    def blocks_in_flight(self) -> int:
        """Of each upload."""

    def encode(self, data: Buffer, index: int, shape: Shape) -> EncodedBlock:
        """One block's frames."""

    def new_data_id(self) -> bytes:
        """A name for an extent."""


class Upload:
    """One large upload on its way."""

    def __init__(
        self, ingest: Intake, body: Body, place: Place, shape: Shape, drives: list[Drive], size_bytes_max: int
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
        self._began = asyncio.get_running_loop().time()

    async def run(self, head: list[Buffer], ended: bool) -> Ingested:
        """See Ingest.take."""
        try:
            await self._stage()
            await self._pump(head, ended)
            checksum = self._body.settle(self._md5.digest())
            await self._finish()
        except BaseException:
            await asyncio.gather(*(shard.abort() for shard in self._staged.values()))
            raise
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
        await most(staging, self._quorum, STAGE_TIMEOUT_SECONDS)
        for position, task in staging.items():
            error = outcome(task)
            if error is None:
                self._staged[position] = task.result()
            elif isinstance(error, DriveError):
                self._failures.append(error)
                if not task.done():
                    afterwards(unstage(task, partial(self._stalled, position)))
            else:
                raise error
        self._require_quorum()

    async def _pump(self, pieces: list[Buffer], ended: bool) -> None:
        """Cut the body into blocks and send each through both jobs."""
        executor = self._ingest.executor
        digesting, storing = Lane(executor), Lane(executor)
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
                in_flight.append(digesting.add(partial(self._digest, block)))
                in_flight.append(storing.add(partial(self._store, block, index)))
                index += 1
                while len(in_flight) > 2 * self._ingest.blocks_in_flight:
                    await in_flight.pop(0)
            for job in in_flight:
                await job
        except BaseException:
            # The jobs hold the staged files: let them end before anyone removes those.
            await asyncio.gather(*in_flight, return_exceptions=True)
            raise

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
        await most(finishing, self._quorum, FINISH_TIMEOUT_SECONDS, asyncio.get_running_loop().time() - self._began)
        for position, task in finishing.items():
            error = outcome(task)
            if isinstance(error, DriveError):
                self._failures.append(error)
                afterwards(give_up(task, self._staged.pop(position), partial(self._stalled, position)))
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

"""The way of an object's bytes from the drives of its set to a reader.

Large objects come in runs of blocks, the next runs being read while the current one is sent, so memory per download is
bounded whatever the object's size. The first run is one block, so that the first byte does not wait for a longer one;
each is twice as long as the one before, up to the usual length. Small objects come with their record.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Executor
from itertools import accumulate
from typing import NamedTuple

from rustfs.core.buffers import Buffer
from rustfs.core.drivetypes import Level
from rustfs.core.errors import DriveError, QuorumLost
from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.core.placement import position_of
from rustfs.core.ports import Clock
from rustfs.erasure.codec import Codec
from rustfs.erasure.layout import BLOCK_BYTES
from rustfs.erasure.stripe import NotEnoughShards, decode_block
from rustfs.objects.conversation import queue_repair
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import Fanout
from rustfs.objects.gather import Blocks, ShardReader, inline_shards, whole_inline
from rustfs.objects.metrics import BAD_SHARDS, RECONSTRUCTIONS
from rustfs.objects.pace import Pace
from rustfs.objects.rounds import Reading
from rustfs.objects.types import ObjectInfo

RUN_BLOCKS = 4
RUN_BLOCKS_OF_MANY = 2
MANY_STREAMS = 6  # from so many on, shorter runs keep the disks busy, and memory small
RUNS_AHEAD = 2
FEW_STREAMS = 2  # up to so many may have more under way: to wait for a drive, or a peer, costs them most
RUNS_AHEAD_OF_FEW = 4
HOLD_SECONDS = 20.0
DECODE_ON_LOOP_BYTES_MAX = 64 << 10
INLINE_TIMEOUT_SECONDS = 12.0


class _Run(NamedTuple):
    """Blocks [first, end) of an extent, and which of their bytes are wanted."""

    extent: int
    first: int
    end: int
    skip: int
    take: int


class Egress:
    """Opens versions for reading. One per process."""

    def __init__(self, codec: Codec, executor: Executor, clock: Clock, pace: Pace) -> None:
        self.pace = pace
        self.codec = codec
        self.executor = executor
        self.clock = clock
        self.streams = 0  # large objects being sent

    @property
    def run_blocks(self) -> int:
        """How many blocks to read at once."""
        return RUN_BLOCKS if self.streams < MANY_STREAMS else RUN_BLOCKS_OF_MANY

    @property
    def runs_ahead(self) -> int:
        """How many runs to read while one is sent."""
        return RUNS_AHEAD_OF_FEW if self.streams <= FEW_STREAMS else RUNS_AHEAD

    def open(
        self,
        drive_set: DriveSet,
        bucket: bytes,
        key: bytes,
        reading: Reading,
        record: pb.ObjectRecord,
        info: ObjectInfo,
    ) -> "OpenVersion":
        """A version for reading."""
        return OpenVersion(self, drive_set, bucket, key, reading, record, info)


class OpenVersion:
    """See OpenObject."""

    def __init__(
        self,
        egress: Egress,
        drive_set: DriveSet,
        bucket: bytes,
        key: bytes,
        reading: Reading,
        record: pb.ObjectRecord,
        info: ObjectInfo,
    ) -> None:
        self._egress = egress
        self._set = drive_set
        self._bucket = bucket
        self._key = key
        self._reading = reading
        self._record = record
        self._reported = False
        self.info = info

    async def whole(self) -> bytes | None:
        """See OpenObject.whole."""
        extents = self._record.extents
        if not extents:
            return b""
        if len(extents) > 1 or not extents[0].inline:
            return None
        return await self._inline_bytes(extents[0])

    async def stream(self, start: int, end: int) -> AsyncIterator[Buffer | Sequence[Buffer]]:
        """See OpenObject.stream."""
        whole = await self.whole()
        if whole is not None:
            if start < end:
                yield memoryview(whole)[start:end]
            return
        egress = self._egress
        readers = [
            ShardReader(self._set, extent, egress.executor, egress.pace, egress.codec.fast, self._report)
            for extent in self._record.extents
        ]
        runs = self._runs(start, end)
        ahead: list[asyncio.Task[Sequence[Buffer]]] = []
        held = self._egress.clock.monotonic_seconds()
        egress.streams += 1
        try:
            while True:
                while len(ahead) < egress.runs_ahead and (run := next(runs, None)) is not None:
                    ahead.append(asyncio.create_task(self._fetch(readers[run.extent], run)))
                if not ahead:
                    return
                pieces = await ahead[0]
                ahead.pop(0)
                yield pieces
                if self._egress.clock.monotonic_seconds() - held > HOLD_SECONDS:
                    held = self._egress.clock.monotonic_seconds()
                    self._hold()
        finally:
            egress.streams -= 1
            for task in ahead:
                task.cancel()
            if ahead:
                await asyncio.gather(*ahead, return_exceptions=True)

    def _runs(self, start: int, end: int) -> Iterator[_Run]:
        offsets = list(accumulate((extent.size_bytes for extent in self._record.extents), initial=0))
        index = bisect_right(offsets, start) - 1
        length = 1
        while start < end:
            base, limit = offsets[index], min(end, offsets[index + 1])
            while start < limit:
                first = (start - base) // BLOCK_BYTES
                stop = min(first + min(length, self._egress.run_blocks), -(-(limit - base) // BLOCK_BYTES))
                run_end = min(limit, base + stop * BLOCK_BYTES)
                yield _Run(index, first, stop, start - base - first * BLOCK_BYTES, run_end - start)
                start = run_end
                length *= 2
            index += 1

    async def _fetch(self, reader: ShardReader, run: _Run) -> Sequence[Buffer]:
        blocks = await reader.blocks(run.first, run.end)
        layout = await reader.layout()
        k = layout.data_shards
        rebuilt = sum(1 for shards in blocks if not all(shard in shards for shard in range(k)))
        if rebuilt:
            RECONSTRUCTIONS.inc(rebuilt)

        def decode(blocks: Blocks) -> Sequence[Buffer]:
            pieces: list[Buffer] = []
            for index, shards in enumerate(blocks, run.first):
                pieces += decode_block(shards, layout, index, self._egress.codec)
            return _cut(pieces, run.skip, run.take)

        if not rebuilt and not self._record.extents[run.extent].compressed:
            return decode(blocks)  # views only
        return await asyncio.get_running_loop().run_in_executor(self._egress.executor, decode, blocks)

    async def _inline_bytes(self, extent: pb.Extent) -> bytes:
        held = {position: version.inline for position, version in self._reading.held.items()}
        asked = {position: inline for position, inline in held.items() if inline is not None}
        shards, bad = inline_shards(extent, asked, self._set.size)
        if len(shards) < extent.data_shards:
            shards, bad = await self._all_inline(extent)
        if bad or not all(shard in shards for shard in range(extent.data_shards)):
            RECONSTRUCTIONS.inc()
        if bad:
            BAD_SHARDS.labels("corrupt").inc(len(bad))
            self._report()
        layout = whole_inline(extent)

        def decode() -> bytes:
            try:
                return b"".join(decode_block(shards, layout, 0, self._egress.codec))
            except NotEnoughShards:
                raise QuorumLost(f"too few good shards in set {self._set.index}") from None

        if extent.size_bytes <= DECODE_ON_LOOP_BYTES_MAX:
            return decode()
        return await asyncio.get_running_loop().run_in_executor(self._egress.executor, decode)

    async def _all_inline(self, extent: pb.Extent) -> tuple[dict[int, Buffer], Sequence[int]]:
        """The inline shards of all drives in reach: those asked first were not enough."""
        fan = Fanout(
            ((drive.position, drive.read_key(self._bucket, self._key, Level.INLINE)) for drive in self._set.online()),
            self._egress.clock,
        )
        by_position: dict[int, bytes | None] = {}

        def enough() -> bool:
            for position, answer in fan.answers.items():
                if position not in by_position:
                    for version in answer.versions:
                        if version.stamp == self._reading.stamp:
                            by_position[position] = version.inline
            return len(inline_shards(extent, by_position, self._set.size)[0]) >= extent.data_shards

        await fan.wait(enough, INLINE_TIMEOUT_SECONDS)
        return inline_shards(extent, by_position, self._set.size)

    def _report(self) -> None:
        """A bad shard was met: have the key repaired, once per reader."""
        if not self._reported:
            self._reported = True
            queue_repair(self._set, [drive.position for drive in self._set.online()], self._bucket, self._key)

    def _hold(self) -> None:
        data_ids = [extent.data_id for extent in self._record.extents if not extent.inline]
        for drive in self._set.online():
            drive.hold_shards(data_ids).add_done_callback(_ignore_drive_error)


def data_positions(rotation: int, data_shards: int, size: int) -> list[int]:
    """Positions of the drives that hold data shards."""
    return [position_of(shard, rotation, size) for shard in range(data_shards)]


def _cut(pieces: list[Buffer], skip: int, take: int) -> list[Buffer]:
    """Bytes [skip, skip + take) of a run of pieces."""
    cut: list[Buffer] = []
    for piece in pieces:
        length = len(piece)
        if skip >= length:
            skip -= length
            continue
        if skip or take < length:
            cut.append(memoryview(piece)[skip : skip + take])
            take -= min(take, length - skip)
            skip = 0
        else:
            cut.append(piece)
            take -= length
        if take <= 0:
            break
    return cut


def _ignore_drive_error(future: "asyncio.Future[None]") -> None:
    if not future.cancelled() and isinstance(future.exception(), DriveError):
        return

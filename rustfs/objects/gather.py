"""Shards of an extent back from the drives of its set: read, verified, and as few as will do.

Data shards are asked first, parity when one of them is missing, bad or slow. Bad ones are remembered for the life of
the reader, so a stream over a large object stumbles once.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor

from rustfs.core.buffers import Buffer
from rustfs.core.errors import DriveError, QuorumLost, ShardMissing
from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.core.placement import position_of
from rustfs.core.ports import Drive
from rustfs.erasure.layout import FooterCorrupt, Layout, block_count, footer_bytes, parse_footer
from rustfs.erasure.stripe import verified
from rustfs.objects.driveset import DriveSet
from rustfs.objects.metrics import BAD_SHARDS

HEDGE_SECONDS = 1.0
READ_TIMEOUT_SECONDS = 30.0
ROUNDS_MAX = 64

# Per block of a run: shard index -> verified shard.
Blocks = list[dict[int, Buffer]]


class ShardReader:
    """Reads the shard files of one extent."""

    def __init__(self, drive_set: DriveSet, extent: pb.Extent, executor: Executor, on_bad: Callable[[], None]) -> None:
        self._set = drive_set
        self.extent = extent
        self._executor = executor
        self._on_bad = on_bad
        self._bad: set[int] = set()  # shards not to be asked again
        self._layout: Layout | None = None

    @property
    def bad_shards(self) -> frozenset[int]:
        """Shards found missing or corrupt so far."""
        return frozenset(self._bad)

    async def layout(self) -> Layout:
        """Where the frames lie; reads the footer of an extent that has one."""
        if self._layout is None:
            extent = self.extent
            stored: tuple[tuple[int, bool], ...] | None = None
            if extent.compressed and extent.stored_bytes:
                stored = ((extent.stored_bytes, True),)
            elif extent.compressed:
                stored = await self._footer()
            self._layout = Layout(extent.size_bytes, extent.data_shards, extent.parity_shards, stored)
        return self._layout

    async def blocks(self, first: int, end: int, *, exclude: frozenset[int] = frozenset()) -> Blocks:
        """At least k verified shards of each block in [first, end), data shards where they can be had.

        Args:
            exclude: shards not to be used (they are being rebuilt).

        Raises:
            QuorumLost: fewer than k good shards are in reach.
        """
        layout = await self.layout()
        offset, size = layout.frames_range(first, end)
        waiting = [shard for shard in self._candidates() if shard not in exclude]
        blocks: Blocks = [{} for _ in range(first, end)]
        asked: dict[asyncio.Future[bytes], int] = {}
        loop = asyncio.get_running_loop()
        wanted = layout.data_shards
        try:
            for _ in range(ROUNDS_MAX):
                while waiting and len(asked) < wanted:
                    shard = waiting.pop(0)
                    asked[self._drive_of(shard).read_shard(self.extent.data_id, offset, size)] = shard
                if not asked:
                    break
                arrived, silent = await self._arrivals(asked, HEDGE_SECONDS if waiting else READ_TIMEOUT_SECONDS)
                if silent and not waiting:
                    break
                if arrived:
                    corrupt = await loop.run_in_executor(self._executor, _sort_in, arrived, layout, first, end, blocks)
                    for shard in corrupt:
                        self._found_bad(shard, "corrupt")
                least = min(map(len, blocks))
                if least >= layout.data_shards:
                    return blocks
                # Those that were asked and stay silent are not counted upon any more.
                wanted = layout.data_shards - least + (len(asked) if silent else 0)
        finally:
            for future in asked:
                future.add_done_callback(_ignore)
        raise QuorumLost(f"too few good shards in set {self._set.index}")

    async def _arrivals(
        self, asked: "dict[asyncio.Future[bytes], int]", timeout_seconds: float
    ) -> tuple[dict[int, bytes], bool]:
        """What came of the reads under way, all of them if none is slow; and whether some stayed silent."""
        done, pending = await asyncio.wait(asked, timeout=timeout_seconds)
        arrived = {}
        for future in done:
            shard = asked.pop(future)
            try:
                arrived[shard] = future.result()
            except ShardMissing:
                self._found_bad(shard, "missing")
            except DriveError:
                self._bad.add(shard)
        return arrived, bool(pending)

    async def _footer(self) -> tuple[tuple[int, bool], ...]:
        blocks = block_count(self.extent.size_bytes)
        length = footer_bytes(blocks)
        for shard in self._candidates():
            drive = self._drive_of(shard)
            try:
                async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                    size = (await drive.stat_shards([self.extent.data_id]))[0]
                    if size < length:
                        raise ShardMissing(self.extent.data_id.hex())
                    return parse_footer(await drive.read_shard(self.extent.data_id, size - length, length), blocks)
            except ShardMissing:
                self._found_bad(shard, "missing")
            except FooterCorrupt:
                self._found_bad(shard, "corrupt")
            except (DriveError, TimeoutError):
                self._bad.add(shard)
        raise QuorumLost(f"no footer of an extent in reach in set {self._set.index}")

    def _candidates(self) -> list[int]:
        shards = range(self.extent.data_shards + self.extent.parity_shards)
        return [shard for shard in shards if shard not in self._bad and self._drive_of(shard).online]

    def _drive_of(self, shard: int) -> Drive:
        return self._set.drives[position_of(shard, self.extent.rotation, self._set.size)]

    def _found_bad(self, shard: int, kind: str) -> None:
        if shard not in self._bad:
            self._bad.add(shard)
            BAD_SHARDS.labels(kind).inc()
            self._on_bad()


def _sort_in(arrived: dict[int, bytes], layout: Layout, first: int, end: int, blocks: Blocks) -> list[int]:
    """Verify frames and add the good shards to their blocks; the shards with a bad frame."""
    corrupt = []
    for shard, run in arrived.items():
        view = memoryview(run)
        start = 0
        good = True
        for index in range(first, end):
            _, length = layout.frames_range(index, index + 1)
            piece = verified(view[start : start + length], index, shard) if start + length <= len(view) else None
            if piece is None:
                good = False
            else:
                blocks[index - first][shard] = piece
            start += length
        if not good:
            corrupt.append(shard)
    return corrupt


def _ignore(future: "asyncio.Future[bytes]") -> None:
    if not future.cancelled():
        future.exception()


def whole_inline(extent: pb.Extent) -> Layout:
    """The layout of an inline extent: one block."""
    stored = ((extent.stored_bytes, True),) if extent.compressed else None
    return Layout(extent.size_bytes, extent.data_shards, extent.parity_shards, stored)


def inline_shards(
    extent: pb.Extent, by_position: Mapping[int, bytes | None], size: int
) -> tuple[dict[int, Buffer], Sequence[int]]:
    """Verified shards of an inline extent, by shard index; and the positions whose copy is bad."""
    shards: dict[int, Buffer] = {}
    bad = []
    for position, frame in by_position.items():
        shard = (position - extent.rotation) % size
        piece = verified(frame, 0, shard) if frame is not None else None
        if piece is None:
            bad.append(position)
        else:
            shards[shard] = piece
    return shards, bad

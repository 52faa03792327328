"""Shards of an extent back from the drives of its set: read, verified, and as few as will do.

As few shards as will do are asked for: data shards before parity, and where rebuilding a shard is cheaper than fetching
it from another node, near ones before remote ones. When one is missing, bad or slow, another is asked. Both kinds are
remembered for the life of the reader, so a stream over a large object stumbles once.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor

from rustfs.core.buffers import Buffer
from rustfs.core.errors import DriveError, QuorumLost, ShardMissing
from rustfs.core.frames import verified
from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.core.placement import position_of
from rustfs.core.ports import Drive
from rustfs.erasure.layout import FooterCorrupt, Layout, block_count, footer_bytes, parse_footer
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import GRACE_FACTOR
from rustfs.objects.metrics import BAD_SHARDS
from rustfs.objects.pace import Pace

HEDGE_SECONDS_FIRST = 0.25  # before the reader knows how long reads take here
HEDGE_SECONDS_MIN = 0.02
HEDGE_SECONDS_MAX = 0.5
READ_TIMEOUT_SECONDS = 30.0
FOOTER_TIMEOUT_SECONDS = 1.0
ROUNDS_MAX = 64

# Per block of a run: shard index -> verified shard.
Blocks = list[dict[int, Buffer]]


class ShardReader:
    """Reads the shard files of one extent."""

    def __init__(
        self,
        drive_set: DriveSet,
        extent: pb.Extent,
        executor: Executor,
        pace: Pace,
        prefer_near: bool,
        on_bad: Callable[[], None],
    ) -> None:
        """`prefer_near`: parity of this node is better than data of another one."""
        self._set = drive_set
        self._pace = pace
        self._prefer_near = prefer_near
        self._slow: set[int] = set()  # shards to be asked last
        self._usual_seconds = HEDGE_SECONDS_FIRST / GRACE_FACTOR
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
        """At least k verified shards of each block in [first, end).

        Args:
            exclude: shards not to be used (they are being rebuilt).

        Raises:
            QuorumLost: fewer than k good shards are in reach.
        """
        layout = await self.layout()
        offset, size = layout.frames_range(first, end)
        waiting = [shard for shard in self._candidates() if shard not in exclude]
        blocks: Blocks = [{} for _ in range(first, end)]
        asked: dict[asyncio.Future[Buffer], int] = {}
        loop = asyncio.get_running_loop()
        missing = layout.data_shards  # shards that a block still lacks, at most
        silent: set[int] = set()
        try:
            for _ in range(ROUNDS_MAX):
                # Those that were asked and stay silent are not counted upon any more.
                while waiting and len(asked) - len(silent) < missing:
                    shard = waiting.pop(0)
                    asked[self._drive_of(shard).read_shard(self.extent.data_id, offset, size)] = shard
                if not asked:
                    break
                before = len(asked)
                arrived = await self._arrivals(asked, missing, hedged=bool(waiting))
                if len(asked) == before and not waiting:
                    break
                if arrived:
                    corrupt = await loop.run_in_executor(self._executor, _sort_in, arrived, layout, first, end, blocks)
                    for shard in corrupt:
                        self._found_bad(shard, "corrupt")
                missing = layout.data_shards - min(map(len, blocks))
                silent = set(asked.values()) & self._slow
                if missing <= 0:
                    self._pace.late([self._drive_of(shard) for shard in silent])
                    return blocks
        finally:
            for future in asked:
                future.add_done_callback(_ignore)
        raise QuorumLost(f"too few good shards in set {self._set.index}")

    async def _arrivals(
        self, asked: "dict[asyncio.Future[Buffer], int]", wanted: int, *, hedged: bool
    ) -> dict[int, Buffer]:
        """What comes of the reads under way until as many as wanted have come, or they take too long, or one failed.

        Args:
            hedged: others can be asked; then those that take too long are noted as slow.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        usual = min(HEDGE_SECONDS_MAX, max(HEDGE_SECONDS_MIN, GRACE_FACTOR * self._usual_seconds))
        deadline = started + (usual if hedged else READ_TIMEOUT_SECONDS)
        arrived: dict[int, Buffer] = {}
        failed = False
        while asked and len(arrived) < wanted and not failed:
            done, _ = await asyncio.wait(asked, timeout=deadline - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            if not done:
                self._slow.update(asked.values())
                return arrived
            for future in done:
                shard = asked.pop(future)
                try:
                    arrived[shard] = future.result()
                except ShardMissing:
                    self._found_bad(shard, "missing")
                    failed = True
                except DriveError:
                    self._bad.add(shard)
                    failed = True
        if arrived and not failed:
            self._usual_seconds += (loop.time() - started - self._usual_seconds) / 4
        return arrived

    async def _footer(self) -> tuple[tuple[int, bool], ...]:
        blocks = block_count(self.extent.size_bytes)
        length = footer_bytes(blocks)
        tries = [(shard, FOOTER_TIMEOUT_SECONDS) for shard in self._candidates()]
        for shard, timeout_seconds in (*tries, *((shard, READ_TIMEOUT_SECONDS) for shard, _ in tries)):
            if shard in self._bad:
                continue
            drive = self._drive_of(shard)
            try:
                async with asyncio.timeout(timeout_seconds):
                    size = (await drive.stat_shards([self.extent.data_id]))[0]
                    if size < length:
                        raise ShardMissing(self.extent.data_id.hex())
                    return parse_footer(await drive.read_shard(self.extent.data_id, size - length, length), blocks)
            except ShardMissing:
                self._found_bad(shard, "missing")
            except FooterCorrupt:
                self._found_bad(shard, "corrupt")
            except DriveError:
                self._bad.add(shard)
            except TimeoutError:
                self._slow.add(shard)
        raise QuorumLost(f"no footer of an extent in reach in set {self._set.index}")

    def _candidates(self) -> list[int]:
        data = self.extent.data_shards

        def rank(shard: int) -> tuple[bool, bool, bool, int]:
            drive = self._drive_of(shard)
            far, parity = not drive.near, shard >= data
            slow = shard in self._slow or self._pace.is_late(drive)
            return (slow, far, parity, shard) if self._prefer_near else (slow, parity, far, shard)

        shards = range(data + self.extent.parity_shards)
        return sorted((each for each in shards if each not in self._bad and self._drive_of(each).online), key=rank)

    def _drive_of(self, shard: int) -> Drive:
        return self._set.drives[position_of(shard, self.extent.rotation, self._set.size)]

    def _found_bad(self, shard: int, kind: str) -> None:
        if shard not in self._bad:
            self._bad.add(shard)
            BAD_SHARDS.labels(kind).inc()
            self._on_bad()


def _sort_in(arrived: dict[int, Buffer], layout: Layout, first: int, end: int, blocks: Blocks) -> list[int]:
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


def _ignore(future: "asyncio.Future[Buffer]") -> None:
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

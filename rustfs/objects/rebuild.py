"""Shards made anew from the ones that are left: for completing half-written versions and for healing drives.

Runs of blocks are read, verified, rebuilt and written one after the other, so memory is bounded whatever the size.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from rustfs.core.buffers import Buffer
from rustfs.core.errors import DriveError, QuorumLost
from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.core.placement import shard_of
from rustfs.core.ports import StagedShard
from rustfs.erasure.codec import Codec
from rustfs.erasure.layout import Layout, build_footer
from rustfs.erasure.stripe import NotEnoughShards, rebuild_frames
from rustfs.objects.driveset import DriveSet
from rustfs.objects.gather import Blocks, ShardReader, inline_shards, whole_inline
from rustfs.objects.metrics import HEALED_BYTES
from rustfs.objects.records import extents_of, shard_file_ids
from rustfs.objects.register import Proposal, Reading

RUN_BLOCKS = 4


@dataclass(slots=True)
class RebuiltFiles:
    """Staged shard files of one extent, by position."""

    data_id: bytes
    staged: dict[int, StagedShard] = field(default_factory=dict)

    async def discard(self) -> None:
        """Remove what was staged."""
        await asyncio.gather(*(shard.abort() for shard in self.staged.values()))


class Rebuilder:
    """Rebuilds shards. One per process."""

    def __init__(self, codec: Codec, executor: Executor) -> None:
        self._codec = codec
        self._executor = executor

    async def completion(self, drive_set: DriveSet, bucket: bytes, _key: bytes, reading: Reading) -> Proposal:
        """The version of `reading` as an offer to the drives that lack it; see rustfs.objects.register.Rebuild.

        Raises QuorumLost when its bytes cannot be rebuilt.
        """
        extents = extents_of(bucket, reading.record)
        refs = shard_file_ids(extents)
        lacking = [drive.position for drive in drive_set.online() if drive.position not in reading.held]
        inline: list[bytes | Sequence[Buffer] | None] | None = None
        staged: dict[int, list[bytes]] = {position: [] for position in lacking}
        for extent in extents:
            if extent.inline:
                copies = {position: held.inline for position, held in reading.held.items()}
                frames = self.inline_frames(drive_set, extent, copies, range(drive_set.size))
                inline = [frames.get(position) for position in range(drive_set.size)]
                continue
            absent = await self.absent_files(drive_set, extent.data_id, lacking)
            files = await self.files(drive_set, extent, absent)
            for position in files.staged:
                staged[position].append(extent.data_id)
        return Proposal(
            reading.flags,
            reading.record,
            refs,
            inline,
            {position: tuple(data_ids) for position, data_ids in staged.items()},
        )

    async def absent_files(self, drive_set: DriveSet, data_id: bytes, positions: Collection[int]) -> list[int]:
        """Which of these drives have no shard file of this name."""
        sizes = await asyncio.gather(
            *(drive_set.drives[position].stat_shards([data_id]) for position in positions), return_exceptions=True
        )
        return [
            position
            for position, size in zip(positions, sizes, strict=True)
            if not isinstance(size, BaseException) and size[0] < 0
        ]

    def inline_frames(
        self, drive_set: DriveSet, extent: pb.Extent, copies: Mapping[int, bytes | None], positions: Collection[int]
    ) -> dict[int, bytes]:
        """Inline shard files for these drives, from the copies of others. Raises QuorumLost."""
        shards, _ = inline_shards(
            extent, {position: copy for position, copy in copies.items() if copy is not None}, drive_set.size
        )
        wanted = {position: shard_of(position, extent.rotation, drive_set.size) for position in positions}
        layout = whole_inline(extent)
        try:
            frames = rebuild_frames(shards, sorted(set(wanted.values())), layout, 0, self._codec)
        except NotEnoughShards:
            raise QuorumLost(f"too few good shards in set {drive_set.index}") from None
        return {position: b"".join(frames[shard]) for position, shard in wanted.items()}

    async def files(self, drive_set: DriveSet, extent: pb.Extent, positions: Collection[int]) -> RebuiltFiles:
        """Stage the shard files of these drives; drives that fail meanwhile are left out. Raises QuorumLost."""
        rebuilt = RebuiltFiles(extent.data_id)
        if not positions:
            return rebuilt
        wanted = {position: shard_of(position, extent.rotation, drive_set.size) for position in positions}
        reader = ShardReader(drive_set, extent, self._executor, lambda: None)
        layout = await reader.layout()
        try:
            for position in positions:
                try:
                    shard = await drive_set.drives[position].stage(extent.data_id, layout.shard_file_bytes)
                except DriveError:
                    continue
                rebuilt.staged[position] = shard
            await self._fill(reader, layout, rebuilt, wanted)
        except BaseException:
            await rebuilt.discard()
            raise
        return rebuilt

    async def _fill(
        self, reader: ShardReader, layout: Layout, rebuilt: RebuiltFiles, wanted: Mapping[int, int]
    ) -> None:
        loop = asyncio.get_running_loop()
        exclude = frozenset(wanted.values())
        for first in range(0, layout.blocks, RUN_BLOCKS):
            end = min(first + RUN_BLOCKS, layout.blocks)
            blocks = await reader.blocks(first, end, exclude=exclude)
            await loop.run_in_executor(self._executor, self._write, blocks, layout, first, rebuilt, wanted)
        if layout.stored is not None and layout.blocks > 1:
            footer = [build_footer(layout.stored)]
            for shard in rebuilt.staged.values():
                await loop.run_in_executor(self._executor, shard.write, footer)
        for position, shard in list(rebuilt.staged.items()):
            try:
                await shard.finish()
            except DriveError:
                del rebuilt.staged[position]
                await shard.abort()

    def _write(
        self, blocks: Blocks, layout: Layout, first: int, rebuilt: RebuiltFiles, wanted: Mapping[int, int]
    ) -> None:
        for index, shards in enumerate(blocks, first):
            frames = rebuild_frames(shards, sorted(set(wanted.values())), layout, index, self._codec)
            for position, staged in list(rebuilt.staged.items()):
                frame = frames[wanted[position]]
                try:
                    staged.write(frame)
                except DriveError:
                    del rebuilt.staged[position]
                    staged.abandon()
                    continue
                HEALED_BYTES.inc(len(frame[1]))

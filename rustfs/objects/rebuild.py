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
from rustfs.core.ports import Clock, StagedShard
from rustfs.erasure.codec import Codec
from rustfs.erasure.layout import Layout, build_footer
from rustfs.erasure.stripe import NotEnoughShards, rebuild_frames
from rustfs.objects.decide import write_quorum_of
from rustfs.objects.driveset import DriveSet
from rustfs.objects.fanout import Fanout
from rustfs.objects.gather import Blocks, ShardReader, inline_shards, whole_inline
from rustfs.objects.metrics import HEALED_BYTES
from rustfs.objects.pace import Pace
from rustfs.objects.proposals import Proposal
from rustfs.objects.records import extents_of, shard_file_ids
from rustfs.objects.rounds import Reading

RUN_BLOCKS = 4
STAT_TIMEOUT_SECONDS = 4.0
FINISH_TIMEOUT_SECONDS = 30.0


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

    def __init__(self, codec: Codec, executor: Executor, clock: Clock, pace: Pace) -> None:
        self._clock = clock
        self._pace = pace
        self._codec = codec
        self._executor = executor
        self.rebuilt_bytes = 0  # of shards, since the start of this process

    def reader(self, drive_set: DriveSet, extent: pb.Extent) -> ShardReader:
        """A reader of an extent's shards that reports nothing: whoever rebuilds knows already."""
        return ShardReader(drive_set, extent, self._executor, self._pace, self._codec.fast, lambda: None)

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
            needed = write_quorum_of(reading.flags) - len(reading.held)
            absent = await self._absent_files(drive_set, extent.data_id, lacking, needed)
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

    async def _absent_files(
        self, drive_set: DriveSet, data_id: bytes, positions: Collection[int], needed: int
    ) -> list[int]:
        """Which of these drives have no shard file of this name; `needed` of them have to say so."""
        fan = Fanout(
            ((position, drive_set.drives[position].stat_shards([data_id])) for position in positions), self._clock
        )
        await fan.wait(lambda: False, STAT_TIMEOUT_SECONDS, lambda: len(fan.answers) >= needed)
        return [position for position, size in sorted(fan.answers.items()) if size[0] < 0]

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
        reader = self.reader(drive_set, extent)
        layout = await reader.layout()
        try:
            for position in positions:
                try:
                    async with asyncio.timeout(STAT_TIMEOUT_SECONDS):
                        shard = await drive_set.drives[position].stage(extent.data_id, layout.shard_file_bytes)
                except (DriveError, TimeoutError):
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
            written = await loop.run_in_executor(self._executor, self._write, blocks, layout, first, rebuilt, wanted)
            self.rebuilt_bytes += written
        if layout.stored is not None and layout.blocks > 1:
            footer = [build_footer(layout.stored)]
            for position, shard in list(rebuilt.staged.items()):
                try:
                    await loop.run_in_executor(self._executor, shard.write, footer)
                except DriveError:
                    del rebuilt.staged[position]
                    await shard.abort()
        for position, shard in list(rebuilt.staged.items()):
            try:
                async with asyncio.timeout(FINISH_TIMEOUT_SECONDS):
                    await shard.finish()
            except (DriveError, TimeoutError):
                del rebuilt.staged[position]
                await shard.abort()

    def _write(
        self, blocks: Blocks, layout: Layout, first: int, rebuilt: RebuiltFiles, wanted: Mapping[int, int]
    ) -> int:
        """Bytes of frames written."""
        written = 0
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
                written += len(frame[1])
        HEALED_BYTES.inc(written)
        return written

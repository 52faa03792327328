"""The way of an upload's bytes onto the drives of a set, up to but not including the accept that makes them visible.

Blocks of 1 MiB go through two jobs side by side: digesting (MD5 for the ETag, and what the face wants digested) and
storing (compress, erasure-code, checksum, write to every drive's staged file). Each kind runs in order; a few blocks
are in flight at a time, so memory per upload is bounded whatever the object's size. Small objects are read whole and
their shards go into the metadata store, inline, with the record.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial

from rustfs.core.buffers import Buffer
from rustfs.core.errors import EntityTooLarge, QuorumLost, StorageFull
from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.core.placement import shard_of
from rustfs.core.ports import Drive, Entropy
from rustfs.erasure.codec import Codec
from rustfs.erasure.compress import Compressor
from rustfs.erasure.layout import BLOCK_BYTES, shard_bytes
from rustfs.erasure.stripe import EncodedBlock, encode_block
from rustfs.objects.driveset import DriveSet, Place
from rustfs.objects.pace import Pace
from rustfs.objects.types import Body, Checksum
from rustfs.objects.upload import Ingested, Shape, Upload

DIGEST_ON_LOOP_BYTES_MAX = 16 << 10  # below it, a hop to a thread costs more than the digest (docs/adr/0005)
BLOCKS_IN_FLIGHT = 3
MANY_UPLOADS = 6  # from so many on, they fill the cores by themselves: one block of each is enough, and memory small


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
        self._uploads = 0  # large ones under way

    @property
    def blocks_in_flight(self) -> int:
        """Of each upload."""
        return BLOCKS_IN_FLIGHT if self._uploads < MANY_UPLOADS else 1

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
        upload = Upload(self, body, place, shape, drives, size_bytes_max)
        self._uploads += 1
        try:
            return await upload.run(head, ended)
        finally:
            self._uploads -= 1

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

"""Blocks to frames and back: compression, coding and checksums together.

A frame's checksum is xxh3_128 of its bytes, seeded with (block index << 8 | shard index): a frame read from the wrong
place is as bad as a flipped bit.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import xxhash

from rustfs.core.buffers import Buffer
from rustfs.erasure.codec import Codec, NotEnoughShards
from rustfs.erasure.compress import Compressor, decompress
from rustfs.erasure.layout import CHECKSUM_BYTES, Layout

__all__ = ["EncodedBlock", "NotEnoughShards", "decode_block", "encode_block", "rebuild_frames", "verified"]


class EncodedBlock(NamedTuple):
    """A block ready to be written: per shard index its frame, as buffers to be written one after the other."""

    frames: list[tuple[bytes, Buffer]]
    stored_bytes: int
    compressed: bool


def frame_checksum(shard: Buffer, block_index: int, shard_index: int) -> bytes:
    """The 16 bytes in front of a shard's slice of a block."""
    return xxhash.xxh3_128_digest(shard, block_index << 8 | shard_index)


def encode_block(
    data: Buffer, index: int, data_shards: int, parity_shards: int, codec: Codec, compressor: Compressor | None
) -> EncodedBlock:
    """The frames of one block (not empty)."""
    packed = compressor.compress(data) if compressor is not None else None
    stored: Buffer = data if packed is None else packed
    shards = codec.encode(stored, data_shards, parity_shards)
    frames = [(frame_checksum(shard, index, number), shard) for number, shard in enumerate(shards)]
    return EncodedBlock(frames, len(stored), packed is not None)


def verified(frame: Buffer, block_index: int, shard_index: int) -> memoryview | None:
    """The frame's shard, or None when the checksum does not match."""
    view = memoryview(frame)
    shard = view[CHECKSUM_BYTES:]
    if len(view) <= CHECKSUM_BYTES or frame_checksum(shard, block_index, shard_index) != view[:CHECKSUM_BYTES]:
        return None
    return shard


def decode_block(shards: Mapping[int, Buffer], layout: Layout, index: int, codec: Codec) -> Sequence[Buffer]:
    """The block's original bytes, as buffers in order, from any k verified shards. Raises NotEnoughShards."""
    k = layout.data_shards
    stored, compressed = layout.stored_block(index)
    if not all(shard in shards for shard in range(k)):
        shards = codec.reconstruct(shards, range(k), k, layout.parity_shards)
    pieces: list[Buffer] = []
    left = stored
    for shard in range(k):
        piece = shards[shard]
        if left >= len(piece):
            pieces.append(piece)
        elif left > 0:
            pieces.append(memoryview(piece)[:left])
        left -= len(piece)
    if not compressed:
        return pieces
    packed = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    return [decompress(packed, layout.block_bytes(index))]


def rebuild_frames(
    shards: Mapping[int, Buffer], wanted: Sequence[int], layout: Layout, index: int, codec: Codec
) -> dict[int, tuple[bytes, Buffer]]:
    """The frames of the `wanted` shards of a block, from any k verified shards. Raises NotEnoughShards."""
    rebuilt = codec.reconstruct(shards, wanted, layout.data_shards, layout.parity_shards)
    return {number: (frame_checksum(shard, index, number), shard) for number, shard in rebuilt.items()}

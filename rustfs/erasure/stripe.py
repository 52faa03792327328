"""Blocks to frames (rustfs.core.frames) and back: compression, coding and checksums together."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rustfs.core.buffers import Buffer
from rustfs.core.frames import frame_checksum
from rustfs.erasure.codec import Codec, NotEnoughShards
from rustfs.erasure.compress import Compressor, decompress
from rustfs.erasure.layout import Layout

__all__ = ["EncodedBlock", "NotEnoughShards", "decode_block", "encode_block", "rebuild_frames"]


class EncodedBlock(NamedTuple):
    """A block ready to be written: per shard index its frame, as buffers to be written one after the other."""

    frames: list[tuple[bytes, Buffer]]
    stored_bytes: int
    compressed: bool


def encode_block(
    data: Buffer, index: int, data_shards: int, parity_shards: int, codec: Codec, compressor: Compressor | None
) -> EncodedBlock:
    """The frames of one block (not empty)."""
    packed = compressor.compress(data) if compressor is not None else None
    stored: Buffer = data if packed is None else packed
    shards = codec.encode(stored, data_shards, parity_shards)
    frames = [(frame_checksum(shard, index, number), shard) for number, shard in enumerate(shards)]
    return EncodedBlock(frames, len(stored), packed is not None)


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

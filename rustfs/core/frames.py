"""A frame: the unit in which shard files are written and checked (docs/format.md).

It is a 16-byte checksum and a slice of a block, or its parity. The checksum is xxh3_128 of the slice, seeded with
(block index << 8 | shard index): a frame read from the wrong place is as bad as a flipped bit.
"""

import xxhash

from rustfs.core.buffers import Buffer

CHECKSUM_BYTES = 16


def frame_checksum(shard: Buffer, block_index: int, shard_index: int) -> bytes:
    """The 16 bytes in front of a shard's slice of a block."""
    return xxhash.xxh3_128_digest(shard, block_index << 8 | shard_index)


def verified(frame: Buffer, block_index: int, shard_index: int) -> memoryview | None:
    """The frame's slice, or None when the checksum does not match."""
    view = memoryview(frame)
    shard = view[CHECKSUM_BYTES:]
    if len(view) <= CHECKSUM_BYTES or frame_checksum(shard, block_index, shard_index) != view[:CHECKSUM_BYTES]:
        return None
    return shard

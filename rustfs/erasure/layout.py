"""Where a block's frame lies in a shard file: arithmetic only (docs/format.md).

An extent's bytes are cut into blocks of 1 MiB. A block is stored raw or compressed (`stored length`), cut into k
slices of ceil(stored / k) bytes; a *frame* is a 16-byte checksum and a slice (or parity). A shard file is the frames
of all blocks. Where any of several blocks is compressed, a footer follows: per block a little-endian u32, the stored
length with the top bit set for compressed ones, then a checksum of these.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import xxhash

from rustfs.core.buffers import Buffer
from rustfs.core.frames import CHECKSUM_BYTES

BLOCK_BYTES = 1 << 20
_COMPRESSED_BIT = 1 << 31


class FooterCorrupt(Exception):
    """A shard file's footer does not match its checksum."""


def shard_bytes(size_bytes: int, data_shards: int) -> int:
    """About what one drive stores of `size_bytes` bytes, frames included; exact where nothing is compressed."""
    blocks, rest = divmod(size_bytes, BLOCK_BYTES)
    whole = blocks * (CHECKSUM_BYTES + -(-BLOCK_BYTES // data_shards))
    return whole + (CHECKSUM_BYTES + -(-rest // data_shards) if rest else 0)


def block_count(size_bytes: int) -> int:
    """Blocks of an extent."""
    return -(-size_bytes // BLOCK_BYTES)


def footer_bytes(blocks: int) -> int:
    """Length of the footer of an extent that has one."""
    return 4 * blocks + CHECKSUM_BYTES


def build_footer(blocks: Sequence[tuple[int, bool]]) -> bytes:
    """The footer, from each block's stored length and whether it is compressed."""
    words = [stored | (_COMPRESSED_BIT if compressed else 0) for stored, compressed in blocks]
    index = struct.pack(f"<{len(words)}I", *words)
    return index + xxhash.xxh3_128_digest(index)


def parse_footer(footer: Buffer, blocks: int) -> tuple[tuple[int, bool], ...]:
    """Each block's stored length and whether it is compressed. Raises FooterCorrupt."""
    index, checksum = bytes(footer[: 4 * blocks]), bytes(footer[4 * blocks :])
    if len(index) != 4 * blocks or xxhash.xxh3_128_digest(index) != checksum:
        raise FooterCorrupt
    words = struct.unpack(f"<{blocks}I", index)
    return tuple((word & ~_COMPRESSED_BIT, bool(word & _COMPRESSED_BIT)) for word in words)


@dataclass(frozen=True, slots=True)
class Layout:
    """The frames of one extent. `stored`: each block's stored length and compression; None: all raw."""

    size_bytes: int
    data_shards: int
    parity_shards: int
    stored: tuple[tuple[int, bool], ...] | None = None

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return block_count(self.size_bytes)

    def block_bytes(self, index: int) -> int:
        """Original length of a block."""
        return min(BLOCK_BYTES, self.size_bytes - index * BLOCK_BYTES)

    def stored_block(self, index: int) -> tuple[int, bool]:
        """Stored length of a block, and whether it is compressed."""
        return (self.block_bytes(index), False) if self.stored is None else self.stored[index]

    def slice_bytes(self, index: int) -> int:
        """Length of a block's shard, without its checksum."""
        return -(-self.stored_block(index)[0] // self.data_shards)

    def frames_range(self, first: int, end: int) -> tuple[int, int]:
        """Offset and length, in a shard file, of the frames of blocks [first, end)."""
        if self.stored is None:
            frame = CHECKSUM_BYTES + -(-BLOCK_BYTES // self.data_shards)
            offset = first * frame
            if end < self.blocks:
                return offset, (end - first) * frame
            return offset, (end - first - 1) * frame + CHECKSUM_BYTES + self.slice_bytes(end - 1)
        lengths = [CHECKSUM_BYTES + -(-stored // self.data_shards) for stored, _ in self.stored[:end]]
        return sum(lengths[:first]), sum(lengths[first:])

    @property
    def shard_file_bytes(self) -> int:
        """Length of the whole shard file."""
        frames = self.frames_range(0, self.blocks)[1] if self.blocks else 0
        has_footer = self.stored is not None and self.blocks > 1
        return frames + (footer_bytes(self.blocks) if has_footer else 0)

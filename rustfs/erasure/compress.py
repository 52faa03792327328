"""Adaptive lz4: a block is stored compressed only where that saves an eighth; what will not shrink costs a probe."""

import lz4.block

from rustfs.core.buffers import Buffer

BLOCK_BYTES_MIN = 512
_PROBE_BYTES = 8 << 10
_PROBE_ABOVE_BYTES = 64 << 10


class Compressor:
    """See the module. Stateless; safe in any thread."""

    __slots__ = ()

    def compress(self, block: Buffer) -> bytes | None:
        """The block compressed, or None where it does not shrink by an eighth."""
        size = len(block)
        if size < BLOCK_BYTES_MIN:
            return None
        if size > _PROBE_ABOVE_BYTES:
            middle = size // 2
            probe = memoryview(block)[middle : middle + _PROBE_BYTES]
            if not _shrinks(len(_compress(probe)), _PROBE_BYTES) and not _shrinks(
                len(_compress(memoryview(block)[:_PROBE_BYTES])), _PROBE_BYTES
            ):
                return None
        packed = _compress(block)
        return packed if _shrinks(len(packed), size) else None


def _compress(block: Buffer) -> bytes:
    packed: bytes = lz4.block.compress(block, store_size=False)
    return packed


def _shrinks(packed: int, size: int) -> bool:
    return packed <= size - size // 8


def decompress(packed: Buffer, size_bytes: int) -> bytes:
    """The original block of exactly `size_bytes`. Raises ValueError for anything else."""
    try:
        block: bytes = lz4.block.decompress(packed, uncompressed_size=size_bytes)
    except lz4.block.LZ4BlockError as error:
        raise ValueError("corrupt compressed block") from error
    if len(block) != size_bytes:
        raise ValueError("compressed block of another length")
    return block

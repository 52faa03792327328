"""The kernel that needs no native code: bytes.translate multiplies by a constant, big integers XOR."""

from collections.abc import Sequence
from functools import lru_cache

import reedsolo

from rustfs.core.buffers import Buffer
from rustfs.erasure.field import Matrix


@lru_cache(maxsize=256)
def _products(factor: int) -> bytes:
    """The translation table of multiplication by `factor`."""
    return bytes(reedsolo.gf_mul(factor, value) for value in range(256))


class PortableKernel:
    """See rustfs.erasure.codec.Kernel."""

    name = "portable"
    fast = False

    def multiply(self, matrix: Matrix, shards: Sequence[Buffer], size_bytes: int) -> list[Buffer]:
        """See Kernel.multiply."""
        inputs = [bytes(shard) for shard in shards]
        outputs: list[Buffer] = []
        for row in matrix:
            total = 0
            for factor, shard in zip(row, inputs, strict=True):
                if factor:
                    term = shard if factor == 1 else shard.translate(_products(factor))
                    total ^= int.from_bytes(term, "little")
            outputs.append(total.to_bytes(size_bytes, "little"))
        return outputs

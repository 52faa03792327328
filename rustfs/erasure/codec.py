"""The codec contract: Reed-Solomon over blocks, and which implementation serves.

Shard i < k is the i-th of k equal slices of the data (the last ones padded with zeros), shard i >= k is parity. Both
implementations give identical bytes; the fast one is tried against the portable one before it is trusted.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Protocol

from rustfs.core.buffers import Buffer
from rustfs.erasure.field import Matrix, cauchy_matrix, check_shape, rebuild_matrix
from rustfs.erasure.isal import load_isal
from rustfs.erasure.portable import PortableKernel


class NotEnoughShards(Exception):
    """Fewer than k shards were given."""


class Kernel(Protocol):
    """Multiplies a matrix with shards: the one expensive operation."""

    name: str
    fast: bool  # rebuilding a shard costs less than fetching one from another node

    def multiply(self, matrix: Matrix, shards: Sequence[Buffer], size_bytes: int) -> list[Buffer]:
        """One output shard per matrix row; every input has `size_bytes` bytes, as many inputs as columns."""


class Codec:
    """Encodes blocks into shards, and rebuilds shards from any k of them."""

    __slots__ = ("_kernel",)

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    @property
    def name(self) -> str:
        """The implementation, for logs and metrics."""
        return self._kernel.name

    @property
    def fast(self) -> bool:
        """Whether rebuilding a shard costs less than fetching one from another node."""
        return self._kernel.fast

    def encode(self, data: Buffer, data_shards: int, parity_shards: int) -> list[Buffer]:
        """The k + m shards of `data` (not empty), each ceil(len / k) bytes; whole data shards are views, not copies."""
        check_shape(data_shards, parity_shards)
        size = -(-len(data) // data_shards)
        view = memoryview(data)
        whole = len(data) // size
        shards: list[Buffer] = [view[index * size : (index + 1) * size] for index in range(whole)]
        if whole < data_shards:
            shards.append(bytes(view[whole * size :]).ljust(size, b"\0"))
            shards.extend(bytes(size) for _ in range(data_shards - whole - 1))
        if parity_shards:
            matrix = cauchy_matrix(data_shards, parity_shards)[data_shards:]
            shards += self._kernel.multiply(matrix, shards, size)
        return shards

    def reconstruct(
        self, shards: Mapping[int, Buffer], wanted: Sequence[int], data_shards: int, parity_shards: int
    ) -> dict[int, Buffer]:
        """The `wanted` shards, from any k of the n. Raises NotEnoughShards."""
        check_shape(data_shards, parity_shards)
        missing = tuple(shard for shard in wanted if shard not in shards)
        rebuilt: dict[int, Buffer] = {shard: shards[shard] for shard in wanted if shard in shards}
        if missing:
            given = tuple(sorted(shards))[:data_shards]
            if len(given) < data_shards:
                raise NotEnoughShards(f"{len(given)} shards, {data_shards} needed")
            matrix = rebuild_matrix(data_shards, parity_shards, given, missing)
            size = len(shards[given[0]])
            outputs = self._kernel.multiply(matrix, [shards[shard] for shard in given], size)
            rebuilt.update(zip(missing, outputs, strict=True))
        return rebuilt


def portable_codec() -> Codec:
    """The codec that needs no native code."""
    return Codec(PortableKernel())


def _agrees(codec: Codec) -> bool:
    reference = portable_codec()
    data = bytes(range(256)) * 3 + b"\x1d"
    for k, m in ((1, 1), (2, 2), (3, 2), (5, 3), (8, 4), (12, 4)):
        shards = [bytes(shard) for shard in codec.encode(data, k, m)]
        if shards != [bytes(shard) for shard in reference.encode(data, k, m)]:
            return False
        survivors = {i: shards[i] for i in range(m, k + m)}
        lost = range(min(m, k))
        if any(bytes(codec.reconstruct(survivors, [i], k, m)[i]) != shards[i] for i in lost):
            return False
    return True


@cache
def best_codec() -> Codec:
    """ISA-L where it is installed and agrees with the portable codec, else the portable one."""
    kernel = load_isal()
    if kernel is not None:
        codec = Codec(kernel)
        if _agrees(codec):
            return codec
    return portable_codec()

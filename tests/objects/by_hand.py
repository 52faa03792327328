"""Recovering an object from drives by docs/format.md alone.

Of RustFS it uses only the generated record classes, as a protobuf compiler makes them of record.proto for anyone.
Nothing here is fast; all of it is plain.
"""

import hashlib
import json
import sqlite3
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import lz4.block
import xxhash

from rustfs.core.pb.storage.v1 import record_pb2 as pb

BLOCK = 1 << 20


class Drive(NamedTuple):
    root: Path
    position: int
    set_size: int


class Version(NamedTuple):
    record: bytes
    shards: dict[int, bytes | None]  # position -> inline shard


# -- GF(2^8) -----------------------------------------------------------------------------------------------------------


@cache
def times(a: int, b: int) -> int:
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11D
        b >>= 1
    return product


@cache
def inverse(a: int) -> int:
    return next(b for b in range(256) if times(a, b) == 1)


def code_row(i: int, k: int) -> list[int]:
    return [int(i == j) for j in range(k)] if i < k else [inverse(i ^ j) for j in range(k)]


def solved(rows: list[list[int]], right: list[bytes]) -> list[bytes]:
    """The data shards: Gauss-Jordan elimination, with whole shards on the right-hand side."""
    rows = [row[:] for row in rows]
    right = right[:]
    for column in range(len(rows)):
        pivot = next(row for row in range(column, len(rows)) if rows[row][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        right[column], right[pivot] = right[pivot], right[column]
        scale = inverse(rows[column][column])
        rows[column] = [times(scale, value) for value in rows[column]]
        right[column] = scaled(right[column], scale)
        for row, factor in enumerate([each[column] for each in rows]):
            if row != column and factor:
                rows[row] = [a ^ times(factor, b) for a, b in zip(rows[row], rows[column], strict=True)]
                right[row] = xored(right[row], scaled(right[column], factor))
    return right


def scaled(shard: bytes, factor: int) -> bytes:
    return shard.translate(bytes(times(factor, value) for value in range(256)))


def xored(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a) ^ int.from_bytes(b)).to_bytes(len(a))


# -- drives ------------------------------------------------------------------------------------------------------------


def drive_at(root: Path) -> Drive:
    identity = json.loads((root / ".rustfs/format.json").read_text())
    assert identity["version"] == 1
    drives = next(ids for ids in identity["sets"] if identity["drive_id"] in ids)
    return Drive(root, drives.index(identity["drive_id"]), len(drives))


def query(drive: Drive, statement: str, *values: object) -> list[tuple]:
    connection = sqlite3.connect(drive.root / ".rustfs/meta.db")
    try:
        return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


def current_version(drives: Sequence[Drive], bucket: str, key: str) -> Version | None:
    """The newest version that is chosen; None where that is a deletion or there is none."""
    held: dict[bytes, dict[int, tuple]] = {}
    for drive in drives:
        for stamp, flags, record, shard in query(
            drive,
            "SELECT stamp, flags, record, (SELECT shard FROM inlines WHERE id = versions.inline) FROM versions "
            "WHERE bucket = ? AND key = ?",
            bucket.encode(),
            key.encode(),
        ):
            held.setdefault(stamp, {})[drive.position] = (flags, record, shard)
    for stamp in sorted(held, reverse=True):
        copies = held[stamp]
        flags = [flags for flags, _, _ in copies.values()]
        quorum = flags[0] >> 8 & 0xFF
        if any(each & 1 for each in flags) or len(copies) >= quorum:
            if flags[0] & 2:
                return None
            record = next(iter(copies.values()))[1]
            return Version(record, {position: shard for position, (_, _, shard) in copies.items()})
        unseen = drives[0].set_size - len(drives)
        assert len(copies) + unseen < quorum, "cannot be told from these drives"
    return None


# -- extents -----------------------------------------------------------------------------------------------------------


def shard_files(drives: Sequence[Drive], version: Version, extent: pb.Extent) -> dict[int, bytes]:
    """Shard index -> shard file, of the drives that have one."""
    n = extent.data_shards + extent.parity_shards
    files = {}
    for drive in drives:
        index = (drive.position - extent.rotation) % n
        if extent.inline:
            if (shard := version.shards.get(drive.position)) is not None:
                files[index] = shard
            continue
        name = extent.data_id.hex()
        path = drive.root / "shards" / name[:2] / name
        if path.exists():
            files[index] = path.read_bytes()
    return files


def stored_blocks(extent: pb.Extent, files: dict[int, bytes]) -> list[tuple[int, bool]]:
    """Stored length of every block, and whether it is compressed."""
    count = -(-extent.size_bytes // BLOCK)
    if count == 1:
        return [(extent.stored_bytes, extent.compressed)]
    if not extent.compressed:
        return [(min(BLOCK, extent.size_bytes - index * BLOCK), False) for index in range(count)]
    for contents in files.values():
        footer = contents[-(4 * count + 16) :]
        if xxhash.xxh3_128(footer[:-16]).digest() == footer[-16:]:
            numbers = struct.unpack(f"<{count}I", footer[:-16])
            return [(number & 0x7FFFFFFF, number >> 31 == 1) for number in numbers]
    raise AssertionError("no good footer")


def extent_bytes(extent: pb.Extent, files: dict[int, bytes]) -> bytes:
    k = extent.data_shards
    blocks = []
    offset = 0
    for index, (stored, compressed) in enumerate(stored_blocks(extent, files)):
        size = -(-stored // k)
        good = {}
        for shard, contents in files.items():
            checksum, body = contents[offset : offset + 16], contents[offset + 16 : offset + 16 + size]
            if xxhash.xxh3_128(body, seed=index << 8 | shard).digest() == checksum:
                good[shard] = body
        offset += 16 + size
        chosen = sorted(good)[-k:]  # parity first: the algebra is to be tried
        assert len(chosen) == k, f"{len(chosen)} good shards, {k} needed"
        data = b"".join(solved([code_row(shard, k) for shard in chosen], [good[shard] for shard in chosen]))[:stored]
        original = min(BLOCK, extent.size_bytes - index * BLOCK)
        blocks.append(lz4.block.decompress(data, uncompressed_size=original) if compressed else data)
    return b"".join(blocks)


def recover(roots: Sequence[Path], bucket: str, key: str) -> bytes | None:
    """The object's bytes, from whichever drives of its set are given."""
    drives = [drive_at(root) for root in roots]
    version = current_version(drives, bucket, key)
    if version is None:
        return None
    record = pb.ObjectRecord.FromString(version.record)
    pieces = [extent_bytes(extent, shard_files(drives, version, extent)) for extent in record.extents]
    assert [len(piece) for piece in pieces] == [extent.size_bytes for extent in record.extents]
    data = b"".join(pieces)
    if record.parts:
        digests = b"".join(hashlib.md5(piece, usedforsecurity=False).digest() for piece in pieces)
        assert record.etag == f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(pieces)}"
    else:
        assert record.etag == hashlib.md5(data, usedforsecurity=False).hexdigest()
    return data

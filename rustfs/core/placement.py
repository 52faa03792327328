"""Which set a key lives in, and where its shards start: pure functions of the names, the same on every node.

`rotation` spreads data and parity over the drives of a set: the drive at position p holds shard (p - rotation) mod n.
"""

import xxhash


def placement_hash(bucket: bytes, key: bytes) -> int:
    """64 bits that place an object; the seed separates it from every other use of the hash."""
    return xxhash.xxh3_64_intdigest(bucket + b"/" + key, seed=0x52555354)


def set_index(hash64: int, set_count: int) -> int:
    """The set of a pool that holds the object."""
    return hash64 % set_count


def rotation(hash64: int, drive_count: int) -> int:
    """The position of the drive that holds shard 0; independent of the set chosen."""
    return (hash64 >> 32) % drive_count


def shard_of(position: int, rotation_: int, drive_count: int) -> int:
    """The shard index that the drive at `position` holds."""
    return (position - rotation_) % drive_count


def position_of(shard: int, rotation_: int, drive_count: int) -> int:
    """The position of the drive that holds shard index `shard`."""
    return (shard + rotation_) % drive_count

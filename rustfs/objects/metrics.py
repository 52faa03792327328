"""What the object layer counts, for Prometheus."""

from prometheus_client import Counter

RECONSTRUCTIONS = Counter(
    "rustfs_erasure_reconstructions", "Blocks rebuilt from parity while reading, because a shard was missing or bad."
)
BAD_SHARDS = Counter("rustfs_erasure_bad_shards", "Shards found missing or with a wrong checksum.", ("kind",))
HEALED_KEYS = Counter("rustfs_heal_keys", "Keys whose copies were made whole.")
HEALED_BYTES = Counter("rustfs_heal_bytes", "Bytes of shards rebuilt onto drives.")

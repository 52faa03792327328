"""A local drive: its format, metadata store and shard files."""

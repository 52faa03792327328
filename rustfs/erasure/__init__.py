"""Codec, stripes and bitrot checksums: pure functions over bytes, no I/O."""

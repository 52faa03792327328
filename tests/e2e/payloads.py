"""Deterministic bytes for tests: nothing here depends on a seed that a failure report would not show."""

import hashlib
import random


def noise(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that no compressor shrinks."""
    return random.Random(f"noise {seed}").randbytes(size_bytes)  # test data, not secrets


def prose(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that every compressor shrinks, different at every offset of a line."""
    lines = (f"{seed} line {number} of a text that repeats itself\n".encode() for number in range(size_bytes // 20 + 1))
    return b"".join(lines)[:size_bytes]


def md5_hex(data: bytes) -> str:
    """The ETag of a plain upload."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def multipart_etag(parts: list[bytes]) -> str:
    """S3's ETag of a multipart upload: the MD5 of the parts' MD5s, and their number."""
    digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
    return f"{md5_hex(digests)}-{len(parts)}"

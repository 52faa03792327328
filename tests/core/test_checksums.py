"""Digests against published check values, and wholes against their parts."""

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.core.checksums import (
    ALGORITHMS,
    COMPOSITE_ALGORITHMS,
    DIGEST_BYTES,
    FULL_OBJECT_ALGORITHMS,
    combine,
    composite,
    digest,
    hasher,
)

# The catalogue of parametrised CRC algorithms gives each CRC's digest of these nine bytes; FIPS 180 gives SHA of "abc".
CHECKS = [
    ("CRC32", b"123456789", "cbf43926"),
    ("CRC32C", b"123456789", "e3069283"),
    ("CRC64NVME", b"123456789", "ae8b14860a799888"),
    ("SHA1", b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
    ("SHA256", b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
]


@pytest.mark.parametrize(("algorithm", "data", "expected"), CHECKS)
def test_published_check_values(algorithm, data, expected):
    assert digest(algorithm, data).hex() == expected
    assert len(digest(algorithm, b"")) == DIGEST_BYTES[algorithm]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_pieces_of_any_kind_digest_like_the_whole(algorithm, kind):
    data = random.Random(1).randbytes(100_000)
    one = hasher(algorithm)
    for start in range(0, len(data), 7_001):
        one.update(kind(data[start : start + 7_001]))
    assert one.digest() == digest(algorithm, data)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(parts=st.lists(st.binary(max_size=200), max_size=6), algorithm=st.sampled_from(FULL_OBJECT_ALGORITHMS))
def test_a_whole_follows_from_its_parts(parts, algorithm):
    known = [(digest(algorithm, part), len(part)) for part in parts]
    assert combine(algorithm, known) == digest(algorithm, b"".join(parts))


@pytest.mark.parametrize("algorithm", FULL_OBJECT_ALGORITHMS)
def test_combining_is_associative_beyond_four_gibibytes(algorithm):
    size = 5 << 30
    parts = [(digest(algorithm, bytes([number])), size) for number in range(4)]
    left = combine(algorithm, parts[:2]), 2 * size
    right = combine(algorithm, parts[2:]), 2 * size
    assert combine(algorithm, [left, right]) == combine(algorithm, parts)


def test_a_composite_is_the_digest_of_the_digests():
    parts = [hashlib.sha256(b"one").digest(), hashlib.sha256(b"two").digest()]
    assert composite("SHA256", parts) == hashlib.sha256(b"".join(parts)).digest()
    assert {name for name in ALGORITHMS if name not in COMPOSITE_ALGORITHMS} == {"CRC64NVME"}


def test_what_s3_does_not_define_is_refused():
    with pytest.raises(ValueError, match="CRC64NVME"):
        composite("CRC64NVME", [bytes(8)])
    with pytest.raises(ValueError, match="SHA1"):
        combine("SHA1", [(bytes(20), 1)])
    with pytest.raises(ValueError, match="MD5"):
        hasher("MD5")

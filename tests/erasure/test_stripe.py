"""Blocks become frames and come back; a frame in the wrong place is as bad as a flipped bit."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.core.frames import verified
from rustfs.erasure.codec import best_codec
from rustfs.erasure.compress import Compressor, decompress
from rustfs.erasure.layout import (
    BLOCK_BYTES,
    FooterCorrupt,
    Layout,
    build_footer,
    footer_bytes,
    parse_footer,
    shard_bytes,
)
from rustfs.erasure.parity import default_parity, parity_table
from rustfs.erasure.stripe import decode_block, encode_block, rebuild_frames

CODEC = best_codec()


def joined(frame) -> bytes:
    return b"".join(bytes(piece) for piece in frame)


@given(
    data=st.binary(min_size=1, max_size=4000) | st.binary(min_size=1, max_size=40).map(lambda unit: unit * 200),
    k=st.integers(1, 6),
    m=st.integers(0, 4),
    compress=st.booleans(),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_block_round_trip(data, k, m, compress):
    m = min(m, k)
    block = encode_block(data, 0, k, m, CODEC, Compressor() if compress else None)
    layout = Layout(len(data), k, m, ((block.stored_bytes, block.compressed),) if block.compressed else None)
    shards = {index: verified(joined(frame), 0, index) for index, frame in enumerate(block.frames)}
    assert None not in shards.values()
    assert b"".join(decode_block(shards, layout, 0, CODEC)) == data
    last_k = {index: shards[index] for index in sorted(shards)[-k:]}
    assert b"".join(decode_block(last_k, layout, 0, CODEC)) == data
    frames = rebuild_frames(last_k, range(k + m), layout, 0, CODEC)
    assert {index: joined(frame) for index, frame in frames.items()} == dict(enumerate(map(joined, block.frames)))
    assert {len(joined(frame)) for frame in block.frames} == {layout.frames_range(0, 1)[1]}


def test_a_flipped_bit_or_a_wrong_place_is_noticed():
    frame = joined(encode_block(b"x" * 100, 3, 2, 1, CODEC, None).frames[1])
    assert verified(frame, 3, 1) is not None
    assert verified(frame, 2, 1) is None
    assert verified(frame, 3, 0) is None
    for position in range(len(frame)):
        broken = bytearray(frame)
        broken[position] ^= 0x10
        assert verified(broken, 3, 1) is None
    for length in range(len(frame)):
        assert verified(frame[:length], 3, 1) is None


def test_compression_keeps_what_does_not_shrink_by_an_eighth():
    compressor = Compressor()
    noise = random.Random(0).randbytes(BLOCK_BYTES)
    assert compressor.compress(noise) is None
    text = b"the same line again\n" * 5000
    packed = compressor.compress(text)
    assert packed is not None
    assert len(packed) < len(text) // 8
    assert decompress(packed, len(text)) == text
    with pytest.raises(ValueError, match=r"length|corrupt"):
        decompress(packed, len(text) - 1)


@given(blocks=st.lists(st.tuples(st.integers(1, BLOCK_BYTES), st.booleans()), min_size=1, max_size=50))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_footer_round_trip(blocks):
    footer = build_footer(blocks)
    assert len(footer) == footer_bytes(len(blocks))
    assert parse_footer(footer, len(blocks)) == tuple(blocks)
    with pytest.raises(FooterCorrupt):
        parse_footer(footer[:-1] + bytes((footer[-1] ^ 1,)), len(blocks))


@given(size=st.integers(0, 5 * BLOCK_BYTES), k=st.integers(1, 16), data=st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_ranges_of_frames_add_up(size, k, data):
    layout = Layout(size, k, 0)
    assert layout.shard_file_bytes == shard_bytes(size, k)
    if layout.blocks:
        first = data.draw(st.integers(0, layout.blocks - 1))
        end = data.draw(st.integers(first + 1, layout.blocks))
        before = layout.frames_range(0, first)[1] if first else 0
        assert layout.frames_range(first, end) == (
            before,
            sum(layout.frames_range(index, index + 1)[1] for index in range(first, end)),
        )


@pytest.mark.parametrize(
    ("drives", "parity"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3), (8, 4), (12, 4), (16, 4)]
)
def test_default_parity(drives, parity):
    assert default_parity(drives) == parity


def test_storage_classes():
    assert parity_table(None, None, 4) == {"STANDARD": 2, "REDUCED_REDUNDANCY": 1}
    assert parity_table("EC:1", None, 4) == {"STANDARD": 1, "REDUCED_REDUNDANCY": 1}
    assert parity_table(None, None, 1) == {"STANDARD": 0, "REDUCED_REDUNDANCY": 0}
    for standard, reduced in (("EC:3", None), ("two", None), ("EC:1", "EC:2"), (None, "EC:9")):
        with pytest.raises(ValueError, match="RUSTFS_STORAGE_CLASS"):
            parity_table(standard, reduced, 4)

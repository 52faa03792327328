"""Both kernels give the same bytes, and any k of n shards give the data back."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.erasure.codec import Codec, NotEnoughShards, best_codec, portable_codec

SHAPES = [(data, parity) for data in range(1, 17) for parity in range(17 - data) if parity <= data]


@pytest.fixture(scope="module")
def fast() -> Codec:
    codec = best_codec()
    if codec.name == portable_codec().name:
        pytest.skip("no ISA-L on this machine")
    return codec


@pytest.mark.parametrize(("data_shards", "parity_shards"), SHAPES)
def test_kernels_agree(fast, data_shards, parity_shards):
    for size in (1, 2, 15, 16, 17, 255, 4096, 5001):
        block = random.Random(size).randbytes(size)
        ours = [bytes(shard) for shard in fast.encode(block, data_shards, parity_shards)]
        theirs = [bytes(shard) for shard in portable_codec().encode(block, data_shards, parity_shards)]
        assert ours == theirs


@given(block=st.binary(min_size=1, max_size=3000), shape=st.sampled_from(SHAPES), choice=st.randoms())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_k_shards_rebuild_the_rest(block, shape, choice):
    data_shards = shape[0]
    for codec in (best_codec(), portable_codec()):
        shards = {index: bytes(shard) for index, shard in enumerate(codec.encode(block, *shape))}
        kept = choice.sample(sorted(shards), data_shards)
        rebuilt = codec.reconstruct({index: shards[index] for index in kept}, range(len(shards)), *shape)
        assert {index: bytes(shard) for index, shard in rebuilt.items()} == shards
        assert b"".join(shards[index] for index in range(data_shards))[: len(block)] == block


def test_every_combination_of_a_small_set():
    codec = best_codec()
    block = random.Random(1).randbytes(1000)
    shards = {index: bytes(shard) for index, shard in enumerate(codec.encode(block, 3, 2))}
    for kept in itertools.combinations(shards, 3):
        rebuilt = codec.reconstruct({index: shards[index] for index in kept}, range(3), 3, 2)
        assert b"".join(bytes(rebuilt[index]) for index in range(3))[:1000] == block


def test_fewer_than_k_shards_are_refused():
    codec = best_codec()
    shards = codec.encode(b"some data", 3, 2)
    with pytest.raises(NotEnoughShards):
        codec.reconstruct({0: shards[0], 4: shards[4]}, range(3), 3, 2)

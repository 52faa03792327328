"""Bulk messages on the wire are what protobuf itself would write, and whatever protobuf writes is understood."""

import os

import pytest
from google.protobuf.message import DecodeError

from rustfs.core.pb.peer.v1 import drive_pb2 as pb
from rustfs.mesh.bulk import CHUNK, SHARD_BYTES, wire_of

KINDS = [(CHUNK, pb.ShardChunk), (SHARD_BYTES, pb.ShardBytes)]
SIZES = [1, 2, 127, 128, 129, 16383, 16384, (1 << 20) + 16, (1 << 21) - 1, 1 << 21, 4 << 20]


@pytest.mark.parametrize(("bulk", "message"), KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_by_hand_is_what_protobuf_writes(bulk, message, size):
    data = os.urandom(size)
    raw = bulk.of_data([data[: size // 3], memoryview(data)[size // 3 :]], size)
    assert raw == message(data=data).SerializeToString()
    assert wire_of(message).encode(raw) is raw
    decoded = wire_of(message).decode(raw)
    assert isinstance(decoded, memoryview)
    assert decoded == data


@pytest.mark.parametrize(("bulk", "message"), KINDS)
def test_no_data_is_an_empty_message(bulk, message):
    assert wire_of(message).decode(b"") == message()
    assert wire_of(message).decode(bulk.of_data([], 0)) == message()


@pytest.mark.parametrize(
    "message",
    [
        pb.ShardChunk(drive=3, data_id=b"name", size_bytes=9),
        pb.ShardChunk(data=b"the last", finish=True),
        pb.ShardChunk(drive=1, data=b"data"),
        pb.ShardChunk(finish=True),
        pb.ShardBytes(error=pb.Error(kind=pb.Error.SHARD_MISSING, message="gone")),
        pb.ShardBytes(data=b"some", error=pb.Error(kind=pb.Error.OFFLINE)),
        pb.ShardRange(drive=1, data_id=b"name"),
    ],
)
def test_every_other_message_goes_the_way_of_all(message):
    wire = wire_of(type(message))
    assert wire.decode(wire.encode(message)) == message


@pytest.mark.parametrize(("bulk", "message"), KINDS)
def test_what_a_newer_peer_adds_behind_the_data_is_no_data(bulk, message):
    raw = bulk.of_data([b"data"], 4) + b"\xf8\x01\x07"  # field 31
    decoded = wire_of(message).decode(raw)
    assert not isinstance(decoded, memoryview)
    assert decoded.data == b"data"


@pytest.mark.parametrize(("bulk", "message"), KINDS)
def test_no_part_of_a_message_passes_for_one(bulk, message):
    raw = bulk.of_data([bytes(200)], 200)
    for length in range(1, len(raw)):
        with pytest.raises(DecodeError):
            wire_of(message).decode(raw[:length])
    with pytest.raises(DecodeError):
        wire_of(message).decode(raw[:1] + b"\xff" * 12)

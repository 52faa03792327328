"""Messages that are little but a shard's bytes, written and read by hand: the bytes are copied once, not five times.

What goes over the wire is drive.proto's to say, as everywhere: a ShardChunk or ShardBytes of which only the field
`data` is set is that field's tag, a length and the bytes. Such a message is made by joining it, and read as a view of
what came. Every other one (a first chunk, an error, what a newer peer adds to it) goes the way of all messages.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rustfs.core.buffers import Buffer
from rustfs.core.pb.peer.v1 import drive_pb2

_LENGTH_DELIMITED = 2  # the wire type of bytes


@dataclass(frozen=True, slots=True)
class Wire:
    """How the messages of a class travel; Any: protobuf makes the classes at run time."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


class BulkMessage:
    """A message class whose field `data` is bulk."""

    def __init__(self, message: Any) -> None:  # noqa: ANN401 -- a message class
        number = message.DESCRIPTOR.fields_by_name["data"].number
        self._message = message
        self._tag = number << 3 | _LENGTH_DELIMITED  # one byte, as the number is below 16
        self.wire = Wire(self._encode, self._decode)

    def of_data(self, buffers: Sequence[Buffer], size_bytes: int) -> bytes:
        """The message with these bytes, `size_bytes` in all, as it travels."""
        return b"".join((self._header(size_bytes), *buffers))

    def _header(self, size_bytes: int) -> bytes:
        header = bytearray((self._tag,))
        while size_bytes >= 0x80:
            header.append(size_bytes & 0x7F | 0x80)
            size_bytes >>= 7
        header.append(size_bytes)
        return bytes(header)

    def _encode(self, message: Any) -> bytes:  # noqa: ANN401 -- a message, or what of_data made
        return message if isinstance(message, bytes) else message.SerializeToString()

    def _decode(self, raw: bytes) -> Any:  # noqa: ANN401 -- a view of the data where there is nothing else, or a message
        if raw and raw[0] == self._tag:
            size = position = 0
            for position in range(1, min(len(raw), 11)):
                byte = raw[position]
                size |= (byte & 0x7F) << 7 * (position - 1)
                if byte < 0x80:
                    break
            if size and position + 1 + size == len(raw):
                return memoryview(raw)[position + 1 :]
        return self._message.FromString(raw)


CHUNK = BulkMessage(drive_pb2.ShardChunk)
SHARD_BYTES = BulkMessage(drive_pb2.ShardBytes)
_WIRES = {drive_pb2.ShardChunk: CHUNK.wire, drive_pb2.ShardBytes: SHARD_BYTES.wire}


def wire_of(message: Any) -> Wire:  # noqa: ANN401 -- a message class
    """How messages of a class travel."""
    return _WIRES.get(message) or Wire(message.SerializeToString, message.FromString)

"""Methods of the peer services as callables, made from their protobuf descriptors: no generated stubs, no names twice.

A `Method` knows its path, its message classes and whether either side streams; from it come the client's call and the
server's handler.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import grpc
import grpc.aio
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message_factory import GetMessageClass

from rustfs.mesh.bulk import wire_of

# A message may hold a batch of inline shards; a scan's part or a shard's chunk is 1 MiB.
MESSAGE_BYTES_MAX = 64 << 20
OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.http2.max_frame_size", 1 << 20),
)


@dataclass(frozen=True, slots=True)
class Method:
    """One rpc of a service."""

    path: str
    request: Any  # the message classes; Any: protobuf makes them at run time
    answer: Any
    client_streams: bool
    server_streams: bool


def methods(file: FileDescriptor) -> dict[str, Method]:
    """All rpcs of a .proto file, by name."""
    found = {}
    for service in file.services_by_name.values():
        for descriptor in service.methods:
            found[descriptor.name] = Method(
                f"/{service.full_name}/{descriptor.name}",
                GetMessageClass(descriptor.input_type),
                GetMessageClass(descriptor.output_type),
                descriptor.client_streaming,
                descriptor.server_streaming,
            )
    return found


def stub(channel: grpc.aio.Channel, method: Method) -> Any:  # noqa: ANN401 -- one of grpc's four multicallables
    """The client's side of a method."""
    kind = f"{'stream' if method.client_streams else 'unary'}_{'stream' if method.server_streams else 'unary'}"
    return getattr(channel, kind)(
        method.path,
        request_serializer=wire_of(method.request).encode,
        response_deserializer=wire_of(method.answer).decode,
    )


def handlers(file: FileDescriptor, servicer: object) -> grpc.GenericRpcHandler:
    """The server's side of a file's only service: each rpc is the coroutine method of the same name in snake case.

    Methods that `servicer` lacks answer UNIMPLEMENTED.
    """
    (service,) = file.services_by_name.values()
    by_name = {}
    for name, method in methods(file).items():
        work = getattr(servicer, _snake(name), None)
        if work is None:
            continue
        kind = f"{'stream' if method.client_streams else 'unary'}_{'stream' if method.server_streams else 'unary'}"
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        by_name[name] = make(
            work,
            request_deserializer=wire_of(method.request).decode,
            response_serializer=wire_of(method.answer).encode,
        )
    return grpc.method_handlers_generic_handler(service.full_name, by_name)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def metadata_of(pairs: object) -> Mapping[str, str]:
    """Metadata of a call as a mapping; of a key given twice the first counts."""
    found: dict[str, str] = {}
    for key, value in cast("tuple[tuple[str, str | bytes], ...]", pairs or ()):
        if isinstance(value, str):
            found.setdefault(key, value)
    return found

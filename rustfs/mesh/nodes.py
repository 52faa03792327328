"""The server's side of node.proto: who this node is, formats, configuration, facts for the operator, live requests."""

import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Protocol

import grpc.aio

from rustfs.core.pb.peer.v1 import node_pb2 as pb
from rustfs.mesh.authentication import answer_proof, nonce_of
from rustfs.mesh.identity import Self, difference
from rustfs.mesh.rpc import metadata_of


class FormatAcceptor(Protocol):
    """This node's voice in the agreement on a pool's first format."""

    async def prepare(self, request: pb.PrepareFormatRequest) -> pb.PrepareFormatAnswer: ...

    async def accept(self, request: pb.AcceptFormatRequest) -> pb.AcceptFormatAnswer: ...


class TraceSource(Protocol):
    """Requests of this node as they are answered."""

    def follow(self, request: pb.TraceRequest) -> AsyncGenerator[pb.TraceEvent, None]:
        """Those that the request asks for, and time and again an event without an operation: the trace goes on."""


class ConfigurationKeeper(Protocol):
    """The cluster's configuration on this node."""

    async def changed(self, request: pb.ConfigurationChangedRequest) -> pb.ConfigurationChangedAnswer:
        """Put a version in force in all workers of the node. Raises ValueError for what is none."""


Facts = Callable[[], Awaitable[Any]]  # Any: JSON for the operator's eyes


class NodeServer:
    """Methods are named after the rpcs."""

    def __init__(self, own: Self, key: bytes, acceptor: FormatAcceptor) -> None:
        self._own = own
        self._key = key
        self._acceptor = acceptor
        self._facts: Mapping[str, Facts] = {}
        self._traces: TraceSource | None = None
        self._configuration: ConfigurationKeeper | None = None
        self.serving = False

    def tell(
        self,
        facts: Mapping[str, Facts],
        traces: TraceSource | None = None,
        configuration: ConfigurationKeeper | None = None,
    ) -> None:
        """From now on these facts can be asked for, by name."""
        self._facts = facts
        self._traces = traces
        self._configuration = configuration

    async def handshake(
        self, request: pb.HandshakeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.HandshakeAnswer:
        """See node.proto."""
        mine = self._own.identity()
        nonce = nonce_of(metadata_of(context.invocation_metadata()))
        return pb.HandshakeAnswer(
            identity=mine,
            refusal=difference(mine, request.identity),
            serving=self.serving,
            proof=answer_proof(self._key, nonce, mine.SerializeToString(deterministic=True)),
        )

    async def ping(self, _request: pb.PingRequest, _context: object) -> pb.PingAnswer:
        """See node.proto."""
        return pb.PingAnswer(time_ms=self._own.clock.now_milliseconds(), serving=self.serving)

    async def prepare_format(self, request: pb.PrepareFormatRequest, _context: object) -> pb.PrepareFormatAnswer:
        """See node.proto."""
        return await self._acceptor.prepare(request)

    async def accept_format(self, request: pb.AcceptFormatRequest, _context: object) -> pb.AcceptFormatAnswer:
        """See node.proto."""
        return await self._acceptor.accept(request)

    async def configuration_changed(
        self, request: pb.ConfigurationChangedRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ConfigurationChangedAnswer:
        """See node.proto."""
        if self._configuration is None:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the node is starting")
        try:
            return await self._configuration.changed(request)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    async def info(self, request: pb.InfoRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.InfoAnswer:
        """See node.proto."""
        facts = self._facts.get(request.what)
        if facts is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"nothing is known of {request.what!r}")
        return pb.InfoAnswer(json=json.dumps(await facts()))

    async def trace(
        self, request: pb.TraceRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[pb.TraceEvent, None]:
        """See node.proto."""
        if self._traces is None:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the node is starting")
        async with contextlib.aclosing(self._traces.follow(request)) as events:
            async for event in events:
                yield event

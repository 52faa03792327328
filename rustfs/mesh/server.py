"""The peer service of one worker: authentication in front of all services, on a port that the node's workers share."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
import grpc.aio

from rustfs.core.pb.peer.v1 import node_pb2
from rustfs.mesh.authentication import NonceBook, Unauthentic, Verifier, nonce_of
from rustfs.mesh.rpc import OPTIONS, metadata_of, methods

log = logging.getLogger("rustfs.mesh")

_HANDSHAKE = methods(node_pb2.DESCRIPTOR)["Handshake"].path
REFUSAL_LINE_SECONDS = 1.0
_STREAMS_MAX = 1024  # calls under way on one connection


class PeerServer:
    """See the module."""

    def __init__(
        self,
        services: Sequence[grpc.GenericRpcHandler],
        verifier: Verifier,
        nonces: NonceBook,
        credentials: grpc.ServerCredentials | None,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_stop`: ends what would go on for as long as peers like, though nothing is asked for."""
        options = [*OPTIONS, ("grpc.so_reuseport", 1), ("grpc.max_concurrent_streams", _STREAMS_MAX)]
        self._server = grpc.aio.server(interceptors=[_Gate(verifier, nonces)], options=options)
        self._server.add_generic_rpc_handlers(tuple(services))
        self._credentials = credentials
        self._on_stop = on_stop

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._credentials is None:
                self._server.add_insecure_port(address)
            else:
                self._server.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen for peers on {address}") from error
        await self._server.start()

    async def stop(self, grace_seconds: float) -> None:
        """Take no more calls, let those under way end within the time, break off the rest."""
        stopping = asyncio.ensure_future(self._server.stop(grace_seconds))
        await asyncio.sleep(0)  # from here on nothing new is taken
        self._on_stop()
        await stopping


class _Gate(grpc.aio.ServerInterceptor):
    """Lets only authentic calls through; to others the service says that they are not, and nothing else."""

    def __init__(self, verifier: Verifier, nonces: NonceBook) -> None:
        self._verifier = verifier
        self._nonces = nonces
        self._refusals = _Refusals()

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:  # noqa: ANN401 -- grpc's handlers
        """See grpc.aio.ServerInterceptor."""
        method = str(details.method)
        metadata = metadata_of(details.invocation_metadata)
        handshake = method == _HANDSHAKE
        try:
            self._verifier.verify(method, metadata, handshake=handshake)
            if handshake:
                loop = asyncio.get_running_loop()
                if not await loop.run_in_executor(None, self._nonces.enter, nonce_of(metadata)):
                    raise Unauthentic("the call was seen before")
        except (Unauthentic, ValueError) as error:
            others = self._refusals.tell(asyncio.get_running_loop().time())
            if others is not None:
                log.warning("refused a call of %.100s: %s (%d more since the last such line)", method, error, others)
            return _refusal(str(error))
        return await continuation(details)


class _Refusals:
    """Lets one line a second into the log, whatever strangers do."""

    def __init__(self) -> None:
        self._told = float("-inf")
        self._untold = 0

    def tell(self, now_seconds: float) -> int | None:
        """Whether to write a line about another refusal: None, or how many had none before it."""
        if now_seconds - self._told < REFUSAL_LINE_SECONDS:
            self._untold += 1
            return None
        self._told = now_seconds
        untold, self._untold = self._untold, 0
        return untold


def _refusal(reason: str) -> Any:  # noqa: ANN401 -- one of grpc's handlers
    async def refuse(_requests: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, reason)

    return grpc.stream_stream_rpc_method_handler(refuse)

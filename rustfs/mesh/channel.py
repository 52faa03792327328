"""A connection to one process of a peer: opened by a handshake that both sides must like, then signed call by call."""

import asyncio
import hmac
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import grpc.aio

from rustfs.core.pb.peer.v1 import node_pb2
from rustfs.mesh.authentication import Signer, answer_proof, nonce_of
from rustfs.mesh.identity import Self, difference
from rustfs.mesh.rpc import OPTIONS, Method, methods, stub

HANDSHAKE_SECONDS = 3.0

_NODE = methods(node_pb2.DESCRIPTOR)
_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),  # channels to one peer are connections of their own
    ("grpc.enable_retries", 0),
)


class PeerUnreachable(Exception):
    """No conversation with the peer now: it is down, cut off, or too slow."""


class PeerRefused(Exception):
    """The peer answers, but the two do not belong together; the message says why."""


class ChannelCredentials(Protocol):
    """What channels are secured with, as of now; None: not at all."""

    def current(self) -> grpc.ChannelCredentials | None: ...


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node, by its name in the volumes, and where its peer service listens."""

    node: str
    target: str  # host:port


class PeerChannel:
    """One connection. `open` before the first call; `close` after the last."""

    def __init__(self, peer: Peer, own: Self, signer: Signer, credentials: ChannelCredentials | None) -> None:
        self._peer = peer
        self._own = own
        self._signer = signer
        secure = credentials.current() if credentials is not None else None
        options = [*OPTIONS, *_RECONNECT]
        self._channel = (
            grpc.aio.insecure_channel(peer.target, options)
            if secure is None
            else grpc.aio.secure_channel(peer.target, secure, options)
        )
        self._incarnation = b""

    async def open(self) -> node_pb2.HandshakeAnswer:
        """Shake hands. Raises PeerUnreachable, PeerRefused."""
        method = _NODE["Handshake"]
        metadata = self._signer.sign(method.path, self._peer.node, b"")
        mine = self._own.identity()
        try:
            answer: node_pb2.HandshakeAnswer = await stub(self._channel, method)(
                node_pb2.HandshakeRequest(identity=mine), metadata=metadata, timeout=HANDSHAKE_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise failure(self._peer, error) from error
        theirs = answer.identity
        proof = answer_proof(self._signer.key, nonce_of(dict(metadata)), theirs.SerializeToString(deterministic=True))
        if not hmac.compare_digest(answer.proof, proof):
            raise PeerRefused(f"what answers at {self._peer.target} does not know this cluster's secret key")
        if theirs.node != self._peer.node:
            raise PeerRefused(f"at {self._peer.target} answers {theirs.node}, not {self._peer.node}")
        refusal = answer.refusal or difference(mine, theirs)
        if refusal:
            raise PeerRefused(refusal)
        self._incarnation = theirs.incarnation
        return answer

    def start(self, method: Method, *request: Any, timeout_seconds: float | None) -> Any:  # noqa: ANN401 -- grpc's call objects
        """Begin a call; `request` is given unless the caller streams. A stream that is to stay open has no timeout."""
        metadata = self._signer.sign(method.path, self._peer.node, self._incarnation)
        return stub(self._channel, method)(*request, metadata=metadata, timeout=timeout_seconds)

    async def close(self) -> None:
        """Break off whatever is under way."""
        await self._channel.close()


def gave_up() -> bool:
    """Of a CancelledError: whether the waiting itself was given up. Else another's close broke the connection off."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def failure(peer: Peer, error: grpc.aio.AioRpcError) -> PeerUnreachable | PeerRefused:
    """What a failed call says of the peer."""
    code, details = error.code(), error.details() or ""
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED):
        return PeerRefused(f"{peer.node} refuses our calls: {details}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return PeerUnreachable(f"{peer.node} does not answer")
    # gRPC tells the whole story of its attempts; what happened last stands at its end.
    return PeerUnreachable(
        f"{peer.node} cannot be reached at {peer.target}: {details.rpartition(': ')[2] or code.name}"
    )

"""Another node's lock table over the mesh, and this node's for the others: LockService's two ends on gRPC."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
import grpc.aio

from rustfs.core.errors import DriveError, LockRequestInvalid, LockUnavailable
from rustfs.core.pb.peer.v1 import lock_pb2 as pb
from rustfs.mesh.calls import PeerCalls
from rustfs.mesh.locks import wire
from rustfs.mesh.locks.rules import Answer, Claim, LockInfo, Release
from rustfs.mesh.locks.server import LockServer
from rustfs.mesh.rpc import methods

_METHODS = methods(pb.DESCRIPTOR)
LIST_SECONDS = 3.0
LIST_PAGE = 1000

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class RemoteLocks:
    """See rustfs.mesh.locks.peers.LockPeer. Fails at once while the node is out of reach."""

    def __init__(self, node: str, calls: PeerCalls) -> None:
        self._node = node
        self._calls = calls

    @property
    def name(self) -> str:
        """See LockPeer."""
        return self._node

    async def acquire(self, claim: Claim, timeout_seconds: float) -> Answer:
        """See LockPeer."""
        return wire.answer_of_reply(await self._ask("Acquire", wire.acquire_request(claim), timeout_seconds))

    async def refresh(self, claim: Claim, timeout_seconds: float) -> Answer:
        """See LockPeer."""
        return wire.answer_of_reply(await self._ask("Refresh", wire.refresh_request(claim), timeout_seconds))

    async def release(self, wish: Release, timeout_seconds: float) -> None:
        """See LockPeer."""
        await self._ask("Release", wire.release_request(wish), timeout_seconds)

    async def force_release(self, resource: bytes, owner_id: bytes | None) -> int:
        """See LockTable.force_release."""
        request = pb.ForceReleaseRequest(resource=resource, owner_id=owner_id or b"")
        return int((await self._ask("ForceRelease", request, LIST_SECONDS)).released)

    async def list(self, after: tuple[bytes, bytes], limit: int = LIST_PAGE) -> list[LockInfo]:
        """See LockTable.list."""
        request = pb.ListRequest(after_resource=after[0], after_owner_id=after[1], limit=limit)
        reply = await self._ask("List", request, LIST_SECONDS)
        return [wire.info_of(entry) for entry in reply.entries]

    async def _ask(self, method: str, request: Any, timeout_seconds: float) -> Any:  # noqa: ANN401 -- messages
        try:
            return (await self._calls.collect(_METHODS[method], request, timeout_seconds))[0]
        except DriveError as error:
            raise LockUnavailable(f"the lock table of {self._node} cannot be reached: {error}") from error


class LockService:
    """The server's side: rpcs by name, errors as gRPC's."""

    def __init__(self, server: LockServer) -> None:
        self._server = server

    async def acquire(self, request: pb.AcquireRequest, context: Context) -> pb.AcquireReply:
        """See lock.proto."""
        return await _served(self._server.acquire, request, context)

    async def refresh(self, request: pb.RefreshRequest, context: Context) -> pb.RefreshReply:
        """See lock.proto."""
        return await _served(self._server.refresh, request, context)

    async def release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseReply:
        """See lock.proto."""
        return await _served(self._server.release, request, context)

    async def force_release(self, request: pb.ForceReleaseRequest, context: Context) -> pb.ForceReleaseReply:
        """See lock.proto."""
        return await _served(self._server.force_release, request, context)

    async def list(self, request: pb.ListRequest, context: Context) -> pb.ListReply:
        """See lock.proto."""
        return await _served(self._server.list, request, context)


async def _served(work: Callable[[Any], Awaitable[T]], request: Any, context: Context) -> T:  # noqa: ANN401 -- messages
    try:
        return await work(request)
    except LockRequestInvalid as error:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    except LockUnavailable as error:
        # Not UNAVAILABLE, which says that the connection is gone.
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))

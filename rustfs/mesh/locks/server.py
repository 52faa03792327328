"""The peer's side of LockService: messages in, messages out; what carries them is another's business.

Every method raises LockRequestInvalid for what breaks the limits, and LockUnavailable where the table cannot answer.
"""

from rustfs.core.pb.peer.v1 import lock_pb2 as pb
from rustfs.mesh.locks import wire
from rustfs.mesh.locks.peers import LocalLocks
from rustfs.mesh.locks.table import LIST_MAX


class LockServer:
    """Answers other nodes out of this node's table."""

    def __init__(self, locks: LocalLocks) -> None:
        self._locks = locks

    async def acquire(self, request: pb.AcquireRequest) -> pb.AcquireReply:
        """LockService.Acquire."""
        return wire.acquire_reply(await self._locks.acquire(wire.claim_of(request)))

    async def refresh(self, request: pb.RefreshRequest) -> pb.RefreshReply:
        """LockService.Refresh."""
        return wire.refresh_reply(await self._locks.refresh(wire.claim_of(request)))

    async def release(self, request: pb.ReleaseRequest) -> pb.ReleaseReply:
        """LockService.Release."""
        await self._locks.release(wire.release_of(request))
        return pb.ReleaseReply()

    async def force_release(self, request: pb.ForceReleaseRequest) -> pb.ForceReleaseReply:
        """LockService.ForceRelease."""
        return pb.ForceReleaseReply(released=await self._locks.force_release(*wire.force_release_of(request)))

    async def list(self, request: pb.ListRequest) -> pb.ListReply:
        """LockService.List."""
        after = (request.after_resource, request.after_owner_id)
        found = await self._locks.list(after, request.limit or LIST_MAX)
        return pb.ListReply(entries=[wire.entry_message(info) for info in found])

"""Locks as protobuf messages (proto/rustfs/peer/v1/lock.proto) and back.

What comes from a peer is held to the limits of the rules before anything looks at it: LockRequestInvalid else.
"""

from rustfs.core.errors import LockRequestInvalid
from rustfs.core.pb.peer.v1 import lock_pb2 as pb
from rustfs.mesh.locks.rules import (
    OWNER_ID_BYTES,
    RESOURCE_BYTES_MAX,
    TEXT_CHARACTERS_MAX,
    Answer,
    Claim,
    LockInfo,
    Owner,
    Release,
    Verdict,
)

_ROUND_MAX = (1 << 63) - 1  # what a table can keep


def acquire_request(claim: Claim) -> pb.AcquireRequest:
    """To ask for a lock."""
    return pb.AcquireRequest(claim=_claim_message(claim), waited_milliseconds=_waited_message(claim.waited_seconds))


def refresh_request(claim: Claim) -> pb.RefreshRequest:
    """To keep a lock."""
    return pb.RefreshRequest(claim=_claim_message(claim))


def release_request(wish: Release) -> pb.ReleaseRequest:
    """To give a lock back."""
    return pb.ReleaseRequest(
        resource=wish.resource,
        owner=_owner_message(wish.owner),
        shared=wish.shared,
        round=wish.round,
        waited_milliseconds=_waited_message(wish.waited_seconds),
    )


def claim_of(request: pb.AcquireRequest | pb.RefreshRequest) -> Claim:
    """What an Acquire or Refresh asks for. Raises LockRequestInvalid."""
    message = request.claim
    waited = None
    if isinstance(request, pb.AcquireRequest) and request.HasField("waited_milliseconds"):
        waited = request.waited_milliseconds / 1000
    if not message.lease_milliseconds:
        raise LockRequestInvalid("a lease needs a duration")
    return Claim(
        _resource(message.resource),
        _owner(message.owner),
        message.shared,
        _round(message.round),
        message.lease_milliseconds / 1000,
        waited,
    )


def release_of(request: pb.ReleaseRequest) -> Release:
    """What a Release gives back. Raises LockRequestInvalid."""
    waited = request.waited_milliseconds / 1000 if request.HasField("waited_milliseconds") else None
    resource, owner = _resource(request.resource), _owner(request.owner)
    return Release(resource, owner, request.shared, _round(request.round), waited)


def force_release_of(request: pb.ForceReleaseRequest) -> tuple[bytes, bytes | None]:
    """Resource and owner id (None: whoever holds it) of a ForceRelease. Raises LockRequestInvalid."""
    if request.owner_id and len(request.owner_id) != OWNER_ID_BYTES:
        raise LockRequestInvalid(f"an owner id has {OWNER_ID_BYTES} bytes")
    return _resource(request.resource), request.owner_id or None


def acquire_reply(answer: Answer) -> pb.AcquireReply:
    """The answer to Acquire."""
    return pb.AcquireReply(verdict=_VERDICTS_OUT[answer.verdict], holders=[entry_message(i) for i in answer.holders])


def refresh_reply(answer: Answer) -> pb.RefreshReply:
    """The answer to Refresh."""
    return pb.RefreshReply(verdict=_VERDICTS_OUT[answer.verdict], holders=[entry_message(i) for i in answer.holders])


def answer_of_reply(reply: pb.AcquireReply | pb.RefreshReply) -> Answer:
    """A table's answer. A verdict of a newer version that this one does not know grants nothing: FULL."""
    verdict = _VERDICTS_IN.get(reply.verdict, Verdict.FULL)
    return Answer(verdict, tuple(info_of(entry) for entry in reply.holders))


def entry_message(info: LockInfo) -> pb.LockEntry:
    """A lock or waiter, to be shown."""
    return pb.LockEntry(
        resource=info.resource,
        owner=_owner_message(info.owner),
        shared=info.shared,
        waiting=info.waiting,
        age_milliseconds=round(info.age_seconds * 1000),
        expires_in_milliseconds=round(info.expires_in_seconds * 1000),
    )


def info_of(entry: pb.LockEntry) -> LockInfo:
    """A lock or waiter that a peer shows."""
    owner = Owner(entry.owner.owner_id, entry.owner.node, entry.owner.purpose)
    age, expires_in = entry.age_milliseconds / 1000, entry.expires_in_milliseconds / 1000
    return LockInfo(entry.resource, owner, entry.shared, entry.waiting, age, expires_in)


# The enum's numbers are the wire's, whatever the rules' are.
_VERDICTS_OUT = {
    Verdict.GRANTED: pb.LOCK_VERDICT_GRANTED,
    Verdict.PROVISIONAL: pb.LOCK_VERDICT_PROVISIONAL,
    Verdict.HELD: pb.LOCK_VERDICT_HELD,
    Verdict.QUEUED: pb.LOCK_VERDICT_QUEUED,
    Verdict.NOT_HELD: pb.LOCK_VERDICT_NOT_HELD,
    Verdict.REVOKED: pb.LOCK_VERDICT_REVOKED,
    Verdict.FULL: pb.LOCK_VERDICT_FULL,
}
_VERDICTS_IN = {number: verdict for verdict, number in _VERDICTS_OUT.items()}


def _claim_message(claim: Claim) -> pb.LockClaim:
    return pb.LockClaim(
        resource=claim.resource,
        owner=_owner_message(claim.owner),
        shared=claim.shared,
        round=claim.round,
        lease_milliseconds=round(claim.lease_seconds * 1000),
    )


def _owner_message(owner: Owner) -> pb.LockOwner:
    return pb.LockOwner(owner_id=owner.owner_id, node=owner.node, purpose=owner.purpose)


def _waited_message(waited_seconds: float | None) -> int | None:
    return None if waited_seconds is None else round(waited_seconds * 1000)


def _owner(message: pb.LockOwner) -> Owner:
    if len(message.owner_id) != OWNER_ID_BYTES:
        raise LockRequestInvalid(f"an owner id has {OWNER_ID_BYTES} bytes")
    if max(len(message.node), len(message.purpose)) > TEXT_CHARACTERS_MAX:
        raise LockRequestInvalid(f"a node's name and a purpose have at most {TEXT_CHARACTERS_MAX} characters")
    return Owner(message.owner_id, message.node, message.purpose)


def _resource(resource: bytes) -> bytes:
    if not 0 < len(resource) <= RESOURCE_BYTES_MAX:
        raise LockRequestInvalid(f"a resource's name has 1 to {RESOURCE_BYTES_MAX} bytes")
    return resource


def _round(number: int) -> int:
    if number > _ROUND_MAX:
        raise LockRequestInvalid("round out of range")
    return number

"""Live requests, for whoever follows them: the face tells a tracer of each answer, and pays next to nothing else."""

from typing import Protocol

from rustfs.core.pb.peer.v1 import node_pb2 as pb
from rustfs.http.messages import Request
from rustfs.s3.address import Address

PATH_CHARACTERS_MAX = 4096


class Tracer(Protocol):
    """Takes note of answered requests."""

    def wanted(self) -> bool:
        """Cheap: whether anybody follows."""

    def tell(self, event: pb.TraceEvent) -> None:
        """Pass an answered request on. Never blocks, never raises; `node` is the tracer's to fill in."""


class NoTracer:
    """Nobody follows."""

    def wanted(self) -> bool:
        """See Tracer."""
        return False

    def tell(self, event: pb.TraceEvent) -> None:
        """See Tracer."""


def event_of(
    request: Request,
    address: Address | None,
    operation: str,
    status: int,
    time_ms: int,
    duration_seconds: float,
    received_bytes: int,
    sent_bytes: int,
    request_id: str,
) -> pb.TraceEvent:
    """An answered request as followers see it; the query is left out, since it may hold a signature.

    `address`: None of a request that names none.
    """
    path = request.path
    if address is not None:
        path = f"/{address.bucket}/{address.key}" if address.key else f"/{address.bucket}"
    return pb.TraceEvent(
        time_ms=time_ms,
        operation=operation,
        method=request.method[:32],
        path=path[:PATH_CHARACTERS_MAX].encode("utf-8", "replace").decode(),
        status=status,
        duration_us=min(max(0, round(duration_seconds * 1e6)), 0xFFFFFFFF),
        received_bytes=received_bytes,
        sent_bytes=sent_bytes,
        client=request.peer,
        request_id=request_id,
    )

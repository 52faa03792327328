"""The live requests of all nodes, for `rustfs admin trace`: this node follows its own workers and its peers."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from rustfs.admin.face import BadParameter
from rustfs.core.errors import DriveError
from rustfs.core.pb.peer.v1 import node_pb2 as pb
from rustfs.core.ports import Clock
from rustfs.mesh.calls import PeerCalls
from rustfs.mesh.rpc import methods
from rustfs.node.gathering import Ended, Merged
from rustfs.node.traces import HEARTBEAT_SECONDS, TraceBus

RETRY_SECONDS = 2.0
BEGIN_SECONDS_MAX = 4.0
SILENCE_SECONDS = 3 * HEARTBEAT_SECONDS

_TRACE = methods(pb.DESCRIPTOR)["Trace"]
Message = pb.TraceEvent | str  # a sentence: the node cannot be followed for now


class Following:
    """One per worker."""

    def __init__(
        self, node: str, own: TraceBus, calls: Mapping[str, PeerCalls], clock: Clock, stopping: Callable[[], bool]
    ) -> None:
        """`stopping`: whether the node is about to stop, and streams are to end."""
        self._node = node
        self._own = own
        self._calls = calls
        self._clock = clock
        self._stopping = stopping

    async def trace(self, query: Mapping[str, str]) -> AsyncGenerator[Any, None]:
        """See rustfs.admin.face.Stream; first of all the names of the nodes that are followed. (Any: JSON.)

        Raises BadParameter, TooManyFollowers.
        """
        request = trace_request(self._node, query)
        sources: dict[str, AsyncGenerator[Message, None]] = {self._node: self._own.follow(request)}
        sources.update({node: self._peer(calls, request) for node, calls in self._calls.items()})
        waiting = set(sources)
        followed: list[str] = []
        notices = []
        began = spoke = self._clock.monotonic_seconds()
        async with Merged[Message](sources) as merged:
            while not self._stopping():
                found = await merged.next()
                now = self._clock.monotonic_seconds()
                if waiting:
                    if found is not None:
                        node, message = found
                        if isinstance(message, Ended) and message.__cause__ is not None and node == self._node:
                            raise message.__cause__
                        waiting.discard(node)
                        if isinstance(message, pb.TraceEvent):
                            followed.append(node)
                        notices += notice_of(node, message)
                    if not waiting or now - began > BEGIN_SECONDS_MAX:
                        waiting.clear()
                        yield {"following": sorted(followed)}
                        for notice in notices:
                            yield notice
                        spoke = now
                    continue
                lines = shown(*found) if found is not None else []
                for line in lines:
                    yield line
                if lines:
                    spoke = now
                elif now - spoke > HEARTBEAT_SECONDS:
                    spoke = now
                    yield None

    async def _peer(self, calls: PeerCalls, request: pb.TraceRequest) -> AsyncGenerator[Message, None]:
        """A peer's requests; again and again, where it goes away and comes back."""
        told = False
        while True:
            try:
                async with contextlib.aclosing(calls.follow(_TRACE, request, SILENCE_SECONDS)) as events:
                    async for event in events:
                        told = False
                        yield event
            except DriveError as error:
                if not told:
                    told = True
                    yield str(error)
            await asyncio.sleep(RETRY_SECONDS)


def trace_request(node: str, query: Mapping[str, str]) -> pb.TraceRequest:
    """What to follow. Raises BadParameter."""
    unknown = query.keys() - {"operation", "path", "errors", "slower_than_ms"}
    if unknown:
        raise BadParameter(f"there is no filter {min(unknown)!r}")
    slower = query.get("slower_than_ms", "0")
    if not (slower.isascii() and slower.isdigit() and int(slower) < 1 << 32):
        raise BadParameter("slower_than_ms must be a number of milliseconds")
    path = query.get("path", "")
    return pb.TraceRequest(
        node=node,
        errors_only=query.get("errors", "") == "true",
        operation=query.get("operation", ""),
        path_prefix=path if path.startswith("/") or not path else f"/{path}",
        slower_than_ms=int(slower),
    )


def notice_of(node: str, message: Message | Ended) -> list[dict[str, Any]]:
    """What to say of a node that is not followed."""
    if isinstance(message, str):
        return [{"node": node, "notice": message}]
    if isinstance(message, Ended):
        return [{"node": node, "notice": f"the trace of {node} has ended: {message.__cause__ or 'no reason given'}"}]
    return []


def shown(node: str, message: Message | Ended) -> list[dict[str, Any]]:
    """Lines for the reader. (Any: JSON.)"""
    if not isinstance(message, pb.TraceEvent):
        return notice_of(node, message)
    if not message.operation:
        return []
    return [
        {
            "time_ms": message.time_ms,
            "node": node,
            "operation": message.operation,
            "method": message.method,
            "path": message.path,
            "status": message.status,
            "duration_ms": message.duration_us / 1000,
            "received_bytes": message.received_bytes,
            "sent_bytes": message.sent_bytes,
            "client": message.client,
            "request_id": message.request_id,
            "dropped": message.dropped,
        }
    ]

"""What lies under the reserved first path elements `rustfs` and `minio`: health, metrics, and what operators ask for.

Health and metrics are open, as load balancers and Prometheus expect; everything below admin/v1/ needs a signed request.
Facts are got, actions are posted, streams are one or the other and answer in JSON lines, with an empty line now and
then to show that the node is alive. Parameters stand in the query, so that the signature covers them.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from rustfs.core.errors import RustFSError
from rustfs.http.messages import Request, Response

RESERVED = ("rustfs", "minio")
_CLUSTER = ("/rustfs/health/cluster", "/minio/health/cluster")
_CLUSTER_TEXTS = {200: "ok\n", 412: "not without this node\n", 503: "a set lacks its write quorum\n"}

_ADMIN = "/rustfs/admin/v1/"
_JSON = ("content-type", "application/json")
_QUERY_FIELDS_MAX = 32

# Any: JSON for the operator's eyes
Facts = Callable[[], Awaitable[Any]]
Action = Callable[[Mapping[str, str]], Awaitable[Any]]
Stream = Callable[[Mapping[str, str]], AsyncGenerator[Any, None]]  # None: an empty line


class BadParameter(RustFSError):
    """A parameter of an operator's request is wrong; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Operations:
    """What operators may ask of the node, by the rest of the path.

    Actions and streams are handed the query; they raise RustFSError (a stream before its first line) with a sentence.
    """

    facts: Mapping[str, Facts] = field(default_factory=dict)
    actions: Mapping[str, Action] = field(default_factory=dict)
    followed: Mapping[str, Stream] = field(default_factory=dict)  # streams that are got
    started: Mapping[str, Stream] = field(default_factory=dict)  # streams that are posted

    def methods(self, name: str) -> tuple[str, ...]:
        """How it may be asked; empty where there is no such thing."""
        if name in self.facts:
            return ("GET", "HEAD")
        if name in self.followed:
            return ("GET",)
        return ("POST",) if name in self.actions or name in self.started else ()


class Health:
    """Answers whether the node can serve; `can_write` and `can_read` look at the drives as they are now.

    `may_stop`: whether the cluster could do without this node now.
    """

    def __init__(
        self, can_read: Callable[[], bool], can_write: Callable[[], bool], may_stop: Callable[[], bool]
    ) -> None:
        self._can_read = can_read
        self._can_write = can_write
        self._may_stop = may_stop
        self.draining = False

    def live(self) -> bool:
        """The process answers, which is all that is asked."""
        return True

    def ready(self) -> bool:
        """Requests may be sent here."""
        return not self.draining and self._can_write()

    def cluster(self, *, maintenance: bool) -> int:
        """HTTP status: 503 where a set lacks its write quorum; with `maintenance` 412 where it would without this node.

        As MinIO's healthcheck documents it. A node that is draining sends its clients elsewhere here, too.
        """
        if not self.ready():
            return 503
        return 412 if maintenance and not self._may_stop() else 200

    def readable(self) -> bool:
        """Reads succeed."""
        return not self.draining and self._can_read()


class AdminFace:
    """See the module."""

    def __init__(
        self,
        health: Health,
        registry: Callable[[], CollectorRegistry],
        authenticate: Callable[[Request], None],
        operations: Operations | None,
    ) -> None:
        """`authenticate` raises for requests not signed by the root user; `operations`: None while the node starts."""
        self._registry = registry
        self._authenticate = authenticate
        self._operations = operations
        self.streams_open = 0
        self._cluster = health.cluster
        self._health: dict[str, Callable[[], bool]] = {
            "/rustfs/health/live": health.live,
            "/rustfs/health/ready": health.ready,
            "/minio/health/live": health.live,
            "/minio/health/ready": health.ready,
            "/minio/health/cluster/read": health.readable,
        }

    async def handle(self, request: Request) -> Response:
        """Answer a request; raises what `authenticate` raises."""
        path = request.path.rstrip("/")
        operations = self._operations
        name = path.removeprefix(_ADMIN) if path.startswith(_ADMIN) else ""
        if name:
            if operations is None:
                return _json(503, {"error": "the node is starting"})
            methods = operations.methods(name)
        else:
            known = path in self._health or path in _CLUSTER or path == "/rustfs/metrics"
            methods = ("GET", "HEAD") if known else ()
        if not methods:
            return _text(404, "nothing here; see the list of operational endpoints in the README\n")
        if request.method not in methods:
            return Response(405, [("allow", ", ".join(methods)), ("content-type", "text/plain")], b"wrong method\n")
        if name and operations is not None:
            self._authenticate(request)
            return await self._operate(operations, name, request)
        if path in _CLUSTER:
            status = self._cluster(maintenance="maintenance=true" in request.query)
            return _text(status, _CLUSTER_TEXTS[status])
        if path == "/rustfs/metrics":
            loop = asyncio.get_running_loop()
            body = await loop.run_in_executor(None, lambda: generate_latest(self._registry()))
            return Response(200, [("content-type", CONTENT_TYPE_LATEST)], body)
        return _text(200, "ok\n") if self._health[path]() else _text(503, "not ready\n")

    async def _operate(self, operations: Operations, name: str, request: Request) -> Response:
        try:
            if name in operations.facts:
                return _json(200, await operations.facts[name]())
            query = _parameters(request.query)
            if name in operations.actions:
                return _json(200, await operations.actions[name](query))
            stream = (operations.followed.get(name) or operations.started[name])(query)
            first = await anext(stream, None)
        except RustFSError as error:
            return _json(400 if isinstance(error, BadParameter) else 503, {"error": str(error)})
        self.streams_open += 1
        return Response(200, [("content-type", "application/x-ndjson")], _Lines(first, stream, self._stream_closed))

    def _stream_closed(self) -> None:
        self.streams_open -= 1


class _Lines:
    """A stream as the body of an answer. Closing it, begun or not, closes the stream."""

    def __init__(self, first: Any, stream: AsyncGenerator[Any, None], on_closed: Callable[[], None]) -> None:  # noqa: ANN401 -- JSON
        self._first: list[Any] = [first]
        self._stream = stream
        self._on_closed = on_closed

    def __aiter__(self) -> "_Lines":
        return self

    async def __anext__(self) -> bytes:
        answer = self._first.pop() if self._first else await anext(self._stream)
        return b"\n" if answer is None else json.dumps(answer).encode() + b"\n"

    async def aclose(self) -> None:
        """Called once, by the server."""
        self._on_closed()
        await self._stream.aclose()


def is_reserved(path: str) -> bool:
    """Whether a path belongs to this face rather than to a bucket."""
    return path[1:].partition("/")[0] in RESERVED


def _text(status: int, text: str) -> Response:
    return Response(status, [("content-type", "text/plain; charset=utf-8")], text.encode())


def _json(status: int, answer: Any) -> Response:  # noqa: ANN401 -- JSON
    return Response(status, [_JSON], json.dumps(answer).encode())


def _parameters(query: str) -> dict[str, str]:
    """Raises BadParameter."""
    try:
        return dict(
            parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=_QUERY_FIELDS_MAX)
        )
    except ValueError as error:
        raise BadParameter(f"cannot read the query: {error}") from error

"""What lies under the reserved first path elements `rustfs` and `minio`: health, metrics, and facts for operators.

Health and metrics are open, as load balancers and Prometheus expect; facts about the node need a signed request.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from rustfs.http.messages import Request, Response

RESERVED = ("rustfs", "minio")
_CLUSTER = ("/rustfs/health/cluster", "/minio/health/cluster")
_CLUSTER_TEXTS = {200: "ok\n", 412: "not without this node\n", 503: "a set lacks its write quorum\n"}

Facts = Callable[[], Awaitable[Any]]  # Any: JSON for the operator's eyes


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
        facts: Mapping[str, Facts],
    ) -> None:
        """`authenticate` raises for requests that are not signed by the root user; `facts` by name, below admin/v1/."""
        self._registry = registry
        self._authenticate = authenticate
        self._facts = facts
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
        check = self._health.get(path)
        fact = path.removeprefix("/rustfs/admin/v1/")
        cluster = path in _CLUSTER
        if check is None and not cluster and path != "/rustfs/metrics" and fact not in self._facts:
            return _text(404, "nothing here; see the list of operational endpoints in the README\n")
        if request.method not in ("GET", "HEAD"):
            return Response(405, [("allow", "GET, HEAD"), ("content-type", "text/plain")], b"use GET\n")
        if cluster:
            status = self._cluster(maintenance="maintenance=true" in request.query)
            return _text(status, _CLUSTER_TEXTS[status])
        if check is not None:
            return _text(200, "ok\n") if check() else _text(503, "not ready\n")
        if path == "/rustfs/metrics":
            loop = asyncio.get_running_loop()
            body = await loop.run_in_executor(None, lambda: generate_latest(self._registry()))
            return Response(200, [("content-type", CONTENT_TYPE_LATEST)], body)
        self._authenticate(request)
        body = json.dumps(await self._facts[fact]()).encode()
        return Response(200, [("content-type", "application/json")], body)


def is_reserved(path: str) -> bool:
    """Whether a path belongs to this face rather than to a bucket."""
    return path[1:].partition("/")[0] in RESERVED


def _text(status: int, text: str) -> Response:
    return Response(status, [("content-type", "text/plain; charset=utf-8")], text.encode())

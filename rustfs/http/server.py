"""The server: listens, counts its connections, sweeps them for what took too long, and stops in good order.

HTTP/1.1 and 1.0 (RFC 9110, 9112) on asyncio or uvloop. One instance serves on one event loop.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from time import monotonic

from rustfs.http.connection import Connection
from rustfs.http.limits import Limits
from rustfs.http.messages import HttpError
from rustfs.http.service import Excuser, Handler, Refuser, Service

log = logging.getLogger("rustfs.http")

_BACKLOG = 1024
_EXCESS_CONNECTIONS_MAX = 100  # told why they are turned away; any more are cut off without a word
_SWEEP_SECONDS_MAX = 1.0
_SWEEP_SECONDS_MIN = 0.01
_TLS_SHUTDOWN_EXTRA_SECONDS = 30.0  # the sweep decides when to give up on a client; the transport's time is a net
_ABORT_SECONDS = 5.0  # for cancelled requests to tidy up, when the time of grace is over


class HttpServer:
    """Serves `handler` on sockets.

    Args:
        handler: called with each request when its head is complete, as a task of its own; cancelled when the client
            goes away.
        limits: what a client may take.
        on_refused: makes the answer to what HTTP itself refuses: no request (None) or a broken one. The connection is
            closed after it.
        on_error: makes the answer to a request whose handler raised.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        handler: Handler,
        limits: Limits,
        on_refused: Refuser,
        on_error: Excuser,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._service = Service(handler, limits, on_refused, on_error, clock)
        self._connections: set[Connection] = set()
        self._listeners: list[asyncio.AbstractServer] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._all_gone: asyncio.Event = asyncio.Event()
        times = (limits.idle_seconds, limits.head_seconds, limits.body_stall_seconds)
        shortest_seconds = min(*times, limits.write_stall_seconds, limits.drain_seconds)
        self._sweep_seconds = min(max(shortest_seconds / 4, _SWEEP_SECONDS_MIN), _SWEEP_SECONDS_MAX)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    @property
    def requests_in_flight(self) -> int:
        """How many are being answered."""
        return len(self._service.running)

    async def start(self, sock: socket.socket | Sequence[socket.socket], tls: ssl.SSLContext | None = None) -> None:
        """Listen on bound sockets, which the server owns from now on; with `tls`, for HTTPS only. Raises OSError."""
        loop = asyncio.get_running_loop()
        limits = self._service.limits
        handshake_seconds, shutdown_seconds = (
            (limits.handshake_seconds, limits.write_stall_seconds + _TLS_SHUTDOWN_EXTRA_SECONDS)
            if tls
            else (None, None)
        )
        for one in [sock] if isinstance(sock, socket.socket) else sock:
            create = loop.create_unix_server if one.family == getattr(socket, "AF_UNIX", None) else loop.create_server
            listener = await create(
                self._accept,
                sock=one,
                backlog=_BACKLOG,
                ssl=tls,
                ssl_handshake_timeout=handshake_seconds,
                ssl_shutdown_timeout=shutdown_seconds,
            )
            self._listeners.append(listener)
        self._sweep()

    async def stop(self, grace_seconds: float) -> None:
        """Accept no more, close idle connections, finish what is in flight within `grace_seconds`, abort the rest."""
        self._service.stopping = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self._connections):
            if connection.idle:
                connection.close()
        await self._gone_within(grace_seconds)
        for connection in list(self._connections):
            connection.abort()
        await self._gone_within(_ABORT_SECONDS)
        if self._service.running:
            _, stuck = await asyncio.wait(self._service.running, timeout=_ABORT_SECONDS)
            if stuck:
                log.error("%d requests would not end", len(stuck))
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    async def _gone_within(self, seconds: float) -> None:
        if self._connections:
            self._all_gone.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), seconds)

    def _accept(self) -> Connection:
        return Connection(self._service, asyncio.get_running_loop(), self._opened, self._lost)

    def _opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        excess = len(self._connections) - self._service.limits.connections_max
        if self._service.stopping or excess > _EXCESS_CONNECTIONS_MAX:
            connection.abort()
        elif excess > 0:
            connection.refuse(HttpError(503, "too many connections"))

    def _lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._all_gone.set()

    def _sweep(self) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(self._sweep_seconds, self._sweep)
        now_seconds = self._service.clock()
        for connection in list(self._connections):
            connection.sweep(now_seconds)

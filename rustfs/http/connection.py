"""One connection: which bytes are whose, one request after the other, and what happens when time runs out.

The protocol object decides everything synchronously, as bytes come; the only task is that of the request in flight
(see rustfs.http.exchange), so that an idle connection costs neither a task nor a timer. Times are checked by `sweep`,
which the server calls now and then for all connections.

Invariants: requests are answered in the order in which they came, one at a time. What is read and not yet wanted is
bounded: a body that is `full`, or requests sent ahead, stop the reading. A client that ends its sending while its body
is incomplete can still be answered; one that does so later is gone, and its request is cancelled.

TLS makes two differences. Its transports cannot end one direction only: a client that ends its sending is gone, and one
whose body is not wanted is listened to without having been told that no answer follows. And the end of a connection
wants the client's reply, which those that keep connections for later are slow to give: after `goodbye_seconds` it is
done without.
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from math import inf
from typing import cast

from rustfs.core.buffers import Buffer
from rustfs.http.body import IncomingBody
from rustfs.http.exchange import Exchange
from rustfs.http.head import parse_head
from rustfs.http.messages import BodyBroken, HttpError, Request
from rustfs.http.service import Service

_UNSENT_HIGH_BYTES = 2 << 20
_UNSENT_LOW_BYTES = 512 << 10
_AHEAD_BYTES_MAX = 64 << 10  # sent ahead of the answer that comes first; reading on notices a client that leaves
_TLS_HANDSHAKE = 0x16  # the first byte of a ClientHello's record (RFC 8446, 5.1); no method begins so


class Phase(Enum):
    """Where a connection is in its cycle."""

    IDLE = auto()  # nothing of the next request has come
    HEAD = auto()  # a part of its head has
    BUSY = auto()  # it is being answered, while its body comes
    DRAIN = auto()  # it has been answered; the rest of its body is thrown away
    LINGER = auto()  # no more answers; what the client still sends is thrown away, lest a reset eat the last answer
    CLOSED = auto()


class Connection(asyncio.Protocol):
    """See the module. `on_made` and `on_lost` are called with the connection when it begins and when it has ended."""

    __slots__ = (
        "_ahead",
        "_body",
        "_deadline_seconds",
        "_ended_sending",
        "_exchange",
        "_in_flight",
        "_lingered_bytes",
        "_loop",
        "_offset",
        "_on_lost",
        "_on_made",
        "_paused",
        "_peer",
        "_phase",
        "_room",
        "_scanned",
        "_secure",
        "_sent_seconds",
        "_sent_seen_bytes",
        "_service",
        "_transport",
        "_unread",
        "_written_bytes",
    )

    def __init__(
        self,
        service: Service,
        loop: asyncio.AbstractEventLoop,
        on_made: "Callable[[Connection], None]",
        on_lost: "Callable[[Connection], None]",
    ) -> None:
        self._service = service
        self._loop = loop
        self._on_made = on_made
        self._on_lost = on_lost
        self._transport: asyncio.Transport  # from connection_made on
        self._peer = ""
        self._secure = False
        self._phase = Phase.IDLE
        self._deadline_seconds = inf
        self._ahead = b""  # read and not yet understood, from _offset on
        self._offset = 0
        self._scanned = 0  # no head ends before this offset
        self._body = IncomingBody(0, self, expects_continue=False)  # of the request in flight, or of the last one
        self._exchange: Exchange | None = None
        self._in_flight: asyncio.Task[None] | None = None
        self._paused = False
        self._ended_sending = False
        self._unread = False  # the client may be sending what will not be read
        self._lingered_bytes = 0
        self._room: asyncio.Future[None] | None = None  # pending while too much is unsent
        self._written_bytes = 0
        self._sent_seen_bytes = -1
        self._sent_seconds = 0.0

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol, for this and what follows."""
        # uvloop's transports are none of asyncio's classes, yet have all of their methods.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_UNSENT_HIGH_BYTES, low=_UNSENT_LOW_BYTES)
        address = transport.get_extra_info("peername")
        self._peer = address[0] if isinstance(address, tuple) else ""
        self._secure = transport.get_extra_info("sslcontext") is not None
        self._deadline_seconds = self._service.clock() + self._service.limits.idle_seconds
        self._on_made(self)

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase is Phase.IDLE or phase is Phase.HEAD:
            self._keep(data, 0)
            self._advance()
        elif phase is Phase.BUSY or phase is Phase.DRAIN:
            body = self._body
            offset = 0 if body.ended else body.feed(data, 0)
            if offset < len(data):
                self._keep(data, offset)
            if phase is Phase.DRAIN:
                self._drained(body)
            else:
                self._pace()
        elif phase is Phase.LINGER:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > self._service.limits.drain_bytes_max:
                self.close()

    def eof_received(self) -> bool:
        self._ended_sending = True
        if self._phase is Phase.BUSY and not self._body.ended:
            self._body.break_off(BodyBroken(400, "the client ended its body early"))
            return not self._secure
        self._cancel()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why makes no difference
        self._phase = Phase.CLOSED
        self._deadline_seconds = inf
        self._ahead, self._offset = b"", 0
        self._body.break_off(BodyBroken(400, "the client went away"))
        self._cancel()
        self.resume_writing()
        self._on_lost(self)

    def pause_writing(self) -> None:
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._room is not None:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None

    # What the exchange and the body call.

    @property
    def open(self) -> bool:
        """See rustfs.http.exchange.Line and rustfs.http.body.Feeder, for this and what follows."""
        return not self._transport.is_closing()

    def write(self, data: Buffer) -> None:
        self._written_bytes += len(data)
        self._transport.write(data)

    def writelines(self, pieces: list[Buffer], size_bytes: int) -> None:
        self._written_bytes += size_bytes
        self._transport.writelines(pieces)

    async def writable(self) -> None:
        if self._room is not None:
            await self._room

    def abort(self) -> None:
        self._transport.abort()

    def exchange_done(self, *, keep_alive: bool) -> None:
        body = self._body
        if self._in_flight is not None:
            self._service.running.discard(self._in_flight)
        self._in_flight = self._exchange = None
        if not self.open:
            return
        if not keep_alive or self._ended_sending or body.broken:
            self._leave()
            return
        body.discard()
        self._phase = Phase.DRAIN
        self._deadline_seconds = self._service.clock() + self._service.limits.drain_seconds
        self._drained(body)

    def send_continue(self) -> None:
        if self.open and self._exchange is not None and not self._exchange.head_sent:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def body_awaited(self, *, waiting: bool) -> None:
        if self._phase is Phase.BUSY:
            limits = self._service.limits
            self._deadline_seconds = self._service.clock() + limits.body_stall_seconds if waiting else inf

    def body_taken(self) -> None:
        self._pace()

    # What the server calls.

    @property
    def idle(self) -> bool:
        """Whether nobody would miss the connection."""
        return self._phase is Phase.IDLE

    def close(self) -> None:
        """End the connection when what was written has been sent."""
        self._phase = Phase.CLOSED
        self._deadline_seconds = self._service.clock() + self._service.limits.goodbye_seconds if self._secure else inf
        self._transport.close()

    def refuse(self, error: HttpError) -> None:
        """Answer what is no request, and end the connection."""
        self._phase = Phase.BUSY
        self._deadline_seconds = inf
        self._unread = True
        self._body = IncomingBody(0, self, expects_continue=False)
        exchange = self._exchange = Exchange(
            self._service, self, self._body, head_only=False, http11=True, keep_alive=False
        )
        self._in_flight = self._loop.create_task(exchange.refuse(error))
        self._service.running.add(self._in_flight)

    def sweep(self, now_seconds: float) -> None:
        """Act on what took too long."""
        if now_seconds >= self._deadline_seconds:
            self._deadline_seconds = inf
            self._expire()
        unsent_bytes = self._transport.get_write_buffer_size()
        if not unsent_bytes:
            self._sent_seen_bytes = -1
            return
        # Progress, not an empty queue, is what counts: a slow client may take long over what is queued.
        sent_bytes = self._written_bytes - unsent_bytes
        if sent_bytes != self._sent_seen_bytes:
            self._sent_seen_bytes, self._sent_seconds = sent_bytes, now_seconds
        elif now_seconds - self._sent_seconds >= self._service.limits.write_stall_seconds:
            self.abort()

    def _expire(self) -> None:
        if self._phase is Phase.HEAD:
            self.refuse(HttpError(408, "the head of the request took too long"))
        elif self._phase is Phase.BUSY:
            self._body.break_off(BodyBroken(408, "the client sent no more of its body"))
        elif self._phase is not Phase.CLOSED:
            self.close()
        elif self._transport.get_write_buffer_size():  # a slow client, still taking its answer
            self._deadline_seconds = self._service.clock() + self._service.limits.goodbye_seconds
        else:
            self.abort()

    # The cycle.

    def _keep(self, data: bytes, offset: int) -> None:
        if self._offset < len(self._ahead):
            self._ahead = self._ahead[self._offset :] + data[offset:]
            self._scanned = max(0, self._scanned - self._offset)
            self._offset = 0
        else:
            self._ahead, self._offset, self._scanned = data, offset, offset

    def _advance(self) -> None:
        """Begin the next request, if its head is here."""
        ahead, limits = self._ahead, self._service.limits
        while ahead.startswith(b"\r\n", self._offset):  # RFC 9112, 2.2: some clients end a body so
            self._offset += 2
        start = self._offset
        if start == len(ahead):
            return
        found = ahead.find(b"\r\n\r\n", max(start, self._scanned))
        end = found + 4 if found >= 0 else len(ahead)
        if end - start > limits.header_bytes_max:
            self.refuse(HttpError(431, "the head of the request is too long"))
        elif found < 0 and ahead[start] == _TLS_HANDSHAKE:  # its end would be waited for in vain
            self.refuse(HttpError(400, "this port serves plain HTTP, not HTTPS"))
        elif found < 0:
            self._scanned = max(start, len(ahead) - 3)
            if self._phase is Phase.IDLE:
                self._phase = Phase.HEAD
                self._deadline_seconds = self._service.clock() + limits.head_seconds
        else:
            self._offset = self._scanned = end
            try:
                self._begin(ahead[start:end])
            except HttpError as error:
                self.refuse(error)

    def _begin(self, head_bytes: bytes) -> None:
        """Raises HttpError."""
        head = parse_head(head_bytes)
        body = self._body = IncomingBody(head.length_bytes, self, expects_continue=head.expects_continue)
        self._phase = Phase.BUSY
        self._deadline_seconds = inf
        if not body.ended and self._offset < len(self._ahead):
            self._offset = body.feed(self._ahead, self._offset)
        if self._offset == len(self._ahead):
            self._ahead, self._offset = b"", 0
        exchange = self._exchange = Exchange(
            self._service,
            self,
            body,
            head_only=head.method == "HEAD",
            http11=head.http11,
            keep_alive=head.keep_alive,
        )
        scheme = "https" if self._secure else "http"
        request = Request(
            head.method, head.path, head.query, head.headers, body, self._peer, self._service.clock(), scheme
        )
        self._in_flight = self._loop.create_task(exchange.run(request))
        self._service.running.add(self._in_flight)
        self._pace()

    def _drained(self, body: IncomingBody) -> None:
        """Go on to the next request if all of this one's body has come."""
        if body.broken or body.discarded_bytes > self._service.limits.drain_bytes_max:
            self.close()
        elif not body.ended:
            self._pace()
        elif self._service.stopping:
            self.close()
        else:
            self._phase = Phase.IDLE
            self._deadline_seconds = self._service.clock() + self._service.limits.idle_seconds
            self._advance()
            self._pace()

    def _leave(self) -> None:
        """End the connection after its last answer."""
        unread = self._unread or not self._body.ended
        half_closes = self._transport.can_write_eof()
        if self._ended_sending or not unread or not (half_closes or self._secure):
            self.close()
            return
        self._phase = Phase.LINGER
        self._ahead, self._offset = b"", 0
        self._deadline_seconds = self._service.clock() + self._service.limits.drain_seconds
        if half_closes:
            try:
                self._transport.write_eof()
            except OSError:  # the client has reset the connection
                self.close()
                return
        self._pace()

    def _pace(self) -> None:
        """Read on from the socket, or do not."""
        pause = False
        if self._phase is Phase.BUSY:
            pause = self._body.full or len(self._ahead) - self._offset > _AHEAD_BYTES_MAX
        if pause == self._paused or self._ended_sending or not self.open:
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _cancel(self) -> None:
        """The client is gone: so is its request."""
        task, exchange = self._in_flight, self._exchange
        if task is None or exchange is None or exchange.finishing:
            return
        task.cancel()
        self._exchange = None
        if not exchange.started:  # a task that is cancelled before its first step never runs, nor tidies up
            self._in_flight = None
            self._service.running.discard(task)

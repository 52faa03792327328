"""One request and its answer: the handler is called, and what it returns goes out; runs in a task of its own.

Invariants: a stream that a handler returned is closed, and `finished` is called once, whatever happens. An answer
whose head went out is never taken back: if the rest of it fails, the connection is aborted, so that the client sees a
body that is too short rather than one that is wrong.
"""

import asyncio
import logging
from typing import Protocol

from rustfs.core.buffers import Buffer
from rustfs.http.answer import Framing, chunk, frame, render_head
from rustfs.http.body import IncomingBody
from rustfs.http.messages import HttpError, Request, Response
from rustfs.http.service import Service

log = logging.getLogger("rustfs.http")

_JOIN_BYTES_MAX = 64 << 10  # below this joining head and body is cheaper than sending two buffers
_TURN_BYTES = 1 << 20  # sent without a pause, after which others get their turn


class ClientGone(Exception):
    """The connection ended under the answer."""


class Line(Protocol):
    """The connection, as an exchange sees it."""

    @property
    def open(self) -> bool:
        """Whether bytes can still be sent."""

    def write(self, data: Buffer) -> None:
        """Send, or queue for sending."""

    def writelines(self, pieces: list[Buffer], size_bytes: int) -> None:
        """Send several buffers, unjoined."""

    async def writable(self) -> None:
        """Wait until the queue is short enough for more."""

    def abort(self) -> None:
        """End the connection and drop what is queued."""

    def exchange_done(self, *, keep_alive: bool) -> None:
        """The answer is out, or never will be."""


class Exchange:
    """See the module. `keep_alive` and `http11` are the client's; the answer may still end the connection."""

    __slots__ = (
        "_body",
        "_head_only",
        "_http11",
        "_keep_alive",
        "_line",
        "_sent_bytes",
        "_service",
        "finishing",
        "head_sent",
        "started",
    )

    def __init__(
        self, service: Service, line: Line, body: IncomingBody, *, head_only: bool, http11: bool, keep_alive: bool
    ) -> None:
        self._service = service
        self._line = line
        self._body = body
        self._head_only = head_only
        self._http11 = http11
        self._keep_alive = keep_alive
        self._sent_bytes = 0
        self.started = False
        self.head_sent = False
        self.finishing = False  # from now on a cancellation would only keep the stream from being closed

    async def run(self, request: Request) -> None:
        """Answer a request."""
        self.started = True
        try:
            response = await self._ask(request)
            failure = await self._deliver(response)
            if isinstance(failure, HttpError):
                self._keep_alive = False
                await self._deliver_last(self._refusal(failure, request))
            elif failure is not None:
                await self._deliver_last(self._excuse(request, failure))
        finally:
            self._line.exchange_done(keep_alive=self._keep_alive)

    async def refuse(self, error: HttpError) -> None:
        """Answer what is no request."""
        self.started = True
        self._keep_alive = False
        try:
            await self._deliver_last(self._refusal(error, None))
        finally:
            self._line.exchange_done(keep_alive=False)

    async def _ask(self, request: Request) -> Response:
        try:
            return await self._service.handler(request)
        except HttpError as error:
            self._keep_alive = False
            return self._refusal(error, request)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._excuse(request, error)  # not this task: something that the handler waited for
        except Exception as error:  # noqa: BLE001 - whatever a handler raises becomes an answer
            return self._excuse(request, error)

    def _excuse(self, request: Request, error: BaseException) -> Response:
        try:
            return self._service.on_error(request, error)
        except Exception:
            log.exception("no answer could be made for a failed request")
            return Response(500, close=True)

    def _refusal(self, error: HttpError, request: Request | None) -> Response:
        try:
            return self._service.on_refused(error, request)
        except Exception:
            log.exception("no answer could be made for a refused request")
            return Response(error.status, close=True)

    async def _deliver_last(self, response: Response) -> None:
        """Deliver an answer that stands in for another; where that fails too, a bare one."""
        failure = await self._deliver(response)
        if failure is not None:
            log.error("the answer to a failed request failed", exc_info=failure)
            await self._deliver(Response(500, close=True))

    async def _deliver(self, response: Response) -> Exception | None:
        """Send an answer. Returns the error where one kept even the head from going out."""
        complete = False
        self._sent_bytes = 0
        try:
            await self._transmit(response)
            complete = True
        except ClientGone:
            self._keep_alive = False
        except Exception as error:  # noqa: BLE001 - whatever a stream raises ends the connection, or becomes an answer
            if not self.head_sent:
                return error
            log.warning("an answer broke off after %d bytes: %r", self._sent_bytes, error)
            self._keep_alive = False
            self._line.abort()
        except asyncio.CancelledError:
            self._line.abort()
            raise
        finally:
            self.finishing = True
            await self._finish(response, complete=complete)
            self.finishing = False
        return None

    async def _finish(self, response: Response, *, complete: bool) -> None:
        try:
            aclose = getattr(response.body, "aclose", None)
            if aclose is not None:
                await aclose()
        except Exception:
            log.exception("closing the stream of an answer failed")
        finally:
            if response.finished is not None:
                try:
                    response.finished(self._sent_bytes, complete)
                except Exception:
                    log.exception("what was to be called after an answer failed")

    async def _transmit(self, response: Response) -> None:
        keep_alive = self._keep_alive and not (response.close or self._service.stopping)
        keep_alive = keep_alive and (
            self._body.ended or self._body.worth_draining(self._service.limits.drain_bytes_max)
        )
        framing = frame(response, head_only=self._head_only, http11=self._http11, keep_alive=keep_alive)
        head = render_head(response, framing, http11=self._http11)
        self._keep_alive = framing.keep_alive
        body = response.body
        if not isinstance(body, bytes):
            if framing.has_body:
                await self._stream(response, framing, head)
                return
            body = b""
        if not self._line.open:
            raise ClientGone
        self._body.discard()  # nobody reads it any more; were it kept, a client that sends before it reads would hang
        self.head_sent = True
        if not framing.has_body:
            self._line.write(head)
        elif len(body) <= _JOIN_BYTES_MAX:
            self._line.write(head + body)
            self._sent_bytes = len(body)
        else:
            self._line.writelines([head, body], len(head) + len(body))
            self._sent_bytes = len(body)
        await self._line.writable()

    async def _stream(self, response: Response, framing: Framing, head: bytes) -> None:
        line = self._line
        turn_bytes = 0
        async for piece in response.body:  # type: ignore[union-attr] # bytes went another way
            pieces: list[Buffer] = [piece] if isinstance(piece, bytes | bytearray | memoryview) else list(piece)
            size_bytes = sum([len(one) for one in pieces])
            if framing.length_bytes is not None and self._sent_bytes + size_bytes > framing.length_bytes:
                raise ValueError("an answer's stream is longer than its length_bytes")
            if not line.open:
                raise ClientGone
            if framing.chunked and size_bytes:
                pieces = chunk(pieces, size_bytes)
            if not self.head_sent:
                self.head_sent = True
                pieces.insert(0, head)
            line.writelines(pieces, size_bytes)
            self._sent_bytes += size_bytes
            turn_bytes += size_bytes
            if turn_bytes > _TURN_BYTES:
                turn_bytes = 0
                await asyncio.sleep(0)
            await line.writable()
        if framing.length_bytes is not None and self._sent_bytes != framing.length_bytes:
            raise ValueError("an answer's stream is shorter than its length_bytes")
        if not line.open:
            raise ClientGone
        ending = b"" if self.head_sent else head
        self.head_sent = True
        if framing.chunked:
            ending += b"0\r\n\r\n"
        if ending:
            line.write(ending)
        await line.writable()

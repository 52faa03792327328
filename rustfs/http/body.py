"""The body of a request between the connection, which feeds it, and the handler, which reads it.

Pieces are handed on as they came from the socket: joined never, cut only where the reader wants less. What waits here
is bounded: the connection stops reading from the socket while the body is `full`, until `hungry` again.
"""

import asyncio
from collections import deque
from typing import Protocol

from rustfs.core.buffers import Buffer
from rustfs.http.chunked import ChunkedDecoder
from rustfs.http.messages import BodyBroken

_FULL_BYTES = 1 << 20
_HUNGRY_BYTES = 512 << 10
_PIECE_BYTES = 256  # what a piece costs beside its bytes, so that crumbs count for what they take


class Feeder(Protocol):
    """The connection, as its body sees it."""

    def send_continue(self) -> None:
        """Ask the client for the body it holds back."""

    def body_awaited(self, *, waiting: bool) -> None:
        """A reader waits for bytes, or does so no longer."""

    def body_taken(self) -> None:
        """There is room again."""


class IncomingBody:
    """See rustfs.http.messages.RequestBody, and the module."""

    __slots__ = (
        "_broken",
        "_buffered_bytes",
        "_decoder",
        "_discarding",
        "_expects_continue",
        "_feeder",
        "_pieces",
        "_remaining_bytes",
        "_waiter",
        "discarded_bytes",
        "ended",
        "full",
        "length_bytes",
    )

    def __init__(self, length_bytes: int | None, feeder: Feeder, *, expects_continue: bool) -> None:
        self.length_bytes = length_bytes
        self.ended = length_bytes == 0  # all of it came from the socket, read or not
        self.full = False
        self.discarded_bytes = 0
        self._feeder = feeder
        self._expects_continue = expects_continue
        self._decoder = ChunkedDecoder() if length_bytes is None else None
        self._remaining_bytes = length_bytes or 0  # that have not come, where the length is known
        self._pieces: deque[Buffer] = deque()
        self._buffered_bytes = 0
        self._broken: BodyBroken | None = None
        self._discarding = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def broken(self) -> bool:
        """Whether the rest will not come."""
        return self._broken is not None

    def worth_draining(self, bytes_max: int) -> bool:
        """Whether the rest, if nobody wants it, is likely to come and to be at most `bytes_max`."""
        return not (self.broken or self._expects_continue or self._remaining_bytes > bytes_max)

    async def read(self, limit_bytes: int) -> Buffer:
        """See RequestBody.read."""
        if self._expects_continue:
            self._expects_continue = False
            if not (self._pieces or self.ended or self.broken):
                self._feeder.send_continue()
        while not self._pieces:
            if self._discarding:
                raise BodyBroken(400, "the request has been answered")
            if self._broken is not None:
                raise BodyBroken(self._broken.status, self._broken.reason)
            if self.ended:
                return b""
            await self._arrival()
        piece = self._pieces.popleft()
        if len(piece) > limit_bytes:
            rest = memoryview(piece)
            piece = rest[:limit_bytes]
            self._pieces.appendleft(rest[limit_bytes:])
            self._buffered_bytes -= limit_bytes
        else:
            self._buffered_bytes -= len(piece) + _PIECE_BYTES
        if self.full and self._buffered_bytes < _HUNGRY_BYTES:
            self.full = False
            self._feeder.body_taken()
        return piece

    async def _arrival(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("a body is read by one task at a time")
        self._waiter = asyncio.get_running_loop().create_future()
        self._feeder.body_awaited(waiting=True)
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._feeder.body_awaited(waiting=False)

    def feed(self, data: bytes, offset: int) -> int:
        """Take from `data` what belongs to this body, from `offset` on; return the offset of what does not.

        Behind a break nothing can be told apart, and all is thrown away.
        """
        if self._broken is not None:
            self.discarded_bytes += len(data) - offset
            return len(data)
        if self._decoder is None:
            start = offset
            count = min(self._remaining_bytes, len(data) - offset)
            offset += count
            self._remaining_bytes -= count
            self.ended = not self._remaining_bytes
            self._keep(data if count == len(data) else memoryview(data)[start:offset])
        else:
            pieces: list[Buffer] = []
            try:
                offset = self._decoder.feed(data, offset, pieces)
                self.ended = self._decoder.ended
            except BodyBroken as error:
                offset = len(data)
                self.break_off(error)
            for piece in pieces:
                self._keep(piece)
        if self._pieces or self.ended:
            self._wake()
        return offset

    def _keep(self, piece: Buffer) -> None:
        if self._discarding:
            self.discarded_bytes += len(piece)
            return
        self._pieces.append(piece)
        self._buffered_bytes += len(piece) + _PIECE_BYTES
        self.full = self._buffered_bytes > _FULL_BYTES

    def break_off(self, error: BodyBroken) -> None:
        """No more will come: the reader gets what did, and then `error`."""
        if not self.ended and self._broken is None:
            self._broken = error
            self._wake()

    def discard(self) -> None:
        """Nobody will read on: throw away what is here and what comes."""
        self._discarding = True
        self._pieces.clear()
        self._buffered_bytes = 0
        self._wake()
        if self.full:
            self.full = False
            self._feeder.body_taken()

    def _wake(self) -> None:
        # The error travels beside the future: a cancelled reader would leave it unretrieved.
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

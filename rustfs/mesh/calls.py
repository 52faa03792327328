"""The second connection to a peer, for what is large or rare: shards, pages of keys, and all that is no drive's call.

It opens with the first call and again after a failure; HTTP/2's flow control bounds what is under way in each stream.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import grpc
import grpc.aio

from rustfs.core.buffers import Buffer
from rustfs.core.drivetypes import Scan, ScanPage
from rustfs.core.errors import DriveOffline
from rustfs.core.pb.peer.v1 import drive_pb2 as pb
from rustfs.mesh import messages
from rustfs.mesh.channel import Peer, PeerChannel, PeerRefused, PeerUnreachable, failure, gave_up
from rustfs.mesh.link import Link
from rustfs.mesh.rpc import Method, methods

READ_SECONDS = 30.0
SCAN_SECONDS = 20.0
OPEN_SECONDS = 5.0
BEGIN_SECONDS = 3.0

_METHODS = methods(pb.DESCRIPTOR)


class PeerCalls:
    """See the module. One per peer and process; used by the event loop's thread."""

    def __init__(self, link: Link, open_channel: Callable[[Peer], PeerChannel]) -> None:
        self._link = link
        self._peer = link.peer
        self._open_channel = open_channel
        self._channel: PeerChannel | None = None
        self._opening = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        link.on_lost = self._peer_was_lost

    def _peer_was_lost(self) -> None:
        """Nothing more will come of what is under way: end it now rather than at its deadline."""
        if self._channel is not None:
            task = asyncio.ensure_future(self.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Break off whatever is under way."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def read_shard(self, drive: int, data_id: bytes, offset_bytes: int, size_bytes: int) -> Buffer:
        """See Drive.read_shard. Raises DriveError."""
        request = pb.ShardRange(drive=drive, data_id=data_id, offset_bytes=offset_bytes, size_bytes=size_bytes)
        pieces = await self.collect(_METHODS["ReadShard"], request, READ_SECONDS)
        buffers: list[Buffer] = []
        for piece in pieces:
            if isinstance(piece, memoryview):
                buffers.append(piece)
            elif piece.HasField("error"):
                raise messages.error_value(piece.error)
            else:
                buffers.append(piece.data)
        data = buffers[0] if len(buffers) == 1 else b"".join(buffers)
        self._link.meters.received.inc(len(data))
        return data

    async def scan(self, drive: int, scan: Scan) -> ScanPage:
        """See Drive.scan. Raises DriveError."""
        parts = await self.collect(_METHODS["ScanKeys"], messages.scan_message(drive, scan), SCAN_SECONDS)
        if not parts or not parts[-1].last:
            raise DriveOffline(f"{self._peer.node} broke a scan off")
        end = parts[-1]
        if end.HasField("error"):
            raise messages.error_value(end.error)
        rows = [(row.key, row.stamp, row.flags, row.record) for part in parts for row in part.rows]
        return ScanPage(rows, end.more, end.resume, messages.mark_value(end.mark), blank=end.blank)

    async def collect(self, method: Method, request: Any, timeout_seconds: float) -> list[Any]:  # noqa: ANN401 -- messages
        """All answers of a call; of one that does not stream its only one. Raises DriveOffline.

        A connection that turns out to be gone is replaced once.
        """
        kind = method.path.rpartition("/")[2]
        self._link.meters.called(kind)
        for attempt in range(2):
            channel = await self.channel()
            try:
                call = channel.start(method, request, timeout_seconds=timeout_seconds)
                return [piece async for piece in call] if method.server_streams else [await call]
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                await self._failed(kind, channel, error, last=attempt > 0)
        raise DriveOffline(f"{self._peer.node} keeps losing the connection")

    async def follow(self, method: Method, request: Any, silence_seconds: float) -> AsyncGenerator[Any, None]:  # noqa: ANN401 -- messages
        """The answers of a call that streams, as they come; closing the generator ends the call. Raises DriveOffline.

        The peer is expected to say something within `silence_seconds`, time and again. A connection that turns out to
        be gone before the first answer is replaced once. HTTP/2's flow control holds the peer to the caller's pace.
        """
        kind = method.path.rpartition("/")[2]
        self._link.meters.called(kind)
        if not self._link.up:
            raise DriveOffline(self._link.reason)  # an old connection to it would be silent
        begun = False
        for attempt in range(2):
            channel = await self.channel()
            call = channel.start(method, request, timeout_seconds=None)
            try:
                while (answer := await _next(call, silence_seconds)) is not grpc.aio.EOF:
                    begun = True
                    yield answer
            except TimeoutError as error:
                raise DriveOffline(f"{self._peer.node} has fallen silent") from error
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                await self._failed(kind, channel, error, last=begun or attempt > 0)
            else:
                return
            finally:
                call.cancel()
        raise DriveOffline(f"{self._peer.node} keeps losing the connection")

    async def channel(self) -> PeerChannel:
        """The open connection. Raises DriveOffline."""
        if not self._link.up:
            raise DriveOffline(self._link.reason)
        if self._channel is not None:
            return self._channel
        try:
            async with asyncio.timeout(OPEN_SECONDS), self._opening:
                if self._channel is None:
                    channel = self._open_channel(self._peer)
                    try:
                        await channel.open()
                    except BaseException:
                        await channel.close()
                        raise
                    self._channel = channel
                return self._channel
        except (PeerUnreachable, PeerRefused, TimeoutError) as error:
            raise DriveOffline(str(error) or f"{self._peer.node} does not answer") from error

    async def begin_shard(self, drive: int, data_id: bytes, size_bytes: int) -> Any:  # noqa: ANN401 -- grpc's call object
        """A WriteShard stream whose file is begun there. Raises DriveFull, DriveOffline."""
        kind = "WriteShard"
        self._link.meters.called(kind)
        first = pb.ShardChunk(drive=drive, data_id=data_id, size_bytes=size_bytes)
        for attempt in range(2):
            channel = await self.channel()
            stream = channel.start(_METHODS[kind], timeout_seconds=None)
            begun = False
            try:
                async with asyncio.timeout(BEGIN_SECONDS):
                    await stream.write(first)
                    answer = await stream.read()
                if answer is grpc.aio.EOF:
                    raise DriveOffline(f"{self._peer.node} ended a shard's stream")
                if answer.HasField("error"):
                    raise messages.error_value(answer.error)
                begun = True
            except TimeoutError as error:
                raise DriveOffline(f"{self._peer.node} does not begin a shard file in time") from error
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                await self._failed(kind, channel, error, last=attempt > 0)
            finally:
                if not begun:
                    stream.cancel()
            if begun:
                return stream
        raise DriveOffline(f"{self._peer.node} keeps losing the connection")

    async def _failed(
        self, kind: str, channel: PeerChannel, error: grpc.aio.AioRpcError | asyncio.CancelledError, *, last: bool
    ) -> None:
        """Raises DriveOffline, unless the connection was merely gone and another try is worth it."""
        if isinstance(error, asyncio.CancelledError):
            if gave_up():
                raise error
            # Another call found the connection gone, and closed it.
            if last or not self._link.up:
                self._link.meters.failed(kind)
                raise DriveOffline(self._link.reason or f"{self._peer.node} keeps losing the connection") from error
            return
        stale = error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE)
        if stale and channel is self._channel:
            self._channel = None  # the next call opens another
            await channel.close()
        if not stale or last or not self._link.up:
            self._link.meters.failed(kind)
            raise DriveOffline(str(failure(self._peer, error))) from error


async def _next(call: Any, timeout_seconds: float) -> Any:  # noqa: ANN401 -- grpc's call object and a message
    async with asyncio.timeout(timeout_seconds):
        return await call.read()

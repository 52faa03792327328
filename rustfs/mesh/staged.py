"""A shard file on its way to another node: a stream whose flow control reaches back to the thread that codes blocks.

The stream is also the lease of the staged file: it stays open until a version names the file, and a stream that breaks
off before that takes the file along (proto/rustfs/peer/v1/drive.proto, WriteShard).
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future as ThreadFuture
from typing import Any

import grpc
import grpc.aio

from rustfs.core.buffers import Buffer
from rustfs.core.errors import DriveError, DriveOffline
from rustfs.core.pb.peer.v1 import drive_pb2 as pb
from rustfs.mesh.bulk import CHUNK
from rustfs.mesh.channel import gave_up
from rustfs.mesh.messages import error_value
from rustfs.mesh.metrics import PeerMeters

CHUNK_BYTES = 2 << 20  # a message costs more than its bytes: docs/performance.md
CHUNKS_IN_FLIGHT = 2
STALL_SECONDS = 2.0  # a peer that takes nothing for so long is left out of the upload
FINISH_SECONDS = 30.0
LAST_WORD_SECONDS = 0.5  # for what the peer said before it ended a stream


class RemoteStagedShard:
    """See rustfs.core.ports.StagedShard. `write` and `abandon` are called by worker threads, the rest by the loop's."""

    def __init__(
        self,
        endpoint: str,
        stream: Any,  # noqa: ANN401 -- grpc's call object
        loop: asyncio.AbstractEventLoop,
        meters: PeerMeters,
        on_end: Callable[[], None],
    ) -> None:
        self._endpoint = endpoint
        self._stream = stream
        self._loop = loop
        self._meters = meters
        self._on_end = on_end
        self._room = threading.BoundedSemaphore(CHUNKS_IN_FLIGHT)
        self._writing: asyncio.Task[None] | None = None  # the chunk written last; chunks keep their order
        self._failure: DriveError | None = None
        self._gathered: list[memoryview] = []  # less than a chunk
        self._gathered_bytes = 0
        self._listening = asyncio.ensure_future(self._listen())

    def write(self, buffers: Sequence[Buffer]) -> None:
        """See StagedShard.write. What comes is gathered until it fills a chunk. Blocks while CHUNKS_IN_FLIGHT chunks
        are under way, and raises DriveOffline when none of them gets through in STALL_SECONDS."""
        if self._failure is not None:
            raise self._failure
        for buffer in buffers:
            rest = memoryview(buffer)
            while self._gathered_bytes + len(rest) >= CHUNK_BYTES:
                fits = CHUNK_BYTES - self._gathered_bytes
                self._gathered.append(rest[:fits])
                self._gathered_bytes = CHUNK_BYTES
                self._send_when_there_is_room(self._gathered_chunk())
                rest = rest[fits:]
            if rest:
                self._gathered.append(rest)
                self._gathered_bytes += len(rest)

    def _gathered_chunk(self) -> bytes:
        """What was gathered, as a message."""
        chunk = CHUNK.of_data(self._gathered, self._gathered_bytes)
        self._gathered, self._gathered_bytes = [], 0
        return chunk

    def _send_when_there_is_room(self, chunk: bytes) -> None:
        if self._failure is not None:
            raise self._failure
        if not self._room.acquire(timeout=STALL_SECONDS):
            self._failure = DriveOffline(f"{self._endpoint} takes no data")
            raise self._failure
        self._loop.call_soon_threadsafe(self._send, chunk)

    def _send(self, chunk: bytes) -> None:
        self._writing = asyncio.ensure_future(self._write_after(self._writing, chunk))

    async def _write_after(self, previous: "asyncio.Task[None] | None", chunk: bytes) -> None:
        try:
            if previous is not None:
                await previous
            if self._failure is None:
                await self._stream.write(chunk)
                self._meters.sent.inc(len(chunk))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.CancelledError) as error:
            await asyncio.wait((self._listening,), timeout=LAST_WORD_SECONDS)
            self._failure = self._failure or DriveOffline(f"{self._endpoint} broke the shard's stream off: {error!r}")
        finally:
            self._room.release()

    async def _listen(self) -> None:
        """Until the peer says that the file is durable, or what went wrong: then writes fail at once."""
        try:
            answer = await self._stream.read()
        except grpc.aio.AioRpcError as error:
            failure: DriveError = DriveOffline(f"{self._endpoint}: {error.details()}")
        except asyncio.CancelledError:
            failure = DriveOffline(f"{self._endpoint} broke the shard's stream off")
        else:
            if answer is grpc.aio.EOF:
                failure = DriveOffline(f"{self._endpoint} ended the shard's stream")
            elif answer.HasField("error"):
                failure = error_value(answer.error)
            else:
                return
        self._failure = self._failure or failure

    async def finish(self) -> None:
        """See StagedShard.finish. Raises DriveFull, DriveOffline."""
        try:
            async with asyncio.timeout(FINISH_SECONDS):
                if self._writing is not None:
                    await asyncio.wait((self._writing,))  # to cancel the waiting is not to cancel the writing
                if self._failure is None and self._gathered_bytes:
                    await self._stream.write(self._gathered_chunk())
                if self._failure is None:
                    await self._stream.write(pb.ShardChunk(finish=True))
                    await asyncio.wait((self._listening,))
        except TimeoutError as error:
            raise DriveOffline(f"{self._endpoint} does not make a shard durable in time") from error
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.CancelledError) as error:
            if gave_up():
                raise
            await asyncio.wait((self._listening,), timeout=LAST_WORD_SECONDS)
            raise self._failure or DriveOffline(f"{self._endpoint} broke the shard's stream off") from error
        if self._failure is not None:
            raise self._failure

    async def entered_service(self) -> None:
        """A version names the file now: the lease may end."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.CancelledError):
            await self._stream.done_writing()
        self._end(cancel=False)

    async def abort(self) -> None:
        """See StagedShard.abort."""
        self._end(cancel=True)

    def abandon(self) -> None:
        """See StagedShard.abandon."""
        done: ThreadFuture[None] = asyncio.run_coroutine_threadsafe(self.abort(), self._loop)
        del done  # nobody waits: the stream ends in its own time

    def _end(self, *, cancel: bool) -> None:
        if cancel:
            self._failure = self._failure or DriveOffline(f"{self._endpoint}: the shard was given up")
            self._stream.cancel()
        self._on_end()

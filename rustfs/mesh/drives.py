"""The server's side of drive.proto: this node's drives for its peers.

Calls of a batch are handed to the drives at once, so the writes among them share a transaction, and answers go back in
whatever order they come, gathered into batches again. Nothing is decided here.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import grpc.aio

from rustfs.core.buffers import Buffer
from rustfs.core.errors import DeadlinePassed, DriveError, DriveOffline
from rustfs.core.pb.peer.v1 import drive_pb2 as pb
from rustfs.core.ports import Drive, StagedShard
from rustfs.mesh import messages
from rustfs.mesh.bulk import SHARD_BYTES

log = logging.getLogger("rustfs.mesh")

CALLS_IN_HAND_MAX = 20_000
TICK_SECONDS = 0.25  # how late the end of a call's time may be noticed
PIECE_BYTES = 4 << 20
ROWS_PER_PART = 1000

T = TypeVar("T")


class ServedDrive(Drive, Protocol):
    """A drive of this node."""

    @property
    def free_bytes(self) -> int:
        """What writes may take."""


class DriveServer:
    """See the module. Methods are named after the rpcs; `drives` by index among all drives of the volumes."""

    def __init__(self, executor: Executor) -> None:
        self._drives: Mapping[int, ServedDrive] = {}
        self._executor = executor
        self._conversations: set[_Conversation] = set()
        self._draining = False

    def serve(self, drives: Mapping[int, ServedDrive]) -> None:
        """From now on these are answered for; before, all are offline. Peers hear of it at once."""
        self._drives = drives
        for conversation in self._conversations:
            conversation.tell_statuses()

    def drive(self, index: int) -> ServedDrive:
        """Raises DriveOffline."""
        drive = self._drives.get(index)
        if drive is None:
            raise DriveOffline("the node has not opened the drive yet")
        return drive

    def statuses(self) -> list[pb.DriveStatus]:
        """What peers should know before they ask."""
        return [
            pb.DriveStatus(
                drive=index,
                online=drive.online,
                healing=drive.healing,
                room_bytes=max(0, drive.free_bytes),
                drive_id=drive.drive_id,
            )
            for index, drive in self._drives.items()
        ]

    async def exchange(self, _requests: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """See drive.proto."""
        conversation = _Conversation(self, context)
        self._conversations.add(conversation)
        if self._draining:
            conversation.end_when_idle()
        try:
            await conversation.run()
        finally:
            self._conversations.discard(conversation)

    def drain(self) -> None:
        """The node is stopping: let each conversation end once it has answered all that it was asked."""
        self._draining = True
        for conversation in self._conversations:
            conversation.end_when_idle()

    async def write_shard(self, _requests: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """See drive.proto."""
        first = await context.read()
        if first is grpc.aio.EOF:
            return
        staging = asyncio.ensure_future(self.drive(first.drive).stage(first.data_id, first.size_bytes))
        try:
            staged = await _settled(staging)
        except DriveError as error:
            await context.write(pb.ShardWritten(error=messages.error_message(error)))
            return
        except asyncio.CancelledError:
            if not staging.cancelled() and staging.exception() is None:
                await _settled(asyncio.ensure_future(staging.result().abort()))
            raise
        try:
            await context.write(pb.ShardWritten())
            await self._fill(staged, context)
            await context.write(pb.ShardWritten())
            await context.read()
        except DriveError as error:
            await context.write(pb.ShardWritten(error=messages.error_message(error)))
        finally:
            # However the stream ended (a read cannot tell a peer that is done from one that is dead): a file that a
            # version names has left the staging area, and stays.
            await _settled(asyncio.ensure_future(staged.abort()))

    async def _fill(self, staged: StagedShard, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Raises DriveError."""
        loop = asyncio.get_running_loop()
        while True:
            chunk = await context.read()
            if chunk is grpc.aio.EOF:
                raise DriveOffline("the shard was not finished")
            only_data = isinstance(chunk, memoryview)
            data: Buffer = chunk if only_data else chunk.data
            if data:
                await _settled(loop.run_in_executor(self._executor, staged.write, [data]))
            if not only_data and chunk.finish:
                await _settled(asyncio.ensure_future(staged.finish()))
                return

    async def read_shard(self, request: pb.ShardRange, _context: object) -> AsyncIterator[pb.ShardBytes | bytes]:
        """See drive.proto."""
        try:
            drive = self.drive(request.drive)
            data = await drive.read_shard(request.data_id, request.offset_bytes, request.size_bytes)
        except DriveError as error:
            yield pb.ShardBytes(error=messages.error_message(error))
            return
        if len(data) <= PIECE_BYTES:
            yield SHARD_BYTES.of_data((data,), len(data))
            return
        for start in range(0, len(data), PIECE_BYTES):
            piece = memoryview(data)[start : start + PIECE_BYTES]
            yield SHARD_BYTES.of_data((piece,), len(piece))

    async def scan_keys(self, request: pb.ScanRequest, _context: object) -> AsyncIterator[pb.ScanPart]:
        """See drive.proto."""
        try:
            page = await self.drive(request.drive).scan(messages.scan_value(request))
        except DriveError as error:
            yield pb.ScanPart(last=True, error=messages.error_message(error))
            return
        row = pb.ScanPart.Row
        rows: list[pb.ScanPart.Row] = []
        size_bytes = 0
        for key, stamp, flags, record in page.rows:
            if len(rows) >= ROWS_PER_PART or size_bytes >= PIECE_BYTES:
                yield pb.ScanPart(rows=rows)
                rows, size_bytes = [], 0
            rows.append(row(key=key, stamp=stamp, flags=flags, record=record))
            size_bytes += len(key) + len(record)
        yield pb.ScanPart(
            rows=rows,
            last=True,
            more=page.more,
            resume=page.resume,
            mark=messages.mark_message(page.mark),
            blank=page.blank,
        )


def _reply(call_id: int, reply: Callable[[int, Any], pb.Answer], value: object) -> pb.Answer:
    try:
        return reply(call_id, value)
    except (ValueError, TypeError) as error:  # a value that no field can hold: the call ends all the same
        log.exception("a peer's call was answered by what cannot be said")
        return pb.Answer(id=call_id, error=messages.error_message(error))


async def _settled(work: "asyncio.Future[T]") -> T:
    """Its outcome, also where the waiting is cancelled: a file is not closed under a thread's hands."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait((work,))
        raise


class _InHand(NamedTuple):
    """A call that the drive has not answered yet."""

    call_id: int
    deadline: float  # by the loop's clock
    future: "asyncio.Future[Any]"  # Any: each kind of call has its own answer
    reply: Callable[[int, Any], pb.Answer]


class _Conversation:
    """One Exchange stream."""

    def __init__(self, server: DriveServer, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._server = server
        self._context = context
        self._answers: deque[pb.Answer] = deque()
        self._ping = 0
        self._news = False
        self._in_hand: dict[int, _InHand] = {}
        self._next = 0
        self._ending = False
        self._ended = asyncio.Event()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def run(self) -> None:
        """Until the peer ends the stream or is gone, or this node stops."""
        reader = asyncio.create_task(self._read(), name="batches")
        others = [
            asyncio.create_task(self._send(), name="batch answers"),
            asyncio.create_task(self._watch(), name="deadlines of calls"),
            asyncio.create_task(self._ended.wait(), name="end of a conversation"),
        ]
        try:
            await asyncio.wait((reader, others[-1]), return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                await reader
        finally:
            for task in (reader, *others):
                task.cancel()
            await asyncio.gather(reader, *others, return_exceptions=True)

    async def _read(self) -> None:
        while (batch := await self._context.read()) is not grpc.aio.EOF:
            for call in batch.calls:
                self._take(call)
            if batch.ping:
                self._ping = batch.ping
                self._wake.set()
            if len(self._in_hand) >= CALLS_IN_HAND_MAX:
                self._room.clear()
                await self._room.wait()

    async def _watch(self) -> None:
        """Give up the calls whose time is over: whoever asked does not wait for them any more."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = asyncio.get_running_loop().time()
            for number, call in [each for each in self._in_hand.items() if each[1].deadline <= now]:
                self._put_down(number)
                error = DeadlinePassed("the drive did not answer in time")
                self._answer(pb.Answer(id=call.call_id, error=messages.error_message(error)))
                call.future.cancel()

    def end_when_idle(self) -> None:
        """Let it end once nothing is in hand and all is answered."""
        self._ending = True
        self._wake.set()

    def tell_statuses(self) -> None:
        """Let the peer know how the drives are now."""
        self._news = True
        self._wake.set()

    def _take(self, call: pb.Call) -> None:
        try:
            drive = self._server.drive(call.drive)
            if messages.tell(drive, call):
                return
            served = messages.SERVED.get(call.WhichOneof("call") or "")
            if served is None:
                error = pb.Error(kind=pb.Error.UNSUPPORTED, message="this node does not know the call")
                self._answer(pb.Answer(id=call.id, error=error))
                return
            future = asyncio.ensure_future(served.ask(drive, call))
        except (DriveError, ValueError) as error:
            self._answer(pb.Answer(id=call.id, error=messages.error_message(error)))
            return
        timeout_seconds = call.timeout_ms / 1000 if call.timeout_ms else float("inf")
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        number = self._next = self._next + 1
        self._in_hand[number] = _InHand(call.id, deadline, future, served.reply)
        future.add_done_callback(partial(self._done, number))

    def _put_down(self, number: int) -> _InHand | None:
        call = self._in_hand.pop(number, None)
        if len(self._in_hand) < CALLS_IN_HAND_MAX:
            self._room.set()
        return call

    def _done(self, number: int, future: "asyncio.Future[Any]") -> None:
        call = self._put_down(number)
        if call is None:
            return  # it was given up
        if future.cancelled():
            error: BaseException | None = DriveOffline("the node is stopping")
        else:
            error = future.exception()
        if error is not None:
            if not isinstance(error, DriveError):
                log.error("a peer's call failed", exc_info=error)
            self._answer(pb.Answer(id=call.call_id, error=messages.error_message(error)))
        else:
            self._answer(_reply(call.call_id, call.reply, future.result()))

    def _answer(self, answer: pb.Answer) -> None:
        self._answers.append(answer)
        self._wake.set()

    def _next_answers(self) -> list[pb.Answer]:
        """What goes with the next message: by size, since answers may carry shards."""
        answers: list[pb.Answer] = []
        size_bytes = 0
        while self._answers and size_bytes < PIECE_BYTES:
            answer = self._answers.popleft()
            size_bytes += answer.ByteSize()
            answers.append(answer)
        return answers

    async def _send(self) -> None:
        with contextlib.suppress(grpc.aio.AbortError, grpc.aio.UsageError):
            while True:
                await self._wake.wait()
                self._wake.clear()
                await asyncio.sleep(0)  # what else this turn of the loop has to say goes along
                while self._answers or self._ping or self._news:
                    answers = self._next_answers()
                    ping, self._ping = self._ping, 0
                    drives = self._server.statuses() if ping or self._news else ()
                    self._news = False
                    await self._context.write(pb.BatchAnswer(answers=answers, ping=ping, drives=drives))
                if self._ending and not self._in_hand:
                    self._ended.set()

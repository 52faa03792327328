"""The conversation with one peer about its drives: calls gathered into batches over one stream, and whether it answers.

Whatever is waiting when the stream can take more goes as one message, so a busy node pays for few messages and the peer
makes one transaction of many writes; an idle one pays for nothing but a ping a second. The peer counts as down when
nothing at all came from it for SILENCE_SECONDS: then all that waits fails with DriveOffline, what comes later fails at
once, and the link tries to come back by itself. So a peer that is dead, paused or cut off costs each call at most that
delay, once.

Every call ends: with its answer, with the drive's error, with DriveOffline at its deadline or when the link goes down.
"""

import asyncio
import contextlib
import logging
import re
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import grpc.aio

from rustfs.core.errors import DriveError, DriveOffline
from rustfs.core.futures import fail
from rustfs.core.pb.peer.v1 import drive_pb2 as pb
from rustfs.core.ports import Clock, Entropy
from rustfs.mesh.channel import Peer, PeerChannel, PeerRefused, PeerUnreachable, failure, gave_up
from rustfs.mesh.messages import error_value
from rustfs.mesh.metrics import PeerMeters
from rustfs.mesh.rpc import methods

log = logging.getLogger("rustfs.mesh")

PING_SECONDS = 1.0
SILENCE_SECONDS = 2.5
TICK_SECONDS = 0.25
BATCH_CALLS_MAX = 512
BATCH_BYTES_MAX = 8 << 20
WAITING_CALLS_MAX = 20_000
WAITING_BYTES_MAX = 128 << 20
CLOSE_SECONDS = 1.0
RETRY_SECONDS = (0.1, 2.0)

_NUMBERS = re.compile(r"\d+")
_EXCHANGE = methods(pb.DESCRIPTOR)["Exchange"]

T = TypeVar("T")


class _Waiting(NamedTuple):
    future: "asyncio.Future[Any]"  # Any: each kind of call has its own answer
    convert: Callable[[pb.Answer], Any]
    deadline: float
    kind: str


class Link:
    """See the module. Made and used by the event loop's thread."""

    def __init__(self, peer: Peer, open_channel: Callable[[Peer], PeerChannel], clock: Clock, entropy: Entropy) -> None:
        self.peer = peer
        self.meters = PeerMeters(peer.node)
        self._open_channel = open_channel
        self._clock = clock
        self._entropy = entropy
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[pb.Call, int]] = deque()  # with its size in bytes
        self._queued_bytes = 0
        self._waiting: dict[int, _Waiting] = {}
        self._next_id = 1
        self._wake = asyncio.Event()
        self._up = self._was_up = self._closing = False
        self.generation = 0  # how often the peer came into reach
        self._reason = f"{peer.node} was not reached yet"
        self._silent = False
        self._heard = self._pinged = self._ticked = 0.0
        self._ping_out = 0.0  # when the ping that is not answered yet was sent; 0: none
        self._statuses: dict[int, pb.DriveStatus] = {}
        self._keeper: asyncio.Task[None] | None = None
        self.on_lost: Callable[[], None] = lambda: None  # it was silent, or could not be reached anew

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect, and to keep connected."""
        self._keeper = asyncio.create_task(self._keep(), name=f"link to {self.peer.node}")

    async def close(self) -> None:
        """Send what is queued, if the peer takes it at once, and end the conversation; whatever waits fails."""
        self._closing = True
        self._wake.set()
        if self._keeper is not None:
            if self._up:
                await asyncio.wait((self._keeper,), timeout=CLOSE_SECONDS)
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._fail_all("closed")

    @property
    def up(self) -> bool:
        """Whether the peer answers."""
        return self._up

    @property
    def reason(self) -> str:
        """Why it is not up: a sentence."""
        return "" if self._up else self._reason

    def status_of(self, drive: int) -> pb.DriveStatus | None:
        """What the peer said last of a drive; None while the link is down or the peer does not serve it."""
        return self._statuses.get(drive) if self._up else None

    # -- calls ---------------------------------------------------------------------------------------------------------

    def call(
        self, kind: str, call: pb.Call, convert: Callable[[pb.Answer], T], timeout_seconds: float
    ) -> "asyncio.Future[T]":
        """Send a call with the next batch; its answer, converted, comes through the future."""
        future: asyncio.Future[T] = self._loop.create_future()
        self.meters.called(kind)
        if not self._up or len(self._waiting) >= WAITING_CALLS_MAX or self._queued_bytes >= WAITING_BYTES_MAX:
            self.meters.failed(kind)
            reason = f"too many calls are waiting for {self.peer.node}" if self._up else self._reason
            fail(future, DriveOffline(reason))
            return future
        call.id = self._next_id
        call.timeout_ms = int(timeout_seconds * 1000)
        self._waiting[call.id] = _Waiting(future, convert, self._clock.monotonic_seconds() + timeout_seconds, kind)
        self._next_id += 1
        self._enqueue(call)
        return future

    def tell(self, kind: str, call: pb.Call) -> None:
        """Send a note that wants no answer; lost when the link is down."""
        self.meters.called(kind)
        if self._up and len(self._queue) < WAITING_CALLS_MAX and self._queued_bytes < WAITING_BYTES_MAX:
            self._enqueue(call)

    def _enqueue(self, call: pb.Call) -> None:
        size_bytes = call.ByteSize()
        self._queue.append((call, size_bytes))
        self._queued_bytes += size_bytes
        self._wake.set()

    # -- the conversation ----------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        pause = RETRY_SECONDS[0]
        said = ""
        while not self._closing:
            channel = self._open_channel(self.peer)
            self._was_up = self._silent = False
            try:
                await channel.open()
                reason = await self._converse(channel)
            except PeerUnreachable as error:
                reason = str(error)
            except PeerRefused as error:
                reason = str(error)
                essence = _NUMBERS.sub("", reason)  # seconds that a clock is off change with every try
                if essence != said:
                    log.error("%s", reason)  # noqa: TRY400 -- one sentence for the operator
                    said = essence
            except Exception as error:
                log.exception("the link to %s failed", self.peer.node)
                reason = f"the link to {self.peer.node} failed: {error}"
            finally:
                self._went_down(f"the link to {self.peer.node} is closed")
                await channel.close()
            self._reason = reason
            if self._silent or not self._was_up:
                self.on_lost()
            if self._was_up:
                pause, said = RETRY_SECONDS[0], ""
            await asyncio.sleep(self._entropy.uniform(pause / 2, pause))
            pause = min(RETRY_SECONDS[1], pause * 2)

    async def _converse(self, channel: PeerChannel) -> str:
        """Until the stream ends; says why. Raises PeerUnreachable, PeerRefused."""
        stream = channel.start(_EXCHANGE, timeout_seconds=None)
        self._heard = self._ticked = self._clock.monotonic_seconds()
        self._pinged = self._ping_out = 0.0
        self._silent = False
        self._wake.set()
        sender = asyncio.create_task(self._send(stream), name=f"batches to {self.peer.node}")
        ticker = asyncio.create_task(self._tick(stream), name=f"watch over {self.peer.node}")
        reason = f"{self.peer.node} ended the conversation"
        try:
            while (answer := await stream.read()) is not grpc.aio.EOF:
                self._take(answer)
        except grpc.aio.AioRpcError as error:
            lost = failure(self.peer, error)
            reason = str(lost)
            raise lost from error
        except asyncio.CancelledError:
            if not self._silent or gave_up():
                raise
            reason = f"{self.peer.node} has been silent for {SILENCE_SECONDS} s"  # the watch broke the stream off
        finally:
            for task in (sender, ticker):
                task.cancel()
            await asyncio.gather(sender, ticker, return_exceptions=True)
            stream.cancel()
            self._went_down(reason)
        return reason

    async def _send(self, stream: Any) -> None:  # noqa: ANN401 -- grpc's call object
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the reader sees it, too
            while True:
                await self._wake.wait()
                self._wake.clear()
                await asyncio.sleep(0)  # what else this turn of the loop has to say goes along
                while self._queue or self._ping_due():
                    batch = self._next_batch()
                    await stream.write(batch)
                    size = batch.ByteSize()
                    self.meters.sent.inc(size)
                    if batch.calls:
                        self.meters.batch.observe(len(batch.calls))
                if self._closing:
                    await stream.done_writing()  # the peer takes what was sent, and ends the conversation
                    return

    def _next_batch(self) -> pb.Batch:
        calls: list[pb.Call] = []
        size = 0
        while self._queue and len(calls) < BATCH_CALLS_MAX and size < BATCH_BYTES_MAX:
            call, size_bytes = self._queue.popleft()
            self._queued_bytes -= size_bytes
            if call.id and call.id not in self._waiting:
                continue  # given up meanwhile
            size += size_bytes
            calls.append(call)
        batch = pb.Batch(calls=calls)
        if self._ping_due():
            self._pinged = self._ping_out = self._clock.monotonic_seconds()
            batch.ping = 1
        return batch

    def _ping_due(self) -> bool:
        return not self._ping_out and self._clock.monotonic_seconds() - self._pinged >= PING_SECONDS

    async def _tick(self, stream: Any) -> None:  # noqa: ANN401 -- grpc's call object
        """Until the peer has been silent for too long: give up calls whose time is over, and ping."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = self._clock.monotonic_seconds()
            if now - self._ticked > SILENCE_SECONDS / 2:
                self._heard = now  # this process itself was held up: the peer gets its time anew
            self._ticked = now
            for call_id in [each for each, waiting in self._waiting.items() if waiting.deadline <= now]:
                self._give_up(call_id, f"{self.peer.node} did not answer in time")
            if now - self._heard > SILENCE_SECONDS:
                self._silent = True
                stream.cancel()
                return
            if self._ping_due():
                self._wake.set()

    def _take(self, answer: pb.BatchAnswer) -> None:
        now = self._clock.monotonic_seconds()
        self._heard = now
        self.meters.received.inc(answer.ByteSize())
        if answer.ping and self._ping_out:
            self.meters.round_trip.observe(now - self._ping_out)
            self._ping_out = 0.0
        if answer.drives or not self._up:
            self._statuses = {status.drive: status for status in answer.drives}
            self._came_up()
        for each in answer.answers:
            waiting = self._waiting.pop(each.id, None)
            if waiting is None or waiting.future.done():
                continue
            if each.HasField("error"):
                self.meters.failed(waiting.kind)
                fail(waiting.future, error_value(each.error))
            else:
                self._convert(waiting, each)

    def _convert(self, waiting: _Waiting, answer: pb.Answer) -> None:
        try:
            value = waiting.convert(answer)
        except (DriveError, ValueError) as error:  # a newer peer says what is unknown here
            self.meters.failed(waiting.kind)
            fail(waiting.future, DriveOffline(f"{self.peer.node} answers strangely: {error}"))
        else:
            waiting.future.set_result(value)

    def _came_up(self) -> None:
        if not self._up:
            self._up = self._was_up = True
            self.generation += 1
            self.meters.online.set(1)
            log.info("%s is in reach", self.peer.node)

    def _went_down(self, reason: str) -> None:
        was_up, self._up = self._up, False
        self._reason = reason
        self._statuses = {}
        self.meters.online.set(0)
        self._fail_all(reason)
        if was_up:
            self.meters.reconnects.inc()
            log.warning("%s is out of reach: %s", self.peer.node, reason)

    def _fail_all(self, reason: str) -> None:
        self._queue.clear()
        self._queued_bytes = 0
        for call_id in list(self._waiting):
            self._give_up(call_id, reason)

    def _give_up(self, call_id: int, reason: str) -> None:
        waiting = self._waiting.pop(call_id)
        if not waiting.future.done():
            self.meters.failed(waiting.kind)
            fail(waiting.future, DriveOffline(reason))

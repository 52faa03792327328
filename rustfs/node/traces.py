"""The requests of a node, live, from all its workers to whoever follows them.

Workers share nothing, so a follower is a datagram socket in the runtime directory, and every worker sends its answered
requests to the sockets that are there. A worker looks for them when it answers a request, five times a second at the
most: nobody following costs a comparison of clocks a request, and an idle node nothing at all.

Queues are bounded at both ends and nobody waits: a follower that is slow loses requests, and is told how many.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import secrets
import socket
import struct
from collections import deque
from collections.abc import AsyncGenerator, Iterator

from rustfs.core.errors import RustFSError
from rustfs.core.pb.peer.v1 import node_pb2 as pb
from rustfs.core.ports import Clock

log = logging.getLogger("rustfs.node")

LOOK_SECONDS = 0.2
BEGIN_SECONDS = 0.25  # after which every worker that answers a request has looked
FLUSH_SECONDS = 0.02
HEARTBEAT_SECONDS = 5.0
FOLLOWERS_MAX = 16
PENDING_MAX = 2_000  # events that wait in a worker for a follower
QUEUED_MAX = 5_000  # events that wait in the follower for its reader
DATAGRAM_BYTES_MAX = 64 << 10

_LENGTH = struct.Struct("!I")


class TooManyFollowers(RustFSError):
    """The node's requests are followed by as many as may."""


def matches(event: pb.TraceEvent, wish: pb.TraceRequest) -> bool:
    """Whether a follower asked for such a request."""
    return (
        (not wish.errors_only or event.status >= 400)
        and wish.operation.lower() in ("", event.operation.lower())
        and event.path.startswith(wish.path_prefix)
        and event.duration_us >= wish.slower_than_ms * 1000
    )


class TraceBus:
    """One per worker: rustfs.s3.tracing.Tracer for its face, rustfs.mesh.nodes.TraceSource of the whole node."""

    def __init__(self, node: str, runtime_directory: str, clock: Clock) -> None:
        self._node = node
        self._directory = os.path.join(runtime_directory, "trace")
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        self._clock = clock
        self._looked_seconds = float("-inf")
        self._outboxes: dict[str, _Outbox] = {}

    # -- the worker's end ----------------------------------------------------------------------------------------------

    def wanted(self) -> bool:
        """See Tracer."""
        now = self._clock.monotonic_seconds()
        if now - self._looked_seconds > LOOK_SECONDS:
            self._looked_seconds = now
            names = set(os.listdir(self._directory))
            for gone in self._outboxes.keys() - names:
                self._outboxes.pop(gone).close()
            for new in names - self._outboxes.keys():
                self._outboxes[new] = _Outbox(os.path.join(self._directory, new))
        return bool(self._outboxes)

    def tell(self, event: pb.TraceEvent) -> None:
        """See Tracer."""
        event.node = self._node
        for outbox in self._outboxes.values():
            outbox.add(event)

    def close(self) -> None:
        """Tell nobody any more."""
        while self._outboxes:
            self._outboxes.popitem()[1].close()

    # -- the follower's end --------------------------------------------------------------------------------------------

    async def follow(self, request: pb.TraceRequest) -> AsyncGenerator[pb.TraceEvent, None]:
        """See TraceSource. Raises TooManyFollowers."""
        with self._inbox(request) as inbox:
            await asyncio.sleep(BEGIN_SECONDS)
            yield pb.TraceEvent(node=self._node)
            while True:
                if not inbox.events:
                    inbox.filled.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(HEARTBEAT_SECONDS):
                            await inbox.filled.wait()
                yield inbox.events.popleft() if inbox.events else pb.TraceEvent(node=self._node)

    @contextlib.contextmanager
    def _inbox(self, request: pb.TraceRequest) -> "Iterator[_Inbox]":
        if len(os.listdir(self._directory)) >= FOLLOWERS_MAX:
            raise TooManyFollowers(f"{FOLLOWERS_MAX} follow the requests of {self._node} already")
        path = os.path.join(self._directory, secrets.token_hex(8))
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as bound:
            bound.bind(path)
            try:
                inbox = _Inbox(bound, request)
                loop.add_reader(bound.fileno(), inbox.read)
                try:
                    yield inbox
                finally:
                    loop.remove_reader(bound.fileno())
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)


class _Outbox:
    """A follower, as a worker sees it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._pending: deque[bytes] = deque()
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, event: pb.TraceEvent) -> None:
        """Send with the next datagram."""
        if len(self._pending) >= PENDING_MAX:
            self._dropped += 1
            return
        event.dropped, self._dropped = self._dropped, 0
        data = event.SerializeToString()
        self._pending.append(_LENGTH.pack(len(data)) + data)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def close(self) -> None:
        """Forget what is pending."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pending.clear()
        self._socket.close()

    def _flush(self) -> None:
        self._timer = None
        try:
            while self._pending:
                count, size_bytes = 0, 0
                for data in self._pending:
                    if count and size_bytes + len(data) > DATAGRAM_BYTES_MAX:
                        break
                    count, size_bytes = count + 1, size_bytes + len(data)
                self._socket.sendto(b"".join(itertools.islice(self._pending, count)), self._path)
                for _ in range(count):
                    self._pending.popleft()
        except BlockingIOError:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)
        except OSError as error:
            self._pending.clear()
            if isinstance(error, ConnectionRefusedError):  # its process died
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._path)
            elif not isinstance(error, FileNotFoundError):
                log.warning("cannot tell a follower of requests: %s", error)


class _Inbox:
    """What came for a follower and matches what it asked for."""

    def __init__(self, bound: socket.socket, request: pb.TraceRequest) -> None:
        self._socket = bound
        self._request = request
        self._dropped = 0
        self.events: deque[pb.TraceEvent] = deque()
        self.filled = asyncio.Event()

    def read(self) -> None:
        """Take one datagram off the socket."""
        try:
            data = self._socket.recv(DATAGRAM_BYTES_MAX * 2)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(data):
            (size_bytes,) = _LENGTH.unpack_from(data, offset)
            offset += _LENGTH.size
            self._take(pb.TraceEvent.FromString(data[offset : offset + size_bytes]))
            offset += size_bytes

    def _take(self, event: pb.TraceEvent) -> None:
        self._dropped += event.dropped
        if not matches(event, self._request):
            return
        if len(self.events) >= QUEUED_MAX:
            self._dropped += 1
            return
        event.dropped, self._dropped = self._dropped, 0
        self.events.append(event)
        self.filled.set()

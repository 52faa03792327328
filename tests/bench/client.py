"""The load generator's HTTP client: raw sockets, keep-alive, Signature V4 with unsigned payloads, and little CPU.

It shares two cores with the servers that it measures, so it parses no more of an answer than its length, copies no
body of an upload, and reads downloads into one buffer over and over.
"""

import asyncio
import socket
import time
from typing import NamedTuple

from rustfs.s3 import sigv4

REGION = "us-east-1"
BUFFER_BYTES = 256 << 10
JOINED_BYTES = 64 << 10  # bodies up to this size travel in one piece with the head
_SIGNED = "host;x-amz-content-sha256;x-amz-date"


class Target(NamedTuple):
    """A server's address, and the keys to it."""

    host: str
    port: int
    access_key: str
    secret_key: str


class Answer(NamedTuple):
    """Of a request; `body` is empty unless it was to be kept."""

    status: int
    length_bytes: int
    body: bytes


class Connection:
    """One connection, one request at a time; opened when it is first used, and again after a failure."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._host = f"{target.host}:{target.port}"
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._socket: socket.socket | None = None
        self._loop = asyncio.get_running_loop()

    async def request(
        self, method: str, path: str, query: str = "", body: memoryview | None = None, *, keep: bool = False
    ) -> Answer:
        """Path and query are in canonical form already. Raises OSError, ValueError; the connection is closed then."""
        try:
            if self._socket is None:
                self._socket = await self._open()
            head = self._head(method, path, query, len(body) if body is not None else 0)
            if body is None or len(body) <= JOINED_BYTES:
                await self._loop.sock_sendall(self._socket, head + body if body is not None else head)
            else:
                await self._loop.sock_sendall(self._socket, head)
                await self._loop.sock_sendall(self._socket, body)
            return await self._answer(self._socket, method, keep=keep)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """The next request opens another."""
        opened, self._socket = self._socket, None
        if opened is not None:
            opened.close()

    async def _open(self) -> socket.socket:
        opened = socket.socket()
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await self._loop.sock_connect(opened, (self._target.host, self._target.port))
        return opened

    def _head(self, method: str, path: str, query: str, length_bytes: int) -> bytes:
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = {"host": self._host, "x-amz-content-sha256": sigv4.UNSIGNED_PAYLOAD, "x-amz-date": now}
        canonical = sigv4.canonical_request(method, path, query, headers, _SIGNED, sigv4.UNSIGNED_PAYLOAD)
        scope = f"{now[:8]}/{REGION}/s3/{sigv4.TERMINAL}"
        key = sigv4.signing_key(self._target.secret_key, now[:8], REGION, "s3")
        signature = sigv4.sign(key, sigv4.string_to_sign(now, scope, canonical))
        return (
            f"{method} {path}{'?' if query else ''}{query} HTTP/1.1\r\nHost: {self._host}\r\nx-amz-date: {now}\r\n"
            f"x-amz-content-sha256: {sigv4.UNSIGNED_PAYLOAD}\r\nContent-Length: {length_bytes}\r\n"
            f"Authorization: {sigv4.ALGORITHM} Credential={self._target.access_key}/{scope}, "
            f"SignedHeaders={_SIGNED}, Signature={signature}\r\n\r\n"
        ).encode()

    async def _receive(self, opened: socket.socket, start: int = 0) -> int:
        count = await self._loop.sock_recv_into(opened, self._view[start:])
        if not count:
            raise ConnectionResetError("the server closed the connection")
        return count

    async def _answer(self, opened: socket.socket, method: str, *, keep: bool) -> Answer:
        end = 0
        while (head_end := self._buffer.find(b"\r\n\r\n", 0, end)) < 0:
            end += await self._receive(opened, end)
        status, headers = _parse(bytes(self._view[:head_end]))
        begun = bytes(self._view[head_end + 4 : end])
        if method == "HEAD" or status == 204:
            answer = Answer(status, 0, b"")
        elif b"chunked" in headers.get(b"transfer-encoding", b""):
            body = await self._chunks(opened, bytearray(begun))
            answer = Answer(status, len(body), body)
        else:
            length = int(headers.get(b"content-length", b"0"))
            answer = Answer(status, length, await self._sized(opened, begun, length, keep=keep or status >= 300))
        if headers.get(b"connection", b"").lower() == b"close":
            self.close()
        return answer

    async def _sized(self, opened: socket.socket, begun: bytes, length: int, *, keep: bool) -> bytes:
        pieces = [begun] if keep else []
        left = length - len(begun)
        while left > 0:
            count = await self._receive(opened)
            left -= count
            if keep:
                pieces.append(bytes(self._view[:count]))
        if left < 0:
            raise ValueError("the answer is longer than it says")
        return b"".join(pieces)

    async def _chunks(self, opened: socket.socket, raw: bytearray) -> bytes:
        body = bytearray()
        position = 0
        while True:
            line_end = raw.find(b"\r\n", position)
            if line_end >= 0:
                size = int(raw[position:line_end].split(b";")[0], 16)
                end = line_end + 2 + size + 2
                if len(raw) >= end:
                    body += raw[line_end + 2 : end - 2]
                    position = end
                    if not size:
                        return bytes(body)
                    continue
            count = await self._receive(opened)
            raw += self._view[:count]


def _parse(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    first, *lines = head.split(b"\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    return int(first.split(b" ", 2)[1]), headers

"""A server on the loopback for one test, and a client that speaks raw bytes to it."""

import asyncio
import contextlib
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from rustfs.http.limits import Limits
from rustfs.http.messages import HttpError, Request, Response
from rustfs.http.server import HttpServer

TEST_SECONDS_MAX = 20.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def end_sending(self) -> None:
        self.writer.write_eof()

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = [line.split(": ", 1) for line in lines[1:-2]]
        headers = {name.lower(): value for name, value in fields}
        assert len(headers) == len(fields), fields
        return int(lines[0].split(" ")[1]), headers

    async def answer(self, *, head_only: bool = False) -> Answer:
        """The next answer, framed as its head says."""
        status, headers = await self.head()
        if head_only or status in (100, 204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.reader.readline(), 16):
                body += await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
        elif "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
        else:
            body = await self.reader.read()
        return Answer(status, headers, body)

    async def ask(self, data: bytes) -> Answer:
        await self.send(data)
        return await self.answer(head_only=data.startswith(b"HEAD "))

    async def rest(self) -> bytes:
        """All that comes until the server ends the connection; a reset is an end, too."""
        data = b""
        with contextlib.suppress(ConnectionError):
            while piece := await self.reader.read(1 << 16):
                data += piece
        return data

    def close(self) -> None:
        self.writer.close()


@dataclass
class Serving:
    server: HttpServer
    port: int
    clients: list[Client] = field(default_factory=list)
    refused: list[tuple[HttpError, Request | None]] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)

    async def client(self, *, socket_buffer_bytes: int = 0, trust: ssl.SSLContext | None = None) -> Client:
        """A new connection, over TLS if it trusts; with a size, the kernel keeps little of what is not read."""
        sock = socket.socket()
        if socket_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, socket_buffer_bytes)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        except OSError:
            sock.close()
            raise
        client = Client(
            *await asyncio.open_connection(sock=sock, ssl=trust, server_hostname="localhost" if trust else None)
        )
        self.clients.append(client)
        return client


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[Request], Awaitable[Response]],
    limits: Limits | None = None,
    *,
    socket_buffer_bytes: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Serving]:
    refused: list[tuple[HttpError, Request | None]] = []
    failed: list[BaseException] = []

    def on_refused(error: HttpError, request: Request | None) -> Response:
        refused.append((error, request))
        return Response(error.status, [], error.reason.encode())

    def on_error(_request: Request, error: BaseException) -> Response:
        failed.append(error)
        return Response(500, [], b"failed")

    mishaps: list[dict[str, object]] = []  # what the loop caught: an exception in the protocol, or one never retrieved
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: mishaps.append(context))
    server = HttpServer(handler, limits or Limits(), on_refused, on_error)
    sock = socket.socket()
    if socket_buffer_bytes:  # for all connections: the kernel hands it on to what it accepts
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, socket_buffer_bytes)
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    await server.start(sock, tls)
    held = Serving(server, port, refused=refused, failed=failed)
    try:
        async with asyncio.timeout(TEST_SECONDS_MAX):
            yield held
    finally:
        for client in held.clients:
            client.close()
        await server.stop(0.0)
    assert server.connections == 0
    assert server.requests_in_flight == 0
    gc.collect()
    assert mishaps == []


async def read_all(request: Request, limit_bytes: int = 1 << 20) -> bytes:
    data = b""
    while piece := await request.body.read(limit_bytes):
        assert len(piece) <= limit_bytes
        data += piece
    return data


async def echo(request: Request) -> Response:
    """What came, sent back: the body, and in headers the rest."""
    seen = [("x-method", request.method), ("x-path", request.path), ("x-query", request.query)]
    return Response(200, seen, await read_all(request))


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition` holds; the test's deadline bounds it."""
    while not condition():
        await asyncio.sleep(0.001)

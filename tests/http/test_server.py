"""Starting and stopping."""

import asyncio
import socket
import tempfile

import pytest

from rustfs.http.limits import Limits
from rustfs.http.messages import Request, Response
from rustfs.http.server import HttpServer
from tests.http.serving import Client, echo, serving, until

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def test_stop_closes_idle_connections_and_finishes_what_is_in_flight(run):
    go = asyncio.Event()

    async def handler(request: Request) -> Response:
        await go.wait()
        return await echo(request)

    async def main():
        async with serving(handler) as held:
            idle, busy, late = await held.client(), await held.client(), await held.client()
            await busy.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe")
            await late.send(GET[:-2])
            await until(lambda: held.server.requests_in_flight == 1 and held.server.connections == 3)
            await asyncio.sleep(0.01)
            stopping = asyncio.create_task(held.server.stop(10.0))
            assert await idle.rest() == b""
            with pytest.raises(ConnectionRefusedError):
                await held.client()
            assert not stopping.done()
            go.set()
            answer = await busy.ask(b"llo")
            assert (answer.headers["connection"], answer.body) == ("close", b"hello")
            assert await busy.rest() == b""
            answer = await late.ask(b"\r\n")
            assert answer.headers["connection"] == "close"
            assert await late.rest() == b""
            await stopping
            assert held.server.connections == 0

    run(main())


def test_stop_ends_a_connection_whose_unread_body_has_come(run):
    async def handler(_request: Request) -> Response:
        return Response(200, [], b"early")

    async def main():
        async with serving(handler) as held:
            client = await held.client()
            answer = await client.ask(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe")
            assert "connection" not in answer.headers
            stopping = asyncio.create_task(held.server.stop(30.0))
            await asyncio.sleep(0)
            await client.send(b"llo")
            assert await client.rest() == b""
            await stopping

    run(main())


def test_stop_aborts_what_outlasts_the_grace(run):
    cancelled = asyncio.Event()

    async def handler(_request: Request) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cancelled.set()
        return Response(200)

    async def main():
        async with serving(handler) as held:
            client = await held.client()
            await client.send(GET)
            await until(lambda: held.server.requests_in_flight == 1)
            await held.server.stop(0.01)
            assert cancelled.is_set()
            assert held.server.requests_in_flight == 0
            assert await client.rest() == b""

    run(main())


def test_one_server_listens_on_several_sockets(run):
    async def main():
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/s"
            server = HttpServer(echo, Limits(), lambda e, _r: Response(e.status), lambda _r, _e: Response(500))
            local, loopback = socket.socket(socket.AF_UNIX), socket.socket()
            local.bind(path)
            loopback.bind(("127.0.0.1", 0))
            port = loopback.getsockname()[1]
            await server.start([local, loopback])
            one = Client(*await asyncio.open_unix_connection(path))
            other = Client(*await asyncio.open_connection("127.0.0.1", port))
            assert (await one.ask(GET)).status == 200
            assert (await other.ask(GET)).status == 200
            assert server.connections == 2
            await server.stop(1.0)
            for client in (one, other):
                assert await client.rest() == b""
                client.close()

    run(main())

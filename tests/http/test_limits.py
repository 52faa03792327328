"""What happens to clients that take too long or come in too great numbers."""

import asyncio

import pytest

from rustfs.http.limits import Limits
from rustfs.http.messages import BodyBroken, Request, Response
from tests.http.serving import echo, serving, until

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def test_an_idle_connection_is_closed_quietly(run):
    async def main():
        async with serving(echo, Limits(idle_seconds=0.05)) as held:
            fresh, used = await held.client(), await held.client()
            assert (await used.ask(GET)).status == 200
            assert await fresh.rest() == b""
            assert await used.rest() == b""
            assert held.refused == []

    run(main())


def test_a_slow_head_is_refused(run):
    async def main():
        async with serving(echo, Limits(head_seconds=0.05)) as held:
            client = await held.client()
            await client.send(GET[:-2])
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (408, "close")
            assert await client.rest() == b""

    run(main())


def test_empty_lines_do_not_keep_a_connection(run):
    async def main():
        async with serving(echo, Limits(idle_seconds=0.1)) as held:
            client = await held.client()
            await client.send(b"\r\n\r\n")
            assert await client.rest() == b""

    run(main())


@pytest.mark.parametrize("framing", [b"Content-Length: 10\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nA\r\n"])
def test_a_stalled_body_breaks(run, framing):
    async def main():
        async with serving(echo, Limits(body_stall_seconds=0.05)) as held:
            client = await held.client()
            answer = await client.ask(b"PUT / HTTP/1.1\r\nHost: h\r\n" + framing + b"hello")
            assert (answer.status, answer.headers["connection"]) == (408, "close")
            [(error, _)] = held.refused
            assert isinstance(error, BodyBroken)
            assert await client.rest() == b""

    run(main())


def test_a_handler_that_takes_its_time_is_no_stalled_client(run):
    swept = asyncio.Event()

    async def handler(request: Request) -> Response:
        await request.body.read(5)
        asyncio.get_running_loop().call_later(0.2, swept.set)
        await swept.wait()
        return Response(200, [], bytes(await request.body.read(5)))

    async def main():
        async with serving(handler, Limits(body_stall_seconds=0.05, idle_seconds=0.05, head_seconds=0.05)) as held:
            client = await held.client()
            answer = await client.ask(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhelloworld")
            assert answer.body == b"world"

    run(main())


def test_a_client_that_takes_nothing_is_cut_off(run):
    told: list[tuple[int, bool]] = []

    async def handler(_request: Request) -> Response:
        async def pieces():
            while True:
                yield bytes(1 << 20)

        return Response(200, [], pieces(), finished=lambda sent, complete: told.append((sent, complete)))

    async def main():
        async with serving(handler, Limits(write_stall_seconds=0.2)) as held:
            client = await held.client()
            client.writer.transport.pause_reading()
            await client.send(GET)
            await until(lambda: held.server.connections == 1)
            await until(lambda: held.server.connections == 0)
            await until(lambda: bool(told))
            assert not told[0][1]

    run(main())


def test_a_client_that_takes_no_whole_answer_is_cut_off_after_the_exchange(run):
    async def handler(_request: Request) -> Response:
        return Response(200, [], bytes(1 << 20))

    async def main():
        async with serving(handler, Limits(write_stall_seconds=0.2)) as held:
            client = await held.client()
            client.writer.transport.pause_reading()
            await client.send(GET * 16)
            await until(lambda: held.server.connections == 1)
            await until(lambda: held.server.connections == 0)

    run(main())


def test_an_unread_body_that_does_not_come_ends_the_connection(run):
    async def handler(_request: Request) -> Response:
        return Response(200, [], b"early")

    async def main():
        async with serving(handler, Limits(drain_seconds=0.05)) as held:
            client = await held.client()
            answer = await client.ask(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n")
            assert answer.body == b"early"
            assert await client.rest() == b""

    run(main())


def test_a_client_that_goes_on_sending_after_the_end_is_cut_off(run):
    async def main():
        async with serving(echo, Limits(drain_bytes_max=1000)) as held:
            client = await held.client()
            assert (await client.ask(b"nonsense\r\n\r\n")).status == 501

            async def send_on() -> None:
                while True:
                    await client.send(bytes(1000))
                    await asyncio.sleep(0)

            with pytest.raises(ConnectionError):
                await send_on()
            await until(lambda: held.server.connections == 0)

    run(main())


def test_connections_beyond_the_limit_are_turned_away(run):
    async def main():
        async with serving(echo, Limits(connections_max=2)) as held:
            first, second = await held.client(), await held.client()
            assert (await first.ask(GET)).status == 200
            assert (await second.ask(GET)).status == 200
            third = await held.client()
            answer = await third.answer()
            assert (answer.status, answer.headers["connection"]) == (503, "close")
            assert await third.rest() == b""
            first.close()
            third.close()
            await until(lambda: held.server.connections == 1)
            fourth = await held.client()
            assert (await fourth.ask(GET)).status == 200

    run(main())

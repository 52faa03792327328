"""The server over TLS: what differs from plain sockets, and that the rest does not."""

import asyncio
import logging
import ssl

import pytest
import trustme

from rustfs.http.limits import Limits
from rustfs.http.messages import BodyBroken, Request, Response
from tests.certificates import client_context, server_context
from tests.http.serving import echo, read_all, serving, until

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
LARGE_BYTES = 24 << 20


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority):
    return server_context(authority)


@pytest.fixture(scope="module")
def trust(authority):
    return client_context(authority)


async def scheme(request: Request) -> Response:
    return Response(200, [], request.scheme.encode())


def test_requests_follow_one_another_on_one_connection_and_know_their_scheme(run, tls, trust):
    async def main():
        async with serving(scheme, tls=tls) as held:
            client = await held.client(trust=trust)
            for _ in range(3):
                assert (await client.ask(GET)).body == b"https"
            assert held.server.connections == 1
        async with serving(scheme) as held:
            assert (await (await held.client()).ask(GET)).body == b"http"

    run(main())


def test_requests_sent_ahead_are_answered_in_order(run, tls, trust):
    async def main():
        async with serving(echo, tls=tls) as held:
            client = await held.client(trust=trust)
            requests = [b"PUT /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n%03d" % (n, n) for n in range(50)]
            await client.send(b"".join(requests))
            for number in range(50):
                answer = await client.answer()
                assert (answer.headers["x-path"], answer.body) == (f"/{number}", b"%03d" % number)

    run(main())


def test_large_bodies_travel_both_ways(run, tls, trust):
    content = bytes(range(251)) * (LARGE_BYTES // 251)

    async def handler(request: Request) -> Response:
        received = await read_all(request)

        async def pieces():
            for start in range(0, len(received), 1 << 20):
                piece = memoryview(received)[start : start + (1 << 20)]
                yield [piece[:1000], piece[1000:]]

        return Response(200, [], pieces(), length_bytes=len(received))

    async def main():
        async with serving(handler, tls=tls) as held:
            client = await held.client(trust=trust)
            for _ in range(2):
                head = b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(content)
                answer = await client.ask(head + content)
                assert answer.body == content

    run(main())


def test_a_client_that_does_not_read_is_not_written_to_without_bound(run, tls, trust):
    yielded = 0

    async def handler(_request: Request) -> Response:
        async def pieces():
            nonlocal yielded
            while True:
                yielded += 1
                yield bytes(1 << 20)

        return Response(200, [], pieces())

    async def main():
        async with serving(handler, Limits(write_stall_seconds=0.3), tls=tls, socket_buffer_bytes=1 << 16) as held:
            client = await held.client(trust=trust, socket_buffer_bytes=1 << 16)
            client.writer.transport.pause_reading()
            await client.send(GET)
            await until(lambda: held.server.connections == 1)
            await until(lambda: held.server.connections == 0)
            assert 1 <= yielded <= 12
            client.writer.transport.abort()

    run(main())


def test_a_body_that_nobody_reads_stops_the_reading(run, tls, trust):
    go = asyncio.Event()

    async def handler(request: Request) -> Response:
        await go.wait()
        return Response(200, [], b"%d" % len(await read_all(request)))

    async def main():
        async with serving(handler, tls=tls) as held:
            client = await held.client(trust=trust)
            head = b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % LARGE_BYTES
            sending = asyncio.create_task(client.send(head + bytes(LARGE_BYTES)))
            await until(lambda: held.server.requests_in_flight == 1)
            [connection] = held.server._connections
            await until(lambda: connection._paused)
            assert connection._body._buffered_bytes < 4 << 20
            go.set()
            assert (await client.answer()).body == b"%d" % LARGE_BYTES
            await sending

    run(main())


def test_plain_http_is_cut_off_without_noise(run, tls, caplog):
    caplog.set_level(logging.INFO)

    async def main():
        async with serving(echo, tls=tls) as held:
            client = await held.client()
            await client.send(GET)
            rest = await client.rest()
            assert not rest.startswith(b"HTTP/")  # at most an alert
            assert held.refused == []

    run(main())
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_a_tls_client_of_a_plain_port_is_told_at_once(run, trust):
    async def main():
        async with serving(echo) as held:
            began = asyncio.get_running_loop().time()
            with pytest.raises(ssl.SSLError):
                await held.client(trust=trust)
            assert asyncio.get_running_loop().time() - began < 10.0
            [(error, _)] = held.refused
            assert error.status == 400

    run(main())


def test_a_handshake_that_does_not_come_is_cut_off(run, tls):
    async def main():
        async with serving(echo, Limits(handshake_seconds=0.1), tls=tls) as held:
            client = await held.client()
            assert await client.rest() == b""

    run(main())


def test_a_client_that_ends_inside_its_body_is_gone_and_asyncio_has_nothing_to_say(run, tls, trust, caplog):
    seen: list[BaseException] = []

    async def handler(request: Request) -> Response:
        try:
            await read_all(request)
        except BaseException as error:
            seen.append(error)
            raise
        return Response(200)

    async def main():
        async with serving(handler, tls=tls) as held:
            client = await held.client(trust=trust)
            await client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello")
            await until(lambda: held.server.requests_in_flight == 1)
            client.close()
            await until(lambda: held.server.connections == 0 and held.server.requests_in_flight == 0)

    run(main())
    assert isinstance(seen[0], BodyBroken | asyncio.CancelledError)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_a_refused_upload_gets_its_answer_while_the_client_goes_on_sending(run, tls, trust):
    async def handler(_request: Request) -> Response:
        return Response(403, [], b"no", close=True)

    async def main():
        async with serving(handler, tls=tls) as held:
            client = await held.client(trust=trust)
            await client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n")
            await until(lambda: held.server.requests_in_flight == 0)
            for _ in range(8):
                await client.send(bytes(1 << 16))
            answer = await client.answer()
            assert (answer.status, answer.body, answer.headers["connection"]) == (403, b"no", "close")
            client.close()
            await until(lambda: held.server.connections == 0)

    run(main())


def test_an_idle_client_that_does_not_answer_the_end_does_not_hold_up_the_stop(run, tls, trust):
    async def main():
        async with serving(echo, Limits(goodbye_seconds=0.2), tls=tls) as held:
            client = await held.client(trust=trust)
            assert (await client.ask(GET)).status == 200
            client.writer.transport.pause_reading()
            began = asyncio.get_running_loop().time()
            await held.server.stop(15.0)
            assert held.server.connections == 0
            assert asyncio.get_running_loop().time() - began < 8.0
            client.writer.transport.abort()

    run(main())


def test_a_slow_client_gets_all_of_its_last_answer(run, tls, trust):
    size_bytes = 2 << 20

    async def handler(_request: Request) -> Response:
        return Response(200, [], bytes(size_bytes), close=True)

    async def main():
        limits = Limits(goodbye_seconds=0.2, idle_seconds=0.4)
        async with serving(handler, limits, tls=tls, socket_buffer_bytes=1 << 14) as held:
            client = await held.client(trust=trust, socket_buffer_bytes=1 << 14)
            client.writer.transport.pause_reading()
            await client.send(GET)
            await until(lambda: held.server.connections == 1 and held.server.requests_in_flight == 0)
            [connection] = held.server._connections
            await until(lambda: not connection.open)
            renewed_seconds = connection._deadline_seconds
            await until(lambda: connection._deadline_seconds > renewed_seconds)  # its time was up, and it was spared
            client.writer.transport.resume_reading()
            assert len((await client.answer()).body) == size_bytes

    run(main())

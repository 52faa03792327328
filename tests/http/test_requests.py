"""How requests come in: framing, order, flow control, and what is refused."""

import asyncio
import socket
import struct

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.http.connection import Connection, Phase
from rustfs.http.limits import Limits
from rustfs.http.messages import BodyBroken, Request, Response
from tests.http.serving import echo, read_all, serving, until

PUT = b"PUT /bucket/a%20key?x=1&y HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET /bucket HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = (
    b"PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;ext=1\r\nhello\r\nA\r\n, chunks! \r\n0\r\nTrailer: x\r\n\r\n"
)


@pytest.mark.parametrize(("message", "body"), [(PUT, b"hello"), (CHUNKED, b"hello, chunks! ")])
def test_a_request_may_come_in_any_two_parts(run, message, body):
    async def main():
        async with serving(echo) as held:
            client = await held.client()
            for cut in range(1, len(message)):
                await client.send(message[:cut])
                await asyncio.sleep(0)
                answer = await client.ask(message[cut:])
                assert (answer.status, answer.body) == (200, body), cut
            assert held.server.connections == 1

    run(main())


def test_a_request_may_come_byte_by_byte(run):
    async def main():
        async with serving(echo) as held:
            client = await held.client()
            for index in range(len(CHUNKED)):
                await client.send(CHUNKED[index : index + 1])
                await asyncio.sleep(0)
            assert (await client.answer()).body == b"hello, chunks! "

    run(main())


def test_target_headers_and_peer_reach_the_handler_as_they_came(run):
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(204)

    async def main():
        async with serving(handler) as held:
            client = await held.client()
            await client.ask(
                b"GET /b/%C3%A4?q=%20&r HTTP/1.1\r\nHost: h\r\nX-A: \xc3\xa4 \t\r\nx-a: 2\r\nX-Empty:\r\n\r\n"
            )

    run(main())
    [request] = seen
    assert (request.method, request.path, request.query) == ("GET", "/b/%C3%A4", "q=%20&r")
    assert list(request.headers) == [("host", "h"), ("x-a", "\xc3\xa4"), ("x-a", "2"), ("x-empty", "")]
    assert request.peer == "127.0.0.1"
    assert request.body.length_bytes == 0
    assert request.started_seconds > 0


def test_pipelined_requests_are_answered_one_at_a_time_in_order(run):
    running = 0

    async def handler(request: Request) -> Response:
        nonlocal running
        running += 1
        assert running == 1
        body = await read_all(request)
        await asyncio.sleep(0)
        running -= 1
        return Response(200, [("x-path", request.path)], body)

    async def main():
        async with serving(handler) as held:
            client = await held.client()
            many = 400
            await client.send(
                b"".join(
                    b"PUT /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n" % i + bytes([i % 256]) * 1000
                    for i in range(many)
                )
            )
            for i in range(many):
                answer = await client.answer()
                assert (answer.headers["x-path"], answer.body) == (f"/{i}", bytes([i % 256]) * 1000)

    run(main())


def test_what_is_sent_ahead_of_a_slow_answer_is_not_read_without_bound(run):
    go = asyncio.Event()
    calls = 0

    async def handler(_request: Request) -> Response:
        nonlocal calls
        calls += 1
        await go.wait()
        return Response(204)

    async def main():
        async with serving(handler) as held:
            client = await held.client()
            count = 400_000  # 14 MB: more than both sockets hold
            sender = asyncio.create_task(client.send(GET * count))
            await until(lambda: calls == 1)
            [connection] = held.server._connections
            await until(lambda: connection._paused)
            assert len(connection._ahead) < 1 << 20
            assert not sender.done()
            sender.cancel()
            go.set()
            await client.answer()
            client.writer.transport.abort()

    run(main())


def test_a_body_nobody_reads_stops_the_reading_and_reading_it_goes_on(run):
    go = asyncio.Event()
    total = 12 << 20

    async def handler(request: Request) -> Response:
        await go.wait()
        size = 0
        while piece := await request.body.read(300_000):
            assert len(piece) <= 300_000
            size += len(piece)
        return Response(200, [], str(size).encode())

    async def main():
        async with serving(handler) as held:
            client = await held.client()
            await client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % total)
            sender = asyncio.create_task(client.send(bytes(total)))
            await until(lambda: held.server.requests_in_flight == 1)
            [connection] = held.server._connections
            await until(lambda: connection._paused)
            assert connection._body._buffered_bytes < 2 << 20
            go.set()
            await sender
            assert (await client.answer()).body == str(total).encode()

    run(main())


def test_a_read_returns_at_most_its_limit(run):
    async def handler(request: Request) -> Response:
        sizes = []
        while piece := await request.body.read(3):
            sizes.append(len(piece))
        return Response(200, [], repr(sizes).encode())

    async def main():
        async with serving(handler) as held:
            client = await held.client()
            assert (await client.ask(PUT)).body == b"[3, 2]"
            assert (await client.ask(CHUNKED)).body == b"[3, 3, 3, 3, 3]"

    run(main())


def test_100_continue_is_sent_when_the_body_is_first_read_and_only_then(run):
    refuse = asyncio.Event()

    async def handler(request: Request) -> Response:
        if request.path == "/refuse":
            refuse.set()
            return Response(403, [], b"no")
        return Response(200, [], await read_all(request))

    head = b"PUT %s HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n"

    async def main():
        async with serving(handler) as held:
            client = await held.client()
            await client.send(head % b"/take")
            assert await client.head() == (100, {})
            answer = await client.ask(b"hello")
            assert (answer.status, answer.body) == (200, b"hello")
            # A body that is already here needs no invitation.
            assert (await client.ask(head % b"/take" + b"hello")).body == b"hello"
            # What the client will do with the body it holds back cannot be known: the connection ends.
            answer = await client.ask(head % b"/refuse")
            assert (answer.status, answer.headers["connection"]) == (403, "close")
            assert await client.rest() == b""

    run(main())


def test_an_unread_body_is_drained_and_the_connection_serves_on(run):
    async def handler(request: Request) -> Response:
        return Response(200, [("x-path", request.path)], b"")

    async def main():
        async with serving(handler) as held:
            client = await held.client()
            answer = await client.ask(b"PUT /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + bytes(5))
            assert "connection" not in answer.headers
            answer = await client.ask(bytes(99_995) + b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
            assert answer.headers["x-path"] == "/2"
            answer = await client.ask(CHUNKED + GET)
            assert answer.headers["x-path"] == "/c"
            assert (await client.answer()).headers["x-path"] == "/bucket"
            assert held.server.connections == 1

    run(main())


def test_a_long_unread_body_ends_the_connection_after_the_answer(run):
    async def handler(_request: Request) -> Response:
        return Response(403, [], b"no")

    async def main():
        async with serving(handler, Limits(drain_bytes_max=1000)) as held:
            client = await held.client()
            answer = await client.ask(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1011\r\n\r\n" + bytes(10))
            assert (answer.status, answer.headers["connection"], answer.body) == (403, "close", b"no")
            assert await client.rest() == b""
            # A chunked body says nothing of its length: its answer stands, and it is cut off when it is too long.
            client = await held.client()
            await client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + b"A\r\n")
            assert (await client.answer()).status == 403
            await client.send(b"0123456789\r\n" + b"A\r\n0123456789\r\n" * 200)
            assert await client.rest() == b""

    run(main())


def test_a_client_that_still_sends_when_the_connection_ends_gets_its_answer(run):
    async def handler(_request: Request) -> Response:
        return Response(403, [], b"no", close=True)

    async def main():
        async with serving(handler) as held:
            client = await held.client()
            await client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 600000\r\n\r\n")
            await until(lambda: held.server.connections == 1)
            [connection] = held.server._connections
            await until(lambda: connection._phase is Phase.LINGER)
            for _ in range(6):
                await client.send(bytes(100_000))
                await until(lambda: held.server.connections == 1)
            assert (await client.answer()).body == b"no"
            client.close()
            await until(lambda: held.server.connections == 0)

    run(main())


def test_a_client_that_resets_the_connection_right_after_its_answer_harms_nothing(run, monkeypatch):
    async def handler(_request: Request) -> Response:
        return Response(403, [], b"no", close=True)

    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            leave = Connection._leave

            def reset_and_leave(connection: Connection) -> None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()  # the answer is sent; of the reset the loop learns later
                leave(connection)

            async with serving(handler) as held:
                monkeypatch.setattr(Connection, "_leave", reset_and_leave)
                client.setblocking(False)
                await loop.sock_connect(client, ("127.0.0.1", held.port))
                await loop.sock_sendall(client, b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 600000\r\n\r\n")
                await until(lambda: client.fileno() < 0 and held.server.connections == 0)
                monkeypatch.undo()
                assert (await (await held.client()).ask(GET)).status == 403
                assert held.failed == []

    run(main())


@pytest.mark.parametrize(
    "message",
    [
        b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello",
        b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhello",
        b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
def test_a_body_that_ends_early_breaks_after_what_came_and_can_still_be_answered(run, message):
    got: list[bytes] = []

    async def handler(request: Request) -> Response:
        while piece := await request.body.read(100):
            got.append(bytes(piece))
        return Response(200)

    async def main():
        async with serving(handler) as held:
            client = await held.client()
            await client.send(message)
            client.end_sending()
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (400, "close")
            assert await client.rest() == b""
            [(error, request)] = held.refused
            assert isinstance(error, BodyBroken)
            assert request is not None
            assert b"".join(got) == b"hello"

    run(main())


def test_broken_chunks_break_the_body(run):
    async def main():
        async with serving(echo) as held:
            client = await held.client()
            answer = await client.ask(
                b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!!\r\n0\r\n\r\n"
            )
            assert (answer.status, answer.headers["connection"]) == (400, "close")
            assert await client.rest() == b""

    run(main())


def test_a_client_that_leaves_cancels_its_request(run):
    waiting, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        await read_all(request)
        waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Response(200)

    async def main():
        for message in (GET, PUT):
            for leave in ("close", "abort"):
                waiting.clear()
                cancelled.clear()
                async with serving(handler) as held:
                    client = await held.client()
                    await client.send(message)
                    await waiting.wait()
                    assert held.server.requests_in_flight == 1
                    getattr(client.writer.transport, leave)()
                    await cancelled.wait()
                    await until(lambda: held.server.connections == 0)
                    assert held.server.requests_in_flight == 0
                    assert held.failed == []

    run(main())


def test_a_client_that_is_gone_at_once_leaves_nothing_behind(run):
    async def main():
        async with serving(echo) as held:
            for _ in range(20):
                client = await held.client()
                await client.send(GET + PUT)
                client.writer.transport.abort()
            await until(lambda: held.server.connections == 0)
            assert held.server.requests_in_flight == 0

    run(main())


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * (16 << 10), 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * (16 << 10) + b"\r\n\r\n", 431),
        (b"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 501),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(run, message, status):
    async def main():
        async with serving(echo) as held:
            client = await held.client()
            answer = await client.ask(message)
            assert (answer.status, answer.headers["connection"]) == (status, "close")
            assert await client.rest() == b""
            assert [request for _, request in held.refused] == [None]

    run(main())


def test_a_refusal_after_a_good_request_does_not_overtake_its_answer(run):
    async def main():
        async with serving(echo) as held:
            client = await held.client()
            await client.send(PUT + b"nonsense\r\n\r\n")
            assert (await client.answer()).body == b"hello"
            assert (await client.answer()).status == 501
            assert await client.rest() == b""

    run(main())


def test_http10_closes_unless_asked_to_keep_the_connection(run):
    async def main():
        async with serving(echo) as held:
            client = await held.client()
            answer = await client.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert answer.headers["connection"] == "keep-alive"
            answer = await client.ask(b"GET / HTTP/1.0\r\n\r\n")
            assert answer.headers["connection"] == "close"
            assert await client.rest() == b""
            client = await held.client()
            answer = await client.ask(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Close\r\n\r\n")
            assert answer.headers["connection"] == "close"
            assert await client.rest() == b""

    run(main())


def test_two_readers_of_one_body_are_an_error(run):
    async def handler(request: Request) -> Response:
        async with asyncio.TaskGroup() as group:
            group.create_task(request.body.read(1))
            group.create_task(request.body.read(1))
        return Response(200)

    async def main():
        async with serving(handler) as held:
            client = await held.client()
            answer = await client.ask(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
            assert answer.status == 500

    run(main())


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_whatever_comes_is_answered_or_cut_off_and_the_server_lives(data):
    message = bytearray(data.draw(st.sampled_from([PUT, CHUNKED, GET + PUT])))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(message)))
        message[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b"\r\n", b"\n", b" ", b":", b"\0", b"\r\n\r\n", b"0"]))
        )

    async def main():
        async with serving(echo) as held:
            client = await held.client()
            await client.send(bytes(message))
            client.end_sending()
            data = await client.rest()
            assert data == b"" or data.startswith(b"HTTP/1.1 ")
            assert held.failed == []
            assert (await (await held.client()).ask(PUT)).body == b"hello"

    uvloop.run(main())

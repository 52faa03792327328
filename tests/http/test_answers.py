"""How answers go out: framing, streams, backpressure, and what a client sees when one fails."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from rustfs.core.buffers import Buffer
from rustfs.http.limits import Limits
from rustfs.http.messages import BodyBroken, HttpError, Request, Response
from tests.http.serving import Serving, read_all, serving, until

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"


class Told:
    """What `finished` was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, bool]] = []

    def __call__(self, sent_bytes: int, complete: bool) -> None:
        self.calls.append((sent_bytes, complete))


class Stream:
    """Pieces, and whether they were closed."""

    def __init__(self, *pieces: Buffer | list[Buffer] | Exception) -> None:
        self.pieces = pieces
        self.closed = 0
        self.asked = 0

    def __aiter__(self) -> AsyncIterator[Buffer | list[Buffer]]:
        return self

    async def __anext__(self) -> Buffer | list[Buffer]:
        if self.asked == len(self.pieces):
            raise StopAsyncIteration
        piece = self.pieces[self.asked]
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def aclose(self) -> None:
        self.closed += 1


def answering(make):
    async def handler(request: Request) -> Response:
        await read_all(request)
        return make()

    return handler


def scenario(run, make, script):
    """Serve what `make` makes, and run `script` with a client."""

    async def main():
        async with serving(answering(make)) as held:
            await script(held, await held.client())

    run(main())


def test_the_head_carries_what_the_server_owns(run):
    async def script(_held, client):
        answer = await client.ask(GET)
        assert answer.headers.pop("server") == "RustFS"
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.headers.pop("date"))
        assert answer.headers == {"content-length": "2", "x-amz-meta-a": "\xe4"}
        assert answer.body == b"ok"

    scenario(run, lambda: Response(200, [("x-amz-meta-a", "\xe4")], b"ok"), script)


@pytest.mark.parametrize("size", [0, 1, 70_000, 5 << 20])
def test_bodies_of_bytes(run, size):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    told = Told()

    async def script(_held, client):
        assert (await client.ask(GET)).body == body
        answer = await client.ask(HEAD)
        assert answer.headers["content-length"] == str(size)
        assert (await client.ask(GET)).body == body
        assert told.calls == [(size, True), (0, True), (size, True)]

    scenario(run, lambda: Response(200, [], body, finished=told), script)


def test_a_stream_of_known_length(run):
    stream = Stream(b"ab", [bytearray(b"cd"), memoryview(b"ef")], b"", [], b"g")
    told = Told()

    async def script(_held, client):
        answer = await client.ask(GET)
        assert answer.headers["content-length"] == "7"
        assert answer.body == b"abcdefg"
        await until(lambda: bool(told.calls))
        assert (told.calls, stream.closed) == ([(7, True)], 1)

    scenario(run, lambda: Response(200, [], stream, length_bytes=7, finished=told), script)


def test_a_stream_of_unknown_length_is_chunked_or_ends_with_the_connection(run):
    async def script(held, client):
        answer = await client.ask(GET)
        assert answer.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in answer.headers
        assert answer.body == b"abcdefg"
        client = await held.client()
        answer = await client.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert answer.headers["connection"] == "close"
        assert "transfer-encoding" not in answer.headers
        assert answer.body == b"abcdefg"

    scenario(run, lambda: Response(200, [], Stream(b"ab", b"", [b"cd", b"ef"], [], b"g")), script)


def test_an_empty_stream_is_an_empty_body(run):
    async def script(_held, client):
        assert (await client.ask(GET)).body == b""
        assert (await client.ask(GET)).body == b""

    lengths = iter([None, 0])
    scenario(run, lambda: Response(200, [], Stream(), length_bytes=next(lengths)), script)


def test_head_keeps_the_length_and_closes_the_stream_unread(run):
    stream = Stream(b"abc")
    responses = iter([Response(200, [], stream, length_bytes=3), Response(200, [], b"", length_bytes=12345)])

    async def script(_held, client):
        assert (await client.ask(HEAD)).headers["content-length"] == "3"
        assert (await client.ask(HEAD)).headers["content-length"] == "12345"
        assert (stream.asked, stream.closed) == (0, 1)

    scenario(run, lambda: next(responses), script)


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body_and_no_length(run, status):
    async def script(_held, client):
        for _ in range(2):
            answer = await client.ask(GET)
            assert answer.status == status
            assert not {"content-length", "transfer-encoding"} & set(answer.headers)

    scenario(run, lambda: Response(status, [], b"dropped"), script)


@pytest.mark.parametrize(
    ("stream", "length_bytes", "sent_bytes"),
    [
        ([b"abc", RuntimeError("drive lost")], 10, 3),
        ([b"abc", RuntimeError("drive lost")], None, 3),
        ([b"abc"], 10, 3),
        ([b"abc", b"defghijkl"], 10, 3),
    ],
)
def test_a_stream_that_breaks_off_leaves_the_client_a_short_body(run, stream, length_bytes, sent_bytes):
    pieces = Stream(*stream)
    told = Told()

    async def script(held, client):
        await client.send(GET)
        data = await client.rest()
        assert data.startswith(b"HTTP/1.1 200") or data == b""
        if length_bytes is None:
            assert not data.endswith(b"0\r\n\r\n")
        else:
            assert len(data.partition(b"\r\n\r\n")[2]) < length_bytes
        await until(lambda: bool(told.calls))
        assert (told.calls, pieces.closed) == ([(sent_bytes, False)], 1)
        assert held.failed == []

    scenario(run, lambda: Response(200, [], pieces, length_bytes=length_bytes, finished=told), script)


def test_a_stream_that_breaks_off_does_not_wait_for_a_client_that_takes_nothing(run):
    """What the small socket buffers do not hold is still unsent when the stream breaks off, and is thrown away."""
    told = Told()
    piece, count = bytes(256 << 10), 6  # less than makes the stream wait for the client, far more than buffers hold

    async def main():
        async def handler(_request: Request) -> Response:
            async def pieces() -> AsyncIterator[bytes]:
                for _ in range(count):
                    yield piece
                raise RuntimeError("drive lost")

            return Response(200, [], pieces(), finished=told)

        async with serving(handler, socket_buffer_bytes=32 << 10) as held:
            client = await held.client(socket_buffer_bytes=32 << 10)
            client.writer.transport.pause_reading()
            await client.send(GET)
            await until(lambda: bool(told.calls))
            await until(lambda: held.server.connections == 0)
            client.writer.transport.resume_reading()
            assert len(await client.rest()) < count * len(piece) / 2
        assert told.calls == [(count * len(piece), False)]

    run(main())


@pytest.mark.parametrize(
    "make",
    [
        lambda told: Response(200, [], Stream(RuntimeError("at once")), length_bytes=3, finished=told),
        lambda told: Response(200, [], Stream(b"abcd"), length_bytes=3, finished=told),
        lambda told: Response(200, [], b"abcd", length_bytes=3, finished=told),
        lambda told: Response(200, [("x-a", "1\r\nx-b: 2")], finished=told),
        lambda told: Response(200, [("x-a", "1\n")], finished=told),
        lambda told: Response(200, [("x-a", "1\0")], finished=told),
        lambda told: Response(200, [("x-a: 1\r\nx-b", "2")], finished=told),
        lambda told: Response(200, [("", "2")], finished=told),
        lambda told: Response(200, [("x-a", "\u20ac")], finished=told),
        lambda told: Response(200, [("Content-Length", "2")], finished=told),
        lambda told: Response(100, finished=told),
    ],
)
def test_an_answer_that_fails_before_its_head_becomes_an_error(run, make):
    told = Told()

    async def script(held, client):
        for _ in range(2):
            answer = await client.ask(GET)
            assert (answer.status, answer.body) == (500, b"failed")
        assert len(held.failed) == 2
        assert told.calls == [(0, False)] * 2

    scenario(run, lambda: make(told), script)


def test_what_a_handler_raises_becomes_an_answer(run):
    raised = iter([RuntimeError("bug"), asyncio.CancelledError(), HttpError(416, "odd")])

    async def handler(_request: Request) -> Response:
        raise next(raised)

    async def main():
        async with serving(handler) as held:
            client = await held.client()
            assert (await client.ask(GET)).status == 500
            assert (await client.ask(GET)).status == 500
            answer = await client.ask(GET)
            assert (answer.status, answer.headers["connection"]) == (416, "close")
            assert await client.rest() == b""
            assert [type(error) for error in held.failed] == [RuntimeError, asyncio.CancelledError]
            [(error, request)] = held.refused
            assert (error.status, request.path) == (416, "/")

    run(main())


def test_a_stream_whose_source_broke_before_its_first_piece_is_refused(run):
    async def script(held, client):
        answer = await client.ask(GET)
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        [(error, request)] = held.refused
        assert (error.status, request.path) == (408, "/")

    scenario(run, lambda: Response(200, [], Stream(BodyBroken(408, "stalled"))), script)


def test_an_answer_may_end_the_connection(run):
    async def script(_held, client):
        answer = await client.ask(GET)
        assert (answer.headers["connection"], answer.body) == ("close", b"bye")
        assert await client.rest() == b""

    scenario(run, lambda: Response(200, [], b"bye", close=True), script)


def test_a_long_stream_waits_for_a_slow_client(run):
    size, piece = 64 << 20, bytes(256 << 10)
    made = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(size // len(piece)):
            made += len(piece)
            yield piece

    async def settled() -> None:
        before = -1
        while before != made:
            before = made
            for _ in range(50):
                await asyncio.sleep(0)

    async def script(_held, client):
        client.writer.transport.pause_reading()
        await client.send(GET)
        await until(lambda: made > 0)
        await settled()
        assert made < size // 2  # our queue, both sockets' buffers, and no more
        client.writer.transport.resume_reading()
        await client.head()
        got = 0
        while got < size:
            got += len(await client.reader.read(1 << 20))
        assert made == got == size

    scenario(run, lambda: Response(200, [], pieces(), length_bytes=size), script)


def test_a_client_that_leaves_in_the_middle_closes_the_stream(run):
    closed = asyncio.Event()
    told = Told()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1 << 16)
        finally:
            await asyncio.sleep(0)
            closed.set()

    async def script(held: Serving, client):
        await client.send(GET)
        await client.reader.readexactly(1000)
        client.writer.transport.abort()
        await closed.wait()
        await until(lambda: held.server.connections == 0)
        [(sent_bytes, complete)] = told.calls
        assert sent_bytes > 0
        assert not complete
        assert held.failed == []

    scenario(run, lambda: Response(200, [], pieces(), length_bytes=1 << 40, finished=told), script)


def test_a_body_may_be_answered_while_it_comes(run):
    async def handler(request: Request) -> Response:
        async def back() -> AsyncIterator[Buffer]:
            while piece := await request.body.read(1 << 16):
                yield piece

        return Response(200, [], back(), length_bytes=request.body.length_bytes)

    async def main():
        async with serving(handler) as held:
            client = await held.client()
            await client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello")
            assert (await client.head())[1]["content-length"] == "10"
            assert await client.reader.readexactly(5) == b"hello"
            await client.send(b"world")
            assert await client.reader.readexactly(5) == b"world"
            assert (await client.ask(GET)).body == b""

    run(main())


@pytest.mark.parametrize("when", ["at once", "when the body fills its buffer"])
def test_an_early_answer_lets_a_client_that_sends_before_it_reads_get_through(run, when):
    go = asyncio.Event()

    async def handler(_request: Request) -> Response:
        await go.wait()
        return Response(200, [], bytes(8 << 20))

    async def main():
        async with serving(handler, Limits(drain_bytes_max=64 << 20)) as held:
            client = await held.client()
            client.writer.transport.pause_reading()
            size = 24 << 20
            await client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % size)
            await until(lambda: held.server.requests_in_flight == 1)
            sender = asyncio.create_task(client.send(bytes(size) + b"\r\n0\r\n\r\n"))
            if when != "at once":
                [connection] = held.server._connections
                await until(lambda: connection._paused)
            go.set()
            await sender
            client.writer.transport.resume_reading()
            assert len((await client.answer()).body) == 8 << 20

    run(main())

"""Request heads, by the letter."""

import pytest

from rustfs.http.head import parse_head
from rustfs.http.messages import HttpError


def head(line=b"GET / HTTP/1.1", *fields):
    return b"\r\n".join([line, b"Host: h", *fields, b"", b""])


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", ""),
        (b"/b/k%2F?a=b?c", "/b/k%2F", "a=b?c"),
        (b"//b", "//b", ""),
        (b"/?", "/", ""),
        (b"http://host:9000/b/k?q", "/b/k", "q"),
        (b"HTTPS://host", "/", ""),
        (b"http://host?q=/", "/", "q=/"),
    ],
)
def test_targets(target, path, query):
    parsed = parse_head(head(b"GET %s HTTP/1.1" % target))
    assert (parsed.path, parsed.query) == (path, query)


def test_the_asterisk_is_for_options():
    assert parse_head(head(b"OPTIONS * HTTP/1.1")).path == "/"
    with pytest.raises(HttpError):
        parse_head(head(b"GET * HTTP/1.1"))


@pytest.mark.parametrize(
    ("fields", "length_bytes"),
    [
        ([], 0),
        ([b"Content-Length: 0"], 0),
        ([b"Content-Length: 5497558138880"], 5497558138880),
        ([b"Transfer-Encoding: Chunked"], None),
    ],
)
def test_body_lengths(fields, length_bytes):
    assert parse_head(head(b"PUT / HTTP/1.1", *fields)).length_bytes == length_bytes


@pytest.mark.parametrize(
    ("line", "fields", "keep_alive"),
    [
        (b"GET / HTTP/1.1", [], True),
        (b"GET / HTTP/1.1", [b"Connection: TE, Close"], False),
        (b"GET / HTTP/1.1", [b"Connection: TE", b"Connection: close"], False),
        (b"GET / HTTP/1.1", [b"Connection: Upgrade", b"Upgrade: h2c"], True),
        (b"GET / HTTP/1.0", [], False),
        (b"GET / HTTP/1.0", [b"Connection: Keep-Alive"], True),
    ],
)
def test_keeping_the_connection(line, fields, keep_alive):
    assert parse_head(head(line, *fields)).keep_alive is keep_alive


def test_expectations():
    fields = [b"Expect: 100-continue", b"Content-Length: 1"]
    assert parse_head(head(b"PUT / HTTP/1.1", *fields)).expects_continue
    assert not parse_head(head(b"PUT / HTTP/1.0", *fields)).expects_continue
    assert not parse_head(head(b"PUT / HTTP/1.1", b"Expect: 100-continue")).expects_continue


@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        (b"GET / HTTP/1.1", [b"X : 1"], 400),
        (b"GET / HTTP/1.1", [b"X: 1\nY: 2"], 400),
        (b"GET / HTTP/1.1", [b"X: 1\rY: 2"], 400),
        (b"GET / HTTP/1.1", [b"X: 1", b" folded"], 400),
        (b"GET / HTTP/1.1", [b"X: \0"], 400),
        (b"GET / HTTP/1.1", [b": 1"], 400),
        (b"GET /a b HTTP/1.1", [], 400),
        (b"GET / HTTP/1.1 ", [], 400),
        (b"GET x HTTP/1.1", [], 400),
        (b"GET ftp://h/x HTTP/1.1", [], 400),
        (b"CONNECT h:80 HTTP/1.1", [], 400),
        (b"PUT / HTTP/1.1", [b"Content-Length: +5"], 400),
        (b"PUT / HTTP/1.1", [b"Content-Length: 5, 5"], 400),
        (b"PUT / HTTP/1.1", [b"Content-Length: -1"], 400),
        (b"PUT / HTTP/1.1", [b"Content-Length:"], 400),
        (b"PUT / HTTP/1.1", [b"Content-Length: 9999999999999999999"], 400),
        (b"PUT / HTTP/1.1", [b"Content-Length: 99999999999999999999999999"], 400),
        (b"PUT / HTTP/1.1", [b"Transfer-Encoding: chunked", b"Content-Length: 5"], 400),
        (b"PUT / HTTP/1.0", [b"Transfer-Encoding: chunked"], 400),
        (b"PUT / HTTP/1.1", [b"Transfer-Encoding: gzip"], 501),
        (b"PUT / HTTP/1.1", [b"Transfer-Encoding: gzip, chunked"], 501),
        (b"GET / HTTP/2.0", [], 505),
        (b"GET / HTTP/0.9", [], 505),
        (b"GET /", [], 505),
        (b"OPTIONS rtsp://h RTSP/1.0", [], 505),
        (b"get / HTTP/1.1", [], 501),
    ],
)
def test_refusals(line, fields, status):
    with pytest.raises(HttpError) as caught:
        parse_head(head(line, *fields))
    assert caught.value.status == status

"""Ranges, parts and preconditions of reads: the same bytes as a slice, the same answers as RFC 9110's."""

import hashlib
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.objects.types import ObjectInfo
from rustfs.s3.conditions import check_copy_source, check_read, parse_etags, parse_http_time
from rustfs.s3.errors import S3Error
from rustfs.s3.ranges import ByteRange, copy_range, requested_range
from tests.s3.facing import NOW_MILLISECONDS

DATA = random.Random(6).randbytes(230_000)
ETAG = hashlib.md5(DATA).hexdigest()

sizes = st.integers(0, 40)
offsets = st.integers(0, 50)


@settings(deadline=None, derandomize=True, max_examples=500)
@given(size=sizes, first=st.none() | offsets, last=st.none() | offsets)
def test_ranges_are_slices(size, first, last):
    data = bytes(range(size))
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    if first is None and last is None:
        expected = None
    elif first is None:
        expected = data[-last:] if last else b""
    elif last is not None and last < first:
        expected = None  # no range at all
    else:
        expected = data[first:] if last is None else data[first : last + 1]
    if expected == b"":
        with pytest.raises(S3Error, match="InvalidRange") as raised:
            requested_range(header, size)
        assert raised.value.status == 416
        assert ("content-range", f"bytes */{size}") in raised.value.headers
        return
    start, end, partial = requested_range(header, size)
    assert partial == (expected is not None)
    assert data[start:end] == (data if expected is None else expected)
    assert 0 <= start <= end <= size


@settings(deadline=None, derandomize=True, max_examples=300)
@given(size=sizes, first=offsets, last=offsets)
def test_ranges_of_copies_lie_within_their_source(size, first, last):
    header = f"bytes={first}-{last}"
    if first <= last < size:
        assert copy_range(header, size) == (first, last + 1)
        return
    with pytest.raises(S3Error) as raised:
        copy_range(header, size)
    assert raised.value.code == ("InvalidArgument" if last < first else "InvalidRange")


@pytest.mark.parametrize(
    "header", ["bytes=0", "bytes=-5", "bytes=5-", "bytes=-", "0-5", "bytes=0-5,7-9", "items=0-5", "bytes=a-b", ""]
)
def test_copies_take_only_one_form_of_range(header):
    with pytest.raises(S3Error, match="InvalidArgument"):
        copy_range(header, 100)


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes=", "bytes=-", "bytes=a-b", "bytes=0-1,3-4", "items=0-1", "0-1", "bytes=--1", "bytes=5-2"],
)
def test_what_is_no_single_range_is_ignored(header):
    assert requested_range(header, 10) == ByteRange(0, 10, partial=False)


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=99999-100001", 99_999, 100_002),
        ("bytes=100000-", 100_000, len(DATA)),
        ("bytes=-1", len(DATA) - 1, len(DATA)),
        ("bytes=-99999999", 0, len(DATA)),
        ("bytes=0-99999999", 0, len(DATA)),
        ("bytes = 0 - 4", 0, 5),
        ("Bytes=0-4", 0, 5),
    ],
)
def test_ranged_reads(face, header, start, end):
    face.put("key", DATA)
    got = face.ask("GET", "/bucket/key", {"range": header})
    assert (got.status, got.body) == (206, DATA[start:end])
    assert got.headers["content-range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
    head = face.ask("HEAD", "/bucket/key", {"range": header})
    assert (head.status, head.length_bytes) == (206, end - start)
    assert head.headers["content-range"] == got.headers["content-range"]


@pytest.mark.parametrize("header", ["bytes=230000-", "bytes=230000-230001", "bytes=-0"])
def test_ranges_beyond_the_object(face, header):
    face.put("key", DATA)
    reply = face.ask("GET", "/bucket/key", {"range": header})
    assert (reply.status, reply.code) == (416, "InvalidRange")
    assert reply.headers["content-range"] == f"bytes */{len(DATA)}"
    assert (reply.text("RangeRequested"), reply.text("ActualObjectSize")) == (header, str(len(DATA)))
    assert face.ask("HEAD", "/bucket/key", {"range": header}).status == 416


@pytest.mark.parametrize(
    ("if_range", "holds"),
    [
        ('"{etag}"', True),
        ('W/"{etag}"', False),
        ('"other"', False),
        ("{etag}", False),
        ("*", False),
        ("", False),
        ("Tue, 14 Nov 2023 22:13:20 GMT", True),
        ("Tue, 14 Nov 2023 22:13:21 GMT", False),  # a date has to be the very one
        ("Tue, 14 Nov 2023 22:13:19 GMT", False),
    ],
)
@pytest.mark.parametrize("asked", ["bytes=3-5", "bytes=10-"])
def test_a_range_of_a_version_that_is_gone_becomes_the_whole(face, asked, if_range, holds):
    etag = face.put("key", b"0123456789").headers["etag"].strip('"')
    headers = {"range": asked, "if-range": if_range.format(etag=etag)}
    got = face.ask("GET", "/bucket/key", headers)
    if not holds:
        assert (got.status, got.body) == (200, b"0123456789")
        assert face.ask("HEAD", "/bucket/key", headers).length_bytes == 10
    elif asked == "bytes=10-":
        assert got.code == "InvalidRange"
    else:
        assert (got.status, got.body) == (206, b"345")


def test_a_small_object_is_cut_as_a_large_one(face):
    face.put("key", b"0123456789")
    got = face.ask("GET", "/bucket/key", {"range": "bytes=3-5"})
    assert (got.status, got.body, got.headers["content-range"]) == (206, b"345", "bytes 3-5/10")


def test_the_only_part_of_a_plain_object(face):
    face.put("key", b"0123456789")
    got = face.ask("GET", "/bucket/key?partNumber=1")
    assert (got.status, got.body, got.headers["content-range"]) == (206, b"0123456789", "bytes 0-9/10")
    assert "x-amz-mp-parts-count" not in got.headers
    assert face.ask("GET", "/bucket/key?partNumber=2").code == "InvalidPartNumber"
    both = face.ask("GET", "/bucket/key?partNumber=1", {"range": "bytes=0-1"})
    assert both.code == "InvalidRequest"
    face.put("empty", b"")
    assert face.ask("GET", "/bucket/empty?partNumber=1").status == 200


@pytest.mark.parametrize("number", ["0", "10001", "-1", "", "one", "1_0", "%C2%B2", "9" * 5000])
def test_numbers_that_no_part_has(face, number):
    face.put("key")
    assert face.ask("GET", f"/bucket/key?partNumber={number}").code == "InvalidArgument"


BEFORE, NOW, AFTER = (f"Tue, 14 Nov 2023 22:13:{second} GMT" for second in (19, 20, 21))
# If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since -> status; the object was modified at NOW, half past
CONDITIONS = [
    (None, None, None, None, 200),
    ('"{etag}"', None, None, None, 200),
    ("{etag}", None, None, None, 200),
    ('W/"{etag}"', None, None, None, 200),
    ("*", None, None, None, 200),
    ('"other"', None, None, None, 412),
    ('""', None, None, None, 412),
    ('"other", "{etag}"', None, None, None, 200),
    (None, '"{etag}"', None, None, 304),
    (None, "*", None, None, 304),
    (None, '"other"', None, None, 200),
    (None, '""', None, None, 200),
    (None, '"other","{etag}"', None, None, 304),
    (None, None, BEFORE, None, 200),
    (None, None, NOW, None, 304),
    (None, None, AFTER, None, 304),
    (None, None, "Tue Nov 14 22:13:20 2023", None, 304),
    (None, None, "no date", None, 200),
    (None, None, None, BEFORE, 412),
    (None, None, None, NOW, 200),
    (None, None, None, AFTER, 200),
    (None, None, None, "no date", 200),
    # ETags go before times (RFC 9110, 13.2.2)
    ('"{etag}"', None, None, BEFORE, 200),
    ('"other"', None, None, AFTER, 412),
    (None, '"other"', AFTER, None, 200),
    (None, '"{etag}"', BEFORE, None, 304),
    # If-Match and If-Unmodified-Since go before the others
    ('"other"', '"{etag}"', None, None, 412),
    ('"{etag}"', '"{etag}"', None, None, 304),
    (None, '"{etag}"', None, BEFORE, 412),
]
NAMES = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


def condition_headers(values, prefix=""):
    return {
        prefix + name: value.replace("{etag}", ETAG)
        for name, value in zip(NAMES, values, strict=True)
        if value is not None
    }


@pytest.mark.parametrize("row", CONDITIONS, ids=str)
def test_preconditions_of_reads(face, row):
    face.put("key", DATA)
    for method in ("GET", "HEAD"):
        reply = face.ask(method, "/bucket/key", condition_headers(row[:4]))
        assert reply.status == row[4]
        if reply.status == 304:
            assert reply.body == b""
            assert reply.headers["etag"] == f'"{ETAG}"'
            assert reply.headers["last-modified"] == NOW
        elif reply.status == 412 and method == "GET":
            assert reply.code == "PreconditionFailed"
            assert reply.text("Condition") in ("If-Match", "If-Unmodified-Since")
        elif method == "GET":
            assert reply.body == DATA


def test_a_cache_learns_how_long_it_may_keep_what_it_has(face):
    caching = {"cache-control": "max-age=60", "expires": "Wed, 21 Oct 2099 07:28:00 GMT"}
    etag = face.put("key", headers={**caching, "content-language": "de"}).headers["etag"]
    for method in ("GET", "HEAD"):
        reply = face.ask(method, "/bucket/key", {"if-none-match": etag})
        assert reply.status == 304
        assert {name: reply.headers.get(name) for name in caching} == caching
        assert "content-language" not in reply.headers


@pytest.mark.parametrize("row", CONDITIONS, ids=str)
def test_preconditions_on_the_source_of_a_copy(row):
    """The same rules; but what a read need not see again, a copy refuses."""
    info = ObjectInfo("bucket", "key", 4, ETAG, NOW_MILLISECONDS, b"")
    headers = condition_headers(row[:4], "x-amz-copy-source-")
    if row[4] == 200:
        check_copy_source(info, headers.get)
    else:
        with pytest.raises(S3Error, match="PreconditionFailed"):
            check_copy_source(info, headers.get)
    check_read(info, headers.get)  # the other headers are not about this


@pytest.mark.parametrize(
    ("header", "etags"),
    [
        (None, ()),
        ("", ()),
        ("a", ("a",)),
        ('"a"', ("a",)),
        ('W/"a" , "b"', ("a", "b")),
        ('""', ("",)),
        ("*", ("*",)),
        (",a,", ("a",)),
    ],
)
def test_lists_of_etags(header, etags):
    assert parse_etags(header) == etags


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        ("Sun Nov  6 08:49:37 1994", 784111777),
        ("Sun, 06 Nov 1994 09:49:37 +0100", 784111777),
        ("", None),
        (None, None),
        ("yesterday", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
    ],
)
def test_dates_mean_the_same_wherever_the_server_stands(monkeypatch, header, seconds):
    for zone in ("UTC", "Asia/Tokyo"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert parse_http_time(header) == seconds
    monkeypatch.undo()
    time.tzset()

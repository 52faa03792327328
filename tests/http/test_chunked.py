"""The chunked coding, whatever way it is cut up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.http.chunked import ChunkedDecoder
from rustfs.http.messages import BodyBroken


def encode(chunks, extension=b"", trailer=b""):
    coded = b"".join(b"%X%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    return coded + b"0%s\r\n%s\r\n" % (extension, trailer)


def decode(parts):
    """Payload, and what was left when the body ended."""
    decoder, pieces, left = ChunkedDecoder(), [], b""
    for part in parts:
        offset = 0 if decoder.ended else decoder.feed(part, 0, pieces)
        assert decoder.ended or offset == len(part)
        left += part[offset:] if decoder.ended else b""
    assert decoder.ended
    assert all(pieces)
    return b"".join(pieces), left


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=5000), max_size=6),
    extension=st.sampled_from([b"", b";a=b", b' ; q="x"']),
    trailer=st.sampled_from([b"", b"X: y\r\n", b"X: y\r\nZ: \r\n"]),
    step=st.integers(1, 4096),
)
def test_any_cut_decodes_to_the_same_and_ends_at_the_same_byte(chunks, extension, trailer, step):
    coded = encode(chunks, extension, trailer) + b"GET / next"
    parts = [coded[i : i + step] for i in range(0, len(coded), step)]
    assert decode(parts) == (b"".join(chunks), b"GET / next")


def test_large_chunks_are_not_copied():
    data = encode([bytes(100_000)])
    pieces = []
    ChunkedDecoder().feed(data, 0, pieces)
    [piece] = pieces
    assert isinstance(piece, memoryview)
    assert piece.obj is data


@pytest.mark.parametrize(
    "coded",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\nx\r\n",
        b"0x1\r\nx\r\n",
        b"1_0\r\n",
        b" 1\r\nx\r\n",
        b"1\nx\r\n",
        b"1;a\rb\r\nx\r\n",
        b"1\r\nxy\r\n",
        b"1\r\nx\n",
        b"1\r\nx\r\r\n",
        b"1\r\nxyyyy",
        b"1111111111111111\r\n",
        b"1;" + b"e" * 5000 + b"\r\n",
        b"1" * 5000,
        b"0\r\n\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\n" + b"X: y\r\n" * 5000,
    ],
)
def test_malformed_codings_are_refused_however_they_come(coded):
    for step in (1, len(coded)):
        with pytest.raises(BodyBroken):
            decode([coded[i : i + step] for i in range(0, len(coded), step)])

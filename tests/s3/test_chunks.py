"""The aws-chunked coding: data comes out whole however the network cuts it, and every lie is caught."""

import collections
import io
import itertools
import re

import pytest
from botocore.httpchecksum import _CHECKSUM_CLS, AwsChunkedWrapper
from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.core.checksums import digest
from rustfs.s3 import sigv4
from rustfs.s3.checksums import format_value, header_name
from rustfs.s3.chunks import HEADER_BYTES_MAX, TRAILER_BYTES_MAX, ChunkDecoder, ChunkVerifier
from rustfs.s3.errors import S3Error
from tests.s3.signing import SECRET_KEY, encode_chunks

CODES = {"IncompleteBody", "InvalidRequest", "InvalidChunkSizeError", "MalformedTrailerError", "SignatureDoesNotMatch"}
TIMESTAMP = "20130524T000000Z"
SCOPE = "20130524/us-east-1/s3/aws4_request"
KEY = sigv4.signing_key(SECRET_KEY, "20130524", "us-east-1", "s3")
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
TRAILER_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
DATA = b"a" * 66_560


def signed(parts, trailers=None, seed=SEED, **options):
    return encode_chunks(parts, key=KEY, timestamp=TIMESTAMP, scope=SCOPE, seed=seed, trailers=trailers, **options)


def decode(pieces, decoded_bytes, *, is_signed=True, trailers=False, seed=SEED):
    """All data, once verified, and the decoder."""
    decoder = ChunkDecoder(decoded_bytes, signed=is_signed, trailers=trailers)
    verifier = ChunkVerifier(decoder.chunks, KEY, TIMESTAMP, SCOPE, seed)
    data = bytearray()
    for piece in pieces:
        for view in decoder.feed(piece):
            data += view
            if is_signed:
                verifier.absorb(view)
    decoder.finish()
    if is_signed:
        verifier.settle(decoder.trailers if trailers else None, decoder.trailer_signature)
    return bytes(data), decoder


def refusal(pieces, decoded_bytes, **options):
    with pytest.raises(S3Error) as raised:
        decode(pieces, decoded_bytes, **options)
    return raised.value.code


def cut(coded, points):
    """Cut at chosen distances around line ends, where the coding has its joints."""
    joints = [match.start() for match in re.finditer(b"\r\n", coded)] or [0]
    edges = [min(max(joints[which % len(joints)] + offset, 0), len(coded)) for which, offset in points]
    return [coded[start:end] for start, end in itertools.pairwise([0, *sorted(edges), len(coded)])]


def test_the_published_example():
    signatures = (
        b"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        b"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        b"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    )
    coded = (
        b"10000;chunk-signature=%b\r\n" % signatures[0]
        + DATA[:65_536]
        + b"\r\n400;chunk-signature=%b\r\n" % signatures[1]
        + DATA[65_536:]
        + b"\r\n0;chunk-signature=%b\r\n\r\n" % signatures[2]
    )
    assert len(coded) == 66_824
    assert decode([coded], 66_560)[0] == DATA


def test_the_published_example_with_a_trailer():
    coded = (
        b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n"
        + DATA[:65_536]
        + b"\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n"
        + DATA[65_536:]
        + b"\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
        + b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
        + b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
    )
    data, decoder = decode([coded], 66_560, trailers=True, seed=TRAILER_SEED)
    assert data == DATA
    assert decoder.trailers == {"x-amz-checksum-crc32c": "sOO8/Q=="}


@pytest.mark.parametrize("blank", [b"", b"\r\n", b"\n\r\n"])
@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\n\r\n"])
def test_ends_as_various_clients_write_them(blank, end):
    coded = signed([b"data"], {"x-amz-checksum-crc32": "AAAAAA=="}, blank=blank, end=end)
    data, decoder = decode([coded], 4, trailers=True)
    assert (data, decoder.trailers) == (b"data", {"x-amz-checksum-crc32": "AAAAAA=="})


# All chunks but the last have to be of some size; the last part is never empty, since an empty chunk ends a body.
large = st.builds(lambda fill, more: bytes([fill]) * (8192 + more), st.integers(0, 255), st.integers(0, 9))


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
@pytest.mark.parametrize("size_bytes", [0, 100, len(DATA)])
def test_what_botocore_sends(algorithm, size_bytes):
    data = DATA[:size_bytes]
    name = header_name(algorithm)
    source = AwsChunkedWrapper(
        io.BytesIO(data), checksum_cls=_CHECKSUM_CLS[algorithm.lower()], checksum_name=name, chunk_size=40_000
    )
    data_seen, decoder = decode([source.read()], size_bytes, is_signed=False, trailers=True)
    assert data_seen == data
    assert decoder.trailers == {name: format_value(digest(algorithm, data))}


chunked = st.builds(
    lambda parts, last: [*parts, *last], st.lists(large, max_size=3), st.lists(st.binary(min_size=1), max_size=1)
)
points = st.lists(st.tuples(st.integers(0, 20), st.integers(-100, 100)), max_size=12)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(parts=chunked, points=points, trailers=st.sampled_from([None, {}, {"x-amz-checksum-crc32": "AAAAAA=="}]))
def test_signed_data_comes_out_whole_however_it_is_cut(parts, points, trailers):
    coded = signed(parts, trailers)
    whole = b"".join(parts)
    data, decoder = decode(cut(coded, points), len(whole), trailers=trailers is not None)
    assert (data, decoder.trailers) == (whole, trailers or {})


@settings(deadline=None, derandomize=True, max_examples=50)
@given(parts=chunked, points=points)
def test_unsigned_data_comes_out_whole_however_it_is_cut(parts, points):
    coded = encode_chunks(parts, trailers={"x-amz-checksum-crc32": "AAAAAA=="})
    whole = b"".join(parts)
    data, decoder = decode(cut(coded, points), len(whole), is_signed=False, trailers=True)
    assert (data, decoder.trailers) == (whole, {"x-amz-checksum-crc32": "AAAAAA=="})
    assert not decoder.chunks


def test_every_byte_alone():
    whole = bytes(8192) + b"two"
    coded = signed([whole[:8192], whole[8192:]], {"x-amz-checksum-crc32": "AAAAAA=="})
    assert decode([bytes([byte]) for byte in coded], len(whole), trailers=True)[0] == whole


def test_data_is_not_copied():
    coded = bytearray(signed([b"x" * 100]))
    (view,) = ChunkDecoder(100, signed=True, trailers=False).feed(coded)
    assert view.obj is coded


@settings(deadline=None, derandomize=True, max_examples=50)
@given(parts=chunked, points=points)
def test_the_verifier_does_not_care_how_data_is_cut(parts, points):
    decoder = ChunkDecoder(sum(map(len, parts)), signed=True, trailers=False)
    whole = b"".join(decoder.feed(signed(parts)))
    decoder.finish()
    verifier = ChunkVerifier(decoder.chunks, KEY, TIMESTAMP, SCOPE, SEED)
    edges = sorted(min(8192 * (which % 4) + max(offset, 0), len(whole)) for which, offset in points)
    for piece in (whole[start:end] for start, end in itertools.pairwise([0, *edges, len(whole)])):
        verifier.absorb(piece)
    verifier.settle(None, "")


@settings(deadline=None, derandomize=True, max_examples=100)
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7), trailing=st.booleans())
def test_no_flipped_bit_goes_unnoticed(position, bit, trailing):
    trailers = {"x-amz-checksum-crc32": "AAAAAA=="} if trailing else None
    parts = [bytes(8192), b"second"]
    coded = bytearray(signed(parts, trailers))
    joint = 8180 if position % 3 else 0  # most flips near the second header and what follows
    coded[joint + position % (len(coded) - joint)] ^= 1 << bit
    try:
        data, decoder = decode([coded], 8198, trailers=trailing)
    except S3Error:
        return
    # What may differ without harm: the case of names and of hexadecimal digits, and blanks.
    assert data == b"".join(parts)
    assert decoder.trailers == (trailers or {})


def test_a_chunk_under_another_chunks_signature():
    one, two = b"1" * 8192, b"2" * 8192
    coded = signed([one, two])
    swapped = coded.replace(one, b"?").replace(two, one).replace(b"?", two)
    assert refusal([swapped], 2 * len(one)) == "SignatureDoesNotMatch"


def test_a_wrong_trailer_signature():
    coded = signed([b"one"], {"x-amz-checksum-crc32": "AAAAAA=="})
    assert refusal([coded.replace(b"AAAAAA==", b"AAAAAQ==")], 3, trailers=True) == "SignatureDoesNotMatch"
    without = coded[: coded.index(b"x-amz-trailer-signature")]
    assert refusal([without], 3, trailers=True) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("kept", [0, 1, 50, 90, 95, -90, -4])
def test_a_body_cut_short(kept):
    coded = signed([bytes(8192), b"more"])
    assert refusal([coded[:kept]], 8196) == "IncompleteBody"


@pytest.mark.parametrize("declared", [0, 8195, 8197, 10_000])
def test_a_length_other_than_declared(declared):
    assert refusal([signed([bytes(8192), b"more"])], declared) == "IncompleteBody"


def test_more_data_than_declared_is_refused_when_it_is_announced():
    decoder = ChunkDecoder(10, signed=False, trailers=True)
    with pytest.raises(S3Error) as raised:
        decoder.feed(b"b\r\n")
    assert raised.value.code == "IncompleteBody"


tokens = st.sampled_from(
    [b"0", b"4", b"1f", b";", b"chunk-signature=", b"a" * 64, b"\r\n", b"\n", b"data", b":", b"x-amz-trailer-signature"]
)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(pieces=st.lists(st.one_of(tokens, st.binary(max_size=8)), max_size=20), is_signed=st.booleans())
def test_junk_is_refused_or_data(pieces, is_signed):
    try:
        data, _ = decode(pieces, 4, is_signed=is_signed, trailers=True)
    except S3Error as error:
        assert error.code in CODES
    else:
        assert len(data) == 4


def test_data_may_not_be_absorbed_short_of_its_chunks():
    decoder = ChunkDecoder(8195, signed=True, trailers=False)
    decoder.feed(signed([bytes(8192), b"two"]))
    verifier = ChunkVerifier(decoder.chunks, KEY, TIMESTAMP, SCOPE, SEED)
    verifier.absorb(bytes(8192))
    with pytest.raises(S3Error) as raised:
        verifier.settle(None, "")
    assert raised.value.code == "IncompleteBody"


SIGNATURE = b"a" * 64
MALFORMED = {
    "no size": b";chunk-signature=%b\r\n" % SIGNATURE,
    "not hexadecimal": b"xyz;chunk-signature=%b\r\n" % SIGNATURE,
    "a sign": b"+3;chunk-signature=%b\r\n" % SIGNATURE,
    "no signature": b"3\r\none\r\n",
    "a short signature": b"3;chunk-signature=%b\r\none\r\n" % SIGNATURE[1:],
    "an unknown extension": b"3;chunk-signatur=%b\r\n" % SIGNATURE,
    "no carriage return": b"3;chunk-signature=%b\none\r\n" % SIGNATURE,
    "more data than said": b"2;chunk-signature=%b\r\none\r\n" % SIGNATURE,
    "an endless header": b"3;" + b" " * HEADER_BYTES_MAX + b"\r\n",
    "a size beyond all bodies": b"fffffffffffffff;chunk-signature=%b\r\n" % SIGNATURE,
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("step", [1, 10_000])
def test_malformed_framing(name, step):
    coded = MALFORMED[name]
    pieces = [coded[start : start + step] for start in range(0, len(coded), step)]
    decoder = ChunkDecoder(1 << 62, signed=True, trailers=False)
    with pytest.raises(S3Error) as raised:
        collections.deque(map(decoder.feed, pieces), maxlen=0)
    assert raised.value.code == "InvalidRequest"


def test_only_the_last_signed_chunk_may_be_small():
    assert refusal([signed([bytes(8191), b"x"])], 8192) == "InvalidChunkSizeError"
    parts = [b"a", b"b", b"c"]
    coded = encode_chunks(parts, trailers={})
    assert decode([coded], 3, is_signed=False, trailers=True)[0] == b"abc"


@pytest.mark.parametrize(
    "tail",
    [
        b"no colon\r\n",
        b"bad name!:x\r\n",
        b"x-amz-checksum-crc32:a\r\nx-amz-checksum-crc32:a\r\n",
        b"x-amz-trailer-signature:a\r\nx-amz-checksum-crc32:a\r\n",
        b"a:" + b"b" * TRAILER_BYTES_MAX,
    ],
)
def test_malformed_trailers(tail):
    assert refusal([b"0\r\n" + tail], 0, is_signed=False, trailers=True) == "MalformedTrailerError"


def test_a_trailer_where_none_may_be():
    coded = signed([b"one"]) + b"x-amz-checksum-crc32:AAAAAA==\r\n"
    assert refusal([coded], 3) == "MalformedTrailerError"


def test_large_chunks_are_handed_on_as_they_come():
    decoder = ChunkDecoder(5 << 30, signed=False, trailers=True)
    assert decoder.feed(b"140000000\r\n") == []
    block = bytes(1 << 20)
    for _ in range(8):
        (view,) = decoder.feed(block)
        assert view.obj is block
    with pytest.raises(S3Error) as raised:
        decoder.finish()
    assert raised.value.code == "IncompleteBody"


def test_signatures_of_the_encoder_are_chained():
    # Guards the tests above: their encoder signs as the published example does.
    coded = signed([DATA[:65_536], DATA[65_536:]])
    assert b"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497" in coded

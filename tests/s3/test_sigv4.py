"""Signatures against the examples that AWS publishes, and canonical forms at their corners.

The examples: S3 API Reference, "Examples: Signature Calculations in AWS Signature Version 4", "Authenticating Requests:
Using Query Parameters", and the two pages on chunked uploads.
"""

import pytest

from rustfs.s3 import sigv4
from tests.s3.signing import ACCESS_KEY, SECRET_KEY

TIMESTAMP = "20130524T000000Z"
SCOPE = "20130524/us-east-1/s3/aws4_request"
KEY = sigv4.signing_key(SECRET_KEY, "20130524", "us-east-1", "s3")
BUCKET = {"host": "examplebucket.s3.amazonaws.com", "x-amz-date": TIMESTAMP}
CHUNKED = {
    "host": "s3.amazonaws.com",
    "x-amz-date": TIMESTAMP,
    "x-amz-storage-class": "REDUCED_REDUNDANCY",
    "content-encoding": "aws-chunked",
    "x-amz-decoded-content-length": "66560",
    "content-length": "66824",
}
WELCOME = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
CHUNK_1 = "bf718b6f653bebc184e1479f1935b8da974d701b893afcf49e701f3e2f9f9c5a"
CHUNK_2 = "2edc986847e209b4016e141a6dc8716d3207350f416969382d431539bf292e4a"

EXAMPLES = {
    "GET object": (
        ("GET", "/test.txt", "", {"range": "bytes=0-9"}, sigv4.EMPTY_SHA256),
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "PUT object": (
        (
            "PUT",
            "/test$file.text",
            "",
            {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            WELCOME,
        ),
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    "GET bucket lifecycle": (
        ("GET", "/", "lifecycle", {}, sigv4.EMPTY_SHA256),
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    "GET bucket": (
        ("GET", "/", "max-keys=2&prefix=J", {}, sigv4.EMPTY_SHA256),
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
}


def signature(method, path, query, headers, payload_hash):
    signed = ";".join(sorted(headers))
    canonical = sigv4.canonical_request(
        method, sigv4.canonical_path(path), sigv4.canonical_query(query), headers, signed, payload_hash
    )
    return sigv4.sign(KEY, sigv4.string_to_sign(TIMESTAMP, SCOPE, canonical))


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_the_authorization_header(name):
    (method, path, query, headers, payload_hash), expected = EXAMPLES[name]
    headers = {**BUCKET, "x-amz-content-sha256": payload_hash, **headers}
    assert signature(method, path, query, headers, payload_hash) == expected


def test_example_of_query_parameters():
    query = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={ACCESS_KEY}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        f"&X-Amz-Date={TIMESTAMP}&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    )
    headers = {"host": "examplebucket.s3.amazonaws.com"}
    expected = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    assert signature("GET", "/test.txt", query, headers, "UNSIGNED-PAYLOAD") == expected
    with_signature = f"X-Amz-Signature={expected}&{query}"
    assert sigv4.canonical_query(with_signature, without="X-Amz-Signature") == sigv4.canonical_query(query)


def test_example_of_a_chunked_upload():
    kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    seed = signature("PUT", "/examplebucket/chunkObject.txt", "", {**CHUNKED, "x-amz-content-sha256": kind}, kind)
    assert seed == "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    first = sigv4.chunk_signature(KEY, TIMESTAMP, SCOPE, seed, CHUNK_1)
    assert first == "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
    second = sigv4.chunk_signature(KEY, TIMESTAMP, SCOPE, first, CHUNK_2)
    assert second == "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
    last = sigv4.chunk_signature(KEY, TIMESTAMP, SCOPE, second, sigv4.EMPTY_SHA256)
    assert last == "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"


def test_example_of_a_trailer():
    kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    headers = {**CHUNKED, "x-amz-content-sha256": kind, "x-amz-trailer": "x-amz-checksum-crc32c"}
    del headers["content-length"]
    seed = signature("PUT", "/examplebucket/chunkObject.txt", "", headers, kind)
    assert seed == "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    first = sigv4.chunk_signature(KEY, TIMESTAMP, SCOPE, seed, CHUNK_1)
    second = sigv4.chunk_signature(KEY, TIMESTAMP, SCOPE, first, CHUNK_2)
    last = sigv4.chunk_signature(KEY, TIMESTAMP, SCOPE, second, sigv4.EMPTY_SHA256)
    assert last == "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"
    trailer = sigv4.trailer_signature(KEY, TIMESTAMP, SCOPE, last, b"x-amz-checksum-crc32c:sOO8/Q==\n")
    assert trailer == "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("/bucket/a//b/../c/./", "/bucket/a//b/../c/./"),
        ("/bucket/%61%2Fb", "/bucket/a/b"),
        ("/bucket/a+b c", "/bucket/a%2Bb%20c"),
        ("/bucket/%c3%a9", "/bucket/%C3%A9"),
        ("/bucket/\xc3\xa9", "/bucket/%C3%A9"),
        ("/bucket/100%", "/bucket/100%25"),
        ("/bucket/~-._", "/bucket/~-._"),
    ],
)
def test_paths_are_escaped_once_and_never_normalised(sent, canonical):
    assert sigv4.canonical_path(sent) == canonical


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("", ""),
        ("acl", "acl="),
        ("b=2&a=1&a=0", "a=0&a=1&b=2"),
        ("prefix=a/b&delimiter=%2f", "delimiter=%2F&prefix=a%2Fb"),
        ("prefix=a+b", "prefix=a%20b"),
        ("k=a=b&&", "k=a%3Db"),
        ("A-=1&A=2", "A=2&A-=1"),
        ("%7E=1", "~=1"),
    ],
)
def test_queries_are_escaped_then_sorted_by_name_then_value(sent, canonical):
    assert sigv4.canonical_query(sent) == canonical


def test_header_values_are_trimmed_and_joined_without_harm_to_utf8():
    name = "naïve\u00a0à".encode().decode("latin-1")  # the bytes of "à" end in 0xa0, which str.strip takes for space
    headers = sigv4.merge_headers([("x-amz-meta-a", "  one   two "), ("host", "h"), ("x-amz-meta-a", "3")])
    assert headers == {"x-amz-meta-a": "  one   two ,3", "host": "h"}
    canonical = sigv4.canonical_request(
        "GET", "/", "", {"a": "  one   two ", "b": name}, "a;b;absent", sigv4.UNSIGNED_PAYLOAD
    )
    assert canonical.split("\n")[3:6] == ["a:one two", f"b:{name}", "absent:"]


def test_an_authorization_header_is_read_whatever_its_spacing_and_order():
    compact = f"AWS4-HMAC-SHA256 Signature=s,SignedHeaders=host;x,Credential=with/slash/{SCOPE}"
    claim = sigv4.parse_authorization(compact)
    assert claim == sigv4.parse_authorization(compact.replace(",", " , "))
    assert (claim.access_key, claim.date, claim.region, claim.service) == ("with/slash", "20130524", "us-east-1", "s3")
    assert (claim.scope, claim.signed_headers, claim.signature) == (SCOPE, "host;x", "s")


@pytest.mark.parametrize(
    ("rest", "sentence"),
    [
        ("", "malformed"),
        ("Credential", '"Credential" is malformed'),
        (f"Credential=a/{SCOPE}, SignedHeaders=host", "Signature is missing"),
        ("Credential=a/b/c, SignedHeaders=host, Signature=s", "the Credential is mal-formed"),
        (f"Credential=/{SCOPE}, SignedHeaders=host, Signature=s", "the Credential is mal-formed"),
        ("Credential=a/20130524/r/ec2/aws4_request, SignedHeaders=host, Signature=s", 'incorrect service "ec2"'),
        (
            "Credential=a/20130524/r/s3/aws5_request, SignedHeaders=host, Signature=s",
            'incorrect terminal "aws5_request"',
        ),
        (
            "Credential=a/2013-5-24/r/s3/aws4_request, SignedHeaders=host, Signature=s",
            'incorrect date format "2013-5-24"',
        ),
    ],
)
def test_authorization_headers_that_cannot_be_read(rest, sentence):
    with pytest.raises(sigv4.Malformed, match=sentence):
        sigv4.parse_authorization(f"AWS4-HMAC-SHA256 {rest}")

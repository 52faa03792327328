"""Checksum headers: what a client may claim, and contradictions refused before a body is read."""

import pytest

from rustfs.core.checksums import ALGORITHMS, digest
from rustfs.http.messages import Headers
from rustfs.s3.checksums import (
    HEADERS,
    ChecksumClaim,
    format_value,
    header_name,
    parse_algorithm,
    parse_claim,
    parse_object_value,
    parse_value,
)
from rustfs.s3.errors import S3Error

CRC32 = "y/Q5Jg=="  # of "123456789"
SDK = "x-amz-sdk-checksum-algorithm"


def claim_of(*pairs):
    return parse_claim(Headers(pairs))


def refusal(call, *arguments):
    with pytest.raises(S3Error) as raised:
        call(*arguments)
    assert raised.value.code == "InvalidRequest"
    return raised.value.message


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_values_survive_their_text(algorithm):
    value = digest(algorithm, b"123456789")
    assert parse_value(algorithm, format_value(value)) == value
    assert HEADERS[header_name(algorithm)] == algorithm
    assert claim_of((header_name(algorithm), format_value(value))) == ChecksumClaim(algorithm, value)


@pytest.mark.parametrize("text", ["", "y/Q5Jg", "y/Q5Jg= =", "y_Q5Jg==", "y/Q5", "y/Q5JgAA", "\xe9", "y/Q5Jg==\n"])
def test_values_that_are_none(text):
    message = refusal(parse_value, "CRC32", text)
    assert message == "Value for x-amz-checksum-crc32 header is invalid."
    assert refusal(claim_of, ("x-amz-checksum-crc32", text)) == message


def test_an_objects_value_may_count_its_parts():
    value = digest("CRC32", b"123456789")
    assert format_value(value, 12) == f"{CRC32}-12"
    assert parse_object_value("CRC32", f"{CRC32}-12") == (value, 12)
    assert parse_object_value("CRC32", CRC32) == (value, None)
    for text in (f"{CRC32}-", f"{CRC32}-x", f"{CRC32}-123456", "-1"):
        refusal(parse_object_value, "CRC32", text)


def test_no_claim_at_all():
    nothing = claim_of(("content-type", "x"), ("x-amz-checksum-mode", "ENABLED"), ("x-amz-checksum-type", "COMPOSITE"))
    assert nothing == ChecksumClaim(None, None, trailer=False)


def test_a_trailer_is_announced():
    expected = ChecksumClaim("CRC32C", None, trailer=True)
    assert claim_of(("x-amz-trailer", " X-Amz-Checksum-CRC32C "), (SDK, "crc32c")) == expected


def test_the_named_algorithm_has_to_be_the_claimed_one():
    value = digest("CRC32", b"123456789")
    for header in (SDK, "x-amz-checksum-algorithm"):
        assert claim_of(("x-amz-checksum-crc32", CRC32), (header, "CRC32")).value == value
        assert "no corresponding x-amz-checksum-*" in refusal(claim_of, (header, "CRC32"))
        message = refusal(claim_of, ("x-amz-checksum-crc32", CRC32), (header, "SHA1"))
        assert message == f"Value for {header} header is invalid."


def test_algorithms_by_name():
    headers = Headers([("x-amz-checksum-algorithm", "sha256"), (SDK, "MD4"), ("a", "MD4")])
    assert parse_algorithm(headers, "x-amz-checksum-algorithm") == "SHA256"
    assert parse_algorithm(headers, "absent") is None
    assert refusal(parse_algorithm, headers, SDK) == f"Value for {SDK} header is invalid."
    assert "[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]" in refusal(parse_algorithm, headers, "a")


@pytest.mark.parametrize(
    "pairs",
    [
        [("x-amz-checksum-crc32", CRC32), ("x-amz-checksum-crc32c", CRC32)],
        [("x-amz-checksum-crc32", CRC32), ("x-amz-checksum-crc32", CRC32)],
        [("x-amz-checksum-crc32", CRC32), ("x-amz-trailer", "x-amz-checksum-crc32")],
        [("x-amz-trailer", "x-amz-checksum-crc32,x-amz-checksum-sha1")],
        [("x-amz-trailer", "x-amz-checksum-crc32"), ("x-amz-trailer", "x-amz-checksum-sha1")],
    ],
)
def test_one_checksum_is_enough(pairs):
    assert refusal(claim_of, *pairs) == (
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
    )


def test_what_is_not_known_is_not_passed_over():
    assert "algorithm type" in refusal(claim_of, ("x-amz-checksum-md4", CRC32))
    assert "x-amz-trailer" in refusal(claim_of, ("x-amz-trailer", "x-amz-meta-a"))

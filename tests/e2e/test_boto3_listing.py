"""Listings of both versions agree with a sorted list of the keys, whatever the page size."""

import base64

import pytest
from botocore.exceptions import ClientError

from tests.e2e.payloads import md5_hex
from tests.e2e.test_boto3_objects import status_and_code

KEYS = sorted(
    [
        *(f"a/{number:03}" for number in range(40)),
        *(f"b/{letter}/{number}" for letter in "xyz" for number in range(5)),
        "a",
        "a!",
        "a0",
        "b//double",
        "c/",
        "d-e-f",
        "d-g",
        "é/accent",
        "日本/一",
        "日本/二",
        "\U0001f980",
        "\ufffd",
    ],
    key=lambda key: key.encode(),
)


@pytest.fixture(scope="module")
def filled(s3):
    """A bucket that holds every one of KEYS."""
    name = "filled"
    s3.create_bucket(Bucket=name)
    for key in KEYS:
        s3.put_object(Bucket=name, Key=key, Body=key.encode())
    return name


def expected(prefix: str, delimiter: str, after: str = "") -> tuple[list[str], list[str]]:
    """Keys and common prefixes that a listing shows, from the definition."""
    keys, prefixes = [], []
    for key in KEYS:
        if not key.startswith(prefix):
            continue
        head, found, _rest = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        if found:
            common = prefix + head + delimiter
            if common not in prefixes and common.encode() > after.encode():
                prefixes.append(common)
        elif key.encode() > after.encode():
            keys.append(key)
    return keys, prefixes


def all_pages(operation, marker_in: str, marker_out: str, **arguments) -> tuple[list[str], list[str]]:
    """Keys and prefixes over all pages, each page checked for its size and its own order."""
    keys, prefixes = [], []
    limit = arguments.get("MaxKeys", 1_000)
    for _ in range(len(KEYS) + 1):
        page = operation(**arguments)
        page_keys = [entry["Key"] for entry in page.get("Contents", ())]
        page_prefixes = [entry["Prefix"] for entry in page.get("CommonPrefixes", ())]
        assert len(page_keys) + len(page_prefixes) <= limit
        keys += page_keys
        prefixes += page_prefixes
        if not page["IsTruncated"]:
            return keys, prefixes
        arguments[marker_in] = page.get(marker_out) or page_keys[-1]
    raise AssertionError("the pages never end")


SHAPES = [
    ("", ""),
    ("", "/"),
    ("a", ""),
    ("a/", "/"),
    ("b/", "/"),
    ("b/x", "/"),
    ("", "-"),
    ("d-", "e-"),
    ("z", "/"),
    ("日", "/"),
]


@pytest.mark.parametrize("limit", [1, 2, 7, 1_000])
@pytest.mark.parametrize(("prefix", "delimiter"), SHAPES)
def test_both_versions_against_the_definition(s3, filled, prefix, delimiter, limit):
    arguments = {"Bucket": filled, "Prefix": prefix, "Delimiter": delimiter, "MaxKeys": limit}
    wanted = expected(prefix, delimiter)
    assert all_pages(s3.list_objects_v2, "ContinuationToken", "NextContinuationToken", **arguments) == wanted
    assert all_pages(s3.list_objects, "Marker", "NextMarker", **arguments) == wanted


@pytest.mark.parametrize("after", ["a", "a/", "a/005", "a/0051", "b", "b/x/", "zzz", "日本/一"])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_start_after_and_marker(s3, filled, after, delimiter):
    keys, prefixes = expected("", delimiter, after)
    for page in (
        s3.list_objects_v2(Bucket=filled, Delimiter=delimiter, StartAfter=after),
        s3.list_objects(Bucket=filled, Delimiter=delimiter, Marker=after),
    ):
        assert [entry["Key"] for entry in page.get("Contents", ())] == keys
        assert [entry["Prefix"] for entry in page.get("CommonPrefixes", ())] == prefixes


def test_entries_describe_their_objects(s3, filled):
    page = s3.list_objects_v2(Bucket=filled, Prefix="日本", FetchOwner=True)
    assert page["KeyCount"] == 2
    for entry in page["Contents"]:
        body = entry["Key"].encode()
        assert (entry["Size"], entry["ETag"], entry["StorageClass"]) == (len(body), f'"{md5_hex(body)}"', "STANDARD")
        assert entry["Owner"]["ID"]
        modified = s3.head_object(Bucket=filled, Key=entry["Key"])["LastModified"]  # a header: whole seconds
        assert entry["LastModified"].replace(microsecond=0) == modified
    assert "Owner" not in s3.list_objects_v2(Bucket=filled, Prefix="日本")["Contents"][0]
    assert s3.list_objects(Bucket=filled, Prefix="日本")["Contents"][0]["Owner"]["ID"]


def test_max_keys_zero_and_beyond(s3, filled):
    for operation in (s3.list_objects, s3.list_objects_v2):
        page = operation(Bucket=filled, MaxKeys=0)
        assert page["IsTruncated"] is False
        assert "Contents" not in page
        assert operation(Bucket=filled, MaxKeys=5_000)["MaxKeys"] == 1_000
        with pytest.raises(ClientError) as raised:
            operation(Bucket=filled, MaxKeys=-1)
        assert status_and_code(raised) == (400, "InvalidArgument")


def test_a_made_up_continuation_token_is_refused_or_harmless(s3, filled):
    from_the_start = s3.list_objects_v2(Bucket=filled, ContinuationToken="")
    assert from_the_start["ContinuationToken"] == ""
    assert [entry["Key"] for entry in from_the_start["Contents"]] == sorted(KEYS, key=str.encode)
    token = base64.b64encode(b"made up").decode()
    try:
        page = s3.list_objects_v2(Bucket=filled, ContinuationToken=token)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "InvalidArgument"
    else:
        assert {entry["Key"] for entry in page.get("Contents", ())} <= set(KEYS)


def test_a_listing_follows_every_write_at_once(s3, bucket):
    present = set()
    for step in range(60):
        key = f"{step * 7 % 20}"
        if key in present:
            s3.delete_object(Bucket=bucket, Key=key)
            present.remove(key)
        else:
            s3.put_object(Bucket=bucket, Key=key, Body=b"")
            present.add(key)
        listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
        assert listed == sorted(present)

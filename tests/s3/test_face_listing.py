"""Listings: every page against a sorted dict, every key written so that a client can read it."""

import itertools
import re
from urllib.parse import quote, unquote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.s3.facing import facing

KEYS = [
    "a", "a/", "a/b", "a/b/c", "a/bc", "a//b", "ab", "b", "b&c", "b<c>", 'b"c', "b'c", "b c", "b+c", "b%20c", "c/d/e",
    "c/d/f", "c/g", "d\té", "é", "é/a", "猫/a", "猫/b", "\ue000", "🙂", "~", "z" * 1024,
]  # fmt: skip


def page_of(keys, prefix, delimiter, after, limit):
    """The definition of a listing: entries above `after`, keys and common prefixes in one order of UTF-8 bytes."""
    entries = {}
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        name = key if cut < 0 else key[: cut + len(delimiter)]
        if name.encode() > after.encode():
            entries.setdefault(name, cut >= 0)
    names = list(entries)[:limit]
    objects = [name for name in names if not entries[name]]
    prefixes = [name for name in names if entries[name]]
    return objects, prefixes, bool(limit) and len(entries) > limit, names[-1] if names else ""


def query_of(**parameters):
    named = {name.replace("_", "-"): value for name, value in parameters.items() if value not in (None, "")}
    return urlencode(named, quote_via=quote)


@pytest.fixture(scope="module")
def filled():
    with facing() as face:
        face.make_bucket()
        for key in KEYS:
            face.put(key, key.encode())
        yield face


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("delimiter", ["", "/", "b", "//", "é"])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "b", "猫", "nothing", "é/"])
def test_pages_of_both_versions_are_those_of_a_sorted_dict(filled, prefix, delimiter, limit):
    marker = token = after = ""
    for _ in range(len(KEYS) + 1):
        objects, prefixes, truncated, last = page_of(KEYS, prefix, delimiter, after, limit)
        common = {"prefix": prefix, "delimiter": delimiter, "max_keys": limit}
        first = filled.ask("GET", f"/bucket?{query_of(**common, marker=marker)}")
        second = filled.ask("GET", f"/bucket?{query_of(**common, list_type=2, continuation_token=token)}")
        for reply in (first, second):
            assert reply.texts("Contents/Key") == objects
            assert reply.texts("CommonPrefixes/Prefix") == prefixes
            assert reply.text("IsTruncated") == ("true" if truncated else "false")
            assert (reply.text("Name"), reply.text("Prefix")) == ("bucket", prefix)
            assert reply.text("Delimiter") == (delimiter or None)
            assert reply.text("MaxKeys") == str(limit)
        assert second.text("KeyCount") == str(len(objects) + len(prefixes))
        assert (first.text("Marker"), second.text("ContinuationToken")) == (marker, token or None)
        assert first.text("NextMarker") == (last if truncated and delimiter else None)
        if not truncated:
            assert second.text("NextContinuationToken") is None
            return
        marker, token, after = last, second.text("NextContinuationToken"), last
    pytest.fail("the listing does not end")


@pytest.mark.parametrize("after", ["", "a", "a/", "a/b", "az", "é", "猫/", "zzz", "🙂"])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_listings_begin_behind_a_name(filled, after, delimiter):
    objects, prefixes, *_ = page_of(KEYS, "", delimiter, after, 1000)
    for parameters in ({"marker": after}, {"list_type": 2, "start_after": after}):
        reply = filled.ask("GET", f"/bucket?{query_of(delimiter=delimiter, **parameters)}")
        assert reply.texts("Contents/Key") == objects
        assert reply.texts("CommonPrefixes/Prefix") == prefixes
    assert reply.text("StartAfter") == (after or None)


def test_a_continuation_token_goes_before_start_after(filled):
    first = filled.ask("GET", "/bucket?list-type=2&start-after=c&max-keys=1")
    token = quote(first.text("NextContinuationToken"), safe="")
    second = filled.ask("GET", f"/bucket?list-type=2&start-after=c&max-keys=1&continuation-token={token}")
    assert first.texts("Contents/Key") + second.texts("Contents/Key") == ["c/d/e", "c/d/f"]


@settings(deadline=None, derandomize=True, max_examples=40)
@given(keys=st.sets(st.text(st.characters(codec="utf-8"), min_size=1, max_size=5), max_size=8))
def test_url_encoded_listings_carry_every_key(keys):
    with facing() as face:
        face.make_bucket()
        for key in keys:
            face.put(key)
        for query in ("encoding-type=url", "encoding-type=url&list-type=2", "encoding-type=url&versions"):
            reply = face.ask("GET", f"/bucket?{query}")
            found = [unquote(key) for key in reply.texts("Contents/Key") + reply.texts("Version/Key")]
            assert found == sorted(keys, key=str.encode)
            assert reply.text("EncodingType") == "url"


@pytest.mark.parametrize("query", ["", "list-type=2&", "versions&"])
def test_control_characters_are_written_as_references(face, query):
    face.put("a\x01b\rc\x1f")
    assert b"<Key>a&#x1;b&#xd;c&#x1f;</Key>" in face.ask("GET", f"/bucket?{query}max-keys=5").body
    encoded = face.ask("GET", f"/bucket?{query}encoding-type=url&prefix=a%01&delimiter=%1F")
    assert encoded.texts("CommonPrefixes/Prefix") == ["a%01b%0Dc%1F"]
    assert (encoded.text("Prefix"), encoded.text("Delimiter")) == ("a%01", "%1F")


@pytest.mark.parametrize("encoding", ["base64", "urls"])
@pytest.mark.parametrize("query", ["", "list-type=2&", "versions&", "uploads&"])
def test_encodings_that_are_unknown(face, query, encoding):
    reply = face.ask("GET", f"/bucket?{query}encoding-type={encoding}")
    assert (reply.code, reply.text("ArgumentName")) == ("InvalidArgument", "encoding-type")


@pytest.mark.parametrize("query", ["", "list-type=2&", "versions&"])
def test_numbers_of_keys(face, query):
    for number in range(3):
        face.put(f"key-{number}")
    for text, shown, keys in [("0", "0", 0), ("2", "2", 2), ("1000", "1000", 3), ("1001", "1000", 3), ("", "1000", 3)]:
        reply = face.ask("GET", f"/bucket?{query}max-keys={text}")
        assert reply.text("MaxKeys") == shown
        assert len(reply.texts("Contents/Key") + reply.texts("Version/Key")) == keys
        assert reply.text("IsTruncated") == ("true" if keys == 2 else "false")
    for text in ("-1", "many", "1.5", "1_0", "%2B1", "%EF%BC%95", "2147483648"):
        reply = face.ask("GET", f"/bucket?{query}max-keys={text}")
        assert (reply.code, reply.text("ArgumentName")) == ("InvalidArgument", "max-keys")


@pytest.mark.parametrize("token", ["junk!", "YQ==", "MQ", "Mf8=", "%C3%A9", "AAAA"])
def test_made_up_tokens_are_refused(filled, token):
    reply = filled.ask("GET", f"/bucket?list-type=2&continuation-token={token}")
    assert (reply.code, reply.text("ArgumentName")) == ("InvalidArgument", "continuation-token")


def test_an_empty_token_begins_at_the_beginning(filled):
    reply = filled.ask("GET", "/bucket?list-type=2&continuation-token=&max-keys=1")
    assert (reply.texts("Contents/Key"), reply.text("ContinuationToken")) == (["a"], "")


def test_entries_describe_their_objects(face):
    face.put("key", b"data", {"x-amz-checksum-crc32": "rfPzYw==", "x-amz-storage-class": "REDUCED_REDUNDANCY"})
    etag = face.ask("HEAD", "/bucket/key").headers["etag"]
    expected = {
        "Key": "key",
        "LastModified": "2023-11-14T22:13:20.500Z",
        "ETag": etag,
        "ChecksumAlgorithm": "CRC32",
        "ChecksumType": "FULL_OBJECT",
        "Size": "4",
        "StorageClass": "REDUCED_REDUNDANCY",
    }
    owned = {**expected, "Owner": face.keys.root.owner_id + face.keys.root.display_name}
    for query, found in [
        ("", owned),
        ("list-type=2", expected),
        ("list-type=2&fetch-owner=false", expected),
        ("list-type=2&fetch-owner=true", owned),
    ]:
        contents = face.ask("GET", f"/bucket?{query}").xml.find("Contents")
        assert {each.tag: "".join(each.itertext()) for each in contents} == found
    version = face.ask("GET", "/bucket?versions").xml.find("Version")
    found = {each.tag: "".join(each.itertext()) for each in version}
    assert found == {**owned, "VersionId": "null", "IsLatest": "true"}


def test_pages_of_versions_go_together(filled):
    found, marker = [], ""
    for _ in itertools.count():
        reply = filled.ask("GET", f"/bucket?versions&{query_of(max_keys=4, delimiter='/', key_marker=marker)}")
        assert reply.xml.tag == "ListVersionsResult"
        found += reply.texts("Version/Key") + reply.texts("CommonPrefixes/Prefix")
        if reply.text("IsTruncated") == "false":
            break
        assert reply.text("NextVersionIdMarker") == "null"
        marker = reply.text("NextKeyMarker")
    objects, prefixes, *_ = page_of(KEYS, "", "/", "", 1000)
    assert sorted(found) == sorted(objects + prefixes)


def test_listing_what_is_not_there(face):
    for query in ("", "?list-type=2", "?versions", "?uploads"):
        assert face.ask("GET", f"/nobodys{query}").code == "NoSuchBucket"
        assert re.search(rb"<IsTruncated>false</IsTruncated>", face.ask("GET", f"/bucket{query}").body)

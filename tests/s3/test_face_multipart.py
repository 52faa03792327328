"""Multipart uploads: the rules of parts and of completion, and the two listings."""

import base64
import hashlib
import re
from urllib.parse import quote

import pytest

from rustfs.core.checksums import ALGORITHMS, COMPOSITE_ALGORITHMS, FULL_OBJECT_ALGORITHMS, digest
from tests.s3.facing import facing
from tests.s3.signing import PiecedBody

ONE, TWO, THREE = b"1" * 120, b"2" * 100, b"3"  # the layer of these tests wants 100 bytes of every part but the last


def start(face, key="up", headers=None):
    reply = face.ask("POST", f"/bucket/{key}?uploads", headers or {})
    assert (reply.status, reply.xml.tag) == (200, "InitiateMultipartUploadResult")
    assert (reply.text("Bucket"), reply.text("Key")) == ("bucket", key)
    return reply.text("UploadId")


def part(face, upload_id, number, data, headers=None):
    return face.ask("PUT", f"/bucket/up?partNumber={number}&uploadId={upload_id}", headers or {}, data)


def parts(face, upload_id, *datas, headers=None):
    return [
        (number, part(face, upload_id, number, data, headers).headers["etag"]) for number, data in enumerate(datas, 1)
    ]


def listing(pairs, more=""):
    entries = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{more}</Part>" for number, etag in pairs
    )
    return f"<CompleteMultipartUpload>{entries}</CompleteMultipartUpload>".encode()


def complete(face, upload_id, pairs, headers=None, more=""):
    return face.ask("POST", f"/bucket/up?uploadId={upload_id}", headers or {}, listing(pairs, more))


def base64_digest(algorithm, data):
    return base64.b64encode(digest(algorithm, data)).decode()


def test_parts_become_an_object(face):
    upload_id = start(face, headers={"content-type": "text/plain", "x-amz-meta-a": "1"})
    pairs = parts(face, upload_id, ONE, TWO, THREE)
    assert face.ask("HEAD", "/bucket/up").status == 404
    reply = complete(face, upload_id, pairs)
    digests = b"".join(hashlib.md5(data).digest() for data in (ONE, TWO, THREE))
    etag = f'"{hashlib.md5(digests).hexdigest()}-3"'
    assert (reply.status, reply.xml.tag, reply.text("ETag")) == (200, "CompleteMultipartUploadResult", etag)
    assert (reply.text("Bucket"), reply.text("Key")) == ("bucket", "up")
    assert reply.text("Location") == "http://localhost:9000/bucket/up"
    got = face.ask("GET", "/bucket/up")
    assert (got.body, got.headers["etag"]) == (ONE + TWO + THREE, etag)
    assert (got.headers["content-type"], got.headers["x-amz-meta-a"]) == ("text/plain", "1")
    assert complete(face, upload_id, pairs).text("ETag") == etag  # the answer may have been lost
    assert face.ask("GET", f"/bucket/up?uploadId={upload_id}").code == "NoSuchUpload"


def test_the_location_of_an_object_is_its_url():
    with facing(domains=["s3.example.com"]) as face:
        face.make_bucket()
        for host, target in [("localhost:9000", "/bucket/a%20%C3%A9/"), ("bucket.s3.example.com", "/a%20%C3%A9/")]:
            upload_id = face.ask("POST", f"{target}?uploads", {"host": host}).text("UploadId")
            sent = face.ask("PUT", f"{target}?partNumber=1&uploadId={upload_id}", {"host": host}, ONE)
            body = listing([(1, sent.headers["etag"])])
            reply = face.ask("POST", f"{target}?uploadId={upload_id}", {"host": host}, body)
            assert reply.text("Location") == f"http://{host}{target}"
            assert reply.text("Key") == "a é/"


def test_a_part_named_twice_counts_once(face):
    upload_id = start(face, headers={"x-amz-checksum-algorithm": "SHA256"})
    pairs = parts(face, upload_id, ONE, TWO)
    reply = complete(face, upload_id, [pairs[0], *pairs])
    assert reply.text("ChecksumSHA256").endswith("-2")
    head = face.ask("HEAD", "/bucket/up", {"x-amz-checksum-mode": "ENABLED"})
    assert head.headers["x-amz-checksum-sha256"] == reply.text("ChecksumSHA256")


def test_an_object_is_read_part_by_part(face):
    upload_id = start(face)
    complete(face, upload_id, parts(face, upload_id, ONE, TWO, THREE))
    for number, data, first in [(1, ONE, 0), (2, TWO, 120), (3, THREE, 220)]:
        got = face.ask("GET", f"/bucket/up?partNumber={number}")
        assert (got.status, got.body, got.headers["x-amz-mp-parts-count"]) == (206, data, "3")
        assert got.headers["content-range"] == f"bytes {first}-{first + len(data) - 1}/221"
        head = face.ask("HEAD", f"/bucket/up?partNumber={number}")
        assert (head.length_bytes, head.headers["x-amz-mp-parts-count"]) == (len(data), "3")
    assert face.ask("GET", "/bucket/up?partNumber=4").status == 416


def test_a_part_sent_again_replaces_the_first(face):
    upload_id = start(face)
    (old,) = parts(face, upload_id, ONE)
    (new,) = parts(face, upload_id, TWO)
    assert complete(face, upload_id, [old]).code == "InvalidPart"
    assert complete(face, upload_id, [new]).status == 200
    assert face.ask("GET", "/bucket/up").body == TWO


@pytest.mark.parametrize(
    ("choose", "code"),
    [
        (lambda p: [p[1], p[0]], "InvalidPartOrder"),
        (lambda p: [p[0], (9, p[1][1])], "InvalidPart"),
        (lambda p: [(1, '"0123"')], "InvalidPart"),
        (lambda p: [(0, p[0][1])], "InvalidPart"),
        (lambda p: [], "MalformedXML"),
        (lambda p: [("one", p[0][1])], "MalformedXML"),
        (lambda p: [("-1", p[0][1])], "MalformedXML"),
        (lambda p: [("", p[0][1])], "MalformedXML"),
        (lambda p: [("1" * 5000, p[0][1])], "MalformedXML"),
        (lambda p: [("²", p[0][1])], "MalformedXML"),
        (lambda p: [(number, p[0][1]) for number in range(1, 10_002)], "MalformedXML"),
    ],
)
def test_completions_that_name_the_wrong_parts(face, choose, code):
    upload_id = start(face)
    pairs = parts(face, upload_id, ONE, TWO, THREE)
    reply = complete(face, upload_id, choose(pairs))
    assert (reply.status, reply.code) == (400, code)
    assert face.ask("HEAD", "/bucket/up").status == 404
    assert complete(face, upload_id, pairs).status == 200


@pytest.mark.parametrize(
    "document", [b"", b"<Other/>", b"<CompleteMultipartUpload><Part/></CompleteMultipartUpload>", b"<"]
)
def test_completions_that_are_no_document(face, document):
    upload_id = start(face)
    assert face.ask("POST", f"/bucket/up?uploadId={upload_id}", {}, document).code == "MalformedXML"


def test_only_the_last_part_may_be_small(face):
    upload_id = start(face)
    reply = complete(face, upload_id, parts(face, upload_id, ONE, THREE, TWO))
    assert (reply.status, reply.code) == (400, "EntityTooSmall")
    assert (reply.text("ProposedSize"), reply.text("MinSizeAllowed"), reply.text("PartNumber")) == ("1", "100", "2")


def test_etags_may_come_unquoted_and_numbers_spaced(face):
    upload_id = start(face)
    pairs = [(f"\n {number} ", f" {etag.strip(chr(34))} ") for number, etag in parts(face, upload_id, ONE, TWO)]
    assert complete(face, upload_id, pairs).status == 200


@pytest.mark.parametrize("number", ["0", "10001", "-1", "", "one", "1_0", "%C2%B2", "9" * 5000])
def test_numbers_that_no_part_has(face, number):
    upload_id = start(face)
    body = PiecedBody([b"data"])
    reply = face.ask("PUT", f"/bucket/up?partNumber={number}&uploadId={upload_id}", pieces=body)
    assert (reply.code, reply.text("ArgumentName")) == ("InvalidArgument", "partNumber")
    assert not body.was_read


@pytest.mark.parametrize("number", [1, 10_000])
def test_the_first_and_the_last_number(face, number):
    upload_id = start(face)
    etag = part(face, upload_id, number, ONE).headers["etag"]
    assert complete(face, upload_id, [(number, etag)]).status == 200


@pytest.mark.parametrize("upload", ["", "unknown", "{other}", "{aborted}"])
def test_uploads_that_are_not_there(face, upload):
    other = start(face, "other")
    aborted = start(face)
    assert face.ask("DELETE", f"/bucket/up?uploadId={aborted}").status == 204
    upload_id = upload.format(other=other, aborted=aborted)
    body = PiecedBody([b"data"])
    assert face.ask("PUT", f"/bucket/up?partNumber=1&uploadId={upload_id}", pieces=body).code == "NoSuchUpload"
    assert not body.was_read
    assert complete(face, upload_id, [(1, "0")]).code == "NoSuchUpload"
    for method in ("GET", "DELETE"):
        assert face.ask(method, f"/bucket/up?uploadId={upload_id}").code == "NoSuchUpload"


def test_a_part_beyond_5_gib_or_without_a_length_is_not_read(face):
    upload_id = start(face)
    target = f"/bucket/up?partNumber=1&uploadId={upload_id}"
    large, lengthless = PiecedBody([b"data"], length_bytes=(5 << 30) + 1), PiecedBody([b"data"])
    assert face.ask("PUT", target, pieces=large).code == "EntityTooLarge"
    assert face.ask("PUT", target, pieces=lengthless, lengthless=True).code == "MissingContentLength"
    assert (large.was_read, lengthless.was_read) == (False, False)


@pytest.mark.parametrize(
    ("headers", "code", "done"),
    [
        ({"if-none-match": "*"}, "PreconditionFailed", False),
        ({"if-match": '"other"'}, "PreconditionFailed", False),
        ({"x-amz-mp-object-size": "220"}, None, True),
        ({"x-amz-mp-object-size": "219"}, "InvalidRequest", False),
        ({"x-amz-mp-object-size": "many"}, "InvalidArgument", False),
        ({"x-amz-mp-object-size": "9" * 5000}, "InvalidArgument", False),
        ({"x-amz-mp-object-size": "\xb2"}, "InvalidArgument", False),
    ],
)
def test_conditions_of_completion(face, headers, code, done):
    face.put("up", b"before")
    upload_id = start(face)
    reply = complete(face, upload_id, parts(face, upload_id, ONE, TWO), headers)
    assert (reply.status == 200) == done
    assert done or reply.code == code
    assert face.ask("GET", "/bucket/up").body == (ONE + TWO if done else b"before")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kind", ["", "COMPOSITE", "FULL_OBJECT", "OTHER"])
def test_checksums_of_objects_in_parts(face, algorithm, kind):
    headers = {"x-amz-checksum-algorithm": algorithm} | ({"x-amz-checksum-type": kind} if kind else {})
    allowed = {"COMPOSITE": COMPOSITE_ALGORITHMS, "FULL_OBJECT": FULL_OBJECT_ALGORITHMS, "": ALGORITHMS}.get(kind, ())
    reply = face.ask("POST", "/bucket/up?uploads", headers)
    if algorithm not in allowed:
        assert reply.code == "InvalidRequest"
        return
    found = reply.headers["x-amz-checksum-type"]
    assert found == (kind or ("COMPOSITE" if algorithm in COMPOSITE_ALGORITHMS else "FULL_OBJECT"))
    assert reply.headers["x-amz-checksum-algorithm"] == algorithm
    upload_id = reply.text("UploadId")
    name, tag = f"x-amz-checksum-{algorithm.lower()}", f"Checksum{algorithm}"
    assert part(face, upload_id, 1, ONE, {name: base64_digest(algorithm, ONE)}).status == 200
    assert part(face, upload_id, 2, TWO, {name: base64_digest(algorithm, ONE)}).code == "BadDigest"
    second = part(face, upload_id, 2, TWO)  # computed where the client sends none
    assert second.headers[name] == base64_digest(algorithm, TWO)
    listed = face.ask("GET", f"/bucket/up?uploadId={upload_id}")
    assert listed.texts(f"Part/{tag}") == [base64_digest(algorithm, ONE), base64_digest(algorithm, TWO)]
    assert (listed.text("ChecksumAlgorithm"), listed.text("ChecksumType")) == (algorithm, found)
    if found == "COMPOSITE":
        value = base64_digest(algorithm, digest(algorithm, ONE) + digest(algorithm, TWO)) + "-2"
    else:
        value = base64_digest(algorithm, ONE + TWO)
    pairs = [(1, hashlib.md5(ONE).hexdigest()), (2, hashlib.md5(TWO).hexdigest())]
    assert complete(face, upload_id, pairs, {name: base64_digest(algorithm, b"other")}).code == "BadDigest"
    other = "FULL_OBJECT" if found == "COMPOSITE" else "COMPOSITE"
    assert complete(face, upload_id, pairs, {"x-amz-checksum-type": other}).code == "InvalidRequest"
    wrong = f"<{tag}>{base64_digest(algorithm, b'other')}</{tag}>"
    assert complete(face, upload_id, pairs, more=wrong).code == "InvalidPart"
    done = complete(face, upload_id, pairs, {name: value, "x-amz-checksum-type": found})
    assert (done.text(tag), done.text("ChecksumType")) == (value, found)
    shown = face.ask("HEAD", "/bucket/up", {"x-amz-checksum-mode": "ENABLED"}).headers
    assert (shown[name], shown["x-amz-checksum-type"]) == (value, found)
    one = face.ask("GET", "/bucket/up?partNumber=1", {"x-amz-checksum-mode": "ENABLED"}).headers
    assert one[name] == base64_digest(algorithm, ONE)
    attributes = face.ask("GET", "/bucket/up?attributes", {"x-amz-object-attributes": "Checksum,ObjectParts"})
    assert attributes.text(f"Checksum/{tag}") == value
    assert attributes.texts(f"ObjectParts/Part/{tag}") == listed.texts(f"Part/{tag}")


def test_a_type_of_checksum_needs_an_algorithm(face):
    assert face.ask("POST", "/bucket/up?uploads", {"x-amz-checksum-type": "COMPOSITE"}).code == "InvalidRequest"
    assert face.ask("POST", "/bucket/up?uploads", {"x-amz-checksum-algorithm": "MD4"}).code == "InvalidRequest"


@pytest.mark.parametrize("created", ["", "CRC32"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-checksum-sha256", base64_digest("SHA256", ONE)),  # not the upload's
        ("x-amz-checksum-sha512", "c2hhNTEy"),  # not known
    ],
)
def test_no_checksum_of_the_whole_goes_unverified(face, created, name, value):
    upload_id = start(face, headers={"x-amz-checksum-algorithm": created} if created else {})
    pairs = parts(face, upload_id, ONE)
    assert complete(face, upload_id, pairs, {name: value}).code == "InvalidRequest"
    tag = name.removeprefix("x-amz-checksum-").upper()
    named = complete(face, upload_id, pairs, more=f"<Checksum{tag}>{value}</Checksum{tag}>")
    assert named.code == ("InvalidPart" if created else "InvalidRequest")
    two = {"x-amz-checksum-crc32": base64_digest("CRC32", ONE), name: value}
    assert complete(face, upload_id, pairs, two).code == "InvalidRequest"
    assert face.ask("HEAD", "/bucket/up").status == 404


def test_parts_have_the_checksum_of_their_upload(face):
    upload_id = start(face, headers={"x-amz-checksum-algorithm": "CRC32"})
    reply = part(face, upload_id, 1, ONE, {"x-amz-checksum-sha256": base64_digest("SHA256", ONE)})
    assert (reply.status, reply.code) == (400, "InvalidRequest")


def test_pages_of_parts_go_together(face):
    upload_id = start(face, headers={"x-amz-storage-class": "REDUCED_REDUNDANCY"})
    for number in (1, 2, 5, 9, 10_000):
        part(face, upload_id, number, bytes(number))
    found, marker, pages = [], 0, 0
    while True:
        reply = face.ask("GET", f"/bucket/up?uploadId={upload_id}&max-parts=2&part-number-marker={marker}")
        assert (reply.xml.tag, reply.text("UploadId"), reply.text("Key")) == ("ListPartsResult", upload_id, "up")
        assert (reply.text("PartNumberMarker"), reply.text("MaxParts")) == (str(marker), "2")
        assert reply.text("StorageClass") == "REDUCED_REDUNDANCY"
        assert reply.text("Owner/ID") == reply.text("Initiator/ID") == face.keys.root.owner_id
        found += zip(reply.texts("Part/PartNumber"), reply.texts("Part/Size"), reply.texts("Part/ETag"), strict=True)
        pages += 1
        if reply.text("IsTruncated") == "false":
            break
        marker = int(reply.text("NextPartNumberMarker"))
    expected = [(str(n), str(n), f'"{hashlib.md5(bytes(n)).hexdigest()}"') for n in (1, 2, 5, 9, 10_000)]
    assert (found, pages) == (expected, 3)


@pytest.mark.parametrize("query", ["max-parts=-1", "max-parts=a", "part-number-marker=-1", "part-number-marker=1.0"])
def test_wrong_pages_of_parts(face, query):
    assert face.ask("GET", f"/bucket/up?uploadId={start(face)}&{query}").code == "InvalidArgument"


def test_pages_of_uploads_go_together(face):
    keys = ["a", "a", "b/1", "b/2", "c", "é", "é"]
    made = sorted((key, start(face, key) if key.isascii() else start_odd(face, key)) for key in keys)
    for limit in (1, 2, 3, 1000):
        found, key_marker, id_marker = [], "", ""
        while True:
            query = f"max-uploads={limit}&key-marker={quote(key_marker)}&upload-id-marker={id_marker}"
            reply = face.ask("GET", f"/bucket?uploads&{query}")
            assert (reply.xml.tag, reply.text("MaxUploads")) == ("ListMultipartUploadsResult", str(limit))
            assert (reply.text("KeyMarker"), reply.text("UploadIdMarker")) == (key_marker, id_marker)
            found += zip(reply.texts("Upload/Key"), reply.texts("Upload/UploadId"), strict=True)
            if reply.text("IsTruncated") == "false":
                break
            key_marker, id_marker = reply.text("NextKeyMarker"), reply.text("NextUploadIdMarker")
        assert found == made


def start_odd(face, key):
    return face.ask("POST", f"/bucket/{quote(key)}?uploads").text("UploadId")


def test_uploads_by_prefix_and_delimiter(face):
    for key in ("a", "b/1", "b/2", "b/3/4"):
        start(face, key)
    reply = face.ask("GET", "/bucket?uploads&delimiter=/")
    assert (reply.texts("Upload/Key"), reply.texts("CommonPrefixes/Prefix")) == (["a"], ["b/"])
    reply = face.ask("GET", "/bucket?uploads&delimiter=/&prefix=b/&encoding-type=url")
    assert (reply.texts("Upload/Key"), reply.texts("CommonPrefixes/Prefix")) == (["b/1", "b/2"], ["b/3/"])
    assert (reply.text("Prefix"), reply.text("Delimiter"), reply.text("EncodingType")) == ("b/", "/", "url")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", reply.text("Upload/Initiated"))


@pytest.mark.parametrize("number", ["0", "-1", "a"])
def test_wrong_pages_of_uploads(face, number):
    assert face.ask("GET", f"/bucket?uploads&max-uploads={number}").code == "InvalidArgument"


def test_attributes_show_pages_of_parts(face):
    upload_id = start(face)
    complete(face, upload_id, parts(face, upload_id, ONE, TWO, THREE))
    headers = {"x-amz-object-attributes": "ObjectParts,ETag", "x-amz-max-parts": "2"}
    first = face.ask("GET", "/bucket/up?attributes", headers)
    assert first.text("ObjectParts/PartsCount") == "3"
    assert first.texts("ObjectParts/Part/Size") == ["120", "100"]
    assert (first.text("ObjectParts/IsTruncated"), first.text("ObjectParts/NextPartNumberMarker")) == ("true", "2")
    assert first.text("ETag").endswith("-3")
    second = face.ask("GET", "/bucket/up?attributes", headers | {"x-amz-part-number-marker": "2"})
    assert second.texts("ObjectParts/Part/PartNumber") == ["3"]
    assert second.text("ObjectParts/IsTruncated") == "false"
    for wrong in ({"x-amz-max-parts": "-1"}, {"x-amz-part-number-marker": "1" * 5000}):
        assert face.ask("GET", "/bucket/up?attributes", headers | wrong).code == "InvalidArgument"

"""Requests signed by botocore are accepted, altered ones are refused with S3's codes."""

import time
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.core.system import SystemClock
from rustfs.http.messages import Headers
from rustfs.iam.keys import KeyRing, root_credentials
from rustfs.s3.auth import Authenticator, PayloadKind
from rustfs.s3.errors import S3Error
from tests.s3.signing import ACCESS_KEY, REGION, SECRET_KEY, FixedClock, request_of, sign_with_botocore

KEYS = KeyRing(root_credentials(ACCESS_KEY, SECRET_KEY))
EXAMPLE_MILLISECONDS = 1_369_353_600_000  # 20130524T000000Z
EXAMPLE = {
    "Host": "examplebucket.s3.amazonaws.com",
    "Range": "bytes=0-9",
    "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "x-amz-date": "20130524T000000Z",
    "Authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
    "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
    "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
}
PRESIGNED = (
    "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
    "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)
HOST = {"Host": "examplebucket.s3.amazonaws.com"}

odd_text = st.text("ab/. +%&=?#~é猫\u00a0$'\"<>*", max_size=12)


def authenticator(region=REGION, seconds=0.0):
    return Authenticator(KEYS, region, FixedClock(EXAMPLE_MILLISECONDS + int(seconds * 1000)))


def refusal(request, *, region=REGION, seconds=0.0, host=None):
    with pytest.raises(S3Error) as raised:
        authenticator(region, seconds).verify(request, host=host)
    return raised.value


def altered(**changes):
    """The example request with headers replaced, or removed where None."""
    names = {name.replace("_", "-").lower(): value for name, value in changes.items()}
    headers = {name.lower(): value for name, value in EXAMPLE.items()} | names
    return request_of("GET", "/test.txt", {name: value for name, value in headers.items() if value is not None})


def test_the_published_example_is_accepted():
    known = authenticator().verify(request_of("GET", "/test.txt", EXAMPLE))
    assert known.access_key == ACCESS_KEY
    assert known.payload is PayloadKind.SIGNED
    assert known.content_sha256 == bytes.fromhex(EXAMPLE["x-amz-content-sha256"])
    assert known.seed_signature == EXAMPLE["Authorization"].rpartition("=")[2]
    assert (known.timestamp, known.scope) == ("20130524T000000Z", "20130524/us-east-1/s3/aws4_request")


def test_the_published_presigned_example_is_accepted():
    known = authenticator(seconds=86_000).verify(request_of("GET", PRESIGNED, HOST))
    assert (known.payload, known.content_sha256) == (PayloadKind.UNSIGNED, None)


def test_no_key_shows_in_a_representation():
    known = authenticator().verify(request_of("GET", "/test.txt", EXAMPLE))
    assert known.signing_key.hex() not in repr(known)
    assert repr(known.signing_key) not in repr(known)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(key=odd_text, query=st.lists(st.tuples(odd_text.filter(bool), odd_text), max_size=3), presigned=st.booleans())
def test_botocores_signatures_of_odd_keys_and_queries_are_accepted(key, query, presigned):
    target = "/bucket/" + quote(key, safe="/~")
    if query:
        target += "?" + "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)
    request = sign_with_botocore("GET", target, {"x-amz-meta-a": "x  y"}, expires_seconds=60 if presigned else None)
    Authenticator(KEYS, REGION, SystemClock()).verify(request)
    with pytest.raises(S3Error) as raised:
        Authenticator(KEYS, REGION, SystemClock()).verify(replace(request, path=request.path + "x"))
    assert raised.value.code == "SignatureDoesNotMatch"


def test_escaping_may_differ_from_the_signers():
    request = sign_with_botocore("GET", "/bucket/a%2Bb%20%C3%A9?prefix=%C3%A9%2F", {})
    request.path = "/bucket/%61+b%20%c3%a9"
    request.query = "prefix=%c3%a9/"
    Authenticator(KEYS, REGION, SystemClock()).verify(request)


def test_a_payload_is_signed_with_the_request():
    request = sign_with_botocore("PUT", "/bucket/key", {}, payload=b"data")
    known = Authenticator(KEYS, REGION, SystemClock()).verify(request)
    assert known.content_sha256.hex() == request.headers.get("x-amz-content-sha256")


@pytest.mark.parametrize("kind", [kind for kind in PayloadKind if kind is not PayloadKind.SIGNED])
def test_kinds_of_payload(kind):
    request = altered(x_amz_content_sha256=kind.value)
    error = refusal(request)
    assert error.code == "SignatureDoesNotMatch"
    assert dict(error.details)["CanonicalRequest"].endswith(f"\n{kind.value}")


def test_a_wrong_signature_shows_what_was_signed():
    error = refusal(altered(range="bytes=0-10"))
    assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)
    details = dict(error.details)
    assert list(details) == ["AWSAccessKeyId", "StringToSign", "SignatureProvided", "CanonicalRequest"]
    assert details["AWSAccessKeyId"] == ACCESS_KEY
    assert details["StringToSign"].startswith(
        "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
    )
    assert "range:bytes=0-10\n" in details["CanonicalRequest"]


def test_the_host_may_be_given_by_who_knows_it_better():
    request = altered(host="127.0.0.1:9000")
    assert refusal(request).code == "SignatureDoesNotMatch"
    assert authenticator().verify(request, host=EXAMPLE["Host"]).access_key == ACCESS_KEY


AUTHORIZATION = EXAMPLE["Authorization"]
REFUSALS = {
    "anonymous": ({"authorization": None}, "AccessDenied", "Access Denied"),
    "empty": ({"authorization": ""}, "AccessDenied", "Access Denied"),
    "version 2": ({"authorization": "AWS AKID:c2ln"}, "InvalidRequest", "Please use AWS4-HMAC-SHA256"),
    "another scheme": ({"authorization": "Basic dTpw"}, "InvalidArgument", "Unsupported Authorization Type"),
    "no components": ({"authorization": "AWS4-HMAC-SHA256 x"}, "AuthorizationHeaderMalformed", '"x" is malformed'),
    "unknown key": ({"authorization": AUTHORIZATION.replace(ACCESS_KEY, "NOBODY")}, "InvalidAccessKeyId", ""),
    "another day": (
        {"authorization": AUTHORIZATION.replace("20130524", "20130523")},
        "AuthorizationHeaderMalformed",
        'Invalid credential date "20130523"',
    ),
    "not ASCII": ({"authorization": AUTHORIZATION[:-1] + "\xe9"}, "SignatureDoesNotMatch", ""),
    "no date": ({"x_amz_date": None}, "AccessDenied", "valid Date or x-amz-date header"),
    "a bad date": ({"x_amz_date": "20131324T000000Z"}, "AccessDenied", "valid Date or x-amz-date header"),
    "a date after all days": ({"x_amz_date": "Fri, 31 Dec 9999 23:59:59 -2359"}, "AccessDenied", "valid Date"),
    "no payload hash": ({"x_amz_content_sha256": None}, "InvalidRequest", "x-amz-content-sha256"),
    "a bad payload hash": ({"x_amz_content_sha256": "abc"}, "InvalidArgument", "or a valid sha256 value"),
    "signed with curves": (
        {"x_amz_content_sha256": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"},
        "NotImplemented",
        "",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    changes, code, sentence = REFUSALS[name]
    error = refusal(altered(**changes))
    assert error.code == code
    assert sentence in error.message


def test_the_date_header_serves_where_there_is_no_x_amz_date():
    error = refusal(altered(x_amz_date=None, date="Fri, 24 May 2013 02:00:00 +0200"))
    assert error.code == "SignatureDoesNotMatch"
    assert dict(error.details)["StringToSign"].split("\n")[1] == "20130524T000000Z"


@pytest.mark.parametrize("seconds", [901, -901])
def test_clocks_too_far_apart(seconds):
    error = refusal(altered(), seconds=seconds)
    assert (error.code, error.status) == ("RequestTimeTooSkewed", 403)
    assert dict(error.details)["MaxAllowedSkewMilliseconds"] == "900000"
    authenticator(seconds=seconds - 1 if seconds > 0 else seconds + 1).verify(altered())


def test_another_region_is_named():
    error = refusal(altered(), region="eu-west-1")
    assert error.code == "AuthorizationHeaderMalformed"
    assert "the region 'us-east-1' is wrong; expecting 'eu-west-1'" in error.message
    assert error.details == (("Region", "eu-west-1"),)
    assert error.headers == (("x-amz-bucket-region", "eu-west-1"),)
    assert authenticator(region="").verify(altered()).access_key == ACCESS_KEY


def test_headers_that_matter_must_be_signed():
    error = refusal(altered(x_amz_acl="public-read", x_amz_meta_a="1", accept="*/*"))
    assert (error.code, error.details) == ("AccessDenied", (("HeadersNotSigned", "x-amz-acl, x-amz-meta-a"),))
    without_host = AUTHORIZATION.replace("host;", "")
    for request in (altered(authorization=without_host), altered(authorization=without_host, host=None)):
        assert refusal(request).details == (("HeadersNotSigned", "host"),)


def test_a_repeated_header_counts_whole():
    request = altered()
    request.headers = Headers([*request.headers, ("range", "bytes=5-6")])
    assert "range:bytes=0-9,bytes=5-6\n" in dict(refusal(request).details)["CanonicalRequest"]


PRESIGNED_REFUSALS = {
    "another object": (("/test.txt", "/other.txt"), "SignatureDoesNotMatch", ""),
    "another expiry": (("Expires=86400", "Expires=86401"), "SignatureDoesNotMatch", ""),
    "an addition": (("&X-Amz-Expires", "&versionId=1&X-Amz-Expires"), "SignatureDoesNotMatch", ""),
    "no signature": (
        ("&X-Amz-Signature", "&other"),
        "AuthorizationQueryParametersError",
        "requires the X-Amz-Algorithm",
    ),
    "another algorithm": (("HMAC-SHA256", "HMAC-MD5"), "AuthorizationQueryParametersError", "X-Amz-Algorithm only"),
    "a bad credential": (("%2Fs3%2F", "%2F"), "AuthorizationQueryParametersError", "the Credential is mal-formed"),
    "a bad date": (("T000000Z", "T250000Z"), "AuthorizationQueryParametersError", "X-Amz-Date must be"),
    "another day": (("Date=20130524", "Date=20130525"), "AuthorizationQueryParametersError", "Invalid credential date"),
    "no number": (("86400", "day"), "AuthorizationQueryParametersError", "should be a number"),
    "no time at all": (("86400", "0"), "AccessDenied", "Request has expired"),
    "negative": (("86400", "-5"), "AuthorizationQueryParametersError", "must be non-negative"),
    "over a week": (("86400", "604801"), "AuthorizationQueryParametersError", "less than a week"),
    "aeons": (("86400", "9" * 5000), "AuthorizationQueryParametersError", "less than a week"),
    "unknown key": ((ACCESS_KEY, "NOBODY"), "InvalidAccessKeyId", ""),
}


@pytest.mark.parametrize("name", PRESIGNED_REFUSALS)
def test_presigned_refusals(name):
    change, code, sentence = PRESIGNED_REFUSALS[name]
    error = refusal(request_of("GET", PRESIGNED.replace(*change), HOST))
    assert error.code == code
    assert sentence in error.message


def test_presigned_time_runs_from_signing_to_expiry():
    request = request_of("GET", PRESIGNED, HOST)
    for seconds in (-899, 0, 86_399):
        authenticator(seconds=seconds).verify(request)
    late = refusal(request, seconds=86_400)
    assert (late.code, late.status, late.message) == ("AccessDenied", 403, "Request has expired")
    assert dict(late.details)["Expires"] == "2013-05-25T00:00:00Z"
    assert refusal(request, seconds=-901).message == "Request is not yet valid"


def test_presigned_region_is_named():
    error = refusal(request_of("GET", PRESIGNED, HOST), region="eu-west-1")
    assert error.code == "AuthorizationQueryParametersError"
    assert error.details == (("Region", "eu-west-1"),)


def test_presigned_requests_may_not_add_amz_headers():
    error = refusal(request_of("GET", PRESIGNED, {**HOST, "x-amz-acl": "public-read"}))
    assert error.details == (("HeadersNotSigned", "x-amz-acl"),)


def test_version_2_urls_and_two_ways_at_once():
    version_2 = "/test.txt?AWSAccessKeyId=a&Signature=b&Expires=1"
    assert refusal(request_of("GET", version_2, HOST)).code == "InvalidRequest"
    for target in (PRESIGNED, version_2):
        error = refusal(request_of("GET", target, EXAMPLE))
        assert error.code == "InvalidArgument"
        assert error.message.startswith("Only one auth mechanism allowed")
        assert SECRET_KEY not in str(error.details)


def test_a_prefix_that_looks_like_a_parameter_is_no_credential():
    request = request_of("GET", "/?prefix=X-Amz-Signature", HOST)
    assert refusal(request).code == "AccessDenied"


junk = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=20),
    st.sampled_from(
        [ACCESS_KEY, "20130524T000000Z", "host", "%", "/", "=", "86400", "-", "\u00b2", "AWS4-HMAC-SHA256"]
    ),
    st.just("AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"),
)
PARAMETERS = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature", "Content-Sha256")


@settings(deadline=None, derandomize=True, max_examples=300)
@given(values=st.lists(junk, min_size=7, max_size=7), changed=st.integers(0, 127))
def test_junk_in_a_presigned_url_is_refused(values, changed):
    known = dict(field.split("=", 1) for field in PRESIGNED.partition("?")[2].split("&"))
    for number, name in enumerate(PARAMETERS):
        if changed >> number & 1:
            known[f"X-Amz-{name}"] = values[number]
    query = "&".join(f"{name}={value}" for name, value in known.items())
    request = request_of("GET", f"/test.txt?{query}", HOST)
    try:
        authenticator().verify(request)
    except S3Error as error:
        assert error.status in (400, 403, 501)
    else:
        assert known["X-Amz-Signature"] in PRESIGNED


@settings(deadline=None, derandomize=True, max_examples=300)
@given(parts=st.lists(junk, max_size=6), name=st.sampled_from(["authorization", "x-amz-date", "x-amz-content-sha256"]))
def test_junk_in_a_header_is_refused(parts, name):
    value = "".join(parts)
    if name == "authorization":
        value = f"AWS4-HMAC-SHA256 {value}"
    with pytest.raises(S3Error) as raised:
        authenticator().verify(altered(**{name: value}))
    assert raised.value.status in (400, 403, 501)


def test_verifying_is_cheap():
    request = request_of("GET", "/test.txt", EXAMPLE)
    one = authenticator()
    one.verify(request)
    best = min(_seconds_of(one, request) for _ in range(20))
    assert best < 500e-6  # thirty times what it takes on an idle machine


def _seconds_of(one, request):
    started = time.perf_counter()
    one.verify(request)
    return time.perf_counter() - started

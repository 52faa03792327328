"""Who sent a request: Signature Version 4 in the Authorization header or in a presigned URL.

Sources: S3 API Reference, "Authenticating Requests (AWS Signature Version 4)"; codes and sentences are those that S3
answers. What a verified request says of its payload goes along with the answer, since the body is digested only while
it is read: the request is authentic at once, the body when it has ended.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import lru_cache
from typing import NoReturn

from rustfs.core.ports import Clock
from rustfs.http.messages import Request
from rustfs.iam.keys import KeyRing
from rustfs.s3 import sigv4
from rustfs.s3.errors import S3Error

SKEW_SECONDS_MAX = 15 * 60
EXPIRES_SECONDS_MAX = 7 * 24 * 3600

_SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}").fullmatch
_TIMESTAMP = re.compile(r"\d{8}T\d{6}Z", re.ASCII).fullmatch
_PRESIGNED_NAMES = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
)


class PayloadKind(Enum):
    """What x-amz-content-sha256 says of the body."""

    SIGNED = "SIGNED"  # its digest is part of the signature
    UNSIGNED = "UNSIGNED-PAYLOAD"
    STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


_KINDS = {kind.value: kind for kind in PayloadKind if kind is not PayloadKind.SIGNED}
_ASYMMETRIC = ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER")


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A request whose signature is right, and what is needed to verify its body.

    `signing_key` verifies a day's requests of one user, so it must not be logged.
    """

    access_key: str
    payload: PayloadKind
    content_sha256: bytes | None  # of a signed payload
    seed_signature: str
    signing_key: bytes
    timestamp: str  # YYYYMMDDTHHMMSSZ
    scope: str

    def __repr__(self) -> str:
        return f"Authenticated({self.access_key!r}, {self.payload.name}, {self.timestamp})"


class Authenticator:
    """Verifies requests. With region "" it accepts whichever region a client signed for."""

    def __init__(self, keys: KeyRing, region: str, clock: Clock) -> None:
        self._keys = keys
        self._region = region
        self._clock = clock

    def verify(self, request: Request, *, host: str | None = None) -> Authenticated:
        """Who sent the request; `host` replaces its Host header, for servers behind something that rewrites it.

        Raises S3Error with the code that S3 has for what is wrong.
        """
        authorization = request.headers.get("authorization")
        parameters = sigv4.parse_query(request.query) if _may_be_presigned(request.query) else {}
        presigned = any(name in parameters for name in ("X-Amz-Algorithm", "X-Amz-Signature", "X-Amz-Credential"))
        by_query = presigned or ("AWSAccessKeyId" in parameters and "Signature" in parameters)
        if not authorization:
            if presigned:
                return self._verify_presigned(request, parameters, host)
            if by_query:
                raise _version_2()
            raise S3Error("AccessDenied")
        if by_query:
            raise S3Error(
                "InvalidArgument",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
                "parameter or the Authorization header should be specified",
                details=(("ArgumentName", "Authorization"), ("ArgumentValue", authorization.partition(" ")[0])),
            )
        if authorization.startswith(sigv4.ALGORITHM + " "):
            return self._verify_header(request, authorization, host)
        if authorization.startswith("AWS "):
            raise _version_2()
        raise S3Error(
            "InvalidArgument",
            "Unsupported Authorization Type",
            details=(("ArgumentName", "Authorization"), ("ArgumentValue", authorization.partition(" ")[0])),
        )

    def _verify_header(self, request: Request, authorization: str, host: str | None) -> Authenticated:
        try:
            claim = sigv4.parse_authorization(authorization)
        except sigv4.Malformed as error:
            raise S3Error("AuthorizationHeaderMalformed", f"The authorization header is malformed; {error}") from error
        headers = sigv4.merge_headers(request.headers)
        timestamp = _request_timestamp(headers)
        if not timestamp.startswith(claim.date):
            raise S3Error(
                "AuthorizationHeaderMalformed",
                f'The authorization header is malformed; Invalid credential date "{claim.date}". This date is not the '
                f'same as X-Amz-Date: "{timestamp[:8]}".',
            )
        if self._region not in ("", claim.region):
            self._wrong_region("AuthorizationHeaderMalformed", "The authorization header is malformed", claim)
        now_seconds = self._clock.now_milliseconds() / 1000
        if abs(now_seconds - _seconds(timestamp)) > SKEW_SECONDS_MAX:
            raise S3Error(
                "RequestTimeTooSkewed",
                details=(
                    ("RequestTime", timestamp),
                    ("ServerTime", _iso(now_seconds)),
                    ("MaxAllowedSkewMilliseconds", str(SKEW_SECONDS_MAX * 1000)),
                ),
            )
        content = headers.get("x-amz-content-sha256")
        if content is None:
            raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
        query = sigv4.canonical_query(request.query)
        return self._check(request, claim, headers, query, timestamp, content, host)

    def _verify_presigned(self, request: Request, parameters: Mapping[str, str], host: str | None) -> Authenticated:
        if any(not parameters.get(name) for name in _PRESIGNED_NAMES):
            raise _bad_query(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
                "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
            )
        if parameters["X-Amz-Algorithm"] != sigv4.ALGORITHM:
            raise _bad_query(f'X-Amz-Algorithm only supports "{sigv4.ALGORITHM}"')
        try:
            claim = sigv4.claim(
                parameters["X-Amz-Credential"], parameters["X-Amz-SignedHeaders"], parameters["X-Amz-Signature"]
            )
        except sigv4.Malformed as error:
            raise _bad_query(f"Error parsing the X-Amz-Credential parameter; {error}") from error
        timestamp = parameters["X-Amz-Date"]
        if not _is_timestamp(timestamp):
            raise _bad_query("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
        if not timestamp.startswith(claim.date):
            raise _bad_query(
                f'Invalid credential date "{claim.date}". This date is not the same as X-Amz-Date: "{timestamp[:8]}".'
            )
        if self._region not in ("", claim.region):
            self._wrong_region(
                "AuthorizationQueryParametersError", "Error parsing the X-Amz-Credential parameter", claim
            )
        self._check_validity(timestamp, parameters["X-Amz-Expires"])
        headers = sigv4.merge_headers(request.headers)
        content = parameters.get("X-Amz-Content-Sha256") or headers.get("x-amz-content-sha256")
        query = sigv4.canonical_query(request.query, without="X-Amz-Signature")
        return self._check(request, claim, headers, query, timestamp, content or sigv4.UNSIGNED_PAYLOAD, host)

    def _check_validity(self, timestamp: str, expires: str) -> None:
        if not (expires.isascii() and expires.removeprefix("-").isdigit()):
            raise _bad_query("X-Amz-Expires should be a number")
        if len(expires) > 9 or int(expires) > EXPIRES_SECONDS_MAX:
            raise _bad_query(
                "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must "
                f"be less than {EXPIRES_SECONDS_MAX} seconds"
            )
        if int(expires) < 0:
            raise _bad_query("X-Amz-Expires must be non-negative")
        now_seconds = self._clock.now_milliseconds() / 1000
        signed_seconds = _seconds(timestamp)
        if now_seconds >= signed_seconds + int(expires):
            raise S3Error(
                "AccessDenied",
                "Request has expired",
                details=(
                    ("X-Amz-Expires", expires),
                    ("Expires", _iso(signed_seconds + int(expires))),
                    ("ServerTime", _iso(now_seconds)),
                ),
            )
        if signed_seconds > now_seconds + SKEW_SECONDS_MAX:
            raise S3Error(
                "AccessDenied",
                "Request is not yet valid",
                details=(("X-Amz-Date", timestamp), ("ServerTime", _iso(now_seconds))),
            )

    def _check(
        self,
        request: Request,
        claim: sigv4.Claim,
        headers: dict[str, str],
        query: str,
        timestamp: str,
        content: str,
        host: str | None,
    ) -> Authenticated:
        """What both ways have in common, once it is known where everything stands."""
        kind, content_sha256 = _payload(content)
        secret = self._keys.lookup(claim.access_key)
        if secret is None:
            raise S3Error("InvalidAccessKeyId", details=(("AWSAccessKeyId", claim.access_key),))
        if host is not None:
            headers["host"] = host
        _require_signed(headers, claim.signed_headers)
        canonical = sigv4.canonical_request(
            request.method, sigv4.canonical_path(request.path), query, headers, claim.signed_headers, content
        )
        scope = claim.scope
        to_sign = sigv4.string_to_sign(timestamp, scope, canonical)
        key = sigv4.signing_key(secret, claim.date, claim.region, claim.service)
        if not sigv4.same(sigv4.sign(key, to_sign), claim.signature):
            raise S3Error(
                "SignatureDoesNotMatch",
                details=(
                    ("AWSAccessKeyId", claim.access_key),
                    ("StringToSign", to_sign),
                    ("SignatureProvided", claim.signature),
                    ("CanonicalRequest", canonical),
                ),
            )
        return Authenticated(claim.access_key, kind, content_sha256, claim.signature, key, timestamp, scope)

    def _wrong_region(self, code: str, sentence: str, claim: sigv4.Claim) -> NoReturn:
        raise S3Error(
            code,
            f"{sentence}; the region '{claim.region}' is wrong; expecting '{self._region}'",
            details=(("Region", self._region),),
            headers=(("x-amz-bucket-region", self._region),),  # for answers to HEAD, which have no body
        )


def _may_be_presigned(query: str) -> bool:
    return bool(query) and ("X-Amz-" in query or "AWSAccessKeyId" in query)


def _version_2() -> S3Error:
    return S3Error(
        "InvalidRequest",
        f"The authorization mechanism you have provided is not supported. Please use {sigv4.ALGORITHM}.",
    )


def _bad_query(message: str) -> S3Error:
    return S3Error("AuthorizationQueryParametersError", message)


def _payload(content: str) -> tuple[PayloadKind, bytes | None]:
    kind = _KINDS.get(content)
    if kind is not None:
        return kind, None
    if _SHA256_HEX(content):
        return PayloadKind.SIGNED, bytes.fromhex(content)
    if content in _ASYMMETRIC:
        raise S3Error("NotImplemented")
    raise S3Error(
        "InvalidArgument",
        f"x-amz-content-sha256 must be {', '.join(_KINDS)} or a valid sha256 value.",
        details=(("ArgumentName", "x-amz-content-sha256"), ("ArgumentValue", content)),
    )


def _require_signed(headers: Mapping[str, str], signed_headers: str) -> None:
    signed = signed_headers.split(";")
    missing = [name for name in headers if (name.startswith("x-amz-") or name == "host") and name not in signed]
    if "host" not in headers and "host" not in signed:
        missing.append("host")
    if missing:
        raise S3Error(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            details=(("HeadersNotSigned", ", ".join(missing)),),
        )


def _request_timestamp(headers: Mapping[str, str]) -> str:
    """The time of a header-signed request: x-amz-date, else Date, in the form that is signed."""
    text = headers.get("x-amz-date") or headers.get("date", "")
    if _is_timestamp(text):
        return text
    try:
        moment = parsedate_to_datetime(text)
        timestamp = (moment if moment.tzinfo is None else moment.astimezone(UTC)).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, OverflowError):
        timestamp = ""
    if not _is_timestamp(timestamp):
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    return timestamp


def _is_timestamp(text: str) -> bool:
    if not _TIMESTAMP(text):
        return False
    try:
        _seconds(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=256)
def _seconds(timestamp: str) -> float:
    """Seconds since the epoch of YYYYMMDDTHHMMSSZ. Raises ValueError."""
    numbers = (timestamp[0:4], timestamp[4:6], timestamp[6:8], timestamp[9:11], timestamp[11:13], timestamp[13:15])
    year, month, day, hour, minute, second = map(int, numbers)
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

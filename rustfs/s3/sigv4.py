"""AWS Signature Version 4 as S3 computes it; text in, text out.

Sources: S3 API Reference, "Authenticating Requests (AWS Signature Version 4)" and its pages on the Authorization
header, query parameters, chunked uploads and trailing headers. S3 differs from other services: a path is encoded once
and never normalised, so `//` and `..` are names like any other.

Both sides must arrive at the same canonical request from what was sent, whichever characters a client chose to escape,
so path and query are decoded and encoded anew. Texts are the wire's bytes read as Latin-1; nothing here looks at a
clock.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINAL = "aws4_request"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256().hexdigest()

_PLAIN_PATH = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch
_PLAIN_QUERY = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch
_SPACES = re.compile(r"  +").sub


class Malformed(ValueError):
    """Credentials that cannot be read; the message completes S3's sentence on the header or the parameter."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who says to have signed, for which day, region and service, which headers, and the signature."""

    access_key: str
    date: str  # YYYYMMDD
    region: str
    service: str
    signed_headers: str  # as sent: names joined by ";"
    signature: str

    @property
    def scope(self) -> str:
        """The credential scope."""
        return f"{self.date}/{self.region}/{self.service}/{TERMINAL}"


def parse_authorization(value: str) -> Claim:
    """Read an Authorization header that begins with the algorithm's name. Raises Malformed."""
    fields: dict[str, str] = {}
    for component in value[len(ALGORITHM) :].split(","):
        name, equals, text = component.strip(" ").partition("=")
        if not equals:
            raise Malformed(f'the authorization component "{component.strip()}" is malformed.')
        fields[name] = text
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not fields.get(name):
            raise Malformed(
                f"the authorization header requires three components: Credential, SignedHeaders, and "
                f"Signature; {name} is missing."
            )
    return claim(fields["Credential"], fields["SignedHeaders"], fields["Signature"])


def claim(credential: str, signed_headers: str, signature: str) -> Claim:
    """A claim from its three parts, decoded. Raises Malformed."""
    parts = credential.rsplit("/", 4)  # from the right: an access key may hold slashes
    if len(parts) != 5 or not parts[0]:
        raise Malformed(f'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/{TERMINAL}".')
    access_key, date, region, service, terminal = parts
    if terminal != TERMINAL:
        raise Malformed(f'incorrect terminal "{terminal}". This endpoint uses "{TERMINAL}".')
    if service != "s3":
        raise Malformed(f'incorrect service "{service}". This endpoint belongs to "s3".')
    if not (len(date) == 8 and date.isascii() and date.isdigit()):
        raise Malformed(
            f'incorrect date format "{date}". This date in the credential must be in the format "yyyyMMdd".'
        )
    return Claim(access_key, date, region, service, signed_headers, signature)


def parse_query(query: str) -> dict[str, str]:
    """Parameters by name, decoded to Latin-1 text; the first of each name counts."""
    parameters: dict[str, str] = {}
    for field in query.split("&"):
        name, _, value = field.partition("=")
        parameters.setdefault(_decode(name).decode("latin-1"), _decode(value).decode("latin-1"))
    return parameters


def canonical_path(path: str) -> str:
    """The path in the canonical request: each byte but the unreserved ones and "/" percent-encoded, once."""
    if _PLAIN_PATH(path):
        return path
    return quote_from_bytes(unquote_to_bytes(path.encode("latin-1")), "/")


def canonical_query(query: str, without: str = "") -> str:
    """The query in the canonical request: encoded, sorted by name, then value; `without` one parameter."""
    if not query:
        return ""
    pairs = []
    for field in query.split("&"):
        if field:
            name, _, value = field.partition("=")
            pairs.append((_encode(name), _encode(value)))
    pairs.sort()
    return "&".join([f"{name}={value}" for name, value in pairs if name != without])


def _decode(text: str) -> bytes:
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1"))


def _encode(text: str) -> str:
    if _PLAIN_QUERY(text):
        return text
    return quote_from_bytes(_decode(text), "")


def merge_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by name, repeated ones joined with commas in order of arrival."""
    merged: dict[str, str] = {}
    for name, value in headers:
        merged[name] = f"{merged[name]},{value}" if name in merged else value
    return merged


def canonical_request(
    method: str, path: str, query: str, headers: Mapping[str, str], signed_headers: str, payload_hash: str
) -> str:
    """The canonical request; path and query are canonical already, a signed header that is absent counts as empty.

    Spaces around a value are dropped and runs of them become one; other white space stays, since str.strip would take
    bytes of UTF-8 sequences for it.
    """
    lines = [method, path, query]
    for name in signed_headers.split(";"):
        value = headers.get(name, "").strip(" \t")
        if "  " in value:
            value = _SPACES(" ", value)
        lines.append(f"{name}:{value}")
    lines += ("", signed_headers, payload_hash)
    return "\n".join(lines)


def string_to_sign(timestamp: str, scope: str, canonical: str) -> str:
    """What is signed for a request; `timestamp` is YYYYMMDDTHHMMSSZ."""
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{hashlib.sha256(canonical.encode('latin-1')).hexdigest()}"


@lru_cache(maxsize=1024)
def signing_key(secret_key: str, date: str, region: str, service: str) -> bytes:
    """The key of one secret for one day, region and service."""
    key = f"AWS4{secret_key}".encode()
    for part in (date, region, service, TERMINAL):
        key = hmac.digest(key, part.encode("latin-1"), "sha256")
    return key


def sign(key: bytes, text: str) -> str:
    """The signature of a string to sign, in hexadecimal."""
    return hmac.digest(key, text.encode("latin-1"), "sha256").hex()


def chunk_signature(key: bytes, timestamp: str, scope: str, previous: str, chunk_sha256: str) -> str:
    """The signature of one chunk of a body, chained to the previous one (the first to the request's)."""
    return sign(key, f"{ALGORITHM}-PAYLOAD\n{timestamp}\n{scope}\n{previous}\n{EMPTY_SHA256}\n{chunk_sha256}")


def trailer_signature(key: bytes, timestamp: str, scope: str, previous: str, trailers: bytes) -> str:
    """The signature of the trailing headers, each as `name:value` and a newline."""
    digest = hashlib.sha256(trailers).hexdigest()
    return sign(key, f"{ALGORITHM}-TRAILER\n{timestamp}\n{scope}\n{previous}\n{digest}")


def same(one: str, other: str) -> bool:
    """Whether two signatures are equal, in time that tells nothing of where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())

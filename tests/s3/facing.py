"""The S3 face over the layer in memory, asked without a socket: signed requests in, whole answers out.

Every answer is framed and its head rendered as the server would do it, so that no test passes on an answer that HTTP
could not carry.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote
from xml.etree.ElementTree import Element, fromstring

from prometheus_client import CollectorRegistry

from rustfs.http.answer import frame, render_head
from rustfs.http.messages import Headers, Request, Response
from rustfs.iam.keys import KeyRing, root_credentials
from rustfs.s3 import sigv4
from rustfs.s3.auth import Authenticator
from rustfs.s3.face import S3Face
from rustfs.s3.metrics import FaceMetrics
from tests.s3.memory_layer import MemoryLayer
from tests.s3.signing import ACCESS_KEY, REGION, SECRET_KEY, FixedClock, PiecedBody, request_of

NOW_MILLISECONDS = 1_700_000_000_500
HOST = "localhost:9000"
STORAGE_CLASSES = ("STANDARD", "REDUCED_REDUNDANCY")
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@dataclass(frozen=True)
class Reply:
    """An answer, whole."""

    status: int
    headers: dict[str, str]
    body: bytes
    length_bytes: int | None  # as Content-Length says it

    @property
    def xml(self) -> Element:
        """The document, names without namespace."""
        assert self.headers["content-type"] == "application/xml"
        root = fromstring(self.body.decode())
        for each in root.iter():
            each.tag = each.tag.removeprefix(NAMESPACE)
        return root

    @property
    def code(self) -> str:
        """The code of the error that this must be."""
        assert self.status >= 300, self
        root = self.xml
        assert root.tag == "Error", self.body
        return root.findtext("Code", "")

    def text(self, path: str) -> str | None:
        """The text at a path of the document."""
        return self.xml.findtext(path)

    def texts(self, path: str) -> list[str]:
        """All texts at a path of the document."""
        return [each.text or "" for each in self.xml.findall(path)]


class Facing:
    """A face, and a client of it who signs. Header names repeat where `headers` is a list of pairs."""

    def __init__(self, runner: asyncio.Runner, *, region: str = REGION, domains: Sequence[str] = ()) -> None:
        self._runner = runner
        self.clock = FixedClock(NOW_MILLISECONDS)
        self.layer = MemoryLayer(self.clock, part_bytes_min=100)
        self.keys = KeyRing(root_credentials(ACCESS_KEY, SECRET_KEY))
        self.registry = CollectorRegistry()
        self.region = region
        authenticator = Authenticator(self.keys, region, self.clock)
        metrics = FaceMetrics(self.registry)
        self.face = S3Face(self.layer, authenticator, self.keys, region, domains, metrics, self.clock, STORAGE_CLASSES)

    def ask(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        pieces: PiecedBody | None = None,
        lengthless: bool = False,
    ) -> Reply:
        """The answer to a signed request."""
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        pieces = pieces or PiecedBody([body[:7], body[7:]])
        if method in ("PUT", "POST") and not lengthless:
            pairs.append(("content-length", str(pieces.length_bytes)))
        return self.send(self.signed(request_of(method, target, pairs, pieces)))

    def signed(self, request: Request) -> Request:
        """The request with a host, a date and a signature over all that must be signed."""
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.clock.now_milliseconds() / 1000))
        pairs = list(request.headers)
        if "host" not in request.headers:
            pairs.append(("host", HOST))
        if "x-amz-content-sha256" not in request.headers:
            pairs.append(("x-amz-content-sha256", "UNSIGNED-PAYLOAD"))
        pairs.append(("x-amz-date", timestamp))
        merged = sigv4.merge_headers(pairs)
        names = ";".join(sorted(name for name in merged if name == "host" or name.startswith("x-amz-")))
        canonical = sigv4.canonical_request(
            request.method,
            sigv4.canonical_path(request.path),
            sigv4.canonical_query(request.query),
            merged,
            names,
            merged["x-amz-content-sha256"],
        )
        region = self.region or REGION
        scope = f"{timestamp[:8]}/{region}/s3/aws4_request"
        key = sigv4.signing_key(SECRET_KEY, timestamp[:8], region, "s3")
        signature = sigv4.sign(key, sigv4.string_to_sign(timestamp, scope, canonical))
        credential = f"Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
        return replace(request, headers=Headers([*pairs, ("authorization", f"AWS4-HMAC-SHA256 {credential}")]))

    def send(self, request: Request) -> Reply:
        """The answer to a request as it is."""
        return self._runner.run(self._whole(request))

    async def _whole(self, request: Request) -> Reply:
        return await whole(request, await self.face.handle(request))

    def make_bucket(self, bucket: str = "bucket") -> None:
        """An empty bucket."""
        assert self.ask("PUT", f"/{bucket}").status == 200

    def put(self, key: str, data: bytes = b"data", headers: dict[str, str] | None = None) -> Reply:
        """An object in the bucket "bucket"."""
        reply = self.ask("PUT", target_of(key), headers or {}, data)
        assert reply.status == 200, reply
        return reply

    def sample(self, name: str, **labels: str) -> float:
        """A metric's value."""
        return self.registry.get_sample_value(name, labels) or 0.0


async def whole(request: Request, response: Response) -> Reply:
    """An answer sent as the server sends it, but to nowhere."""
    head_only = request.method == "HEAD"
    framing = frame(response, head_only=head_only, http11=True, keep_alive=True)
    render_head(response, framing, http11=True)
    body = b""
    if framing.has_body:
        if isinstance(response.body, bytes):
            body = response.body
        else:
            async for piece in response.body:
                body += piece if isinstance(piece, bytes | bytearray | memoryview) else b"".join(piece)
        assert framing.length_bytes == len(body)
    if response.finished is not None:
        response.finished(len(body), True)
    headers = dict(response.headers)
    assert len(headers) == len(response.headers), response.headers
    return Reply(response.status, headers, body, framing.length_bytes)


def target_of(key: str, bucket: str = "bucket") -> str:
    """The request target of a key."""
    return f"/{bucket}/{quote(key, safe='/')}"


@contextlib.contextmanager
def facing(**options) -> Iterator[Facing]:
    """A face of one's own, for tests that want it otherwise than the fixture has it."""
    with asyncio.Runner() as runner:
        yield Facing(runner, **options)

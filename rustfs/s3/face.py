"""The S3 face: requests in, answers out; authentication first, one table of errors, metrics for all of it."""

import logging
import os
from collections.abc import Sequence

from rustfs.core.errors import ObjectError
from rustfs.core.ports import Clock
from rustfs.http.messages import HttpError, Request, Response
from rustfs.iam.keys import KeyRing
from rustfs.objects.layer import ObjectLayer
from rustfs.s3.address import Address, address_of, can_exist
from rustfs.s3.auth import Authenticator
from rustfs.s3.call import Call, Environment
from rustfs.s3.errors import S3Error
from rustfs.s3.failures import s3_error
from rustfs.s3.metrics import FaceMetrics
from rustfs.s3.refusals import check_owner, check_supported
from rustfs.s3.router import route
from rustfs.s3.tracing import NoTracer, Tracer, event_of
from rustfs.s3.xmltext import HEAD, XML, element

log = logging.getLogger("rustfs.s3")

_HTTP_CODES = {
    400: "BadRequest",
    408: "RequestTimeout",
    431: "RequestHeaderSectionTooLarge",
    501: "NotImplemented",
    503: "SlowDown",  # clients try again, as they should where there are too many connections
}
_CLIENT_CLOSED = 499  # nobody reads it: for metrics only


class S3Face:
    """See the module."""

    def __init__(
        self,
        layer: ObjectLayer,
        authenticator: Authenticator,
        keys: KeyRing,
        region: str,
        domains: Sequence[str],
        metrics: FaceMetrics,
        clock: Clock,
        storage_classes: Sequence[str],
        tracer: Tracer | None = None,
    ) -> None:
        self._environment = Environment(layer, keys, region, clock, storage_classes)
        self._authenticator = authenticator
        self._domains = tuple(domains)
        self._metrics = metrics
        self._clock = clock
        self._tracer = tracer or NoTracer()

    async def handle(self, request: Request) -> Response:
        """Answer a request; never raises but for cancellation."""
        self._metrics.started()
        name = "Unknown"
        address: Address | None = None
        try:
            address = address_of(request, self._domains)
            found = route(
                request.method,
                address.bucket,
                address.key,
                address.query,
                copies="x-amz-copy-source" in request.headers,
            )
            name = found.name
            authenticated = self._authenticator.verify(request)
            check_supported(request.headers, name)
            check_owner(request.headers, self._environment.keys.root.owner_id)
            if (address.bucket or address.key) and name != "CreateBucket" and not can_exist(address.bucket):
                raise S3Error("NoSuchBucket" if name != "HeadBucket" else "BadRequest")
            call = Call(self._environment, request, address.bucket, address.key, address.query, authenticated)
            response = await found.operation(call)
        except S3Error as error:
            response = self._answer(request, error)
        except ObjectError as error:
            response = self._answer(request, s3_error(error))
        except HttpError as error:
            response = self.refused(error, request)
        except Exception:
            response = self._answer(request, S3Error("InternalError"))
            log.exception("%s %s failed (request %s)", name, request.path, _request_id_of(response))
        except BaseException:
            self._metrics.answered(name, _CLIENT_CLOSED, self._elapsed(request), 0)
            self._finished(name, request, address, _CLIENT_CLOSED, 0, "")
            raise
        self._measure(name, request, address, response, _identify(response))
        return response

    def refused(self, error: HttpError, request: Request | None) -> Response:
        """The answer to what HTTP itself refuses."""
        code = _HTTP_CODES.get(error.status, "BadRequest")
        response = self._answer(request, S3Error(code, error.reason if code == "BadRequest" else ""))
        response.close = True
        _identify(response)
        return response

    def failed(self, request: Request, error: BaseException) -> Response:
        """The answer where a handler raised."""
        if isinstance(error, S3Error):
            response = self._answer(request, error)
        elif isinstance(error, ObjectError):  # a stream's, before its first byte
            response = self._answer(request, s3_error(error))
        elif isinstance(error, HttpError):
            return self.refused(error, request)
        else:
            log.error("%s %s failed", request.method, request.path, exc_info=error)
            response = self._answer(request, S3Error("InternalError"))
        _identify(response)
        return response

    def _answer(self, request: Request | None, error: S3Error) -> Response:
        headers = [XML, *error.headers]
        if error.code == "NotModified":
            return Response(304, list(error.headers))
        if request is not None and request.method == "HEAD":
            return Response(error.status, list(error.headers))
        return Response(error.status, headers, _error_document(request, error, self._domains))

    def _measure(
        self, name: str, request: Request, address: Address | None, response: Response, request_id: str
    ) -> None:
        self._metrics.answered(name, response.status, self._elapsed(request), _received_bytes(request))

        def finished(sent_bytes: int, _complete: bool) -> None:
            self._finished(name, request, address, response.status, sent_bytes, request_id)

        response.finished = finished

    def _finished(
        self, name: str, request: Request, address: Address | None, status: int, sent_bytes: int, request_id: str
    ) -> None:
        seconds = self._elapsed(request)
        self._metrics.finished(name, seconds, sent_bytes)
        if self._tracer.wanted():
            now_ms, received_bytes = self._clock.now_milliseconds(), _received_bytes(request)
            self._tracer.tell(
                event_of(request, address, name, status, now_ms, seconds, received_bytes, sent_bytes, request_id)
            )

    def _elapsed(self, request: Request) -> float:
        return self._clock.monotonic_seconds() - request.started_seconds


def _error_document(request: Request | None, error: S3Error, domains: Sequence[str]) -> bytes:
    parts = [element("Code", error.code), element("Message", error.message)]
    named = {name for name, _ in error.details}
    if request is not None:
        address = _address_if_readable(request, domains)
        if address is not None:
            if address.bucket and "BucketName" not in named:
                parts.append(element("BucketName", address.bucket))
            if address.key:
                parts.append(element("Key", address.key))
        parts.append(element("Resource", request.path))
    parts += [element(name, value) for name, value in error.details]
    request_id = os.urandom(8).hex().upper()
    parts.append(f"<RequestId>{request_id}</RequestId><HostId>{_HOST_ID}</HostId>")
    return f"{HEAD}<Error>{''.join(parts)}</Error>".encode("utf-8", "surrogatepass")


def _address_if_readable(request: Request, domains: Sequence[str]) -> Address | None:
    try:
        return address_of(request, domains)
    except S3Error:
        return None


_HOST_ID = os.urandom(16).hex()
_ID_MARK = b"<RequestId>"


def _request_id_of(response: Response) -> str:
    """The request id that an error document names, or a new one."""
    body = response.body
    if isinstance(body, bytes):
        start = body.find(_ID_MARK)
        if start >= 0:
            return body[start + len(_ID_MARK) : start + len(_ID_MARK) + 16].decode()
    return os.urandom(8).hex().upper()


def _received_bytes(request: Request) -> int:
    return request.body.length_bytes or 0 if request.method in ("PUT", "POST") else 0


def _identify(response: Response) -> str:
    """Give the answer its request id."""
    request_id = _request_id_of(response) if response.status >= 400 else os.urandom(8).hex().upper()
    response.headers += [("x-amz-request-id", request_id), ("x-amz-id-2", _HOST_ID)]
    return request_id

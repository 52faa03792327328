"""The answer to S3 requests while the node finds its peers and drives: come back soon."""

import os

from rustfs.http.messages import HttpError, Request, Response
from rustfs.s3.errors import S3Error
from rustfs.s3.xmltext import HEAD, XML, element

RETRY_AFTER_SECONDS = 2


class Starting:
    """In the place of the S3 face until there is one."""

    async def handle(self, request: Request) -> Response:
        """Answer any request."""
        return self.failed(request, S3Error("ServiceUnavailable", "The node is starting. Please retry."))

    def refused(self, error: HttpError, _request: Request | None) -> Response:
        """Answer what HTTP itself refuses."""
        response = _answer(error.status, "BadRequest", error.reason)
        response.close = True
        return response

    def failed(self, request: Request, error: BaseException) -> Response:
        """Answer where a handler raised."""
        shown = error if isinstance(error, S3Error) else S3Error("InternalError")
        response = _answer(shown.status, shown.code, shown.message)
        if request.method == "HEAD":
            response.body = b""
        return response


def _answer(status: int, code: str, message: str) -> Response:
    request_id = os.urandom(8).hex().upper()
    parts = element("Code", code) + element("Message", message) + element("RequestId", request_id)
    headers = [XML, ("retry-after", str(RETRY_AFTER_SECONDS)), ("x-amz-request-id", request_id)]
    return Response(status, headers, f"{HEAD}<Error>{parts}</Error>".encode())

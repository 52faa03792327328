"""Signed requests to the admin API of a node; every way they fail is one sentence (ConfigurationError, exit code 2)."""

import hashlib
import http.client
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from rustfs.cli.endpoint import Endpoint, endpoint_of
from rustfs.core.errors import ConfigurationError
from rustfs.node.settings import DEFAULT_KEY, DEFAULT_REGION, read_secret
from rustfs.s3 import sigv4

TIMEOUT_SECONDS = 30.0  # of silence: a stream that has nothing to say sends an empty line more often than that

Address = Annotated[str, typer.Option(envvar="RUSTFS_ADDRESS", metavar="[https://]HOST:PORT", help="The node to ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Print JSON, a line for each event, for programs.")]


@dataclass(frozen=True, slots=True)
class Node:
    """A node and the keys to it."""

    endpoint: Endpoint
    access_key: str
    secret_key: str
    region: str

    def get(self, name: str) -> Any:  # noqa: ANN401 -- JSON, shown as it comes
        """A fact. Raises ConfigurationError."""
        return self._whole("GET", name, {})

    def post(self, name: str, parameters: Mapping[str, str]) -> Any:  # noqa: ANN401 -- JSON, shown as it comes
        """What came of an action. Raises ConfigurationError."""
        return self._whole("POST", name, parameters)

    def stream(self, method: str, name: str, parameters: Mapping[str, str]) -> Iterator[Any]:
        """The lines of a stream as they come; closing the iterator ends the stream. Raises ConfigurationError."""
        connection = self.endpoint.connection(TIMEOUT_SECONDS)
        try:
            with self._ask(connection, method, name, parameters) as response:
                while line := self._read_line(response):
                    if not line.isspace():
                        yield json.loads(line)
        finally:
            connection.close()

    def _whole(self, method: str, name: str, parameters: Mapping[str, str]) -> Any:  # noqa: ANN401 -- JSON
        connection = self.endpoint.connection(TIMEOUT_SECONDS)
        try:
            with self._ask(connection, method, name, parameters) as response:
                return json.loads(response.read())
        except (OSError, http.client.HTTPException) as error:
            raise self.endpoint.unreachable(error) from error
        finally:
            connection.close()

    def _read_line(self, response: http.client.HTTPResponse) -> bytes:
        try:
            line = response.readline()
        except (OSError, http.client.HTTPException) as error:
            raise ConfigurationError(
                f"the node at {self.endpoint.authority} broke off its answer: {str(error) or 'the connection is gone'}"
            ) from error
        if line and not line.endswith(b"\n"):
            raise ConfigurationError(f"the node at {self.endpoint.authority} broke off its answer")
        return line

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, name: str, parameters: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        """A successful answer, its body unread. Raises ConfigurationError."""
        path, query = f"/rustfs/admin/v1/{name}", urlencode(sorted(parameters.items()), quote_via=quote, safe="")
        try:
            connection.request(method, f"{path}?{query}" if query else path, headers=self._headers(method, path, query))
            response = connection.getresponse()
            body = b"" if response.status == http.client.OK else response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self.endpoint.unreachable(error) from error
        if response.status == http.client.OK:
            return response
        raise ConfigurationError(_refusal(self.endpoint.authority, response.status, body))

    def _headers(self, method: str, path: str, query: str) -> dict[str, str]:
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        payload = hashlib.sha256(b"").hexdigest()
        headers = {"host": self.endpoint.authority, "x-amz-content-sha256": payload, "x-amz-date": timestamp}
        signed = ";".join(sorted(headers))
        canonical = sigv4.canonical_request(method, path, sigv4.canonical_query(query), headers, signed, payload)
        scope = f"{timestamp[:8]}/{self.region}/s3/aws4_request"
        key = sigv4.signing_key(self.secret_key, timestamp[:8], self.region, "s3")
        signature = sigv4.sign(key, sigv4.string_to_sign(timestamp, scope, canonical))
        credential = f"Credential={self.access_key}/{scope}"
        authorization = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={signed}, Signature={signature}"
        return {**headers, "authorization": authorization}


def node_at(address: str, environment: Mapping[str, str] = os.environ) -> Node:
    """The node to ask, with the keys and the region of the environment. Raises ConfigurationError."""
    return Node(
        endpoint_of(address, environment),
        read_secret(environment, "RUSTFS_ACCESS_KEY") or DEFAULT_KEY,
        read_secret(environment, "RUSTFS_SECRET_KEY") or DEFAULT_KEY,
        environment.get("RUSTFS_REGION") or DEFAULT_REGION,
    )


def _refusal(authority: str, status: int, body: bytes) -> str:
    if status == http.client.FORBIDDEN:
        if b"<Code>RequestTimeTooSkewed</Code>" in body:
            return f"the clocks of this machine and of the node at {authority} differ by more than 15 minutes"
        return f"the node at {authority} refused the keys; set RUSTFS_ACCESS_KEY and RUSTFS_SECRET_KEY to its own"
    if b"<Code>AuthorizationHeaderMalformed</Code>" in body:
        return f"the node at {authority} is in another region; set RUSTFS_REGION to its own"
    try:
        reason = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError):
        if status == http.client.NOT_FOUND:
            return f"what answers at {authority} does not know this request; is it a RustFS node of this version?"
        return f"the node at {authority} answered with status {status}"
    return f"the node at {authority} says: {reason}"

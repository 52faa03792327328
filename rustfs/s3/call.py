"""What every operation is handed: the request, what it is about, who sent it, and the rooms it may use."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rustfs.core.ports import Clock
from rustfs.http.messages import Request, Response
from rustfs.iam.keys import Credentials, KeyRing
from rustfs.objects.layer import ObjectLayer
from rustfs.s3.auth import Authenticated
from rustfs.s3.body import read_small
from rustfs.s3.errors import S3Error
from rustfs.s3.numbers import whole_number

XML_BYTES_MAX = 2 << 20
NUMBER_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Environment:
    """What the face was built with."""

    layer: ObjectLayer
    keys: KeyRing
    region: str
    clock: Clock
    storage_classes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request."""

    environment: Environment
    request: Request
    bucket: str
    key: str
    query: dict[str, str]
    authenticated: Authenticated

    @property
    def layer(self) -> ObjectLayer:
        """The object layer."""
        return self.environment.layer

    @property
    def owner(self) -> Credentials:
        """Who owns every bucket and object."""
        return self.environment.keys.root

    def header(self, name: str) -> str | None:
        """A header's value, as the wire's bytes read as Latin-1."""
        return self.request.headers.get(name)

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number of the query, of 31 bits; it is cut to `high`. Raises S3Error InvalidArgument."""
        text = self.query.get(name)
        if text is None or text == "":
            return default
        value = whole_number(text)
        if value is None or not low <= value <= NUMBER_MAX:
            raise S3Error(
                "InvalidArgument",
                f"Argument {name} must be an integer between {low} and {NUMBER_MAX}",
                details=(("ArgumentName", name), ("ArgumentValue", text)),
            )
        return min(value, high)

    async def document(self, *, checksummed: bool = True) -> bytes:
        """The request's body, where it is an XML document."""
        return await read_small(
            self.request, self.authenticated, XML_BYTES_MAX, "MaxMessageLengthExceeded", checksummed=checksummed
        )


Operation: TypeAlias = Callable[[Call], Awaitable[Response]]

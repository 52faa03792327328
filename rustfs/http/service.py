"""What all connections of one server share."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from rustfs.http.limits import Limits
from rustfs.http.messages import HttpError, Request, Response

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
Refuser: TypeAlias = Callable[[HttpError, Request | None], Response]
Excuser: TypeAlias = Callable[[Request, BaseException], Response]


@dataclass(slots=True)
class Service:
    """The face behind the server, its limits, and who is being served."""

    handler: Handler
    limits: Limits
    on_refused: Refuser
    on_error: Excuser
    clock: Callable[[], float]  # monotonic, seconds
    stopping: bool = False
    running: set[asyncio.Task[None]] = field(default_factory=set)  # requests in flight

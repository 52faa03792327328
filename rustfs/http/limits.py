"""What the server grants a client, in bytes and in seconds; beyond it the client is refused, or cut off."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that keep one client from holding what all share. All times are checked once per sweep, so they are lower
    bounds, late by a second at most."""

    header_bytes_max: int = 16 << 10  # a longer head is refused with 431
    idle_seconds: float = 75.0  # a connection without a request is closed quietly
    head_seconds: float = 20.0  # from the first byte of a head to its last; then 408
    body_stall_seconds: float = 30.0  # no byte of the body while a handler waits for one: BodyBroken 408
    write_stall_seconds: float = 60.0  # the client takes none of our bytes: the connection is aborted
    drain_bytes_max: int = 1 << 20  # of a body that nobody read, thrown away to keep the connection
    drain_seconds: float = 5.0  # for the same
    handshake_seconds: float = 10.0  # of TLS, from the connection on; then it is cut off
    goodbye_seconds: float = 3.0  # for the client to answer the end of a TLS connection; then it is cut off
    connections_max: int = 10_000  # more are answered 503 and closed

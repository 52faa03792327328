"""The node's listening sockets."""

import socket


def reserved_socket(host: str, port: int) -> socket.socket:
    """The node's own hold on its port, before any worker listens. Raises OSError where somebody else has it.

    The kernel lets all programs of one user share a port that each of them binds as shared, so two nodes would answer
    each other's clients: a socket that is not shared finds out first.
    """
    bound_socket(host, port, shared=False).close()
    return bound_socket(host, port, shared=True)


def bound_socket(host: str, port: int, *, shared: bool) -> socket.socket:
    """A bound TCP socket; `shared` lets the node's workers bind the same address. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6 and host == "::":
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound

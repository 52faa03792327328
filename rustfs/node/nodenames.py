"""Names of nodes, "host:port", and the addresses that follow from them: pure.

A node is named by the address of its S3 listener as the volumes spell it. Its peers reach it on the same host under
another port: the one given by --peer-port, or else the S3 port + 1000.
"""

import ipaddress
import re
from collections.abc import Sequence

from rustfs.core.errors import ConfigurationError

PEER_PORT_OFFSET = 1000
PORT_MAX = 65_535
HOST_LENGTH_MAX = 253  # RFC 1035
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def node_name(authority: str, default_port: int, volume: str) -> str:
    """The node's name by the host and port of a URL, in one spelling only.

    Args:
        authority: HOST, HOST:PORT or [IPV6]:PORT.
        default_port: where none is given.
        volume: the URL, for the message.

    Raises:
        ConfigurationError
    """
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]*))(?::(\d{1,5}))?", authority)
    if match is None or (match[3] and not 0 < int(match[3]) <= PORT_MAX):
        raise ConfigurationError(f"{volume} has no good host and port: URLs of drives look like http://node1:9000/data")
    host = (match[1] or match[2]).lower().removesuffix(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # What looks like a number (127.1, 2130706433) would name the same node in a second way.
        if match[1] or not _HOST.fullmatch(host) or len(host) > HOST_LENGTH_MAX or re.fullmatch(r"[\d.]*", host):
            raise ConfigurationError(f"{volume} has no good host: {match[1] or match[2]!r}") from None
    else:
        if address.is_unspecified:
            raise ConfigurationError(f"{volume} names no host: {host} stands for all addresses of a node")
        host = str(address)
    return with_port(host, int(match[3] or default_port))


def with_port(host: str, port: int) -> str:
    """ "host:port", brackets around IPv6 addresses."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_node(node: str) -> tuple[str, int]:
    """Host (without brackets) and port of a node's name."""
    host, _, port = node.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def peer_addresses(nodes: Sequence[str], peer_port: int) -> dict[str, str]:
    """Where each node listens for its peers: node -> "host:port".

    Args:
        nodes: their names.
        peer_port: for all of them; 0: each one's S3 port + 1000.

    Raises:
        ConfigurationError: where the port is too high, or another listener's.
    """
    if not 0 <= peer_port <= PORT_MAX:
        raise ConfigurationError(f"--peer-port must be from 1 to {PORT_MAX}, not {peer_port}")
    addresses: dict[str, str] = {}
    taken = {node: f"the S3 address of {node}" for node in nodes}
    for node in nodes:
        host, port = split_node(node)
        if not peer_port and port + PEER_PORT_OFFSET > PORT_MAX:
            raise ConfigurationError(
                f"the node {node} would listen for its peers on port {port} + {PEER_PORT_OFFSET}, beyond {PORT_MAX}: "
                "set --peer-port"
            )
        address = with_port(host, peer_port or port + PEER_PORT_OFFSET)
        if address in taken:
            raise ConfigurationError(
                f"the node {node} would listen for its peers on {address}, which is {taken[address]}: choose other "
                "ports, or " + ("leave out --peer-port" if peer_port else "set --peer-port")
            )
        taken[address] = f"the peer address of {node}"
        addresses[node] = address
    return addresses

"""Which of the nodes that the volumes name is this one.

The rule (`own_node`, pure): its port is that of --address; and its host resolves to the address that --address names,
or, where --address means all interfaces, to an address of this machine. So several nodes live on one machine by
different ports, or by 127.0.0.x.

Names that do not resolve (yet) belong to other nodes. While none of the nodes is ours but a name might become so
(the DNS of a Kubernetes pod appears after its process), the question is asked again, up to a bound. Asking is blocking
I/O with a deadline: it is done before serving, on no event loop.
"""

import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from queue import Empty, SimpleQueue

from rustfs.core.errors import ConfigurationError
from rustfs.node.nodenames import split_node, with_port

log = logging.getLogger("rustfs.node")

RESOLVE_SECONDS = 60.0
_ROUND_SECONDS = 2.0
_PAUSE_SECONDS = 1.0
_THREADS_MAX = 16
_ADDRESS_FOREIGN = "192.0.2.1"  # RFC 5737: no machine has it

Addresses = frozenset[str]
Resolve = Callable[[Collection[str], float], Mapping[str, Addresses]]  # hosts, seconds -> addresses of those that have


def is_wildcard(host: str) -> bool:
    """Whether --address means all interfaces."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def own_node(
    nodes: Sequence[str],
    port: int,
    resolved: Mapping[str, Addresses],
    own_addresses: Addresses,
) -> str | None:
    """The node that this process is; None where none of them is.

    Args:
        nodes: names, "host:port".
        port: of --address.
        resolved: addresses by host; hosts that do not resolve are missing.
        own_addresses: those of --address, or of the local interfaces where it means them all.

    Raises:
        ConfigurationError: where several are.
    """
    own = []
    for node in nodes:
        host, node_port = split_node(node)
        if node_port == port and resolved.get(host, frozenset()) & own_addresses:
            own.append(node)
    if len(own) > 1:
        raise ConfigurationError(
            f"the volumes name this node more than once: {', '.join(own)} are all addresses of this machine; if they "
            "are several nodes, give --address the address of this one"
        )
    return own[0] if own else None


def find_own_node(nodes: Sequence[str], host: str, port: int, resolve: Resolve, wait_seconds: float) -> str:
    """The node that this process is, asking again while names may come to resolve to it.

    Args:
        nodes: names, "host:port".
        host: of --address.
        port: of --address.
        resolve: asks for addresses, bounded in time.
        wait_seconds: how long to go on where none is found.

    Raises:
        ConfigurationError: where none or several are.
    """
    hosts = sorted({split_node(node)[0] for node in nodes if split_node(node)[1] == port})
    if not hosts:
        raise ConfigurationError(
            f"none of the volumes' nodes is this one: none has the port {port} of --address "
            f"{with_port(host, port)} (nodes: {_some(nodes)})"
        )
    deadline = time.monotonic() + wait_seconds
    warned = False
    while True:
        resolved = _resolved(hosts, resolve)
        if is_wildcard(host):
            own_addresses = local_addresses(frozenset().union(*resolved.values()))
        else:
            own_addresses = _resolved([host], resolve).get(host, frozenset())
        node = own_node(nodes, port, resolved, own_addresses)
        if node is not None:
            return node
        if all(map(_is_literal, (*hosts, host))) or time.monotonic() + _PAUSE_SECONDS >= deadline:
            raise ConfigurationError(_nothing_found(hosts, host, port, resolved))
        if not warned:
            warned = True
            log.warning("%s; waiting up to %.0f s", _nothing_found(hosts, host, port, resolved), wait_seconds)
        time.sleep(_PAUSE_SECONDS)


def _resolved(hosts: Collection[str], resolve: Resolve) -> dict[str, Addresses]:
    literals = {each: frozenset({_canonical(each)}) for each in hosts if _is_literal(each)}
    names = [each for each in hosts if each not in literals]
    return literals | dict(resolve(names, _ROUND_SECONDS) if names else {})


def _nothing_found(hosts: Sequence[str], host: str, port: int, resolved: Mapping[str, Addresses]) -> str:
    looked = "an address of this machine" if is_wildcard(host) else f"{host}, the host of --address"
    found = [
        f"{each} is {', '.join(sorted(resolved[each]))}" if resolved.get(each) else f"{each} does not resolve"
        for each in hosts
    ]
    return (
        f"none of the volumes' nodes is this one: looked for {looked}, among the nodes with port {port}: {_some(found)}"
    )


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:8]) + (f" and {len(words) - 8} more" if len(words) > 8 else "")


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _canonical(address: str) -> str:
    """One spelling of an address; IPv4 inside IPv6 is IPv4, and zones do not count."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def only_loopback(hosts: Collection[str], resolve: Resolve) -> bool:
    """Whether only this machine can reach any of the hosts; a name that does not resolve may be anything."""
    resolved = _resolved(hosts, resolve)
    return all(
        resolved.get(host) and all(ipaddress.ip_address(each).is_loopback for each in resolved[host]) for host in hosts
    )


def local_addresses(addresses: Collection[str]) -> Addresses:
    """Those of the addresses that an interface of this machine has. Raises ConfigurationError.

    Asked of the kernel by binding a socket to each, which needs no list of interfaces and works on every system; not
    where it is told to let any address be bound.
    """
    local = frozenset(each for each in addresses if ipaddress.ip_address(each).is_loopback or _can_bind(each))
    if any(not ipaddress.ip_address(each).is_loopback for each in local) and _can_bind(_ADDRESS_FOREIGN):
        raise ConfigurationError(
            "this machine binds addresses that it does not have (net.ipv4.ip_nonlocal_bind), so it cannot tell which "
            "of the volumes' nodes it is: give --address the address of this node"
        )
    return local


def _can_bind(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


class SystemResolver:
    """Asks the system for addresses, many hosts at once, and never waits longer than told.

    getaddrinfo cannot be interrupted: it runs in daemon threads, and a host whose answer is outstanding is not asked
    for again, so threads do not pile up.
    """

    def __init__(self) -> None:
        self._outstanding: set[str] = set()
        self._answers: SimpleQueue[tuple[str, Addresses]] = SimpleQueue()

    def __call__(self, hosts: Collection[str], timeout_seconds: float) -> dict[str, Addresses]:
        """Addresses of the hosts that have any, as far as known in time."""
        deadline = time.monotonic() + timeout_seconds
        work: SimpleQueue[str] = SimpleQueue()
        fresh = set(hosts) - self._outstanding
        for host in sorted(fresh):
            work.put(host)
        for _ in range(min(_THREADS_MAX, len(fresh))):
            threading.Thread(target=self._ask, args=(work,), name="resolver", daemon=True).start()
        self._outstanding |= fresh
        found: dict[str, Addresses] = {}
        while not self._outstanding.isdisjoint(hosts):
            try:
                host, addresses = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                break
            self._outstanding.discard(host)
            if addresses:
                found[host] = addresses
        return {host: addresses for host, addresses in found.items() if host in hosts}

    def _ask(self, work: SimpleQueue[str]) -> None:
        while True:
            try:
                host = work.get_nowait()
            except Empty:
                return
            try:
                entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):  # UnicodeError: a label that is empty or too long
                entries = []
            self._answers.put((host, frozenset(_canonical(str(entry[4][0])) for entry in entries)))

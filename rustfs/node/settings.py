"""A node's settings, checked: what `rustfs start` and the RUSTFS_ variables say, as one value.

Whatever is wrong is said in one sentence (ConfigurationError), before anything is touched.
"""

import ipaddress
import json
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from rustfs.core.errors import ConfigurationError
from rustfs.core.topology import Topology
from rustfs.erasure.parity import parity_table
from rustfs.node.nodenames import PEER_PORT_OFFSET, peer_addresses, split_node
from rustfs.node.ownnode import RESOLVE_SECONDS, Resolve, SystemResolver, find_own_node, only_loopback
from rustfs.node.volumes import read_volumes

DEFAULT_ADDRESS = "127.0.0.1:9000"
DEFAULT_KEY = "rustfsadmin"
DEFAULT_REGION = "us-east-1"
ACCESS_KEY_LENGTH_MIN = 3
SECRET_KEY_LENGTH_MIN = 8
WORKERS_MAX = 256
SECRET_FILE_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a node is started with."""

    topology: Topology
    own_node: str  # this node's name among topology.nodes; "" where directories were given
    host: str
    port: int
    workers: int
    region: str
    domains: tuple[str, ...]
    access_key: str
    secret_key: str = field(repr=False)
    log_format: str = "text"
    pool_parities: tuple[tuple[tuple[str, int], ...], ...] = ()  # of each pool: parity shards by storage class
    compress: bool = True
    upload_expiry_days: float = 7.0
    drain_seconds: float = 30.0
    peer_port: int = 0  # of all nodes; 0: each one's S3 port + 1000
    tls_dir: str = ""  # "": plain HTTP

    @property
    def drives(self) -> tuple[str, ...]:
        """The directories of this node's own drives, by index."""
        return tuple(each.path for each in self.topology.endpoints_of(self.own_node))

    @property
    def set_size(self) -> int:
        """Drives per set of the first pool."""
        return self.topology.pools[0].set_size

    @property
    def set_count(self) -> int:
        """Number of sets in all pools."""
        return sum(pool.set_count for pool in self.topology.pools)

    @property
    def parities(self) -> tuple[tuple[str, int], ...]:
        """Parity shards by storage class in the first pool."""
        return self.pool_parities[0]

    @property
    def peers(self) -> dict[str, str]:
        """The other nodes: name -> "host:port" where it listens for its peers."""
        if not self.topology.distributed:
            return {}
        addresses = peer_addresses(self.topology.nodes, self.peer_port)
        return {node: address for node, address in addresses.items() if node != self.own_node}

    @property
    def node_name(self) -> str:
        """This node, as operators know it."""
        return self.own_node or f"{self.host}:{self.port}"

    @property
    def mesh_host(self) -> str:
        """The host that peers call this node by; "" where it has none."""
        return split_node(self.own_node)[0] if self.own_node else ""

    @property
    def own_peer_port(self) -> int:
        """Where this node listens for its peers, on the host of its S3 address."""
        return self.peer_port or self.port + PEER_PORT_OFFSET

    def to_json(self) -> bytes:
        """For a worker process; holds the secret, so it travels by pipe only."""
        return json.dumps(asdict(self) | {"topology": self.topology.to_plain()}).encode()

    @staticmethod
    def from_json(encoded: bytes) -> "Settings":
        """See to_json."""
        raw = json.loads(encoded)
        raw["topology"] = Topology.from_plain(raw["topology"])
        raw["domains"] = tuple(raw["domains"])
        raw["pool_parities"] = tuple(tuple((name, parity) for name, parity in each) for each in raw["pool_parities"])
        return Settings(**raw)


def read_settings(
    environment: Mapping[str, str],
    *,
    volumes: Sequence[str],
    address: str,
    workers: int,
    region: str,
    domain: str,
    access_key: str,
    secret_key: str,
    log_format: str,
    peer_port: int = 0,
    tls_dir: str = "",
    resolve: Resolve | None = None,
) -> Settings:
    """Check what was given, and find out which node this is, which may take a while (rustfs.node.ownnode).

    Args:
        resolve: how to ask for the addresses of hosts; by default the system.

    Raises:
        ConfigurationError
    """
    resolve = resolve or SystemResolver()
    host, port = parse_address(address)
    access_key = access_key or read_secret(environment, "RUSTFS_ACCESS_KEY") or DEFAULT_KEY
    secret_key = secret_key or read_secret(environment, "RUSTFS_SECRET_KEY") or DEFAULT_KEY
    _check_keys(access_key, secret_key, host)
    topology = read_volumes(volumes, port)
    if not 0 <= workers <= WORKERS_MAX:
        raise ConfigurationError(f"--workers must be from 1 to {WORKERS_MAX}, not {workers}")
    if not re.fullmatch(r"[a-z0-9-]{1,64}", region):
        raise ConfigurationError(f"--region must be lower-case letters, digits and hyphens, not {region!r}")
    if log_format not in ("text", "json"):
        raise ConfigurationError(f"--log-format must be text or json, not {log_format!r}")
    parities = read_parities(environment, topology)
    compress = _on_or_off(environment, "RUSTFS_COMPRESSION", "auto") == "auto"
    upload_expiry_days = _number(environment, "RUSTFS_UPLOAD_EXPIRY_DAYS", 7.0)
    drain_seconds = _number(environment, "RUSTFS_DRAIN_SECONDS", 30.0)
    wait_seconds = _number(environment, "RUSTFS_RESOLVE_SECONDS", RESOLVE_SECONDS)
    if topology.distributed:
        peer_addresses(topology.nodes, peer_port)
        _check_nodes_key(topology, secret_key, resolve)
    elif peer_port:
        raise ConfigurationError("--peer-port is for nodes with peers: the volumes are directories, so there are none")
    own_node = find_own_node(topology.nodes, host, port, resolve, wait_seconds) if topology.distributed else ""
    return Settings(
        topology,
        own_node,
        host,
        port,
        workers or os.cpu_count() or 1,
        region,
        tuple(_domains(domain)),
        access_key,
        secret_key,
        log_format,
        parities,
        compress,
        upload_expiry_days,
        drain_seconds,
        peer_port,
        os.path.abspath(tls_dir) if tls_dir else "",
    )


def parse_address(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT, [IPV6]:PORT or :PORT. Raises ConfigurationError."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\s]*)):(\d{1,5})", address)
    if match is None or not 0 < int(match[3]) < 65536:
        raise ConfigurationError(f"--address must look like 127.0.0.1:9000 or :9000, not {address!r}")
    return match[1] or match[2] or "0.0.0.0", int(match[3])  # noqa: S104 -- what ":9000" asks for


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address on `host`. Raises ConfigurationError."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that is empty or too long
        raise ConfigurationError(f"--address: cannot resolve {host!r}: {error}") from error
    return all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)


def _check_keys(access_key: str, secret_key: str, host: str) -> None:
    if not re.fullmatch(r"[!-~]{1,128}", access_key) or "/" in access_key or "," in access_key:
        raise ConfigurationError("the access key must be 3 to 128 printable characters without space, slash or comma")
    if len(access_key) < ACCESS_KEY_LENGTH_MIN:
        raise ConfigurationError(f"the access key must have at least {ACCESS_KEY_LENGTH_MIN} characters")
    if len(secret_key) < SECRET_KEY_LENGTH_MIN:
        raise ConfigurationError(f"the secret key must have at least {SECRET_KEY_LENGTH_MIN} characters")
    if secret_key == DEFAULT_KEY and not is_loopback(host):
        raise ConfigurationError(
            f"{host} can be reached from other machines, so the default keys will not do: set RUSTFS_ACCESS_KEY and "
            "RUSTFS_SECRET_KEY (or RUSTFS_SECRET_KEY_FILE)"
        )


def _check_nodes_key(topology: Topology, secret_key: str, resolve: Resolve) -> None:
    if secret_key != DEFAULT_KEY or only_loopback({split_node(node)[0] for node in topology.nodes}, resolve):
        return
    raise ConfigurationError(
        "nodes on several machines trust whoever has the secret key, so the default keys will not do: set "
        "RUSTFS_ACCESS_KEY and RUSTFS_SECRET_KEY (or RUSTFS_SECRET_KEY_FILE), the same on every node"
    )


def read_secret(environment: Mapping[str, str], name: str) -> str:
    """The value of a variable, or of the file that NAME_FILE names; "" for neither. Raises ConfigurationError."""
    value, path = environment.get(name, ""), environment.get(f"{name}_FILE", "")
    if value or not path:
        return value
    try:
        with open(path, encoding="utf-8") as file:
            secret = file.read(SECRET_FILE_BYTES_MAX).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name}_FILE: cannot read {path}: {error}") from error
    if not secret:
        raise ConfigurationError(f"{name}_FILE: {path} is empty")  # rather than serve with the well-known default
    return secret


def _domains(domain: str) -> list[str]:
    domains = [each.strip().lower().rstrip(".") for each in domain.split(",") if each.strip()]
    for each in domains:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", each):
            raise ConfigurationError(f"--domain must be a host name, not {each!r}")
    return domains


def read_parities(environment: Mapping[str, str], topology: Topology) -> tuple[tuple[tuple[str, int], ...], ...]:
    """Of each pool: parity shards by storage class. Raises ConfigurationError where a setting does not fit."""
    standard = environment.get("RUSTFS_STORAGE_CLASS_STANDARD")
    reduced = environment.get("RUSTFS_STORAGE_CLASS_RRS")
    try:
        return tuple(tuple(parity_table(standard, reduced, pool.set_size).items()) for pool in topology.pools)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _on_or_off(environment: Mapping[str, str], name: str, default: str) -> str:
    value = environment.get(name, default).lower()
    if value not in ("auto", "off"):
        raise ConfigurationError(f"{name} must be auto or off, not {value!r}")
    return value


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e6:
        raise ConfigurationError(f"{name} must be a positive number, not {text!r}")
    return value

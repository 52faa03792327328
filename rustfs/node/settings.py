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
from rustfs.erasure.parity import parity_table
from rustfs.node.volumes import drives_of, set_size

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

    drives: tuple[str, ...]
    set_size: int
    host: str
    port: int
    workers: int
    region: str
    domains: tuple[str, ...]
    access_key: str
    secret_key: str = field(repr=False)
    log_format: str = "text"
    parities: tuple[tuple[str, int], ...] = ()
    compress: bool = True
    upload_expiry_days: float = 7.0
    drain_seconds: float = 30.0
    tls_dir: str = ""  # "": plain HTTP

    @property
    def set_count(self) -> int:
        """Number of sets."""
        return len(self.drives) // self.set_size

    def to_json(self) -> bytes:
        """For a worker process; holds the secret, so it travels by pipe only."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def from_json(encoded: bytes) -> "Settings":
        """See to_json."""
        raw = json.loads(encoded)
        for name in ("drives", "domains"):
            raw[name] = tuple(raw[name])
        raw["parities"] = tuple((name, parity) for name, parity in raw["parities"])
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
    tls_dir: str = "",
) -> Settings:
    """Check what was given. Raises ConfigurationError."""
    host, port = parse_address(address)
    access_key = access_key or read_secret(environment, "RUSTFS_ACCESS_KEY") or DEFAULT_KEY
    secret_key = secret_key or read_secret(environment, "RUSTFS_SECRET_KEY") or DEFAULT_KEY
    _check_keys(access_key, secret_key, host)
    drives = drives_of(volumes)
    size = set_size(volumes, len(drives))
    if not 0 <= workers <= WORKERS_MAX:
        raise ConfigurationError(f"--workers must be from 1 to {WORKERS_MAX}, not {workers}")
    if not re.fullmatch(r"[a-z0-9-]{1,64}", region):
        raise ConfigurationError(f"--region must be lower-case letters, digits and hyphens, not {region!r}")
    if log_format not in ("text", "json"):
        raise ConfigurationError(f"--log-format must be text or json, not {log_format!r}")
    return Settings(
        tuple(drives),
        size,
        host,
        port,
        workers or os.cpu_count() or 1,
        region,
        tuple(_domains(domain)),
        access_key,
        secret_key,
        log_format,
        tuple(_parities(environment, size).items()),
        _on_or_off(environment, "RUSTFS_COMPRESSION", "auto") == "auto",
        _number(environment, "RUSTFS_UPLOAD_EXPIRY_DAYS", 7.0),
        _number(environment, "RUSTFS_DRAIN_SECONDS", 30.0),
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


def _parities(environment: Mapping[str, str], size: int) -> dict[str, int]:
    standard = environment.get("RUSTFS_STORAGE_CLASS_STANDARD")
    reduced = environment.get("RUSTFS_STORAGE_CLASS_RRS")
    try:
        return parity_table(standard, reduced, size)
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

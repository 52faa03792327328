"""The node that `rustfs admin` asks: where it is, and whether and how its certificate is verified."""

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from rustfs.core.errors import ConfigurationError
from rustfs.node.settings import parse_address
from rustfs.node.tls import trusted_by_clients


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A node's address; `trust` is set for HTTPS."""

    host: str
    port: int
    trust: ssl.SSLContext | None

    @property
    def authority(self) -> str:
        """For the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def connection(self, timeout_seconds: float) -> http.client.HTTPConnection:
        """Not yet opened."""
        if self.trust is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout_seconds)
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout_seconds, context=self.trust)

    def unreachable(self, error: Exception) -> ConfigurationError:
        """Why a request got no answer, and what to do about it."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return ConfigurationError(
                f"the certificate of the node at {self.authority} cannot be trusted: {error.verify_message}; set "
                "RUSTFS_TLS_CA to the file of the CA that signed it, and --address to a name that it covers"
            )
        if isinstance(error, ssl.SSLError):
            return ConfigurationError(
                f"the node at {self.authority} does not answer in TLS ({error.reason or error}); does it serve plain "
                "HTTP? Then set --address to http://HOST:PORT"
            )
        hint = "" if self.trust else ", to https://HOST:PORT where the node serves HTTPS"
        return ConfigurationError(f"cannot reach a node at {self.authority}: {error}; set --address{hint}")


def endpoint_of(address: str, environment: Mapping[str, str]) -> Endpoint:
    """Where `address` points: HOST:PORT, or an http:// or https:// URL.

    Without a scheme the node is taken to serve HTTPS where RUSTFS_TLS_DIR or RUSTFS_TLS_CA is set. Certificates are
    always verified: against the system's authorities, and the file of RUSTFS_TLS_CA or what RUSTFS_TLS_DIR trusts.
    Raises ConfigurationError.
    """
    scheme, separator, rest = address.partition("://")
    if separator and scheme.lower() not in ("http", "https"):
        raise ConfigurationError(f"--address must begin with http:// or https://, or name no scheme, not {address!r}")
    host, port = parse_address(rest.rstrip("/") if separator else address)
    host = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 -- the address a node serves on all interfaces
    authority_file, directory = environment.get("RUSTFS_TLS_CA", ""), environment.get("RUSTFS_TLS_DIR", "")
    secure = scheme.lower() == "https" if separator else bool(authority_file or directory)
    return Endpoint(host, port, _trust(authority_file, directory) if secure else None)


def _trust(authority_file: str, directory: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # what the node's own directory names may be no root
    try:
        if authority_file:
            context.load_verify_locations(authority_file)
        elif directory:
            context.load_verify_locations(cadata=trusted_by_clients(directory))
    except OSError as error:  # ssl.SSLError is one, too
        what = f"RUSTFS_TLS_CA: cannot use {authority_file}" if authority_file else f"RUSTFS_TLS_DIR: {directory}"
        raise ConfigurationError(f"{what}: {getattr(error, 'reason', '') or error.strerror or error}") from error
    return context

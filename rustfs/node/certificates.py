"""What certificates say, and whether a node can live with it: pure decisions, apart from the files (rustfs.node.tls).

Nothing here parses X.509: OpenSSL does, and hands over what Python calls a peer certificate.
"""

import re
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rustfs.core.errors import ConfigurationError

WARN_DAYS = 30.0
SECONDS_PER_DAY = 86_400.0

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Leaf:
    """The node's own certificate."""

    names: tuple[str, ...]  # host names and addresses of the subject alternative name, as clients will compare them
    not_before_seconds: float  # Unix time
    not_after_seconds: float

    def days_left(self, now_seconds: float) -> float:
        """Until it expires; negative afterwards."""
        return (self.not_after_seconds - now_seconds) / SECONDS_PER_DAY


def split_certificates(pem: bytes) -> list[bytes]:
    """The certificates of a PEM file, one by one, in its order; what stands between them is left out."""
    return [found + b"\n" for found in _CERTIFICATE.findall(pem)]


def mesh_roots(chain: Sequence[bytes], authorities: Sequence[bytes]) -> bytes:
    """Whom the nodes trust, as PEM: the CA files where there are any, else what the node's own chain rests on.

    That is every certificate behind the first of public.crt; where it stands alone it is trusted itself, so that one
    self-signed certificate, copied to all nodes, makes a mesh.
    """
    return b"".join(authorities or chain[1:] or chain)


def leaf_of(certificate: Mapping[str, Any]) -> Leaf:
    """From what ssl.SSLSocket.getpeercert() returns."""
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    return Leaf(
        tuple(names),
        float(ssl.cert_time_to_seconds(certificate["notBefore"])),
        float(ssl.cert_time_to_seconds(certificate["notAfter"])),
    )


def check_validity(leaf: Leaf, path: str, now_seconds: float) -> None:
    """Raises ConfigurationError for a certificate whose time has not come, or is over."""
    if now_seconds >= leaf.not_after_seconds:
        raise ConfigurationError(f"--tls-dir: the certificate in {path} expired on {_date(leaf.not_after_seconds)}")
    if now_seconds < leaf.not_before_seconds:
        raise ConfigurationError(
            f"--tls-dir: the certificate in {path} is valid from {_date(leaf.not_before_seconds)} only; "
            "is this machine's clock right?"
        )


def expiry_warning(leaf: Leaf, path: str, now_seconds: float) -> str:
    """A sentence when the end is near, else ""."""
    days = leaf.days_left(now_seconds)
    if days >= WARN_DAYS:
        return ""
    when = _date(leaf.not_after_seconds)
    if days <= 0:
        return f"the certificate in {path} expired on {when}: clients and nodes refuse it"
    return f"the certificate in {path} expires in {days:.0f} days, on {when}: renew it; no restart is needed"


def mode_warning(path: str, mode: int) -> str:
    """A sentence for a private key that every user of the machine may read, else ""."""
    return f"every user of this machine can read {path}: chmod 600 it" if mode & 0o004 else ""


def _date(unix_seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(unix_seconds))

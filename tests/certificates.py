"""Certificates for tests: an authority, what it signs, and directories of them as a node reads them."""

import datetime as dt
import ssl
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMES = ("localhost", "127.0.0.1")


def write_pair(directory: Path, leaf: trustme.LeafCert, *, chain: bool = True) -> None:
    """public.crt and private.key, one after the other, as an operator's script would."""
    directory.mkdir(parents=True, exist_ok=True)
    blobs = leaf.cert_chain_pems if chain else leaf.cert_chain_pems[:1]
    (directory / "public.crt").write_bytes(b"".join(blob.bytes() for blob in blobs))
    key = directory / "private.key"
    key.write_bytes(leaf.private_key_pem.bytes())
    key.chmod(0o600)


def write_authority(directory: Path, authority: trustme.CA, name: str = "CAs/nodes.crt") -> None:
    """A CA file."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(authority.cert_pem.bytes())


def make_directory(directory: Path, authority: trustme.CA, *names: str) -> Path:
    """What a node of this authority is given."""
    write_pair(directory, authority.issue_cert(*(names or NAMES)))
    write_authority(directory, authority)
    return directory


def client_context(authority: trustme.CA) -> ssl.SSLContext:
    """A client that trusts this authority only, and checks names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.cert_pem.bytes().decode())
    return context


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """A server of this authority, on the loopback or by these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or NAMES)).configure_cert(context)
    return context


def self_signed(
    directory: Path,
    name: str = "localhost",
    *,
    usages: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    passphrase: bytes = b"",
) -> None:
    """public.crt and private.key as `openssl req -x509` makes them."""
    key = trustme.CA().issue_cert("unused.example")  # only for its key
    private_key = serialization.load_pem_private_key(key.private_key_pem.bytes(), None)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .sign(private_key, hashes.SHA256())
    )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "public.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    path = directory / "private.key"
    path.write_bytes(
        private_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    path.chmod(0o600)

"""A directory of certificates: read and checked as a whole, served from, and read again when it changes.

    public.crt            the node's certificate, then those that signed it
    private.key           its key, not encrypted
    CAs/*.crt or ca.crt   who signs the nodes' certificates (optional, see rustfs.node.certificates.mesh_roots)

A change is taken whole or not at all. New files are loaded into a context of their own, to which the listener's
context refers each new connection: loading into the listener's context itself would, with a certificate and a key that
do not match yet (files are replaced one after the other), leave it without a key.
"""

import asyncio
import glob
import logging
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from rustfs.core.errors import ConfigurationError
from rustfs.core.ports import Clock
from rustfs.mesh.credentials import Certificates
from rustfs.node.certificates import (
    SECONDS_PER_DAY,
    Leaf,
    check_validity,
    expiry_warning,
    leaf_of,
    mesh_roots,
    mode_warning,
    split_certificates,
)
from rustfs.node.handshakes import check_mesh, introduce, listener_context

log = logging.getLogger("rustfs.node")

POLL_SECONDS = 5.0
FILE_BYTES_MAX = 1 << 20
_ATTEMPTS = 3  # to read files that do not change meanwhile

Signature = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Material:
    """What the directory held at one moment, found good."""

    certificates: Certificates
    leaf: Leaf
    context: ssl.SSLContext  # of an S3 listener
    signature: Signature
    warnings: tuple[str, ...]


def load(directory: str, now_seconds: float, mesh_host: str = "") -> Material:
    """Read and check a directory. Blocks; raises ConfigurationError, one sentence.

    Args:
        directory: see the module.
        now_seconds: Unix time, to judge validity.
        mesh_host: this node's own host name, as its peers call it; "" for a node that has none. A mesh asks more of a
            certificate: it must name the host, serve clients as well as servers, and be signed by what the mesh trusts.
    """
    for _ in range(_ATTEMPTS):
        before = signature_of(directory)
        try:
            material = _load(directory, before, now_seconds, mesh_host)
        except ConfigurationError:
            if before == signature_of(directory):
                raise
            continue
        if before == signature_of(directory):
            return material
    raise ConfigurationError(f"--tls-dir: the files in {directory} change while they are read; try again")


def signature_of(directory: str) -> Signature:
    """What tells one state of the directory from another without reading it: names, times, sizes, inodes."""
    found = []
    for path in (_chain_path(directory), _key_path(directory), *_authority_paths(directory)):
        try:
            status = os.stat(path)
        except OSError:
            continue  # reading says it better
        found.append((path, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)


def trusted_by_clients(directory: str) -> str:
    """PEM of what a client on this machine may trust beside the system's authorities. Raises ConfigurationError."""
    chain = _certificates_in(_chain_path(directory))
    return mesh_roots(chain, _authorities(directory)).decode("ascii")


class TlsKeeper:
    """Keeps the newest material in service: `context` for the S3 listener, `on_change` for whoever else needs to know.

    `on_change` is called on the event loop's thread, after the listener has changed over.
    """

    def __init__(
        self,
        directory: str,
        clock: Clock,
        mesh_host: str = "",
        on_change: Callable[[Certificates], None] = lambda _certificates: None,
    ) -> None:
        """Blocks; raises ConfigurationError."""
        self._directory = directory
        self._clock = clock
        self._mesh_host = mesh_host
        self._on_change = on_change
        self._material = load(directory, clock.now_milliseconds() / 1000, mesh_host)
        self._complaint = ""  # logged last: not again at every poll
        self._warn_after_seconds = clock.monotonic_seconds() + SECONDS_PER_DAY
        self.generation = 1
        self.context = self._material.context
        self.context.sni_callback = self._refer

    @property
    def certificates(self) -> Certificates:
        """The newest, for the mesh."""
        return self._material.certificates

    @property
    def leaf(self) -> Leaf:
        """The newest, to look at."""
        return self._material.leaf

    async def watch(self, poll_seconds: float = POLL_SECONDS) -> None:
        """Look for changes until cancelled; what is wrong with new files is logged, and the old ones keep serving."""
        while True:
            await asyncio.sleep(poll_seconds)
            try:
                await self.poll()
            except Exception:
                log.exception("looking for new certificates in %s failed", self._directory)

    async def poll(self) -> None:
        """Take the directory's new state, if it has one and that is good; what is not yet good is tried again."""
        loop = asyncio.get_running_loop()
        now_seconds = self._clock.now_milliseconds() / 1000
        if await loop.run_in_executor(None, signature_of, self._directory) == self._material.signature:
            self._complaint = ""
            self._warn_daily(now_seconds)
            return
        try:
            material = await loop.run_in_executor(None, load, self._directory, now_seconds, self._mesh_host)
        except ConfigurationError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.error("the old certificates stay in use: %s", error)  # noqa: TRY400 -- a sentence
            return
        self._complaint = ""
        self._material = material
        self.generation += 1
        log.info("new certificates in %s, valid for %.0f days", self._directory, material.leaf.days_left(now_seconds))
        for warning in material.warnings:
            log.warning("%s", warning)
        self._on_change(material.certificates)

    def _refer(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called by OpenSSL in each handshake on the listener's context."""
        connection.context = self._material.context

    def _warn_daily(self, now_seconds: float) -> None:
        if self._clock.monotonic_seconds() < self._warn_after_seconds:
            return
        self._warn_after_seconds = self._clock.monotonic_seconds() + SECONDS_PER_DAY
        warning = expiry_warning(self.leaf, _chain_path(self._directory), now_seconds)
        if warning:
            log.warning("%s", warning)


def _load(directory: str, signature: Signature, now_seconds: float, mesh_host: str) -> Material:
    chain_path, key_path = _chain_path(directory), _key_path(directory)
    chain = _certificates_in(chain_path)
    key_pem = _read(key_path)
    roots_pem = mesh_roots(chain, _authorities(directory))
    context = listener_context(chain_path, key_path)
    leaf = leaf_of(introduce(context, chain[0], chain_path))
    check_validity(leaf, chain_path, now_seconds)
    if mesh_host:
        check_mesh(chain_path, key_path, roots_pem.decode("ascii"), leaf.names, mesh_host)
    warnings = (
        expiry_warning(leaf, chain_path, now_seconds),
        mode_warning(key_path, os.stat(key_path).st_mode),
    )
    certificates = Certificates(b"".join(chain), key_pem, roots_pem)
    return Material(certificates, leaf, context, signature, tuple(filter(None, warnings)))


def _chain_path(directory: str) -> str:
    return os.path.join(directory, "public.crt")


def _key_path(directory: str) -> str:
    return os.path.join(directory, "private.key")


def _authority_paths(directory: str) -> list[str]:
    single = os.path.join(directory, "ca.crt")
    several = sorted(glob.glob(os.path.join(glob.escape(directory), "CAs", "*.crt")))
    return [*several, *([single] if os.path.exists(single) else [])]


def _authorities(directory: str) -> list[bytes]:
    return [one for path in _authority_paths(directory) for one in _certificates_in(path)]


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"--tls-dir: cannot read {path}: {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise ConfigurationError(f"--tls-dir: {path} is larger than {FILE_BYTES_MAX >> 20} MiB")
    return content


def _certificates_in(path: str) -> list[bytes]:
    found = split_certificates(_read(path))
    if not found:
        raise ConfigurationError(f"--tls-dir: {path} holds no certificate in PEM form")
    for one in found:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=one.decode("ascii"))
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"--tls-dir: {path} holds a certificate that cannot be read: {error}") from error
    return found

"""Contexts for TLS, and handshakes with ourselves in memory, which find out what a certificate is good for.

What OpenSSL refuses here, clients and other nodes would refuse, too. Times are left to rustfs.node.certificates.
"""

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from rustfs.core.errors import ConfigurationError

_TURNS_MAX = 20  # of a handshake in memory; three do
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)  # X509_V_FLAG_NO_CHECK_TIME, which Python gives no name
_WRONG_PURPOSE = 26  # X509_V_ERR_INVALID_PURPOSE
_WRONG_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


def listener_context(chain_path: str, key_path: str) -> ssl.SSLContext:
    """For S3: TLS 1.2 or newer, HTTP/1.1. Blocks; raises ConfigurationError where certificate and key do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_pair(context, chain_path, key_path)
    return context


def _load_pair(context: ssl.SSLContext, chain_path: str, key_path: str) -> None:
    def refuse() -> str:
        raise ConfigurationError(f"--tls-dir: {key_path} is encrypted; a node needs it without a passphrase")

    try:
        context.load_cert_chain(chain_path, key_path, password=refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            sentence = f"{key_path} is not the key of the certificate in {chain_path}"
        else:
            sentence = f"{key_path} and {chain_path} cannot be used: {error.reason or error}"
        raise ConfigurationError(f"--tls-dir: {sentence}") from error
    except OSError as error:
        raise ConfigurationError(f"--tls-dir: cannot read {chain_path} or {key_path}: {error.strerror}") from error


def _client_context(roots_pem: str, *, check_hostname: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = check_hostname
    context.hostname_checks_common_name = False  # nor do today's clients
    _trust(context, roots_pem)
    return context


def _trust(context: ssl.SSLContext, roots_pem: str) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME  # gRPC, too, takes any root as an end
    context.load_verify_locations(cadata=roots_pem)


def introduce(listener: ssl.SSLContext, leaf_pem: bytes, chain_path: str) -> Mapping[str, Any]:
    """What a client is shown, as ssl.SSLSocket.getpeercert() returns it. Raises ConfigurationError.

    The client trusts the certificate itself, so that only its content matters.
    """
    client = _client_context(leaf_pem.decode("ascii"), check_hostname=False)
    try:
        return _shake_hands(listener, client, None)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason
        raise ConfigurationError(f"--tls-dir: {chain_path} cannot serve as a server's certificate: {reason}") from error


def check_mesh(chain_path: str, key_path: str, roots_pem: str, names: Sequence[str], host: str) -> None:
    """A node calls itself as `host`, both sides with a certificate. Blocks; raises ConfigurationError."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), _client_context(roots_pem, check_hostname=True)
    _trust(server, roots_pem)
    for context in (server, client):
        _load_pair(context, chain_path, key_path)
    try:
        _shake_hands(server, client, host)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _WRONG_NAME:
            named = ", ".join(names) or "none"
            sentence = f"does not name this node's host {host} (its names: {named})"
        elif error.verify_code == _WRONG_PURPOSE:
            sentence = "must serve for clients as well as for servers (extended key usage), because nodes are both"
        else:
            sentence = f"is not signed by what the nodes trust: {error.verify_message}"
        raise ConfigurationError(f"--tls-dir: the certificate in {chain_path} {sentence}") from error
    except ssl.SSLError as error:
        raise ConfigurationError(f"--tls-dir: {chain_path} cannot secure the mesh: {error.reason or error}") from error


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str | None) -> Mapping[str, Any]:
    """A handshake in memory; the server's certificate as the client sees it. Raises ssl.SSLError."""
    upward, downward = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(downward, upward, server_side=False, server_hostname=host),
        server.wrap_bio(upward, downward, server_side=True),
    ]
    waiting = list(ends)
    for _ in range(_TURNS_MAX):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
        if not waiting:
            return ends[0].getpeercert() or {}
    raise ssl.SSLError("the handshake does not end")

"""What secures the connections between nodes: mutual TLS, from certificates that may change while connections live.

A node proves itself to the nodes that it calls and to those that call it with one certificate, and believes only what
its roots have signed. New certificates serve every handshake that begins after `replace`; connections that stand keep
standing, and whoever holds one compares `generation` to know when to open the next with the new certificates.

Trust ends here at "signed by our roots": that a node belongs to the cluster is for the calls' own signatures to prove.
"""

from dataclasses import dataclass, field

import grpc


@dataclass(frozen=True, slots=True)
class Certificates:
    """A node's certificates, PEM encoded, all of one moment."""

    chain_pem: bytes  # its own certificate first, then what signed it
    key_pem: bytes = field(repr=False)
    roots_pem: bytes  # who signs the nodes' certificates


@dataclass(frozen=True, slots=True)
class _Generation:
    number: int
    certificates: Certificates
    channel: grpc.ChannelCredentials
    server: grpc.ServerCertificateConfiguration


class MeshCredentials:
    """The newest certificates, for servers and channels.

    gRPC asks for them in threads of its own: all that changes is one reference to a value that never does.
    """

    def __init__(self, certificates: Certificates) -> None:
        self._newest = _generation(1, certificates)

    @property
    def generation(self) -> int:
        """Grows with every change; a connection made under an earlier one is due for renewal."""
        return self._newest.number

    def replace(self, certificates: Certificates) -> None:
        """Use these from now on; the same ones again change nothing."""
        if certificates != self._newest.certificates:
            self._newest = _generation(self._newest.number + 1, certificates)

    def current(self) -> grpc.ChannelCredentials:
        """For a channel that is opened now; it keeps them for as long as it lives, reconnects included."""
        return self._newest.channel

    def server(self) -> grpc.ServerCredentials:
        """For a server, once: it takes the newest certificates at each handshake, and no client without one."""
        return grpc.dynamic_ssl_server_credentials(
            self._newest.server, lambda: self._newest.server, require_client_authentication=True
        )


def _generation(number: int, certificates: Certificates) -> _Generation:
    pair = [(certificates.key_pem, certificates.chain_pem)]
    return _Generation(
        number,
        certificates,
        grpc.ssl_channel_credentials(certificates.roots_pem, certificates.key_pem, certificates.chain_pem),
        grpc.ssl_server_certificate_configuration(pair, certificates.roots_pem),
    )

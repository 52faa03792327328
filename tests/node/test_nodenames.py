"""The addresses that follow from a node's name."""

import pytest

from rustfs.core.errors import ConfigurationError
from rustfs.node.nodenames import peer_addresses, split_node, with_port


@pytest.mark.parametrize(("host", "node"), [("n1", "n1:9000"), ("192.0.2.1", "192.0.2.1:9000"), ("::1", "[::1]:9000")])
def test_a_name_is_host_and_port(host, node):
    assert with_port(host, 9000) == node
    assert split_node(node) == (host, 9000)


def test_peers_listen_a_thousand_ports_above():
    assert peer_addresses(["n1:9000", "[::1]:64535"], 0) == {"n1:9000": "n1:10000", "[::1]:64535": "[::1]:65535"}


def test_a_given_peer_port_is_for_all():
    assert peer_addresses(["n1:9000", "n2:65535"], 7000) == {"n1:9000": "n1:7000", "n2:65535": "n2:7000"}


@pytest.mark.parametrize(
    ("nodes", "peer_port", "sentence"),
    [
        (["n1:64536"], 0, "port 64536 + 1000, beyond 65535: set --peer-port"),
        (["n1:9000", "n1:10000"], 0, "on n1:10000, which is the S3 address of n1:10000"),
        (["n1:9000", "n1:9001"], 7000, "on n1:7000, which is the peer address of n1:9000"),
        (["n1:9000"], 9000, "on n1:9000, which is the S3 address of n1:9000"),
        (["n1:9000"], 65536, "--peer-port must be from 1 to 65535"),
    ],
)
def test_listeners_must_not_collide(nodes, peer_port, sentence):
    with pytest.raises(ConfigurationError) as raised:
        peer_addresses(nodes, peer_port)
    assert sentence in str(raised.value)

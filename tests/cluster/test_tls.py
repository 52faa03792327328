"""TLS everywhere: S3 over HTTPS, nodes that know each other by certificates, and certificates replaced under load."""

import contextlib
import socket
import ssl

import pytest
import trustme

from tests.certificates import client_context, write_authority, write_pair
from tests.cluster.cluster import PEER_PORT_DISTANCE, poll
from tests.cluster.load import Load
from tests.e2e.payloads import noise

BUCKET = "secure"
NODES = 4
RENEW_SECONDS_MAX = 60.0
# What an HTTP/2 client says first: gRPC answers with settings, to whom it lets in.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
STRANGER_ANSWER_BYTES_MAX = 7  # a TLS alert, which names nothing: type, version, length, level, description


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def successor():
    return trustme.CA()


@pytest.fixture
def cluster(make_cluster, authority, successor):
    made = make_cluster(authority=authority)
    with made.trusted.open("ab") as file:
        file.write(successor.cert_pem.bytes())
    made.start()
    made.s3(0).create_bucket(Bucket=BUCKET)
    return made


def presenting(trust, signer, host="client.example"):
    """A peer that trusts one authority and has a certificate of another, or none."""
    context = client_context(trust)
    context.set_alpn_protocols(["h2"])
    if signer is not None:
        signer.issue_cert(host).configure_cert(context)
    return context


def answer_of_peer_port(node, context):
    """What the port for peers says to whom it does not know, as bytes; and the certificate it showed, DER."""
    said, shown = b"", b""
    with socket.create_connection((node.host, node.port + PEER_PORT_DISTANCE), 5.0) as plain:
        plain.settimeout(5.0)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):  # ssl.SSLError is one
            talk = plain
            if context is not None:
                talk = stack.enter_context(context.wrap_socket(plain, server_hostname=node.host))
                shown = talk.getpeercert(binary_form=True)
            talk.sendall(PREFACE)
            said = talk.recv(4096)
    return said, shown


def shown_to_clients(node, authorities):
    """The certificate of the S3 port, DER."""
    context = ssl.create_default_context(cafile=str(authorities))
    with (
        socket.create_connection((node.host, node.port), 5.0) as plain,
        context.wrap_socket(plain, server_hostname=node.host) as talk,
    ):
        return talk.getpeercert(binary_form=True)


def test_four_nodes_speak_tls_only_and_tell_strangers_nothing(cluster, authority):
    data = noise(3_000_000, 1)
    for number in range(NODES):
        cluster.s3(number).put_object(Bucket=BUCKET, Key=f"k{number}", Body=data)
        for other in range(NODES):
            assert cluster.s3(other).get_object(Bucket=BUCKET, Key=f"k{number}")["Body"].read() == data
    assert "Deployment" in cluster.nodes[3].admin("info")
    stranger = trustme.CA()
    for node in cluster.nodes:
        assert node.endpoint.startswith("https://")
        said, _ = answer_of_peer_port(node, presenting(authority, authority))
        assert said, "a member is answered"
        assert answer_of_peer_port(node, presenting(authority, None))[0] == b"", "no certificate"
        assert answer_of_peer_port(node, presenting(authority, stranger))[0] == b"", "one of another authority"
        assert len(answer_of_peer_port(node, None)[0]) <= STRANGER_ANSWER_BYTES_MAX, "no TLS"
        node.authority = None  # a client that knows nothing of HTTPS
        assert node.get("/rustfs/health/live")[0] == 0
        node.authority = cluster.trusted
    cluster.wait_peers(range(NODES))
    assert cluster.stop() == [0] * NODES


def test_another_authority_takes_over_under_load_without_a_restart(cluster, authority, successor):
    """By the steps of README.md, "Renewing"; nobody is started anew until the end, to see that it still could."""
    directories = [cluster.tls_directory(node) for node in cluster.nodes]

    def each(check):
        return lambda: all(check(node) for node in cluster.nodes)

    def lets_in(signer, trust):
        return each(lambda node: answer_of_peer_port(node, presenting(trust, signer))[0] != b"")

    def shuts_out(signer, trust):
        return each(lambda node: answer_of_peer_port(node, presenting(trust, signer))[0] == b"")

    with Load(cluster, BUCKET) as load:
        assert shuts_out(successor, authority)()
        for directory in directories:
            write_authority(directory, successor, "CAs/successor.crt")
        poll("all nodes trust both", lets_in(successor, authority), RENEW_SECONDS_MAX, cluster.explain)
        renewed = {}
        for node, directory in zip(cluster.nodes, directories, strict=True):
            write_pair(directory, successor.issue_cert(node.host))
            renewed[node.host] = ssl.PEM_cert_to_DER_cert((directory / "public.crt").read_text())
        poll(
            "all nodes show their new certificates to clients",
            each(lambda node: shown_to_clients(node, cluster.trusted) == renewed[node.host]),
            RENEW_SECONDS_MAX,
            cluster.explain,
        )
        context = presenting(successor, successor)
        poll(
            "and to peers",
            each(lambda node: answer_of_peer_port(node, context)[1] == renewed[node.host]),
            RENEW_SECONDS_MAX,
            cluster.explain,
        )
        for directory in directories:
            (directory / "CAs" / "nodes.crt").unlink()
        poll("nobody trusts the old one", shuts_out(authority, successor), RENEW_SECONDS_MAX, cluster.explain)
        cluster.wait_peers(range(NODES))
        done = len(load.latencies)
        poll("requests go on", lambda: len(load.latencies) > done + 20, 30, cluster.explain)
    load.check()
    cluster.kill(1)
    cluster.nodes[1].launch()
    cluster.wait_together()  # it finds its peers, and they find it, with what is on disk now
    load.check()

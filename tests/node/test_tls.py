"""A directory of certificates: what is refused and why, and changing over while connections live."""

import asyncio
import datetime as dt
import logging
import ssl
import time

import pytest
import trustme
from cryptography.x509.oid import ExtendedKeyUsageOID

from rustfs.core.errors import ConfigurationError
from rustfs.core.system import SystemClock
from rustfs.node.tls import TlsKeeper, load, trusted_by_clients
from tests.certificates import (
    client_context,
    make_directory,
    self_signed,
    write_authority,
    write_pair,
)
from tests.http.serving import echo, serving

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def now():
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def refusal(directory, mesh_host="", now_seconds=None):
    with pytest.raises(ConfigurationError) as caught:
        load(str(directory), time.time() if now_seconds is None else now_seconds, mesh_host)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.startswith("--tls-dir: ")
    return sentence


def test_a_good_directory(tmp_path, authority):
    directory = make_directory(tmp_path, authority, "node1", "localhost", "127.0.0.1")
    material = load(str(directory), time.time(), "node1")
    assert set(material.leaf.names) == {"node1", "localhost", "127.0.0.1"}
    assert material.warnings == ()
    assert material.certificates.roots_pem == authority.cert_pem.bytes()
    assert material.certificates.chain_pem == (directory / "public.crt").read_bytes()
    assert material.certificates.key_pem == (directory / "private.key").read_bytes()
    assert b"PRIVATE" not in repr(material).encode()
    load(str(directory), time.time(), "127.0.0.1")  # a node may be called by its address


def test_the_listener_speaks_tls_1_2_or_newer_and_http_1_1(tmp_path, authority):
    context = load(str(make_directory(tmp_path, authority)), time.time()).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    trust = client_context(authority)
    trust.set_alpn_protocols(["h2", "http/1.1"])

    async def main():
        async with serving(echo, tls=context) as held:
            client = await held.client(trust=trust)
            assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"

    asyncio.run(main())


def test_authorities_lie_in_one_file_or_in_several(tmp_path, authority):
    other = trustme.CA()
    write_pair(tmp_path, authority.issue_cert("node1"), chain=False)
    write_authority(tmp_path, authority, "ca.crt")
    assert load(str(tmp_path), time.time(), "node1").certificates.roots_pem == authority.cert_pem.bytes()
    write_authority(tmp_path, other, "CAs/b.crt")
    (tmp_path / "CAs" / "README").write_text("not a certificate")
    roots = load(str(tmp_path), time.time(), "node1").certificates.roots_pem
    assert roots == other.cert_pem.bytes() + authority.cert_pem.bytes()
    assert trusted_by_clients(str(tmp_path)) == roots.decode()


def test_without_authorities_the_chain_is_trusted_and_a_certificate_alone_trusts_itself(tmp_path, authority):
    intermediate = authority.create_child_ca()
    write_pair(tmp_path / "chain", intermediate.issue_cert("node1"))
    roots = load(str(tmp_path / "chain"), time.time(), "node1").certificates.roots_pem
    assert roots == intermediate.cert_pem.bytes()
    self_signed(tmp_path / "alone", "node1")
    roots = load(str(tmp_path / "alone"), time.time(), "node1").certificates.roots_pem
    assert roots == (tmp_path / "alone" / "public.crt").read_bytes()


def test_missing_and_broken_files(tmp_path, authority):
    directory = make_directory(tmp_path / "tls", authority)
    assert "cannot read /nowhere/public.crt: No such file" in refusal("/nowhere")
    key, chain = directory / "private.key", directory / "public.crt"
    good_key, good_chain = key.read_bytes(), chain.read_bytes()
    key.unlink()
    assert f"cannot read {key}: No such file" in refusal(directory)
    key.write_bytes(b"no key")
    assert f"{key} and {chain} cannot be used" in refusal(directory)
    key.write_bytes(good_key)
    chain.write_bytes(b"no certificate")
    assert f"{chain} holds no certificate in PEM form" in refusal(directory)
    chain.write_bytes(good_chain.replace(b"M", b"!", 1))
    assert f"{chain} holds a certificate that cannot be read" in refusal(directory)
    chain.write_bytes(good_chain + bytes(1 << 20))
    assert f"{chain} is larger than 1 MiB" in refusal(directory)
    chain.write_bytes(good_chain)
    (directory / "CAs" / "empty.crt").touch()
    assert "empty.crt holds no certificate" in refusal(directory)


def test_a_key_of_another_certificate(tmp_path, authority):
    directory = make_directory(tmp_path, authority)
    (directory / "private.key").write_bytes(authority.issue_cert("other").private_key_pem.bytes())
    assert f"{directory}/private.key is not the key of the certificate in {directory}/public.crt" in refusal(directory)


def test_an_encrypted_key_does_not_ask_the_terminal(tmp_path):
    self_signed(tmp_path, passphrase=b"secret")
    assert f"{tmp_path}/private.key is encrypted" in refusal(tmp_path)


def test_times(tmp_path, authority):
    write_pair(tmp_path / "old", authority.issue_cert("node1", not_before=now() - 9 * DAY, not_after=now() - DAY))
    assert "public.crt expired on " in refusal(tmp_path / "old")
    write_pair(tmp_path / "new", authority.issue_cert("node1", not_before=now() + DAY, not_after=now() + 9 * DAY))
    assert "is this machine's clock right?" in refusal(tmp_path / "new")
    load(str(tmp_path / "new"), time.time() + 2 * 86_400)


def test_warnings(tmp_path, authority):
    write_pair(tmp_path, authority.issue_cert("node1", not_after=now() + 20 * DAY + DAY / 10))
    (tmp_path / "private.key").chmod(0o644)
    expiry, mode = load(str(tmp_path), time.time()).warnings
    assert "public.crt expires in 20 days" in expiry
    assert f"every user of this machine can read {tmp_path}/private.key" in mode


def test_a_mesh_wants_the_nodes_own_name(tmp_path, authority):
    directory = make_directory(tmp_path, authority, "node1", "10.0.0.1")
    assert "does not name this node's host node2 (its names: node1, 10.0.0.1)" in refusal(directory, "node2")
    assert "does not name this node's host 10.0.0.2" in refusal(directory, "10.0.0.2")
    load(str(directory), time.time())  # which a single node has no use for


def test_a_mesh_wants_a_certificate_that_its_authorities_signed(tmp_path, authority):
    write_pair(tmp_path, authority.issue_cert("node1"))
    write_authority(tmp_path, trustme.CA())
    assert "is not signed by what the nodes trust: " in refusal(tmp_path, "node1")
    load(str(tmp_path), time.time())


def test_a_mesh_wants_a_certificate_for_both_roles_and_s3_one_for_servers(tmp_path):
    self_signed(tmp_path / "server", "node1", usages=(ExtendedKeyUsageOID.SERVER_AUTH,))
    load(str(tmp_path / "server"), time.time())
    assert "must serve for clients as well as for servers" in refusal(tmp_path / "server", "node1")
    self_signed(tmp_path / "client", "node1", usages=(ExtendedKeyUsageOID.CLIENT_AUTH,))
    assert "cannot serve as a server's certificate: " in refusal(tmp_path / "client")


def serial_of(client):
    return client.writer.get_extra_info("peercert")["serialNumber"]


def test_new_certificates_serve_new_connections_and_old_connections_live_on(run, tmp_path, authority, caplog):
    caplog.set_level(logging.INFO, "rustfs.node")
    directory = make_directory(tmp_path, authority)
    trust = client_context(authority)

    async def main():
        changes = []
        keeper = TlsKeeper(str(directory), SystemClock(), "localhost", changes.append)
        async with serving(echo, tls=keeper.context) as held:
            old = await held.client(trust=trust)
            assert (await old.ask(GET)).status == 200
            await keeper.poll()
            assert (keeper.generation, changes) == (1, [])
            write_pair(directory, authority.issue_cert("localhost"))
            await keeper.poll()
            assert keeper.generation == 2
            assert changes == [keeper.certificates]
            assert keeper.certificates.chain_pem == (directory / "public.crt").read_bytes()
            new = await held.client(trust=trust)
            assert serial_of(new) != serial_of(old)
            assert keeper.leaf.names == ("localhost",)
            for client in (old, new, old):
                assert (await client.ask(GET)).status == 200
            assert held.server.connections == 2

    run(main())
    assert sum("new certificates in" in record.getMessage() for record in caplog.records) == 1


def test_certificates_that_will_not_do_change_nothing_and_are_complained_of_once(run, tmp_path, authority, caplog):
    directory = make_directory(tmp_path, authority)
    trust = client_context(authority)
    renewed = authority.issue_cert("localhost")

    async def main():
        keeper = TlsKeeper(str(directory), SystemClock())
        async with serving(echo, tls=keeper.context) as held:
            first = serial_of(await held.client(trust=trust))
            # Files are replaced one after the other: for a while they do not match.
            (directory / "public.crt").write_bytes(renewed.cert_chain_pems[0].bytes())
            for _ in range(3):
                await keeper.poll()
            assert keeper.generation == 1
            client = await held.client(trust=trust)
            assert serial_of(client) == first
            assert (await client.ask(GET)).status == 200
            (directory / "private.key").write_bytes(renewed.private_key_pem.bytes())
            await keeper.poll()
            assert keeper.generation == 2
            assert serial_of(await held.client(trust=trust)) != first

    run(main())
    [complaint] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "the old certificates stay in use: " in complaint
    assert "is not the key of the certificate" in complaint


def test_the_watch_finds_a_change_by_itself(run, tmp_path, authority):
    directory = make_directory(tmp_path, authority)

    async def main():
        changed = asyncio.Event()
        keeper = TlsKeeper(str(directory), SystemClock(), on_change=lambda _certificates: changed.set())
        watching = asyncio.create_task(keeper.watch(0.01))
        write_pair(directory, authority.issue_cert("localhost"))
        await asyncio.wait_for(changed.wait(), 10.0)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    run(main())


class Days:
    """A clock by the day."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now_milliseconds(self) -> int:
        return int((time.time() + self.passed * 86_400) * 1000)

    def monotonic_seconds(self) -> float:
        return self.passed * 86_400


def test_an_end_that_comes_near_while_the_node_runs_is_said_daily(tmp_path, authority, caplog):
    write_pair(tmp_path, authority.issue_cert("localhost", not_after=now() + 40 * DAY))

    async def main():
        clock = Days()
        keeper = TlsKeeper(str(tmp_path), clock)
        for passed in (5.0, 11.0, 11.5, 12.1, 41.0):
            clock.passed = passed
            await keeper.poll()

    asyncio.run(main())
    said = [record.getMessage() for record in caplog.records]
    assert [("expires in 29 days" in one, "expired on" in one) for one in said] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert "expires in 28 days" in said[1]

"""Where `rustfs admin` asks, and what it says when a certificate does not convince it."""

import asyncio
import http.client
import threading

import pytest
import trustme

from rustfs.cli.endpoint import endpoint_of
from rustfs.core.errors import ConfigurationError
from tests.certificates import NAMES, make_directory, self_signed, server_context, write_authority
from tests.http.serving import echo, serving


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def test_what_an_address_means(tmp_path, authority):
    tls = {"RUSTFS_TLS_DIR": str(make_directory(tmp_path, authority))}
    for address, environment, host, port, secure in [
        ("127.0.0.1:9000", {}, "127.0.0.1", 9000, False),
        (":9000", {}, "127.0.0.1", 9000, False),
        ("http://node1:9000/", {}, "node1", 9000, False),
        ("http://node1:9000", tls, "node1", 9000, False),
        ("HTTPS://node1:9001", {}, "node1", 9001, True),
        ("node1:9000", tls, "node1", 9000, True),
        ("node1:9000", {"RUSTFS_TLS_CA": str(tmp_path / "CAs" / "nodes.crt")}, "node1", 9000, True),
        ("https://[::1]:9000", {}, "::1", 9000, True),
    ]:
        endpoint = endpoint_of(address, environment)
        assert (endpoint.host, endpoint.port, endpoint.trust is not None) == (host, port, secure), address
    assert endpoint_of("https://[::1]:9000", {}).authority == "[::1]:9000"


def test_what_is_no_address_or_no_authority(tmp_path):
    with pytest.raises(ConfigurationError, match="--address must begin with http:// or https://"):
        endpoint_of("ftp://node1:9000", {})
    with pytest.raises(ConfigurationError, match="--address must look like"):
        endpoint_of("https://node1", {})
    (tmp_path / "empty").touch()
    with pytest.raises(ConfigurationError, match=f"RUSTFS_TLS_CA: cannot use {tmp_path}/empty: "):
        endpoint_of("node1:9000", {"RUSTFS_TLS_CA": str(tmp_path / "empty")})
    with pytest.raises(ConfigurationError, match="RUSTFS_TLS_CA: cannot use /nowhere: No such file"):
        endpoint_of("node1:9000", {"RUSTFS_TLS_CA": "/nowhere"})
    with pytest.raises(ConfigurationError, match=r"cannot read /nowhere/public\.crt"):
        endpoint_of("node1:9000", {"RUSTFS_TLS_DIR": "/nowhere"})


def ask(tls, address_of_port, environment):
    """The status of an answer, or why there is none, from a server in a thread of its own."""
    started, done, found = threading.Event(), threading.Event(), {}

    async def serve():
        async with serving(echo, tls=tls) as held:
            found["port"] = held.port
            started.set()
            await asyncio.to_thread(done.wait, 10.0)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10.0)
        endpoint = endpoint_of(address_of_port(found["port"]), environment)
        connection = endpoint.connection(5.0)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status, ""
        except (OSError, http.client.HTTPException) as error:
            return 0, str(endpoint.unreachable(error))
        finally:
            connection.close()
    finally:
        done.set()
        thread.join(20.0)


def test_a_node_is_believed_when_the_authority_signed_its_name(tmp_path, authority):
    tls = server_context(authority)
    write_authority(tmp_path, authority, "ca.pem")
    ca = {"RUSTFS_TLS_CA": str(tmp_path / "ca.pem")}
    assert ask(tls, "https://127.0.0.1:{}".format, ca) == (200, "")
    assert ask(tls, "localhost:{}".format, ca) == (200, "")
    assert ask(tls, ":{}".format, {"RUSTFS_TLS_DIR": str(make_directory(tmp_path, authority, *NAMES))}) == (200, "")


def test_a_node_that_does_not_convince_is_not_told_anything(tmp_path, authority):
    tls = server_context(authority)
    status, reason = ask(tls, "https://127.0.0.1:{}".format, {})
    assert status == 0
    assert "cannot be trusted: unable to get local issuer certificate; set RUSTFS_TLS_CA" in reason
    self_signed(tmp_path, "localhost")
    status, reason = ask(tls, "https://127.0.0.1:{}".format, {"RUSTFS_TLS_DIR": str(tmp_path)})
    assert (status, "cannot be trusted" in reason) == (0, True)


def test_a_name_that_the_certificate_does_not_cover(tmp_path, authority):
    write_authority(tmp_path, authority, "ca.pem")
    tls = server_context(authority, "node7")
    status, reason = ask(tls, "https://127.0.0.1:{}".format, {"RUSTFS_TLS_CA": str(tmp_path / "ca.pem")})
    assert status == 0
    assert "IP address mismatch" in reason
    assert "--address to a name that it covers" in reason


def test_the_wrong_scheme_is_guessed_at(authority):
    status, reason = ask(None, "https://127.0.0.1:{}".format, {})
    assert (status, "set --address to http://HOST:PORT" in reason) == (0, True)
    status, reason = ask(server_context(authority), "http://127.0.0.1:{}".format, {})
    assert (status, "to https://HOST:PORT where the node serves HTTPS" in reason) == (0, True)

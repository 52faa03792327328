"""Mutual TLS between nodes: who is let in, and changing over while connections live."""

import asyncio
import contextlib

import grpc
import grpc.aio
import pytest
import trustme

from rustfs.mesh.credentials import Certificates, MeshCredentials

SECONDS_MAX = 20.0
METHOD = "/test.Echo/Echo"
NAMES = ("localhost", "127.0.0.1")


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def certificates(signer, roots=None, *names):
    leaf = signer.issue_cert(*(names or NAMES))
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    return Certificates(chain, leaf.private_key_pem.bytes(), (roots or signer).cert_pem.bytes())


@contextlib.asynccontextmanager
async def served(credentials):
    """A server that echoes; gives its port."""

    async def echo(request, context):
        return request + b" from " + context.auth_context()["x509_pem_cert"][0]

    handler = grpc.method_handlers_generic_handler("test.Echo", {"Echo": grpc.unary_unary_rpc_method_handler(echo)})
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_secure_port("127.0.0.1:0", credentials.server())
    await server.start()
    try:
        async with asyncio.timeout(SECONDS_MAX):
            yield port
    finally:
        await server.stop(0.0)


def open_channel(port, credentials, host="127.0.0.1"):
    options = [("grpc.use_local_subchannel_pool", 1)]
    target = f"{host}:{port}"
    return grpc.aio.secure_channel(target, credentials, options) if credentials else grpc.aio.insecure_channel(target)


async def ask(channel, text=b"hello"):
    return await channel.unary_unary(METHOD)(text, timeout=5.0)


async def refused(port, credentials, host="127.0.0.1"):
    async with open_channel(port, credentials, host) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel)
    return caught.value.code() is grpc.StatusCode.UNAVAILABLE


def leaf_pem(pair):
    return pair.chain_pem.replace(b"\r\n", b"\n").split(b"-----END")[0]


def test_nodes_of_one_authority_know_each_other(authority):
    async def main():
        client = certificates(authority)
        async with served(MeshCredentials(certificates(authority))) as port:
            async with open_channel(port, MeshCredentials(client).current()) as channel:
                answer = await ask(channel)
                assert answer.startswith(b"hello from " + leaf_pem(client))
            async with open_channel(port, MeshCredentials(client).current(), "localhost") as channel:
                assert await ask(channel)

    asyncio.run(main())


def test_an_intermediate_without_its_root_is_enough_to_trust(authority):
    async def main():
        intermediate = authority.create_child_ca()
        own = certificates(intermediate)  # trusts the intermediate, as what public.crt rests on
        async with (
            served(MeshCredentials(own)) as port,
            open_channel(port, MeshCredentials(certificates(intermediate)).current()) as channel,
        ):
            assert await ask(channel)

    asyncio.run(main())


def test_who_has_no_certificate_or_a_foreign_one_is_refused(authority):
    async def main():
        stranger = trustme.CA()
        async with served(MeshCredentials(certificates(authority))) as port:
            roots = authority.cert_pem.bytes()
            assert await refused(port, grpc.ssl_channel_credentials(roots))
            assert await refused(port, MeshCredentials(certificates(stranger, authority)).current())
            assert await refused(port, None)
            async with open_channel(port, MeshCredentials(certificates(authority)).current()) as channel:
                assert await ask(channel)  # and the server is none the worse

    asyncio.run(main())


def test_a_client_refuses_a_server_of_another_authority_or_name(authority):
    async def main():
        async with served(MeshCredentials(certificates(trustme.CA(), authority))) as port:
            assert await refused(port, MeshCredentials(certificates(authority)).current())
        async with served(MeshCredentials(certificates(authority, None, "node7"))) as port:
            assert await refused(port, MeshCredentials(certificates(authority)).current())

    asyncio.run(main())


def test_new_certificates_serve_new_connections_and_old_connections_live_on(authority):
    async def main():
        successor = trustme.CA()
        old = certificates(authority)
        server, client = MeshCredentials(old), MeshCredentials(certificates(authority))
        async with served(server) as port, open_channel(port, client.current()) as standing:
            assert await ask(standing)
            server.replace(certificates(successor))
            assert server.generation == 2
            assert await ask(standing)  # the connection stands, though its client would no longer be let in
            assert await refused(port, client.current())
            client.replace(certificates(successor))
            assert client.generation == 2
            async with open_channel(port, client.current()) as renewed:
                assert (await ask(renewed)).startswith(b"hello from " + leaf_pem(client._newest.certificates))
                assert await ask(standing)

    asyncio.run(main())


def test_the_same_certificates_are_no_change(authority):
    pair = certificates(authority)
    credentials = MeshCredentials(pair)
    channel = credentials.current()
    credentials.replace(Certificates(pair.chain_pem, pair.key_pem, pair.roots_pem))
    assert credentials.generation == 1
    assert credentials.current() is channel


def test_no_key_shows_in_a_representation(authority):
    assert "PRIVATE KEY" not in repr(certificates(authority))

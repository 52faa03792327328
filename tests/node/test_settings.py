"""Settings: what holds by default, and one sentence for whatever is wrong, before anything is touched."""

import os
import socket

import pytest

from rustfs.core.errors import ConfigurationError
from rustfs.node.settings import Settings, is_loopback, parse_address, read_settings
from rustfs.node.volumes import read_volumes

GIVEN = {
    "volumes": ["/data{1...4}"],
    "address": "127.0.0.1:9000",
    "workers": 2,
    "region": "us-east-1",
    "domain": "",
    "access_key": "",
    "secret_key": "",
    "log_format": "text",
}
OWN_KEYS = {"RUSTFS_ACCESS_KEY": "mine", "RUSTFS_SECRET_KEY": "my-secret-key"}


def read(environment=None, **given):
    return read_settings(environment or {}, **(GIVEN | given))


def test_what_holds_by_default():
    settings = read(workers=0)
    assert settings == Settings(
        topology=read_volumes(["/data{1...4}"]),
        own_node="",
        host="127.0.0.1",
        port=9000,
        workers=os.cpu_count() or 1,
        region="us-east-1",
        domains=(),
        access_key="rustfsadmin",
        secret_key="rustfsadmin",
        log_format="text",
        pool_parities=((("STANDARD", 2), ("REDUCED_REDUNDANCY", 1)),),
        compress=True,
        upload_expiry_days=7.0,
        drain_seconds=30.0,
        peer_port=0,
        tls_dir="",
    )
    assert settings.drives == ("/data1", "/data2", "/data3", "/data4")
    assert (settings.set_size, settings.set_count) == (4, 1)
    assert dict(settings.parities) == {"STANDARD": 2, "REDUCED_REDUNDANCY": 1}
    assert settings.peers == {}


def test_what_the_variables_say():
    environment = OWN_KEYS | {
        "RUSTFS_STORAGE_CLASS_STANDARD": "EC:1",
        "RUSTFS_STORAGE_CLASS_RRS": "ec:0",
        "RUSTFS_COMPRESSION": "OFF",
        "RUSTFS_UPLOAD_EXPIRY_DAYS": "0.5",
        "RUSTFS_DRAIN_SECONDS": "3",
    }
    settings = read(environment, domain="S3.Example.com., local", address=":9001", log_format="json")
    assert (settings.access_key, settings.secret_key) == ("mine", "my-secret-key")
    assert dict(settings.parities) == {"STANDARD": 1, "REDUCED_REDUNDANCY": 0}
    assert (settings.compress, settings.upload_expiry_days, settings.drain_seconds) == (False, 0.5, 3.0)
    assert (settings.domains, settings.host, settings.port) == (("s3.example.com", "local"), "0.0.0.0", 9001)


def test_settings_travel_to_workers_whole():
    settings = read(OWN_KEYS, domain="a.example,b.example", volumes=["/data{1...32}"], tls_dir="/etc/rustfs/tls")
    assert Settings.from_json(settings.to_json()) == settings
    assert (settings.set_size, settings.set_count) == (16, 2)


CLUSTER = {"volumes": ["http://127.0.0.{1...3}:9000/data{1...2}"], "address": "127.0.0.2:9000"}


def test_a_node_of_a_cluster_knows_its_drives_and_its_peers():
    settings = read(OWN_KEYS, **CLUSTER)
    assert settings.own_node == "127.0.0.2:9000"
    assert settings.drives == ("/data1", "/data2")
    assert (settings.set_size, settings.set_count) == (6, 1)
    assert settings.peers == {"127.0.0.1:9000": "127.0.0.1:10000", "127.0.0.3:9000": "127.0.0.3:10000"}
    assert settings.own_peer_port == 10000
    assert Settings.from_json(settings.to_json()) == settings


def test_the_peer_port_is_that_of_all_nodes():
    settings = read(OWN_KEYS, **CLUSTER, peer_port=7000)
    assert settings.peers == {"127.0.0.1:9000": "127.0.0.1:7000", "127.0.0.3:9000": "127.0.0.3:7000"}
    assert settings.own_peer_port == 7000


def test_each_pool_has_the_parity_of_its_sets():
    settings = read(volumes=["/a{1...4}", "/b{1...12}"])
    assert [dict(each)["STANDARD"] for each in settings.pool_parities] == [2, 4]
    with pytest.raises(ConfigurationError, match="sets of 4 allow EC:0 to EC:2"):
        read({"RUSTFS_STORAGE_CLASS_STANDARD": "EC:4"}, volumes=["/a{1...12}", "/b{1...4}"])


@pytest.mark.parametrize("url", ["http://192.0.2.1:9000/d", "http://name.example:9000/d"])
def test_the_default_secret_is_for_clusters_on_this_machine_only(url):
    known = {"name.example": frozenset({"127.0.0.1", "192.0.2.9"})}
    volumes = [url, "http://127.0.0.1:9000/data"]
    for keys in ({}, {"access_key": "mine"}):
        with pytest.raises(ConfigurationError, match="trust whoever has the secret key, so the default keys"):
            read(volumes=volumes, resolve=lambda *_: known, **keys)
        with pytest.raises(ConfigurationError, match="trust whoever has the secret key, so the default keys"):
            read(volumes=["http://unknown.example:9000/d", volumes[1]], resolve=lambda *_: {}, **keys)
    local = {"name.example": frozenset({"127.0.0.7"}), "127.0.0.1": frozenset({"127.0.0.1"})}
    assert read(volumes=["http://name.example:9000/d", volumes[1]], resolve=lambda *_: local).drives == ("/data",)


def test_a_secret_of_ones_own_serves_a_cluster_on_many_machines():
    settings = read(OWN_KEYS, volumes=["http://192.0.2.1:9000/d", "http://127.0.0.1:9000/data"])
    assert (settings.own_node, settings.drives) == ("127.0.0.1:9000", ("/data",))


def test_no_secret_shows_in_a_representation():
    assert "my-secret-key" not in repr(read(OWN_KEYS))


def test_secrets_may_lie_in_files(tmp_path):
    access, secret = tmp_path / "access", tmp_path / "secret"
    access.write_text("from-file\n")
    secret.write_text("  secret from a file \n")
    files = {"RUSTFS_ACCESS_KEY_FILE": str(access), "RUSTFS_SECRET_KEY_FILE": str(secret)}
    settings = read(files)
    assert (settings.access_key, settings.secret_key) == ("from-file", "secret from a file")
    assert read(files | OWN_KEYS).access_key == "mine"  # the variable itself goes first
    assert read(files | OWN_KEYS, access_key="option", secret_key="an-option").access_key == "option"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe secret"])
@pytest.mark.parametrize("name", ["RUSTFS_ACCESS_KEY", "RUSTFS_SECRET_KEY"])
def test_a_secret_file_without_a_secret_never_means_the_default(tmp_path, name, content):
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"{name}_FILE: .*{path}"):
        read({f"{name}_FILE": str(path)})


@pytest.mark.parametrize(
    ("given", "environment", "sentence"),
    [
        ({"address": "127.0.0.1"}, {}, "--address must look like"),
        ({"address": "127.0.0.1:0"}, {}, "--address must look like"),
        ({"address": "127.0.0.1:65536"}, {}, "--address must look like"),
        ({"address": "127.0.0.1:http"}, {}, "--address must look like"),
        ({"address": "::1:9000"}, {}, "--address must look like"),
        ({"address": "a b:9000"}, {}, "--address must look like"),
        ({"address": "a..b:9000"}, {}, "--address: cannot resolve 'a..b'"),
        ({"address": "a" * 70 + ":9000"}, {}, "--address: cannot resolve"),
        ({"workers": -1}, {}, "--workers must be from 1 to 256, not -1"),
        ({"workers": 257}, {}, "--workers must be from 1 to 256, not 257"),
        ({"region": ""}, {}, "--region must be"),
        ({"region": "EU"}, {}, "--region must be"),
        ({"region": "a/b"}, {}, "--region must be"),
        ({"domain": "-a.example"}, {}, "--domain must be a host name, not '-a.example'"),
        ({"domain": "a.example:9000"}, {}, "--domain must be a host name"),
        ({"log_format": "xml"}, {}, "--log-format must be text or json, not 'xml'"),
        ({"access_key": "ab"}, {}, "the access key must have at least 3 characters"),
        ({"access_key": "a/b/c"}, {}, "the access key must be"),
        ({"access_key": "a,b"}, {}, "the access key must be"),
        ({"access_key": "a b c"}, {}, "the access key must be"),
        ({"access_key": "é" * 5}, {}, "the access key must be"),
        ({"access_key": "a" * 129}, {}, "the access key must be"),
        ({"secret_key": "1234567"}, {}, "the secret key must have at least 8 characters"),
        ({"volumes": []}, {}, "no volumes given"),
        ({"peer_port": 7000}, {}, "--peer-port is for nodes with peers"),
        (CLUSTER | {"peer_port": 65536}, {}, "--peer-port must be from 1 to 65535, not 65536"),
        (CLUSTER | {"peer_port": -1}, {}, "--peer-port must be from 1 to 65535, not -1"),
        (CLUSTER | {"address": "127.0.0.4:9000"}, {}, "none of the volumes' nodes is this one"),
        (CLUSTER, {"RUSTFS_RESOLVE_SECONDS": "0"}, "RUSTFS_RESOLVE_SECONDS must be a positive number, not '0'"),
        ({"volumes": ["/data{1...17}"]}, {}, "17 drives cannot be cut into sets"),
        ({}, {"RUSTFS_STORAGE_CLASS_STANDARD": "2"}, "RUSTFS_STORAGE_CLASS_STANDARD must look like EC:2, not '2'"),
        ({}, {"RUSTFS_STORAGE_CLASS_STANDARD": "EC:3"}, "sets of 4 allow EC:0 to EC:2"),
        ({}, {"RUSTFS_STORAGE_CLASS_STANDARD": "EC:-1"}, "RUSTFS_STORAGE_CLASS_STANDARD must look like"),
        (
            {},
            {"RUSTFS_STORAGE_CLASS_STANDARD": "EC:1", "RUSTFS_STORAGE_CLASS_RRS": "EC:2"},
            "RUSTFS_STORAGE_CLASS_RRS=EC:2 must not exceed",
        ),
        ({}, {"RUSTFS_COMPRESSION": "zstd"}, "RUSTFS_COMPRESSION must be auto or off, not 'zstd'"),
        ({}, {"RUSTFS_UPLOAD_EXPIRY_DAYS": "0"}, "RUSTFS_UPLOAD_EXPIRY_DAYS must be a positive number, not '0'"),
        ({}, {"RUSTFS_UPLOAD_EXPIRY_DAYS": "nan"}, "RUSTFS_UPLOAD_EXPIRY_DAYS must be a positive number"),
        ({}, {"RUSTFS_DRAIN_SECONDS": "inf"}, "RUSTFS_DRAIN_SECONDS must be a positive number"),
        ({}, {"RUSTFS_DRAIN_SECONDS": "soon"}, "RUSTFS_DRAIN_SECONDS must be a positive number"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(given, environment, sentence):
    with pytest.raises(ConfigurationError) as raised:
        read(environment, **given)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("127.0.0.1:9000", "127.0.0.1", 9000),
        ("[::1]:9000", "::1", 9000),
        ("localhost:1", "localhost", 1),
        (":65535", "0.0.0.0", 65535),
    ],
)
def test_addresses(address, host, port):
    assert parse_address(address) == (host, port)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "[::]"])
def test_the_default_keys_serve_nobody_else(host):
    with pytest.raises(ConfigurationError, match="the default keys will not do: set RUSTFS_ACCESS_KEY and"):
        read(address=f"{host}:9000")
    with pytest.raises(ConfigurationError, match="the default keys will not do"):
        read(address=f"{host}:9000", access_key="mine")  # with the well-known secret
    assert read(OWN_KEYS, address=f"{host}:9000").secret_key == "my-secret-key"


def test_a_name_is_on_the_loopback_only_if_all_of_it_is(monkeypatch):
    entries = [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 0)), (socket.AF_INET6, 1, 6, "", ("fe80::1%eth0", 0, 0, 2))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_names: entries[:1])
    assert is_loopback("name.example")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_names: entries)
    assert not is_loopback("name.example")

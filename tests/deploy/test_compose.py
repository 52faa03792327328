"""Four nodes in docker compose: a valid file, equal nodes, no default secret, a balancer fit for S3 clients."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config
from compose_spec import PyCompose

from tests.e2e.server import ACCESS_KEY, SECRET_KEY, RunningServer, base_environment, free_port, rustfs_command

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = DEPLOY / "compose" / "compose.yml"
BALANCER = DEPLOY / "compose" / "haproxy.cfg"
NODES = ("node1", "node2", "node3", "node4")

needs_haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy (Debian's package) is missing")


def described() -> dict[str, Any]:
    """The file as compose sees it: variables replaced by their defaults, anchors merged."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", COMPOSE.read_text())
    assert "${" not in text
    return yaml.safe_load(text)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return described()["services"]


def test_the_file_follows_the_compose_specification():
    parsed = PyCompose.from_yaml(yaml.safe_dump(described()))
    assert set(parsed.service_names()) == {*NODES, "balancer", "prometheus"}


def test_the_checker_refuses_a_misspelt_field():
    wrong = described()
    wrong["services"]["node1"]["restarts"] = "always"
    with pytest.raises(ValueError, match="restarts"):
        PyCompose.from_yaml(yaml.safe_dump(wrong))


def test_docker_compose_accepts_the_file(tmp_path):
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    done = subprocess.run(
        [docker, "compose", "--file", str(COMPOSE), "--profile", "*", "config", "--quiet"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_all_volumes_networks_and_secrets_that_are_used_are_declared():
    whole = described()
    for service in whole["services"].values():
        assert set(service.get("secrets", [])) <= whole["secrets"].keys()
        assert set(service["networks"]) <= whole["networks"].keys()
    used = [each.partition(":")[0] for service in whole["services"].values() for each in service["volumes"]]
    named = [name for name in used if not name.startswith(".")]
    assert sorted(named) == sorted(whole["volumes"]), "each volume is used, and by one service"
    for path in (name for name in used if name.startswith(".")):
        assert (COMPOSE.parent / path).exists(), path


def test_the_nodes_are_equal_but_for_name_port_and_drives(services):
    own = {"hostname", "ports", "volumes"}
    shared = [{key: value for key, value in services[name].items() if key not in own} for name in NODES]
    assert all(each == shared[0] for each in shared)
    published = set()
    for name in NODES:
        assert services[name]["hostname"] == name
        assert [each.partition(":")[2] for each in services[name]["volumes"]] == [f"/data{n}" for n in range(1, 5)]
        (port,) = services[name]["ports"]
        host, outside, inside = port.split(":")
        assert (host, inside) == ("127.0.0.1", "9000"), "the peer port stays inside"
        published.add(outside)
    assert len(published) == len(NODES)


def test_every_node_is_told_of_all_nodes_and_drives(services):
    command, volumes = services["node1"]["command"]
    assert command == "start"
    assert volumes == "http://node{1...4}:9000/data{1...4}"
    assert services["node1"]["environment"]["RUSTFS_ADDRESS"] == ":9000"


def test_there_is_no_default_secret(services, tmp_path):
    secrets = described()["secrets"]
    for each in secrets.values():
        assert each.keys() == {"file"}
        assert not (COMPOSE.parent / each["file"]).exists(), "committed?"
    variables = services["node1"]["environment"]
    assert not {"RUSTFS_ACCESS_KEY", "RUSTFS_SECRET_KEY"} & variables.keys()
    for name in ("RUSTFS_ACCESS_KEY_FILE", "RUSTFS_SECRET_KEY_FILE"):
        assert Path(variables[name]).parent == Path("/run/secrets")
        assert Path(variables[name]).name in services["node1"]["secrets"]
    # A node whose files are not there does not fall back to anything.
    refused = subprocess.run(
        [*rustfs_command(), "start", str(tmp_path / "drive")],
        capture_output=True,
        env=base_environment() | variables,
        timeout=30,
        check=False,
    )
    assert refused.returncode == 2
    assert b"RUSTFS_ACCESS_KEY_FILE: cannot read" in refused.stderr


def test_secret_files_and_settings_beside_the_file_are_kept_out_of_git():
    ignored = (DEPLOY.parent / ".gitignore").read_text().split()
    assert {"/deploy/compose/secrets/", "/deploy/compose/*.env"} <= set(ignored)


def test_containers_have_time_to_drain_and_no_more_rights_than_they_need(services):
    node = services["node1"]
    assert int(node["stop_grace_period"].removesuffix("s")) >= int(node["environment"]["RUSTFS_DRAIN_SECONDS"]) + 15
    assert node["restart"] == "unless-stopped"
    assert node["read_only"] is True
    assert node["tmpfs"][0].startswith("/tmp:")
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.e2e
def test_the_health_check_tells_a_node_that_serves_from_one_that_does_not(services, tmp_path):
    kind, _python, *arguments = services["node1"]["healthcheck"]["test"]
    assert kind == "CMD"
    server = RunningServer(tmp_path / "node", drive_count=1, worker_count=1)

    def healthy() -> bool:
        check = [each.replace(":9000/", f":{server.port}/") for each in arguments]
        done = subprocess.run(["python3", *check], capture_output=True, env=base_environment(), check=False)
        return done.returncode == 0

    server.start()
    try:
        assert healthy()
    finally:
        server.stop()
    assert not healthy()


def test_prometheus_scrapes_every_node(services):
    (entry,) = yaml.safe_load((DEPLOY / "prometheus" / "nodes.yml").read_text())
    assert entry["targets"] == [f"{name}:9000" for name in NODES]
    (option,) = (each for each in services["prometheus"]["command"] if each.startswith("--config.file="))
    mounted, at, _mode = services["prometheus"]["volumes"][0].split(":")
    assert option == f"--config.file={at}/prometheus.yml"
    assert (COMPOSE.parent / mounted / "prometheus.yml").exists()


@pytest.fixture
def node(tmp_path) -> Iterator[RunningServer]:
    server = RunningServer(tmp_path / "node", drive_count=4, worker_count=1)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def balancer(tmp_path, node) -> Iterator[str]:
    """The balancer's endpoint: our configuration, with node1 the running node, the others known to be down."""
    port = free_port()
    text = BALANCER.read_text().replace("bind :9000", f"bind 127.0.0.1:{port}").replace("node1:9000", node.address)
    for name in NODES[1:]:
        text = text.replace(f"{name}:9000", f"127.0.0.1:{free_port()}")
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(text)
    checked = subprocess.run(["haproxy", "-c", "-f", str(configuration)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    with (tmp_path / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(
            ["haproxy", "-db", "-f", str(configuration)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 30
        log_path = tmp_path / "haproxy.log"
        while not all(f"Server nodes/{name} is DOWN" in log_path.read_text() for name in NODES[1:]):
            assert process.poll() is None, log_path.read_text()
            assert time.monotonic() < deadline, log_path.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@needs_haproxy
@pytest.mark.e2e
def test_clients_reach_the_nodes_that_are_ready_through_the_balancer(balancer, node):
    client = boto3.client(
        "s3",
        endpoint_url=balancer,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=30),
    )
    client.create_bucket(Bucket="balanced")
    body = os.urandom(9 << 20)
    key = "a key/ü+ %20"
    client.put_object(Bucket="balanced", Key=key, Body=body, Metadata={"long": "m" * 1800})
    assert client.get_object(Bucket="balanced", Key=key)["Body"].read() == body
    for number in range(12):  # by turns: also to those nodes that are not there, if they were not left out
        client.put_object(Bucket="balanced", Key=f"{number}", Body=b"x")
    assert client.list_objects_v2(Bucket="balanced")["KeyCount"] == 13


def test_the_balancer_buffers_no_request_and_leaves_the_host_alone():
    directives = [line.split("#")[0].strip() for line in BALANCER.read_text().splitlines()]
    assert not [each for each in directives if each.startswith(("option http-buffer-request", "http-request set"))]
    assert "http-check send meth GET uri /rustfs/health/ready" in directives
    assert [each.split()[1:3] for each in directives if each.startswith("server ")] == [
        [name, f"{name}:9000"] for name in NODES
    ]

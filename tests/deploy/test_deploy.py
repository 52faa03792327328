"""What deploy/ says fits the program: options, variables, paths and times that its files name are those in force."""

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rustfs.node import supervisor
from tests.e2e.server import RunningServer, base_environment, rustfs_command

ROOT = Path(__file__).parents[2]
UNIT = (ROOT / "deploy" / "rustfs.service").read_text()
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
PROMETHEUS = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()


@pytest.fixture(scope="module")
def start_help() -> str:
    done = subprocess.run([*rustfs_command(), "start", "--help"], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read_string(UNIT)
    return parser["Service"]


def instruction(name: str) -> str:
    """The last Dockerfile instruction of this name, its continued lines joined as Docker joins them."""
    joined = DOCKERFILE.replace("\\\n", "")
    return re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)[-1]


def test_every_variable_named_is_one_that_the_program_reads(start_help):
    named = set(re.findall(r"\bRUSTFS_[A-Z_]+", UNIT + DOCKERFILE))
    assert {"RUSTFS_VOLUMES", "RUSTFS_ADDRESS", "RUSTFS_DRAIN_SECONDS", "RUSTFS_SECRET_KEY_FILE"} <= named
    flowing = " ".join(start_help.split())
    assert not [name for name in named if not re.search(rf"\b{name}\b", flowing)]


def test_the_unit_starts_the_program_and_waits_for_it_to_drain(service, start_help, tmp_path):
    program, command, *options = shlex.split(service["ExecStart"])
    assert (Path(program).name, command) == ("rustfs", "start")
    assert all(option in start_help for option in options)
    drain = re.search(r"RUSTFS_DRAIN_SECONDS\s+\((\d+)\)", start_help)
    assert drain is not None
    assert float(service["TimeoutStopSec"]) > int(drain[1]) + supervisor.EXTRA_STOP_SECONDS
    # Status 2 is what a wrong setting ends with: the unit does not restart on it.
    wrong = subprocess.run([*rustfs_command(), "start"], capture_output=True, env=base_environment(), check=False)
    assert str(wrong.returncode) in service["RestartPreventExitStatus"].split()


def test_the_image_has_no_default_secret(tmp_path):
    settings = dict(each.split("=", 1) for each in instruction("ENV").split())
    assert not [name for name in settings if "SECRET" in name or "ACCESS" in name]
    environment = base_environment() | {"RUSTFS_VOLUMES": str(tmp_path), "RUSTFS_ADDRESS": settings["RUSTFS_ADDRESS"]}
    command = json.loads(instruction("CMD"))
    refused = subprocess.run([*rustfs_command(), *command], capture_output=True, env=environment, check=False)
    assert refused.returncode == 2
    assert b"default keys will not do" in refused.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.e2e
def test_health_check_and_scrape_path_are_served(tmp_path):
    server = RunningServer(tmp_path / "node", drive_count=1, worker_count=1)
    check = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    assert check[0] == "python"

    def healthy() -> bool:
        environment = base_environment() | {"RUSTFS_ADDRESS": f":{server.port}"}
        done = subprocess.run([sys.executable, *check[1:]], capture_output=True, env=environment, check=False)
        return done.returncode == 0

    server.start()
    try:
        assert healthy()
        path = re.search(r"metrics_path: (\S+)", PROMETHEUS)
        assert path is not None
        status, body = server.get(path[1])
        assert status == 200
        assert b"rustfs_process_resident_memory_bytes" in body
    finally:
        server.stop()
    assert not healthy()


def test_the_image_is_fit_for_a_cluster():
    assert instruction("EXPOSE").split() == ["9000", "10000"]
    # A new volume takes its owner from the directory that it is mounted on.
    owned = re.search(r"install -d -o rustfs -g rustfs (.*)$", instruction("RUN"), re.MULTILINE)
    assert owned is not None
    assert set(owned[1].split()) == {"/data", "/data1", "/data2", "/data3", "/data4"}


def test_the_image_is_built_from_files_that_exist():
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        for name in line.split():
            assert (ROOT / name).exists(), name
    allowed = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().split()
    assert all(os.path.exists(ROOT / name[1:]) for name in allowed if name.startswith("!"))

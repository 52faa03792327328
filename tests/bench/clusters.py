"""The clusters that are compared: four nodes of one drive each on this machine, half of the space for redundancy."""

import contextlib
import socket
from pathlib import Path

from tests.bench.contenders import (
    DURABLE,
    MINIO_ENVIRONMENT,
    RUSTFS_ENVIRONMENT,
    Contender,
    Plan,
    find,
    make_drives,
    weed_identities,
)
from tests.e2e.server import free_port, rustfs_command

NODES = 4
PEER_PORT_DISTANCE = 1000
REPLICATION = "001"  # one more copy on another server: twice the space, as 2+2 takes


def rustfs_cluster(workers: int, host: str) -> Contender:
    """Four nodes, 2+2."""

    def plan(directory: Path) -> Plan:
        ports = _ports_with_peers(NODES)
        drives = make_drives(directory, NODES)
        volumes = [f"http://{host}:{port}{drive}" for port, drive in zip(ports, drives, strict=True)]
        commands = [
            [*rustfs_command(), "start", *volumes, "--address", f"{host}:{port}", "--workers", str(workers)]
            for port in ports
        ]
        return Plan(commands, ports, "/rustfs/health/ready", RUSTFS_ENVIRONMENT, host)

    return Contender("RustFS", plan, f"2+2; {DURABLE}, each on a node of its own")


def _ports_with_peers(count: int) -> list[int]:
    """Free ports whose peer ports are free as well."""
    found: list[int] = []
    for _ in range(200):
        port = free_port()
        with contextlib.suppress(OSError, OverflowError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port + PEER_PORT_DISTANCE))
            if not any(abs(port - other) in (0, PEER_PORT_DISTANCE) for other in found):
                found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("not enough ports are free")


def minio_cluster(host: str) -> Contender:
    """The same of MinIO's. In a container it refuses loopback addresses."""

    def plan(directory: Path) -> Plan:
        drives, ports = make_drives(directory, NODES), [free_port() for _ in range(NODES)]
        volumes = [f"http://{host}:{port}{drive}" for port, drive in zip(ports, drives, strict=True)]
        commands = [[find("minio"), "server", "--quiet", "--address", f"{host}:{port}", *volumes] for port in ports]
        return Plan(commands, ports, "/minio/health/cluster", MINIO_ENVIRONMENT, host)

    return Contender("MinIO", plan, "EC:2 over four nodes; acknowledged when on a write quorum of the drives")


def _seaweedfs(directory: Path) -> Plan:
    drives, weed = make_drives(directory, NODES), find("weed")
    (directory / "master").mkdir()
    (directory / "filer").mkdir()
    master, filer, s3 = [(free_port(), free_port()) for _ in range(3)]  # for HTTP and for gRPC
    where = f"-master=127.0.0.1:{master[0]}.{master[1]}"

    def ports(pair: tuple[int, int]) -> list[str]:
        return [f"-port={pair[0]}", f"-port.grpc={pair[1]}"]

    commands = [
        [
            weed, "master", "-ip=127.0.0.1", *ports(master), "-peers=none", f"-mdir={directory}/master",
            f"-defaultReplication={REPLICATION}", "-volumeSizeLimitMB=4000",
        ],
        *(
            [weed, "volume", "-ip=127.0.0.1", *ports((free_port(), free_port())), where, f"-dir={drive}", "-max=50"]
            for drive in drives
        ),
        [
            weed, "filer", "-ip=127.0.0.1", *ports(filer), where, f"-defaultStoreDir={directory}/filer",
            f"-defaultReplicaPlacement={REPLICATION}",
        ],
        # Not the filer's own -s3: that one looks for the filer's gRPC at its port + 10,000, wherever it is.
        [
            weed, "s3", f"-filer=127.0.0.1:{filer[0]}.{filer[1]}", "-ip.bind=127.0.0.1", *ports(s3),
            f"-config={weed_identities(directory)}", "-port.iceberg=0", "-port.lance=0",
        ],
    ]  # fmt: skip
    return Plan(commands, [s3[0]], "/status")


SEAWEEDFS = Contender(
    "SeaweedFS",
    _seaweedfs,
    f"replication {REPLICATION}: two copies on two of four volume servers, acknowledged from both servers' page "
    "cache (nothing is fsynced, so a power cut loses what was acknowledged); one loss is survived where 2+2 "
    "survives two for reading and one for writing; one master, and one filer that holds all names and serves S3",
)

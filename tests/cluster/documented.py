"""Nodes that are started by the very commands of docs/operations.md; only their names are others than on the page.

All nodes of the page have the same paths, as machines of their own have. Here each runs in a mount namespace of its
own, as root, where its drives lie below a path that all of them share.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.cluster import RunningCluster
from tests.cluster.page import commands
from tests.e2e.server import SECRET_KEY

# Bind the node's own directory to the shared path, mount what is to be a mount, and become the node.
_ENTER = """
own=$1 shared=$2 mounts=$3
shift 3
mount --bind "$own" "$shared" || exit 1
for drive in $mounts; do mount -t tmpfs -o size=256m none "$shared/$drive" || exit 1; done
exec "$@"
"""


def missing() -> str:
    """Why such nodes cannot be started here; "" where they can."""
    if os.geteuid() != 0:
        return "mount namespaces need root"
    trial = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        done = subprocess.run(trial, check=False, capture_output=True, timeout=20)
    except OSError as error:
        return f"mount namespaces cannot be made here: {error}"
    return f"mount namespaces cannot be made here: {done.stderr.decode()}" if done.returncode else ""


@dataclass
class DocumentedCluster(RunningCluster):
    """Nodes of four drives: node 0 is the page's node1."""

    drives_per_node: int = 4
    mounted: tuple[int, str] | None = None  # a node's drive that is a file system of its own, as "data2"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.shared_path = self.directory / "shared"
        self.shared_path.mkdir()
        secret = self.directory / "secret"
        secret.write_text(f"{SECRET_KEY}\n")
        for number, node in enumerate(self.nodes):
            own = node.directory / "disks"
            node.drives = [own / f"data{drive}" for drive in range(1, self.drives_per_node + 1)]
            for drive in node.drives:
                drive.mkdir(parents=True)
            mounts = self.mounted[1] if self.mounted and self.mounted[0] == number else ""
            enter = ("unshare", "--mount", "sh", "-c", _ENTER, "sh", str(own), str(self.shared_path), mounts)
            node.leading = enter
            node.environment = {"RUSTFS_SECRET_KEY": "", "RUSTFS_SECRET_KEY_FILE": str(secret)}

    def as_here(self, word: str) -> str:
        """A word of a command, with this test's names in place of the page's."""
        network, _, _ = self.nodes[0].host.rpartition(".")
        word = re.sub(r"//node(\{\d+\.\.\.\d+\}):9000/", rf"//{network}.\1:{self.nodes[0].port}/", word)
        return word.replace("/data", f"{self.shared_path}/data")

    def follow(self, title: str) -> None:
        """Give all nodes the volumes that the section's `rustfs start` names."""
        words = commands(title, "rustfs start")[0][2:]
        volumes = [self.as_here(word) for word in words if "://" in word]
        rest = [word for word in words if "://" not in word]
        assert rest in ([], ["--address", ":9000"]), "the page starts nodes otherwise than this test does"
        for node in self.nodes:
            node.volumes = volumes

    def inside(self, number: int, *command: str) -> None:
        """Run a command where the node sees its file systems."""
        process = self.nodes[number].process
        assert process is not None
        enter = ["nsenter", "--target", str(process.pid), "--mount"]
        subprocess.run([*enter, *command], check=True, capture_output=True, timeout=30)

    def seen_by_node(self, drive: str) -> Path:
        """The path of a drive, as every node knows it."""
        return self.shared_path / drive

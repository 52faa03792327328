"""The command-line clients on a cluster: a tree of files goes in through one node and comes back through another."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import clients
from tests.e2e.server import RunningServer

MAKERS: dict[str, Callable[[RunningServer, Path], clients.Client]] = {
    "aws": clients.aws_cli,
    "s3cmd": clients.s3cmd,
    "rclone": clients.rclone,
    "s5cmd": clients.s5cmd,
    "mc": clients.mc,
}


def tool_of(name: str, node: RunningServer, home: Path) -> clients.Client:
    """A client of a node; one that is no Python package is passed over where it is not installed."""
    if name == "mc" and shutil.which("mc") is None:
        pytest.skip("mc is not installed")
    home.mkdir(parents=True, exist_ok=True)
    return MAKERS[name](node, home)


def upload(tool: clients.Client, source: Path, bucket: str, prefix: str) -> None:
    """All files of a directory."""
    tool.run(
        *{
            "aws": ("s3", "sync", f"{source}", f"s3://{bucket}/{prefix}"),
            "s3cmd": ("sync", f"{source}/", f"s3://{bucket}/{prefix}/"),
            "rclone": ("sync", f"{source}", f"store:{bucket}/{prefix}"),
            "s5cmd": ("cp", f"{source}/", f"s3://{bucket}/{prefix}/"),
            "mc": ("mirror", f"{source}", f"store/{bucket}/{prefix}"),
        }[tool.name]
    )


def download(tool: clients.Client, bucket: str, prefix: str, target: Path) -> None:
    """All objects below a prefix."""
    target.mkdir(parents=True, exist_ok=True)
    tool.run(
        *{
            "aws": ("s3", "sync", f"s3://{bucket}/{prefix}", f"{target}"),
            "s3cmd": ("sync", f"s3://{bucket}/{prefix}/", f"{target}/"),
            "rclone": ("sync", f"store:{bucket}/{prefix}", f"{target}"),
            "s5cmd": ("cp", f"s3://{bucket}/{prefix}/*", f"{target}/"),
            "mc": ("mirror", f"store/{bucket}/{prefix}", f"{target}"),
        }[tool.name]
    )

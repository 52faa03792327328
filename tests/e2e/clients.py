"""The real command-line clients, each run as a process of its own with credentials in its environment only."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.server import ACCESS_KEY, REGION, SECRET_KEY, RunningServer, base_environment


def find_client(name: str) -> str:
    """Path of a client; the development extras install all of them, so a missing one is an error, not a skip."""
    path = shutil.which(name)
    assert path is not None, f"{name} is not installed: pip install -e '.[dev]'"
    return path


class Client:
    """One client bound to a server, with a home directory of its own so that no configuration leaks in."""

    def __init__(self, name: str, home: Path, environment: Mapping[str, str], leading: tuple[str, ...] = ()) -> None:
        self.name = name
        self._command = (find_client(name), *leading)
        self._environment = {
            **base_environment(),
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "NO_COLOR": "1",
            **environment,
        }

    def run(self, *arguments: str, check: bool = True, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run it to its end; fails the test on a non-zero status unless `check` is off."""
        done = subprocess.run(
            [*self._command, *arguments],
            input=stdin,
            capture_output=True,
            timeout=90,
            check=False,
            env=self._environment,
        )
        if check:
            shown = (done.stdout + done.stderr)[-4_000:].decode("utf-8", "replace")
            assert done.returncode == 0, f"{self.name} {' '.join(arguments)}: status {done.returncode}\n{shown}"
        return done

    def text(self, *arguments: str) -> str:
        """Standard output as text."""
        return self.run(*arguments).stdout.decode()


def aws_cli(server: RunningServer, home: Path) -> Client:
    """The AWS CLI, with a multipart threshold low enough to matter here.

    Version 1 presigns for us-east-1 with the retired Signature Version 2 unless told otherwise.
    """
    (home / "aws.config").write_text(
        "[default]\ns3 =\n  addressing_style = path\n  signature_version = s3v4\n"
        "  multipart_threshold = 8MB\n  multipart_chunksize = 5MB\n"
    )
    return Client(
        "aws",
        home,
        {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": str(home / "aws.config"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_PAGER": "",
        },
        ("--endpoint-url", server.endpoint),
    )


def s3cmd(server: RunningServer, home: Path) -> Client:
    """s3cmd, path style, parts of 5 MiB."""
    config = home / "s3cfg"
    config.write_text(
        "[default]\n"
        f"access_key = {ACCESS_KEY}\nsecret_key = {SECRET_KEY}\n"
        f"host_base = {server.address}\nhost_bucket = {server.address}\n"
        f"bucket_location = {REGION}\nuse_https = False\nmultipart_chunk_size_mb = 5\nmax_retries = 1\n"
    )
    return Client("s3cmd", home, {}, ("--config", str(config), "--no-progress"))


def rclone(server: RunningServer, home: Path) -> Client:
    """rclone with a remote named `store:` that exists only in its environment."""
    return Client(
        "rclone",
        home,
        {
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CONFIG_STORE_TYPE": "s3",
            "RCLONE_CONFIG_STORE_PROVIDER": "Other",
            "RCLONE_CONFIG_STORE_ENDPOINT": server.endpoint,
            "RCLONE_CONFIG_STORE_ACCESS_KEY_ID": ACCESS_KEY,
            "RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY": SECRET_KEY,
            "RCLONE_CONFIG_STORE_REGION": REGION,
            "RCLONE_CONFIG_STORE_FORCE_PATH_STYLE": "true",
            "RCLONE_CONFIG_STORE_UPLOAD_CUTOFF": "8M",
            "RCLONE_CONFIG_STORE_CHUNK_SIZE": "5M",
        },
        ("--retries=1", "--low-level-retries=1"),
    )


def s5cmd(server: RunningServer, home: Path) -> Client:
    """s5cmd, no retries."""
    return Client(
        "s5cmd",
        home,
        {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": REGION},
        ("--endpoint-url", server.endpoint, "--retry-count", "0"),
    )


def mc(server: RunningServer, home: Path) -> Client:
    """MinIO's client with an alias named `store`; no Python package has it, so it may be missing."""
    scheme, _, address = server.endpoint.partition("://")
    return Client("mc", home, {"MC_HOST_store": f"{scheme}://{ACCESS_KEY}:{SECRET_KEY}@{address}"}, ("--quiet",))

"""Real file systems that run full, turn read-only, fail or go away under a running node, and what the node says of it.

They are small ones in memory, mounted for the test alone, so the tests need root and are passed over without it.
"""

import contextlib
import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.e2e.inspection import inspect
from tests.e2e.payloads import noise
from tests.e2e.server import RunningServer

BUCKET = "disks"
MIB = 1 << 20
FOREIGN = "lost+found"  # the one foreign name that a drive puts up with
SECONDS_MAX = 40.0


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def unmount(path: Path) -> None:
    """Also where something is still open below it, as when a disk is pulled."""
    subprocess.run(["umount", "--lazy", str(path)], check=True, capture_output=True)


def may_mount() -> bool:
    if os.geteuid() != 0:
        return False
    # In a mount namespace that ends with the command.
    trial = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    with contextlib.suppress(OSError):
        return subprocess.run(trial, check=False, capture_output=True).returncode == 0
    return False


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not may_mount(), reason="file systems can only be mounted by root"),
]


@pytest.fixture
def mounts() -> Iterator[list[Path]]:
    """Whatever a test mounts and names here is unmounted after it."""
    mounted: list[Path] = []
    yield mounted
    for path in reversed(mounted):
        with contextlib.suppress(subprocess.CalledProcessError):
            unmount(path)


@pytest.fixture
def small(own_server, mounts) -> RunningServer:
    """A server, running, whose four drives have 48 MiB each."""
    for drive in own_server.drives:
        drive.mkdir()
        mount("-t", "tmpfs", "-o", "size=48m", "none", str(drive))
        mounts.append(drive)
    own_server.start()
    with client_of(own_server) as client:
        client.create_bucket(Bucket=BUCKET)
    yield own_server
    own_server.kill()  # before its drives go


@contextlib.contextmanager
def client_of(server):
    client = server.boto3_client()
    try:
        yield client
    finally:
        client.close()


def drives_of(server) -> list[dict]:
    return json.loads(server.admin("info", "--json"))["drives"]


def wait_for(server, condition: Callable[[list[dict]], bool]) -> None:
    """Until it holds in the eyes of both workers; each question may reach another of them."""
    deadline = time.monotonic() + SECONDS_MAX
    agreeing = 0
    while agreeing < 6:
        assert time.monotonic() < deadline, server.admin("info")
        agreeing = agreeing + 1 if condition(drives_of(server)) else 0


def wait_until_alike(server) -> None:
    """Until every drive holds what the others hold."""
    deadline = time.monotonic() + SECONDS_MAX
    while len({versions_of(drive) for drive in server.drives}) > 1:
        assert time.monotonic() < deadline, server.log_tail()
        time.sleep(0.2)
    wait_for(server, lambda drives: all(drive["repair_queue"] == 0 for drive in drives))


def versions_of(drive: Path) -> frozenset[tuple[bytes, ...]]:
    with contextlib.closing(sqlite3.connect(f"file:{drive}/.rustfs/meta.db?mode=ro", uri=True)) as store:
        return frozenset(store.execute("SELECT bucket, key, stamp FROM versions"))


def states_of(drives: list[dict]) -> list[str]:
    return [drive["state"] for drive in drives]


def fill_up(drive: Path) -> Path:
    """Another program's file that leaves no byte free."""
    ballast = drive / FOREIGN
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(64 << 10))
    return ballast


def put(client, key: str, data: bytes) -> None:
    client.put_object(Bucket=BUCKET, Key=key, Body=data)


def fill_with_objects(client, kept: dict[str, bytes]) -> dict:
    """Put objects until one is refused; the answer to that one."""
    for number in range(60):
        try:
            put(client, key := f"large/{number}", data := noise(3 * MIB, number))
        except ClientError as error:
            return error.response
        kept[key] = data
    raise AssertionError("180 MiB fit onto four drives of 48 MiB, two of them parity")


def assert_holds(client, expected: dict[str, bytes]) -> None:
    listed = {each["Key"] for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())}
    assert listed == set(expected)
    for key, data in expected.items():
        assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == data, key


def staged_files(server) -> list[str]:
    return [path for drive in server.drives for path in inspect(drive).staged if not path.endswith("/lock")]


def test_a_full_node_refuses_with_507_keeps_what_it_has_and_goes_on_when_there_is_room(small):
    kept: dict[str, bytes] = {}
    for drive in small.drives:
        (drive / FOREIGN).write_bytes(bytes(2 * MIB))  # for the objects' metadata, once it is gone
    with client_of(small) as client:
        error = fill_with_objects(client, kept)
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 507
        assert error["Error"]["Code"] == "XMinioStorageFull"
        assert len(kept) > 5
        wait_for(small, lambda _: staged_files(small) == [])  # the last drive's answer is not waited for
        assert_holds(client, kept)

        ballast = [fill_up(drive) for drive in small.drives]
        wait_for(small, lambda drives: all("full" in drive["reason"] for drive in drives))
        assert "takes no more writes" in small.admin("info")
        for key, size in (("large/0", 5 * MIB), ("small", 4_000)):
            with pytest.raises(ClientError) as raised:
                put(client, key, noise(size))
            assert raised.value.response["Error"]["Code"] == "XMinioStorageFull"
        assert states_of(drives_of(small)) == ["online"] * 4
        assert_holds(client, kept)  # also the key that was to be overwritten

        for path in ballast:
            path.unlink()
        wait_for(small, lambda drives: not any(drive["reason"] for drive in drives))
        put(client, "small", b"there is room again")
        client.delete_object(Bucket=BUCKET, Key="large/0")
        kept = {**kept, "small": b"there is room again"}
        del kept["large/0"]
        assert_holds(client, kept)
    assert "is full" in small.log_tail(100_000)
    assert "has room again" in small.log_tail(100_000)
    wait_for(small, lambda _: staged_files(small) == [])
    assert small.stop() == 0


def test_one_full_drive_is_written_around_and_catches_up(small):
    ballast = fill_up(small.drives[2])
    wait_for(small, lambda drives: [bool(drive["reason"]) for drive in drives] == [False, False, True, False])
    kept = {"small": noise(3_000), "large": noise(2 * MIB)}
    with client_of(small) as client:
        for key, data in kept.items():
            put(client, key, data)
        assert_holds(client, kept)
        ballast.unlink()
        wait_until_alike(small)
        assert_holds(client, kept)


def test_a_drive_that_turns_read_only_goes_offline_and_returns(own_server, mounts):
    own_server.start()
    drive = own_server.drives[1]
    with client_of(own_server) as client:
        client.create_bucket(Bucket=BUCKET)
        put(client, "before", noise(200_000))
        mount("--bind", str(drive), str(drive))
        mounts.append(drive)
        mount("-o", "remount,ro,bind", str(drive))
        put(client, "while", noise(300_000))
        wait_for(own_server, lambda drives: states_of(drives) == ["online", "offline", "online", "online"])
        assert "read-only" in own_server.admin("info").lower()
        assert f'rustfs_drive_online{{drive="{drive}"}} 0.0' in metrics_of(own_server)
        put(client, "meanwhile", noise(400_000))
        expected = {"before": noise(200_000), "while": noise(300_000), "meanwhile": noise(400_000)}
        assert_holds(client, expected)
        mount("-o", "remount,rw,bind", str(drive))
        wait_for(own_server, lambda drives: states_of(drives) == ["online"] * 4)
        wait_until_alike(own_server)
        assert_holds(client, expected)


def metrics_of(server) -> str:
    """The metrics page, once the upkeep that sets the drives' figures has had its turn."""
    time.sleep(6.0)
    return server.get("/rustfs/metrics")[1].decode()


def test_an_unmounted_drive_is_not_made_anew_on_the_directory_below(own_server, mounts, tmp_path):
    drive = own_server.drives[3]
    disk = tmp_path / "disk"
    for path in (disk, drive):
        path.mkdir()
    mount("-t", "tmpfs", "-o", "size=48m", "none", str(disk))
    mount("--bind", str(disk), str(drive))
    mounts += [disk, drive]
    own_server.start()
    with client_of(own_server) as client:
        client.create_bucket(Bucket=BUCKET)
        put(client, "before", noise(200_000))
        unmount(drive)
        wait_for(own_server, lambda drives: "no file system is mounted here" in drives[3]["reason"])
        assert states_of(drives_of(own_server)) == ["online", "online", "online", "offline"]
        put(client, "meanwhile", noise(300_000))
        assert list(drive.iterdir()) == []
        mount("--bind", str(disk), str(drive))
        wait_for(own_server, lambda drives: states_of(drives) == ["online"] * 4)
        assert not any(each["healing"] for each in drives_of(own_server))
        wait_until_alike(own_server)
        assert_holds(client, {"before": noise(200_000), "meanwhile": noise(300_000)})


def test_a_disk_with_io_errors_goes_offline_and_its_replacement_is_rebuilt(own_server, mounts, tmp_path):
    """A loop device whose file has no room to grow answers writes with EIO."""
    cellar, drive = tmp_path / "cellar", own_server.drives[0]
    image = cellar / "image"
    for path in (cellar, drive):
        path.mkdir()
    mount("-t", "tmpfs", "-o", "size=48m", "none", str(cellar))
    mounts.append(cellar)

    def new_disk() -> None:
        image.write_bytes(b"")
        os.truncate(image, 64 * MIB)  # sparse
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)
        mount("-o", "loop", str(image), str(drive))
        mounts.append(drive)

    try:
        new_disk()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no loop devices here")
    own_server.start()
    with client_of(own_server) as client:
        client.create_bucket(Bucket=BUCKET)
        expected = {f"key{number}": noise(300_000, number) for number in range(5)}
        for key, data in expected.items():
            put(client, key, data)
        ballast = fill_up(cellar)
        for number in range(5, 10):
            put(client, key := f"key{number}", data := noise(300_000, number))
            expected[key] = data
        wait_for(own_server, lambda drives: states_of(drives) == ["offline", "online", "online", "online"])
        assert_holds(client, expected)
        unmount(drive)
        image.unlink()  # the dead disk goes with the last file that is open on it
        ballast.unlink()
        new_disk()
        wait_for(own_server, lambda drives: states_of(drives) == ["online"] * 4)
        wait_for(own_server, lambda drives: not any(each["healing"] for each in drives))
        assert_holds(client, expected)

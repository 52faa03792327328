"""Who a drive is: `.rustfs/format.json`, its comparison with what the node expects, and formatting.

A drive is formatted once, into one place of one deployment. The file is written last and atomically, so a directory
either is a drive or is not. Wiped drives are formatted anew in their old place, marked as healing (in the metadata
store), and rebuilt from their set's peers.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

FORMAT_VERSION = 1
SYSTEM_DIRECTORY = ".rustfs"
_SHARD_DIRECTORIES = 256


class FormatMismatch(Exception):
    """The directory is a drive, but not this one; the message says what was found and expected."""


class FormatUnusable(Exception):
    """The directory cannot be made a drive; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Format:
    """Contents of format.json."""

    version: int
    deployment_id: str
    drive_id: str
    sets: tuple[tuple[str, ...], ...]  # ids of the drives of every set, by position
    mount_points: tuple[str, ...]  # ids of the drives that were mount points when the deployment was formatted

    def place_of(self, drive_id: str) -> tuple[int, int]:
        """(set, position) of a drive. Raises KeyError."""
        for index, ids in enumerate(self.sets):
            if drive_id in ids:
                return index, ids.index(drive_id)
        raise KeyError(drive_id)


def system_path(root: str, *names: str) -> str:
    """A path below `<drive>/.rustfs`."""
    return os.path.join(root, SYSTEM_DIRECTORY, *names)


def read_format(root: str) -> Format | None:
    """The drive's identity; None where the directory is no drive (yet, or any more).

    Raises:
        FormatMismatch: format.json is of another version or unreadable.
        OSError: the directory is absent or failing.
    """
    os.stat(root)
    try:
        with open(system_path(root, "format.json"), "rb") as file:
            raw = json.load(file)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise FormatMismatch(f"{root}: format.json is damaged: {error}") from error
    if not isinstance(raw, dict) or raw.get("version") != FORMAT_VERSION:
        found = raw.get("version") if isinstance(raw, dict) else "nothing readable"
        raise FormatMismatch(f"{root}: found drive format version {found}, this program knows version {FORMAT_VERSION}")
    try:
        return Format(
            FORMAT_VERSION,
            str(raw["deployment_id"]),
            str(raw["drive_id"]),
            tuple(tuple(map(str, ids)) for ids in raw["sets"]),
            tuple(map(str, raw["mount_points"])),
        )
    except (KeyError, TypeError) as error:
        raise FormatMismatch(f"{root}: format.json lacks {error}") from error


def check_format(root: str, found: Format, expected: Format) -> None:
    """Raises FormatMismatch unless the drive is the expected one."""
    if found.deployment_id != expected.deployment_id:
        raise FormatMismatch(
            f"{root}: found a drive of deployment {found.deployment_id}, expected deployment {expected.deployment_id}"
        )
    if found.drive_id != expected.drive_id:
        here, there = (_place_text(expected, each.drive_id) for each in (found, expected))
        raise FormatMismatch(
            f"{root}: found drive {found.drive_id} ({here}), expected drive {expected.drive_id} ({there}); "
            "are the volumes in the same order as when they were formatted?"
        )
    if found.sets != expected.sets:
        raise FormatMismatch(f"{root}: found another set layout than the other drives of the deployment have")


def _place_text(layout: Format, drive_id: str) -> str:
    try:
        index, position = layout.place_of(drive_id)
    except KeyError:
        return "of no set here"
    return f"set {index}, position {position}"


def is_mount_point(root: str) -> bool:
    """Whether another file system begins at `root`."""
    return os.path.ismount(root)


@contextlib.contextmanager
def formatting(root: str) -> Iterator[None]:
    """Hold the lock under which a directory is formatted; several workers may find it wiped at once."""
    os.makedirs(system_path(root), exist_ok=True)
    descriptor = os.open(system_path(root, "format.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make_directories(root: str) -> None:
    """The drive's directories, durably. Raises FormatUnusable where the file system lacks what a drive needs."""
    os.makedirs(os.path.join(root, "staging"), exist_ok=True)
    shards = os.path.join(root, "shards")
    os.makedirs(shards, exist_ok=True)
    for number in range(_SHARD_DIRECTORIES):
        os.makedirs(os.path.join(shards, f"{number:02x}"), exist_ok=True)
    probe, linked = system_path(root, "probe"), system_path(root, "probe.link")
    for path in (probe, linked):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    with open(probe, "wb"):
        pass
    try:
        os.link(probe, linked)
        os.unlink(linked)
    except OSError as error:
        raise FormatUnusable(
            f"{root}: its file system cannot make hard links ({error.strerror}); use ext4, XFS, Btrfs or ZFS"
        ) from error
    finally:
        os.unlink(probe)
    for path in (shards, root):
        sync_directory(path)


def write_format(root: str, identity: Format) -> None:
    """Make the directory a drive: the last step of formatting."""
    encoded = json.dumps(asdict(identity), indent=1).encode()
    temporary = system_path(root, "format.json.new")
    with open(temporary, "wb") as file:
        file.write(encoded)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, system_path(root, "format.json"))
    sync_directory(system_path(root))
    sync_directory(root)


def sync_directory(path: str) -> None:
    """Make the directory's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def foreign_contents(root: str) -> Sequence[str]:
    """What lies in a directory that is to become a drive and should be empty."""
    return sorted(
        name for name in os.listdir(root) if name not in {SYSTEM_DIRECTORY, "shards", "staging", "lost+found"}
    )

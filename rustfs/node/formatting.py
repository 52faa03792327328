"""Which drive is which, at the start of a node: from the drives' own format files, or by formatting all of them."""

import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace

import apsw

from rustfs.core.errors import ConfigurationError
from rustfs.drive.format import (
    FORMAT_VERSION,
    Format,
    FormatMismatch,
    FormatUnusable,
    check_format,
    foreign_contents,
    is_mount_point,
    read_format,
)
from rustfs.drive.session import format_drive


def identify_drives(paths: Sequence[str], set_size: int) -> list[Format]:
    """The identity of each drive, by its place among the volumes. Formats them all if none is formatted. Blocking.

    Drives that are absent or empty while others are formatted get the identity that the others remember: they are
    formatted anew, and healed, when they are opened.

    Raises:
        ConfigurationError: a drive belongs to another deployment, position or format version, or cannot be used.
    """
    found: list[Format | None] = []
    failures: list[str] = []
    for path in paths:
        try:
            found.append(read_format(path))
        except FormatMismatch as error:
            raise ConfigurationError(str(error)) from error
        except FileNotFoundError:
            found.append(None)
        except OSError as error:
            failures.append(f"{path}: {error.strerror}")
            found.append(None)
    known = [each for each in found if each is not None]
    if not known:
        if failures:
            raise ConfigurationError(f"cannot read the drive {failures[0]}")
        return _format_all(paths, set_size)
    layout = _majority(known)
    ids = [drive_id for drives in layout.sets for drive_id in drives]
    if len(ids) != len(paths):
        raise ConfigurationError(
            f"the drives were formatted as a deployment of {len(ids)} drives, but {len(paths)} are given; "
            "name the same drives in the same order"
        )
    if len(layout.sets[0]) != set_size:
        raise ConfigurationError(
            f"the drives were formatted in sets of {len(layout.sets[0])}, but the volumes make sets of {set_size}"
        )
    identities = [replace(layout, drive_id=drive_id) for drive_id in ids]
    for path, each, identity in zip(paths, found, identities, strict=True):
        if each is not None:
            try:
                check_format(path, each, identity)
            except FormatMismatch as error:
                raise ConfigurationError(str(error)) from error
    return identities


def _majority(known: Sequence[Format]) -> Format:
    """The layout that most drives remember; a stray drive is then the one that is refused."""
    counts: dict[tuple[str, tuple[tuple[str, ...], ...]], int] = {}
    for each in known:
        counts[each.deployment_id, each.sets] = counts.get((each.deployment_id, each.sets), 0) + 1
    best = max(counts, key=lambda layout: counts[layout])
    return next(each for each in known if (each.deployment_id, each.sets) == best)


def _format_all(paths: Sequence[str], set_size: int) -> list[Format]:
    ids = [str(uuid.uuid4()) for _ in paths]
    sets = tuple(tuple(ids[start : start + set_size]) for start in range(0, len(ids), set_size))
    mount_points = tuple(drive_id for drive_id, path in zip(ids, paths, strict=True) if is_mount_point(path))
    deployment = str(uuid.uuid4())
    identities = [Format(FORMAT_VERSION, deployment, drive_id, sets, mount_points) for drive_id in ids]
    for path in paths:  # all of them first: a slip of the pen must not leave half a deployment behind
        _check_empty(path)
    for path, identity in zip(paths, identities, strict=True):
        try:
            format_drive(path, identity, time.time_ns() // 1_000_000, healing=False)
        except FormatUnusable as error:
            raise ConfigurationError(str(error)) from error
        except (OSError, apsw.Error) as error:
            raise ConfigurationError(f"cannot make {path} a drive: {error}") from error
    return identities


def _check_empty(path: str) -> None:
    """Raises ConfigurationError for a directory that holds what is not ours, or that cannot be made."""
    try:
        os.makedirs(path, exist_ok=True)
        contents = foreign_contents(path)
    except OSError as error:
        raise ConfigurationError(f"cannot make {path} a drive: {error}") from error
    if contents:
        raise ConfigurationError(
            f"{path} is no drive but holds {contents[0]!r}; give an empty directory, or move its contents away"
        )

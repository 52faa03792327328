"""Which drive is which, at the start of a node: from the drives' own format files, or by formatting them.

A pool that lies on one node is formatted at once; the nodes of a larger one agree first (rustfs.node.agreement).
"""

import os
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import apsw

from rustfs.core.errors import ConfigurationError
from rustfs.core.pb.peer.v1 import node_pb2 as pb
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

Places = Mapping[int, str]  # a drive's place among the drives of its pool -> its directory on this node


def identify_drives(paths: Sequence[str], set_size: int, deployment_id: str = "") -> list[Format]:
    """The identity of each drive of a pool that lies on this node as a whole. Formats them all if none is. Blocking.

    Drives that are absent or empty while others are formatted get the identity that the others remember: they are
    formatted anew, and healed, when they are opened.

    Args:
        deployment_id: of the pools before this one; empty for the first.

    Raises:
        ConfigurationError: a drive belongs to another deployment, position or format version, or cannot be used.
    """
    places = dict(enumerate(paths))
    found, failures = read_formats(places)
    layout = majority_layout(found)
    if layout is None:
        if failures:
            raise ConfigurationError(f"cannot read the drive {failures[0]}")
        mount_points = [place for place, path in places.items() if is_mount_point(path)]
        layout = layout_of(new_format(len(paths), deployment_id, mount_points), set_size)
        format_first(places, identities_of(places, {}, layout, len(paths), set_size))
        found = {}
    identities = identities_of(places, found, layout, len(paths), set_size)
    return [identities[place] for place in places]


def read_formats(places: Places) -> tuple[dict[int, Format], list[str]]:
    """What the drives say they are, by place, and what kept others from saying it (absent ones apart). Blocking.

    Raises:
        ConfigurationError: a drive is of another format version, or unreadable.
    """
    found: dict[int, Format] = {}
    failures: list[str] = []
    for place, path in places.items():
        try:
            known = read_format(path)
        except FormatMismatch as error:
            raise ConfigurationError(str(error)) from error
        except FileNotFoundError:
            continue
        except OSError as error:
            failures.append(f"{path}: {error.strerror}")
            continue
        if known is not None:
            found[place] = known
    return found, failures


def identities_of(
    places: Places, found: Mapping[int, Format], layout: Format, drive_count: int, set_size: int
) -> dict[int, Format]:
    """The identity that each of these drives must have in a pool formatted as `layout`.

    Args:
        found: what they say they are.
        drive_count: drives of the pool, by the volumes.

    Raises:
        ConfigurationError: the volumes or a drive do not fit the layout.
    """
    ids = [drive_id for drives in layout.sets for drive_id in drives]
    if len(ids) != drive_count:
        raise ConfigurationError(
            f"the drives were formatted as a deployment of {len(ids)} drives, but {drive_count} are given; "
            "name the same drives in the same order"
        )
    if len(layout.sets[0]) != set_size:
        raise ConfigurationError(
            f"the drives were formatted in sets of {len(layout.sets[0])}, but the volumes make sets of {set_size}"
        )
    identities = {place: replace(layout, drive_id=ids[place]) for place in places}
    for place, known in found.items():
        try:
            check_format(places[place], known, identities[place])
        except FormatMismatch as error:
            raise ConfigurationError(str(error)) from error
    return identities


def new_format(drive_count: int, deployment_id: str, mount_points: Sequence[int]) -> pb.PoolFormat:
    """A pool to be: ids for its drives, and for the deployment where it is the first."""
    return pb.PoolFormat(
        deployment_id=deployment_id or str(uuid.uuid4()),
        drive_ids=[str(uuid.uuid4()) for _ in range(drive_count)],
        mount_points=sorted(mount_points),
    )


def layout_of(pool: pb.PoolFormat, set_size: int) -> Format:
    """What all drives of the pool remember; `drive_id` is empty. Raises ValueError where sets would not be equal."""
    ids = tuple(pool.drive_ids)
    if not ids or len(ids) % set_size:
        raise ValueError(f"{len(ids)} drives do not make sets of {set_size}")
    sets = tuple(ids[start : start + set_size] for start in range(0, len(ids), set_size))
    return Format(FORMAT_VERSION, pool.deployment_id, "", sets, tuple(ids[place] for place in pool.mount_points))


def pool_format(layout: Format) -> pb.PoolFormat:
    """The inverse of `layout_of`."""
    ids = [drive_id for drives in layout.sets for drive_id in drives]
    mount_points = [ids.index(drive_id) for drive_id in layout.mount_points]
    return pb.PoolFormat(deployment_id=layout.deployment_id, drive_ids=ids, mount_points=mount_points)


def majority_layout(found: Mapping[int, Format]) -> Format | None:
    """The layout that most drives remember, if any does; a stray drive is then the one that is refused."""
    counts = Counter((each.deployment_id, each.sets) for each in found.values())
    if not counts:
        return None
    best = counts.most_common(1)[0][0]
    return next(each for each in found.values() if (each.deployment_id, each.sets) == best)


def format_first(places: Places, identities: Mapping[int, Format]) -> None:
    """Make empty directories the drives of a new pool. Raises ConfigurationError."""
    for path in places.values():  # all of them first: a slip of the pen must not leave half a deployment behind
        check_empty(path)
    for place, path in places.items():
        try:
            format_drive(path, identities[place], time.time_ns() // 1_000_000, healing=False)
        except FormatUnusable as error:
            raise ConfigurationError(str(error)) from error
        except (OSError, apsw.Error) as error:
            raise ConfigurationError(f"cannot make {path} a drive: {error}") from error


def check_empty(path: str) -> None:
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

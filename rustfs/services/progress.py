"""How far healing has come: published as a small file that any worker of the node can show."""

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(slots=True)
class HealProgress:
    """The healing of one set, as an operator sees it."""

    set: int
    state: str = "idle"  # idle, healing, waiting
    drives: tuple[str, ...] = ()  # being rebuilt
    started_ms: int = 0
    finished_ms: int = 0
    keys_checked: int = 0
    keys_total: int = 0  # estimate: versions on the fullest drive of the set
    keys_healed: int = 0
    keys_failed: int = 0
    bytes_healed: int = 0  # of shard files made anew meanwhile, those of the repair queue included
    updated_ms: int = 0
    repair_queue: int = 0


def publish(path: str, sets: list[HealProgress]) -> None:
    """Write the progress of all sets; readers see the old file or the new one. Blocking."""
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump([asdict(each) for each in sets], file)
    os.replace(temporary, path)


def published(path: str) -> list[dict[str, Any]]:
    """What was published last; empty before that. Blocking. (Any: JSON for the operator's eyes.)"""
    with contextlib.suppress(FileNotFoundError, ValueError), open(path, encoding="utf-8") as file:
        progress: list[dict[str, Any]] = json.load(file)
        return progress
    return []

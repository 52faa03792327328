"""Directories for drives, in memory where there is room: to make and remove hundreds of them is what takes time."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = "/dev/shm"
_ROOM_BYTES = 1 << 30


@pytest.fixture
def drives_path(tmp_path: Path) -> Iterator[Path]:
    """An empty directory for drives."""
    if not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _ROOM_BYTES:
        yield tmp_path
        return
    path = tempfile.mkdtemp(prefix="rustfs-mesh-", dir=_MEMORY)
    try:
        yield Path(path)
    finally:
        shutil.rmtree(path)

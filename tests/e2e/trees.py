"""Directories as dicts of path and bytes: what the sync tests of the command-line clients write and compare."""

from pathlib import Path


def write_tree(root: Path, files: dict[str, bytes]) -> Path:
    """A directory that holds these files."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def read_tree(root: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}

"""docs/operations.md as the tests read it: they run what stands there, so that page and program cannot drift apart."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operations.md"


def sections() -> dict[str, str]:
    """Text by heading."""
    parts = re.split(r"(?m)^## (.+)\n", PAGE.read_text())[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def commands(title: str, beginning: str) -> list[list[str]]:
    """The commands of a section that begin so, split into words as a shell does."""
    found = [shlex.split(text) for text in re.findall(rf"`({re.escape(beginning)}[^`]*)`", sections()[title])]
    assert found, f"{title} names no command {beginning}"
    return found


def rows(title: str) -> list[list[str]]:
    """The table of a section, without its heading."""
    lines = [line for line in sections()[title].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]

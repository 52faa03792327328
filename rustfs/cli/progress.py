"""Progress that stays in its place on a terminal, and is plain lines everywhere else."""

import shutil
from collections.abc import Sequence

BAR_CHARACTERS = 24


def bar(done: int, total: int) -> str:
    """As [######......]  50%."""
    share = min(1.0, done / total) if total else 1.0
    filled = int(share * BAR_CHARACTERS)
    return f"[{'#' * filled}{'.' * (BAR_CHARACTERS - filled)}] {share:4.0%}"


class Screen:
    """Shows lines over those it showed before, where it is live; else one after the other, unless nothing changed."""

    def __init__(self, *, live: bool) -> None:
        self.live = live
        self._shown: list[str] = []

    def show(self, lines: Sequence[str]) -> None:
        """Show them."""
        if not self.live:
            if list(lines) != self._shown:
                print("\n".join(lines), flush=True)
            self._shown = list(lines)
            return
        width = shutil.get_terminal_size().columns - 1
        back = f"\x1b[{len(self._shown)}F" if self._shown else ""
        print(back + "".join(f"{line[:width]}\x1b[K\n" for line in lines) + "\x1b[J", end="", flush=True)
        self._shown = list(lines)

    def end(self) -> None:
        """What follows is printed below."""
        self._shown = []

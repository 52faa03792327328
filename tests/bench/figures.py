"""What was measured, and the tables that show it: Markdown, with the ratios of ours to each peer's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A measured value; `note` says what goes with it."""

    value: float
    unit: str
    note: str = ""

    def __str__(self) -> str:
        return f"{number(self.value)} {self.unit}"


Figures = dict[str, Figure]


def median(rounds: Sequence[Figures]) -> Figures:
    """Of each figure the median of all rounds, with the range in its note."""
    found: Figures = {}
    for name in dict.fromkeys(name for figures in rounds for name in figures):
        values = sorted((figures[name] for figures in rounds if name in figures), key=lambda figure: figure.value)
        middle = values[(len(values) - 1) // 2]
        spread = f"{number(values[0].value)} to {number(values[-1].value)}"
        found[name] = middle if len(values) == 1 else Figure(middle.value, middle.unit, spread)
    return found


def number(value: float) -> str:
    """Three digits or more."""
    return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.0f}"


def machine_table(limits: Mapping[str, Figure]) -> str:
    """The machine's limits in the run."""
    lines = ["| this machine | |", "|---|--:|"]
    return "\n".join([*lines, *(f"| {name} | {figure} |" for name, figure in limits.items())])


def ratio_table(columns: Mapping[str, Figures]) -> str:
    """A line per figure, the first contender's first; "-" where there is none. Notes stand behind the figures."""
    ours, *peers = columns
    lines = [
        "| | " + " | ".join([ours, *(f"{peer} | ratio" for peer in peers)]) + " |",
        "|---|" + "--:|" * (1 + 2 * len(peers)),
    ]
    names = dict.fromkeys(name for figures in columns.values() for name in figures)
    for name in names:
        mine = columns[ours].get(name)
        cells = [_cell(mine)]
        for peer in peers:
            theirs = columns[peer].get(name)
            cells += [_cell(theirs), f"{mine.value / theirs.value:.2f}" if mine and theirs and theirs.value else "-"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    return f"{figure} ({figure.note})" if figure.note else str(figure)

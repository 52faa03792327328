"""What a key may hold, in memory: the model that the object layer is compared with.

A write that was acknowledged is the key's value. One whose outcome is unknown (its node was killed, or too few drives
answered) may take effect at any later time, once, or never; it is over when a later write was acknowledged, or when a
value written after it was seen.
"""

from dataclasses import dataclass, field
from typing import NamedTuple


class Value(NamedTuple):
    """An object's bytes and its user metadata."""

    data: bytes
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass
class Key:
    """The states that a key may be in. None: no object."""

    current: Value | None = None
    pending: list[Value | None] = field(default_factory=list)  # of unknown outcome, in the order of their beginning

    @property
    def certain(self) -> bool:
        """Whether only one state is possible."""
        return not self.pending

    def possible(self) -> list[Value | None]:
        """All states that a read may find."""
        return [self.current, *self.pending]

    def acknowledge(self, value: Value | None) -> None:
        """A write of this value succeeded."""
        self.current, self.pending = value, []

    def acknowledge_deletion(self) -> None:
        """A deletion succeeded; where nothing was seen, nothing was written that would end what is pending."""
        if None in self.possible():
            self.current = None
        else:
            self.acknowledge(None)

    def doubt(self, value: Value | None) -> None:
        """A write of this value began and nobody knows what became of it."""
        self.pending.append(value)

    def observe(self, value: Value | None) -> None:
        """A read found this value: what was begun before it cannot come any more."""
        assert value in self.possible(), "found what nobody can have written last"
        if value != self.current:
            self.current, self.pending = value, self.pending[self.pending.index(value) + 1 :]


def listed(keys: dict[str, Key], prefix: str, delimiter: str) -> tuple[dict[str, Value], set[str]]:
    """S3's listing rules, the plain way: objects and common prefixes of keys that are certain to be there."""
    objects: dict[str, Value] = {}
    prefixes: set[str] = set()
    for name, key in keys.items():
        if key.current is None or not name.startswith(prefix):
            continue
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        if cut >= 0:
            prefixes.add(name[: cut + len(delimiter)])
        else:
            objects[name] = key.current
    return objects, prefixes

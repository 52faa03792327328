"""What operators may set for the whole cluster while it runs: which settings there are, and what a change makes.

Pure. A setting of the cluster overrides what a node's own command and environment say; unset, the node's own counts
again. The table is short on purpose: what is here takes effect in every worker at once, without a restart.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rustfs.core.pb.storage.v1.record_pb2 import ConfigurationRecord

CHANGES_KEPT = 64  # far more than can be under way at one moment
HEAL_SHARE_DEFAULT = 50
LOG_LEVEL_DEFAULT = "info"


class SettingRefused(ValueError):
    """There is no such setting, or it cannot have this value; the message is one sentence."""


class Setting(NamedTuple):
    """One setting: what it does, which values it takes, and how a value is checked."""

    meaning: str
    values: str
    takes: Callable[[str], bool]


def _percent(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text) <= 100 and not text.startswith("0")


SETTINGS: Mapping[str, Setting] = {
    "compression": Setting(
        "whether new objects are compressed where that helps", "auto or off", {"auto", "off"}.__contains__
    ),
    "heal-share": Setting("percent of its time that healing works while clients wait", "1 to 100", _percent),
    "log-level": Setting(
        "the least that is logged", "debug, info, warning or error", {"debug", "info", "warning", "error"}.__contains__
    ),
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """A version of the cluster's settings; version 0: nobody has set anything yet."""

    version: int = 0
    values: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, encoded: bytes) -> "Configuration":
        """See `encoded`. Raises google.protobuf.message.DecodeError."""
        record = ConfigurationRecord.FromString(encoded)
        return cls(record.version, dict(record.values), tuple(record.changes))

    def encoded(self) -> bytes:
        """As it is stored and sent."""
        return ConfigurationRecord(version=self.version, values=self.values, changes=self.changes).SerializeToString(
            deterministic=True
        )

    def with_change(self, name: str, value: str | None, change: bytes) -> "Configuration":
        """The next version: `name` set to `value`, or unset (None). Raises SettingRefused.

        Args:
            change: a random name for the change, by which it is told later whether it took effect.
        """
        check(name, value)
        values = {key: each for key, each in self.values.items() if key != name}
        if value is not None:
            values[name] = value
        return Configuration(self.version + 1, values, (*self.changes, change)[-CHANGES_KEPT:])

    def in_force(self, defaults: Mapping[str, str]) -> dict[str, str]:
        """Each setting's value on a node with these defaults; what is unknown here has no effect."""
        return {
            name: value if (value := self.values.get(name)) is not None and setting.takes(value) else defaults[name]
            for name, setting in SETTINGS.items()
        }


def check(name: str, value: str | None) -> None:
    """Raises SettingRefused where there is no such setting, or it does not take the value (None: to be unset)."""
    setting = SETTINGS.get(name)
    if setting is None:
        raise SettingRefused(f"there is no setting {name!r}; there are {', '.join(SETTINGS)}")
    if value is not None and not setting.takes(value):
        raise SettingRefused(f"{name} must be {setting.values}, not {value!r}")

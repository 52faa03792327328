"""How many parity shards a set of drives gets, by default and by storage class."""

import re

STANDARD = "STANDARD"
REDUCED_REDUNDANCY = "REDUCED_REDUNDANCY"
STORAGE_CLASSES = (STANDARD, REDUCED_REDUNDANCY)

_DEFAULTS = (0, 0, 1, 1, 2, 2, 3, 3)  # by number of drives; 8 and more: 4


def default_parity(drive_count: int) -> int:
    """Parity shards of STANDARD objects: 1 drive: 0, 2-3: 1, 4-5: 2, 6-7: 3, 8 and more: 4."""
    return _DEFAULTS[drive_count] if drive_count < len(_DEFAULTS) else 4


def parse_parity(setting: str, drive_count: int, name: str) -> int:
    """Parity shards of a setting "EC:m". Raises ValueError with a sentence that names the setting."""
    match = re.fullmatch(r"EC:(\d{1,2})", setting.strip().upper())
    if match is None:
        raise ValueError(f"{name} must look like EC:2, not {setting!r}")
    parity = int(match[1])
    if parity > drive_count // 2:
        raise ValueError(
            f"{name}={setting} needs more drives: sets of {drive_count} allow EC:0 to EC:{drive_count // 2}"
        )
    return parity


def parity_table(standard: str | None, reduced: str | None, drive_count: int) -> dict[str, int]:
    """Parity shards by storage class. Raises ValueError for settings that do not fit the set."""
    regular = default_parity(drive_count)
    if standard:
        regular = parse_parity(standard, drive_count, "RUSTFS_STORAGE_CLASS_STANDARD")
    lesser = min(1, regular)
    if reduced:
        lesser = parse_parity(reduced, drive_count, "RUSTFS_STORAGE_CLASS_RRS")
        if lesser > regular:
            raise ValueError(
                f"RUSTFS_STORAGE_CLASS_RRS={reduced} must not exceed the parity of STANDARD (EC:{regular})"
            )
    return {STANDARD: regular, REDUCED_REDUNDANCY: lesser}

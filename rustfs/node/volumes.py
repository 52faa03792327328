"""From the volumes argument to drives and sets: pure.

`/data{1...4}` stands for /data1 to /data4; several patterns multiply, the first one varying fastest (so that hosts vary
fastest once there are hosts). Up to 16 drives make one set; more are cut into sets of equal size, the largest of 2 to
16 drives that divides their number and fits the patterns, as MinIO and RustFS document it.
"""

import math
import os
import re
from collections.abc import Sequence
from itertools import product

from rustfs.core.errors import ConfigurationError

SET_SIZE_MAX = 16
DRIVES_MAX = 1024
_ELLIPSIS = re.compile(r"\{(\d+)\.\.\.(\d+)\}")


def expand(pattern: str) -> list[str]:
    """The directories that a volumes argument names. Raises ConfigurationError."""
    if re.match(r"https?://", pattern):
        raise ConfigurationError(
            f"{pattern} names another host: this version runs on one node; give directories, such as /data{{1...4}}"
        )
    texts: list[str] = []
    ranges: list[list[str]] = []
    position = 0
    for match in _ELLIPSIS.finditer(pattern):
        texts.append(pattern[position : match.start()])
        ranges.append(_numbers(pattern, match[1], match[2]))
        position = match.end()
    texts.append(pattern[position:])
    if any("{" in text or "}" in text for text in texts):
        raise ConfigurationError(f"{pattern} has a brace that is no range; ranges look like {{1...4}}")
    if math.prod(map(len, ranges)) > DRIVES_MAX:
        raise ConfigurationError(f"{pattern} names more than {DRIVES_MAX} drives")
    paths = []
    for combination in product(*reversed(ranges)):
        numbers = combination[::-1]
        paths.append("".join(a + b for a, b in zip(texts, (*numbers, ""), strict=True)))
    return paths


def _numbers(pattern: str, first: str, last: str) -> list[str]:
    low, high = int(first), int(last)
    if high < low:
        raise ConfigurationError(f"{pattern} has a range that descends: {{{first}...{last}}}")
    if high - low >= DRIVES_MAX:
        raise ConfigurationError(f"{pattern} names more than {DRIVES_MAX} drives")
    width = len(first) if first.startswith("0") and len(first) > 1 else 0
    return [str(number).zfill(width) for number in range(low, high + 1)]


def drives_of(volumes: Sequence[str]) -> list[str]:
    """All drives' directories, in order. Raises ConfigurationError."""
    words = [word for volume in volumes for word in volume.split()]
    if not words:
        raise ConfigurationError("no volumes given: name the drives' directories, such as rustfs start /data{1...4}")
    paths = [os.path.abspath(path) for word in words for path in expand(word)]
    seen: set[str] = set()
    for path in paths:
        if path in seen:
            raise ConfigurationError(f"the drive {path} is named twice")
        seen.add(path)
    for path in paths:
        for other in paths:
            if path != other and path.startswith(other.rstrip("/") + "/"):
                raise ConfigurationError(f"the drive {path} lies inside the drive {other}")
    return paths


def set_size(volumes: Sequence[str], drive_count: int) -> int:
    """Drives per set. Raises ConfigurationError where no size fits."""
    if drive_count <= SET_SIZE_MAX:
        return drive_count
    common = math.gcd(*(len(expand(word)) for volume in volumes for word in volume.split()))
    common = common if common > 1 else drive_count
    for size in range(SET_SIZE_MAX, 1, -1):
        if common % size == 0 and drive_count % size == 0:
            return size
    raise ConfigurationError(
        f"{drive_count} drives cannot be cut into sets of 2 to {SET_SIZE_MAX} drives of equal size; add or remove some"
    )

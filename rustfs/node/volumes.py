"""From the volumes arguments to the topology: pure.

A volume is a directory or an http(s) URL of one on a node. `/data{1...4}` stands for /data1 to /data4; several
patterns multiply, the first one varying fastest, so that in http://node{1...4}:9000/data{1...4} the host does. Each
argument with patterns is a pool of its own, arguments without any are one pool together, and a mixture is refused,
because growing a store means adding an argument: which drives make a pool must never depend on the others.
"""

import math
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from itertools import product

from rustfs.core.errors import ConfigurationError
from rustfs.core.setsizes import arrange, choose_set_size
from rustfs.core.topology import Endpoint, PoolLayout, Topology
from rustfs.node.nodenames import node_name

DEFAULT_PORT = 9000
DIRECTORIES_MAX = 1024
DRIVES_MAX = 65_536  # of a cluster
_ELLIPSIS = re.compile(r"\{(\d+)\.\.\.(\d+)\}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def read_volumes(volumes: Sequence[str], default_port: int = DEFAULT_PORT) -> Topology:
    """The topology that volumes arguments describe.

    Args:
        volumes: directories or URLs, with or without patterns; several in one argument are separated by white space.
        default_port: of URLs that name none.

    Raises:
        ConfigurationError
    """
    words = [word for volume in volumes for word in volume.split()]
    if not words:
        raise ConfigurationError(
            "no volumes given: name the drives' directories, such as rustfs start /data{1...4}, or on several nodes "
            "their URLs, such as http://node{1...4}:9000/data{1...4}"
        )
    _check_alike(words)
    groups = [[word] for word in words] if "{" in words[0] else [words]
    named = [[_endpoint(text, default_port) for word in group for text in expand(word)] for group in groups]
    drive_count = sum(map(len, named))
    if drive_count > DRIVES_MAX:
        raise ConfigurationError(f"the volumes name {drive_count} drives, more than {DRIVES_MAX}")
    _check_apart([each for drives in named for each in drives])
    return Topology(tuple(_pools(groups, named)))


def expand(pattern: str) -> list[str]:
    """What a volumes argument stands for, in order. Raises ConfigurationError."""
    texts: list[str] = []
    ranges: list[list[str]] = []
    position = 0
    drives_max = DRIVES_MAX if _SCHEME.match(pattern) else DIRECTORIES_MAX
    for match in _ELLIPSIS.finditer(pattern):
        texts.append(pattern[position : match.start()])
        ranges.append(_numbers(pattern, match[1], match[2], drives_max))
        position = match.end()
    texts.append(pattern[position:])
    if any("{" in text or "}" in text for text in texts):
        raise ConfigurationError(f"{pattern} has a brace that is no range; ranges look like {{1...4}}")
    if math.prod(map(len, ranges)) > drives_max:
        raise ConfigurationError(f"{pattern} names more than {drives_max} drives")
    volumes = []
    for combination in product(*reversed(ranges)):
        numbers = combination[::-1]
        volumes.append("".join(a + b for a, b in zip(texts, (*numbers, ""), strict=True)))
    return volumes


def _numbers(pattern: str, first: str, last: str, drives_max: int) -> list[str]:
    low, high = int(first), int(last)
    if high < low:
        raise ConfigurationError(f"{pattern} has a range that descends: {{{first}...{last}}}")
    if high - low >= drives_max:
        raise ConfigurationError(f"{pattern} names more than {drives_max} drives")
    width = len(first) if first.startswith("0") and len(first) > 1 else 0
    return [str(number).zfill(width) for number in range(low, high + 1)]


def _check_alike(words: Sequence[str]) -> None:
    """All volumes must be of one kind. Raises ConfigurationError."""
    schemes: dict[str, str] = {}  # scheme ("" for directories) -> the first such word
    patterned: dict[bool, str] = {}
    for word in words:
        match = _SCHEME.match(word)
        scheme = match[1].lower() if match else ""
        if scheme not in ("", "http", "https"):
            raise ConfigurationError(f"{word} is neither a directory nor an http:// or https:// URL")
        schemes.setdefault(scheme, word)
        patterned.setdefault("{" in word or "}" in word, word)
    if "" in schemes and len(schemes) > 1:
        url = next(word for scheme, word in schemes.items() if scheme)
        raise ConfigurationError(
            f"{schemes['']} is a directory and {url} a URL: name all drives by their directories (one node) or all by "
            "their URLs"
        )
    if len(schemes) > 1:
        raise ConfigurationError(f"{schemes['http']} and {schemes['https']}: all URLs must have the same scheme")
    if len(patterned) > 1:
        raise ConfigurationError(
            f"{patterned[True]} has a range and {patterned[False]} has none: arguments with ranges are a pool each, "
            "arguments without are one pool together, and they cannot be mixed; write a lone drive as a range, such as "
            "/data{5...5}"
        )


def _endpoint(volume: str, default_port: int) -> Endpoint:
    """A drive, not numbered yet. Raises ConfigurationError."""
    match = _SCHEME.match(volume)
    if match is None:
        return Endpoint("", "/" + os.path.abspath(volume).lstrip("/"), 0)  # abspath leaves a leading // as it is
    authority, slash, path = volume[match.end() :].partition("/")
    if "@" in authority:
        raise ConfigurationError(
            f"{match[0]}...@{authority.rpartition('@')[2]} has a user name: URLs of drives take none"
        )
    if re.search(r"[?#]", authority + path):
        raise ConfigurationError(f"{volume} has a query or a fragment: URLs of drives end with the directory")
    if "%" in path or "\\" in path:
        raise ConfigurationError(f"{volume} has a % or a backslash: write the directory as it is on the node")
    node = node_name(authority, default_port, volume)
    path = posixpath.normpath("/" + path.lstrip("/"))
    if not slash or path == "/":
        raise ConfigurationError(f"{volume} names no directory: URLs of drives look like http://node1:9000/data")
    return Endpoint(node, path, 0, match[1].lower())


def _check_apart(drives: Sequence[Endpoint]) -> None:
    """No drive may be named twice, or lie inside another one. Raises ConfigurationError."""
    seen: set[tuple[str, str]] = set()
    for each in drives:
        if (each.node, each.path) in seen:
            raise ConfigurationError(f"the drive {each.name} is named twice")
        seen.add((each.node, each.path))
    for each in drives:
        for outer in _ancestors(each.path):
            if (each.node, outer) in seen:
                holder = Endpoint(each.node, outer, 0, each.scheme)
                raise ConfigurationError(f"the drive {each.name} lies inside the drive {holder.name}")


def _ancestors(path: str) -> Iterator[str]:
    while path != (outer := posixpath.dirname(path)):
        yield outer
        path = outer


def _pools(groups: Sequence[Sequence[str]], named: Sequence[Sequence[Endpoint]]) -> Iterator[PoolLayout]:
    """The pools with their drives numbered. Raises ConfigurationError."""
    index = 0
    for words, drives in zip(groups, named, strict=True):
        if len(drives) == 1 and len(groups) > 1:
            raise ConfigurationError(
                f"{words[0]} is a pool of one drive, which would keep objects without any parity beside pools that "
                "have some; give it at least two"
            )
        nodes = [each.node for each in drives]
        try:
            size = choose_set_size(nodes)
        except ValueError as error:
            raise ConfigurationError(f"{' '.join(words[:4])}{' ...' if len(words) > 4 else ''}: {error}") from error
        order = arrange(nodes, size)
        yield PoolLayout(
            tuple(
                Endpoint(drives[place].node, drives[place].path, index + number, drives[place].scheme)
                for number, place in enumerate(order)
            ),
            size,
        )
        index += len(drives)

"""Recorded histories: what clients asked of a key and what they were told, one JSON object per line.

    {"process": 3, "op": "put", "key": "a", "value": "v17", "if_match": "v4", "outcome": "ok",
     "start_ns": 12, "end_ns": 99}

- `op`: `put`; `delete`; `read` (GET and HEAD alike); `list`.
- `value`: of a put, the id of what was written (unique in the history: the body's ETag will do); of a read, the id of
  what was seen, null for no such object. A `list` has `keys` instead, {key: value or null} for every key it covers:
  each key is seen at one moment of the call, not all at the same one.
- `if_match`, `if_none_match`: the condition of a put or delete, a value id or "*"; left out where there is none.
- `outcome`: `ok`; `refused` (the condition did not hold: 412, or 404 for If-Match on nothing); `failed` (certainly
  without effect); `unknown` (503, connection lost, no answer yet: takes effect once at any time from its start on, also
  long after its answer, or never). Reads that are not `ok` are ignored.
- `start_ns`, `end_ns`: one machine's monotonic clock, before the request was sent and after the answer was read;
  `end_ns` may be null for what was never answered.

A delete of nothing is `ok`, also under a condition: so S3 has it.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Operation:
    """One call on one key; see the module's docstring."""

    process: int
    op: str
    key: str
    value: str | None
    outcome: str
    start_ns: int
    end_ns: int | None
    if_match: str | None = None
    if_none_match: str | None = None

    def __str__(self) -> str:
        condition = "".join(
            f" {name}={value}" for name, value in (("if", self.if_match), ("unless", self.if_none_match)) if value
        )
        value = "" if self.op == "delete" else f" {self.value or 'nothing'}"
        end = "..." if self.end_ns is None else f"{self.end_ns:>16,}"
        return f"{self.start_ns:>16,} {end:>16}  p{self.process:<3} {self.op}{value}{condition} -> {self.outcome}"


def operations_of(line: str) -> Iterator[Operation]:
    """The operations of a line: one, or one read for each key of a listing."""
    fields = json.loads(line)
    keys = fields.pop("keys", None)
    if keys is None:
        yield Operation(**{"value": None, "end_ns": None, **fields})
        return
    fields["op"] = "read"
    for key, value in keys.items():
        yield Operation(**{**fields, "key": key, "value": value})


def load(lines: Iterable[str]) -> list[Operation]:
    """A history from its lines."""
    return [operation for line in lines if line.strip() for operation in operations_of(line)]


def save(operations: Iterable[Operation], file: TextIO) -> None:
    """Write a history's lines."""
    for operation in operations:
        fields = {name: value for name, value in asdict(operation).items() if value is not None or name == "value"}
        file.write(json.dumps(fields) + "\n")

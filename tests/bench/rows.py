"""The rows of the table, alike for both load generators (warp and our own) and for all contenders."""

from dataclasses import dataclass

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    operation: str
    size: str
    concurrency: int
    objects: int = 0  # that lie there when it begins
    unsigned: bool = False  # the client signs no digest of the payload, as over TLS; so it takes no SHA-256

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.operation.upper()} {self.size} x{self.concurrency}{' unsigned' if self.unsigned else ''}"

    @property
    def size_bytes(self) -> int:
        """Of each object."""
        return int(self.size[:-3]) * UNITS[self.size[-3:]]

    @property
    def in_bytes(self) -> bool:
        """Whether bytes per second say more than objects per second."""
        return self.size in ("1MiB", "64MiB") and self.operation in ("put", "get")


def rows(quick: bool) -> list[Row]:
    """All rows, or those that say most."""
    table = [
        Row("put", "4KiB", 16), Row("get", "4KiB", 16, 2000), Row("stat", "4KiB", 16, 2000),
        Row("delete", "4KiB", 16, 16000), Row("list", "4KiB", 8, 2000), Row("mixed", "4KiB", 16, 1000),
        Row("put", "64MiB", 1), Row("put", "64MiB", 1, unsigned=True), Row("get", "64MiB", 1, 8),
    ]  # fmt: skip
    if quick:
        return table
    for size, concurrency, objects in (("128KiB", 16, 800), ("1MiB", 8, 200)):
        table += [
            Row(operation, size, concurrency, 0 if operation == "put" else objects)
            for operation in ("put", "get", "stat", "mixed")
        ]
    table += [
        Row("delete", "128KiB", 16, 2000), Row("list", "128KiB", 8, 800), Row("delete", "1MiB", 8, 1600),
        Row("list", "1MiB", 8, 200), Row("stat", "64MiB", 8, 8), Row("delete", "64MiB", 2, 20),
        Row("list", "64MiB", 2, 8), Row("mixed", "64MiB", 2, 8),
    ]  # fmt: skip
    return table

"""`rustfs admin trace`: the requests of all nodes, as they are answered."""

import contextlib
import json
import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from rustfs.cli.client import Address, AsJsonLines, node_at
from rustfs.cli.tables import count, size
from rustfs.node.settings import DEFAULT_ADDRESS

HEADING = ("TIME", "NODE", "OPERATION", "STATUS", "DURATION", "IN", "OUT", "CLIENT", "PATH")
_WIDTHS = (12, 21, 24, 6, 10, 10, 10, 21)


def trace(
    operation: Annotated[str, typer.Option("--operation", metavar="NAME", help="Only these, as GetObject.")] = "",
    path: Annotated[str, typer.Option("--path", metavar="/BUCKET/PREFIX", help="Only paths that begin so.")] = "",
    errors: Annotated[bool, typer.Option("--errors", help="Only answers with status 400 and above.")] = False,
    slower_than: Annotated[
        float, typer.Option("--slower-than", metavar="MS", min=0.0, help="Only those that took so many milliseconds.")
    ] = 0.0,
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJsonLines = False,
) -> None:
    """Show the S3 requests of all nodes as they are answered, until Ctrl-C."""
    filters = {
        "operation": operation,
        "path": path,
        "errors": "true" if errors else "",
        "slower_than_ms": str(round(slower_than)) if slower_than else "",
    }
    wanted = {name: value for name, value in filters.items() if value}
    with contextlib.suppress(KeyboardInterrupt):
        for event in node_at(address).stream("GET", "trace", wanted):
            print(json.dumps(event), flush=True) if as_json else show(event)


def show(event: Mapping[str, Any]) -> None:
    """Print an event; what is no request goes to standard error. (Any: JSON.)"""
    if "following" in event:
        print(f"Following {', '.join(event['following'])}; Ctrl-C ends", file=sys.stderr, flush=True)
        print(line(HEADING), flush=True)
    elif "notice" in event:
        print(f"! {event['node']}: {event['notice']}", file=sys.stderr, flush=True)
    else:
        if event["dropped"]:
            print(f"! {event['node']}: {count(event['dropped'], 'request')} not shown", file=sys.stderr, flush=True)
        print(line(cells(event)), flush=True)


def cells(event: Mapping[str, Any]) -> tuple[str, ...]:
    """A request as a row. (Any: JSON.)"""
    seconds, milliseconds = divmod(event["time_ms"], 1000)
    return (
        f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{milliseconds:03d}",
        event["node"],
        event["operation"],
        str(event["status"]),
        f"{event['duration_ms']:.1f} ms",
        size(event["received_bytes"]),
        size(event["sent_bytes"]),
        event["client"],
        event["path"],
    )


def line(row: tuple[str, ...]) -> str:
    """Columns, the last as long as it is; control characters of a path stay off the terminal."""
    padded = [cell.ljust(width) for cell, width in zip(row, _WIDTHS, strict=False)]
    last = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in row[-1])
    return "  ".join([*padded, last])

"""`rustfs admin locks`: who holds and who waits for leases between nodes, and taking one away."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from rustfs.cli.client import Address, AsJson, node_at
from rustfs.cli.groups import with_default
from rustfs.cli.tables import count, print_table
from rustfs.node.settings import DEFAULT_ADDRESS

app = typer.Typer(cls=with_default("list"), help="Locks between nodes; without a command: list them.")


@app.command("list")
def list_locks(address: Address = DEFAULT_ADDRESS, as_json: AsJson = False) -> None:
    """Show the locks of all nodes: what is held or waited for, by whom, since when, and for how long yet."""
    facts = node_at(address).get("locks")
    print(json.dumps(facts, indent=1)) if as_json else show(facts)


@app.command()
def release(
    resource: Annotated[str, typer.Argument(help="As the list shows it.")],
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """Take a lock away from whoever holds it: no data is at risk, the owner goes on without it or tries again."""
    answer = node_at(address).post("locks/release", {"resource": resource})
    if as_json:
        print(json.dumps(answer, indent=1))
    elif answer["released_on"]:
        print(f"Released on {', '.join(answer['released_on'])}")
    if not as_json:
        show_silent(answer["nodes_without_answer"])
    if not answer["released_on"]:
        print(f"rustfs: nobody holds the lock {resource!r}", file=sys.stderr)
        raise typer.Exit(1)


def show(facts: Mapping[str, Any]) -> None:
    """Print the list. (Any: JSON.)"""
    rows = [("RESOURCE", "STATE", "OWNER", "PURPOSE", "SINCE", "EXPIRES IN", "GRANTED BY")]
    rows += [
        (
            lock["resource"],
            "waits" if lock["waiting"] else "shared" if lock["shared"] else "held",
            f"{lock['node']} {lock['owner'][:8]}",
            lock["purpose"],
            f"{lock['age_seconds']:.1f} s",
            f"{lock['expires_in_seconds']:.1f} s",
            count(len(lock["granted_by"]), "node"),
        )
        for lock in facts["locks"]
    ]
    print_table(rows) if facts["locks"] else print("No locks")
    show_silent(facts["nodes_without_answer"])


def show_silent(nodes: Mapping[str, str]) -> None:
    """Name the nodes that did not answer."""
    for node, reason in nodes.items():
        print(f"! node {node} did not answer: {reason}")

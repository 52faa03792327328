"""`rustfs admin health`: what is away, what may still fail, and whether the node asked may be stopped."""

import json
from collections.abc import Mapping
from typing import Any

import typer

from rustfs.cli.client import Address, AsJson, node_at
from rustfs.cli.tables import count
from rustfs.node.settings import DEFAULT_ADDRESS

UNWRITABLE_EXIT_CODE = 1
CLOCK_AHEAD_MS = 1000  # from here on it is worth a line


def health(address: Address = DEFAULT_ADDRESS, as_json: AsJson = False) -> None:
    """Show what may fail now, and whether this node may be stopped; exit code 1 when a set cannot be written."""
    facts = node_at(address).get("health")
    print(json.dumps(facts, indent=1)) if as_json else show(facts)
    if facts["sets_without_write_quorum"]:
        raise typer.Exit(UNWRITABLE_EXIT_CODE)


def show(facts: Mapping[str, Any]) -> None:
    """Print the facts. (Any: JSON.)"""
    unwritable, unreadable = facts["sets_without_write_quorum"], facts["sets_without_read_quorum"]
    sets, cluster = facts["sets"], len(facts["nodes"]) > 1
    if unwritable:
        print(f"NOT WRITABLE: {_sets(unwritable)} without write quorum")
    if unreadable:
        print(f"NOT READABLE: {_sets(unreadable)} without read quorum")
    if not unwritable and not unreadable:
        print(f"Every set can be written and read ({count(len(sets), 'set')})")
    for mode, verb in (("writes", "written"), ("reads", "read")):
        drives = min(each["may_fail"][mode]["drives"] for each in sets)
        nodes = facts["nodes_may_fail"][mode]
        whole = f", or {count(nodes, 'whole node')}," if cluster and nodes else ""
        if drives:
            print(f"Any {count(drives, 'more drive')} of each set{whole} may fail, and all objects can still be {verb}")
        else:
            print(f"Not one drive more may fail if all objects are to be {verb}")
    verdict = (
        "may be stopped now" if facts["this_node_may_stop"] else "must not be stopped: a set would lack its quorum"
    )
    print(f"Node {facts['node']} {verdict}")
    for node, reason in facts["nodes_offline"].items():
        print(f"! node {node} is offline: {reason}")
    for node, ping in facts["pings"].items():
        if abs(ping["clock_ahead_ms"]) >= CLOCK_AHEAD_MS:
            way = "ahead of" if ping["clock_ahead_ms"] > 0 else "behind"
            seconds = abs(ping["clock_ahead_ms"]) / 1000
            print(f"! the clock of node {node} is {seconds:.1f} s {way} this node's; beyond 15 minutes they part")
    for each in sets:
        if each["online"] < each["drives"] or each["healing"]:
            print(
                f"! set {each['set']}: {each['online']} of {count(each['drives'], 'drive')} online, {each['healing']} "
                f"healing; writes need {each['write_quorum']}, reads {each['read_quorum']}"
            )
    for drive in facts["drives_offline"]:
        print(f"! drive {drive} is offline")
    for drive in facts["drives_healing"]:
        print(f"! drive {drive} is being rebuilt")


def _sets(numbers: list[int]) -> str:
    return f"set{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"

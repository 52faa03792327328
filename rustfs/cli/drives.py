"""`rustfs admin drives`: every drive of every node, its state, space and queues."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rustfs.cli.client import Address, AsJson, node_at
from rustfs.cli.tables import print_table, size
from rustfs.node.settings import DEFAULT_ADDRESS


def drives(address: Address = DEFAULT_ADDRESS, as_json: AsJson = False) -> None:
    """Show the drives of all nodes: state, space, queues, and which are being rebuilt."""
    facts = node_at(address).get("drives")
    print(json.dumps(facts, indent=1)) if as_json else show(facts)


def show(facts: Sequence[Mapping[str, Any]]) -> None:
    """Print the drives, node by node. (Any: JSON.)"""
    by_node: dict[str, list[Mapping[str, Any]]] = {}
    for drive in facts:
        by_node.setdefault(drive["node"], []).append(drive)
    for number, (node, own) in enumerate(sorted(by_node.items())):
        if node:
            print(f"{'' if number == 0 else chr(10)}Node {node}")
        print_table(drive_rows(own))
    for reason in dict.fromkeys(drive["reason"] for drive in facts if drive["reason"]):
        print(f"! {reason}")


def drive_rows(facts: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A table of drives. (Any: JSON.) Of a drive out of reach nothing is known but its place."""
    rows: list[tuple[str, ...]] = [("SET", "DRIVE", "STATE", "USED", "FREE", "VERSIONS", "TO REPAIR", "TO FREE")]
    for drive in facts:
        known = bool(drive["total_bytes"])
        rows.append(
            (
                f"{drive['set']}/{drive['position']}",
                drive["endpoint"],
                "healing" if drive["healing"] and drive["state"] == "online" else drive["state"],
                size(drive["total_bytes"] - drive["free_bytes"]) if known else "-",
                size(drive["free_bytes"]) if known else "-",
                str(drive["versions"]) if known else "-",
                str(drive["repair_queue"]) if known else "-",
                str(drive["reclaim_queue"]) if known else "-",
            )
        )
    return rows

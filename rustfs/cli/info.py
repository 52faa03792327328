"""`rustfs admin info`: all nodes, sets and drives at a glance."""

import json
from collections.abc import Mapping
from typing import Any

from rustfs.cli.client import Address, AsJson, node_at
from rustfs.cli.drives import drive_rows
from rustfs.cli.tables import count, duration, print_table, size
from rustfs.node.settings import DEFAULT_ADDRESS


def info(address: Address = DEFAULT_ADDRESS, as_json: AsJson = False) -> None:
    """Show all nodes, their drives, the sets and the capacity."""
    facts = node_at(address).get("info")
    print(json.dumps(facts, indent=1)) if as_json else show(facts)


def show(facts: Mapping[str, Any]) -> None:
    """Print the facts. (Any: JSON.)"""
    for node in facts["nodes"]:
        if node["state"] != "online":
            print(f"Node {node['address']}  {node['state']}: {node['reason']}")
            continue
        print(
            f"Node {node['address']}  {node['state']}  up {duration(node['uptime_seconds'])}  "
            f"{count(node['workers'], 'worker')}  rustfs {node['version']}"
        )
    print(f"Deployment {facts['deployment_id']}  region {facts['region']}  codec {facts['codec']}")
    for each in facts["sets"]:
        parity = each["parity"]["STANDARD"]
        print(
            f"Set {each['set']}: {each['online']} of {count(each['drives'], 'drive')} online, "
            f"{each['drives'] - parity} data + {parity} parity, write quorum {each['write_quorum']}"
        )
    print(capacity(facts))
    print_table(drive_rows(facts["drives"]))
    for drive in facts["drives"]:
        if drive["reason"]:
            print(f"! {drive['reason']}")


def capacity(facts: Mapping[str, Any]) -> str:
    """Space in reach, and what its free part holds of STANDARD objects until each set has a full drive. (Any: JSON.)"""
    drives = [drive for drive in facts["drives"] if drive["state"] == "online"]
    total, free = sum(drive["total_bytes"] for drive in drives), sum(drive["free_bytes"] for drive in drives)
    room = 0
    for each in facts["sets"]:
        members = [drive["free_bytes"] for drive in drives if drive["set"] == each["set"]]
        data = each["drives"] - each["parity"]["STANDARD"]
        room += min(members, default=0) * min(data, len(members))
    return f"Capacity {size(total)}, {size(total - free)} used; room for about {size(room)} of objects"

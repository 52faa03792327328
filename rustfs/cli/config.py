"""`rustfs admin config`: the settings of the whole cluster, seen and changed while it runs."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from rustfs.cli.client import Address, AsJson, node_at
from rustfs.cli.groups import with_default
from rustfs.cli.tables import print_table
from rustfs.node.settings import DEFAULT_ADDRESS

app = typer.Typer(
    cls=with_default("list"),
    help="Settings of the whole cluster, which take effect at once on all nodes; without a command: list them.",
)

Name = Annotated[str, typer.Argument(help="As the list shows it.")]


@app.command("list")
def list_settings(address: Address = DEFAULT_ADDRESS, as_json: AsJson = False) -> None:
    """Show the settings, and which version of them is in force on which node."""
    facts = node_at(address).get("config")
    print(json.dumps(facts, indent=1)) if as_json else show(facts)


@app.command("set")
def set_value(
    name: Name,
    value: Annotated[str, typer.Argument(help="What it is to be on all nodes.")],
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """Change a setting on all nodes; it overrides what their commands and environments say."""
    _tell(node_at(address).post("config/set", {"name": name, "value": value}), as_json=as_json)


@app.command()
def unset(name: Name, address: Address = DEFAULT_ADDRESS, as_json: AsJson = False) -> None:
    """Let each node go by its own command and environment again."""
    _tell(node_at(address).post("config/unset", {"name": name}), as_json=as_json)


def show(facts: Mapping[str, Any]) -> None:
    """Print the list. (Any: JSON.)"""
    rows = [("SETTING", "VALUE", "SET BY", "TAKES", "MEANING")]
    rows += [
        (each["name"], each["value"], each["source"], each["takes"], each["meaning"]) for each in facts["settings"]
    ]
    print_table(rows)
    print(f"\nVersion {facts['version']} of the cluster's settings")
    for node, own in facts["nodes"].items():
        if own is None:
            print(f"! node {node} did not answer")
        elif own["version"] != facts["version"] or own["workers_behind"]:
            print(f"! node {node} goes by version {own['version']}; of its {own['workers']} workers are behind: "
                  f"{own['workers_behind']}")  # fmt: skip
    for name in facts["unknown_settings"]:
        print(f"! {name} is set, but this node does not know it: is it of an older version?")


def _tell(answer: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer, indent=1))
        return
    print(f"{answer['name']} is {answer['value']} (version {answer['version']} of the cluster's settings)")
    for node, reason in answer["nodes_unconfirmed"].items():
        print(f"! node {node} has not confirmed it, and will learn it: {reason}")

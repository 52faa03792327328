"""`rustfs admin heal`: how far healing has come, and checking and repairing on demand."""

import contextlib
import json
import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from rustfs.cli.client import Address, AsJson, AsJsonLines, Node, node_at
from rustfs.cli.groups import with_default
from rustfs.cli.locks import show_silent
from rustfs.cli.progress import Screen, bar
from rustfs.cli.tables import count, duration, size
from rustfs.core.errors import ConfigurationError
from rustfs.node.settings import DEFAULT_ADDRESS

app = typer.Typer(
    cls=with_default("start"),
    help="Healing. Drives are rebuilt and what they missed is repaired without being asked; `rustfs admin heal "
    "[--deep] [BUCKET/PREFIX]` checks and repairs on demand.",
)

NOT_WHOLE_EXIT_CODE = 1
INTERRUPTED_EXIT_CODE = 130
WATCH_SECONDS = 1.0

STATES = {"idle": "whole", "healing": "healing", "waiting": "waiting for drives"}


@app.command("status")
def status(
    address: Address = DEFAULT_ADDRESS,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it, until Ctrl-C.")] = False,
    as_json: AsJsonLines = False,
) -> None:
    """Show how far healing has come, by node and set, and the runs on demand that are under way."""
    node = node_at(address)
    if not watch:
        facts = node.get("heal")
        print(json.dumps(facts, indent=1)) if as_json else print("\n".join(status_lines(facts, bars=False)))
        return
    with contextlib.suppress(KeyboardInterrupt):
        _watch(node, as_json=as_json)


@app.command()
def start(
    target: Annotated[
        str, typer.Argument(metavar="[BUCKET[/PREFIX]]", help="Keys of this bucket, or below this prefix.")
    ] = "",
    deep: Annotated[bool, typer.Option("--deep", help="Read and verify every shard, not only its presence.")] = False,
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJsonLines = False,
) -> None:
    """Check all keys, or those named, on all nodes, and repair them. Ctrl-C stops the run.

    Exit code 1 when something could not be checked or made whole, 130 when the run was interrupted. (Of a bucket
    that is called like a command: `rustfs admin heal start BUCKET`.)
    """
    bucket, _, prefix = target.partition("/")
    parameters = {"bucket": bucket, "prefix": prefix, "deep": "true" if deep else ""}
    wanted = {name: value for name, value in parameters.items() if value}
    screen = Screen(live=sys.stdout.isatty() and not as_json)
    last: dict[str, Any] = {}
    try:
        for each in node_at(address).stream("POST", "heal/start", wanted):
            last = each
            if as_json:
                print(json.dumps(each), flush=True)
            elif "done" not in each and "keys_checked" in each:
                screen.show([run_line(each)])
    except KeyboardInterrupt:
        if not as_json:
            screen.end()
            print(f"Interrupted; so far {run_line(last)}" if "keys_checked" in last else "Interrupted")
        raise typer.Exit(INTERRUPTED_EXIT_CODE) from None
    screen.end()
    if "done" not in last:
        raise ConfigurationError("the node ended the run without a summary")
    if not as_json:
        print("\n".join(summary_lines(last)))
    if any(last[name] for name in ("errors", "keys_failed", "keys_waiting", "sets_not_checked", "stopped")):
        raise typer.Exit(NOT_WHOLE_EXIT_CODE)


@app.command()
def stop(
    run: Annotated[str, typer.Argument(help="As `heal status` names it; without it, all runs are ended.")] = "",
    address: Address = DEFAULT_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """End runs that were started on demand, wherever they were started."""
    answer = node_at(address).post("heal/stop", {"run": run} if run else {})
    if as_json:
        print(json.dumps(answer, indent=1))
    else:
        nodes = ", ".join(answer["stopped_on"])
        print(f"Stopped on {nodes}" if nodes else "Nothing to stop")
        show_silent(answer["nodes_without_answer"])
    if run and not answer["stopped_on"]:
        raise typer.Exit(1)


def status_lines(facts: Mapping[str, Any], *, bars: bool) -> list[str]:
    """The state of healing. (Any: JSON.)"""
    lines = []
    for each in facts["sets"]:
        total = max(each["keys_total"], each["keys_checked"])
        where = f"Node {each['node']}  set {each['set']}"
        what = STATES.get(each["state"], each["state"])
        if each["drives"]:
            what += f", rebuilding {', '.join(each['drives'])}"
        if bars and each["state"] == "healing":
            lines.append(f"{where}  {bar(each['keys_checked'], total)}  {what}")
        else:
            lines.append(f"{where}: {what}")
        if each["started_ms"]:
            lines.append(
                f"  {each['keys_checked']} of about {total} keys compared, {each['keys_healed']} healed, "
                f"{each['keys_failed']} not yet{_pace(each)}"
            )
        lines.append(f"  repair queue: {count(each['repair_queue'], 'key')}")
    for run in facts["runs"]:
        target = f"{run['bucket']}/{run['prefix']}" if run["bucket"] else "everything"
        kind = "deep run" if run["deep"] else "run"
        lines.append(f"Node {run['node']}  {kind} {run['run']} over {target}: {run_line(run)}")
    if not lines:
        lines.append("Nothing has been compared yet: the nodes have just started.")
    lines += [f"! node {node} did not answer: {reason}" for node, reason in facts["nodes_without_answer"].items()]
    return lines


def run_line(run: Mapping[str, Any]) -> str:
    """How far a run has come. (Any: JSON.)"""
    rate = run["keys_checked"] / run["seconds"] if run["seconds"] else 0.0
    text = f"{count(run['keys_checked'], 'key')} checked, {run['keys_healed']} healed, {run['keys_failed']} not"
    if run["keys_waiting"]:
        text += f", {run['keys_waiting']} waiting for drives out of reach"
    text += f"; {rate:.0f} keys/s"
    if run["bytes_healed"]:
        text += f", {size(run['bytes_healed'])} rebuilt"
    return text


def summary_lines(run: Mapping[str, Any]) -> list[str]:
    """What came of a run. (Any: JSON.)"""
    checked = count(len(run["sets_checked"]), "set")
    lines = [f"{'Stopped' if run['stopped'] else 'Done'} after {duration(run['seconds'])}, {checked}: {run_line(run)}"]
    if run["sets_not_checked"]:
        lines.append(f"! not checked from end to end: sets {', '.join(map(str, run['sets_not_checked']))}")
    return lines + [f"! {node}: {reason}" for node, reason in run["errors"].items()]


def _pace(each: Mapping[str, Any]) -> str:
    parts = []
    if each["keys_per_second"]:
        parts.append(f"{each['keys_per_second']:.0f} keys/s")
    if each["bytes_per_second"]:
        parts.append(f"{size(each['bytes_per_second'])}/s")
    if each["seconds_left"] is not None:
        parts.append(f"about {duration(each['seconds_left'])} to go")
    return f"; {', '.join(parts)}" if parts else ""


def _watch(node: Node, *, as_json: bool) -> None:
    screen = Screen(live=sys.stdout.isatty() and not as_json)
    while True:
        facts = node.get("heal")
        if as_json:
            print(json.dumps(facts), flush=True)
        else:
            screen.show(status_lines(facts, bars=screen.live))
        time.sleep(WATCH_SECONDS)

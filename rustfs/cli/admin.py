"""`rustfs admin`: what a running node says about itself."""

import hashlib
import http.client
import json
import os
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from rustfs.cli.endpoint import endpoint_of
from rustfs.core.errors import ConfigurationError
from rustfs.node.settings import DEFAULT_ADDRESS, DEFAULT_KEY, DEFAULT_REGION, read_secret
from rustfs.s3 import sigv4

app = typer.Typer(
    help="Look at a running node. Its keys are read from RUSTFS_ACCESS_KEY and RUSTFS_SECRET_KEY, or their _FILE.",
    no_args_is_help=True,
)
heal_app = typer.Typer(help="Healing: rebuilding what drives lack.", no_args_is_help=True)
app.add_typer(heal_app, name="heal")

TIMEOUT_SECONDS = 30.0

Address = Annotated[str, typer.Option(envvar="RUSTFS_ADDRESS", metavar="[https://]HOST:PORT", help="The node to ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command()
def info(address: Address = DEFAULT_ADDRESS, as_json: AsJson = False) -> None:
    """Show the node, its drives and sets, capacity and healing."""
    facts = _ask(address, "info")
    if as_json:
        print(json.dumps(facts, indent=1))
        return
    for node in facts["nodes"]:
        if node["state"] != "online":
            print(f"Node {node['address']}  {node['state']}: {node['reason']}")
            continue
        print(
            f"Node {node['address']}  {node['state']}  up {_duration(node['uptime_seconds'])}  "
            f"{node['workers']} worker(s)  rustfs {node['version']}"
        )
    print(f"Deployment {facts['deployment_id']}  region {facts['region']}  codec {facts['codec']}")
    for each in facts["sets"]:
        parity = each["parity"]["STANDARD"]
        print(
            f"Set {each['set']}: {each['online']} of {each['drives']} drives online, "
            f"{each['drives'] - parity} data + {parity} parity, write quorum {each['write_quorum']}"
        )
    rows = [("SET", "DRIVE", "STATE", "USED", "FREE", "VERSIONS", "TO REPAIR")]
    for drive in facts["drives"]:
        used = drive["total_bytes"] - drive["free_bytes"]
        state = "healing" if drive["healing"] else drive["state"]
        rows.append(
            (
                f"{drive['set']}/{drive['position']}",
                drive["endpoint"],
                state,
                _size(used),
                _size(drive["free_bytes"]),
                str(drive["versions"]),
                str(drive["repair_queue"]),
            )
        )
    print_table(rows)
    for drive in facts["drives"]:
        if drive["reason"]:
            print(f"! {drive['reason']}")


@heal_app.command("status")
def heal_status(address: Address = DEFAULT_ADDRESS, as_json: AsJson = False) -> None:
    """Show how far healing has come, set by set."""
    progress = _ask(address, "heal")
    if as_json:
        print(json.dumps(progress, indent=1))
        return
    if not progress:
        print("Nothing has been compared yet: the node has just started.")
    for each in progress:
        done = f"{each['keys_checked']} of about {max(each['keys_total'], each['keys_checked'])} keys compared"
        what = {"idle": "whole", "healing": "healing", "waiting": "waiting for drives"}[each["state"]]
        drives = f", rebuilding {', '.join(each['drives'])}" if each["drives"] else ""
        print(f"Set {each['set']}: {what}{drives}; {done}, {each['keys_healed']} healed, {each['keys_failed']} not yet")
        print(f"  repair queue: {each['repair_queue']} key(s)")


def _ask(address: str, fact: str) -> Any:  # noqa: ANN401 -- JSON, shown as it comes
    """A signed GET of an admin resource. Raises ConfigurationError with a sentence for the operator."""
    endpoint = endpoint_of(address, os.environ)
    access_key = read_secret(os.environ, "RUSTFS_ACCESS_KEY") or DEFAULT_KEY
    secret_key = read_secret(os.environ, "RUSTFS_SECRET_KEY") or DEFAULT_KEY
    region = os.environ.get("RUSTFS_REGION") or DEFAULT_REGION
    path = f"/rustfs/admin/v1/{fact}"
    headers = _signed_headers(endpoint.authority, path, access_key, secret_key, region)
    connection = endpoint.connection(TIMEOUT_SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise endpoint.unreachable(error) from error
    finally:
        connection.close()
    if response.status == http.client.FORBIDDEN:
        raise ConfigurationError(
            f"the node at {endpoint.authority} refused the keys; set RUSTFS_ACCESS_KEY and RUSTFS_SECRET_KEY to its own"
        )
    if response.status != http.client.OK:
        raise ConfigurationError(f"the node at {endpoint.authority} answered with status {response.status}")
    return json.loads(body)


def _signed_headers(host: str, path: str, access_key: str, secret_key: str, region: str) -> dict[str, str]:
    timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    payload = hashlib.sha256(b"").hexdigest()
    headers = {"host": host, "x-amz-content-sha256": payload, "x-amz-date": timestamp}
    signed = ";".join(sorted(headers))
    canonical = sigv4.canonical_request("GET", path, "", headers, signed, payload)
    scope = f"{timestamp[:8]}/{region}/s3/aws4_request"
    key = sigv4.signing_key(secret_key, timestamp[:8], region, "s3")
    signature = sigv4.sign(key, sigv4.string_to_sign(timestamp, scope, canonical))
    credential = f"Credential={access_key}/{scope}"
    return {**headers, "authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={signed}, Signature={signature}"}


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print columns of equal width; the first row is their heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _size(size_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {seconds}s" if minutes else f"{seconds}s"

"""`rustfs admin layout`: what volumes arguments would make, before anything is started.

The figures are derived from the drives' real placement and from the rules that writes and reads go by
(rustfs.objects), not from a table of their own.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from rustfs.cli.client import AsJson
from rustfs.cli.tables import count, print_table
from rustfs.core.topology import PoolLayout, Topology
from rustfs.erasure.parity import STANDARD
from rustfs.node.settings import DEFAULT_ADDRESS, parse_address, read_parities
from rustfs.node.volumes import read_volumes


def layout(
    volumes: Annotated[
        list[str] | None,
        typer.Argument(
            envvar="RUSTFS_VOLUMES",
            metavar="VOLUMES",
            help="As for rustfs start: '/data{1...4}' or 'http://node{1...4}:9000/data{1...4}'.",
        ),
    ] = None,
    address: Annotated[
        str,
        typer.Option(envvar="RUSTFS_ADDRESS", metavar="HOST:PORT", help="Its port is that of URLs without one."),
    ] = DEFAULT_ADDRESS,
    as_json: AsJson = False,
) -> None:
    """Show the pools and sets that volumes would make, and what may fail; nothing is started or touched.

    RUSTFS_STORAGE_CLASS_STANDARD and RUSTFS_STORAGE_CLASS_RRS count, as they do for a node.
    """
    topology = read_volumes(volumes or [], parse_address(address)[1])
    facts = describe(topology, [dict(each) for each in read_parities(os.environ, topology)])
    if as_json:
        print(json.dumps(facts, indent=1))
    else:
        _print(facts)


def describe(topology: Topology, parities: Sequence[Mapping[str, int]]) -> dict[str, Any]:
    """The layout in figures. (Any: JSON.)

    Args:
        topology: the volumes'.
        parities: of each pool: parity shards by storage class.
    """
    pools = [_pool(pool, parities[number]) for number, pool in enumerate(topology.pools)]
    drive_count = len(topology.endpoints)
    data = sum(
        each["storage_classes"][STANDARD]["efficiency"] * len(pool.endpoints)
        for pool, each in zip(topology.pools, pools, strict=True)
    )
    return {
        "distributed": topology.distributed,
        "nodes": len(topology.nodes),
        "drives": drive_count,
        "usable_fraction": data / drive_count,  # of the raw space, for STANDARD objects on drives of equal size
        "digest": topology.digest(),
        "may_fail": {
            mode: {
                what: min(each["storage_classes"][STANDARD]["may_fail"][mode][what] for each in pools)
                for what in ("drives_per_set", "nodes")
            }
            for mode in ("reads", "writes")
        },
        "pools": pools,
    }


def _pool(pool: PoolLayout, parity: Mapping[str, int]) -> dict[str, Any]:
    return {
        "drives": len(pool.endpoints),
        "nodes": len({each.node for each in pool.endpoints}),
        "set_size": pool.set_size,
        "set_count": pool.set_count,
        "storage_classes": {name: _storage_class(pool, shards) for name, shards in parity.items()},
        "sets": [[each.name for each in group] for group in pool.sets],
    }


def _storage_class(pool: PoolLayout, parity: int) -> dict[str, Any]:
    data = pool.set_size - parity
    reads, writes = drives_lost_for_reads(pool.set_size, parity), drives_lost_for_writes(pool.set_size, parity)
    return {
        "data_shards": data,
        "parity_shards": parity,
        "efficiency": data / pool.set_size,
        "may_fail": {
            "reads": {"drives_per_set": reads, "nodes": pool.nodes_that_may_fail(reads)},
            "writes": {"drives_per_set": writes, "nodes": pool.nodes_that_may_fail(writes)},
        },
    }


def drives_lost_for_reads(set_size: int, parity: int) -> int:
    """How many drives of a set may be lost while objects written on all of it can be read."""
    from rustfs.objects.decide import read_quorum  # noqa: PLC0415 -- the other commands do without the object layer

    return set_size - max(set_size - parity, read_quorum(set_size))


def drives_lost_for_writes(set_size: int, parity: int) -> int:
    """How many drives of a set may be away, and known to be, while it can be written (with more parity if need be)."""
    from rustfs.objects.decide import version_flags, write_quorum_of  # noqa: PLC0415 -- as above
    from rustfs.objects.ingest import shape_for  # noqa: PLC0415 -- as above

    lost = 0
    while True:
        shape = shape_for(set_size, parity, lost + 1)
        if set_size - (lost + 1) < write_quorum_of(version_flags(set_size, shape.data_shards)):
            return lost
        lost += 1


def _print(facts: Mapping[str, Any]) -> None:
    where = count(facts["nodes"], "node") if facts["distributed"] else "one node"
    print(
        f"{count(facts['drives'], 'drive')} on {where} in {count(len(facts['pools']), 'pool')}; "
        f"{facts['usable_fraction']:.0%} of the raw space holds data"
    )
    for mode, verb in (("reads", "read"), ("writes", "written")):
        print(f"STANDARD objects can be {verb} {_while(facts['may_fail'][mode], facts['distributed'])}")
    print()
    rows = [
        ("POOL", "DRIVES", "SETS", "CLASS", "DATA + PARITY", "EFFICIENCY", "READS SURVIVE", "WRITES SURVIVE"),
    ]
    for number, pool in enumerate(facts["pools"]):
        for name, each in pool["storage_classes"].items():
            rows.append(
                (
                    str(number),
                    str(pool["drives"]),
                    f"{pool['set_count']} of {pool['set_size']}",
                    name,
                    f"{each['data_shards']} + {each['parity_shards']}",
                    f"{each['efficiency']:.0%}",
                    *(_loss(each["may_fail"][mode], facts["distributed"]) for mode in ("reads", "writes")),
                )
            )
    print_table(rows)
    print()
    print_table([("POOL/SET/POSITION", "DRIVE"), *_drives(facts["pools"])])


def _drives(pools: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (f"{number}/{index}/{position}", name)
        for number, pool in enumerate(pools)
        for index, group in enumerate(pool["sets"])
        for position, name in enumerate(group)
    ]


def _loss(may_fail: Mapping[str, int], distributed: bool) -> str:
    drives = count(may_fail["drives_per_set"], "drive")
    return f"{drives} or {count(may_fail['nodes'], 'node')}" if distributed else drives


def _while(may_fail: Mapping[str, int], distributed: bool) -> str:
    drives, nodes = may_fail["drives_per_set"], may_fail["nodes"]
    if not drives:
        return "only while every drive serves"
    sentence = f"while any {count(drives, 'drive')} of each set may fail"
    if not distributed:
        return sentence
    return sentence + (f", or any {count(nodes, 'whole node')}" if nodes else ", but no whole node")

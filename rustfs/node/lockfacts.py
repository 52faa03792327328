"""The locks of all nodes, for `rustfs admin locks`: every node's table is read, and the same lock in several is one."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote_from_bytes, unquote_to_bytes

from rustfs.admin.face import BadParameter
from rustfs.core.errors import LockError
from rustfs.mesh.locks.rules import RESOURCE_BYTES_MAX, LockInfo

PAGE = 1_000
LOCKS_MAX = 10_000  # shown of one table
_PLAIN = "".join(chr(code) for code in range(33, 127) if chr(code) != "%")


class LockList(Protocol):
    """A node's table, this one's or a peer's."""

    async def list(self, after: tuple[bytes, bytes], limit: int) -> list[LockInfo]: ...

    async def force_release(self, resource: bytes, owner_id: bytes | None) -> int: ...


class LockFacts:
    """Over the tables by node; there are none where there is but one node, whose workers' locks are the kernel's."""

    def __init__(self, tables: Mapping[str, LockList]) -> None:
        self._tables = tables

    async def locks(self) -> dict[str, Any]:
        """For GET locks. (Any: JSON.)"""
        found = await asyncio.gather(*map(_whole, self._tables.values()))
        by_node = dict(zip(self._tables, found, strict=True))
        return {
            "locks": merged({node: answer for node, answer in by_node.items() if isinstance(answer, list)}),
            "nodes_without_answer": {node: answer for node, answer in by_node.items() if isinstance(answer, str)},
        }

    async def release(self, query: Mapping[str, str]) -> dict[str, Any]:
        """For POST locks/release: revoke a resource's holds on all tables. Raises BadParameter. (Any: JSON.)"""
        resource = resource_of(query.get("resource", ""))
        if not 0 < len(resource) <= RESOURCE_BYTES_MAX:
            raise BadParameter("name the resource as the list of locks shows it")

        async def revoke(table: LockList) -> int | str:
            try:
                return await table.force_release(resource, None)
            except LockError as error:
                return str(error)

        answers = await asyncio.gather(*map(revoke, self._tables.values()))
        by_node = dict(zip(self._tables, answers, strict=True))
        return {
            "released_on": sorted(node for node, answer in by_node.items() if isinstance(answer, int) and answer),
            "nodes_without_answer": {node: answer for node, answer in by_node.items() if isinstance(answer, str)},
        }


async def _whole(table: LockList) -> list[LockInfo] | str:
    """All entries of a table, up to a bound, or why there are none."""
    entries: list[LockInfo] = []
    after = (b"", b"")
    try:
        while len(entries) < LOCKS_MAX:
            page = await table.list(after, PAGE)
            entries += page
            if len(page) < PAGE:
                break
            after = (page[-1].resource, page[-1].owner.owner_id)
    except LockError as error:
        return str(error)
    return entries


def merged(tables: Mapping[str, Sequence[LockInfo]]) -> list[dict[str, Any]]:
    """The locks and waiters of all tables, by resource, holders first and those who came first before others."""
    found: dict[tuple[bytes, bytes], dict[str, Any]] = {}
    for node, entries in tables.items():
        for entry in entries:
            shown = found.setdefault(
                (entry.resource, entry.owner.owner_id),
                {
                    "resource": resource_text(entry.resource),
                    "owner": entry.owner.owner_id.hex(),
                    "node": entry.owner.node,
                    "purpose": entry.owner.purpose,
                    "shared": entry.shared,
                    "waiting": True,
                    "age_seconds": 0.0,
                    "expires_in_seconds": 0.0,
                    "granted_by": [],
                },
            )
            shown["waiting"] = shown["waiting"] and entry.waiting
            shown["age_seconds"] = max(shown["age_seconds"], entry.age_seconds)
            shown["expires_in_seconds"] = max(shown["expires_in_seconds"], entry.expires_in_seconds)
            if not entry.waiting:
                shown["granted_by"].append(node)
    return sorted(found.values(), key=lambda each: (each["resource"], each["waiting"], -each["age_seconds"]))


def resource_text(resource: bytes) -> str:
    """A resource as people see it and type it: what is not plain ASCII is percent-encoded."""
    return quote_from_bytes(resource, safe=_PLAIN)


def resource_of(text: str) -> bytes:
    """See resource_text; unencoded text is taken as UTF-8."""
    return unquote_to_bytes(text)

"""The locks of all nodes: one lock, whichever tables it is in; what can be shown can be named to release it."""

import asyncio

import pytest

from rustfs.admin.face import BadParameter
from rustfs.core.errors import LockUnavailable
from rustfs.mesh.locks.rules import LockInfo, Owner
from rustfs.node import lockfacts
from rustfs.node.lockfacts import LockFacts, resource_of, resource_text

ONE = Owner(b"\1" * 16, "node1:9000", "conditional write")
TWO = Owner(b"\2" * 16, "node2:9000", "conditional write")


class Table:
    """A node's table, page by page, or one that cannot be reached."""

    def __init__(self, *entries, reachable=True):
        self.entries = sorted(entries, key=lambda entry: (entry.resource, entry.owner.owner_id))
        self._reachable = reachable

    async def list(self, after, limit):
        if not self._reachable:
            raise LockUnavailable("out of reach")
        return [entry for entry in self.entries if (entry.resource, entry.owner.owner_id) > after][:limit]

    async def force_release(self, resource, owner_id):
        if not self._reachable:
            raise LockUnavailable("out of reach")
        kept = [entry for entry in self.entries if entry.resource != resource or entry.waiting]
        released, self.entries = len(self.entries) - len(kept), kept
        return released


def held(resource, owner, age=1.0, expires=5.0, *, waiting=False):
    return LockInfo(resource, owner, False, waiting, age, expires)


def test_a_lock_on_several_tables_is_one(monkeypatch):
    monkeypatch.setattr(lockfacts, "PAGE", 1)
    facts = LockFacts(
        {
            "node1:9000": Table(held(b"key:a", ONE, 2.0, 4.0), held(b"key:a", TWO, waiting=True), held(b"key:b", TWO)),
            "node2:9000": Table(held(b"key:a", ONE, 3.0, 3.0)),
            "node3:9000": Table(reachable=False),
        }
    )
    found = asyncio.run(facts.locks())
    assert [(lock["resource"], lock["waiting"], lock["node"], lock["granted_by"]) for lock in found["locks"]] == [
        ("key:a", False, "node1:9000", ["node1:9000", "node2:9000"]),
        ("key:a", True, "node2:9000", []),
        ("key:b", False, "node2:9000", ["node1:9000"]),
    ]
    assert (found["locks"][0]["age_seconds"], found["locks"][0]["expires_in_seconds"]) == (3.0, 4.0)
    assert found["nodes_without_answer"] == {"node3:9000": "out of reach"}


def test_no_more_of_a_table_is_read_than_can_be_shown(monkeypatch):
    monkeypatch.setattr(lockfacts, "PAGE", 10)
    monkeypatch.setattr(lockfacts, "LOCKS_MAX", 30)
    facts = LockFacts({"node1:9000": Table(*(held(b"key:%d" % number, ONE) for number in range(100)))})
    assert len(asyncio.run(facts.locks())["locks"]) == 30


def test_a_release_reaches_every_table():
    name = b"key:\xff %/\n"
    tables = {"node1:9000": Table(held(name, ONE)), "node2:9000": Table(held(name, ONE)), "node3:9000": Table()}
    facts = LockFacts({**tables, "node4:9000": Table(reachable=False)})
    answer = asyncio.run(facts.release({"resource": resource_text(name)}))
    assert answer == {
        "released_on": ["node1:9000", "node2:9000"],
        "nodes_without_answer": {"node4:9000": "out of reach"},
    }
    assert all(not table.entries for table in tables.values())
    with pytest.raises(BadParameter):
        asyncio.run(facts.release({}))


@pytest.mark.parametrize("resource", [b"key:a/b c", b"\0\xff", b"100%", "key:é".encode(), b"%41", bytes(range(256))])
def test_what_is_shown_names_the_resource(resource):
    shown = resource_text(resource)
    assert shown.isascii()
    assert shown.isprintable()
    assert resource_of(shown) == resource


def test_one_node_alone_has_no_locks():
    assert asyncio.run(LockFacts({}).locks()) == {"locks": [], "nodes_without_answer": {}}

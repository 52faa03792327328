"""Tests handed out to two processes: those of clusters last, and all to one."""

from collections import deque
from types import SimpleNamespace

from tests.scheduling import ClustersLast, clusters_last

CLUSTERS = [f"tests/{file}::test{number}" for file in ("cluster/test_a.py", "netns/test_b.py") for number in range(6)]
OTHERS = [f"tests/core/test_c.py::test{number}" for number in range(20)]


class Worker:
    """A process of xdist's as its scheduler sees it: takes indices of tests."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.queue: deque[int] = deque()
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.queue.extend(indices)

    def shutdown(self) -> None:
        self.shutting_down = True


def test_clusters_come_last_and_one_at_a_time(pytestconfig, monkeypatch):
    monkeypatch.setattr(pytestconfig.option, "loadscopereorder", True)
    monkeypatch.setattr(pytestconfig.option, "tx", ["2*popen"])
    items = [SimpleNamespace(nodeid=name) for name in CLUSTERS + OTHERS]
    clusters_last(items)
    names = [item.nodeid for item in items]
    scheduler = ClustersLast(pytestconfig)
    workers = [Worker("gw0"), Worker("gw1")]
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, names)
    scheduler.schedule()
    ran = []
    while any(worker.queue for worker in workers):
        for worker in workers:
            if worker.queue:
                index = worker.queue.popleft()
                ran.append((worker.gateway.id, names[index]))
                scheduler.mark_test_complete(worker, index)
    assert sorted(name for _, name in ran) == sorted(names)
    assert len({worker for worker, name in ran if name in CLUSTERS}) == 1
    assert {worker for worker, name in ran if name in OTHERS} == {"gw0", "gw1"}
    first = next(place for place, (_, name) in enumerate(ran) if name in CLUSTERS)
    assert len([name for _, name in ran[first:] if name in OTHERS]) <= 3, "only what the other process had begun"

"""Health, metrics and facts: open to load balancers and Prometheus what is theirs, and nothing else."""

import asyncio
import json
import time

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from rustfs.admin.face import AdminFace, Health, Operations, is_reserved
from rustfs.iam.keys import KeyRing, root_credentials
from rustfs.s3.auth import Authenticator
from rustfs.s3.errors import S3Error
from tests.s3.facing import HOST, NOW_MILLISECONDS, facing, whole
from tests.s3.signing import ACCESS_KEY, SECRET_KEY, FixedClock, request_of

FACTS = {"drives": [{"endpoint": "/data1", "state": "online"}], "name": "é"}


class Node:
    """An admin face over drives that a test takes away."""

    def __init__(self):
        self.can_read = self.can_write = self.may_stop = True
        self.asked = 0
        self.health = Health(lambda: self.can_read, lambda: self.can_write, lambda: self.may_stop)
        self.registry = CollectorRegistry()
        self.counter = Counter("rustfs_tests", "Tests.", ("kind",), registry=self.registry)
        keys = KeyRing(root_credentials(ACCESS_KEY, SECRET_KEY))
        authenticator = Authenticator(keys, "us-east-1", FixedClock(NOW_MILLISECONDS))
        self.operations = Operations(facts={"info": self.info})
        self.face = AdminFace(self.health, lambda: self.registry, authenticator.verify, self.operations)

    async def info(self):
        self.asked += 1
        return FACTS

    def ask(self, method, path):
        return self.send(request_of(method, path, {"host": HOST}))

    def send(self, request):
        async def main():
            return await whole(request, await self.face.handle(request))

        return asyncio.run(main())


@pytest.fixture
def node():
    return Node()


LIVE = ("/rustfs/health/live", "/minio/health/live")
READY = ("/rustfs/health/ready", "/minio/health/ready", "/minio/health/cluster")
READABLE = ("/minio/health/cluster/read",)


@pytest.mark.parametrize(
    ("can_read", "can_write", "draining", "well"),
    [
        (True, True, False, LIVE + READY + READABLE),
        (True, False, False, LIVE + READABLE),
        (False, False, False, LIVE),
        (True, True, True, LIVE),
    ],
)
def test_health_follows_the_drives(node, can_read, can_write, draining, well):
    node.can_read, node.can_write, node.health.draining = can_read, can_write, draining
    for path in LIVE + READY + READABLE:
        for method in ("GET", "HEAD"):
            for shown in (path, path + "/"):
                reply = node.ask(method, shown)
                assert reply.status == (200 if path in well else 503), path
                assert reply.headers["content-type"].startswith("text/plain")


def test_metrics_are_shown_in_prometheus_format(node):
    node.counter.labels("a").inc(3)
    reply = node.ask("GET", "/rustfs/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    samples = {
        (sample.name, sample.labels.get("kind")): sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }
    assert samples["rustfs_tests_total", "a"] == 3.0
    node.counter.labels("a").inc()
    assert b'rustfs_tests_total{kind="a"} 4.0' in node.ask("GET", "/rustfs/metrics").body
    assert node.ask("HEAD", "/rustfs/metrics").body == b""


def test_facts_are_for_who_signs(node):
    with facing() as client:
        signed = client.signed(request_of("GET", "/rustfs/admin/v1/info", {"host": HOST}))
    reply = node.send(signed)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert json.loads(reply.body) == FACTS
    assert node.asked == 1


def forged(request):
    request.path += "/"
    return request


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda client, request: request, "AccessDenied"),
        (lambda client, request: forged(client.signed(request)), "SignatureDoesNotMatch"),
        (lambda client, request: client.signed(request), "RequestTimeTooSkewed"),
    ],
    ids=["unsigned", "altered", "old"],
)
def test_facts_are_for_nobody_else(node, make, code):
    with facing() as client:
        if code == "RequestTimeTooSkewed":
            client.clock.milliseconds -= 3_600_000
        request = make(client, request_of("GET", "/rustfs/admin/v1/info", {"host": HOST}))
    with pytest.raises(S3Error) as raised:
        node.send(request)
    assert raised.value.code == code
    assert node.asked == 0


@pytest.mark.parametrize(
    "path",
    [
        "/rustfs",
        "/rustfs/",
        "/rustfs/admin/v1/secrets",
        "/rustfs/admin/v1/",
        "/minio/metrics",
        "/minio/x",
        "/rustfs/info",
    ],
)
def test_there_is_nothing_else(node, path):
    for method in ("GET", "PUT", "DELETE"):
        assert node.ask(method, path).status == 404


@pytest.mark.parametrize("path", [*LIVE, "/rustfs/metrics", "/rustfs/admin/v1/info"])
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "OPTIONS"])
def test_nothing_is_changed_here(node, path, method):
    reply = node.ask(method, path)
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
    assert node.asked == 0


def test_a_scrape_does_not_hold_up_the_loop(node):
    turns = 0

    def slow():
        time.sleep(0.2)
        return node.registry

    async def main():
        nonlocal turns
        node.face._registry = slow
        request = request_of("GET", "/rustfs/metrics", {"host": HOST})
        scrape = asyncio.create_task(node.face.handle(request))
        while not scrape.done():
            await asyncio.sleep(0.001)
            turns += 1
        assert (await scrape).status == 200

    asyncio.run(main())
    assert turns > 3


@pytest.mark.parametrize(
    ("path", "reserved"),
    [
        ("/rustfs", True),
        ("/rustfs/health/live", True),
        ("/minio/health/live", True),
        ("/", False),
        ("/rustfs-data/key", False),
        ("/bucket/rustfs/health/live", False),
        ("//rustfs", False),
    ],
)
def test_paths_that_are_no_buckets(path, reserved):
    assert is_reserved(path) is reserved

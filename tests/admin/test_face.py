"""Health, metrics and facts: open to load balancers and Prometheus what is theirs, and nothing else."""

import asyncio
import json
import time

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from rustfs.admin.face import AdminFace, BadParameter, Health, Operations, is_reserved
from rustfs.core.errors import QuorumLost
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
        self.operations = Operations(
            facts={"info": self.info},
            actions={"heal/stop": self.act},
            followed={"trace": self.stream},
            started={"heal/start": self.stream},
        )
        self.face = AdminFace(self.health, lambda: self.registry, authenticator.verify, self.operations)

    async def act(self, query):
        self.asked += 1
        if "wrong" in query:
            raise BadParameter("that is wrong")
        if "fails" in query:
            raise QuorumLost("too few drives")
        return dict(query)

    async def stream(self, query):
        self.asked += 1
        self.streaming = True
        try:
            if "wrong" in query:
                raise BadParameter("that is wrong")
            yield dict(query)
            yield None
            yield {"done": True}
        finally:
            self.streaming = False

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


def signed(method, target):
    with facing() as client:
        return client.signed(request_of(method, target, {"host": HOST}))


STREAMS = [("GET", "/rustfs/admin/v1/trace"), ("POST", "/rustfs/admin/v1/heal/start")]


@pytest.mark.parametrize(("method", "path"), STREAMS)
def test_streams_are_lines_and_an_empty_one_says_that_there_is_nothing_to_say(node, method, path):
    request = signed(method, f"{path}?a=%C3%A9%2F&b=")

    async def main():
        response = await node.face.handle(request)
        lines = [line async for line in response.body]
        await response.body.aclose()
        return response, lines

    response, lines = asyncio.run(main())
    assert (response.status, dict(response.headers)["content-type"]) == (200, "application/x-ndjson")
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    assert [json.loads(line) if line != b"\n" else None for line in lines] == [
        {"a": "é/", "b": ""},
        None,
        {"done": True},
    ]


@pytest.mark.parametrize(("method", "path"), STREAMS)
@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_stream_ends_with_its_reader(node, method, path, taken):
    request = signed(method, path)

    async def main():
        response = await node.face.handle(request)
        assert node.streaming
        assert node.face.streams_open == 1
        for _ in range(taken):
            await anext(response.body)
        await response.body.aclose()
        assert not node.streaming
        assert node.face.streams_open == 0

    asyncio.run(main())


def test_actions_are_posted_with_their_parameters(node):
    reply = node.send(signed("POST", "/rustfs/admin/v1/heal/stop?run=a%26b"))
    assert (reply.status, json.loads(reply.body)) == (200, {"run": "a&b"})


@pytest.mark.parametrize(
    ("method", "target", "status", "sentence"),
    [
        ("POST", "/rustfs/admin/v1/heal/stop?wrong=", 400, "that is wrong"),
        ("POST", "/rustfs/admin/v1/heal/stop?fails=", 503, "too few drives"),
        ("POST", "/rustfs/admin/v1/heal/start?wrong=", 400, "that is wrong"),
        ("GET", "/rustfs/admin/v1/trace?wrong=", 400, "that is wrong"),
    ],
)
def test_what_goes_wrong_before_the_first_line_is_one_sentence(node, method, target, status, sentence):
    reply = node.send(signed(method, target))
    assert (reply.status, json.loads(reply.body)) == (status, {"error": sentence})
    assert node.face.streams_open == 0


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/rustfs/admin/v1/heal/start", "POST"),
        ("GET", "/rustfs/admin/v1/heal/stop", "POST"),
        ("HEAD", "/rustfs/admin/v1/trace", "GET"),
        ("POST", "/rustfs/admin/v1/trace", "GET"),
    ],
)
def test_what_changes_something_is_posted_and_what_does_not_is_got(node, method, path, allowed):
    reply = node.send(signed(method, path))
    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    assert node.asked == 0


@pytest.mark.parametrize(("method", "path"), [*STREAMS, ("POST", "/rustfs/admin/v1/heal/stop")])
def test_nothing_is_done_for_who_does_not_sign(node, method, path):
    with pytest.raises(S3Error):
        node.ask(method, path)
    with pytest.raises(S3Error):
        node.send(forged_query(signed(method, f"{path}?run=a")))
    assert node.asked == 0


def test_while_the_node_starts_operators_are_told_so(node):
    node.face._operations = None
    reply = node.ask("GET", "/rustfs/admin/v1/info")
    assert (reply.status, json.loads(reply.body)) == (503, {"error": "the node is starting"})
    assert node.ask("GET", "/rustfs/health/live").status == 200


def forged_query(request):
    request.query = "run=b"
    return request


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

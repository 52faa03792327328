"""Which of a node's two faces a request is for."""

import pytest

from rustfs.node.worker import is_operational
from tests.s3.signing import request_of

DOMAINS = ("s3.example.com",)


@pytest.mark.parametrize(
    ("host", "path", "domains", "operational"),
    [
        ("127.0.0.1:9000", "/rustfs/metrics", (), True),
        ("127.0.0.1:9000", "/minio/health/live", DOMAINS, True),
        ("s3.example.com", "/rustfs/metrics", DOMAINS, True),
        ("bucket.s3.example.com", "/rustfs/metrics", DOMAINS, False),  # an object of that bucket
        ("bucket.s3.example.com:9000", "/minio/x", DOMAINS, False),
        ("bucket.s3.example.com", "/rustfs/metrics", (), True),
        ("127.0.0.1:9000", "/bucket/rustfs/metrics", (), False),
        ("127.0.0.1:9000", "/", (), False),
    ],
)
def test_reserved_paths_are_those_of_the_service_alone(host, path, domains, operational):
    assert is_operational(request_of("GET", path, {"host": host}), domains) is operational

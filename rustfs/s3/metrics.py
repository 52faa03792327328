"""What the S3 face counts, for Prometheus.

Every request costs a handful of increments, so the labelled children are looked up once per operation and status and
kept: all of it together stays below ten microseconds, also in prometheus_client's multiprocess mode, where every
increment is a store into a shared file.

Names: https://prometheus.io/docs/practices/naming/.
"""

from dataclasses import dataclass

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

_LATENCY_BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


@dataclass(slots=True)
class _OperationMetrics:
    """The children of one operation."""

    latency: Histogram
    first_byte: Histogram
    received: Counter
    sent: Counter
    by_status: dict[int, Counter]


class FaceMetrics:
    """Counters of one process. One instance per registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._requests = Counter(
            "rustfs_s3_requests", "S3 requests answered.", ("operation", "status"), registry=registry
        )
        self._latency = Histogram(
            "rustfs_s3_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ("operation",),
            registry=registry,
            buckets=_LATENCY_BUCKETS_SECONDS,
        )
        self._first_byte = Histogram(
            "rustfs_s3_time_to_first_byte_seconds",
            "Time from a request's head to the head of its answer.",
            ("operation",),
            registry=registry,
            buckets=_LATENCY_BUCKETS_SECONDS,
        )
        self._received = Counter(
            "rustfs_s3_received_bytes", "Bytes of request bodies, decoded.", ("operation",), registry=registry
        )
        self._sent = Counter("rustfs_s3_sent_bytes", "Bytes of response bodies.", ("operation",), registry=registry)
        in_flight = Gauge(
            "rustfs_s3_requests_in_flight", "Requests being served.", registry=registry, multiprocess_mode="livesum"
        )
        self.started = in_flight.inc
        self.ended = in_flight.dec
        self._by_operation: dict[str, _OperationMetrics] = {}

    def _of(self, operation: str) -> _OperationMetrics:
        known = self._by_operation.get(operation)
        if known is None:
            known = self._by_operation[operation] = _OperationMetrics(
                self._latency.labels(operation),
                self._first_byte.labels(operation),
                self._received.labels(operation),
                self._sent.labels(operation),
                {},
            )
        return known

    def answered(self, operation: str, status: int, seconds: float, received_bytes: int) -> None:
        """Note the head of an answer, `seconds` after the request's head."""
        metrics = self._of(operation)
        counter = metrics.by_status.get(status)
        if counter is None:
            counter = metrics.by_status[status] = self._requests.labels(operation, str(status))
        counter.inc()
        metrics.first_byte.observe(seconds)
        if received_bytes:
            metrics.received.inc(received_bytes)

    def finished(self, operation: str, seconds: float, sent_bytes: int) -> None:
        """Note the end of an answer, complete or not; closes what `started` opened."""
        metrics = self._of(operation)
        metrics.latency.observe(seconds)
        if sent_bytes:
            metrics.sent.inc(sent_bytes)
        self.ended()

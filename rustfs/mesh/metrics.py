"""What the mesh counts, for Prometheus. Labels name the peer as the volumes do."""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

_BATCH_CALLS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class _Families:
    """The metrics by name; made when the first peer is."""

    def __init__(self) -> None:
        peer = ("peer",)
        self.online = Gauge(
            "rustfs_peer_online", "1 while the peer answers (all workers).", peer, multiprocess_mode="livemin"
        )
        self.round_trip = Histogram(
            "rustfs_peer_round_trip_seconds", "Time of a ping to the peer and back.", peer, buckets=_SECONDS
        )
        self.calls = Counter("rustfs_peer_calls", "Calls to the peer's drives.", ("peer", "kind"))
        self.errors = Counter("rustfs_peer_call_errors", "Calls to the peer's drives that failed.", ("peer", "kind"))
        self.batch = Histogram("rustfs_peer_batch_calls", "Calls that travelled together.", peer, buckets=_BATCH_CALLS)
        self.sent = Counter("rustfs_peer_bytes_sent", "Bytes of shards and batches sent.", peer)
        self.received = Counter("rustfs_peer_bytes_received", "Bytes of shards and batches received.", peer)
        self.reconnects = Counter("rustfs_peer_reconnects", "Connections to the peer that were made anew.", peer)


@cache
def _families() -> _Families:
    return _Families()


class PeerMeters:
    """The meters of one peer; the children are looked up once."""

    def __init__(self, peer: str) -> None:
        families = _families()
        self._peer = peer
        self.online = families.online.labels(peer)
        self.round_trip = families.round_trip.labels(peer)
        self.batch = families.batch.labels(peer)
        self.sent = families.sent.labels(peer)
        self.received = families.received.labels(peer)
        self.reconnects = families.reconnects.labels(peer)
        self._calls: dict[str, Counter] = {}
        self._errors: dict[str, Counter] = {}

    def called(self, kind: str) -> None:
        """Count a call."""
        child = self._calls.get(kind)
        if child is None:
            child = self._calls[kind] = _families().calls.labels(self._peer, kind)
        child.inc()

    def failed(self, kind: str) -> None:
        """Count a call that failed."""
        child = self._errors.get(kind)
        if child is None:
            child = self._errors[kind] = _families().errors.labels(self._peer, kind)
        child.inc()

"""What a drive counts, for Prometheus."""

from functools import cache

from prometheus_client import Counter, Histogram

_COMMIT_CALLS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


@cache
def _families() -> tuple[Histogram, Histogram, Histogram, Counter, Counter, Counter]:
    return (
        Histogram("rustfs_drive_commit_calls", "Calls per SQLite group commit.", ("drive",), buckets=_COMMIT_CALLS),
        Histogram(
            "rustfs_drive_commit_seconds",
            "Time of a group commit, waiting for the write turn included.",
            ("drive",),
            buckets=_SECONDS,
        ),
        Histogram("rustfs_drive_read_seconds", "Time of a shard file read.", ("drive",), buckets=_SECONDS),
        Counter("rustfs_drive_failures", "Times that the drive was taken offline.", ("drive",)),
        Counter("rustfs_drive_reclaimed_shards", "Shard files freed by the reclaim queue.", ("drive",)),
        Counter("rustfs_drive_verified_bytes", "Bytes of shards that were read to be checked.", ("drive",)),
    )


class DriveMeters:
    """The meters of one drive."""

    __slots__ = ("_calls", "_commits", "_reads", "failures", "reclaimed", "verified")

    def __init__(self, endpoint: str) -> None:
        calls, commits, reads, failures, reclaimed, verified = _families()
        self._calls = calls.labels(endpoint)
        self._commits = commits.labels(endpoint)
        self._reads = reads.labels(endpoint)
        self.failures = failures.labels(endpoint)
        self.reclaimed = reclaimed.labels(endpoint)
        self.verified = verified.labels(endpoint)

    def committed(self, calls: int, seconds: float) -> None:
        """Note a group commit."""
        self._calls.observe(calls)
        self._commits.observe(seconds)

    def read(self, seconds: float) -> None:
        """Note a shard read."""
        self._reads.observe(seconds)

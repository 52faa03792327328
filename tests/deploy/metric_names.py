"""The metrics that a node exports, with their labels, as its code defines them."""

import importlib
import pkgutil
from collections.abc import Iterable

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

import rustfs
from rustfs.s3.metrics import FaceMetrics

PEER = frozenset({"peer"})
# Names that the cluster's code promises, in their exported form, until it is there. What it defines takes precedence.
PROMISED: dict[str, frozenset[str]] = {
    "rustfs_peer_online": PEER,
    "rustfs_peer_round_trip_seconds_bucket": PEER | {"le"},
    "rustfs_peer_round_trip_seconds_sum": PEER,
    "rustfs_peer_round_trip_seconds_count": PEER,
    "rustfs_peer_calls_total": PEER | {"kind"},
    "rustfs_peer_call_errors_total": PEER | {"kind"},
    "rustfs_peer_batch_calls_bucket": PEER | {"le"},
    "rustfs_peer_batch_calls_sum": PEER,
    "rustfs_peer_batch_calls_count": PEER,
    "rustfs_peer_bytes_sent_total": PEER,
    "rustfs_peer_bytes_received_total": PEER,
    "rustfs_peer_reconnects_total": PEER,
    "rustfs_cluster_sets_without_write_quorum": frozenset(),
    "rustfs_locks_held": frozenset(),
}
# What Prometheus adds by itself: labels of every target, and series of its own.
TARGET_LABELS = frozenset({"job", "instance"})
OF_PROMETHEUS = {"up": frozenset[str](), "ALERTS": frozenset({"alertname", "alertstate"})}


def exported() -> dict[str, frozenset[str]]:
    """Every sample name that the code can export, with the labels of the series, those of the target left out."""
    for module in pkgutil.walk_packages(rustfs.__path__, "rustfs."):
        if module.name.rpartition(".")[2].endswith("metrics"):
            loaded = importlib.import_module(module.name)
            # Some make their metrics when the first drive or peer appears.
            getattr(loaded, "_families", lambda: None)()
    face = CollectorRegistry()
    FaceMetrics(face)
    names: dict[str, frozenset[str]] = {}
    for registry in (REGISTRY, face):
        for collector in list(registry._collector_to_names):
            if isinstance(collector, MetricWrapperBase) and collector._name.startswith("rustfs_"):
                names.update(_samples(collector))
    return names


def _samples(metric: MetricWrapperBase) -> Iterable[tuple[str, frozenset[str]]]:
    labels = frozenset(metric._labelnames)
    name = metric._name
    if metric._type == "counter":
        yield f"{name}_total", labels
    elif metric._type == "histogram":
        yield f"{name}_bucket", labels | {"le"}
        yield f"{name}_sum", labels
        yield f"{name}_count", labels
    else:  # a gauge of one series a worker carries the worker's process id
        yield name, labels | ({"pid"} if getattr(metric, "_multiprocess_mode", "").endswith("all") else frozenset())

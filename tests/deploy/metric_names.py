"""The metrics that a node exports, with their labels, as its code defines them."""

import importlib
import pkgutil
from collections.abc import Iterable

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

import rustfs
from rustfs.s3.metrics import FaceMetrics

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

"""Figures of this process, for Prometheus; in multiprocess mode prometheus_client has none of its own."""

import os
import resource
import time

from prometheus_client import REGISTRY as DEFAULT_REGISTRY
from prometheus_client import CollectorRegistry, Gauge, multiprocess

_RESIDENT = Gauge("rustfs_process_resident_memory_bytes", "Resident memory, by worker.", multiprocess_mode="liveall")
_CPU = Gauge("rustfs_process_cpu_seconds", "CPU time spent, by worker.", multiprocess_mode="liveall")
_STARTED = Gauge("rustfs_process_start_time_seconds", "When the worker started.", multiprocess_mode="liveall")
_FILES = Gauge("rustfs_process_open_fds", "Open file descriptors, by worker.", multiprocess_mode="liveall")
_CONNECTIONS = Gauge("rustfs_http_connections", "Open client connections.", multiprocess_mode="livesum")

_started_seconds = time.time()
_page_bytes = os.sysconf("SC_PAGE_SIZE")


def update(connections: int) -> None:
    """Take this process's figures. Reads /proc; call it off the event loop."""
    _RESIDENT.set(resident_bytes())
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _CPU.set(usage.ru_utime + usage.ru_stime)
    _STARTED.set(_started_seconds)
    _FILES.set(len(os.listdir("/proc/self/fd")))
    _CONNECTIONS.set(connections)


def resident_bytes() -> int:
    """Memory that this process occupies. Reads /proc."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * _page_bytes


def registry() -> CollectorRegistry:
    """What /rustfs/metrics shows: this process's metrics, or those of all workers of the node."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return DEFAULT_REGISTRY
    aggregated = CollectorRegistry()
    multiprocess.MultiProcessCollector(aggregated)  # type: ignore[no-untyped-call] # published without types
    return aggregated

"""What the background services show, for Prometheus: the state of every drive, and the progress of healing."""

from prometheus_client import Counter, Gauge

from rustfs.core.drivetypes import DriveInfo, DriveState
from rustfs.services.progress import HealProgress


def _gauge(name: str, text: str, label: str) -> Gauge:
    return Gauge(name, text, (label,), multiprocess_mode="mostrecent")


_ONLINE = _gauge("rustfs_drive_online", "1 while the drive serves.", "drive")
_HEALING = _gauge("rustfs_drive_healing", "1 while the drive is being rebuilt.", "drive")
_TOTAL = _gauge("rustfs_drive_total_bytes", "Size of the drive's file system.", "drive")
_FREE = _gauge("rustfs_drive_free_bytes", "Free space of the drive's file system.", "drive")
_VERSIONS = _gauge("rustfs_drive_versions", "Versions in the drive's metadata store.", "drive")
_REPAIRS = _gauge("rustfs_drive_repair_queue", "Keys waiting to be repaired.", "drive")
_RECLAIMS = _gauge("rustfs_drive_reclaim_queue", "Shard files waiting to be freed.", "drive")
_CHECKED = _gauge("rustfs_heal_keys_checked", "Keys compared in the current or last pass.", "set")
_HEAL_TOTAL = _gauge("rustfs_heal_keys_expected", "Keys to be compared in the current or last pass, estimated.", "set")
_ACTIVE = _gauge("rustfs_heal_active", "1 while a set is being compared and healed.", "set")

RANGES = Counter("rustfs_compare_ranges", "Ranges of keys whose digests were compared over the drives of a set.")
RANGES_DIFFERING = Counter("rustfs_compare_ranges_differing", "Those where drives did not hold the same.")
KEYS_LOOKED_AT = Counter("rustfs_compare_keys", "Keys looked at one by one because something of their range differed.")


def show_drive(info: DriveInfo) -> None:
    """Set a drive's gauges."""
    drive = info.endpoint
    _ONLINE.labels(drive).set(info.state is DriveState.ONLINE)
    _HEALING.labels(drive).set(info.healing)
    _TOTAL.labels(drive).set(info.total_bytes)
    _FREE.labels(drive).set(info.free_bytes)
    _VERSIONS.labels(drive).set(info.versions)
    _REPAIRS.labels(drive).set(info.repair_queue)
    _RECLAIMS.labels(drive).set(info.reclaim_queue)


def show_progress(progress: HealProgress) -> None:
    """Set a set's gauges."""
    name = str(progress.set)
    _CHECKED.labels(name).set(progress.keys_checked)
    _HEAL_TOTAL.labels(name).set(progress.keys_total)
    _ACTIVE.labels(name).set(progress.state == "healing")

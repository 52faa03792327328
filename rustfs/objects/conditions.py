"""Whether a write's preconditions hold for the current version: pure, by S3's rules for conditional writes.

Source: Amazon S3 User Guide, "Conditional requests"; API Reference, DeleteObject (If-Match, x-amz-if-match-*).
"""

from rustfs.core.errors import NoSuchKey, PreconditionFailed
from rustfs.objects.types import ObjectInfo, WriteCondition


def check_condition(condition: WriteCondition, current: ObjectInfo | None) -> None:
    """Raises PreconditionFailed, or NoSuchKey where something was to match and there is nothing."""
    if condition.if_none_match and current is not None and _names(condition.if_none_match, current.etag):
        raise PreconditionFailed("If-None-Match")
    needs_version = (
        condition.if_match or condition.if_match_size_bytes is not None or condition.if_match_modified_ms is not None
    )
    if not needs_version:
        return
    if current is None:
        raise NoSuchKey
    if condition.if_match and not _names(condition.if_match, current.etag):
        raise PreconditionFailed("If-Match")
    if condition.if_match_size_bytes is not None and condition.if_match_size_bytes != current.size_bytes:
        raise PreconditionFailed("x-amz-if-match-size")
    if (
        condition.if_match_modified_ms is not None
        and condition.if_match_modified_ms // 1000 != current.modified_ms // 1000
    ):
        raise PreconditionFailed("x-amz-if-match-last-modified-time")


def _names(etags: tuple[str, ...], etag: str) -> bool:
    return "*" in etags or etag in etags

"""The one hierarchy of errors below the faces.

Drives raise DriveError; the object layer turns what its drives say into ObjectError, which is all that a face has to
map (once, in one table) to the codes of its protocol. An error carries what the sentence for the client needs.
"""


class RustFSError(Exception):
    """Base of every error that RustFS raises on purpose."""


class ConfigurationError(RustFSError):
    """A setting is wrong; the message is one sentence for the operator, exit code 2."""


class DriveError(RustFSError):
    """A drive could not do what it was asked."""


class DriveOffline(DriveError):
    """The drive is not serving: absent, foreign, read-only, failing, or out of time."""


class DeadlinePassed(DriveOffline):
    """The drive did not get to the call in time; it may, but need not, have had an effect."""


class DriveFull(DriveError):
    """The drive has no room for the bytes; nothing was written."""


class ShardMissing(DriveError):
    """The drive holds no shard file with this data id."""


class ShardCorrupt(DriveError):
    """A shard's bytes do not match their checksum, or end too early."""


class ObjectError(RustFSError):
    """Base of what the object layer raises to a face."""


class NoSuchBucket(ObjectError):
    """The bucket does not exist."""


class BucketExists(ObjectError):
    """The bucket exists already."""


class BucketNotEmpty(ObjectError):
    """The bucket still holds objects."""


class NoSuchKey(ObjectError):
    """No object under this key."""


class NoSuchUpload(ObjectError):
    """The multipart upload does not exist: never begun, aborted, completed, or expired."""


class InvalidPart(ObjectError):
    """A part named by CompleteMultipartUpload was not uploaded, or its ETag or checksum differs."""


class InvalidPartOrder(ObjectError):
    """The parts named by CompleteMultipartUpload do not ascend."""


class PartTooSmall(ObjectError):
    """A part other than the last is under 5 MiB."""

    def __init__(self, number: int, size_bytes: int, size_bytes_min: int, etag: str) -> None:
        super().__init__(f"part {number} has {size_bytes} bytes, fewer than {size_bytes_min}")
        self.number = number
        self.size_bytes = size_bytes
        self.size_bytes_min = size_bytes_min
        self.etag = etag


class ChecksumMismatch(ObjectError):
    """The checksum or size claimed for a completed upload is not that of its parts."""

    def __init__(self, claim: str) -> None:
        super().__init__(f"{claim} does not match the parts")
        self.claim = claim


class EntityTooLarge(ObjectError):
    """The object would exceed the largest size."""


class PreconditionFailed(ObjectError):
    """A write's If-Match or If-None-Match does not hold for the current version."""

    def __init__(self, condition: str) -> None:
        super().__init__(f"{condition} does not hold")
        self.condition = condition


class ConditionalConflict(ObjectError):
    """Concurrent conditional writes kept this one from being decided in time; nothing of it was written."""


class QuorumLost(ObjectError):
    """Too few drives of the set answered in time; of a write, the outcome is unknown."""


class StorageFull(ObjectError):
    """Too many drives of the set have no room; nothing was written."""


class LockError(RustFSError):
    """Base of what locks raise."""


class LockTimeout(LockError):
    """The lock was not to be had in time; the message says who holds it, or how many nodes did not answer."""


class LockUnavailable(LockError):
    """A lock table could not answer: overloaded, failing, or its node is out of reach."""


class LockRequestInvalid(LockError):
    """A lock request breaks the limits of rustfs.mesh.locks.rules."""

"""The one table from the object layer's errors to S3's codes."""

from rustfs.core import errors
from rustfs.s3.errors import S3Error

_CODES: dict[type[errors.ObjectError], str] = {
    errors.NoSuchBucket: "NoSuchBucket",
    errors.BucketExists: "BucketAlreadyOwnedByYou",
    errors.BucketNotEmpty: "BucketNotEmpty",
    errors.NoSuchKey: "NoSuchKey",
    errors.NoSuchUpload: "NoSuchUpload",
    errors.InvalidPart: "InvalidPart",
    errors.InvalidPartOrder: "InvalidPartOrder",
    errors.EntityTooLarge: "EntityTooLarge",
    errors.ConditionalConflict: "ConditionalRequestConflict",
    errors.StorageFull: "XMinioStorageFull",
}


def s3_error(error: errors.ObjectError) -> S3Error:
    """The S3 error for what the object layer raised."""
    code = _CODES.get(type(error))
    if code is not None:
        return S3Error(code)
    if isinstance(error, errors.PreconditionFailed):
        return S3Error("PreconditionFailed", details=(("Condition", error.condition),))
    if isinstance(error, errors.PartTooSmall):
        return S3Error(
            "EntityTooSmall",
            details=(
                ("ProposedSize", str(error.size_bytes)),
                ("MinSizeAllowed", str(error.size_bytes_min)),
                ("PartNumber", str(error.number)),
                ("ETag", error.etag),
            ),
        )
    if isinstance(error, errors.ChecksumMismatch):
        if error.claim == "x-amz-mp-object-size":
            return S3Error("InvalidRequest", "The object size that you specified did not match the size of the parts.")
        return S3Error("BadDigest", f"{error.claim} that you specified did not match the calculated checksum.")
    if isinstance(error, errors.QuorumLost):
        return S3Error(
            "ServiceUnavailable",
            "Too few drives are in reach to serve this safely. Please retry; of a write, the outcome is unknown.",
            headers=(("retry-after", "2"),),
        )
    return S3Error("InternalError")

"""Which operation a request asks for: a table, and nothing that guesses.

A request that names a sub-resource without an entry for its method is NotImplemented, never taken for the plain
operation: a PUT of a bucket policy must not create a bucket.
"""

from typing import NamedTuple

from rustfs.s3.call import Operation
from rustfs.s3.errors import S3Error
from rustfs.s3.operations import attributes, buckets, copying, listing, multipart, objects, unset


class Route(NamedTuple):
    """An operation and its name in the API."""

    name: str
    operation: Operation


# Query parameters that name a sub-resource (API Reference); all others only qualify an operation.
SUBRESOURCES = frozenset(
    """
    abac accelerate acl analytics annotation attributes cors delete encryption intelligent-tiering inventory legal-hold
    lifecycle location logging metadataAnnotationTable metadataConfiguration metadataInventoryTable
    metadataJournalTable metadataTable metrics notification object-lock ownershipControls policy policyStatus
    publicAccessBlock rename renameObject replication requestPayment restore retention select session tagging torrent
    uploadId uploads versioning versions website
    """.split()  # noqa: SIM905 -- a list of forty quoted words is harder to read
)

_SERVICE: dict[tuple[str, str], Route] = {
    ("GET", ""): Route("ListBuckets", buckets.list_buckets),
}

_BUCKET: dict[tuple[str, str], Route] = {
    ("GET", ""): Route("ListObjects", listing.list_objects),
    ("PUT", ""): Route("CreateBucket", buckets.create_bucket),
    ("HEAD", ""): Route("HeadBucket", buckets.head_bucket),
    ("DELETE", ""): Route("DeleteBucket", buckets.delete_bucket),
    ("POST", "delete"): Route("DeleteObjects", objects.delete_objects),
    ("GET", "location"): Route("GetBucketLocation", buckets.get_bucket_location),
    ("GET", "uploads"): Route("ListMultipartUploads", multipart.list_multipart_uploads),
    ("GET", "versions"): Route("ListObjectVersions", listing.list_object_versions),
    ("GET", "acl"): Route("GetBucketAcl", unset.get_acl),
    ("PUT", "acl"): Route("PutBucketAcl", unset.put_acl),
    ("GET", "versioning"): Route("GetBucketVersioning", unset.answering("VersioningConfiguration")),
    ("GET", "logging"): Route("GetBucketLogging", unset.answering("BucketLoggingStatus")),
    ("GET", "accelerate"): Route("GetBucketAccelerateConfiguration", unset.answering("AccelerateConfiguration")),
    ("GET", "notification"): Route("GetBucketNotificationConfiguration", unset.answering("NotificationConfiguration")),
    ("GET", "requestPayment"): Route(
        "GetBucketRequestPayment", unset.answering("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>")
    ),
    ("GET", "policyStatus"): Route(
        "GetBucketPolicyStatus", unset.answering("PolicyStatus", "<IsPublic>false</IsPublic>")
    ),
    ("GET", "policy"): Route("GetBucketPolicy", unset.refusing("NoSuchBucketPolicy")),
    ("GET", "cors"): Route("GetBucketCors", unset.refusing("NoSuchCORSConfiguration")),
    ("GET", "lifecycle"): Route("GetBucketLifecycleConfiguration", unset.refusing("NoSuchLifecycleConfiguration")),
    ("GET", "tagging"): Route("GetBucketTagging", unset.refusing("NoSuchTagSet")),
    ("GET", "website"): Route("GetBucketWebsite", unset.refusing("NoSuchWebsiteConfiguration")),
    ("GET", "encryption"): Route(
        "GetBucketEncryption", unset.refusing("ServerSideEncryptionConfigurationNotFoundError")
    ),
    ("GET", "object-lock"): Route("GetObjectLockConfiguration", unset.refusing("ObjectLockConfigurationNotFoundError")),
    ("GET", "replication"): Route("GetBucketReplication", unset.refusing("ReplicationConfigurationNotFoundError")),
    ("GET", "publicAccessBlock"): Route("GetPublicAccessBlock", unset.refusing("NoSuchPublicAccessBlockConfiguration")),
    ("GET", "ownershipControls"): Route(
        "GetBucketOwnershipControls",
        unset.answering("OwnershipControls", "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>"),
    ),
    ("GET", "analytics"): Route(
        "ListBucketAnalyticsConfigurations", unset.listing_none("ListBucketAnalyticsConfigurationResult")
    ),
    ("GET", "intelligent-tiering"): Route(
        "ListBucketIntelligentTieringConfigurations",
        unset.listing_none("ListBucketIntelligentTieringConfigurationsOutput"),
    ),
    ("GET", "inventory"): Route(
        "ListBucketInventoryConfigurations", unset.listing_none("ListInventoryConfigurationsResult")
    ),
    ("GET", "metrics"): Route("ListBucketMetricsConfigurations", unset.listing_none("ListMetricsConfigurationsResult")),
}
# Settings of which a bucket has many, each with an id: the table lists them, these look for one.
_BY_ID: dict[str, Route] = {
    "analytics": Route("GetBucketAnalyticsConfiguration", unset.refusing("NoSuchConfiguration")),
    "intelligent-tiering": Route("GetBucketIntelligentTieringConfiguration", unset.refusing("NoSuchConfiguration")),
    "inventory": Route("GetBucketInventoryConfiguration", unset.refusing("NoSuchConfiguration")),
    "metrics": Route("GetBucketMetricsConfiguration", unset.refusing("NoSuchConfiguration")),
}
_LIST_V2 = Route("ListObjectsV2", listing.list_objects_v2)

_OBJECT: dict[tuple[str, str], Route] = {
    ("GET", ""): Route("GetObject", objects.get_object),
    ("HEAD", ""): Route("HeadObject", objects.head_object),
    ("PUT", ""): Route("PutObject", objects.put_object),
    ("DELETE", ""): Route("DeleteObject", objects.delete_object),
    ("POST", "uploads"): Route("CreateMultipartUpload", multipart.create_multipart_upload),
    ("PUT", "uploadId"): Route("UploadPart", multipart.upload_part),
    ("POST", "uploadId"): Route("CompleteMultipartUpload", multipart.complete_multipart_upload),
    ("DELETE", "uploadId"): Route("AbortMultipartUpload", multipart.abort_multipart_upload),
    ("GET", "uploadId"): Route("ListParts", multipart.list_parts),
    ("GET", "attributes"): Route("GetObjectAttributes", attributes.get_object_attributes),
    ("GET", "acl"): Route("GetObjectAcl", unset.get_acl),
    ("PUT", "acl"): Route("PutObjectAcl", unset.put_acl),
    ("GET", "tagging"): Route("GetObjectTagging", unset.get_object_tagging),
}
_COPY = Route("CopyObject", copying.copy_object)
_PART_COPY = Route("UploadPartCopy", copying.upload_part_copy)


def route(method: str, bucket: str, key: str, query: dict[str, str], *, copies: bool) -> Route:
    """The operation asked for; `copies` says whether there is an x-amz-copy-source header.

    Raises S3Error NotImplemented, MethodNotAllowed, InvalidArgument, NoSuchVersion.
    """
    table = _OBJECT if key else _BUCKET if bucket else _SERVICE
    named = [name for name in query if name in SUBRESOURCES]
    if len(named) > 1:
        raise S3Error("InvalidArgument", f"Conflicting query string parameters: {', '.join(sorted(named))}")
    resource = named[0] if named else ""
    found = table.get((method, resource))
    if found is None:
        if resource or method in ("POST", "OPTIONS"):
            raise S3Error("NotImplemented")
        raise S3Error("MethodNotAllowed", details=(("Method", method), ("ResourceType", _kind(bucket, key))))
    version = query.get("versionId")
    if version is not None and version != "null" and key:
        if not version:
            raise S3Error("InvalidArgument", "Version id cannot be the empty string")
        raise S3Error("NoSuchVersion")
    if "id" in query and method == "GET" and resource in _BY_ID:
        return _BY_ID[resource]
    if found.name == "ListObjects" and query.get("list-type") is not None:
        if query["list-type"] != "2":
            raise S3Error("InvalidArgument", "Invalid List Type specified in Request")
        return _LIST_V2
    if found.name == "PutObject":
        if "partNumber" in query:  # meant as a part: it must not become, or replace, the whole object
            raise S3Error("InvalidArgument", "A part number is for uploads of parts: uploadId is missing")
        if copies:
            return _COPY
    if copies and found.name == "UploadPart":
        return _PART_COPY
    return found


def _kind(bucket: str, key: str) -> str:
    return "OBJECT" if key else "BUCKET" if bucket else "SERVICE"

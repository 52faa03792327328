"""ListBuckets, CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation."""

import base64

from rustfs.core.errors import BucketExists
from rustfs.http.messages import Response
from rustfs.s3.address import check_new_bucket_name
from rustfs.s3.call import Call
from rustfs.s3.errors import S3Error
from rustfs.s3.xmltext import document, element, iso_time, parse

DEFAULT_REGION = "us-east-1"
BUCKETS_MAX = 10_000


async def list_buckets(call: Call) -> Response:
    """ListBuckets."""
    limit = call.number("max-buckets", BUCKETS_MAX, 1, BUCKETS_MAX)
    _check_region(call)
    prefix = call.query.get("prefix", "")
    page = await call.layer.list_buckets(prefix, _after(call.query.get("continuation-token", "")), limit)
    owner = call.owner
    parts = ["<Buckets>"]
    parts += [
        f"<Bucket>{element('Name', bucket.name)}{element('CreationDate', iso_time(bucket.created_ms))}"
        f"{element('BucketRegion', call.environment.region)}</Bucket>"
        for bucket in page.buckets
    ]
    parts.append("</Buckets>")
    parts.append(f"<Owner>{element('ID', owner.owner_id)}{element('DisplayName', owner.display_name)}</Owner>")
    if prefix:
        parts.append(element("Prefix", prefix))
    if page.next_after is not None:
        parts.append(element("ContinuationToken", base64.urlsafe_b64encode(page.next_after.encode()).decode()))
    return document("ListAllMyBucketsResult", parts)


def _check_region(call: Call) -> None:
    """An endpoint of one region does not list another's buckets (API Reference, ListBuckets)."""
    region, wanted = call.environment.region, call.query.get("bucket-region")
    if wanted and region and wanted != region:
        raise S3Error(
            "InvalidArgument",
            f"Argument bucket-region must be the region of this endpoint, {region}",
            details=(("ArgumentName", "bucket-region"), ("ArgumentValue", wanted)),
        )


def _after(token: str) -> str:
    try:
        return base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect") from None


async def create_bucket(call: Call) -> Response:
    """CreateBucket."""
    check_new_bucket_name(call.bucket)
    location = _location(call, await call.document())
    try:
        await call.layer.create_bucket(call.bucket, location, call.owner.owner_id)
    except BucketExists:
        if call.environment.region != DEFAULT_REGION:
            raise S3Error("BucketAlreadyOwnedByYou", details=(("BucketName", call.bucket),)) from None
        # us-east-1 alone answers that all is as it was asked for (API Reference, CreateBucket).
    return Response(200, [("location", f"/{call.bucket}")])


def _location(call: Call, body: bytes) -> str:
    if not body.strip():
        return ""
    node = parse(body, "CreateBucketConfiguration")
    for child in node.children():
        if child.name != "LocationConstraint":  # tags, or a directory bucket, which this would not be
            raise S3Error("NotImplemented", details=(("Element", child.name),))
    location = node.child_text("LocationConstraint") or ""
    region = call.environment.region
    if location in ("", region):
        return location
    if location == DEFAULT_REGION:
        raise S3Error("InvalidLocationConstraint", details=(("LocationConstraint", location),))
    raise S3Error(
        "IllegalLocationConstraintException",
        f"The {location} location constraint is incompatible for the region specific endpoint this request was sent "
        "to.",
    )


async def head_bucket(call: Call) -> Response:
    """HeadBucket."""
    await call.layer.head_bucket(call.bucket)
    return Response(200, [("x-amz-bucket-region", call.environment.region), ("x-amz-access-point-alias", "false")])


async def delete_bucket(call: Call) -> Response:
    """DeleteBucket."""
    await call.layer.delete_bucket(call.bucket)
    return Response(204)


async def get_bucket_location(call: Call) -> Response:
    """GetBucketLocation: us-east-1 is the empty constraint."""
    await call.layer.head_bucket(call.bucket)
    region = call.environment.region
    return document("LocationConstraint", "" if region == DEFAULT_REGION else region)

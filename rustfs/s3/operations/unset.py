"""Reads of settings that no bucket and no object here can have: the truthful answer is that they are not set.

Clients ask these routinely (s3cmd info, mc stat, consoles). Setting them is another matter: that is NotImplemented.
"""

from rustfs.http.messages import Response
from rustfs.s3.call import Call, Operation
from rustfs.s3.errors import S3Error
from rustfs.s3.xmltext import document, element

_SCHEMA = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


async def get_acl(call: Call) -> Response:
    """GetBucketAcl and GetObjectAcl: the owner may do everything, nobody else anything."""
    await _must_exist(call)
    root = call.owner
    who = f"{element('ID', root.owner_id)}{element('DisplayName', root.display_name)}"
    grantee = f'<Grantee {_SCHEMA} xsi:type="CanonicalUser">{who}</Grantee>'
    grant = f"<Grant>{grantee}<Permission>FULL_CONTROL</Permission></Grant>"
    return document("AccessControlPolicy", [f"<Owner>{who}</Owner><AccessControlList>{grant}</AccessControlList>"])


async def put_acl(call: Call) -> Response:
    """PutBucketAcl and PutObjectAcl with the canned ACL that is in force anyway."""
    body = await call.document()
    if body.strip() or (call.header("x-amz-acl") or "") not in ("private", "bucket-owner-full-control"):
        raise S3Error("NotImplemented", "Access control lists other than private are not implemented.")
    await _must_exist(call)
    return Response(200)


async def get_object_tagging(call: Call) -> Response:
    """GetObjectTagging: no tags."""
    await _must_exist(call)
    return document("Tagging", ["<TagSet></TagSet>"])


def answering(root: str, *parts: str) -> Operation:
    """An operation that answers a fixed document about a bucket that exists."""

    async def operation(call: Call) -> Response:
        await _must_exist(call)
        return document(root, parts)

    return operation


def listing_none(root: str) -> Operation:
    """An operation that lists a bucket's settings of one kind, of which there are none."""
    return answering(root, "<IsTruncated>false</IsTruncated>")


def refusing(code: str) -> Operation:
    """An operation that says that a bucket which exists has no such setting."""

    async def operation(call: Call) -> Response:
        await _must_exist(call)
        raise S3Error(code, details=(("BucketName", call.bucket),))

    return operation


async def _must_exist(call: Call) -> None:
    if call.key:
        await call.layer.head_object(call.bucket, call.key)
    else:
        await call.layer.head_bucket(call.bucket)

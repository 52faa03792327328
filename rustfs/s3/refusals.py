"""Headers that ask for what is not there: to pass over one in silence would be a wrong success.

They would change what is stored, who may see it, or whose it is. A value that asks for what is so anyway is taken.
Sources: the request headers of the API Reference's pages; S3 User Guide, "Canned ACL", "Verifying bucket ownership".
"""

from rustfs.http.messages import Headers
from rustfs.s3.errors import S3Error

_UNSUPPORTED_PREFIXES = (
    "x-amz-server-side-encryption",
    "x-amz-object-lock-",
    "x-amz-grant-",
    "x-amz-copy-source-server-side-encryption",
    "x-amz-write-offset-bytes",  # an append, which would replace the object instead
    "x-amz-bucket-namespace",
)
_HARMLESS_VALUES = {
    "x-amz-acl": frozenset({"", "private", "bucket-owner-full-control", "bucket-owner-read"}),
    "x-amz-bucket-object-lock-enabled": frozenset({"", "false", "False"}),
    "x-amz-object-ownership": frozenset({"BucketOwnerEnforced"}),
    "x-amz-tagging": frozenset({""}),
}
_OTHER_CANNED_ACLS = frozenset(
    {"public-read", "public-read-write", "authenticated-read", "aws-exec-read", "log-delivery-write"}
)
_EXPECTED_OWNERS = ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner")


def check_supported(headers: Headers, operation: str) -> None:
    """Raises S3Error NotImplemented for what is not there, InvalidArgument for an ACL that nobody knows."""
    for name, value in headers:
        if not name.startswith("x-amz-"):
            continue
        if name.startswith(_UNSUPPORTED_PREFIXES):
            raise S3Error("NotImplemented", details=(("Header", name),))
        harmless = _HARMLESS_VALUES.get(name)
        if harmless is None or value in harmless:
            continue
        if name != "x-amz-acl":
            raise S3Error("NotImplemented", details=(("Header", name),))
        if value not in _OTHER_CANNED_ACLS:
            raise S3Error("InvalidArgument", details=(("ArgumentName", name), ("ArgumentValue", value)))
        if not operation.endswith("Acl"):  # those answer for themselves
            raise S3Error("NotImplemented", details=(("Header", name),))


def check_owner(headers: Headers, owner_id: str) -> None:
    """Clients say whose bucket they mean, lest they read or write a stranger's. Raises S3Error AccessDenied."""
    for name in _EXPECTED_OWNERS:
        if headers.get(name) not in (None, owner_id):
            raise S3Error("AccessDenied", details=(("Header", name),))

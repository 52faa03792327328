"""Who may sign requests, and under which name they own what they make.

A key ring answers one question, on the hot path of every request: the secret of an access key. Secrets never appear in
a representation, so that no log line and no traceback can show one.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key, its secret, and the owner it stands for.

    `owner_id` is a canonical user id in S3's form, 64 hexadecimal digits (S3 User Guide, "Finding the canonical user
    ID"); it depends on the access key alone, so every node and every restart tells clients the same owner.
    """

    access_key: str
    secret_key: str = field(repr=False)
    display_name: str
    owner_id: str


def root_credentials(access_key: str, secret_key: str) -> Credentials:
    """The credentials of the user who may do everything."""
    owner_id = hashlib.sha256(b"rustfs owner\0" + access_key.encode()).hexdigest()
    return Credentials(access_key, secret_key, access_key, owner_id)


class KeyRing:
    """All credentials that requests may be signed with; the first is the root user's, who owns every bucket."""

    def __init__(self, root: Credentials, others: Iterable[Credentials] = ()) -> None:
        self._root = root
        self._by_access_key = {credentials.access_key: credentials for credentials in (root, *others)}

    @property
    def root(self) -> Credentials:
        """The root user."""
        return self._root

    def lookup(self, access_key: str) -> str | None:
        """The secret of an access key; None where nobody has it."""
        credentials = self._by_access_key.get(access_key)
        return None if credentials is None else credentials.secret_key

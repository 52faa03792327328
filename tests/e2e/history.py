"""What one client did to its keys, and what they may hold now: the memory of the crash test.

Every key has a single writer, so its history is a line: what the last acknowledged write left, and what those writes
may have left whose outcome nobody knows (the server died, or said 503, before it answered).
"""

import contextlib
import hashlib
import random
import threading
from dataclasses import dataclass, field

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from tests.e2e.payloads import noise

ABSENT = b""  # no digest: the key holds nothing
PART_BYTES = 5 << 20
SIZES = (0, 1, 1_000, 4_096, 60_000, 130_000, 300_000, 1_048_576, 2_500_000)
UNKNOWN_OUTCOME = (HTTPClientError, BotoCoreError, ConnectionError)


def digest(data: bytes) -> bytes:
    """Stands for contents in a history."""
    return hashlib.sha256(data).digest()


@dataclass
class Key:
    """What a key may hold."""

    acknowledged: bytes = ABSENT
    possible: set[bytes] = field(default_factory=set)

    def attempt(self, outcome: bytes) -> None:
        """A write is about to be sent."""
        self.possible.add(outcome)

    def succeeded(self, outcome: bytes) -> None:
        """It was acknowledged: nothing older can come back."""
        self.acknowledged = outcome
        self.possible.clear()

    def allows(self, found: bytes) -> bool:
        """Whether a reader may find this."""
        return found == self.acknowledged or found in self.possible

    def settled(self, found: bytes) -> None:
        """A reader found this, so it is what the key holds from now on."""
        self.acknowledged = found
        self.possible.clear()


class Author(threading.Thread):
    """Writes to its own keys until told to stop or until the server is gone."""

    def __init__(self, client: BaseClient, bucket: str, number: int, keys: dict[str, Key], seed: int) -> None:
        super().__init__(name=f"author {number}", daemon=True)
        self._client = client
        self._bucket = bucket
        self._keys = keys
        self._dice = random.Random(seed)
        self.stopping = threading.Event()
        self.acknowledged = 0
        self.surprise: BaseException | None = None

    def run(self) -> None:
        """Write, at random."""
        writes = (self._put, self._put, self._put, self._delete, self._copy, self._multipart, self._abandon)
        while not self.stopping.is_set():
            try:
                self._dice.choice(writes)()
                self.acknowledged += 1
            except UNKNOWN_OUTCOME:
                return
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != 503:
                    self.surprise = error
                    return
            except BaseException as error:  # noqa: BLE001 -- shown by the test
                self.surprise = error
                return

    def _pick(self) -> tuple[str, Key]:
        return self._dice.choice(list(self._keys.items()))

    def _data(self) -> bytes:
        return noise(self._dice.choice(SIZES), self._dice.randrange(1 << 30))

    def _put(self) -> None:
        name, key = self._pick()
        data = self._data()
        key.attempt(digest(data))
        self._client.put_object(Bucket=self._bucket, Key=name, Body=data)
        key.succeeded(digest(data))

    def _delete(self) -> None:
        name, key = self._pick()
        key.attempt(ABSENT)
        self._client.delete_object(Bucket=self._bucket, Key=name)
        key.succeeded(ABSENT)

    def _copy(self) -> None:
        (source_name, source), (name, key) = self._pick(), self._pick()
        if source_name == name or source.possible or source.acknowledged == ABSENT:
            return
        key.attempt(source.acknowledged)
        self._client.copy_object(Bucket=self._bucket, Key=name, CopySource={"Bucket": self._bucket, "Key": source_name})
        key.succeeded(source.acknowledged)

    def _begin(self, name: str) -> tuple[str, list[dict[str, object]], bytes]:
        upload = self._client.create_multipart_upload(Bucket=self._bucket, Key=name)["UploadId"]
        pieces = [noise(PART_BYTES, self._dice.randrange(1 << 30)), self._data() or b"x"]
        parts: list[dict[str, object]] = []
        for number, piece in enumerate(pieces, 1):
            done = self._client.upload_part(
                Bucket=self._bucket, Key=name, UploadId=upload, PartNumber=number, Body=piece
            )
            parts.append({"PartNumber": number, "ETag": done["ETag"]})
        return upload, parts, digest(b"".join(pieces))

    def _multipart(self) -> None:
        name, key = self._pick()
        upload, parts, outcome = self._begin(name)
        key.attempt(outcome)
        self._client.complete_multipart_upload(
            Bucket=self._bucket, Key=name, UploadId=upload, MultipartUpload={"Parts": parts}
        )
        key.succeeded(outcome)

    def _abandon(self) -> None:
        """Leave an upload behind, or abort it: neither may ever show."""
        name, _key = self._pick()
        upload, _parts, _outcome = self._begin(name)
        if self._dice.random() < 0.5:
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=name, UploadId=upload)


def look(client: BaseClient, bucket: str, name: str) -> bytes:
    """The digest of what a key holds now; raises where the answer contradicts itself."""
    try:
        found = client.get_object(Bucket=bucket, Key=name)
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return ABSENT
        raise
    with contextlib.closing(found["Body"]) as body:
        data = body.read()
    assert len(data) == found["ContentLength"], f"{name}: {len(data)} of {found['ContentLength']} bytes"
    etag = found["ETag"].strip('"')
    if "-" not in etag:
        assert hashlib.md5(data).hexdigest() == etag, f"{name}: bytes and ETag differ"
    return digest(data)

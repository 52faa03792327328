"""docs/format.md says enough: what the object layer stored is recovered by hand, from any k drives."""

import asyncio
import itertools
import random
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.drive.tables import PAGE_BYTES
from rustfs.erasure.layout import BLOCK_BYTES
from rustfs.objects.types import CompletePart, CompleteSpec, PutSpec, UploadSpec
from rustfs.objects.wiring import INLINE_BYTES_MAX
from tests.objects import by_hand
from tests.objects.harness import BytesBody, open_room

MIB = 1 << 20
NOISE = random.Random(11).randbytes(2 * MIB + 12_345)
TEXT = b"a line that compresses well, number %d\n" * 70_000
DOCUMENT = (Path(__file__).parents[2] / "docs" / "format.md").read_text()

OBJECTS = {
    "empty": b"",
    "a byte": b"x",
    "small noise": NOISE[:4_001],
    "small text": TEXT[:100_000],
    "the largest inline one": NOISE[:INLINE_BYTES_MAX],
    "one block in a file": NOISE[: INLINE_BYTES_MAX + 1],
    "one compressed block in a file": TEXT[:300_001],
    "exactly one block": NOISE[:MIB],
    "raw blocks": NOISE,
    "compressed blocks": TEXT[: 2 * MIB + 777],
    "mixed blocks/with/slashes//": TEXT[:MIB] + NOISE[:MIB] + TEXT[: MIB // 3],
}
PARTS = {1: NOISE + TEXT + NOISE, 4: TEXT * 2 + NOISE, 7: NOISE[:100]}


@pytest.fixture(scope="module", params=[1, 4, 6], ids=lambda count: f"{count} drives")
def roots(request, tmp_path_factory):
    """Drives with objects on them, as a node leaves them when it stops."""
    directory = tmp_path_factory.mktemp("drives")
    roots = [directory / f"drive{number}" for number in range(request.param)]

    async def store():
        async with open_room([str(root) for root in roots]) as room:
            layer = room.store
            await layer.create_bucket("bucket", "", "owner")
            for key, data in OBJECTS.items():
                await layer.put_object("bucket", key, BytesBody(data), PutSpec())
            for data in (NOISE, b"second", TEXT[:MIB]):
                await layer.put_object("bucket", "overwritten", BytesBody(data), PutSpec())
            await layer.put_object("bucket", "deleted", BytesBody(NOISE), PutSpec())
            await layer.delete_object("bucket", "deleted", None)
            upload = await layer.create_upload("bucket", "in parts", UploadSpec())
            parts = [
                await layer.upload_part("bucket", "in parts", upload, number, BytesBody(data))
                for number, data in PARTS.items()
            ]
            named = tuple(CompletePart(part.number, part.etag) for part in parts)
            await layer.complete_upload("bucket", "in parts", upload, CompleteSpec(named))

    asyncio.run(store())
    return roots


def expected() -> dict[str, bytes | None]:
    return OBJECTS | {"overwritten": TEXT[:MIB], "deleted": None, "in parts": b"".join(PARTS.values())}


def test_any_k_drives_give_every_object_back(roots):
    n = len(roots)
    parity = {1: 0, 4: 2, 6: 3}[n]
    for survivors in itertools.combinations(roots, n - parity):
        for key, data in expected().items():
            assert by_hand.recover(survivors, "bucket", key) == data, (survivors, key)


def test_checksums_find_flipped_bytes(roots, tmp_path):
    copies = [tmp_path / root.name for root in roots]
    for root, copy in zip(roots, copies, strict=True):
        shutil.copytree(root, copy)
    for path in (copies[0] / "shards").glob("*/*"):
        contents = bytearray(path.read_bytes())
        contents[len(contents) // 2] ^= 1
        path.write_bytes(contents)
    if len(roots) == 1:
        with pytest.raises(AssertionError, match="0 good shards, 1 needed"):
            by_hand.recover(copies, "bucket", "raw blocks")
        return
    for key, data in expected().items():
        assert by_hand.recover(copies, "bucket", key) == data


def test_the_recovery_uses_none_of_the_code_that_stored():
    imported = re.findall(r"^(?:from|import) (rustfs\S*)", Path(by_hand.__file__).read_text(), re.MULTILINE)
    assert imported == ["rustfs.core.pb.storage.v1"]


def test_the_document_names_every_table_column_and_field(roots):
    connection = sqlite3.connect(roots[0] / ".rustfs/meta.db")
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")]
    names = {name for name in tables if not name.startswith("sqlite_")}
    for table in tuple(names):
        row = next(line for line in DOCUMENT.splitlines() if line.startswith(f"| `{table}` |"))
        for column in connection.execute(f"PRAGMA table_info({table})"):
            assert f"`{column[1]}`" in row, f"{table}.{column[1]}"
    for (name,) in connection.execute("SELECT name FROM meta"):
        assert f"`{name}`:" in DOCUMENT
    connection.close()
    for field in pb.Extent.DESCRIPTOR.fields:
        assert re.search(rf"^\| .*`{field.name}`.* \|", DOCUMENT, re.MULTILINE), field.name


def test_the_document_states_the_sizes_in_force():
    assert f"blocks of 1 MiB ({BLOCK_BYTES})" in DOCUMENT
    assert f"Page size {PAGE_BYTES}" in DOCUMENT
    assert f"up to {INLINE_BYTES_MAX >> 10} KiB are inline" in DOCUMENT

"""The object layer over real drives: what goes in comes out, under every size, condition and shape."""

import asyncio
import os
import random

import pytest

from rustfs.core.errors import (
    BucketExists,
    BucketNotEmpty,
    ChecksumMismatch,
    EntityTooLarge,
    InvalidPart,
    InvalidPartOrder,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    PartTooSmall,
    PreconditionFailed,
)
from rustfs.objects.types import (
    Checksum,
    CompletePart,
    CompleteSpec,
    DeleteTarget,
    PutSpec,
    UploadSpec,
    WriteCondition,
)
from tests.objects.harness import BytesBody, contents, open_room

MIB = 1 << 20
PIECES = random.Random(7).randbytes(3 * MIB + 17)


def run(tmp_path, scenario, count=4, **options):
    roots = [str(tmp_path / f"drive{number}") for number in range(count)]

    async def main():
        async with open_room(roots, **options) as room:
            return await scenario(room)

    return asyncio.run(main())


def staged_files(tmp_path) -> list[str]:
    return [name for drive in tmp_path.iterdir() for _, _, names in os.walk(drive / "staging") for name in names]


async def put(store, key, data, bucket="bucket", **spec):
    return await store.put_object(bucket, key, BytesBody(data), PutSpec(**spec))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 16])
def test_every_size_comes_back_from_sets_of_any_size(tmp_path, count):
    async def scenario(room):
        store = room.store
        await store.create_bucket("bucket", "", "owner")
        for size in (0, 1, 17, 4096, 20_000, MIB - 1, MIB, MIB + 1, 2 * MIB + 3, len(PIECES)):
            for kind, data in (("noise", PIECES[:size]), ("text", (b"line after line\n" * (size // 16 + 1))[:size])):
                info = await put(store, f"{kind}/{size}", data)
                opened = await store.open_object("bucket", info.key)
                assert opened.info == await store.head_object("bucket", info.key)
                assert await contents(opened) == data
                for start, end in ((0, min(1, size)), (size // 3, size // 2), (max(0, size - 5), size), (size, size)):
                    assert await contents(opened, start, end) == data[start:end]

    run(tmp_path, scenario, count, inline_bytes_max=16 << 10)


def test_unknown_length_and_odd_pieces(tmp_path):
    async def scenario(room):
        await room.store.create_bucket("bucket", "", "owner")
        for piece in (1000, 65_537, 5 * MIB):
            body = BytesBody(PIECES, piece_bytes=piece, known=False)
            await room.store.put_object("bucket", "key", body, PutSpec())
            assert await contents(await room.store.open_object("bucket", "key")) == PIECES

    run(tmp_path, scenario)


class BrokenBody(BytesBody):
    """Ends in an error instead of its end."""

    async def read(self, limit_bytes):
        piece = await super().read(limit_bytes)
        if not piece:
            raise ConnectionResetError
        return piece


class WrongBody(BytesBody):
    """Turns out to be not what the client claimed."""

    def settle(self, md5_digest):
        raise ValueError("wrong digest")


@pytest.mark.parametrize("size", [100, 2 * MIB])
@pytest.mark.parametrize("body", [BrokenBody, WrongBody])
def test_a_failed_upload_leaves_no_trace(tmp_path, size, body):
    async def scenario(room):
        store = room.store
        await store.create_bucket("bucket", "", "owner")
        with pytest.raises((ConnectionResetError, ValueError)):
            await store.put_object("bucket", "key", body(PIECES[:size]), PutSpec())
        with pytest.raises(NoSuchKey):
            await store.head_object("bucket", "key")
        assert set(staged_files(tmp_path)) <= {"lock"}

    run(tmp_path, scenario)


def test_too_large_is_refused_before_a_byte_is_read(tmp_path):
    class Huge(BytesBody):
        async def read(self, limit_bytes):
            raise AssertionError("read")

    async def scenario(room):
        await room.store.create_bucket("bucket", "", "owner")
        body = Huge(b"")
        body.length_bytes = (5 << 30) + 1
        with pytest.raises(EntityTooLarge):
            await room.store.put_object("bucket", "key", body, PutSpec())

    run(tmp_path, scenario)


def test_metadata_travels(tmp_path):
    async def scenario(room):
        store = room.store
        await store.create_bucket("bucket", "", "owner")
        spec = PutSpec((("content-type", "text/plain"),), (("name", "wert"),), "REDUCED_REDUNDANCY")
        body = BytesBody(b"data", algorithm="CRC32C")
        put_info = await store.put_object("bucket", "key", body, spec)
        info = await store.head_object("bucket", "key")
        assert info == put_info
        assert (info.headers, info.user_metadata, info.storage_class) == (
            spec.headers,
            spec.user_metadata,
            spec.storage_class,
        )
        assert info.checksum == Checksum("CRC32C", body._hasher.digest())
        for size in (4, 2 * MIB):
            info = await put(store, "key", PIECES[:size])
            changed = await store.update_metadata(info, PutSpec((("content-type", "a/b"),)), None)
            opened = await store.open_object("bucket", "key")
            assert (opened.info, await contents(opened)) == (changed, PIECES[:size])
            assert changed.stamp > info.stamp
            with pytest.raises(NoSuchKey):
                await store.update_metadata(info, PutSpec(), None)

    run(tmp_path, scenario)


def test_conditions_are_exact_under_concurrency(tmp_path):
    async def scenario(room):
        store = room.store
        await store.create_bucket("bucket", "", "owner")
        with pytest.raises(NoSuchKey):
            await put(store, "key", b"x", condition=WriteCondition(if_match=("etag",)))
        new = WriteCondition(if_none_match=("*",))
        tries = [put(store, "key", b"%d" % number, condition=new) for number in range(8)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        winners = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        assert len(winners) == 1
        assert {type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)} == {PreconditionFailed}
        assert (await store.head_object("bucket", "key")).etag == winners[0].etag

        async def increment():
            while True:
                opened = await store.open_object("bucket", "counter")
                value = int(await contents(opened))
                try:
                    await put(
                        store, "counter", b"%d" % (value + 1), condition=WriteCondition(if_match=(opened.info.etag,))
                    )
                except PreconditionFailed:
                    continue
                return

        await put(store, "counter", b"0")
        await asyncio.gather(*(increment() for _ in range(10)))
        assert await contents(await store.open_object("bucket", "counter")) == b"10"
        with pytest.raises(PreconditionFailed):
            await store.delete_object("bucket", "counter", WriteCondition(if_match=("other",)))
        await store.delete_object("bucket", "counter", WriteCondition(if_match_size_bytes=2))
        with pytest.raises(NoSuchKey):
            await store.head_object("bucket", "counter")
        await store.delete_object("bucket", "counter", WriteCondition(if_match=("other",)))  # what is gone is gone

    run(tmp_path, scenario)


def test_buckets(tmp_path):
    async def scenario(room):
        store = room.store
        with pytest.raises(NoSuchBucket):
            await store.head_bucket("bucket")
        for name in ("b", "a", "ab"):
            await store.create_bucket(name, "eu", "owner")
        with pytest.raises(BucketExists):
            await store.create_bucket("a", "", "other")
        page = await store.list_buckets("", "", 2)
        assert ([each.name for each in page.buckets], page.next_after) == (["a", "ab"], "ab")
        assert [each.name for each in (await store.list_buckets("", "ab", 2)).buckets] == ["b"]
        assert [each.name for each in (await store.list_buckets("a", "", 9)).buckets] == ["a", "ab"]
        await put(store, "key", b"old", "a")
        with pytest.raises(BucketNotEmpty):
            await store.delete_bucket("a")
        await put(store, "key", b"new", "a")  # the failed deletion left the bucket as it was
        assert await store.delete_objects("a", [DeleteTarget("key"), DeleteTarget("never there")]) == [None, None]
        await store.delete_bucket("a")
        for operation in (put(store, "key", b"x", "a"), store.head_object("a", "key"), store.delete_bucket("a")):
            with pytest.raises(NoSuchBucket):
                await operation
        await store.create_bucket("a", "", "owner")
        with pytest.raises(NoSuchKey):
            await store.head_object("a", "key")
        assert (await store.list_objects("a", "", "", "", 10)).objects == []

    run(tmp_path, scenario)


def test_a_put_racing_a_bucket_deletion_fails_or_saves_the_bucket(tmp_path):
    async def scenario(room):
        store = room.store
        for number in range(12):
            name = f"bucket-{number}"
            await store.create_bucket(name, "", "owner")
            outcomes = await asyncio.gather(
                put(store, "key", b"x", name), store.delete_bucket(name), return_exceptions=True
            )
            if isinstance(outcomes[0], BaseException):
                assert isinstance(outcomes[0], NoSuchBucket)
                assert outcomes[1] is None
            else:
                assert isinstance(outcomes[1], BucketNotEmpty)
                assert await contents(await store.open_object(name, "key")) == b"x"

    run(tmp_path, scenario)


def complete(parts, **arguments) -> CompleteSpec:
    return CompleteSpec(tuple(CompletePart(part.number, part.etag) for part in parts), **arguments)


def test_multipart_life(tmp_path):
    async def scenario(room):
        store = room.store
        await store.create_bucket("bucket", "", "owner")
        upload_id = await store.create_upload("bucket", "key", UploadSpec((("content-type", "a/b"),)))
        datas = {1: os.urandom(5 * MIB), 2: b"z" * (5 * MIB + 1), 9: b"tail"}
        await store.upload_part("bucket", "key", upload_id, 2, BytesBody(b"to be replaced"))
        parts = [
            await store.upload_part("bucket", "key", upload_id, number, BytesBody(data))
            for number, data in datas.items()
        ]
        page = await store.list_parts("bucket", "key", upload_id, 0, 2)
        assert ([part.number for part in page.parts], page.truncated, page.next_number) == ([1, 2], True, 2)
        assert [p.number for p in (await store.list_parts("bucket", "key", upload_id, 2, 9)).parts] == [9]
        with pytest.raises(InvalidPartOrder):
            await store.complete_upload("bucket", "key", upload_id, complete(parts[::-1]))
        with pytest.raises(InvalidPart):
            await store.complete_upload("bucket", "key", upload_id, CompleteSpec((CompletePart(1, "0" * 32),)))
        with pytest.raises(ChecksumMismatch):
            await store.complete_upload("bucket", "key", upload_id, complete(parts, size_bytes=5))
        info = await store.complete_upload("bucket", "key", upload_id, complete(parts))
        assert info.etag.endswith("-3")
        again = await store.complete_upload("bucket", "key", upload_id, complete(parts))
        assert (again.etag, again.stamp) == (info.etag, info.stamp)
        whole = b"".join(datas.values())
        opened = await store.open_object("bucket", "key")
        assert await contents(opened) == whole
        assert await contents(opened, 5 * MIB - 3, 10 * MIB + 3) == whole[5 * MIB - 3 : 10 * MIB + 3]
        assert [part.number for part in opened.info.parts] == [1, 2, 9]
        assert (await store.list_uploads("bucket", "", "", "", "", 10)).uploads == []
        with pytest.raises(NoSuchUpload):
            await store.abort_upload("bucket", "key", upload_id)

    run(tmp_path, scenario)


def test_small_parts_are_refused_and_aborted_uploads_are_gone(tmp_path):
    async def scenario(room):
        store = room.store
        await store.create_bucket("bucket", "", "owner")
        upload_id = await store.create_upload("bucket", "key", UploadSpec())
        parts = [await store.upload_part("bucket", "key", upload_id, n, BytesBody(b"small")) for n in (1, 2)]
        with pytest.raises(PartTooSmall):
            await store.complete_upload("bucket", "key", upload_id, complete(parts))
        await store.abort_upload("bucket", "key", upload_id)
        for operation in (
            store.upload_part("bucket", "key", upload_id, 1, BytesBody(b"x")),
            store.complete_upload("bucket", "key", upload_id, complete(parts)),
            store.list_parts("bucket", "key", upload_id, 0, 10),
            store.abort_upload("bucket", "key", upload_id),
            store.abort_upload("bucket", "key", "../../etc/passwd"),
        ):
            with pytest.raises(NoSuchUpload):
                await operation
        with pytest.raises(NoSuchKey):
            await store.head_object("bucket", "key")

    run(tmp_path, scenario)


def test_uploads_are_listed_in_order_with_prefixes(tmp_path):
    async def scenario(room):
        store = room.store
        await store.create_bucket("bucket", "", "owner")
        ids = {}
        for key in ("b", "a/1", "a/2", "b", "c"):
            ids.setdefault(key, []).append(await store.create_upload("bucket", key, UploadSpec()))
        page = await store.list_uploads("bucket", "", "", "", "", 10)
        assert [(each.key, each.upload_id) for each in page.uploads] == [
            (key, upload_id) for key in sorted(ids) for upload_id in ids[key]
        ]
        page = await store.list_uploads("bucket", "", "/", "", "", 2)
        assert (page.prefixes, [each.key for each in page.uploads], page.truncated) == (["a/"], ["b"], True)
        page = await store.list_uploads("bucket", "", "/", page.next_key, page.next_upload_id, 9)
        assert [(each.key, each.upload_id) for each in page.uploads] == [("b", ids["b"][1]), ("c", ids["c"][0])]
        assert [each.key for each in (await store.list_uploads("bucket", "a/", "", "", "", 9)).uploads] == [
            "a/1",
            "a/2",
        ]

    run(tmp_path, scenario)

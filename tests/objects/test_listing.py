"""Listings against a sorted list, for any keys, prefix, delimiter, marker and page size."""

import asyncio
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.objects.types import DeleteTarget, PutSpec
from tests.objects.harness import BytesBody, open_room

_names = itertools.count()
ALPHABET = "ab/-\x01ü\U0001f600"
keys = st.lists(st.text(ALPHABET, min_size=1, max_size=6), min_size=0, max_size=25, unique=True)


def expected(present, prefix, delimiter, after, limit):
    """S3's rules, the plain way: (kind, name) entries above `after`, in UTF-8 order."""
    entries = []
    for key in sorted(present, key=str.encode):
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = ("prefix", key[: cut + len(delimiter)]) if cut >= 0 else ("key", key)
        if entry[1].encode() <= after.encode() or (entry[0] == "key" and key.encode() <= after.encode()):
            continue
        if entry[0] == "prefix" and key.encode() <= after.encode():
            continue
        if entry not in entries:
            entries.append(entry)
    return entries[:limit], len(entries) > limit


async def walk(store, bucket, prefix, delimiter, limit):
    entries, after = [], ""
    while True:
        page = await store.list_objects(bucket, prefix, delimiter, after, limit)
        entries += sorted(
            [("prefix", name) for name in page.prefixes] + [("key", each.key) for each in page.objects],
            key=lambda entry: entry[1].encode(),
        )
        assert len(page.prefixes) + len(page.objects) <= limit
        if not page.truncated:
            return entries
        assert page.next_after
        after = page.next_after


def test_listings_agree_with_a_sorted_list(tmp_path):
    async def main():
        async with open_room([str(tmp_path / f"drive{number}") for number in range(2)]) as room:
            store = room.store
            loop = asyncio.get_running_loop()

            async def check(names, gone, prefix, delimiter, after, limit):
                bucket = f"bucket{next(_names)}"
                await store.create_bucket(bucket, "", "owner")
                await asyncio.gather(*(store.put_object(bucket, n, BytesBody(b"x"), PutSpec()) for n in names))
                deleted = [name for index, name in enumerate(names) if index in gone]
                await store.delete_objects(bucket, [DeleteTarget(name) for name in deleted])
                present = [name for name in names if name not in deleted]
                page = await store.list_objects(bucket, prefix, delimiter, after, limit)
                found = [("prefix", name) for name in page.prefixes] + [("key", each.key) for each in page.objects]
                wanted, more = expected(present, prefix, delimiter, after, limit)
                assert sorted(found, key=lambda entry: entry[1].encode()) == wanted
                assert page.truncated == more
                everything, _ = expected(present, prefix, delimiter, "", 1000)
                assert await walk(store, bucket, prefix, delimiter, limit) == everything

            return await loop.run_in_executor(None, examples, loop, check)

    def examples(loop, check):
        @given(
            names=keys,
            gone=st.sets(st.integers(0, 24), max_size=8),
            prefix=st.text(ALPHABET, max_size=2),
            delimiter=st.sampled_from(["", "/", "a", "/-", "ü"]),
            after=st.text(ALPHABET, max_size=4),
            limit=st.integers(1, 8),
        )
        @settings(max_examples=60, deadline=None, derandomize=True)
        def agree(**case):
            asyncio.run_coroutine_threadsafe(check(**case), loop).result(60)

        agree()

    asyncio.run(main())


def test_a_common_prefix_costs_a_seek(tmp_path):
    """Twenty thousand keys under one prefix are passed over in a handful of rows."""

    async def main():
        async with open_room([str(tmp_path / "drive")]) as room:
            store = room.store
            await store.create_bucket("bucket", "", "owner")

            async def fill(numbers):
                for number in numbers:
                    await store.put_object("bucket", f"many/{number:05d}", BytesBody(b""), PutSpec())

            numbers = iter(range(4000))
            await asyncio.gather(*(fill(numbers) for _ in range(64)))
            await store.put_object("bucket", "zoo", BytesBody(b""), PutSpec())
            rows = []
            drive = room.drives[0]
            real = drive.scan

            def counting(request):
                future = real(request)
                future.add_done_callback(lambda done: rows.append(len(done.result().rows)))
                return future

            drive.scan = counting
            page = await store.list_objects("bucket", "", "/", "", 1000)
            assert (page.prefixes, [each.key for each in page.objects]) == (["many/"], ["zoo"])
            assert sum(rows) < 10

    asyncio.run(main())

"""How far a download reads ahead: soon at its first byte, seldom waiting when it is alone, and small when it is not."""

import asyncio
import contextlib
import random
from functools import partial

from rustfs.objects.egress import FEW_STREAMS, MANY_STREAMS
from rustfs.objects.types import PutSpec
from tests.objects.doubles import FarDrive
from tests.objects.harness import BytesBody, contents, open_room
from tests.services.harness import make_bucket

BLOCK = 1 << 20
BLOCKS = 40
DATA = random.Random(7).randbytes(BLOCKS * BLOCK)


def run(tmp_path, scenario):
    async def main():
        roots = [str(tmp_path / f"drive{number}") for number in range(4)]
        async with open_room(roots, compress=False, face=partial(FarDrive, near=True)) as room:
            await make_bucket(room)
            await room.store.put_object("bucket", "key", BytesBody(DATA), PutSpec())
            await scenario(room)

    asyncio.run(main())


def length(piece):
    return len(piece) if isinstance(piece, bytes | memoryview) else sum(map(len, piece))


async def begun(stack, room):
    """A download that has its first piece: how long that was, and the runs read so far (of two shards each)."""
    for drive in room.drives:
        drive.asked.clear()
    opened = await room.store.open_object("bucket", "key")
    stream = await stack.enter_async_context(contextlib.aclosing(opened.stream(0, len(DATA))))
    first = length(await anext(stream))
    return stream, first, sum(drive.asked["read_shard"] for drive in room.drives) / 2


def test_runs_grow_up_to_their_usual_length(tmp_path):
    async def scenario(room):
        opened = await room.store.open_object("bucket", "key")
        async with contextlib.aclosing(opened.stream(BLOCK // 2, len(DATA))) as stream:
            lengths = [length(piece) async for piece in stream]
        assert [each / BLOCK for each in lengths] == [0.5, 2.0] + [4.0] * 9 + [1.0]
        assert await contents(await room.store.open_object("bucket", "key")) == DATA

    run(tmp_path, scenario)


def test_few_downloads_read_further_ahead_than_many(tmp_path):
    async def scenario(room):
        async with contextlib.AsyncExitStack() as stack:
            found = [await begun(stack, room) for _ in range(MANY_STREAMS)]
            assert {first for _, first, _ in found} == {BLOCK}
            runs = [runs for _, _, runs in found]
            assert runs == [4] * FEW_STREAMS + [2] * (MANY_STREAMS - FEW_STREAMS)
            last = found[-1][0]
            assert [length(await anext(last)) / BLOCK for _ in range(3)] == [2, 2, 2]

    run(tmp_path, scenario)

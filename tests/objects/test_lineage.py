"""The line of a version: what it says of the fate of others, and that every conditional version has one."""

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustfs.core.drivetypes import NO_MARK, Level, PrepareAnswer
from rustfs.core.pb.storage.v1 import record_pb2 as pb
from rustfs.objects.lineage import ANCESTORS_MAX, Fate, ancestors_of, descended, fate, plain
from rustfs.objects.rounds import Prepared
from rustfs.objects.types import PutSpec, WriteCondition
from tests.objects.harness import BytesBody, open_room
from tests.services.harness import make_bucket


def stamp(number):
    return number.to_bytes(16, "big")


@pytest.mark.parametrize(
    ("own", "chosen", "line", "expected"),
    [
        ([5], 5, [], Fate.EFFECT),
        ([5, 7], 5, [2], Fate.EFFECT),
        ([5], 9, [7, 5, 2], Fate.EFFECT),  # somebody built upon it
        ([5], 9, [7, 3], Fate.DEAD),  # 7 follows 3 directly
        ([5], 9, [3], Fate.DEAD),
        ([5, 6], 9, [7, 3], Fate.DEAD),
        ([5, 7], 9, [6, 3], Fate.DEAD),
        ([5], 9, [], Fate.UNKNOWN),  # written without a condition
        ([5], 9, [7], Fate.UNKNOWN),  # 7 was written without a condition
        ([5], 9, [6], Fate.UNKNOWN),  # or was the floor: what was purged up to 6 may have been upon it
        ([5, 7], 9, [6], Fate.UNKNOWN),
        ([5], 4, [2], Fate.UNKNOWN),  # it may still be completed
        ([5], 4, [], Fate.UNKNOWN),
    ],
)
def test_what_became_of_a_write(own, chosen, line, expected):
    assert fate([stamp(each) for each in own], stamp(chosen), [stamp(each) for each in line]) is expected


RECORDS = st.builds(
    pb.ObjectRecord,
    etag=st.text(),
    size_bytes=st.integers(0, 1 << 40),
    user_metadata=st.lists(st.builds(pb.Header, name=st.text(), value=st.text()), max_size=3),
)


@given(
    record=RECORDS, lines=st.lists(st.lists(st.binary(min_size=16, max_size=16), max_size=20), min_size=1, max_size=3)
)
def test_a_record_keeps_what_it_says_and_its_last_line(record, lines):
    encoded = record.SerializeToString()
    written = encoded
    for line in lines:
        written = descended(written, line)
    assert ancestors_of(written) == tuple(lines[-1][:ANCESTORS_MAX])
    assert plain(written) == encoded
    read = pb.ObjectRecord.FromString(written)
    again = descended(read.SerializeToString(), [])  # by way of one who changed a field of it
    assert plain(again) == encoded


def test_where_a_drive_does_not_say_what_it_forgot_nothing_is_taken_for_dead():
    def prepared(*floors):
        answers = {place: PrepareAnswer(True, b"", (), NO_MARK, False, floor) for place, floor in enumerate(floors)}
        return Prepared.of(SimpleNamespace(size=4, read_quorum=2, majority=3), stamp(9), answers)

    told = prepared(stamp(3), stamp(2), stamp(0))
    assert fate([stamp(5)], stamp(9), [told.floor]) is Fate.DEAD
    not_told = prepared(stamp(3), stamp(2), b"")
    assert fate([stamp(5)], stamp(9), [not_told.floor]) is Fate.UNKNOWN


def test_every_conditional_version_names_what_it_follows(tmp_path):
    async def scenario(room):
        await make_bucket(room)

        async def put(condition=None):
            spec = PutSpec(condition=condition)
            return await room.store.put_object("bucket", "key", BytesBody(b"data"), spec)

        async def newest():
            answers = [await drive.read_key(b"bucket", b"key", Level.RECORD) for drive in room.drives]
            return max((answer.versions[0] for answer in answers if answer.versions), key=lambda held: held.stamp)

        blind = await put()
        assert ancestors_of((await newest()).record) == ()
        second = await put(WriteCondition(if_match=(blind.etag,)))
        third = await put(WriteCondition(if_match=(second.etag,)))
        assert ancestors_of((await newest()).record) == (second.stamp, blind.stamp)
        await room.store.delete_object("bucket", "key", WriteCondition(if_match=(third.etag,)))
        deletion = await newest()
        assert ancestors_of(deletion.record) == (third.stamp, second.stamp, blind.stamp)
        for drive in room.drives:
            await drive.drop(b"bucket", b"key", deletion.stamp)
        fourth = await put(WriteCondition(if_none_match=("*",)))
        (floor,) = ancestors_of((await newest()).record)
        assert deletion.stamp <= floor < fourth.stamp

    async def main():
        async with open_room([str(tmp_path / f"drive{number}") for number in range(4)]) as room:
            await scenario(room)

    asyncio.run(main())

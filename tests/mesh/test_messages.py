"""What goes over the wire comes out as it went in; what this program does not understand is no success."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustfs.core import drivetypes
from rustfs.core.errors import DeadlinePassed, DriveError, DriveFull, DriveOffline, ShardCorrupt, ShardMissing
from rustfs.core.pb.peer.v1 import drive_pb2 as pb
from rustfs.mesh import messages

octets = st.binary(max_size=40)
flags = st.integers(0, 2**32 - 1)
uint64 = st.integers(0, 2**64 - 1)
ids = st.lists(st.binary(min_size=16, max_size=16), max_size=4)
marks = st.builds(drivetypes.Mark, octets, st.booleans())
helds = st.builds(drivetypes.Held, octets, flags, octets, st.none() | octets)
versions = st.lists(helds, max_size=4).map(tuple)
offers = st.builds(
    drivetypes.Accept,
    octets,
    octets,
    octets,
    flags,
    octets,
    st.none() | octets,
    ids.map(tuple),
    ids.map(tuple),
    octets,
)
refusals = st.sampled_from(drivetypes.Refusal)
states = st.sampled_from(drivetypes.DriveState)
sizes = st.lists(st.integers(-1, 2**63 - 1), max_size=5)

ANSWERS: dict[str, tuple[Any, Any]] = {
    "read_key": (st.builds(drivetypes.KeyAnswer, versions, marks, st.booleans()), messages.key_answer),
    "prepare": (
        st.builds(drivetypes.PrepareAnswer, st.booleans(), octets, versions, marks, st.booleans()),
        messages.prepare_answer,
    ),
    "accept": (st.builds(drivetypes.AcceptAnswer, refusals, octets, st.booleans(), marks), messages.accept_answer),
    "heal": (st.builds(drivetypes.AcceptAnswer, refusals, octets, st.booleans(), marks), messages.accept_answer),
    "mark_bucket": (marks, messages.mark_answer),
    "marks": (
        st.builds(drivetypes.MarksPage, st.lists(st.tuples(octets, marks), max_size=4), st.booleans()),
        messages.marks_answer,
    ),
    "stat_shards": (sizes, messages.sizes_answer),
    "verify_shard": (st.lists(uint64, max_size=5), messages.bad_frames_answer),
    "hold_shards": (st.none(), messages.done_answer),
    "replace_shard": (st.none(), messages.done_answer),
    "drop": (st.none(), messages.done_answer),
    "tombstones": (st.lists(st.tuples(octets, octets, octets), max_size=4), messages.tombstones_answer),
    "ranges": (
        st.builds(
            drivetypes.RangePage,
            octets,
            st.lists(st.builds(drivetypes.KeyRange, octets, octets, uint64), max_size=4),
            st.booleans(),
            st.booleans(),
        ),
        messages.ranges_answer,
    ),
    "unsettled": (st.lists(st.tuples(octets, octets, octets), max_size=4), messages.tombstones_answer),
    "repairs": (
        st.lists(st.builds(drivetypes.RepairItem, uint64, octets, octets), max_size=4),
        messages.repairs_answer,
    ),
    "repaired": (st.none(), messages.done_answer),
    "ceiling": (st.builds(drivetypes.Ceiling, octets, st.booleans(), octets), messages.ceiling_answer),
    "learn": (st.none(), messages.done_answer),
    "healed": (st.none(), messages.done_answer),
    "drive_info": (
        st.builds(
            drivetypes.DriveInfo,
            st.text(max_size=9),
            st.text(max_size=9),
            states,
            st.text(max_size=9),
            uint64,
            uint64,
            uint64,
            uint64,
            uint64,
            st.booleans(),
        ),
        messages.info_answer,
    ),
}
NOTES = {"note_chosen", "queue_repair"}


def over_the_wire(message: Any) -> Any:
    return type(message).FromString(message.SerializeToString())


def test_every_call_of_the_protocol_is_served_or_is_a_note():
    kinds = {each.name for each in pb.Call.DESCRIPTOR.oneofs_by_name["call"].fields}
    assert set(messages.SERVED) | NOTES == kinds
    assert set(ANSWERS) == set(messages.SERVED)


@settings(deadline=None)
@given(st.sampled_from(sorted(ANSWERS)).flatmap(lambda kind: st.tuples(st.just(kind), ANSWERS[kind][0])), uint64)
def test_answers_come_out_as_they_went_in(answer, call_id):
    kind, value = answer
    message = over_the_wire(messages.SERVED[kind].reply(call_id, value))
    assert message.id == call_id
    assert ANSWERS[kind][1](message) == value


@settings(deadline=None)
@given(offers)
def test_offers_come_out_as_they_went_in(offer):
    assert messages.offer_value(over_the_wire(messages.offer_message(offer))) == offer


@given(st.lists(octets, max_size=4))
def test_an_inline_shard_in_pieces_arrives_whole(pieces):
    offer = drivetypes.Accept(b"b", b"k", b"s", 0, b"", [memoryview(piece) for piece in pieces], (), (), b"")
    assert messages.offer_value(over_the_wire(messages.offer_message(offer))).inline == b"".join(pieces)


@given(marks)
def test_marks_come_out_as_they_went_in(mark):
    assert messages.mark_value(over_the_wire(messages.mark_message(mark))) == mark


@given(
    st.builds(
        drivetypes.Scan, octets, octets, octets, octets, st.integers(0, 2**32 - 1), st.sampled_from(drivetypes.Level)
    ),
    flags,
)
def test_scans_come_out_as_they_went_in(scan, drive):
    message = over_the_wire(messages.scan_message(drive, scan))
    assert (message.drive, messages.scan_value(message)) == (drive, scan)


@pytest.mark.parametrize("kind", [DriveOffline, DeadlinePassed, DriveFull, ShardMissing, ShardCorrupt])
def test_errors_keep_their_class_and_their_sentence(kind):
    error = messages.error_value(over_the_wire(messages.error_message(kind("/d1: no space left"))))
    assert type(error) is kind
    assert str(error) == "/d1: no space left"


def test_errors_that_are_no_drives_say_no_more_than_that_it_did_not_serve():
    error = messages.error_value(over_the_wire(messages.error_message(KeyError("x"))))
    assert type(error) is DriveOffline
    assert "KeyError" in str(error)


def test_kinds_of_errors_that_are_not_known_yet_mean_that_the_drive_did_not_serve():
    for number in (pb.Error.UNSUPPORTED, 99):
        error = messages.error_value(pb.Error.FromString(pb.Error(kind=number, message="why").SerializeToString()))  # type: ignore[arg-type]
        assert type(error) is DriveOffline
        assert str(error) == "why"


@pytest.mark.parametrize("kind", sorted(ANSWERS))
@pytest.mark.parametrize("answer", [pb.Answer(id=1), pb.Answer.FromString(b"\x08\x01\xca\x3e\x02\x08\x01")])
def test_an_answer_of_another_kind_is_no_success(kind, answer):
    """An empty KeyAnswer, say, would mean that the drive holds nothing."""
    with pytest.raises((DriveError, ValueError)):
        ANSWERS[kind][1](answer)
    for other in set(ANSWERS) - {kind}:
        if ANSWERS[other][1] is not ANSWERS[kind][1]:
            with pytest.raises((DriveError, ValueError)):
                ANSWERS[kind][1](messages.SERVED[other].reply(1, SAMPLES[other]))


SAMPLES: dict[str, Any] = {
    "read_key": drivetypes.KeyAnswer((), drivetypes.NO_MARK, blank=False),
    "prepare": drivetypes.PrepareAnswer(True, b"", (), drivetypes.NO_MARK, blank=False, floor=b"\1" * 16),
    "accept": drivetypes.AcceptAnswer(drivetypes.Refusal.NONE, b"", superseded=False, mark=drivetypes.NO_MARK),
    "heal": drivetypes.AcceptAnswer(drivetypes.Refusal.NONE, b"", superseded=False, mark=drivetypes.NO_MARK),
    "mark_bucket": drivetypes.NO_MARK,
    "marks": drivetypes.MarksPage([], blank=False),
    "stat_shards": [1],
    "verify_shard": [2],
    "hold_shards": None,
    "replace_shard": None,
    "drop": None,
    "tombstones": [],
    "ranges": drivetypes.RangePage(b"", [], more=False, blank=False),
    "unsettled": [],
    "repairs": [],
    "repaired": None,
    "ceiling": drivetypes.Ceiling(b"", True, b""),
    "learn": None,
    "healed": None,
    "drive_info": drivetypes.DriveInfo("", "", drivetypes.DriveState.ONLINE, "", 0, 0, 0, 0, 0, healing=False),
}


@dataclass
class Notebook:
    """Takes the notes of a drive down."""

    said: list[tuple[Any, ...]] = field(default_factory=list)

    def note_chosen(self, bucket, key, stamp, superseded):
        self.said.append((bucket, key, stamp, superseded))

    def queue_repair(self, bucket, key):
        self.said.append((bucket, key))


def test_notes_are_passed_on_and_other_calls_are_not():
    book = Notebook()
    note = pb.NoteChosen.Note
    chosen = pb.NoteChosen(notes=[note(bucket=b"b", key=b"k", stamp=b"s", superseded=True), note(bucket=b"b")])
    assert messages.tell(book, over_the_wire(pb.Call(note_chosen=chosen)))  # type: ignore[arg-type]
    repair = pb.QueueRepair(keys=[pb.QueueRepair.Key(bucket=b"b", key=b"k")])
    assert messages.tell(book, over_the_wire(pb.Call(queue_repair=repair)))  # type: ignore[arg-type]
    assert book.said == [(b"b", b"k", b"s", True), (b"b", b"", b"", False), (b"b", b"k")]
    assert not messages.tell(book, pb.Call(healed=pb.Healed()))  # type: ignore[arg-type]
    assert not messages.tell(book, pb.Call())  # type: ignore[arg-type]

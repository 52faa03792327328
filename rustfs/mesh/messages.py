"""Between the values of the Drive port and the messages of drive.proto: pure, both directions."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from rustfs.core import drivetypes, ports
from rustfs.core.errors import DeadlinePassed, DriveError, DriveFull, DriveOffline, ShardCorrupt, ShardMissing
from rustfs.core.pb.peer.v1 import drive_pb2 as pb

# -- errors ------------------------------------------------------------------------------------------------------------

_ERROR_CLASSES: dict[int, type[DriveError]] = {
    pb.Error.DEADLINE: DeadlinePassed,  # before OFFLINE, of which it is a kind
    pb.Error.OFFLINE: DriveOffline,
    pb.Error.FULL: DriveFull,
    pb.Error.SHARD_MISSING: ShardMissing,
    pb.Error.SHARD_CORRUPT: ShardCorrupt,
}


def error_message(error: BaseException) -> pb.Error:
    """An error of a drive, for the wire; what is no DriveError becomes OFFLINE, the least that is surely true."""
    for kind, each in _ERROR_CLASSES.items():
        if isinstance(error, each):
            return pb.Error(kind=kind, message=str(error))  # type: ignore[arg-type] # an enum's number
    return pb.Error(kind=pb.Error.OFFLINE, message=f"{type(error).__name__}: {error}")


def error_value(message: pb.Error) -> DriveError:
    """The error that the drive raised there."""
    return _ERROR_CLASSES.get(message.kind, DriveOffline)(message.message)


# -- parts -------------------------------------------------------------------------------------------------------------


def mark_message(mark: drivetypes.Mark) -> pb.Mark:
    """See mark_value."""
    return pb.Mark(epoch=mark.epoch, fenced=mark.fenced)


def mark_value(message: pb.Mark) -> drivetypes.Mark:
    """See mark_message."""
    return drivetypes.Mark(message.epoch, message.fenced)


def _held_messages(versions: Iterable[drivetypes.Held]) -> list[pb.Held]:
    return [pb.Held(stamp=held.stamp, flags=held.flags, record=held.record, inline=held.inline) for held in versions]


def _held_values(messages: Iterable[pb.Held]) -> tuple[drivetypes.Held, ...]:
    return tuple(
        drivetypes.Held(each.stamp, each.flags, each.record, each.inline if each.HasField("inline") else None)
        for each in messages
    )


def offer_message(offer: drivetypes.Accept) -> pb.Accept:
    """See offer_value."""
    inline = offer.inline
    return pb.Accept(
        bucket=offer.bucket,
        key=offer.key,
        stamp=offer.stamp,
        flags=offer.flags,
        record=offer.record,
        inline=inline if inline is None or isinstance(inline, bytes) else b"".join(inline),
        staged=offer.staged,
        refs=offer.refs,
        bucket_epoch=offer.bucket_epoch,
        if_held=offer.if_held,
    )


def offer_value(message: pb.Accept) -> drivetypes.Accept:
    """See offer_message."""
    return drivetypes.Accept(
        message.bucket,
        message.key,
        message.stamp,
        message.flags,
        message.record,
        message.inline if message.HasField("inline") else None,
        tuple(message.staged),
        tuple(message.refs),
        message.bucket_epoch,
        message.if_held,
    )


def scan_message(drive: int, scan: drivetypes.Scan) -> pb.ScanRequest:
    """See scan_value."""
    return pb.ScanRequest(
        drive=drive,
        bucket=scan.bucket,
        prefix=scan.prefix,
        delimiter=scan.delimiter,
        after=scan.after,
        limit=scan.limit,
        level=scan.level,
    )


def scan_value(message: pb.ScanRequest) -> drivetypes.Scan:
    """See scan_message."""
    level = drivetypes.Level(message.level)
    return drivetypes.Scan(message.bucket, message.prefix, message.delimiter, message.after, message.limit, level)


def run_message(run: drivetypes.FrameRun) -> pb.VerifyShard:
    """See run_value."""
    return pb.VerifyShard(
        data_id=run.data_id,
        shard=run.shard,
        first_block=run.first_block,
        offset_bytes=run.offset_bytes,
        lengths_bytes=run.lengths_bytes,
    )


def run_value(message: pb.VerifyShard) -> drivetypes.FrameRun:
    """See run_message."""
    return drivetypes.FrameRun(
        message.data_id, message.shard, message.first_block, message.offset_bytes, list(message.lengths_bytes)
    )


# -- answers -----------------------------------------------------------------------------------------------------------


def _only(message: pb.Answer, kind: str) -> Any:  # noqa: ANN401 -- the message of that kind
    """What the answer says. Raises DriveOffline where it says something else, which may be a newer peer's success."""
    if not message.HasField(kind):
        raise DriveOffline(f"the peer answers with {message.WhichOneof('answer')} where {kind} was asked for")
    return getattr(message, kind)


def key_answer(message: pb.Answer) -> drivetypes.KeyAnswer:
    """Of ReadKey."""
    key = _only(message, "key")
    return drivetypes.KeyAnswer(_held_values(key.versions), mark_value(key.mark), blank=key.blank)


def prepare_answer(message: pb.Answer) -> drivetypes.PrepareAnswer:
    """Of Prepare."""
    answer = _only(message, "prepare")
    versions, mark = _held_values(answer.versions), mark_value(answer.mark)
    return drivetypes.PrepareAnswer(answer.promised, answer.highest, versions, mark, answer.blank, answer.floor)


def accept_answer(message: pb.Answer) -> drivetypes.AcceptAnswer:
    """Of Accept and Heal."""
    answer = _only(message, "accept")
    return drivetypes.AcceptAnswer(
        drivetypes.Refusal(answer.refusal), answer.highest, answer.superseded, mark_value(answer.mark)
    )


def mark_answer(message: pb.Answer) -> drivetypes.Mark:
    """Of MarkBucket."""
    return mark_value(_only(message, "mark"))


def marks_answer(message: pb.Answer) -> drivetypes.MarksPage:
    """Of Marks."""
    answer = _only(message, "marks")
    return drivetypes.MarksPage([(each.bucket, mark_value(each.mark)) for each in answer.entries], blank=answer.blank)


def ceiling_answer(message: pb.Answer) -> drivetypes.Ceiling:
    """Of Ceiling."""
    answer = _only(message, "ceiling")
    return drivetypes.Ceiling(answer.stamp, answer.known, answer.formatting)


def sizes_answer(message: pb.Answer) -> list[int]:
    """Of StatShards."""
    return list(_only(message, "sizes").sizes_bytes)


def bad_frames_answer(message: pb.Answer) -> list[int]:
    """Of VerifyShard."""
    return list(_only(message, "bad_frames").blocks)


def tombstones_answer(message: pb.Answer) -> list[tuple[bytes, bytes, bytes]]:
    """Of Tombstones and Unsettled."""
    return [(each.bucket, each.key, each.stamp) for each in _only(message, "tombstones").entries]


def ranges_answer(message: pb.Answer) -> drivetypes.RangePage:
    """Of Ranges."""
    page = _only(message, "ranges")
    ranges = [drivetypes.KeyRange(each.last, each.digest, each.rows) for each in page.ranges]
    return drivetypes.RangePage(page.start, ranges, page.more, blank=page.blank)


def repairs_answer(message: pb.Answer) -> list[drivetypes.RepairItem]:
    """Of Repairs."""
    return [drivetypes.RepairItem(each.sequence, each.bucket, each.key) for each in _only(message, "repairs").entries]


def info_answer(message: pb.Answer) -> drivetypes.DriveInfo:
    """Of DriveInfo."""
    facts = _only(message, "facts")
    return drivetypes.DriveInfo(
        facts.drive_id,
        facts.endpoint,
        drivetypes.DriveState(facts.state),
        facts.reason,
        facts.total_bytes,
        facts.free_bytes,
        facts.versions,
        facts.repair_queue,
        facts.reclaim_queue,
        facts.healing,
    )


def done_answer(message: pb.Answer) -> None:
    """Of calls that have nothing to say."""
    _only(message, "done")


def _key_reply(call_id: int, value: drivetypes.KeyAnswer) -> pb.Answer:
    key = pb.KeyAnswer(versions=_held_messages(value.versions), mark=mark_message(value.mark), blank=value.blank)
    return pb.Answer(id=call_id, key=key)


def _prepare_reply(call_id: int, value: drivetypes.PrepareAnswer) -> pb.Answer:
    answer = pb.PrepareAnswer(
        promised=value.promised,
        highest=value.highest,
        versions=_held_messages(value.versions),
        mark=mark_message(value.mark),
        blank=value.blank,
        floor=value.floor,
    )
    return pb.Answer(id=call_id, prepare=answer)


def _accept_reply(call_id: int, value: drivetypes.AcceptAnswer) -> pb.Answer:
    answer = pb.AcceptAnswer(
        refusal=value.refusal, highest=value.highest, superseded=value.superseded, mark=mark_message(value.mark)
    )
    return pb.Answer(id=call_id, accept=answer)


def _mark_reply(call_id: int, value: drivetypes.Mark) -> pb.Answer:
    return pb.Answer(id=call_id, mark=mark_message(value))


def _marks_reply(call_id: int, value: drivetypes.MarksPage) -> pb.Answer:
    entries = [pb.MarkList.Entry(bucket=bucket, mark=mark_message(mark)) for bucket, mark in value.marks]
    return pb.Answer(id=call_id, marks=pb.MarkList(entries=entries, blank=value.blank))


def _ceiling_reply(call_id: int, value: drivetypes.Ceiling) -> pb.Answer:
    answer = pb.CeilingAnswer(stamp=value.stamp, known=value.known, formatting=value.formatting)
    return pb.Answer(id=call_id, ceiling=answer)


def _sizes_reply(call_id: int, value: list[int]) -> pb.Answer:
    return pb.Answer(id=call_id, sizes=pb.Sizes(sizes_bytes=value))


def _bad_frames_reply(call_id: int, value: list[int]) -> pb.Answer:
    return pb.Answer(id=call_id, bad_frames=pb.BadFrames(blocks=value))


def _tombstones_reply(call_id: int, value: list[tuple[bytes, bytes, bytes]]) -> pb.Answer:
    entries = [pb.TombstoneList.Entry(bucket=bucket, key=key, stamp=stamp) for bucket, key, stamp in value]
    return pb.Answer(id=call_id, tombstones=pb.TombstoneList(entries=entries))


def _ranges_reply(call_id: int, value: drivetypes.RangePage) -> pb.Answer:
    ranges = [pb.RangePage.Range(last=each.last, digest=each.digest, rows=each.rows) for each in value.ranges]
    page = pb.RangePage(start=value.start, ranges=ranges, more=value.more, blank=value.blank)
    return pb.Answer(id=call_id, ranges=page)


def _repairs_reply(call_id: int, value: list[drivetypes.RepairItem]) -> pb.Answer:
    entries = [pb.RepairList.Entry(sequence=each.sequence, bucket=each.bucket, key=each.key) for each in value]
    return pb.Answer(id=call_id, repairs=pb.RepairList(entries=entries))


def _info_reply(call_id: int, value: drivetypes.DriveInfo) -> pb.Answer:
    facts = pb.DriveFacts(
        drive_id=value.drive_id,
        endpoint=value.endpoint,
        state=value.state,
        reason=value.reason,
        total_bytes=value.total_bytes,
        free_bytes=value.free_bytes,
        versions=value.versions,
        repair_queue=value.repair_queue,
        reclaim_queue=value.reclaim_queue,
        healing=value.healing,
    )
    return pb.Answer(id=call_id, facts=facts)


def _done_reply(call_id: int, _value: None) -> pb.Answer:
    return pb.Answer(id=call_id, done=pb.Done())


class Served(NamedTuple):
    """How a kind of call is served: what to ask the drive (a future or an awaitable), and what to say."""

    ask: Callable[[ports.Drive, pb.Call], Any]  # Any: an awaitable of what `reply` takes
    reply: Callable[[int, Any], pb.Answer]


def _read_key(drive: ports.Drive, call: pb.Call) -> Any:  # noqa: ANN401 -- see Served
    key = call.read_key
    return drive.read_key(key.bucket, key.key, drivetypes.Level(key.level))


def _prepare(drive: ports.Drive, call: pb.Call) -> Any:  # noqa: ANN401 -- see Served
    asked = call.prepare
    return drive.prepare(asked.bucket, asked.key, asked.token, drivetypes.Level(asked.level))


SERVED: dict[str, Served] = {
    "read_key": Served(_read_key, _key_reply),
    "prepare": Served(_prepare, _prepare_reply),
    "accept": Served(lambda drive, call: drive.accept(offer_value(call.accept)), _accept_reply),
    "heal": Served(
        lambda drive, call: drive.heal(offer_value(call.heal.offer), call.heal.replace_inline), _accept_reply
    ),
    "mark_bucket": Served(
        lambda drive, call: drive.mark_bucket(call.mark_bucket.bucket, mark_value(call.mark_bucket.mark)), _mark_reply
    ),
    "marks": Served(lambda drive, call: drive.marks(call.marks.after, call.marks.limit), _marks_reply),
    "stat_shards": Served(lambda drive, call: drive.stat_shards(list(call.stat_shards.data_ids)), _sizes_reply),
    "verify_shard": Served(lambda drive, call: drive.verify_shard(run_value(call.verify_shard)), _bad_frames_reply),
    "hold_shards": Served(lambda drive, call: drive.hold_shards(list(call.hold_shards.data_ids)), _done_reply),
    "replace_shard": Served(lambda drive, call: drive.replace_shard(call.replace_shard.data_id), _done_reply),
    "drop": Served(lambda drive, call: drive.drop(call.drop.bucket, call.drop.key, call.drop.stamp), _done_reply),
    "tombstones": Served(
        lambda drive, call: drive.tombstones(call.tombstones.before, call.tombstones.limit), _tombstones_reply
    ),
    "ranges": Served(
        lambda drive, call: drive.ranges(call.ranges.bucket, call.ranges.after, call.ranges.limit), _ranges_reply
    ),
    "unsettled": Served(
        lambda drive, call: drive.unsettled(call.unsettled.after, call.unsettled.before, call.unsettled.limit),
        _tombstones_reply,
    ),
    "repairs": Served(lambda drive, call: drive.repairs(call.repairs.after, call.repairs.limit), _repairs_reply),
    "repaired": Served(lambda drive, call: drive.repaired(list(call.repaired.sequences)), _done_reply),
    "ceiling": Served(lambda drive, _call: drive.ceiling(), _ceiling_reply),
    "learn": Served(lambda drive, call: drive.learn(call.learn.formatting, call.learn.ceiling), _done_reply),
    "healed": Served(lambda drive, call: drive.healed(call.healed.formatting), _done_reply),
    "drive_info": Served(lambda drive, _call: drive.info(), _info_reply),
}


def tell(drive: ports.Drive, call: pb.Call) -> bool:
    """Pass a note on that wants no answer. Whether the call is one."""
    kind = call.WhichOneof("call")
    if kind == "note_chosen":
        for note in call.note_chosen.notes:
            drive.note_chosen(note.bucket, note.key, note.stamp, note.superseded)
    elif kind == "queue_repair":
        for key in call.queue_repair.keys:
            drive.queue_repair(key.bucket, key.key)
    else:
        return False
    return True

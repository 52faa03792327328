from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Error(_message.Message):
    __slots__ = ("kind", "message")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OFFLINE: _ClassVar[Error.Kind]
        FULL: _ClassVar[Error.Kind]
        SHARD_MISSING: _ClassVar[Error.Kind]
        SHARD_CORRUPT: _ClassVar[Error.Kind]
        UNSUPPORTED: _ClassVar[Error.Kind]
        DEADLINE: _ClassVar[Error.Kind]
    OFFLINE: Error.Kind
    FULL: Error.Kind
    SHARD_MISSING: Error.Kind
    SHARD_CORRUPT: Error.Kind
    UNSUPPORTED: Error.Kind
    DEADLINE: Error.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    kind: Error.Kind
    message: str
    def __init__(self, kind: _Optional[_Union[Error.Kind, str]] = ..., message: _Optional[str] = ...) -> None: ...

class Mark(_message.Message):
    __slots__ = ("epoch", "fenced")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FENCED_FIELD_NUMBER: _ClassVar[int]
    epoch: bytes
    fenced: bool
    def __init__(self, epoch: _Optional[bytes] = ..., fenced: _Optional[bool] = ...) -> None: ...

class Held(_message.Message):
    __slots__ = ("stamp", "flags", "record", "inline")
    STAMP_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    INLINE_FIELD_NUMBER: _ClassVar[int]
    stamp: bytes
    flags: int
    record: bytes
    inline: bytes
    def __init__(self, stamp: _Optional[bytes] = ..., flags: _Optional[int] = ..., record: _Optional[bytes] = ..., inline: _Optional[bytes] = ...) -> None: ...

class ReadKey(_message.Message):
    __slots__ = ("bucket", "key", "level")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    bucket: bytes
    key: bytes
    level: int
    def __init__(self, bucket: _Optional[bytes] = ..., key: _Optional[bytes] = ..., level: _Optional[int] = ...) -> None: ...

class Prepare(_message.Message):
    __slots__ = ("bucket", "key", "token", "level")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    bucket: bytes
    key: bytes
    token: bytes
    level: int
    def __init__(self, bucket: _Optional[bytes] = ..., key: _Optional[bytes] = ..., token: _Optional[bytes] = ..., level: _Optional[int] = ...) -> None: ...

class Accept(_message.Message):
    __slots__ = ("bucket", "key", "stamp", "flags", "record", "inline", "staged", "refs", "bucket_epoch", "if_held")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    STAMP_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    INLINE_FIELD_NUMBER: _ClassVar[int]
    STAGED_FIELD_NUMBER: _ClassVar[int]
    REFS_FIELD_NUMBER: _ClassVar[int]
    BUCKET_EPOCH_FIELD_NUMBER: _ClassVar[int]
    IF_HELD_FIELD_NUMBER: _ClassVar[int]
    bucket: bytes
    key: bytes
    stamp: bytes
    flags: int
    record: bytes
    inline: bytes
    staged: _containers.RepeatedScalarFieldContainer[bytes]
    refs: _containers.RepeatedScalarFieldContainer[bytes]
    bucket_epoch: bytes
    if_held: bool
    def __init__(self, bucket: _Optional[bytes] = ..., key: _Optional[bytes] = ..., stamp: _Optional[bytes] = ..., flags: _Optional[int] = ..., record: _Optional[bytes] = ..., inline: _Optional[bytes] = ..., staged: _Optional[_Iterable[bytes]] = ..., refs: _Optional[_Iterable[bytes]] = ..., bucket_epoch: _Optional[bytes] = ..., if_held: _Optional[bool] = ...) -> None: ...

class Heal(_message.Message):
    __slots__ = ("offer", "replace_inline")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    REPLACE_INLINE_FIELD_NUMBER: _ClassVar[int]
    offer: Accept
    replace_inline: bool
    def __init__(self, offer: _Optional[_Union[Accept, _Mapping]] = ..., replace_inline: _Optional[bool] = ...) -> None: ...

class NoteChosen(_message.Message):
    __slots__ = ("notes",)
    class Note(_message.Message):
        __slots__ = ("bucket", "key", "stamp", "superseded")
        BUCKET_FIELD_NUMBER: _ClassVar[int]
        KEY_FIELD_NUMBER: _ClassVar[int]
        STAMP_FIELD_NUMBER: _ClassVar[int]
        SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
        bucket: bytes
        key: bytes
        stamp: bytes
        superseded: bool
        def __init__(self, bucket: _Optional[bytes] = ..., key: _Optional[bytes] = ..., stamp: _Optional[bytes] = ..., superseded: _Optional[bool] = ...) -> None: ...
    NOTES_FIELD_NUMBER: _ClassVar[int]
    notes: _containers.RepeatedCompositeFieldContainer[NoteChosen.Note]
    def __init__(self, notes: _Optional[_Iterable[_Union[NoteChosen.Note, _Mapping]]] = ...) -> None: ...

class MarkBucket(_message.Message):
    __slots__ = ("bucket", "mark")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    bucket: bytes
    mark: Mark
    def __init__(self, bucket: _Optional[bytes] = ..., mark: _Optional[_Union[Mark, _Mapping]] = ...) -> None: ...

class Marks(_message.Message):
    __slots__ = ("after", "limit")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    after: bytes
    limit: int
    def __init__(self, after: _Optional[bytes] = ..., limit: _Optional[int] = ...) -> None: ...

class StatShards(_message.Message):
    __slots__ = ("data_ids",)
    DATA_IDS_FIELD_NUMBER: _ClassVar[int]
    data_ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, data_ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class VerifyShard(_message.Message):
    __slots__ = ("data_id", "shard", "first_block", "offset_bytes", "lengths_bytes")
    DATA_ID_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    FIRST_BLOCK_FIELD_NUMBER: _ClassVar[int]
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    LENGTHS_BYTES_FIELD_NUMBER: _ClassVar[int]
    data_id: bytes
    shard: int
    first_block: int
    offset_bytes: int
    lengths_bytes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, data_id: _Optional[bytes] = ..., shard: _Optional[int] = ..., first_block: _Optional[int] = ..., offset_bytes: _Optional[int] = ..., lengths_bytes: _Optional[_Iterable[int]] = ...) -> None: ...

class HoldShards(_message.Message):
    __slots__ = ("data_ids",)
    DATA_IDS_FIELD_NUMBER: _ClassVar[int]
    data_ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, data_ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ReplaceShard(_message.Message):
    __slots__ = ("data_id",)
    DATA_ID_FIELD_NUMBER: _ClassVar[int]
    data_id: bytes
    def __init__(self, data_id: _Optional[bytes] = ...) -> None: ...

class Drop(_message.Message):
    __slots__ = ("bucket", "key", "stamp")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    STAMP_FIELD_NUMBER: _ClassVar[int]
    bucket: bytes
    key: bytes
    stamp: bytes
    def __init__(self, bucket: _Optional[bytes] = ..., key: _Optional[bytes] = ..., stamp: _Optional[bytes] = ...) -> None: ...

class Tombstones(_message.Message):
    __slots__ = ("before", "limit")
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    before: bytes
    limit: int
    def __init__(self, before: _Optional[bytes] = ..., limit: _Optional[int] = ...) -> None: ...

class Ranges(_message.Message):
    __slots__ = ("bucket", "after", "limit")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    bucket: bytes
    after: bytes
    limit: int
    def __init__(self, bucket: _Optional[bytes] = ..., after: _Optional[bytes] = ..., limit: _Optional[int] = ...) -> None: ...

class Unsettled(_message.Message):
    __slots__ = ("after", "before", "limit")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    after: bytes
    before: bytes
    limit: int
    def __init__(self, after: _Optional[bytes] = ..., before: _Optional[bytes] = ..., limit: _Optional[int] = ...) -> None: ...

class QueueRepair(_message.Message):
    __slots__ = ("keys",)
    class Key(_message.Message):
        __slots__ = ("bucket", "key")
        BUCKET_FIELD_NUMBER: _ClassVar[int]
        KEY_FIELD_NUMBER: _ClassVar[int]
        bucket: bytes
        key: bytes
        def __init__(self, bucket: _Optional[bytes] = ..., key: _Optional[bytes] = ...) -> None: ...
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[QueueRepair.Key]
    def __init__(self, keys: _Optional[_Iterable[_Union[QueueRepair.Key, _Mapping]]] = ...) -> None: ...

class Repairs(_message.Message):
    __slots__ = ("after", "limit")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    after: int
    limit: int
    def __init__(self, after: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class Repaired(_message.Message):
    __slots__ = ("sequences",)
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    sequences: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, sequences: _Optional[_Iterable[int]] = ...) -> None: ...

class Healed(_message.Message):
    __slots__ = ("formatting",)
    FORMATTING_FIELD_NUMBER: _ClassVar[int]
    formatting: bytes
    def __init__(self, formatting: _Optional[bytes] = ...) -> None: ...

class Ceiling(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Learn(_message.Message):
    __slots__ = ("formatting", "ceiling")
    FORMATTING_FIELD_NUMBER: _ClassVar[int]
    CEILING_FIELD_NUMBER: _ClassVar[int]
    formatting: bytes
    ceiling: bytes
    def __init__(self, formatting: _Optional[bytes] = ..., ceiling: _Optional[bytes] = ...) -> None: ...

class DriveInfo(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Call(_message.Message):
    __slots__ = ("id", "drive", "timeout_ms", "read_key", "prepare", "accept", "heal", "note_chosen", "mark_bucket", "stat_shards", "hold_shards", "replace_shard", "drop", "tombstones", "queue_repair", "repairs", "repaired", "healed", "drive_info", "marks", "ceiling", "learn", "ranges", "unsettled", "verify_shard")
    ID_FIELD_NUMBER: _ClassVar[int]
    DRIVE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    READ_KEY_FIELD_NUMBER: _ClassVar[int]
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    HEAL_FIELD_NUMBER: _ClassVar[int]
    NOTE_CHOSEN_FIELD_NUMBER: _ClassVar[int]
    MARK_BUCKET_FIELD_NUMBER: _ClassVar[int]
    STAT_SHARDS_FIELD_NUMBER: _ClassVar[int]
    HOLD_SHARDS_FIELD_NUMBER: _ClassVar[int]
    REPLACE_SHARD_FIELD_NUMBER: _ClassVar[int]
    DROP_FIELD_NUMBER: _ClassVar[int]
    TOMBSTONES_FIELD_NUMBER: _ClassVar[int]
    QUEUE_REPAIR_FIELD_NUMBER: _ClassVar[int]
    REPAIRS_FIELD_NUMBER: _ClassVar[int]
    REPAIRED_FIELD_NUMBER: _ClassVar[int]
    HEALED_FIELD_NUMBER: _ClassVar[int]
    DRIVE_INFO_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    CEILING_FIELD_NUMBER: _ClassVar[int]
    LEARN_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    UNSETTLED_FIELD_NUMBER: _ClassVar[int]
    VERIFY_SHARD_FIELD_NUMBER: _ClassVar[int]
    id: int
    drive: int
    timeout_ms: int
    read_key: ReadKey
    prepare: Prepare
    accept: Accept
    heal: Heal
    note_chosen: NoteChosen
    mark_bucket: MarkBucket
    stat_shards: StatShards
    hold_shards: HoldShards
    replace_shard: ReplaceShard
    drop: Drop
    tombstones: Tombstones
    queue_repair: QueueRepair
    repairs: Repairs
    repaired: Repaired
    healed: Healed
    drive_info: DriveInfo
    marks: Marks
    ceiling: Ceiling
    learn: Learn
    ranges: Ranges
    unsettled: Unsettled
    verify_shard: VerifyShard
    def __init__(self, id: _Optional[int] = ..., drive: _Optional[int] = ..., timeout_ms: _Optional[int] = ..., read_key: _Optional[_Union[ReadKey, _Mapping]] = ..., prepare: _Optional[_Union[Prepare, _Mapping]] = ..., accept: _Optional[_Union[Accept, _Mapping]] = ..., heal: _Optional[_Union[Heal, _Mapping]] = ..., note_chosen: _Optional[_Union[NoteChosen, _Mapping]] = ..., mark_bucket: _Optional[_Union[MarkBucket, _Mapping]] = ..., stat_shards: _Optional[_Union[StatShards, _Mapping]] = ..., hold_shards: _Optional[_Union[HoldShards, _Mapping]] = ..., replace_shard: _Optional[_Union[ReplaceShard, _Mapping]] = ..., drop: _Optional[_Union[Drop, _Mapping]] = ..., tombstones: _Optional[_Union[Tombstones, _Mapping]] = ..., queue_repair: _Optional[_Union[QueueRepair, _Mapping]] = ..., repairs: _Optional[_Union[Repairs, _Mapping]] = ..., repaired: _Optional[_Union[Repaired, _Mapping]] = ..., healed: _Optional[_Union[Healed, _Mapping]] = ..., drive_info: _Optional[_Union[DriveInfo, _Mapping]] = ..., marks: _Optional[_Union[Marks, _Mapping]] = ..., ceiling: _Optional[_Union[Ceiling, _Mapping]] = ..., learn: _Optional[_Union[Learn, _Mapping]] = ..., ranges: _Optional[_Union[Ranges, _Mapping]] = ..., unsettled: _Optional[_Union[Unsettled, _Mapping]] = ..., verify_shard: _Optional[_Union[VerifyShard, _Mapping]] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("calls", "ping")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[Call]
    ping: int
    def __init__(self, calls: _Optional[_Iterable[_Union[Call, _Mapping]]] = ..., ping: _Optional[int] = ...) -> None: ...

class KeyAnswer(_message.Message):
    __slots__ = ("versions", "mark", "blank")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    BLANK_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[Held]
    mark: Mark
    blank: bool
    def __init__(self, versions: _Optional[_Iterable[_Union[Held, _Mapping]]] = ..., mark: _Optional[_Union[Mark, _Mapping]] = ..., blank: _Optional[bool] = ...) -> None: ...

class PrepareAnswer(_message.Message):
    __slots__ = ("promised", "highest", "versions", "mark", "blank", "floor")
    PROMISED_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    BLANK_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    promised: bool
    highest: bytes
    versions: _containers.RepeatedCompositeFieldContainer[Held]
    mark: Mark
    blank: bool
    floor: bytes
    def __init__(self, promised: _Optional[bool] = ..., highest: _Optional[bytes] = ..., versions: _Optional[_Iterable[_Union[Held, _Mapping]]] = ..., mark: _Optional[_Union[Mark, _Mapping]] = ..., blank: _Optional[bool] = ..., floor: _Optional[bytes] = ...) -> None: ...

class AcceptAnswer(_message.Message):
    __slots__ = ("refusal", "highest", "superseded", "mark")
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    refusal: int
    highest: bytes
    superseded: bool
    mark: Mark
    def __init__(self, refusal: _Optional[int] = ..., highest: _Optional[bytes] = ..., superseded: _Optional[bool] = ..., mark: _Optional[_Union[Mark, _Mapping]] = ...) -> None: ...

class Sizes(_message.Message):
    __slots__ = ("sizes_bytes",)
    SIZES_BYTES_FIELD_NUMBER: _ClassVar[int]
    sizes_bytes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, sizes_bytes: _Optional[_Iterable[int]] = ...) -> None: ...

class BadFrames(_message.Message):
    __slots__ = ("blocks",)
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, blocks: _Optional[_Iterable[int]] = ...) -> None: ...

class MarkList(_message.Message):
    __slots__ = ("entries", "blank")
    class Entry(_message.Message):
        __slots__ = ("bucket", "mark")
        BUCKET_FIELD_NUMBER: _ClassVar[int]
        MARK_FIELD_NUMBER: _ClassVar[int]
        bucket: bytes
        mark: Mark
        def __init__(self, bucket: _Optional[bytes] = ..., mark: _Optional[_Union[Mark, _Mapping]] = ...) -> None: ...
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    BLANK_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[MarkList.Entry]
    blank: bool
    def __init__(self, entries: _Optional[_Iterable[_Union[MarkList.Entry, _Mapping]]] = ..., blank: _Optional[bool] = ...) -> None: ...

class CeilingAnswer(_message.Message):
    __slots__ = ("stamp", "known", "formatting")
    STAMP_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    FORMATTING_FIELD_NUMBER: _ClassVar[int]
    stamp: bytes
    known: bool
    formatting: bytes
    def __init__(self, stamp: _Optional[bytes] = ..., known: _Optional[bool] = ..., formatting: _Optional[bytes] = ...) -> None: ...

class TombstoneList(_message.Message):
    __slots__ = ("entries",)
    class Entry(_message.Message):
        __slots__ = ("bucket", "key", "stamp")
        BUCKET_FIELD_NUMBER: _ClassVar[int]
        KEY_FIELD_NUMBER: _ClassVar[int]
        STAMP_FIELD_NUMBER: _ClassVar[int]
        bucket: bytes
        key: bytes
        stamp: bytes
        def __init__(self, bucket: _Optional[bytes] = ..., key: _Optional[bytes] = ..., stamp: _Optional[bytes] = ...) -> None: ...
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[TombstoneList.Entry]
    def __init__(self, entries: _Optional[_Iterable[_Union[TombstoneList.Entry, _Mapping]]] = ...) -> None: ...

class RangePage(_message.Message):
    __slots__ = ("start", "ranges", "more", "blank")
    class Range(_message.Message):
        __slots__ = ("last", "digest", "rows")
        LAST_FIELD_NUMBER: _ClassVar[int]
        DIGEST_FIELD_NUMBER: _ClassVar[int]
        ROWS_FIELD_NUMBER: _ClassVar[int]
        last: bytes
        digest: bytes
        rows: int
        def __init__(self, last: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., rows: _Optional[int] = ...) -> None: ...
    START_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    BLANK_FIELD_NUMBER: _ClassVar[int]
    start: bytes
    ranges: _containers.RepeatedCompositeFieldContainer[RangePage.Range]
    more: bool
    blank: bool
    def __init__(self, start: _Optional[bytes] = ..., ranges: _Optional[_Iterable[_Union[RangePage.Range, _Mapping]]] = ..., more: _Optional[bool] = ..., blank: _Optional[bool] = ...) -> None: ...

class RepairList(_message.Message):
    __slots__ = ("entries",)
    class Entry(_message.Message):
        __slots__ = ("sequence", "bucket", "key")
        SEQUENCE_FIELD_NUMBER: _ClassVar[int]
        BUCKET_FIELD_NUMBER: _ClassVar[int]
        KEY_FIELD_NUMBER: _ClassVar[int]
        sequence: int
        bucket: bytes
        key: bytes
        def __init__(self, sequence: _Optional[int] = ..., bucket: _Optional[bytes] = ..., key: _Optional[bytes] = ...) -> None: ...
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[RepairList.Entry]
    def __init__(self, entries: _Optional[_Iterable[_Union[RepairList.Entry, _Mapping]]] = ...) -> None: ...

class DriveFacts(_message.Message):
    __slots__ = ("drive_id", "endpoint", "state", "reason", "total_bytes", "free_bytes", "versions", "repair_queue", "reclaim_queue", "healing")
    DRIVE_ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    REPAIR_QUEUE_FIELD_NUMBER: _ClassVar[int]
    RECLAIM_QUEUE_FIELD_NUMBER: _ClassVar[int]
    HEALING_FIELD_NUMBER: _ClassVar[int]
    drive_id: str
    endpoint: str
    state: str
    reason: str
    total_bytes: int
    free_bytes: int
    versions: int
    repair_queue: int
    reclaim_queue: int
    healing: bool
    def __init__(self, drive_id: _Optional[str] = ..., endpoint: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., total_bytes: _Optional[int] = ..., free_bytes: _Optional[int] = ..., versions: _Optional[int] = ..., repair_queue: _Optional[int] = ..., reclaim_queue: _Optional[int] = ..., healing: _Optional[bool] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Answer(_message.Message):
    __slots__ = ("id", "error", "key", "prepare", "accept", "mark", "sizes", "tombstones", "repairs", "facts", "done", "marks", "ceiling", "ranges", "bad_frames")
    ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    TOMBSTONES_FIELD_NUMBER: _ClassVar[int]
    REPAIRS_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    CEILING_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    BAD_FRAMES_FIELD_NUMBER: _ClassVar[int]
    id: int
    error: Error
    key: KeyAnswer
    prepare: PrepareAnswer
    accept: AcceptAnswer
    mark: Mark
    sizes: Sizes
    tombstones: TombstoneList
    repairs: RepairList
    facts: DriveFacts
    done: Done
    marks: MarkList
    ceiling: CeilingAnswer
    ranges: RangePage
    bad_frames: BadFrames
    def __init__(self, id: _Optional[int] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., key: _Optional[_Union[KeyAnswer, _Mapping]] = ..., prepare: _Optional[_Union[PrepareAnswer, _Mapping]] = ..., accept: _Optional[_Union[AcceptAnswer, _Mapping]] = ..., mark: _Optional[_Union[Mark, _Mapping]] = ..., sizes: _Optional[_Union[Sizes, _Mapping]] = ..., tombstones: _Optional[_Union[TombstoneList, _Mapping]] = ..., repairs: _Optional[_Union[RepairList, _Mapping]] = ..., facts: _Optional[_Union[DriveFacts, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ..., marks: _Optional[_Union[MarkList, _Mapping]] = ..., ceiling: _Optional[_Union[CeilingAnswer, _Mapping]] = ..., ranges: _Optional[_Union[RangePage, _Mapping]] = ..., bad_frames: _Optional[_Union[BadFrames, _Mapping]] = ...) -> None: ...

class DriveStatus(_message.Message):
    __slots__ = ("drive", "online", "healing", "room_bytes", "drive_id")
    DRIVE_FIELD_NUMBER: _ClassVar[int]
    ONLINE_FIELD_NUMBER: _ClassVar[int]
    HEALING_FIELD_NUMBER: _ClassVar[int]
    ROOM_BYTES_FIELD_NUMBER: _ClassVar[int]
    DRIVE_ID_FIELD_NUMBER: _ClassVar[int]
    drive: int
    online: bool
    healing: bool
    room_bytes: int
    drive_id: str
    def __init__(self, drive: _Optional[int] = ..., online: _Optional[bool] = ..., healing: _Optional[bool] = ..., room_bytes: _Optional[int] = ..., drive_id: _Optional[str] = ...) -> None: ...

class BatchAnswer(_message.Message):
    __slots__ = ("answers", "ping", "drives")
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    DRIVES_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[Answer]
    ping: int
    drives: _containers.RepeatedCompositeFieldContainer[DriveStatus]
    def __init__(self, answers: _Optional[_Iterable[_Union[Answer, _Mapping]]] = ..., ping: _Optional[int] = ..., drives: _Optional[_Iterable[_Union[DriveStatus, _Mapping]]] = ...) -> None: ...

class ShardChunk(_message.Message):
    __slots__ = ("drive", "data_id", "size_bytes", "data", "finish")
    DRIVE_FIELD_NUMBER: _ClassVar[int]
    DATA_ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    drive: int
    data_id: bytes
    size_bytes: int
    data: bytes
    finish: bool
    def __init__(self, drive: _Optional[int] = ..., data_id: _Optional[bytes] = ..., size_bytes: _Optional[int] = ..., data: _Optional[bytes] = ..., finish: _Optional[bool] = ...) -> None: ...

class ShardWritten(_message.Message):
    __slots__ = ("error",)
    ERROR_FIELD_NUMBER: _ClassVar[int]
    error: Error
    def __init__(self, error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class ShardRange(_message.Message):
    __slots__ = ("drive", "data_id", "offset_bytes", "size_bytes")
    DRIVE_FIELD_NUMBER: _ClassVar[int]
    DATA_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    drive: int
    data_id: bytes
    offset_bytes: int
    size_bytes: int
    def __init__(self, drive: _Optional[int] = ..., data_id: _Optional[bytes] = ..., offset_bytes: _Optional[int] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class ShardBytes(_message.Message):
    __slots__ = ("data", "error")
    DATA_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    error: Error
    def __init__(self, data: _Optional[bytes] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class ScanRequest(_message.Message):
    __slots__ = ("drive", "bucket", "prefix", "delimiter", "after", "limit", "level")
    DRIVE_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    DELIMITER_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    drive: int
    bucket: bytes
    prefix: bytes
    delimiter: bytes
    after: bytes
    limit: int
    level: int
    def __init__(self, drive: _Optional[int] = ..., bucket: _Optional[bytes] = ..., prefix: _Optional[bytes] = ..., delimiter: _Optional[bytes] = ..., after: _Optional[bytes] = ..., limit: _Optional[int] = ..., level: _Optional[int] = ...) -> None: ...

class ScanPart(_message.Message):
    __slots__ = ("rows", "last", "more", "resume", "mark", "blank", "error")
    class Row(_message.Message):
        __slots__ = ("key", "stamp", "flags", "record")
        KEY_FIELD_NUMBER: _ClassVar[int]
        STAMP_FIELD_NUMBER: _ClassVar[int]
        FLAGS_FIELD_NUMBER: _ClassVar[int]
        RECORD_FIELD_NUMBER: _ClassVar[int]
        key: bytes
        stamp: bytes
        flags: int
        record: bytes
        def __init__(self, key: _Optional[bytes] = ..., stamp: _Optional[bytes] = ..., flags: _Optional[int] = ..., record: _Optional[bytes] = ...) -> None: ...
    ROWS_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    BLANK_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[ScanPart.Row]
    last: bool
    more: bool
    resume: bytes
    mark: Mark
    blank: bool
    error: Error
    def __init__(self, rows: _Optional[_Iterable[_Union[ScanPart.Row, _Mapping]]] = ..., last: _Optional[bool] = ..., more: _Optional[bool] = ..., resume: _Optional[bytes] = ..., mark: _Optional[_Union[Mark, _Mapping]] = ..., blank: _Optional[bool] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

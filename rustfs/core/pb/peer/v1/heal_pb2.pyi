from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class HealStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HealStatusAnswer(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: str
    def __init__(self, json: _Optional[str] = ...) -> None: ...

class HealStartRequest(_message.Message):
    __slots__ = ("bucket", "prefix", "deep", "run")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    DEEP_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    prefix: bytes
    deep: bool
    run: str
    def __init__(self, bucket: _Optional[str] = ..., prefix: _Optional[bytes] = ..., deep: _Optional[bool] = ..., run: _Optional[str] = ...) -> None: ...

class HealProgress(_message.Message):
    __slots__ = ("run", "keys_checked", "keys_healed", "keys_failed", "last_key", "done", "error", "sets", "keys_waiting", "bytes_healed", "bucket", "stopped")
    RUN_FIELD_NUMBER: _ClassVar[int]
    KEYS_CHECKED_FIELD_NUMBER: _ClassVar[int]
    KEYS_HEALED_FIELD_NUMBER: _ClassVar[int]
    KEYS_FAILED_FIELD_NUMBER: _ClassVar[int]
    LAST_KEY_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SETS_FIELD_NUMBER: _ClassVar[int]
    KEYS_WAITING_FIELD_NUMBER: _ClassVar[int]
    BYTES_HEALED_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    run: str
    keys_checked: int
    keys_healed: int
    keys_failed: int
    last_key: bytes
    done: bool
    error: str
    sets: _containers.RepeatedScalarFieldContainer[int]
    keys_waiting: int
    bytes_healed: int
    bucket: bytes
    stopped: bool
    def __init__(self, run: _Optional[str] = ..., keys_checked: _Optional[int] = ..., keys_healed: _Optional[int] = ..., keys_failed: _Optional[int] = ..., last_key: _Optional[bytes] = ..., done: _Optional[bool] = ..., error: _Optional[str] = ..., sets: _Optional[_Iterable[int]] = ..., keys_waiting: _Optional[int] = ..., bytes_healed: _Optional[int] = ..., bucket: _Optional[bytes] = ..., stopped: _Optional[bool] = ...) -> None: ...

class HealStopRequest(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: str
    def __init__(self, run: _Optional[str] = ...) -> None: ...

class HealStopAnswer(_message.Message):
    __slots__ = ("found",)
    FOUND_FIELD_NUMBER: _ClassVar[int]
    found: bool
    def __init__(self, found: _Optional[bool] = ...) -> None: ...

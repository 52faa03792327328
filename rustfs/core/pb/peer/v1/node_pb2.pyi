from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Identity(_message.Message):
    __slots__ = ("node", "version", "protocol", "topology", "deployment_id", "time_ms", "incarnation", "drives")
    NODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    DRIVES_FIELD_NUMBER: _ClassVar[int]
    node: str
    version: str
    protocol: int
    topology: str
    deployment_id: str
    time_ms: int
    incarnation: bytes
    drives: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node: _Optional[str] = ..., version: _Optional[str] = ..., protocol: _Optional[int] = ..., topology: _Optional[str] = ..., deployment_id: _Optional[str] = ..., time_ms: _Optional[int] = ..., incarnation: _Optional[bytes] = ..., drives: _Optional[_Iterable[str]] = ...) -> None: ...

class HandshakeRequest(_message.Message):
    __slots__ = ("identity",)
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ...) -> None: ...

class HandshakeAnswer(_message.Message):
    __slots__ = ("identity", "refusal", "serving", "proof")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    refusal: str
    serving: bool
    proof: bytes
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ..., refusal: _Optional[str] = ..., serving: _Optional[bool] = ..., proof: _Optional[bytes] = ...) -> None: ...

class PingRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PingAnswer(_message.Message):
    __slots__ = ("time_ms", "serving")
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    time_ms: int
    serving: bool
    def __init__(self, time_ms: _Optional[int] = ..., serving: _Optional[bool] = ...) -> None: ...

class PoolFormat(_message.Message):
    __slots__ = ("deployment_id", "drive_ids", "mount_points")
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    DRIVE_IDS_FIELD_NUMBER: _ClassVar[int]
    MOUNT_POINTS_FIELD_NUMBER: _ClassVar[int]
    deployment_id: str
    drive_ids: _containers.RepeatedScalarFieldContainer[str]
    mount_points: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, deployment_id: _Optional[str] = ..., drive_ids: _Optional[_Iterable[str]] = ..., mount_points: _Optional[_Iterable[int]] = ...) -> None: ...

class PrepareFormatRequest(_message.Message):
    __slots__ = ("pool", "ballot")
    POOL_FIELD_NUMBER: _ClassVar[int]
    BALLOT_FIELD_NUMBER: _ClassVar[int]
    pool: int
    ballot: bytes
    def __init__(self, pool: _Optional[int] = ..., ballot: _Optional[bytes] = ...) -> None: ...

class PrepareFormatAnswer(_message.Message):
    __slots__ = ("promised", "highest", "accepted_ballot", "accepted", "decided", "mount_points")
    PROMISED_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_BALLOT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    DECIDED_FIELD_NUMBER: _ClassVar[int]
    MOUNT_POINTS_FIELD_NUMBER: _ClassVar[int]
    promised: bool
    highest: bytes
    accepted_ballot: bytes
    accepted: PoolFormat
    decided: PoolFormat
    mount_points: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, promised: _Optional[bool] = ..., highest: _Optional[bytes] = ..., accepted_ballot: _Optional[bytes] = ..., accepted: _Optional[_Union[PoolFormat, _Mapping]] = ..., decided: _Optional[_Union[PoolFormat, _Mapping]] = ..., mount_points: _Optional[_Iterable[int]] = ...) -> None: ...

class AcceptFormatRequest(_message.Message):
    __slots__ = ("pool", "ballot", "format")
    POOL_FIELD_NUMBER: _ClassVar[int]
    BALLOT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    pool: int
    ballot: bytes
    format: PoolFormat
    def __init__(self, pool: _Optional[int] = ..., ballot: _Optional[bytes] = ..., format: _Optional[_Union[PoolFormat, _Mapping]] = ...) -> None: ...

class AcceptFormatAnswer(_message.Message):
    __slots__ = ("accepted", "highest")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    highest: bytes
    def __init__(self, accepted: _Optional[bool] = ..., highest: _Optional[bytes] = ...) -> None: ...

class ConfigurationChangedRequest(_message.Message):
    __slots__ = ("stamp", "record")
    STAMP_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    stamp: bytes
    record: bytes
    def __init__(self, stamp: _Optional[bytes] = ..., record: _Optional[bytes] = ...) -> None: ...

class ConfigurationChangedAnswer(_message.Message):
    __slots__ = ("workers", "unconfirmed")
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    UNCONFIRMED_FIELD_NUMBER: _ClassVar[int]
    workers: int
    unconfirmed: int
    def __init__(self, workers: _Optional[int] = ..., unconfirmed: _Optional[int] = ...) -> None: ...

class InfoRequest(_message.Message):
    __slots__ = ("what",)
    WHAT_FIELD_NUMBER: _ClassVar[int]
    what: str
    def __init__(self, what: _Optional[str] = ...) -> None: ...

class InfoAnswer(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: str
    def __init__(self, json: _Optional[str] = ...) -> None: ...

class TraceRequest(_message.Message):
    __slots__ = ("node", "errors_only", "operation", "path_prefix", "slower_than_ms")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ERRORS_ONLY_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    PATH_PREFIX_FIELD_NUMBER: _ClassVar[int]
    SLOWER_THAN_MS_FIELD_NUMBER: _ClassVar[int]
    node: str
    errors_only: bool
    operation: str
    path_prefix: str
    slower_than_ms: int
    def __init__(self, node: _Optional[str] = ..., errors_only: _Optional[bool] = ..., operation: _Optional[str] = ..., path_prefix: _Optional[str] = ..., slower_than_ms: _Optional[int] = ...) -> None: ...

class TraceEvent(_message.Message):
    __slots__ = ("time_ms", "node", "operation", "method", "path", "status", "duration_us", "received_bytes", "sent_bytes", "client", "request_id", "dropped")
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DURATION_US_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    time_ms: int
    node: str
    operation: str
    method: str
    path: str
    status: int
    duration_us: int
    received_bytes: int
    sent_bytes: int
    client: str
    request_id: str
    dropped: int
    def __init__(self, time_ms: _Optional[int] = ..., node: _Optional[str] = ..., operation: _Optional[str] = ..., method: _Optional[str] = ..., path: _Optional[str] = ..., status: _Optional[int] = ..., duration_us: _Optional[int] = ..., received_bytes: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., client: _Optional[str] = ..., request_id: _Optional[str] = ..., dropped: _Optional[int] = ...) -> None: ...

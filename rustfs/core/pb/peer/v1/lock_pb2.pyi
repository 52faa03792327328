from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LockVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOCK_VERDICT_UNSPECIFIED: _ClassVar[LockVerdict]
    LOCK_VERDICT_GRANTED: _ClassVar[LockVerdict]
    LOCK_VERDICT_PROVISIONAL: _ClassVar[LockVerdict]
    LOCK_VERDICT_HELD: _ClassVar[LockVerdict]
    LOCK_VERDICT_QUEUED: _ClassVar[LockVerdict]
    LOCK_VERDICT_NOT_HELD: _ClassVar[LockVerdict]
    LOCK_VERDICT_REVOKED: _ClassVar[LockVerdict]
    LOCK_VERDICT_FULL: _ClassVar[LockVerdict]
LOCK_VERDICT_UNSPECIFIED: LockVerdict
LOCK_VERDICT_GRANTED: LockVerdict
LOCK_VERDICT_PROVISIONAL: LockVerdict
LOCK_VERDICT_HELD: LockVerdict
LOCK_VERDICT_QUEUED: LockVerdict
LOCK_VERDICT_NOT_HELD: LockVerdict
LOCK_VERDICT_REVOKED: LockVerdict
LOCK_VERDICT_FULL: LockVerdict

class LockOwner(_message.Message):
    __slots__ = ("owner_id", "node", "purpose")
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    owner_id: bytes
    node: str
    purpose: str
    def __init__(self, owner_id: _Optional[bytes] = ..., node: _Optional[str] = ..., purpose: _Optional[str] = ...) -> None: ...

class LockClaim(_message.Message):
    __slots__ = ("resource", "owner", "shared", "round", "lease_milliseconds")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    LEASE_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    resource: bytes
    owner: LockOwner
    shared: bool
    round: int
    lease_milliseconds: int
    def __init__(self, resource: _Optional[bytes] = ..., owner: _Optional[_Union[LockOwner, _Mapping]] = ..., shared: _Optional[bool] = ..., round: _Optional[int] = ..., lease_milliseconds: _Optional[int] = ...) -> None: ...

class LockEntry(_message.Message):
    __slots__ = ("resource", "owner", "shared", "waiting", "age_milliseconds", "expires_in_milliseconds")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    AGE_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_IN_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    resource: bytes
    owner: LockOwner
    shared: bool
    waiting: bool
    age_milliseconds: int
    expires_in_milliseconds: int
    def __init__(self, resource: _Optional[bytes] = ..., owner: _Optional[_Union[LockOwner, _Mapping]] = ..., shared: _Optional[bool] = ..., waiting: _Optional[bool] = ..., age_milliseconds: _Optional[int] = ..., expires_in_milliseconds: _Optional[int] = ...) -> None: ...

class AcquireRequest(_message.Message):
    __slots__ = ("claim", "waited_milliseconds")
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    WAITED_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    claim: LockClaim
    waited_milliseconds: int
    def __init__(self, claim: _Optional[_Union[LockClaim, _Mapping]] = ..., waited_milliseconds: _Optional[int] = ...) -> None: ...

class AcquireReply(_message.Message):
    __slots__ = ("verdict", "holders")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    verdict: LockVerdict
    holders: _containers.RepeatedCompositeFieldContainer[LockEntry]
    def __init__(self, verdict: _Optional[_Union[LockVerdict, str]] = ..., holders: _Optional[_Iterable[_Union[LockEntry, _Mapping]]] = ...) -> None: ...

class RefreshRequest(_message.Message):
    __slots__ = ("claim",)
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    claim: LockClaim
    def __init__(self, claim: _Optional[_Union[LockClaim, _Mapping]] = ...) -> None: ...

class RefreshReply(_message.Message):
    __slots__ = ("verdict", "holders")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    verdict: LockVerdict
    holders: _containers.RepeatedCompositeFieldContainer[LockEntry]
    def __init__(self, verdict: _Optional[_Union[LockVerdict, str]] = ..., holders: _Optional[_Iterable[_Union[LockEntry, _Mapping]]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("resource", "owner", "shared", "round", "waited_milliseconds")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    WAITED_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    resource: bytes
    owner: LockOwner
    shared: bool
    round: int
    waited_milliseconds: int
    def __init__(self, resource: _Optional[bytes] = ..., owner: _Optional[_Union[LockOwner, _Mapping]] = ..., shared: _Optional[bool] = ..., round: _Optional[int] = ..., waited_milliseconds: _Optional[int] = ...) -> None: ...

class ReleaseReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ForceReleaseRequest(_message.Message):
    __slots__ = ("resource", "owner_id")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    resource: bytes
    owner_id: bytes
    def __init__(self, resource: _Optional[bytes] = ..., owner_id: _Optional[bytes] = ...) -> None: ...

class ForceReleaseReply(_message.Message):
    __slots__ = ("released",)
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    released: int
    def __init__(self, released: _Optional[int] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("after_resource", "after_owner_id", "limit")
    AFTER_RESOURCE_FIELD_NUMBER: _ClassVar[int]
    AFTER_OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    after_resource: bytes
    after_owner_id: bytes
    limit: int
    def __init__(self, after_resource: _Optional[bytes] = ..., after_owner_id: _Optional[bytes] = ..., limit: _Optional[int] = ...) -> None: ...

class ListReply(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[LockEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[LockEntry, _Mapping]]] = ...) -> None: ...

from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Header(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Checksum(_message.Message):
    __slots__ = ("algorithm", "value", "composite")
    class Algorithm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        NONE: _ClassVar[Checksum.Algorithm]
        CRC32: _ClassVar[Checksum.Algorithm]
        CRC32C: _ClassVar[Checksum.Algorithm]
        CRC64NVME: _ClassVar[Checksum.Algorithm]
        SHA1: _ClassVar[Checksum.Algorithm]
        SHA256: _ClassVar[Checksum.Algorithm]
    NONE: Checksum.Algorithm
    CRC32: Checksum.Algorithm
    CRC32C: Checksum.Algorithm
    CRC64NVME: Checksum.Algorithm
    SHA1: Checksum.Algorithm
    SHA256: Checksum.Algorithm
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    COMPOSITE_FIELD_NUMBER: _ClassVar[int]
    algorithm: Checksum.Algorithm
    value: bytes
    composite: bool
    def __init__(self, algorithm: _Optional[_Union[Checksum.Algorithm, str]] = ..., value: _Optional[bytes] = ..., composite: _Optional[bool] = ...) -> None: ...

class Extent(_message.Message):
    __slots__ = ("data_id", "size_bytes", "data_shards", "parity_shards", "rotation", "compressed", "stored_bytes", "inline")
    DATA_ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_SHARDS_FIELD_NUMBER: _ClassVar[int]
    PARITY_SHARDS_FIELD_NUMBER: _ClassVar[int]
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    COMPRESSED_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    INLINE_FIELD_NUMBER: _ClassVar[int]
    data_id: bytes
    size_bytes: int
    data_shards: int
    parity_shards: int
    rotation: int
    compressed: bool
    stored_bytes: int
    inline: bool
    def __init__(self, data_id: _Optional[bytes] = ..., size_bytes: _Optional[int] = ..., data_shards: _Optional[int] = ..., parity_shards: _Optional[int] = ..., rotation: _Optional[int] = ..., compressed: _Optional[bool] = ..., stored_bytes: _Optional[int] = ..., inline: _Optional[bool] = ...) -> None: ...

class ObjectPart(_message.Message):
    __slots__ = ("number", "size_bytes", "checksum")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    number: int
    size_bytes: int
    checksum: bytes
    def __init__(self, number: _Optional[int] = ..., size_bytes: _Optional[int] = ..., checksum: _Optional[bytes] = ...) -> None: ...

class ObjectRecord(_message.Message):
    __slots__ = ("size_bytes", "etag", "extents", "headers", "user_metadata", "storage_class", "checksum", "parts", "upload_id")
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    EXTENTS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    USER_METADATA_FIELD_NUMBER: _ClassVar[int]
    STORAGE_CLASS_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    size_bytes: int
    etag: str
    extents: _containers.RepeatedCompositeFieldContainer[Extent]
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    user_metadata: _containers.RepeatedCompositeFieldContainer[Header]
    storage_class: str
    checksum: Checksum
    parts: _containers.RepeatedCompositeFieldContainer[ObjectPart]
    upload_id: str
    def __init__(self, size_bytes: _Optional[int] = ..., etag: _Optional[str] = ..., extents: _Optional[_Iterable[_Union[Extent, _Mapping]]] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., user_metadata: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., storage_class: _Optional[str] = ..., checksum: _Optional[_Union[Checksum, _Mapping]] = ..., parts: _Optional[_Iterable[_Union[ObjectPart, _Mapping]]] = ..., upload_id: _Optional[str] = ...) -> None: ...

class BucketRecord(_message.Message):
    __slots__ = ("state", "created", "location", "owner")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        LIVE: _ClassVar[BucketRecord.State]
        DELETING: _ClassVar[BucketRecord.State]
    LIVE: BucketRecord.State
    DELETING: BucketRecord.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    state: BucketRecord.State
    created: bytes
    location: str
    owner: str
    def __init__(self, state: _Optional[_Union[BucketRecord.State, str]] = ..., created: _Optional[bytes] = ..., location: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class UploadRecord(_message.Message):
    __slots__ = ("bucket", "key", "upload_id", "bucket_created", "headers", "user_metadata", "storage_class", "checksum_algorithm", "checksum_composite", "data_shards", "parity_shards", "completed_etag", "completed_stamp", "completed_checksum", "completed_request")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    BUCKET_CREATED_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    USER_METADATA_FIELD_NUMBER: _ClassVar[int]
    STORAGE_CLASS_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_COMPOSITE_FIELD_NUMBER: _ClassVar[int]
    DATA_SHARDS_FIELD_NUMBER: _ClassVar[int]
    PARITY_SHARDS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_ETAG_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_STAMP_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_REQUEST_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    key: str
    upload_id: str
    bucket_created: bytes
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    user_metadata: _containers.RepeatedCompositeFieldContainer[Header]
    storage_class: str
    checksum_algorithm: Checksum.Algorithm
    checksum_composite: bool
    data_shards: int
    parity_shards: int
    completed_etag: str
    completed_stamp: bytes
    completed_checksum: Checksum
    completed_request: bytes
    def __init__(self, bucket: _Optional[str] = ..., key: _Optional[str] = ..., upload_id: _Optional[str] = ..., bucket_created: _Optional[bytes] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., user_metadata: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., storage_class: _Optional[str] = ..., checksum_algorithm: _Optional[_Union[Checksum.Algorithm, str]] = ..., checksum_composite: _Optional[bool] = ..., data_shards: _Optional[int] = ..., parity_shards: _Optional[int] = ..., completed_etag: _Optional[str] = ..., completed_stamp: _Optional[bytes] = ..., completed_checksum: _Optional[_Union[Checksum, _Mapping]] = ..., completed_request: _Optional[bytes] = ...) -> None: ...

class PartRecord(_message.Message):
    __slots__ = ("number", "etag", "extent", "checksum")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    EXTENT_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    number: int
    etag: str
    extent: Extent
    checksum: Checksum
    def __init__(self, number: _Optional[int] = ..., etag: _Optional[str] = ..., extent: _Optional[_Union[Extent, _Mapping]] = ..., checksum: _Optional[_Union[Checksum, _Mapping]] = ...) -> None: ...

class ConfigurationRecord(_message.Message):
    __slots__ = ("version", "values", "changes")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    version: int
    values: _containers.ScalarMap[str, str]
    changes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, version: _Optional[int] = ..., values: _Optional[_Mapping[str, str]] = ..., changes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Lineage(_message.Message):
    __slots__ = ("ancestors",)
    ANCESTORS_FIELD_NUMBER: _ClassVar[int]
    ancestors: bytes
    def __init__(self, ancestors: _Optional[bytes] = ...) -> None: ...

from bighead.client.proto import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EntityKeys(_message.Message):
    __slots__ = ("keys",)
    class KeysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _value_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.MessageMap[str, _value_pb2.Value]
    def __init__(self, keys: _Optional[_Mapping[str, _value_pb2.Value]] = ...) -> None: ...

class GetFeaturesRequest(_message.Message):
    __slots__ = ("join", "entities", "as_of_ms")
    JOIN_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    AS_OF_MS_FIELD_NUMBER: _ClassVar[int]
    join: str
    entities: _containers.RepeatedCompositeFieldContainer[EntityKeys]
    as_of_ms: int
    def __init__(self, join: _Optional[str] = ..., entities: _Optional[_Iterable[_Union[EntityKeys, _Mapping]]] = ..., as_of_ms: _Optional[int] = ...) -> None: ...

class GetFeaturesResponse(_message.Message):
    __slots__ = ("join", "as_of_ms", "feature_epochs", "feature_names", "vectors")
    class FeatureEpochsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    JOIN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_MS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_NAMES_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    join: str
    as_of_ms: int
    feature_epochs: _containers.ScalarMap[str, int]
    feature_names: _containers.RepeatedScalarFieldContainer[str]
    vectors: _containers.RepeatedCompositeFieldContainer[_value_pb2.FeatureVector]
    def __init__(self, join: _Optional[str] = ..., as_of_ms: _Optional[int] = ..., feature_epochs: _Optional[_Mapping[str, int]] = ..., feature_names: _Optional[_Iterable[str]] = ..., vectors: _Optional[_Iterable[_Union[_value_pb2.FeatureVector, _Mapping]]] = ...) -> None: ...

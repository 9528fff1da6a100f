from bighead.client.proto import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Entity(_message.Message):
    __slots__ = ("keys", "inputs")
    class KeysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _value_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _value_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
    KEYS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.MessageMap[str, _value_pb2.Value]
    inputs: _containers.MessageMap[str, _value_pb2.Value]
    def __init__(self, keys: _Optional[_Mapping[str, _value_pb2.Value]] = ..., inputs: _Optional[_Mapping[str, _value_pb2.Value]] = ...) -> None: ...

class PredictRequest(_message.Message):
    __slots__ = ("model", "version", "entities", "as_of_ms", "label", "explain")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    AS_OF_MS_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    entities: _containers.RepeatedCompositeFieldContainer[Entity]
    as_of_ms: int
    label: str
    explain: bool
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., entities: _Optional[_Iterable[_Union[Entity, _Mapping]]] = ..., as_of_ms: _Optional[int] = ..., label: _Optional[str] = ..., explain: _Optional[bool] = ...) -> None: ...

class PredictResponse(_message.Message):
    __slots__ = ("model", "version", "arm", "feature_epochs", "as_of_ms", "feature_names", "predictions", "latency_us", "explanation")
    class EntityPrediction(_message.Message):
        __slots__ = ("prediction_id", "outputs", "features")
        class OutputsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: _value_pb2.Value
            def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
        PREDICTION_ID_FIELD_NUMBER: _ClassVar[int]
        OUTPUTS_FIELD_NUMBER: _ClassVar[int]
        FEATURES_FIELD_NUMBER: _ClassVar[int]
        prediction_id: str
        outputs: _containers.MessageMap[str, _value_pb2.Value]
        features: _value_pb2.FeatureVector
        def __init__(self, prediction_id: _Optional[str] = ..., outputs: _Optional[_Mapping[str, _value_pb2.Value]] = ..., features: _Optional[_Union[_value_pb2.FeatureVector, _Mapping]] = ...) -> None: ...
    class FeatureEpochsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class LatencyUsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    FEATURE_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_MS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_NAMES_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_US_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    arm: str
    feature_epochs: _containers.ScalarMap[str, int]
    as_of_ms: int
    feature_names: _containers.RepeatedScalarFieldContainer[str]
    predictions: _containers.RepeatedCompositeFieldContainer[PredictResponse.EntityPrediction]
    latency_us: _containers.ScalarMap[str, int]
    explanation: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., arm: _Optional[str] = ..., feature_epochs: _Optional[_Mapping[str, int]] = ..., as_of_ms: _Optional[int] = ..., feature_names: _Optional[_Iterable[str]] = ..., predictions: _Optional[_Iterable[_Union[PredictResponse.EntityPrediction, _Mapping]]] = ..., latency_us: _Optional[_Mapping[str, int]] = ..., explanation: _Optional[str] = ...) -> None: ...

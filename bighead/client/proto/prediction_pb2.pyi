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
    __slots__ = ("model", "version", "entities", "as_of_ms", "label", "explain", "segment")
    class SegmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _value_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    AS_OF_MS_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    entities: _containers.RepeatedCompositeFieldContainer[Entity]
    as_of_ms: int
    label: str
    explain: bool
    segment: _containers.MessageMap[str, _value_pb2.Value]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., entities: _Optional[_Iterable[_Union[Entity, _Mapping]]] = ..., as_of_ms: _Optional[int] = ..., label: _Optional[str] = ..., explain: _Optional[bool] = ..., segment: _Optional[_Mapping[str, _value_pb2.Value]] = ...) -> None: ...

class PredictResponse(_message.Message):
    __slots__ = ("model", "version", "arm", "feature_epochs", "as_of_ms", "feature_names", "predictions", "latency_us", "explanation")
    class EntityPrediction(_message.Message):
        __slots__ = ("prediction_id", "outputs", "features", "version", "arm")
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
        VERSION_FIELD_NUMBER: _ClassVar[int]
        ARM_FIELD_NUMBER: _ClassVar[int]
        prediction_id: str
        outputs: _containers.MessageMap[str, _value_pb2.Value]
        features: _value_pb2.FeatureVector
        version: int
        arm: str
        def __init__(self, prediction_id: _Optional[str] = ..., outputs: _Optional[_Mapping[str, _value_pb2.Value]] = ..., features: _Optional[_Union[_value_pb2.FeatureVector, _Mapping]] = ..., version: _Optional[int] = ..., arm: _Optional[str] = ...) -> None: ...
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

class Column(_message.Message):
    __slots__ = ("name", "booleans", "integers", "doubles", "strings", "nulls")
    class Booleans(_message.Message):
        __slots__ = ("values",)
        VALUES_FIELD_NUMBER: _ClassVar[int]
        values: _containers.RepeatedScalarFieldContainer[bool]
        def __init__(self, values: _Optional[_Iterable[bool]] = ...) -> None: ...
    class Integers(_message.Message):
        __slots__ = ("values",)
        VALUES_FIELD_NUMBER: _ClassVar[int]
        values: _containers.RepeatedScalarFieldContainer[int]
        def __init__(self, values: _Optional[_Iterable[int]] = ...) -> None: ...
    class Doubles(_message.Message):
        __slots__ = ("values",)
        VALUES_FIELD_NUMBER: _ClassVar[int]
        values: _containers.RepeatedScalarFieldContainer[float]
        def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...
    class Strings(_message.Message):
        __slots__ = ("values",)
        VALUES_FIELD_NUMBER: _ClassVar[int]
        values: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    BOOLEANS_FIELD_NUMBER: _ClassVar[int]
    INTEGERS_FIELD_NUMBER: _ClassVar[int]
    DOUBLES_FIELD_NUMBER: _ClassVar[int]
    STRINGS_FIELD_NUMBER: _ClassVar[int]
    NULLS_FIELD_NUMBER: _ClassVar[int]
    name: str
    booleans: Column.Booleans
    integers: Column.Integers
    doubles: Column.Doubles
    strings: Column.Strings
    nulls: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., booleans: _Optional[_Union[Column.Booleans, _Mapping]] = ..., integers: _Optional[_Union[Column.Integers, _Mapping]] = ..., doubles: _Optional[_Union[Column.Doubles, _Mapping]] = ..., strings: _Optional[_Union[Column.Strings, _Mapping]] = ..., nulls: _Optional[_Iterable[int]] = ...) -> None: ...

class Columns(_message.Message):
    __slots__ = ("columns",)
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    def __init__(self, columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ...) -> None: ...

class PredictRowsRequest(_message.Message):
    __slots__ = ("model", "version", "label", "as_of_ms", "explain", "keys", "inputs", "columns", "arrow", "segment")
    class SegmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _value_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    AS_OF_MS_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ARROW_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    label: str
    as_of_ms: int
    explain: bool
    keys: _containers.RepeatedScalarFieldContainer[str]
    inputs: _containers.RepeatedScalarFieldContainer[str]
    columns: Columns
    arrow: bytes
    segment: _containers.MessageMap[str, _value_pb2.Value]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., label: _Optional[str] = ..., as_of_ms: _Optional[int] = ..., explain: _Optional[bool] = ..., keys: _Optional[_Iterable[str]] = ..., inputs: _Optional[_Iterable[str]] = ..., columns: _Optional[_Union[Columns, _Mapping]] = ..., arrow: _Optional[bytes] = ..., segment: _Optional[_Mapping[str, _value_pb2.Value]] = ...) -> None: ...

class PredictRowsResponse(_message.Message):
    __slots__ = ("model", "version", "arm", "feature_epochs", "as_of_ms", "latency_us", "explanation", "prediction_ids", "features", "columns", "arrow", "versions", "arms")
    class FeatureColumn(_message.Message):
        __slots__ = ("name", "statuses")
        NAME_FIELD_NUMBER: _ClassVar[int]
        STATUSES_FIELD_NUMBER: _ClassVar[int]
        name: str
        statuses: _containers.RepeatedScalarFieldContainer[_value_pb2.FeatureStatus]
        def __init__(self, name: _Optional[str] = ..., statuses: _Optional[_Iterable[_Union[_value_pb2.FeatureStatus, str]]] = ...) -> None: ...
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
    LATENCY_US_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_IDS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ARROW_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    ARMS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    arm: str
    feature_epochs: _containers.ScalarMap[str, int]
    as_of_ms: int
    latency_us: _containers.ScalarMap[str, int]
    explanation: str
    prediction_ids: _containers.RepeatedScalarFieldContainer[str]
    features: _containers.RepeatedCompositeFieldContainer[PredictRowsResponse.FeatureColumn]
    columns: Columns
    arrow: bytes
    versions: _containers.RepeatedScalarFieldContainer[int]
    arms: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., arm: _Optional[str] = ..., feature_epochs: _Optional[_Mapping[str, int]] = ..., as_of_ms: _Optional[int] = ..., latency_us: _Optional[_Mapping[str, int]] = ..., explanation: _Optional[str] = ..., prediction_ids: _Optional[_Iterable[str]] = ..., features: _Optional[_Iterable[_Union[PredictRowsResponse.FeatureColumn, _Mapping]]] = ..., columns: _Optional[_Union[Columns, _Mapping]] = ..., arrow: _Optional[bytes] = ..., versions: _Optional[_Iterable[int]] = ..., arms: _Optional[_Iterable[str]] = ...) -> None: ...

class PredictStreamRequest(_message.Message):
    __slots__ = ("id", "entities", "rows")
    ID_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    id: str
    entities: PredictRequest
    rows: PredictRowsRequest
    def __init__(self, id: _Optional[str] = ..., entities: _Optional[_Union[PredictRequest, _Mapping]] = ..., rows: _Optional[_Union[PredictRowsRequest, _Mapping]] = ...) -> None: ...

class PredictStreamResponse(_message.Message):
    __slots__ = ("id", "entities", "rows", "refusal")
    class Refusal(_message.Message):
        __slots__ = ("status", "message", "retry_after_ms")
        STATUS_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
        status: int
        message: str
        retry_after_ms: int
        def __init__(self, status: _Optional[int] = ..., message: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    id: str
    entities: PredictResponse
    rows: PredictRowsResponse
    refusal: PredictStreamResponse.Refusal
    def __init__(self, id: _Optional[str] = ..., entities: _Optional[_Union[PredictResponse, _Mapping]] = ..., rows: _Optional[_Union[PredictRowsResponse, _Mapping]] = ..., refusal: _Optional[_Union[PredictStreamResponse.Refusal, _Mapping]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("model", "version", "label", "entities", "as_of_ms", "segment", "permutations")
    class SegmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _value_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    AS_OF_MS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    PERMUTATIONS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    label: str
    entities: _containers.RepeatedCompositeFieldContainer[Entity]
    as_of_ms: int
    segment: _containers.MessageMap[str, _value_pb2.Value]
    permutations: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., label: _Optional[str] = ..., entities: _Optional[_Iterable[_Union[Entity, _Mapping]]] = ..., as_of_ms: _Optional[int] = ..., segment: _Optional[_Mapping[str, _value_pb2.Value]] = ..., permutations: _Optional[int] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("model", "as_of_ms", "feature_epochs", "seed", "explanations")
    class OutputExplanation(_message.Message):
        __slots__ = ("answer", "base", "contributions", "standard_errors")
        class ContributionsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: float
            def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
        class StandardErrorsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: float
            def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
        ANSWER_FIELD_NUMBER: _ClassVar[int]
        BASE_FIELD_NUMBER: _ClassVar[int]
        CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
        STANDARD_ERRORS_FIELD_NUMBER: _ClassVar[int]
        answer: float
        base: float
        contributions: _containers.ScalarMap[str, float]
        standard_errors: _containers.ScalarMap[str, float]
        def __init__(self, answer: _Optional[float] = ..., base: _Optional[float] = ..., contributions: _Optional[_Mapping[str, float]] = ..., standard_errors: _Optional[_Mapping[str, float]] = ...) -> None: ...
    class EntityExplanation(_message.Message):
        __slots__ = ("version", "arm", "inputs", "statuses", "outputs", "explained", "permutations", "background_rows")
        class InputsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: _value_pb2.Value
            def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
        class StatusesEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: _value_pb2.FeatureStatus
            def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.FeatureStatus, str]] = ...) -> None: ...
        class OutputsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: _value_pb2.Value
            def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
        class ExplainedEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: ExplainResponse.OutputExplanation
            def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ExplainResponse.OutputExplanation, _Mapping]] = ...) -> None: ...
        VERSION_FIELD_NUMBER: _ClassVar[int]
        ARM_FIELD_NUMBER: _ClassVar[int]
        INPUTS_FIELD_NUMBER: _ClassVar[int]
        STATUSES_FIELD_NUMBER: _ClassVar[int]
        OUTPUTS_FIELD_NUMBER: _ClassVar[int]
        EXPLAINED_FIELD_NUMBER: _ClassVar[int]
        PERMUTATIONS_FIELD_NUMBER: _ClassVar[int]
        BACKGROUND_ROWS_FIELD_NUMBER: _ClassVar[int]
        version: int
        arm: str
        inputs: _containers.MessageMap[str, _value_pb2.Value]
        statuses: _containers.ScalarMap[str, _value_pb2.FeatureStatus]
        outputs: _containers.MessageMap[str, _value_pb2.Value]
        explained: _containers.MessageMap[str, ExplainResponse.OutputExplanation]
        permutations: int
        background_rows: int
        def __init__(self, version: _Optional[int] = ..., arm: _Optional[str] = ..., inputs: _Optional[_Mapping[str, _value_pb2.Value]] = ..., statuses: _Optional[_Mapping[str, _value_pb2.FeatureStatus]] = ..., outputs: _Optional[_Mapping[str, _value_pb2.Value]] = ..., explained: _Optional[_Mapping[str, ExplainResponse.OutputExplanation]] = ..., permutations: _Optional[int] = ..., background_rows: _Optional[int] = ...) -> None: ...
    class FeatureEpochsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    AS_OF_MS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    EXPLANATIONS_FIELD_NUMBER: _ClassVar[int]
    model: str
    as_of_ms: int
    feature_epochs: _containers.ScalarMap[str, int]
    seed: int
    explanations: _containers.RepeatedCompositeFieldContainer[ExplainResponse.EntityExplanation]
    def __init__(self, model: _Optional[str] = ..., as_of_ms: _Optional[int] = ..., feature_epochs: _Optional[_Mapping[str, int]] = ..., seed: _Optional[int] = ..., explanations: _Optional[_Iterable[_Union[ExplainResponse.EntityExplanation, _Mapping]]] = ...) -> None: ...

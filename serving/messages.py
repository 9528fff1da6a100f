"""Protobuf messages to the predictor's values and back, for the gRPC server. Pure translation."""

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from bighead.client.proto import features_pb2, prediction_pb2, value_pb2
from bighead.client.proto import inference_pb2 as pb
from bighead.client.proto.value_pb2 import FeatureVector
from bighead.client.proto.value_pb2 import Value as ValueMessage
from bighead.client.values import read, write
from bighead.errors import InvalidInput, NotReady, UnknownModel
from bighead.features.plan import FeatureRow, Status
from bighead.inference.datatypes import DTYPES, Array
from bighead.inference.model import LoadedModel
from bighead.inference.signature import MAX_ROWS, Column, Value
from serving.answers import Answer, Entity, Given, Inference
from serving.explaining import Explained
from serving.measures import Measures, VersionMeasures
from serving.snapshot import Served, Snapshot, Wanted
from serving.tensors import CONTENTS, check_name, from_contents, from_raw, to_contents, to_raw

Asking: TypeAlias = "prediction_pb2.PredictRequest | prediction_pb2.PredictRowsRequest | prediction_pb2.ExplainRequest"
PLATFORM = "onnx_onnxruntime"
EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository(index)", "parameters", "statistics")
READY = "READY"
BACKEND = "onnxruntime"
_NOT_UNDERSTOOD = {
    "shared_memory_region": "send the tensor in the request, and take it from the answer",
    "classification": "ask for the probabilities and choose from them",
}
_CONFIGURED: dict[str, Any] = {
    datatype: pb.DataType.Value(f"TYPE_{datatype}") for datatype in DTYPES if datatype != "BYTES"
} | {"BYTES": pb.DataType.TYPE_STRING}
_STATUSES = {str(status): getattr(value_pb2, status) for status in Status}


def wanted_of(text: str) -> Wanted:
    """What an OIP request asks for: a number, else a label; None where it leaves the choice to the server."""
    if not text:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else text


def unit_of(request: pb.ModelInferRequest) -> str | None:
    """What chooses the arm of a request over tensors: its parameter `unit`, else its id, where it has one."""
    unit = request.parameters["unit"].string_param if "unit" in request.parameters else ""
    return unit or request.id or None


def given_of(request: pb.ModelInferRequest) -> Given:
    """What a request over tensors says of its segment: its parameters."""
    parameters = request.parameters

    def value(key: str) -> object:
        kind = parameters[key].WhichOneof("parameter_choice") if key in parameters else None
        return None if kind is None else getattr(parameters[key], kind)

    return value


def segment_of(request: Asking) -> Given:
    """What a request for predictions says of its segment."""
    return lambda key: read(request.segment[key]) if key in request.segment else None


def deadline_of(request: pb.ModelInferRequest, remaining_s: float | None) -> float | None:
    """The seconds that a request allows: those of its call, or of its parameter `timeout` (microseconds) if less."""
    if "timeout" not in request.parameters:
        return remaining_s
    return sooner(request.parameters["timeout"].int64_param, remaining_s)


def sooner(timeout_us: object, remaining_s: float | None) -> float | None:
    """The lesser of a request's own timeout, in microseconds, and of the seconds that its call has left."""
    if not isinstance(timeout_us, int) or isinstance(timeout_us, bool) or timeout_us <= 0:
        raise InvalidInput(f"parameter 'timeout': received {str(timeout_us)[:60]}; expected microseconds, 1 or more")
    return timeout_us / 1e6 if remaining_s is None else min(timeout_us / 1e6, remaining_s)


def asked(request: Asking) -> Wanted:
    """The version or label that a request for predictions or explanations names."""
    if not request.HasField("version"):
        return request.label or None
    if request.label:
        raise InvalidInput(f"received version {request.version} and label {request.label!r}; expected one of them")
    return request.version


def tensors_of(request: pb.ModelInferRequest) -> dict[str, Array]:
    """The input tensors of a request, from raw or typed contents."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidInput(
            f"raw_input_contents: received {len(raw)} entries; expected {len(request.inputs)}, one for each input"
        )
    found: dict[str, Array] = {}
    for index, tensor in enumerate(request.inputs):
        name, shape = tensor.name, tuple(tensor.shape)
        check_name(name, found)
        if tensor.parameters:
            check_parameters(f"input {name!r}", tensor.parameters)
        if not raw:
            found[name] = from_contents(name, tensor.datatype, shape, tensor.contents)
        elif tensor.HasField("contents"):
            raise InvalidInput(f"input {name!r}: received contents beside raw_input_contents; expected one")
        else:
            found[name] = from_raw(name, tensor.datatype, shape, raw[index])
    return found


def chosen_outputs(model: LoadedModel, names: Iterable[str]) -> list[int]:
    """Places of the outputs that a request asks for; all where it names none."""
    outputs = [column.name for column in model.signature.outputs]
    chosen: list[int] = []
    for name in names:
        if name not in outputs:
            raise InvalidInput(
                f"output {name[:60]!r}: not an output of model {model.name!r}; expected one of {outputs}"
            )
        if outputs.index(name) in chosen:
            raise InvalidInput(f"output {name!r}: asked for twice; expected once")
        chosen.append(outputs.index(name))
    return chosen or list(range(len(outputs)))


def check_parameters(place: str, parameters: Container[str]) -> None:
    """Refuses what would have to be understood to answer, and is not: tensors that are elsewhere, class labels."""
    for name, instead in _NOT_UNDERSTOOD.items():
        if name in parameters:
            raise InvalidInput(f"{place}: received the parameter {name!r}, which this server does not have; {instead}")


def infer_response(request: pb.ModelInferRequest, answer: Inference) -> pb.ModelInferResponse:
    """The answer in the form of the request: raw contents for raw, typed for typed where the type has a field."""
    model = answer.model
    response = pb.ModelInferResponse(model_name=model.name, model_version=answer.versions, id=request.id)
    response.parameters["arm"].string_param = answer.arm
    if answer.parts:
        response.parameters["segments"].string_param = json.dumps(answer.segments)
    for asked in request.outputs:
        if asked.parameters:
            check_parameters(f"output {asked.name[:60]!r}", asked.parameters)
    chosen = chosen_outputs(model, [asked.name for asked in request.outputs])
    columns = [model.signature.outputs[index] for index in chosen]
    typed = not request.raw_input_contents and all(column.datatype in CONTENTS for column in columns)
    for index, column in zip(chosen, columns, strict=True):
        array = answer.outputs[index]
        output = response.outputs.add(name=column.name, datatype=column.datatype, shape=array.shape)
        if typed:
            output.contents.CopyFrom(to_contents(array))
        else:
            response.raw_output_contents.append(to_raw(array))
    return response


def is_ready(snapshot: Snapshot, model: str, version: str) -> bool:
    """Whether the model and version can answer now."""
    try:
        snapshot.version(model, wanted_of(version))
    except (UnknownModel, NotReady):
        return False
    return True


def metadata(model: LoadedModel, served: Served) -> pb.ModelMetadataResponse:
    """Inputs and outputs of a loaded model, and how it is partitioned."""
    segments = served.segments
    return pb.ModelMetadataResponse(
        name=model.name,
        versions=[str(number) for number in sorted(served.versions)],
        platform=PLATFORM,
        inputs=[_tensor_metadata(column) for column in model.signature.inputs],
        outputs=[_tensor_metadata(column) for column in model.signature.outputs],
        segments=None if segments is None else pb.Segments(keys=segments.keys, versions=segments.versions),
    )


def config(model: LoadedModel) -> pb.ModelConfig:
    """How a model is served, as far as clients of this protocol have words for it."""
    inputs = [
        pb.ModelInput(name=column.name, data_type=_CONFIGURED[column.datatype], dims=column.shape[1:])
        for column in model.signature.inputs
    ]
    outputs = [
        pb.ModelOutput(name=column.name, data_type=_CONFIGURED[column.datatype], dims=column.shape[1:])
        for column in model.signature.outputs
    ]
    return pb.ModelConfig(
        name=model.name, platform=PLATFORM, backend=BACKEND, max_batch_size=MAX_ROWS, input=inputs, output=outputs
    )


def index(snapshot: Snapshot) -> pb.RepositoryIndexResponse:
    """The versions that can be asked for, by model. What is not in memory cannot, and is not named."""
    entries = [
        pb.RepositoryIndexResponse.ModelIndex(name=name, version=str(version), state=READY)
        for name in sorted(snapshot.models)
        for version in sorted(snapshot.models[name].versions)
    ]
    return pb.RepositoryIndexResponse(models=entries)


def statistics(snapshot: Snapshot, measures: Measures, name: str, version: str) -> list[pb.ModelStatistics]:
    """What was asked of the versions in memory since the server started; of all models where no name is given."""
    if not name:
        wanted = [loaded for served in snapshot.models.values() for loaded in served.versions.values()]
    elif version:
        wanted = [snapshot.version(name, wanted_of(version))]
    else:
        wanted = list(snapshot.served(name).versions.values())
    return [_statistics(loaded, measures.of(loaded.name, loaded.version)) for loaded in wanted]


def _statistics(loaded: LoadedModel, counted: VersionMeasures) -> pb.ModelStatistics:
    stats = pb.ModelStatistics(
        name=loaded.name,
        version=str(loaded.version),
        inference_count=counted.predictions,
        execution_count=counted.answers,
    )
    stats.inference_stats.success.count, stats.inference_stats.success.ns = counted.answers, counted.total_us * 1000
    stats.inference_stats.fail.count = counted.failures
    return stats


def entities_of(request: prediction_pb2.PredictRequest | prediction_pb2.ExplainRequest) -> list[Entity]:
    """The entities of a request."""
    return [Entity(values_of(entity.keys), values_of(entity.inputs)) for entity in request.entities]


def values_of(messages: Mapping[str, ValueMessage]) -> dict[str, Value]:
    """Plain values by name."""
    return {name: read(message) for name, message in messages.items()}


def predict_response(answer: Answer, *, explain: bool) -> prediction_pb2.PredictResponse:
    """The answer to a prediction by entity keys."""
    names = list(answer.features[0].values)
    response = prediction_pb2.PredictResponse(
        model=answer.model,
        version=answer.version,
        arm=answer.arm,
        feature_epochs=answer.feature_epochs,
        as_of_ms=answer.as_of_ms,
        feature_names=names,
        latency_us=answer.latency_us,
        explanation=answer.why if explain else "",
    )
    for prediction_id, row, outputs in zip(answer.ids, answer.features, answer.outputs, strict=True):
        prediction = response.predictions.add(prediction_id=prediction_id)
        if answer.versions:
            place = len(response.predictions) - 1
            prediction.version, prediction.arm = answer.versions[place], answer.arms[place]
        for name, value in outputs.items():
            write(prediction.outputs[name], _plain(value))
        _fill(prediction.features, row, names)
    return response


def explain_response(explained: Explained) -> prediction_pb2.ExplainResponse:
    """The answer to a request for explanations."""
    response = prediction_pb2.ExplainResponse(
        model=explained.model,
        as_of_ms=explained.as_of_ms,
        feature_epochs=explained.feature_epochs,
        seed=explained.seed,
    )
    for one in explained.explanations:
        message = response.explanations.add(
            version=one.version,
            arm=one.arm,
            permutations=one.permutations,
            background_rows=one.background_rows,
            statuses={name: _STATUSES[status] for name, status in one.statuses.items()},
        )
        for target, values in ((message.inputs, one.inputs), (message.outputs, one.outputs)):
            for name, value in values.items():
                write(target[name], _plain(value))
        for name, output in one.explained.items():
            message.explained[name].CopyFrom(
                prediction_pb2.ExplainResponse.OutputExplanation(
                    answer=output.answer,
                    base=output.base,
                    contributions=output.contributions,
                    standard_errors=output.standard_errors,
                )
            )
    return response


def features_response(join: str, as_of_ms: int, rows: Sequence[FeatureRow]) -> features_pb2.GetFeaturesResponse:
    """The answer to a request for features."""
    names = list(rows[0].values)
    response = features_pb2.GetFeaturesResponse(
        join=join, as_of_ms=as_of_ms, feature_epochs=rows[0].epochs, feature_names=names
    )
    for row in rows:
        _fill(response.vectors.add(), row, names)
    return response


def _plain(value: Any) -> Any:
    """Texts of a model that are bytes, as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _fill(vector: FeatureVector, row: FeatureRow, names: Sequence[str]) -> None:
    for name in names:
        write(vector.values.add(), row.values[name])
    vector.statuses.extend([_STATUSES[row.statuses[name]] for name in names])


def _tensor_metadata(column: Column) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=column.name, datatype=column.datatype, shape=column.shape)

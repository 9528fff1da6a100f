"""Protobuf messages to the predictor's values and back, for the gRPC server. Pure translation."""

from collections.abc import Iterable, Mapping, Sequence

from bighead.client.proto import features_pb2, inference_pb2, prediction_pb2, value_pb2
from bighead.client.proto.value_pb2 import FeatureVector
from bighead.client.proto.value_pb2 import Value as ValueMessage
from bighead.client.values import read, write
from bighead.errors import InvalidInput, NotReady, UnknownModel
from bighead.features.plan import FeatureRow, Status
from serving.predictor import Answer, Entity, Inference
from serving.signature import Column, Value
from serving.snapshot import LoadedModel, Snapshot, Wanted
from serving.tensors import CONTENTS, Array, from_contents, from_raw, to_contents, to_raw

PLATFORM = "onnx_onnxruntime"
_STATUSES = {str(status): getattr(value_pb2, status) for status in Status}


def wanted_of(text: str) -> Wanted:
    """What an OIP request asks for: a number, else a label; None where it leaves the choice to the server."""
    if not text:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else text


def unit_of(request: inference_pb2.ModelInferRequest) -> str | None:
    """What chooses the arm of a request over tensors: its parameter `unit`, else its id, where it has one."""
    unit = request.parameters["unit"].string_param if "unit" in request.parameters else ""
    return unit or request.id or None


def asked(request: prediction_pb2.PredictRequest) -> Wanted:
    """The version or label that a request for predictions names."""
    if not request.HasField("version"):
        return request.label or None
    if request.label:
        raise InvalidInput(f"received version {request.version} and label {request.label!r}; expected one of them")
    return request.version


def tensors_of(request: inference_pb2.ModelInferRequest) -> dict[str, Array]:
    """The input tensors of a request, from raw or typed contents."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidInput(
            f"raw_input_contents: received {len(raw)} entries; expected {len(request.inputs)}, one for each input"
        )
    found: dict[str, Array] = {}
    for index, tensor in enumerate(request.inputs):
        if tensor.name in found:
            raise InvalidInput(f"input {tensor.name!r}: received twice; expected once")
        if not raw:
            found[tensor.name] = from_contents(tensor.name, tensor.datatype, tensor.shape, tensor.contents)
        elif tensor.HasField("contents"):
            raise InvalidInput(f"input {tensor.name!r}: received contents beside raw_input_contents; expected one")
        else:
            found[tensor.name] = from_raw(tensor.name, tensor.datatype, tensor.shape, raw[index])
    return found


def chosen_outputs(model: LoadedModel, names: Iterable[str]) -> list[int]:
    """Places of the outputs that a request asks for; all where it names none."""
    outputs = [column.name for column in model.signature.outputs]
    chosen = []
    for name in names:
        if name not in outputs:
            raise InvalidInput(f"output {name!r}: not an output of model {model.name!r}; expected one of {outputs}")
        chosen.append(outputs.index(name))
    return chosen or list(range(len(outputs)))


def infer_response(request: inference_pb2.ModelInferRequest, answer: Inference) -> inference_pb2.ModelInferResponse:
    """The answer in the form of the request: raw contents for raw, typed for typed where the type has a field."""
    model = answer.model
    response = inference_pb2.ModelInferResponse(model_name=model.name, model_version=str(model.version), id=request.id)
    response.parameters["arm"].string_param = answer.arm
    chosen = chosen_outputs(model, [output.name for output in request.outputs])
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


def metadata(model: LoadedModel, versions: Iterable[int]) -> inference_pb2.ModelMetadataResponse:
    """Inputs and outputs of a loaded model."""
    return inference_pb2.ModelMetadataResponse(
        name=model.name,
        versions=[str(number) for number in sorted(versions)],
        platform=PLATFORM,
        inputs=[_tensor_metadata(column) for column in model.signature.inputs],
        outputs=[_tensor_metadata(column) for column in model.signature.outputs],
    )


def entities_of(request: prediction_pb2.PredictRequest) -> list[Entity]:
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
        for name, value in outputs.items():
            write(prediction.outputs[name], value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
        _fill(prediction.features, row, names)
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


def _fill(vector: FeatureVector, row: FeatureRow, names: Sequence[str]) -> None:
    for name in names:
        write(vector.values.add(), row.values[name])
    vector.statuses.extend([_STATUSES[row.statuses[name]] for name in names])


def _tensor_metadata(column: Column) -> inference_pb2.ModelMetadataResponse.TensorMetadata:
    return inference_pb2.ModelMetadataResponse.TensorMetadata(
        name=column.name, datatype=column.datatype, shape=column.shape
    )

"""The model that a server is asked about, and valid requests for it, made of its metadata alone. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from bighead.client.proto import inference_pb2 as pb
from bighead.conformance.tensors import DATATYPES, Received, Sent

ROWS = 2


@dataclass(frozen=True)
class Tensor:
    """An input or output as the metadata says; -1 where the request chooses."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Subject:
    """A model, and its answer to the valid request of two rows."""

    name: str
    versions: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    answer: tuple[Received, ...] = ()

    @property
    def typed(self) -> bool:
        """Whether all inputs have typed contents, which FP16 has not."""
        return all(DATATYPES[tensor.datatype].field for tensor in self.inputs)

    @property
    def batched(self) -> bool:
        """Whether the request chooses the number of rows."""
        return all(tensor.shape[:1] == (-1,) for tensor in (*self.inputs, *self.outputs))


def subject_of(metadata: pb.ModelMetadataResponse) -> Subject:
    """What a server's metadata says of a model."""

    def tensors(found: Sequence[pb.ModelMetadataResponse.TensorMetadata]) -> tuple[Tensor, ...]:
        return tuple(Tensor(one.name, one.datatype, tuple(one.shape)) for one in found)

    return Subject(metadata.name, tuple(metadata.versions), tensors(metadata.inputs), tensors(metadata.outputs))


def valid(subject: Subject, rows: int = ROWS) -> list[Sent]:
    """An input tensor for each of the model's, of that many rows where the request chooses."""
    return [filled(tensor, rows) for tensor in subject.inputs]


def filled(tensor: Tensor, rows: int = ROWS) -> Sent:
    """A tensor of ones."""
    shape = tuple(size if size >= 0 else rows if place == 0 else 1 for place, size in enumerate(tensor.shape))
    count = 1
    for size in shape:
        count *= size
    return Sent(tensor.name, tensor.datatype, shape, [DATATYPES[tensor.datatype].one] * count)


def raw_request(subject: Subject, sent: Sequence[Sent], version: str = "", identity: str = "") -> pb.ModelInferRequest:
    """A request whose tensors are raw bytes."""
    request = pb.ModelInferRequest(model_name=subject.name, model_version=version, id=identity)
    for one in sent:
        request.inputs.add(name=one.name, datatype=one.datatype, shape=one.shape)
        request.raw_input_contents.append(one.raw)
    return request


def typed_request(subject: Subject, sent: Sequence[Sent]) -> pb.ModelInferRequest:
    """A request whose tensors are typed contents."""
    request = pb.ModelInferRequest(model_name=subject.name)
    for one in sent:
        tensor = request.inputs.add(name=one.name, datatype=one.datatype, shape=one.shape)
        getattr(tensor.contents, DATATYPES[one.datatype].field).extend(one.values)
    return request

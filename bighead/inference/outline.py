"""What an ONNX file is made of, looked at before a runtime loads it: where its tensors lie, which operators it needs.

Knows ONNX Runtime only by asking it which operators it has.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import count
from pathlib import Path

from google.protobuf.message import DecodeError

from bighead.client.proto import onnx_outline_pb2 as outline
from bighead.errors import ArtifactError
from bighead.inference.runtime import ort, ort_state

_EXTERNAL = 1
_ONNX = "ai.onnx"
_PROBE_OPSET = 13
_IDENTITY = (
    b'\x08\x08:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01"
)
"""An ONNX model without opsets: y = Identity(x), one float each."""


def check_file(path: Path) -> None:
    """Refuses a file that is not ONNX, that keeps tensors in other files, or whose operators are not to be had here."""
    model = outline.Model()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ArtifactError(f"{path.name} is not an ONNX model: {error}") from error
    if not model.ir_version or not model.HasField("graph"):
        raise ArtifactError(f"{path.name} is not an ONNX model: it has no graph")
    _check_opsets([*model.opset_import, *(opset for function in model.functions for opset in function.opset_import)])
    defined = {(function.domain, function.name) for function in model.functions}
    for part in _parts(model):
        if isinstance(part, outline.Tensor):
            _check_inside(part)
        elif (part.domain, part.op_type) not in defined:
            _check_known(part)


def newest_opset(domain: str) -> int:
    """The newest version of a domain's operators that the installed runtime supports; 0 where it knows none."""
    return _newest(_named(domain)) if _named(domain) in _domains() else 0


def _check_opsets(opsets: Iterable[outline.Opset]) -> None:
    """Domains that the runtime does not know are looked at where a node uses them: exporters leave unused ones."""
    for opset in opsets:
        domain, newest = _named(opset.domain), newest_opset(opset.domain)
        if domain in _domains() and not 1 <= opset.version <= newest:
            raise ArtifactError(
                f"it needs opset {opset.version} of {domain}; ONNX Runtime {ort.__version__} supports 1 to {newest}: "
                "export the model for an opset up to that"
            )


def _check_known(node: outline.Node) -> None:
    if _named(node.domain) not in _domains():
        raise ArtifactError(
            f"operator {node.op_type!r} is of the domain {node.domain!r}, which is not known here; export the model "
            f"with operators of {', '.join(sorted(_domains()))}, or with the operator as a function of its own"
        )


def _check_inside(tensor: outline.Tensor) -> None:
    if tensor.external_data or tensor.data_location == _EXTERNAL:
        places = ", ".join(f"{entry.key}={entry.value}" for entry in tensor.external_data)
        raise ArtifactError(
            f"tensor {tensor.name!r} lies outside the model ({places or 'no place given'}); export the model as "
            "one file"
        )


def _named(domain: str) -> str:
    return domain or _ONNX


@cache
def _domains() -> frozenset[str]:
    return frozenset(_named(schema.domain) for schema in ort_state.get_all_operator_schema())


@cache
def _newest(domain: str) -> int:
    """The runtime has no list of it, and an opset that it has in part is one that it refuses: so it is tried."""
    return next(version for version in count(1) if not _loads(domain, version)) - 1


def _loads(domain: str, version: int) -> bool:
    opsets = {_ONNX: _PROBE_OPSET, domain: version}
    imports = [outline.Opset(domain="" if name == _ONNX else name, version=one) for name, one in opsets.items()]
    options = ort.SessionOptions()
    options.log_severity_level = 4
    content = _IDENTITY + outline.Model(opset_import=imports).SerializeToString()
    try:
        ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except ort_state.Fail:
        return False
    return True


def _parts(model: outline.Model) -> Iterator[outline.Tensor | outline.Node]:
    """Every tensor and node of a model, wherever it is nested. Iterative: the depth of a file is not ours to trust."""
    attributes: list[outline.Attribute] = [item for function in model.functions for item in function.attribute_proto]
    graphs: list[outline.Graph] = [model.graph]
    for training in model.training_info:
        graphs += [training.initialization, training.algorithm]
    nodes: list[outline.Node] = [node for function in model.functions for node in function.node]
    while graphs or nodes or attributes:
        for graph in graphs:
            yield from graph.initializer
            yield from _dense(graph.sparse_initializer)
            nodes += graph.node
        graphs = []
        for node in nodes:
            yield node
            attributes += node.attribute
        nodes = []
        for attribute in attributes:
            yield from (attribute.t, *attribute.tensors)
            yield from _dense([attribute.sparse_tensor, *attribute.sparse_tensors])
            graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
        attributes = []


def _dense(sparse: Sequence[outline.SparseTensor]) -> Iterator[outline.Tensor]:
    for tensor in sparse:
        yield from (tensor.values, tensor.indices)

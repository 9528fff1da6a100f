"""The cases of the gRPC form: every RPC of the protocol, and what a server may refuse how. Pure.

The response classes of the RPCs are here as well: a runner needs nothing else.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from bighead.client.proto import inference_pb2 as pb
from bighead.conformance.cases import Answer, Case
from bighead.conformance.subject import Subject, raw_request, typed_request, valid
from bighead.conformance.tensors import DATATYPES, Received, Sent, near, raw_of, received

ANSWERS: dict[str, type[Message]] = {
    "ServerLive": pb.ServerLiveResponse,
    "ServerReady": pb.ServerReadyResponse,
    "ServerMetadata": pb.ServerMetadataResponse,
    "ModelReady": pb.ModelReadyResponse,
    "ModelMetadata": pb.ModelMetadataResponse,
    "ModelInfer": pb.ModelInferResponse,
    "ModelStreamInfer": pb.ModelStreamInferResponse,
    "ModelConfig": pb.ModelConfigResponse,
    "ModelStatistics": pb.ModelStatisticsResponse,
    "RepositoryIndex": pb.RepositoryIndexResponse,
}
STREAMS = frozenset({"ModelStreamInfer"})
OK, WRONG, UNKNOWN = ("OK",), ("INVALID_ARGUMENT",), ("NOT_FOUND",)
NOBODY = "no-model-has-this-name"
MISSING_VERSION = "999999999"


def server_cases() -> list[Case]:
    """Cases that need no model."""
    return [
        Case("ServerLive", "the server is alive", OK, check=_true("live")),
        Case("ServerReady", "the server is ready", OK, check=_true("ready")),
        Case("ServerMetadata", "the server has a name", OK, check=lambda answer: _wanted(answer.body.name, "a name")),
        _named("ModelMetadata", "an unknown model", NOBODY, UNKNOWN),
        _named("ModelMetadata", "no name", "", ("NOT_FOUND", "INVALID_ARGUMENT")),
        _named("ModelConfig", "an unknown model", NOBODY, UNKNOWN, optional=True),
        _named("ModelStatistics", "an unknown model", NOBODY, UNKNOWN, optional=True),
        replace(
            _named("ModelReady", "an unknown model is not ready", NOBODY, ("OK", "NOT_FOUND")), check=_false("ready")
        ),
        _infer("an unknown model", pb.ModelInferRequest(model_name=NOBODY), UNKNOWN),
        _infer("bytes that are no message", b"\x0a\xff\xff\xff\xff\x0f", WRONG),
    ]


def model_cases(subject: Subject) -> list[Case]:
    """Cases about one model."""
    return [*_about(subject), *_answered(subject), *_datatypes(subject), *_refused(subject), *_streamed(subject)]


def baseline(subject: Subject) -> Case:
    """The valid request whose answer the others are compared with."""
    return _infer("raw contents", raw_request(subject, valid(subject), identity="42"), OK, check=_fits(subject, "42"))


def _about(subject: Subject) -> Iterator[Case]:
    name, version = subject.name, (subject.versions or ("",))[-1]
    yield replace(_named("ModelReady", "the model is ready", name, OK), check=_true("ready"))
    yield _named("ModelMetadata", "a version that is not there", name, UNKNOWN, version=MISSING_VERSION)
    yield replace(
        _named("ModelMetadata", "a version of its own", name, OK, version=version),
        skip="" if version else "the metadata names no version",
        check=lambda answer: _same("name", name, answer.body.name),
    )
    yield replace(
        _named("ModelConfig", "inputs and outputs of the model", name, OK, optional=True),
        check=lambda answer: _same(
            "inputs", sorted(one.name for one in subject.inputs), sorted(one.name for one in answer.body.config.input)
        ),
    )
    yield replace(
        _named("ModelStatistics", "the model has been asked", name, OK, optional=True),
        check=lambda answer: _wanted(
            any(one.inference_count for one in answer.body.model_stats), "a count of 1 or more"
        ),
    )
    yield Case(
        "RepositoryIndex",
        "the model is named",
        OK,
        optional=True,
        check=lambda answer: _wanted(name in [one.name for one in answer.body.models], f"an entry {name!r}"),
    )


def _answered(subject: Subject) -> Iterator[Case]:
    sent, version = valid(subject), (subject.versions or ("",))[-1]
    first = subject.outputs[0].name
    yield _infer(
        "typed contents",
        typed_request(subject, sent) if subject.typed else b"",
        OK,
        check=_fits(subject),
        skip="" if subject.typed else "FP16 has no typed contents",
    )
    yield _infer(
        "a version by its number",
        raw_request(subject, sent, version),
        OK,
        check=lambda answer: _same("version", version, answer.body.model_version),
        skip="" if version else "the metadata names no version",
    )
    one = raw_request(subject, sent)
    one.outputs.add(name=first)
    yield _infer("one requested output", one, OK, check=lambda answer: _outputs([first], answer))
    with_parameters = raw_request(subject, sent)
    with_parameters.parameters["a_parameter_that_nobody_knows"].string_param = "x"
    with_parameters.inputs[0].parameters["another"].int64_param = 1
    yield _infer("parameters that nobody knows", with_parameters, OK, check=_fits(subject))
    yield _infer(
        "inputs in another order",
        raw_request(subject, list(reversed(sent))),
        OK,
        check=_fits(subject),
        skip="" if len(sent) > 1 else "the model has one input",
    )
    yield _infer(
        "one row is answered like the first of two",
        raw_request(subject, valid(subject, 1)),
        OK,
        check=lambda answer: _first_row(subject, answer),
        skip="" if subject.batched else "the number of rows is fixed",
    )
    for tensor in subject.inputs:
        if tensor.datatype in ("FP32", "FP64"):
            nan = [
                replace(one, values=[float("nan")] * len(one.values)) if one.name == tensor.name else one
                for one in sent
            ]
            yield _infer(f"NaN in {tensor.name}", raw_request(subject, nan), ("OK", "INVALID_ARGUMENT"))
            break


def _datatypes(subject: Subject) -> Iterator[Case]:
    """Each datatype of the protocol is taken where the model has it, and refused where it has another."""
    for datatype, known in DATATYPES.items():
        mine = [tensor.name for tensor in subject.inputs if tensor.datatype == datatype]
        why = "" if mine else f"the model has no {datatype} input"
        typed = why or ("" if known.field else f"{datatype} has no typed contents")
        yield _infer(f"{datatype} raw", raw_request(subject, valid(subject)), OK, check=_fits(subject), skip=why)
        typed = typed or ("" if subject.typed else "another input is FP16, which has no typed contents")
        request = b"" if typed else typed_request(subject, valid(subject))
        yield _infer(f"{datatype} typed", request, OK, check=_fits(subject), skip=typed)
        other = next((place for place, one in enumerate(subject.inputs) if one.datatype != datatype), None)
        wrong = valid(subject)
        if other is not None:
            wrong[other] = replace(wrong[other], datatype=datatype, values=[known.one] * len(wrong[other].values))
        yield _infer(
            f"{datatype} in place of another",
            raw_request(subject, wrong),
            WRONG,
            skip="" if other is not None else f"all inputs of the model are {datatype}",
        )


def _refused(subject: Subject) -> Iterator[Case]:
    sent = valid(subject)
    good = raw_request(subject, sent)
    yield _infer("a version that is not there", raw_request(subject, sent, MISSING_VERSION), UNKNOWN)
    yield _infer("a version that is no version", raw_request(subject, sent, "\U0001f600"), (*UNKNOWN, *WRONG))
    yield _infer("an output that is not the model's", _changed(good, outputs=[NOBODY]), WRONG)
    yield _infer("no inputs", pb.ModelInferRequest(model_name=subject.name), WRONG)
    yield _infer("one input too few", raw_request(subject, sent[1:]), WRONG)
    yield _infer("one input too many", raw_request(subject, [*sent, replace(sent[0], name=NOBODY)]), WRONG)
    yield _infer("an input twice", raw_request(subject, [*sent, sent[0]]), WRONG)
    for name, shape in _wrong_shapes(sent[0]).items():
        yield _infer(name, _changed(good, shape=shape), WRONG)
    empty = [replace(one, shape=(0, *one.shape[1:]), values=[]) for one in sent]
    yield _infer(
        "zero rows",
        raw_request(subject, empty),
        ("INVALID_ARGUMENT", "OK"),
        skip="" if subject.batched else "the number of rows is fixed",
    )
    for datatype in ("", "FLOAT", "BF16", "fp32"):
        yield _infer(f"datatype {datatype!r}", _changed(good, datatype=datatype), WRONG)
    raw = sent[0].raw
    contents = {"cut off": raw[:-1], "too long": raw + b"\0", "empty": b"", "twice as long": raw * 2}
    for name, content in contents.items():
        yield _infer(f"raw contents that are {name}", _changed(good, raw=content), WRONG)
    both = typed_request(subject, sent) if subject.typed else pb.ModelInferRequest()
    both.raw_input_contents.extend(good.raw_input_contents)
    yield _infer("raw and typed contents", both, WRONG, skip="" if subject.typed else "FP16 has no typed contents")
    more = _changed(good)
    more.raw_input_contents.append(b"")
    yield _infer("more raw contents than inputs", more, WRONG)
    yield from _refused_contents(subject, sent)
    yield _infer("after all of these a valid request", good, OK, check=_fits(subject))


def _wrong_shapes(first: Sent) -> dict[str, tuple[int, ...]]:
    return {
        "a negative dimension": (-1, *first.shape[1:]),
        "a dimension too many": (*first.shape, 1),
        "no dimensions": (),
        "a dimension as large as they come": ((1 << 63) - 1, *first.shape[1:]),
        "dimensions whose product overflows": (1 << 62, 1 << 62, 1 << 62),
        "a hundred thousand dimensions": (1,) * 100_000,
    }


def _refused_contents(subject: Subject, sent: list[Sent]) -> Iterator[Case]:
    place = next((place for place, one in enumerate(sent) if one.datatype == "BYTES"), None)
    none = "" if place is not None else "the model has no BYTES input"
    texts = {
        "BYTES whose lengths lie": (b"\xff\xff\xff\xff", WRONG),
        "BYTES that are cut off within a length": (b"\1\0", WRONG),
        "BYTES that are not UTF-8": (
            raw_of("BYTES", [b"\xff"] * len(sent[place or 0].values)),
            ("INVALID_ARGUMENT", "OK"),
        ),
    }
    for name, (content, expected) in texts.items():
        yield _infer(name, _changed(raw_request(subject, sent), raw=content, place=place or 0), expected, skip=none)
    if not subject.typed:
        return
    short = typed_request(subject, sent)
    getattr(short.inputs[0].contents, DATATYPES[sent[0].datatype].field).pop()
    yield _infer("typed contents with a value too few", short, WRONG)
    other = typed_request(subject, sent)
    other.inputs[0].ClearField("contents")
    field = "fp64_contents" if sent[0].datatype != "FP64" else "fp32_contents"
    getattr(other.inputs[0].contents, field).extend([1.0] * len(sent[0].values))
    yield _infer("typed contents in the field of another datatype", other, WRONG)
    small = next(
        (place for place, one in enumerate(sent) if one.datatype in ("INT8", "UINT8", "INT16", "UINT16")), None
    )
    over = typed_request(subject, sent)
    if small is not None:
        field = DATATYPES[sent[small].datatype].field
        getattr(over.inputs[small].contents, field)[0] = 1 << 17
    yield _infer(
        "a typed value that its datatype cannot hold",
        over,
        WRONG,
        skip="" if small is not None else "the model has no input of 8 or 16 bits",
    )


def _streamed(subject: Subject) -> Iterator[Case]:
    sent = valid(subject)
    bad = pb.ModelInferRequest(model_name=NOBODY, id="2")
    three = [raw_request(subject, sent, identity="1"), bad, raw_request(subject, sent, identity="3")]

    def check(answer: Answer) -> str:
        found = [(bool(one.error_message), one.infer_response.id) for one in answer.body]
        return _same("errors and ids", [False, True, False], [error for error, _ in found]) or _same(
            "ids of the answers", ["1", "3"], [found[0][1], found[2][1]]
        )

    requests = tuple(request.SerializeToString() for request in three)
    yield Case("ModelStreamInfer", "a refusal between two answers", OK, requests, check=check, optional=True)


def _changed(
    request: pb.ModelInferRequest,
    *,
    datatype: str | None = None,
    shape: tuple[int, ...] | None = None,
    raw: bytes | None = None,
    place: int = 0,
    outputs: tuple[str, ...] | list[str] = (),
) -> pb.ModelInferRequest:
    changed = pb.ModelInferRequest()
    changed.CopyFrom(request)
    if datatype is not None:
        changed.inputs[place].datatype = datatype
    if shape is not None:
        changed.inputs[place].shape[:] = shape
    if raw is not None:
        changed.raw_input_contents[place] = raw
    for name in outputs:
        changed.outputs.add(name=name)
    return changed


def _infer(name: str, request: Message | bytes, expected: tuple[str, ...], **fields: Any) -> Case:
    content = request if isinstance(request, bytes) else request.SerializeToString()
    return Case("ModelInfer", name, expected, (content,), **fields)


def _named(
    call: str, name: str, model: str, expected: tuple[str, ...], *, version: str = "", optional: bool = False
) -> Case:
    # All requests about one model have its name and version in the same fields.
    request = pb.ModelMetadataRequest(name=model, version=version).SerializeToString()
    return Case(call, name, expected, (request,), optional=optional)


def _fits(subject: Subject, identity: str = "") -> Any:
    """An answer with the outputs, datatypes and shapes of the metadata, and the values of the first answer."""

    def check(answer: Answer) -> str:
        found: list[Received] = received(answer.body)
        wrong = _same("model", subject.name, answer.body.model_name) or _same("id", identity, answer.body.id)
        wrong = wrong or _outputs([one.name for one in subject.outputs], answer)
        for expected, one in zip(subject.outputs, found, strict=not wrong):
            wrong = wrong or _same(f"datatype of {one.name}", expected.datatype, one.datatype)
            fits = len(one.shape) == len(expected.shape) and all(
                size in (-1, there) for size, there in zip(expected.shape, one.shape, strict=True)
            )
            wrong = wrong or ("" if fits else f"{one.name} has the shape {one.shape}; expected {expected.shape}")
        for before, one in zip(subject.answer, found, strict=False):
            wrong = wrong or ("" if near(before.values, one.values) else f"{one.name} differs from raw contents")
        return wrong

    return check


def _outputs(names: list[str], answer: Answer) -> str:
    return _same("outputs", names, [one.name for one in answer.body.outputs])


def _first_row(subject: Subject, answer: Answer) -> str:
    for before, one in zip(subject.answer, received(answer.body), strict=True):
        if not near(before.values[: len(one.values)], one.values):
            return f"{one.name} is {one.values[:5]}; in two rows the first is {before.values[: len(one.values)][:5]}"
    return ""


def _true(field: str) -> Any:
    return lambda answer: _same(field, True, getattr(answer.body, field))


def _false(field: str) -> Any:
    return lambda answer: _same(field, False, getattr(answer.body, field))


def _same(what: str, expected: object, seen: object) -> str:
    return "" if expected == seen else f"{what}: received {str(seen)[:200]}; expected {str(expected)[:200]}"


def _wanted(seen: object, what: str) -> str:
    return "" if seen else f"received nothing; expected {what}"

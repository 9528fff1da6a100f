"""The cases of the HTTP form: its paths, JSON and binary tensors, and what a server may refuse how. Pure."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bighead.conformance.cases import Answer, Case
from bighead.conformance.grpc_cases import MISSING_VERSION, NOBODY
from bighead.conformance.subject import Subject, valid
from bighead.conformance.tensors import DATATYPES, Sent, near, values_of

OK, WRONG, UNKNOWN = ("200",), ("400", "422"), ("404",)
BINARY = "binary_tensor_data"
"""The extension by which tensors travel as bytes behind the JSON."""
LENGTH = "inference-header-content-length"
Json = dict[str, Any]


def metadata() -> Case:
    """The metadata of the server, which names its extensions."""
    return Case("GET /v2", "the server has a name", OK, check=_has("name"))


def server_cases() -> list[Case]:
    """Cases that need no model."""
    return [
        Case("GET /v2/health/live", "the server is alive", OK),
        Case("GET /v2/health/ready", "the server is ready", OK),
        metadata(),
        Case(f"GET /v2/models/{NOBODY}", "an unknown model", UNKNOWN),
        Case(f"GET /v2/models/{NOBODY}/ready", "an unknown model is not ready", ("400", "404", "503")),
        _post(NOBODY, "an unknown model", {"inputs": []}, UNKNOWN),
    ]


def model_cases(subject: Subject, extensions: frozenset[str] = frozenset((BINARY,))) -> list[Case]:
    """Cases about one model, on a server that says it has those extensions."""
    cases = [*_about(subject), *_answered(subject), *_refused(subject)]
    if BINARY in extensions:
        return cases
    without = f"the server does not say that it has {BINARY}"
    return [replace(case, skip=without) if LENGTH in dict(case.headers) else case for case in cases]


def _about(subject: Subject) -> Iterator[Case]:
    path, version = f"/v2/models/{subject.name}", (subject.versions or ("",))[-1]
    no_version = "" if version else "the metadata names no version"
    names = sorted(one.name for one in subject.inputs)
    yield Case(f"GET {path}", "inputs of the model", OK, check=lambda answer: _same(names, _names(answer, "inputs")))
    yield Case(f"GET {path}/ready", "the model is ready", OK)
    yield Case(f"GET {path}/versions/{version}", "a version of its own", OK, check=_has("inputs"), skip=no_version)
    yield Case(f"GET {path}/versions/{version}/ready", "a version is ready", OK, skip=no_version)
    yield Case(f"GET {path}/versions/{MISSING_VERSION}", "a version that is not there", UNKNOWN)
    yield Case(f"GET {path}/config", "configuration", OK, check=_has("input"), optional=True)
    yield Case(f"GET {path}/stats", "statistics", OK, check=_has("model_stats"), optional=True)
    yield Case(
        "POST /v2/repository/index",
        "the model is named",
        OK,
        (b"{}",),
        optional=True,
        check=lambda answer: "" if subject.name in {one["name"] for one in answer.body} else "the model is not named",
    )


def _answered(subject: Subject) -> Iterator[Case]:
    sent, first = valid(subject), subject.outputs[0].name
    path, fits = subject.name, _fits(subject)
    flat = [_tensor(one) for one in sent]
    yield _post(path, "flat data", {"inputs": flat, "id": "42"}, OK, check=lambda answer: _id(answer) or fits(answer))
    nested = [tensor | {"data": _nested(one.plain, one.shape)} for tensor, one in zip(flat, sent, strict=True)]
    yield _post(path, "nested data", {"inputs": nested}, OK, check=fits)
    yield _post(
        path,
        "one requested output",
        {"inputs": flat, "outputs": [{"name": first}]},
        OK,
        check=lambda answer: _same([first], _names(answer, "outputs")),
    )
    yield _post(
        path, "members that nobody knows", {"inputs": flat, "parameters": {"x": 1}, "unknown": [1]}, OK, check=fits
    )
    header = {"inputs": [_binary(one) for one in sent]}
    content = b"".join(one.raw for one in sent)
    yield _bytes(path, "tensors as bytes", header, content, OK, fits)
    out = header | {"parameters": {"binary_data_output": True}}
    yield _bytes(path, "tensors and answers as bytes", out, content, OK, fits)
    one = header | {"outputs": [{"name": first, "parameters": {"binary_data": True}}]}
    yield _bytes(
        path, "one output as bytes", one, content, OK, lambda answer: _same([first], _names(answer, "outputs"))
    )
    for datatype in DATATYPES:
        mine = any(tensor.datatype == datatype for tensor in subject.inputs)
        why = "" if mine else f"the model has no {datatype} input"
        yield replace(_post(path, f"{datatype} as JSON", {"inputs": flat}, OK, check=fits), skip=why)
        yield replace(_bytes(path, f"{datatype} as bytes", out, content, OK, fits), skip=why)


def _refused(subject: Subject) -> Iterator[Case]:
    sent, path = valid(subject), subject.name
    flat = [_tensor(one) for one in sent]
    for name, body in _no_requests().items():
        yield replace(_post(path, name, {}, WRONG), requests=(body,))
    for name, change in _wrong_tensors(sent[0]).items():
        yield _post(path, name, {"inputs": [flat[0] | change, *flat[1:]]}, WRONG)
    yield _post(path, "one input too few", {"inputs": flat[1:]}, WRONG)
    yield _post(path, "one input too many", {"inputs": [*flat, flat[0] | {"name": NOBODY}]}, WRONG)
    yield _post(path, "an input twice", {"inputs": [*flat, flat[0]]}, WRONG)
    yield _post(path, "an output that is not the model's", {"inputs": flat, "outputs": [{"name": NOBODY}]}, WRONG)
    yield _post(f"{path}/versions/{MISSING_VERSION}", "a version that is not there", {"inputs": flat}, UNKNOWN)
    header, content = {"inputs": [_binary(one) for one in sent]}, b"".join(one.raw for one in sent)
    yield _bytes(path, "bytes that are cut off", header, content[:-1], WRONG)
    yield _bytes(path, "more bytes than were announced", header, content + b"\0", WRONG)
    wrong = {"inputs": [_binary(one) | {"parameters": {"binary_data_size": -1}} for one in sent]}
    yield _bytes(path, "a negative size", wrong, content, WRONG)
    for length in ("-1", "1e3", "999999999999", ""):
        yield replace(
            _bytes(path, f"length of the JSON {length!r}", header, content, WRONG), headers=((LENGTH, length),)
        )
    yield _post(path, "after all of these a valid request", {"inputs": flat}, OK, check=_fits(subject))


def _no_requests() -> dict[str, bytes]:
    return {
        "nothing": b"",
        "no JSON": b"{",
        "bytes that are not UTF-8": b'{"inputs": "\xff"}',
        "JSON that is no request": b"[1, 2]",
        "JSON nested a hundred thousand deep": b"[" * 100_000,
        "no inputs": b'{"inputs": []}',
        "inputs that are no list": b'{"inputs": 7}',
        "an input without a name": b'{"inputs": [{}]}',
    }


def _wrong_tensors(first: Sent) -> dict[str, Json]:
    text = first.datatype == "BYTES"
    return {
        "a value too few": {"data": first.plain[:-1]},
        "a value too many": {"data": [*first.plain, first.plain[0]]},
        "a value of another kind": {"data": [1.5 if text else "x", *first.plain[1:]]},
        "null for a value": {"data": [None, *first.plain[1:]]},
        "data that is no list": {"data": 1},
        "no data": {"data": None},
        "a negative dimension": {"shape": [-1, *first.shape[1:]]},
        "a dimension that is no number": {"shape": ["1"]},
        "dimensions whose product overflows": {"shape": [1 << 62] * 3},
        "a datatype that nobody knows": {"datatype": "FLOAT"},
        "another name": {"name": NOBODY},
    }


def _tensor(one: Sent) -> Json:
    return {"name": one.name, "datatype": one.datatype, "shape": one.shape, "data": one.plain}


def _binary(one: Sent) -> Json:
    size = {"binary_data_size": len(one.raw)}
    return {"name": one.name, "datatype": one.datatype, "shape": one.shape, "parameters": size}


def _nested(values: Sequence[Any], shape: Sequence[int]) -> Any:
    if len(shape) <= 1:
        return list(values)
    step = len(values) // shape[0]
    return [_nested(values[at : at + step], shape[1:]) for at in range(0, len(values), step)]


def _post(model: str, name: str, body: Json, expected: tuple[str, ...], **fields: Any) -> Case:
    headers = (("content-type", "application/json"),)
    return Case(f"POST /v2/models/{model}/infer", name, expected, (json.dumps(body).encode(),), headers, **fields)


def _bytes(model: str, name: str, header: Json, content: bytes, expected: tuple[str, ...], check: Any = None) -> Case:
    start = json.dumps(header).encode()
    headers = (("content-type", "application/octet-stream"), (LENGTH, str(len(start))))
    case = Case(f"POST /v2/models/{model}/infer", name, expected, (start + content,), headers)
    return case if check is None else replace(case, check=check)


def _fits(subject: Subject) -> Any:
    """The outputs of the metadata, with the values that gRPC gave."""

    def check(answer: Answer) -> str:
        wrong = _same([one.name for one in subject.outputs], _names(answer, "outputs"), in_order=True)
        if wrong:
            return wrong
        for expected, values in zip(subject.answer, _values(answer), strict=False):
            before = [value.decode() if isinstance(value, bytes) else value for value in expected.values]
            if not near(before, values):
                return f"{expected.name} is {str(values)[:80]}; gRPC answered {str(before)[:80]}"
        return ""

    return check


def _values(answer: Answer) -> list[list[Any]]:
    """The values of each output: from JSON, or from the bytes behind it."""
    found, at = [], 0
    for output in answer.body["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            found.append(_flat(output["data"]))
            continue
        values = values_of(output["datatype"], answer.rest[at : at + size])
        found.append([value.decode() if isinstance(value, bytes) else value for value in values])
        at += size
    return found


def _flat(data: Any) -> list[Any]:
    return [value for item in data for value in _flat(item)] if isinstance(data, list) else [data]


def _names(answer: Answer, side: str) -> list[str]:
    return [one["name"] for one in answer.body.get(side, [])]


def _has(member: str) -> Any:
    return lambda answer: "" if answer.body.get(member) else f"received no {member!r}"


def _id(answer: Answer) -> str:
    return "" if answer.body.get("id") == "42" else f"received the id {answer.body.get('id')!r}; expected '42'"


def _same(expected: list[str], seen: list[str], *, in_order: bool = False) -> str:
    equal = expected == seen if in_order else sorted(expected) == sorted(seen)
    return "" if equal else f"received {seen}; expected {expected}"

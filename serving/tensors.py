"""Tensors of the Open Inference Protocol as numpy arrays, both ways.

Knows datatypes, raw bytes, typed contents and nested JSON lists; knows nothing of models or transports.
"""

import math
from collections.abc import Container, Iterable, Sequence

import numpy as np

from bighead.client.proto import inference_pb2 as pb
from bighead.errors import InvalidInput
from bighead.inference.datatypes import DATATYPES, DTYPES, Array

MAX_DIMENSIONS = 32
MAX_NAME = 256

# The field of InferTensorContents that carries a datatype. FP16 has none: it travels as raw bytes only.
CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def dtype_of(name: str, datatype: str) -> np.dtype[np.generic]:
    """The numpy type of an OIP datatype; raises InvalidInput naming the tensor."""
    dtype = DTYPES.get(datatype)
    if dtype is None:
        why = "; no model here computes with it, send FP32" if datatype == "BF16" else ""
        raise InvalidInput(
            f"input {name!r}: received datatype {_shown(datatype)}; expected one of {', '.join(DTYPES)}{why}"
        )
    return dtype


def check_name(name: str, found: Container[str]) -> None:
    """Refuses a tensor that was given before, and a name that would fill every message about it."""
    if len(name) > MAX_NAME:
        raise InvalidInput(f"input {_shown(name)}: received a name of {len(name)} characters; expected {MAX_NAME}")
    if name in found:
        raise InvalidInput(f"input {name!r}: received twice; expected once")


def element_count(name: str, shape: Sequence[int]) -> int:
    """How many elements a shape holds; refuses negative dimensions, and more of them than any tensor has."""
    if len(shape) > MAX_DIMENSIONS:
        raise InvalidInput(f"input {name!r}: received {len(shape)} dimensions; expected {MAX_DIMENSIONS} at the most")
    if min(shape, default=0) < 0:
        raise InvalidInput(f"input {name!r}: received shape {list(shape)}; every dimension must be 0 or more")
    return math.prod(shape)


def from_raw(name: str, datatype: str, shape: Sequence[int], raw: bytes) -> Array:
    """An array over the bytes of `raw_input_contents`; numbers are not copied."""
    dtype = dtype_of(name, datatype)
    count = element_count(name, shape)
    if datatype == "BYTES":
        return _strings(name, shape, count, _split(name, raw, count))
    if len(raw) != count * dtype.itemsize:
        raise InvalidInput(
            f"input {name!r}: received {len(raw)} raw bytes; expected {count * dtype.itemsize} for {datatype} "
            f"{list(shape)}"
        )
    # Any byte but 0 is true on the wire, while numpy expects exactly 0 or 1.
    array = np.frombuffer(raw, dtype=np.uint8) != 0 if datatype == "BOOL" else np.frombuffer(raw, dtype=dtype)
    return _shaped(name, array, shape)


def from_contents(name: str, datatype: str, shape: Sequence[int], contents: pb.InferTensorContents) -> Array:
    """An array of the typed contents of one tensor."""
    dtype = dtype_of(name, datatype)
    count = element_count(name, shape)
    field = CONTENTS.get(datatype)
    if field is None:
        raise InvalidInput(f"input {name!r}: received typed contents for {datatype}; send it in raw_input_contents")
    for given, _ in contents.ListFields():
        if given.name != field:
            raise InvalidInput(f"input {name!r}: received {given.name}; expected {field} for {datatype}")
    values = getattr(contents, field)[:]  # a list: numpy takes it much faster than protobuf's own container
    if datatype == "BYTES":
        return _strings(name, shape, count, values)
    _check_count(name, shape, count, len(values))
    return _shaped(name, _array(name, datatype, dtype, values), shape)


def from_json(name: str, datatype: str, shape: Sequence[int], data: object) -> Array:
    """An array of JSON data: nested as the shape says, or flat in row-major order."""
    dtype = dtype_of(name, datatype)
    count = element_count(name, shape)
    flat = list(_flatten(data))
    if datatype == "BYTES":
        return _strings(name, shape, count, flat)
    _check_count(name, shape, count, len(flat))
    wanted: tuple[type, ...] = (bool,) if datatype == "BOOL" else (int, float) if dtype.kind == "f" else (int,)
    for value in flat:
        if not isinstance(value, wanted) or (isinstance(value, bool) and datatype != "BOOL"):
            raise InvalidInput(f"input {name!r}: received the value {_shown(value)}; expected {datatype}")
    return _shaped(name, _array(name, datatype, dtype, flat), shape)


def to_raw(array: Array) -> bytes:
    """The raw bytes of an output; BYTES elements are preceded by their length."""
    if array.dtype != object:
        return array.tobytes()
    parts = []
    for value in array.ravel():
        data = _as_bytes(value)
        parts += [len(data).to_bytes(4, "little"), data]
    return b"".join(parts)


def to_contents(array: Array) -> pb.InferTensorContents:
    """The typed contents of an output whose datatype has a field for it."""
    contents = pb.InferTensorContents()
    values = [_as_bytes(value) for value in array.ravel()] if array.dtype == object else array.ravel().tolist()
    getattr(contents, CONTENTS[DATATYPES[array.dtype]]).extend(values)
    return contents


def _array(name: str, datatype: str, dtype: np.dtype[np.generic], values: Sequence[object]) -> Array:
    try:
        with np.errstate(over="raise"):
            return np.array(values, dtype=dtype)
    except (ArithmeticError, ValueError, TypeError) as error:
        raise InvalidInput(f"input {name!r}: a value does not fit {datatype} ({error})") from error


def _strings(name: str, shape: Sequence[int], count: int, values: Sequence[object]) -> Array:
    _check_count(name, shape, count, len(values))
    array = np.empty(count, dtype=object)
    for index, value in enumerate(values):
        array[index] = _text(name, value)
    return _shaped(name, array, shape)


def _shaped(name: str, array: Array, shape: Sequence[int]) -> Array:
    try:
        return array.reshape(tuple(shape))
    except (ValueError, OverflowError) as error:  # more dimensions, or larger ones, than an array can have
        raise InvalidInput(f"input {name!r}: received shape {_shown(list(shape))}; {error}") from error


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        raise InvalidInput(f"input {name!r}: received the value {_shown(value)}; expected BYTES, a string")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"input {name!r}: received {value[:40]!r}; expected UTF-8 text ({error.reason})") from error


def _split(name: str, raw: bytes, count: int) -> list[bytes]:
    values: list[bytes] = []
    at = 0
    while at < len(raw):
        if len(values) == count:
            raise InvalidInput(f"input {name!r}: received {len(raw)} raw bytes; its {count} values end at {at}")
        start = at + 4
        at = start + int.from_bytes(raw[at:start], "little")
        if start > len(raw) or at > len(raw):
            raise InvalidInput(f"input {name!r}: the raw BYTES are truncated at byte {len(raw)}; expected {at} or more")
        values.append(raw[start:at])
    return values


def _flatten(data: object) -> Iterable[object]:
    """Depth first without recursion: the nesting of a request is not bounded by the interpreter's stack."""
    stack = [data]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(reversed(item))
        else:
            yield item


def _check_count(name: str, shape: Sequence[int], expected: int, received: int) -> None:
    if received != expected:
        raise InvalidInput(f"input {name!r}: received {received} values; expected {expected} for shape {list(shape)}")


def _as_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _shown(value: object) -> str:
    text = repr(value[:60] if isinstance(value, str | bytes) else value)
    return text if len(text) <= 60 else text[:57] + "..."

"""Tensors as the protocol carries them: raw bytes, typed contents and JSON, from plain values and back. Pure."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bighead.client.proto import inference_pb2 as pb

Values = Sequence[Any]


@dataclass(frozen=True)
class Datatype:
    """One datatype: its field of InferTensorContents ("" for none), its struct format and a value that models take."""

    field: str
    format: str
    one: Any


DATATYPES: dict[str, Datatype] = {
    "BOOL": Datatype("bool_contents", "?", True),
    "UINT8": Datatype("uint_contents", "B", 1),
    "UINT16": Datatype("uint_contents", "H", 1),
    "UINT32": Datatype("uint_contents", "I", 1),
    "UINT64": Datatype("uint64_contents", "Q", 1),
    "INT8": Datatype("int_contents", "b", 1),
    "INT16": Datatype("int_contents", "h", 1),
    "INT32": Datatype("int_contents", "i", 1),
    "INT64": Datatype("int64_contents", "q", 1),
    "FP16": Datatype("", "e", 1.0),
    "FP32": Datatype("fp32_contents", "f", 1.0),
    "FP64": Datatype("fp64_contents", "d", 1.0),
    "BYTES": Datatype("bytes_contents", "", b"a"),
}


@dataclass(frozen=True)
class Sent:
    """An input as it is sent."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Values

    @property
    def raw(self) -> bytes:
        """Its values as bytes."""
        return raw_of(self.datatype, self.values)

    @property
    def plain(self) -> list[Any]:
        """Its values as JSON has them."""
        return [value.decode() if isinstance(value, bytes) else value for value in self.values]


@dataclass(frozen=True)
class Received:
    """An output as it came."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: list[Any]


def raw_of(datatype: str, values: Values) -> bytes:
    """Little-endian bytes; a BYTES element is preceded by its length."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value)) + value for value in values)
    return struct.pack(f"<{len(values)}{DATATYPES[datatype].format}", *values)


def values_of(datatype: str, raw: bytes) -> list[Any]:
    """The values of raw bytes; raises struct.error or ValueError where they are cut off."""
    if datatype != "BYTES":
        kind = DATATYPES[datatype].format
        return list(struct.unpack(f"<{len(raw) // struct.calcsize(kind)}{kind}", raw))
    values, at = [], 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        if at + 4 + length > len(raw):
            raise ValueError(f"an element of {length} bytes at {at} of {len(raw)}")
        values.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return values


def received(response: pb.ModelInferResponse) -> list[Received]:
    """The outputs of an answer, raw or typed."""
    outputs = []
    for place, output in enumerate(response.outputs):
        if response.raw_output_contents:
            values = values_of(output.datatype, response.raw_output_contents[place])
        else:
            values = list(getattr(output.contents, DATATYPES[output.datatype].field))
        outputs.append(Received(output.name, output.datatype, tuple(output.shape), values))
    return outputs


def near(first: Values, second: Values) -> bool:
    """Whether two lists of values are the same up to rounding."""
    return len(first) == len(second) and all(map(_near, first, second))


def _near(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return (math.isnan(first) and math.isnan(second)) or math.isclose(first, second, rel_tol=1e-4, abs_tol=1e-6)
    return bool(first == second)

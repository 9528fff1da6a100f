"""Single values in Avro's binary form, for records of primitive columns that are written for every event.

Pure. The same bytes as any Avro writer gives (a test compares), at a fraction of the time of a general one.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

from bighead.features.types import ValueType

_double = struct.Struct("<d").pack
_LEAST, _MOST = -(2**63), 2**63 - 1


def long_bytes(value: int) -> bytes:
    """A long, zig-zag and of variable length; raises OverflowError for one that does not fit in 64 bits."""
    known = _KNOWN.get(value)
    if known is not None:
        return known
    if not _LEAST <= value <= _MOST:
        raise OverflowError(f"{value} does not fit in 64 bits")
    rest = (value << 1) ^ (value >> 63)
    if rest < 0x4000:
        return bytes((rest & 0x7F | 0x80, rest >> 7))
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def bytes_bytes(value: bytes) -> bytes:
    """Bytes behind their length."""
    return long_bytes(len(value)) + value


def text_bytes(value: str) -> bytes:
    """UTF-8 behind its length."""
    return bytes_bytes(value.encode())


_KNOWN = {value: bytes(((value << 1) ^ (value >> 63),)) for value in range(-64, 64)}
WRITERS: Mapping[ValueType, Callable[[Any], bytes]] = {
    ValueType.BOOLEAN: lambda value: b"\x01" if value else b"\x00",
    ValueType.LONG: long_bytes,
    ValueType.DOUBLE: _double,
    ValueType.STRING: text_bytes,
    ValueType.BYTES: bytes_bytes,
}

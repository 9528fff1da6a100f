"""Avro's binary form of what is written for every event: the same bytes as any Avro writer gives (a test compares).

Pure. A general writer looks at the schema again for each value; these look once.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Write: TypeAlias = Callable[[Any], bytes]
_LEAST, _MOST = -(2**63), 2**63 - 1
# Six bytes: milliseconds since the epoch from 1970-07-18 to 2039-09-07.
_TIMES_FROM, _TIMES_TO = 1 << 35, 1 << 42
_KNOWN = {value: bytes(((value << 1) ^ (value >> 63),)) for value in range(-64, 64)}


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
    if _TIMES_FROM <= rest < _TIMES_TO:  # without a loop: two of them are in each tile
        return bytes(
            (
                rest & 0x7F | 0x80,
                rest >> 7 & 0x7F | 0x80,
                rest >> 14 & 0x7F | 0x80,
                rest >> 21 & 0x7F | 0x80,
                rest >> 28 & 0x7F | 0x80,
                rest >> 35,
            )
        )
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


WRITERS: Mapping[str, Write] = {
    "boolean": lambda value: b"\x01" if value else b"\x00",
    "int": long_bytes,
    "long": long_bytes,
    "double": struct.Struct("<d").pack,
    "string": text_bytes,
    "bytes": bytes_bytes,
}
"""By the name of Avro's type."""

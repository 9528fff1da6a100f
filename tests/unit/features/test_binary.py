"""The short way to Avro's bytes gives what a general writer gives."""

import io
from typing import Any

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bighead.features.binary import WRITERS, long_bytes
from bighead.features.types import ValueType

LONGS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(
    st.tuples(st.just(ValueType.LONG), LONGS),
    st.tuples(st.just(ValueType.DOUBLE), st.floats()),
    st.tuples(st.just(ValueType.BOOLEAN), st.booleans()),
    st.tuples(st.just(ValueType.STRING), st.text()),
    st.tuples(st.just(ValueType.BYTES), st.binary()),
)


@given(one=VALUES)
@example(one=(ValueType.LONG, 8191))
@example(one=(ValueType.LONG, -8192))
@example(one=(ValueType.LONG, 8192))
def test_bytes_are_those_of_any_avro_writer(one: tuple[ValueType, Any]) -> None:
    kind, value = one
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(str(kind)), value)
    assert WRITERS[kind](value) == buffer.getvalue()


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_a_number_of_more_than_64_bits_is_refused(value: int) -> None:
    with pytest.raises(OverflowError, match="does not fit in 64 bits"):
        long_bytes(value)

"""The short way to Avro's bytes gives what a general writer gives."""

import io
from typing import Any

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bighead.events.binary import WRITERS, long_bytes

LONGS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(
    st.tuples(st.just("int"), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just("long"), LONGS),
    st.tuples(st.just("double"), st.floats()),
    st.tuples(st.just("boolean"), st.booleans()),
    st.tuples(st.just("string"), st.text()),
    st.tuples(st.just("bytes"), st.binary()),
)


def written(schema: Any, value: Any) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema), value)
    return buffer.getvalue()


@given(one=VALUES)
@example(one=("long", 8191))
@example(one=("long", -8192))
@example(one=("long", 8192))
@example(one=("long", 1_795_270_000_123))
@example(one=("long", 2**34))
@example(one=("long", 2**41 - 1))
@example(one=("long", 2**41))
def test_bytes_are_those_of_any_avro_writer(one: tuple[str, Any]) -> None:
    kind, value = one
    assert WRITERS[kind](value) == written(kind, value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_a_number_of_more_than_64_bits_is_refused(value: int) -> None:
    with pytest.raises(OverflowError, match="does not fit in 64 bits"):
        long_bytes(value)

"""Operations on Apache DataSketches: HLL, KLL and frequent items. Java, Python and Spark read the same bytes.

Pure. Held as bytes. HLL's bytes depend on the set of values alone; those of the others on the order of values as well,
once they estimate: KLL above k values, frequent items above three quarters of their map.
"""

import struct
from collections.abc import Sequence
from typing import Any

import datasketches
import numpy as np

from bighead.features.state import COUNTED, Operation, Order, State, StateColumn
from bighead.features.types import ValueType, list_of, text_of

HLL_LG_K = 12
"""4,096 registers: a relative standard error of 1.6 %."""
KLL_K = 200
"""A rank error of 1.33 % (for single quantiles, 99 % of the time)."""
_HLL8 = datasketches.tgt_hll_type.HLL_8
_EVERY = datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES
_HLL_MODE, _OUT_OF_ORDER = 2, 16
_HLL_HEADERS = {0: 8, 1: 12}  # bytes before the coupons, by mode: list, set
_FREQUENT_HEADER = struct.Struct("<8sIIQQ")  # preamble; number of items, unused, total weight, error of all estimates
_FREQUENT_FULL = 4  # the first byte of a preamble that all of the header follows


def _sketch(name: str) -> StateColumn:
    return StateColumn(name, ValueType.BYTES, b"", bytes, bytes)


def unique_count() -> Operation:
    """APPROX_UNIQUE_COUNT. As everywhere with DataSketches, an empty text is no value."""

    def extend(state: State, values: Sequence[Any], orders: Sequence[Order]) -> State:
        hll = _hll(state[1])
        for value in values:
            hll.update(int(value) if isinstance(value, bool) else value)
        return (state[0] + len(values), _hll_bytes(hll))

    def merge(left: State, right: State) -> State:
        if not left[1] or not right[1]:
            return (left[0] + right[0], left[1] or right[1])
        union = datasketches.hll_union(HLL_LG_K)
        union.update(_hll(left[1]))
        union.update(_hll(right[1]))
        return (left[0] + right[0], _hll_bytes(union.get_result(_HLL8)))

    return Operation(
        columns=(COUNTED, _sketch("hll")),
        result=ValueType.LONG,
        update=lambda state, value, order: extend(state, (value,), (order,)),
        merge=merge,
        answer=lambda state: round(_hll(state[1]).get_estimate()) if state[0] else None,
        extend=extend,
    )


def _hll(data: bytes) -> Any:
    return datasketches.hll_sketch.deserialize(data) if data else datasketches.hll_sketch(HLL_LG_K, _HLL8)


def _hll_bytes(hll: Any) -> bytes:
    """The compact bytes, made independent of the order of updates.

    Registers are; what is not are the order of the first coupons, and the accumulator of the estimator for streams in
    order, which is therefore switched off (flag and zero), so that the composite estimator answers.
    """
    data = bytearray(hll.serialize_compact())
    mode = data[7] & 3
    if mode == _HLL_MODE:
        data[5] |= _OUT_OF_ORDER
        data[8:16] = bytes(8)
    else:
        start = _HLL_HEADERS[mode]
        data[start:] = np.sort(np.frombuffer(data, "<u4", offset=start)).tobytes()
    return bytes(data)


def percentiles(ranks: Sequence[float]) -> Operation:
    """APPROX_PERCENTILE: for each rank p the least value with at least that share of the values at or below it."""

    def extend(state: State, values: Sequence[Any], orders: Sequence[Order]) -> State:
        kll = _kll(state[1])
        kll.update(np.array(values, np.float64))
        return (state[0] + len(values), _kll_bytes(kll))

    def merge(left: State, right: State) -> State:
        if not left[1] or not right[1]:
            return (left[0] + right[0], left[1] or right[1])
        kll = _kll(left[1])
        kll.merge(_kll(right[1]))
        return (left[0] + right[0], _kll_bytes(kll))

    return Operation(
        columns=(COUNTED, _sketch("kll")),
        result=list_of(ValueType.DOUBLE),
        update=lambda state, value, order: extend(state, (value,), (order,)),
        merge=merge,
        answer=lambda state: _quantiles(_kll(state[1]), ranks) if state[0] else None,
        extend=extend,
    )


def _quantiles(kll: Any, ranks: Sequence[float]) -> list[float]:
    return [float(kll.get_quantile(rank, True)) for rank in ranks]


def _kll(data: bytes) -> Any:
    return datasketches.kll_doubles_sketch.deserialize(data) if data else datasketches.kll_doubles_sketch(KLL_K)


def _kll_bytes(kll: Any) -> bytes:
    """The bytes; as long as all values are kept, those of a sketch that met them in order."""
    data = bytes(kll.serialize())
    if kll.is_estimation_mode():
        return data
    ordered = datasketches.kll_doubles_sketch(KLL_K)
    ordered.update(np.sort(np.frombuffer(data[-8 * kll.n :], "<f8")))
    return bytes(ordered.serialize())


def frequent_items(k: int) -> Operation:
    """APPROX_HISTOGRAM_K: the k most frequent values by their text, with estimated counts; ties by text."""
    lg_size = max(5, (4 * k - 1).bit_length())

    def load(data: bytes) -> Any:
        if data:
            return datasketches.frequent_strings_sketch.deserialize(data)
        return datasketches.frequent_strings_sketch(lg_size)

    def extend(state: State, values: Sequence[Any], orders: Sequence[Order]) -> State:
        sketch = load(state[1])
        for value in values:
            sketch.update(text_of(value))
        return (state[0] + len(values), _frequent_bytes(sketch))

    def merge(left: State, right: State) -> State:
        if not left[1] or not right[1]:
            return (left[0] + right[0], left[1] or right[1])
        sketch, other = load(left[1]), load(right[1])
        if other.is_empty():  # merging passes over the error of one that was emptied
            sketch, other = other, sketch
        if other.is_empty():
            merged = _emptied(sketch, other.total_weight, other.get_upper_bound(""))
        else:
            sketch.merge(other)
            merged = _frequent_bytes(sketch)
        return (left[0] + right[0], merged)

    def answer(state: State) -> dict[str, int] | None:
        if not state[0]:
            return None
        found = sorted((-estimate, text) for text, estimate, _, _ in load(state[1]).get_frequent_items(_EVERY))
        return dict(sorted((text, -negative) for negative, text in found[:k]))

    return Operation(
        columns=(COUNTED, _sketch("frequent")),
        result=ValueType.MAP_LONG,
        update=lambda state, value, order: extend(state, (value,), (order,)),
        merge=merge,
        answer=answer,
        extend=extend,
    )


def _frequent_bytes(sketch: Any) -> bytes:
    """The bytes with the items in the order of their texts: tables of Java and Python have other orders."""
    if sketch.is_empty():
        return _emptied(sketch)
    data = bytes(sketch.serialize())
    count = sketch.num_active_items
    at = _FREQUENT_HEADER.size + 8 * count
    items: list[tuple[bytes, bytes, bytes]] = []
    for start in range(_FREQUENT_HEADER.size, at, 8):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        items.append((data[at + 4 : end], data[at:end], data[start : start + 8]))
        at = end
    items.sort()
    header = data[: _FREQUENT_HEADER.size]
    return b"".join([header, *(weight for _, _, weight in items), *(item for _, item, _ in items)])


def _emptied(sketch: Any, more_weight: int = 0, more_error: int = 0) -> bytes:
    """The bytes of a sketch that a purge left without items.

    The library would write one that has met nothing; its error, which bounds how often any text was met, must stay.
    """
    preamble = bytes([_FREQUENT_FULL, *bytes(sketch.serialize())[1:5], 0, 0, 0])
    error = sketch.get_upper_bound("") + more_error
    return _FREQUENT_HEADER.pack(preamble, 0, 0, sketch.total_weight + more_weight, error)

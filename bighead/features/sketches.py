"""Operations on Apache DataSketches: HLL, KLL and frequent items. Java, Python and Spark read the same bytes.

Pure. Held as bytes. HLL's bytes depend on the set of values alone; those of the others on the order of values as well,
once they estimate: KLL above k values, frequent items above three quarters of their map.
"""

from collections.abc import Callable, Sequence
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
        return (state[0] + len(values), _frequent_bytes(sketch, load))

    def merge(left: State, right: State) -> State:
        if not left[1] or not right[1]:
            return (left[0] + right[0], left[1] or right[1])
        sketch = load(left[1])
        sketch.merge(load(right[1]))
        return (left[0] + right[0], _frequent_bytes(sketch, load))

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


def _frequent_bytes(sketch: Any, load: Callable[[bytes], Any]) -> bytes:
    """The bytes; as long as all counts are exact, those of a sketch that met the texts in order."""
    items = sketch.get_frequent_items(_EVERY)
    if any(upper != lower for _, _, lower, upper in items):
        return bytes(sketch.serialize())
    ordered = load(b"")
    for text, count, _, _ in sorted(items):
        ordered.update(text, count)
    return bytes(ordered.serialize())

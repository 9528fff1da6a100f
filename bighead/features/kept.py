"""Operations that keep values: the first, last, greatest and least k, distinct values, histograms, and buckets.

Pure. Held as tuples, frozensets and dicts; packed as Avro arrays and maps, sorted: equal states are equal bytes.
"""

from collections.abc import Sequence
from heapq import merge as merge_sorted
from typing import Any

from bighead.features.state import (
    COUNTED,
    AvroPacker,
    Operation,
    Order,
    State,
    StateColumn,
    Update,
    one_by_one,
    packed,
    unpacked,
)
from bighead.features.types import ValueType, list_of, map_of, text_of


def kept_in_order(kind: ValueType, k: int, *, newest: bool) -> Operation:
    """FIRST_K, oldest first, and LAST_K, newest first: items are (time_ms, partition, offset, index, value)."""
    names = ("time_ms", "partition", "offset", "index")
    fields = [*({"name": name, "type": "long"} for name in names), {"name": "value", "type": str(kind)}]
    schema = {"type": "array", "items": {"type": "record", "name": "Item", "fields": fields}}
    packer = AvroPacker(
        schema,
        lambda items: [dict(zip((*names, "value"), item, strict=True)) for item in items],
        lambda items: tuple(tuple(item.values()) for item in items),
    )

    def place(item: tuple[Any, ...]) -> tuple[Any, ...]:
        return item[:4]

    def merge(left: State, right: State) -> State:
        items = merge_sorted(left[1], right[1], key=place, reverse=newest)
        return (left[0] + right[0], tuple(items)[:k])

    def update(state: State, value: Any, order: Order) -> State:
        items = state[1]
        if len(items) == k and (order < items[-1][:4] if newest else order > items[-1][:4]):
            return (state[0] + 1, items)
        return merge(state, (1, ((*order, value),)))

    return Operation(
        columns=(COUNTED, packer.column("items", ())),
        result=list_of(kind),
        update=update,
        merge=merge,
        answer=lambda state: [item[4] for item in state[1]] if state[0] else None,
        extend=one_by_one(update),
    )


def kept_by_value(kind: ValueType, k: int, *, greatest: bool) -> Operation:
    """TOP_K, greatest first, and BOTTOM_K, least first; equal values are kept as often as they occur."""
    packer = AvroPacker({"type": "array", "items": str(kind)}, list, tuple)

    def merge(left: State, right: State) -> State:
        return (left[0] + right[0], tuple(merge_sorted(left[1], right[1], reverse=greatest))[:k])

    def update(state: State, value: Any, order: Order) -> State:
        items = state[1]
        if len(items) == k and (value <= items[-1] if greatest else value >= items[-1]):
            return (state[0] + 1, items)
        return merge(state, (1, (value,)))

    return Operation(
        columns=(COUNTED, packer.column("items", ())),
        result=list_of(kind),
        update=update,
        merge=merge,
        answer=lambda state: list(state[1]) if state[0] else None,
        extend=one_by_one(update),
    )


def distinct(kind: ValueType, k: int | None) -> Operation:
    """UNIQUE_COUNT, exact; with `k` BOUNDED_UNIQUE_COUNT: the k least values are kept, and the answer is at most k."""
    packer = AvroPacker({"type": "array", "items": str(kind)}, sorted, frozenset)

    def bounded(values: frozenset[Any]) -> frozenset[Any]:
        return values if k is None or len(values) <= k else frozenset(sorted(values)[:k])

    def extend(state: State, values: Sequence[Any], orders: Sequence[Order]) -> State:
        return (state[0] + len(values), bounded(state[1].union(values)))

    return Operation(
        columns=(COUNTED, packer.column("values", frozenset())),
        result=ValueType.LONG,
        update=lambda state, value, order: extend(state, (value,), (order,)),
        merge=lambda left, right: (left[0] + right[0], bounded(left[1] | right[1])),
        answer=lambda state: len(state[1]) if state[0] else None,
        extend=extend,
    )


def histogram(kind: ValueType) -> Operation:
    """HISTOGRAM: how often each value occurs, by its text, exact. What is deleted as often as it was added is gone."""
    packer = AvroPacker({"type": "map", "values": "long"}, _sorted, dict)

    def added(state: State, counts: dict[str, int], by: int) -> State:
        total = dict(state[1])
        for text, count in counts.items():
            total[text] = total.get(text, 0) + count
            if not total[text]:
                del total[text]
        return (state[0] + by, total)

    def extend(state: State, values: Sequence[Any], orders: Sequence[Order]) -> State:
        counts: dict[str, int] = {}
        for value in values:
            text = text_of(value)
            counts[text] = counts.get(text, 0) + 1
        return added(state, counts, len(values))

    return Operation(
        columns=(COUNTED, packer.column("counts", {})),
        result=ValueType.MAP_LONG,
        update=lambda state, value, order: extend(state, (value,), (order,)),
        merge=lambda left, right: added(left, right[1], right[0]),
        answer=lambda state: _sorted(state[1]) if state[0] else None,
        extend=extend,
        delete=lambda state, value, order: added(state, {text_of(value): -1}, -1),
    )


def bucketed(inner: Operation) -> Operation:
    """`inner` for each bucket apart: inputs are (bucket, value), the answer is a map from bucket to its answer."""
    fields = [{"name": column.name, "type": str(column.kind)} for column in inner.columns]
    schema = {"type": "map", "values": {"type": "record", "name": "Bucket", "fields": fields}}
    packer = AvroPacker(
        schema,
        lambda held: {bucket: _named(inner.columns, state) for bucket, state in _sorted(held).items()},
        lambda read: {bucket: unpacked(inner.columns, tuple(row.values())) for bucket, row in read.items()},
    )

    def updated(change: Update, by: int) -> Update:
        def update(state: State, value: Any, order: Order) -> State:
            bucket, own = value
            return (state[0] + by, {**state[1], bucket: change(state[1].get(bucket, inner.empty), own, order)})

        return update

    def extend(state: State, values: Sequence[Any], orders: Sequence[Order]) -> State:
        parts: dict[str, tuple[list[Any], list[Order]]] = {}
        for (bucket, own), order in zip(values, orders, strict=True):
            owns, places = parts.setdefault(bucket, ([], []))
            owns.append(own)
            places.append(order)
        held = dict(state[1])
        for bucket, (owns, places) in parts.items():
            held[bucket] = inner.extend(held.get(bucket, inner.empty), owns, places)
        return (state[0] + len(values), held)

    def merge(left: State, right: State) -> State:
        held = dict(left[1])
        for bucket, state in right[1].items():
            held[bucket] = inner.merge(held[bucket], state) if bucket in held else state
        return (left[0] + right[0], held)

    def answer(state: State) -> Any:
        return {bucket: inner.answer(own) for bucket, own in _sorted(state[1]).items() if own[0]} or None

    return Operation(
        columns=(COUNTED, packer.column("buckets", {})),
        result=map_of(inner.result),
        update=updated(inner.update, 1),
        merge=merge,
        answer=answer,
        extend=extend,
        delete=updated(inner.delete, -1) if inner.delete else None,
    )


def _named(columns: Sequence[StateColumn], state: State) -> dict[str, Any]:
    return dict(zip((column.name for column in columns), packed(columns, state), strict=True))


def _sorted(by_text: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(by_text.items()))

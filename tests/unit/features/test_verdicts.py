"""Every operation has a verdict of every engine, and what is said to work does."""

import numpy as np
import pytest

from bighead.compile.verdicts import VERDICTS, Engine, example_groups, refusals
from bighead.features.compiled import CompiledGroup
from bighead.features.fold import Rows, column_of, fold
from bighead.features.operations import Op
from bighead.features.plan import GroupPlan
from bighead.features.reference import SourceEvent, group_features
from bighead.features.tiles import StateCodec, store_value
from bighead.features.types import ValueType

AT_MS = 1_383_307_200_000
VALUES = {ValueType.BOOLEAN: True, ValueType.LONG: 7, ValueType.DOUBLE: 2.5, ValueType.STRING: "N1"}


def value_of(kind: ValueType) -> object:
    value = VALUES[kind.element]
    return [value, value] if kind.is_list else {"leg": value} if kind.is_map else value


def answered_online(group: CompiledGroup, event: SourceEvent) -> dict[str, object]:
    """The way of an event through the lane's fold, the store's bytes and a read plan."""
    codec, plan = StateCodec(group), GroupPlan(group, 1, None)
    columns = {name: column_of([event.record[name]], kind) for name, kind in group.input_kinds.items()}
    one = np.zeros(1, np.int64)
    rows = Rows(0, one, one + AT_MS, ['["UA"]'], one, columns)
    tiles = fold(group, codec, rows, lambda keys: [None for _ in keys])
    stored = {(tile.key.level, tile.key.start_ms): store_value(0, 1, codec.encode(tile.state)) for tile in tiles}
    read = plan.at(AT_MS + 1)
    answer = plan.answer(read, [stored.get(tile) for tile in read.tiles])
    return {feature.name: value for feature, value in zip(group.features, answer.values, strict=True)}


@pytest.mark.parametrize("op", Op)
def test_what_the_engines_say_works_gives_the_reference_s_answer(op: Op) -> None:
    assert set(VERDICTS) == set(Engine)
    examples = dict(example_groups(op))
    assert examples
    for group in examples.values():
        refused = refusals(group)
        assert not {Engine.REFERENCE, Engine.PYTHON, Engine.SPARK, Engine.ONLINE} & refused.keys()
        assert all(isinstance(reason, str) and reason for reason in refused.values())
        record = {name: value_of(kind) for name, kind in group.columns.items()} | {"at_ms": AT_MS, "key": "UA"}
        event = SourceEvent(record, 0, 0)
        assert answered_online(group, event) == group_features(group, [event], ["UA"], AT_MS + 1)

"""Nothing is left out silently: the cases hold every operation on every input that it reads, on all windows."""

from bighead.features.operations import OPERATIONS, Op
from bighead.features.types import ValueType
from tests.conformance.cases import COLUMNS, SHAPES, WINDOWS, every_operation

CASES = [case for shape in SHAPES.values() for case in shape]


def test_every_operation_meets_every_type_that_it_reads() -> None:
    covered = {(op, COLUMNS[column]) for column, op, bucket in CASES if bucket is None}
    expected = {(op, kind) for op, row in OPERATIONS.items() for kind in row.inputs}
    assert not expected - covered


def test_every_operation_meets_a_bucket_a_list_and_a_map() -> None:
    assert {op for _, op, bucket in CASES if bucket} == set(Op)
    assert {op for column, op, _ in CASES if COLUMNS[column].is_list} == set(Op)
    assert {op for column, op, _ in CASES if COLUMNS[column].is_map} == set(Op)
    buckets = {COLUMNS[bucket] for _, _, bucket in CASES if bucket}
    assert buckets == {ValueType.STRING, ValueType.LONG, ValueType.BOOLEAN}


def test_every_operation_meets_every_window_and_none() -> None:
    assert WINDOWS == ["10m", "1h", "11h", "12h", "1d", "7d", "12d", "30d"]
    for shape in SHAPES:
        group = every_operation(shape=shape)
        met = {(group.cells[feature.cell].op, str(feature.window)) for feature in group.features}
        ops = {cell.op for cell in group.cells}
        assert met == {(op, window) for op in ops for window in (*WINDOWS, "None")}

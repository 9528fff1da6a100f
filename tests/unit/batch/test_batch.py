"""What batch decides without Spark: cuts, epochs, which tiles are published, which messages are landed."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from batch import answers
from batch.__main__ import main
from batch.arrow import arrow_column, python_values
from batch.asof import Layout
from batch.backfill import check_cut, newest_epochs
from batch.bounds import within
from batch.decoding import ORIGIN_OFFSET, REFUSED, RowDecoder
from batch.filling import needed_from_ms
from batch.land import only_table, sources_of
from batch.pruning import unread_at
from batch.ranges import Ranges
from batch.tables import canonical
from bighead.compile.spark import OFFSET, OPERATIONS, PARTITION
from bighead.errors import ConfigError
from bighead.events.codec import Codec
from bighead.events.schemas import subject_of
from bighead.features import Aggregation, EventSource, GroupBy, Op
from bighead.features.catalog import Catalog, GroupEpoch
from bighead.features.compiled import CompiledGroup, compile_group
from bighead.features.operations import OPERATIONS as ROWS
from bighead.features.plan import GroupPlan
from bighead.features.tiles import store_field
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS, SIZES_MS, Level
from bighead.testing import SchemaRegistryServer
from tests.conformance.cases import MIDNIGHT_MS, WINDOWS, every_operation

COLUMNS = {"at_ms": ValueType.LONG, "seen_ms": ValueType.LONG, "carrier": ValueType.STRING, "delay": ValueType.LONG}
NOW_MS = MIDNIGHT_MS
SCHEMA = {
    "type": "record",
    "name": "Departed",
    "namespace": "test",
    "fields": [
        {"name": "at_ms", "type": "long"},
        {"name": "seen_ms", "type": ["null", "long"], "default": None},
        {"name": "carrier", "type": "string"},
        {"name": "delay", "type": ["null", "long"], "default": None},
        {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
    ],
}


def group(name: str, topic: str = "departed", table: str = "departed", time: str = "at_ms") -> CompiledGroup:
    source = EventSource(topic=topic, table=table, time=time)
    return compile_group(GroupBy(name, source, ["carrier"], [Aggregation("delay", Op.SUM, ["1h"])]), COLUMNS)


def test_what_has_a_text_is_answered_from_arrays() -> None:
    assert set(OPERATIONS) == set(answers._ANSWERS)


@pytest.mark.parametrize("cut_ms", [-DAY_MS, 0, 1, MIDNIGHT_MS + 3_600_000])
def test_a_cut_that_is_no_midnight_is_refused_with_the_next_one(cut_ms: int) -> None:
    with pytest.raises(ConfigError, match="expected a midnight, UTC"):
        check_cut(cut_ms)
    check_cut(MIDNIGHT_MS)


def test_the_newest_epoch_is_filled_whatever_is_active() -> None:
    first, second = GroupEpoch(1, group("a"), None), GroupEpoch(2, group("a"), None)
    catalog = Catalog(groups={("a", 2): second, ("a", 1): first}, active={"a": 1})
    assert newest_epochs(catalog, None) == newest_epochs(catalog, ["a"]) == [second]
    with pytest.raises(ConfigError, match="no group b is applied; there are a"):
        newest_epochs(catalog, ["b", "a"])
    with pytest.raises(ConfigError, match="bighead features apply"):
        newest_epochs(Catalog(), None)


@settings(deadline=None)
@given(
    windows=st.lists(st.sampled_from(WINDOWS), min_size=1, unique=True),
    after_ms=st.one_of(st.sampled_from([0, 1, DAY_MS, 7 * DAY_MS]), st.integers(0, 40 * DAY_MS)),
)
def test_a_query_reads_no_tile_below_the_cut_that_was_not_published(windows: list[str], after_ms: int) -> None:
    one = every_operation(windows)
    read = GroupPlan(one, 1, MIDNIGHT_MS).at(MIDNIGHT_MS + after_ms)
    unread = unread_at(one, MIDNIGHT_MS)
    for level, start_ms in read.tiles:
        assert not unread(store_field(level, start_ms))
        if level in SIZES_MS and start_ms < MIDNIGHT_MS:
            assert start_ms >= needed_from_ms(one, level, MIDNIGHT_MS)
        else:
            assert start_ms >= MIDNIGHT_MS
    assert Level.ALL not in [level for level, _ in read.tiles]


def test_blocks_begin_at_midnight_and_are_as_long_as_windows_reach() -> None:
    for windows in (["10m"], ["7d"], ["30d"]):
        one = every_operation(windows)
        tiled, whole = Layout.of(one, whole=False), Layout.of(one, whole=True)
        assert tiled.block_ms % DAY_MS == whole.block_ms % DAY_MS == 0
        assert tiled.block_ms >= tiled.reach_ms
        assert whole.block_ms > MIDNIGHT_MS


def test_the_table_of_a_topic_is_the_one_that_groups_name() -> None:
    catalog = Catalog(
        groups={("a", 1): GroupEpoch(1, group("a"), None), ("b", 1): GroupEpoch(1, group("b", time="seen_ms"), None)}
    )
    assert sources_of(catalog, "departed") == (["departed"], ["at_ms", "seen_ms"])
    assert only_table("departed", ["departed"]) == "departed"
    with pytest.raises(ConfigError, match="no applied group reads it"):
        only_table("unknown", sources_of(catalog, "unknown")[0])
    with pytest.raises(ConfigError, match="groups read it from one, two"):
        only_table("departed", ["one", "two"])


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    with SchemaRegistryServer() as registry:
        registry.add(subject_of("departed", "test.Departed"), SCHEMA)
        made = Codec(registry.url)
        yield made
        made.close()


def row(codec: Codec, times: tuple[str, ...] = ("at_ms",), **more: Any) -> dict[str, Any]:
    """The row of an event, or of `value`."""
    event = {"at_ms": NOW_MS, "carrier": "UA", "delay": 5} | {name: more.pop(name) for name in COLUMNS if name in more}
    message = {"value": codec.encode_record("departed", "test.Departed", event), "partition": 1, "offset": 7}
    message |= {"timestamp_ms": NOW_MS, "stage": None, "of": None} | more
    return RowDecoder(codec, COLUMNS, times, max_future_ms=DAY_MS).row(message)


def test_an_event_is_its_fields_and_its_place(codec: Codec) -> None:
    fields = {"at_ms": NOW_MS, "seen_ms": None, "carrier": "UA", "delay": 5}
    assert row(codec) == fields | {PARTITION: 1, OFFSET: 7}
    assert row(codec, of="departed/1/3")[ORIGIN_OFFSET] == 3
    assert ORIGIN_OFFSET not in row(codec, of="by hand")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"value": None}, "no value"),
        ({"value": b"{}"}, "2 bytes"),
        ({"value": b"\x00\x00\x00\x00\x63\x02"}, "not in the registry"),
        ({"at_ms": NOW_MS // 1000}, "multiply by 1000"),
        ({"at_ms": NOW_MS + 2 * DAY_MS}, "in the future"),
        ({"at_ms": -1}, "before 1970"),
    ],
)
def test_what_the_stream_refuses_is_refused(codec: Codec, more: dict[str, Any], reason: str) -> None:
    refused = row(codec, **more)
    assert reason in refused.pop(REFUSED)
    assert refused == {PARTITION: 1, OFFSET: 7}


def test_of_several_times_one_must_be_believable(codec: Codec) -> None:
    both = ("at_ms", "seen_ms")
    assert row(codec, both, at_ms=-1, seen_ms=NOW_MS)["at_ms"] is None
    assert "before 1970" in row(codec, both, at_ms=-1)[REFUSED]


def test_an_event_of_another_type_than_the_table_has_is_refused(codec: Codec) -> None:
    decoder = RowDecoder(codec, {**COLUMNS, "carrier": ValueType.LONG}, ("at_ms",), max_future_ms=DAY_MS)
    value = codec.encode_record("departed", "test.Departed", {"at_ms": NOW_MS, "carrier": "UA"})
    message = {"value": value, "partition": 0, "offset": 0, "timestamp_ms": NOW_MS, "stage": None, "of": None}
    assert "field 'carrier' of schema id 1 is string" in decoder.row(message)[REFUSED]


def test_answers_read_no_more_of_a_state_than_they_need() -> None:
    names = [name for name, _ in answers.read_columns(every_operation(["1h"]))]
    assert len(names) == len(set(names))
    assert not [name for name in names if name.endswith(("_time_ms", "_partition", "_offset"))]
    assert sum(name.startswith("delay") and name.endswith("_n") for name in names) == 1


def test_wrong_use_is_told_before_spark_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("BIGHEAD_HOME", str(tmp_path))
    run = CliRunner().invoke
    assert "give --group NAME, once or more, or --all" in run(main, ["backfill", "--cut", str(MIDNIGHT_MS)]).output
    failed = run(main, ["backfill", "--all", "--cut", "5"])
    assert (failed.exit_code, failed.output) == (2, f"Error: {_cut_error()}\n")
    for name in (
        "land",
        "import",
        "backfill",
        "training-set",
        "consistency",
        "refresh",
        "compare",
        "snapshots",
        "predict",
    ):
        assert "Example: python -m batch" in " ".join(run(main, [name, "--help"]).output.split())


def _cut_error() -> str:
    with pytest.raises(ConfigError) as caught:
        check_cut(5)
    return str(caught.value)


def test_only_what_features_read_is_kept_of_history() -> None:
    given_table = pa.table(
        {
            "a": pa.array([1], pa.int32()),
            "b": pa.array([[1]], pa.list_(pa.int32())),
            "c": pa.array(["x"]).dictionary_encode(),
            "d": pa.array([b"x"]),
            "e": pa.array([[("x", 1.0)]], pa.map_(pa.string(), pa.float32())),
        }
    )
    kinds = {"a": pa.int64(), "b": pa.list_(pa.int64()), "c": pa.string(), "e": pa.map_(pa.string(), pa.float64())}
    assert {one.name: one.type for one in canonical(given_table).schema} == kinds


def test_maps_and_lists_go_to_arrow_and_back() -> None:
    values = [{"a": [1, 2], "b": []}, None, {}]
    assert python_values(arrow_column(values, ValueType.MAP_LIST_LONG)) == values
    nested = [{"a": {"x": 1}}, {"b": {}}]
    assert python_values(arrow_column(nested, ValueType.MAP_MAP_LONG)) == nested


@given(size=st.integers(0, 70), data=st.data())
def test_any_run_of_states_is_merged_in_its_order(size: int, data: st.DataObject) -> None:
    last_k = ROWS[Op.LAST_K].build(ValueType.LONG, {"k": 100})
    ranges = Ranges(lambda index: last_k.update(last_k.empty, index, (index, 0, index, 0)), last_k)
    for _ in range(5):
        first = data.draw(st.integers(0, size))
        last = data.draw(st.integers(first, size))
        assert last_k.answer(ranges.over(first, last)) == (list(reversed(range(first, last))) or None)


def test_percentiles_are_compared_within_their_bounds() -> None:
    assert within([1.0, 5.0], [0.5, 1.0, 4.0, 6.0])
    assert not within([1.5, 5.0], [0.5, 1.0, 4.0, 6.0])
    assert within({"a": [1.0]}, {"a": [0.0, 2.0]})
    assert not within({"a": [1.0]}, {"b": [0.0, 2.0]})
    assert not within(1.0, None)

"""What a group costs is said before it is applied, and what grows without bound is warned of."""

import re
from typing import Any

import pytest

from bighead.features import Aggregation, EventSource, GroupBy, Op
from bighead.features.compiled import CompiledGroup, compile_group
from bighead.features.costs import cost_of
from bighead.features.types import ValueType

COLUMNS = {
    "at_ms": ValueType.LONG,
    "carrier": ValueType.STRING,
    "tail": ValueType.STRING,
    "late": ValueType.BOOLEAN,
    "delay": ValueType.LONG,
    "legs": ValueType.MAP_LONG,
    "tags": ValueType.LIST_STRING,
}
SOURCE = EventSource(topic="flights", table="flights", time="at_ms")


def group(*aggregations: Aggregation) -> CompiledGroup:
    return compile_group(GroupBy("carrier", SOURCE, ["carrier"], aggregations), COLUMNS)


def test_tiles_and_reads_follow_from_the_windows() -> None:
    cost = cost_of(group(Aggregation("delay", Op.SUM, ["1h", "1d"])))
    assert cost.tiles == {"5m": 289, "1h": 25}
    # At 13:37 an hour is 13 tiles of five minutes; the day reads 8 of them as well, and 24 whole hours.
    assert cost.reads == 37
    assert cost.key_bytes == (289 + 25) * (cost.typical_tile_bytes + 5)
    assert not cost.warnings


def test_a_group_without_windows_reads_the_base_below_the_cut_and_what_came_after_it() -> None:
    cost = cost_of(group(Aggregation("delay", Op.SUM)))
    assert cost.tiles == {"5m": 577, "1h": 49, "1d": 3, "all": 1, "base": 1}
    assert cost.reads == 1 + 13 + 8


def test_states_that_keep_values_cost_more_bytes() -> None:
    plain, kept = group(Aggregation("delay", Op.SUM, ["1d"])), group(Aggregation("tail", Op.LAST_K, ["1d"], {"k": 10}))
    assert cost_of(kept).typical_tile_bytes > 5 * cost_of(plain).typical_tile_bytes
    assert cost_of(kept).empty_tile_bytes < cost_of(kept).typical_tile_bytes


@pytest.mark.parametrize(
    ("aggregation", "warning"),
    [
        (("tail", Op.UNIQUE_COUNT), "carrier_tail_unique_count keeps every value .* or use APPROX_UNIQUE_COUNT"),
        (("tail", Op.HISTOGRAM), "carrier_tail_histogram keeps every value .* or use APPROX_HISTOGRAM_K"),
        (("tags", Op.HISTOGRAM), "carrier_tags_histogram keeps every value .* give it windows"),
        (("delay", Op.SUM, (), {}, "tail"), "carrier_delay_sum_by_tail keeps every bucket"),
        (("legs", Op.SUM), "carrier_legs_sum keeps every key of the map"),
        (("delay", Op.SUM, (), {}, "late"), None),
        (("late", Op.HISTOGRAM), None),
        (("tail", Op.UNIQUE_COUNT, ("7d",)), None),
        (("tail", Op.APPROX_UNIQUE_COUNT), None),
    ],
)
def test_what_grows_without_bound_is_warned_of(aggregation: Any, warning: str | None) -> None:
    found = " ".join(cost_of(group(Aggregation(*aggregation))).warnings)
    assert re.search(warning, found) if warning else not found, found

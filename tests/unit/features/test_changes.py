"""What applying, activating and retiring changes: epochs, descriptions, refusals; lineage and search of the result."""

import json
from collections.abc import Sequence
from functools import reduce
from typing import Any

import pytest

from bighead.compile.changes import Change, Verdict, Who, decide, decide_activation, decide_retirement
from bighead.compile.reports import plan_of
from bighead.errors import ConfigError, DefinitionError
from bighead.events.base import Event
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op, Part
from bighead.features.catalog import Catalog, evolve
from bighead.features.compiled import CompiledGroup, compile_group
from bighead.features.differences import differences
from bighead.features.lineage import ModelUse, lineage_of
from bighead.features.search import search
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS

COLUMNS = {
    "at_ms": ValueType.LONG,
    "carrier": ValueType.STRING,
    "origin": ValueType.STRING,
    "dep_delay_min": ValueType.LONG,
    "cancelled": ValueType.BOOLEAN,
}
SOURCE = EventSource(
    topic="flights.departed.v1",
    table="flights/departed",
    time="at_ms",
    select={"carrier": "carrier", "origin": "origin", "delay": "dep_delay_min"},
    where="NOT cancelled",
)
NOW_MS = 1_383_264_000_000
WHO = Who("ann", "to see", NOW_MS)


def group(name: str = "carrier", key: str = "carrier", windows: Sequence[str] = ("1h", "1d"), **more: Any) -> GroupBy:
    return GroupBy(name, SOURCE, [key], [Aggregation("delay", Op.AVERAGE, windows)], **more)


def compiled(*groups: GroupBy) -> list[CompiledGroup]:
    return [compile_group(one, COLUMNS) for one in groups]


def applied(
    catalog: Catalog, groups: Sequence[GroupBy] = (), joins: Sequence[Join] = (), **how: Any
) -> tuple[Catalog, list[Change]]:
    changes, events = decide(catalog, compiled(*groups), joins, WHO, activate=how.pop("activate", False), **how)
    return after(catalog, events), list(changes)


def after(catalog: Catalog, events: Sequence[Event]) -> Catalog:
    return reduce(evolve, events, catalog)


FLIGHT = Join("flight", Keys("carrier", "origin"), ["carrier", "origin"], {"slow": "carrier_delay_average_1d > 15"})


def test_a_changed_window_is_a_new_epoch_that_waits_and_a_changed_description_is_none() -> None:
    catalog, first = applied(Catalog(), [group()])
    assert first == [Change("group", "carrier", Verdict.NEW, 1, 1)]
    assert applied(catalog, [group()])[1] == [Change("group", "carrier", Verdict.UNCHANGED, 1, 1)]

    said = group(description="Delays of a carrier", owner="team-flights", tags=["delay"])
    described, changes = applied(catalog, [said])
    assert changes == [Change("group", "carrier", Verdict.DESCRIBED, 1, 1)]
    assert described.group("carrier").group.definition.owner == "team-flights"
    assert described.group("carrier").group.hash == catalog.group("carrier").group.hash

    changed, changes = applied(described, [group(windows=["1h", "2d"])])
    assert changes == [Change("group", "carrier", Verdict.CHANGED, 2, 1)]
    assert changes[0].waits and changed.active == {"carrier": 1}

    change, event = decide_activation(changed, "carrier", None, WHO)
    assert after(changed, [event]).active == {"carrier": 2}
    assert change.epoch == 2
    _, back = decide_activation(after(changed, [event]), "carrier", 1, WHO)
    assert after(changed, [event, back]).active == {"carrier": 1}


def test_the_meaning_is_in_no_name_of_a_variable_and_no_order_of_arguments() -> None:
    one = GroupBy(name="carrier", source=SOURCE, keys=["carrier"], aggregations=[Aggregation("delay", Op.AVERAGE)])
    renamed = GroupBy(
        aggregations=[Aggregation(op=Op.AVERAGE, column="delay", description="of departures", tags=["delay"])],
        keys=("carrier",),
        source=EventSource(
            where="NOT cancelled",
            select={"delay": "dep_delay_min", "origin": "origin", "carrier": "carrier"},
            time="at_ms",
            table="flights/departed",
            topic="flights.departed.v1",
        ),
        name="carrier",
    )
    assert len({one.hash for one in compiled(one, renamed)}) == 1


def test_a_group_that_a_join_reads_cannot_be_retired_and_one_applied_again_is_a_new_epoch() -> None:
    catalog, _ = applied(Catalog(), [group(), group("origin", "origin")], [FLIGHT])
    with pytest.raises(DefinitionError, match="group 'carrier' is read by join flight; retire what reads it first"):
        decide_retirement(catalog, "carrier", WHO)
    with pytest.raises(DefinitionError, match="no group and no join named 'carier' is applied; did you mean 'carrier'"):
        decide_retirement(catalog, "carier", WHO)

    events = [decide_retirement(catalog, "flight", WHO)[1]]
    catalog = after(catalog, events)
    catalog = after(catalog, [decide_retirement(catalog, "carrier", WHO)[1]])
    assert catalog.active == {"origin": 1} and not catalog.joins
    with pytest.raises(DefinitionError, match="group 'carrier' is not applied"):
        decide_activation(catalog, "carrier", 1, WHO)

    _, changes = applied(catalog, [group()], [FLIGHT])
    assert changes == [Change("group", "carrier", Verdict.NEW, 2, 2), Change("join", "flight", Verdict.NEW, 2)]


def test_what_a_join_reads_is_neither_activated_nor_applied_away() -> None:
    catalog, _ = applied(Catalog(), [group(), group("origin", "origin")], [FLIGHT])
    shorter = group(windows=["1h"])
    catalog, _ = applied(catalog, [shorter])
    with pytest.raises(DefinitionError, match=r"Join 'flight': .*carrier_delay_average_1d.*change or retire it first"):
        decide_activation(catalog, "carrier", 2, WHO)
    with pytest.raises(DefinitionError, match="change or retire it first"):
        applied(catalog, [shorter], activate=True)
    hourly = Join("flight", FLIGHT.left, FLIGHT.parts, {"slow": "carrier_delay_average_1h > 15"})
    assert applied(catalog, [shorter], [hourly], activate=True)[0].active["carrier"] == 2


def test_a_name_is_of_a_group_or_of_a_join() -> None:
    catalog, _ = applied(Catalog(), [group(), group("origin", "origin")], [FLIGHT])
    with pytest.raises(DefinitionError, match="'flight' is applied as a group or a join already"):
        applied(catalog, [group("flight")])
    with pytest.raises(DefinitionError, match="'carrier' is applied as a group or a join already"):
        applied(catalog, joins=[Join("carrier", Keys("carrier"), ["carrier"])])


def test_a_join_that_fits_only_what_is_being_filled_says_so() -> None:
    catalog, _ = applied(Catalog(), [group(), group("origin", "origin")], [FLIGHT])
    weekly = Join("flight", FLIGHT.left, FLIGHT.parts, {"slow": "carrier_delay_average_7d > 15"})
    with pytest.raises(DefinitionError, match="it fits carrier epoch 2: activate that first"):
        applied(catalog, [group(windows=["7d"])], [weekly])


def test_another_engine_is_another_epoch_and_an_unknown_one_is_refused_with_a_near_one() -> None:
    catalog, _ = applied(Catalog(), [group()])
    moved, changes = applied(catalog, [group()], engine="flink")
    assert changes == [Change("group", "carrier", Verdict.CHANGED, 2, 1)]
    assert moved.groups["carrier", 2].engine == "flink"
    with pytest.raises(ConfigError, match="no stream engine is named 'flnk'; did you mean 'flink'"):
        applied(catalog, [group()], engine="flnk")


def test_a_plan_says_what_is_built_filled_kept_and_read() -> None:
    catalog, _ = applied(Catalog(), [group(), group("origin", "origin")], [FLIGHT])
    groups = compiled(group(windows=["1h", "7d"]), group("origin", "origin"), group("carriers_ever", windows=[]))
    plan = plan_of(catalog, groups, [FLIGHT], activate=False, engine=None, now_ms=NOW_MS)
    changed, kept, new = plan.groups
    assert changed.kept == "epoch 1 goes on answering until epoch 2 is activated"
    assert changed.backfill == "table flights/departed from 2013-10-25, unless the topic still holds that"
    assert [(one.field, one.old, one.new) for one in changed.differences] == [
        ("AVERAGE(delay).windows", ["1h", "1d"], ["1h", "7d"])
    ]
    assert kept.kept == "all tiles of epoch 1" and not kept.differences
    assert new.backfill == "table flights/departed from its beginning, for the features without a window"
    assert plan.joins[0].epochs == {"carrier": 1, "origin": 1}
    assert plan.joins[0].reads == 2 * 37
    assert not plan.warnings


def test_differences_are_told_field_by_field() -> None:
    old, new = compiled(group(), group(windows=["2d"], description="slower", accuracy="SNAPSHOT"))
    told = differences(json.loads(old.to_json()), json.loads(new.to_json()))
    assert [(one.field, one.old, one.new, one.means) for one in told] == [
        ("AVERAGE(delay).windows", ["1h", "1d"], ["2d"], True),
        ("description", "", "slower", False),
        ("accuracy", None, "SNAPSHOT", True),
    ]


def both_ways(catalog: Catalog, name: str, *models: ModelUse) -> tuple[set[str], set[str]]:
    lineage = lineage_of(catalog, models)
    found = lineage.find(name)
    up = {str(other) for node in found for _, other in lineage.upstream(node)}
    return up, {str(other) for node in found for _, other in lineage.downstream(node)}


def test_lineage_leads_from_a_column_to_the_models_and_back() -> None:
    pair = Join(
        "pair",
        Keys("ours", "theirs"),
        [Part("carrier", "ours", {"carrier": "ours"}), Part("carrier", "theirs", {"carrier": "theirs"})],
        {"gap": "ours_carrier_delay_average_1h - distance"},
        request={"distance": "long"},
    )
    catalog, _ = applied(Catalog(), [group()], [pair])
    use = ModelUse("delay", 3, "pair", ("gap",))

    up, down = both_ways(catalog, "dep_delay_min", use)
    assert up == {"topic flights.departed.v1", "table flights/departed"}
    assert {"feature carrier_delay_average_1h", "output pair.gap", "join pair", "model delay/3"} <= down

    up, down = both_ways(catalog, "delay", use)
    assert not down
    assert {
        "topic flights.departed.v1",
        "table flights/departed",
        "column flights.departed.v1.carrier",
        "column flights.departed.v1.cancelled",
        "group carrier",
        "output pair.ours_carrier_delay_average_1h",
        "request pair.distance",
    } <= up
    assert "column flights.departed.v1.origin" not in up

    with pytest.raises(DefinitionError, match="nothing named 'dep_dely_min' is in the catalog; did you mean"):
        both_ways(catalog, "dep_dely_min", use)


def test_words_find_what_was_said_of_groups_features_and_joins() -> None:
    said = GroupBy(
        "carrier",
        SOURCE,
        ["carrier"],
        [
            Aggregation("delay", Op.AVERAGE, ["1d"], description="Typical lateness", tags=["punctuality"]),
            Aggregation("delay", Op.MAX, ["1d"]),
        ],
        description="How a carrier does",
        owner="team-flights",
    )
    catalog, _ = applied(Catalog(), [said], [Join("flight", Keys("carrier"), ["carrier"])])
    assert [one.name for one in search(catalog, "PUNCTUALITY carrier")] == ["carrier_delay_average_1d"]
    assert {one.kind for one in search(catalog, "team-flights")} == {"group", "feature"}
    assert [one.name for one in search(catalog, "flights.departed.v1 group")] == ["carrier"]
    assert not search(catalog, "weather")


def test_a_day_before_the_cut_is_batchs() -> None:
    catalog, _ = applied(Catalog(), [group()])
    place = ("carrier", 1)
    moved = {place: catalog.groups[place].__class__(1, catalog.groups[place].group, NOW_MS // DAY_MS * DAY_MS)}
    plan = plan_of(Catalog(moved, catalog.active), compiled(group()), [], activate=False, engine=None, now_ms=NOW_MS)
    assert plan.groups[0].backfill == "nothing: batch owns what lies before 2013-11-01"

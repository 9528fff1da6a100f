"""Definitions: what is refused and how that reads, stable names and hashes, the way through an event and back."""

import json
from typing import Any

import pytest

from bighead.errors import DefinitionError
from bighead.features import Aggregation, EntitySource, EventSource, GroupBy, Join, Keys, Op, Part
from bighead.features.compiled import compile_group, compile_join, group_of_json, join_of_json
from bighead.features.reference import SourceEvent, join_features
from bighead.features.types import ValueType, columns_of

COLUMNS = {"at_ms": ValueType.LONG, "carrier": ValueType.STRING, "delay": ValueType.LONG, "late": ValueType.BOOLEAN}


def source(**changes: Any) -> EventSource:
    return EventSource(**{"topic": "flights", "table": "flights", "time": "at_ms"} | changes)


def group(**changes: Any) -> GroupBy:
    given: dict[str, Any] = {
        "name": "carrier",
        "source": source(),
        "keys": ["carrier"],
        "aggregations": [Aggregation("delay", Op.AVERAGE, ["1h", "1d"]), Aggregation("delay", Op.LAST)],
    }
    return GroupBy(**given | changes)


def test_features_are_named_by_group_column_operation_and_window() -> None:
    names = [feature.name for feature in compile_group(group(), COLUMNS).features]
    assert names == ["carrier_delay_average_1h", "carrier_delay_average_1d", "carrier_delay_last"]


def test_a_window_has_one_name_however_it_is_written() -> None:
    assert Aggregation("delay", Op.SUM, ["60m", "24h"]).windows == ("1h", "1d")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: group(name="Carrier Delay"), "name of a GroupBy is 'Carrier Delay'; expected lower case"),
        (lambda: group(keys=[]), "'carrier' has no keys"),
        (lambda: group(aggregations=[]), "'carrier' has no aggregations"),
        (lambda: group(aggregations=[Aggregation("delay", Op.SUM), Aggregation("delay", Op.SUM)]), "defined twice"),
        (lambda: Aggregation("delay", Op.SUM, ["1 week"]), "a window is '1 week'; expected a number and m, h or d"),
        (lambda: Aggregation("delay", Op.SUM, ["7m"]), "not a whole number of its hops"),
        (lambda: Aggregation("delay", Op.SUM, ["0h"]), "not a whole number of its hops"),
        (lambda: Aggregation("delay", Op.SUM, "1h"), "expected a list"),
        (lambda: Aggregation("delay", "MEDIAN"), "'MEDIAN' is not an operation; did you mean"),  # type: ignore[arg-type]
        (lambda: source(time=""), "a source's time is ''"),
        (lambda: Join("j", left=[], parts=["carrier"]), "needs at least one key"),
        (lambda: Join("j", left=Keys("carrier"), parts=["a", "a"]), "part 'a' is defined twice"),
        (
            lambda: group(source=EntitySource(topic="planes", table="planes", time="at_ms")),
            "an entity has its last value before the query",
        ),
    ],
)
def test_a_wrong_definition_is_refused_when_it_is_built(build: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        build()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (group(keys=["carier"]), "unknown column 'carier'; did you mean 'carrier'"),
        (group(source=source(time="delai")), "unknown column 'delai'; did you mean 'delay'"),
        (group(source=source(time="carrier")), "time 'carrier' must be a column of type long"),
        (group(source=source(where="delay")), "where 'delay' is long; expected a condition"),
        (group(source=source(where="now() > at_ms")), "'NOW\\(\\)' is not supported"),
        (group(source=source(where="delay >")), "is not valid SQL"),
        (group(aggregations=[Aggregation("carrier", Op.SUM)]), "SUM cannot read column 'carrier' of type string"),
        (group(aggregations=[Aggregation("late", Op.AVERAGE)]), "CAST it to INTEGER"),
        (group(source=source(select={"carrier": "carrier", "delay": "NULL"})), "always null"),
        (group(source=source(select={"carrier": "delay * 1.5", "delay": "delay"})), "key 'carrier' is double"),
    ],
)
def test_a_definition_is_checked_against_its_source(wrong: GroupBy, message: str) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        compile_group(wrong, COLUMNS)
    assert "GroupBy 'carrier' over topic 'flights'" in str(caught.value)


def test_a_definition_travels_as_json_and_keeps_its_hash() -> None:
    first = compile_group(group(), COLUMNS)
    second = group_of_json(first.to_json())
    assert second.hash == first.hash
    assert second.features == first.features


def test_the_hash_follows_the_meaning_only() -> None:
    base = compile_group(group(), COLUMNS).hash
    assert compile_group(group(description="for people"), COLUMNS).hash == base
    assert compile_group(group(), COLUMNS | {"unused": ValueType.STRING}).hash == base
    assert compile_group(group(aggregations=[Aggregation("delay", Op.AVERAGE, ["1h", "2d"])]), COLUMNS).hash != base
    assert compile_group(group(), COLUMNS | {"delay": ValueType.DOUBLE}).hash != base


def test_a_join_checks_its_groups_keys_and_derivations() -> None:
    groups = {"carrier": compile_group(group(), COLUMNS)}
    derived = Join("flight", Keys("carrier"), ["carrier"], {"slow": "carrier_delay_average_1d > 15"})
    compiled = compile_join(derived, groups)
    assert compiled.kinds["slow"] is ValueType.BOOLEAN
    assert join_of_json(compiled.to_json(), groups).hash == compiled.hash
    for wrong, message in [
        (Join("flight", Keys("origin"), ["carrier"]), "needs key 'carrier'"),
        (Join("flight", Keys("carrier"), ["plane"]), "group 'plane' is not applied; there are carrier"),
        (Join("flight", Keys("carrier"), ["carier"]), "group 'carier' is not applied; did you mean 'carrier'"),
        (Join("flight", Keys("carrier"), ["carrier"], {"slow": "carrier_delay_averge_1d > 1"}), "did you mean"),
        (Join("flight", Keys("carrier"), ["carrier"], {"carrier_delay_last": "1"}), "defined twice"),
    ]:
        with pytest.raises(DefinitionError, match=message):
            compile_join(wrong, groups)


def test_a_group_is_read_twice_under_two_prefixes_and_by_other_keys() -> None:
    groups = {"carrier": compile_group(group(), COLUMNS)}
    pair = Join(
        "pair",
        left=Keys("ours", "theirs"),
        parts=[Part("carrier", "ours", {"carrier": "ours"}), Part("carrier", "theirs", {"carrier": "theirs"})],
        derivations={
            "much_slower": "gap > limit_min",
            "gap": "ours_carrier_delay_last - theirs_carrier_delay_last",
            "far": "distance > 1000",
        },
        request={"distance": "long", "limit_min": "double"},
    )
    compiled = compile_join(pair, groups)
    assert [part.columns[2] for part in compiled.parts] == ["ours_carrier_delay_last", "theirs_carrier_delay_last"]
    assert [part.keys for part in compiled.parts] == [("ours",), ("theirs",)]
    assert [one.name for one in compiled.groups] == ["carrier"]
    assert compiled.left_kinds == {
        "ours": ValueType.STRING,
        "theirs": ValueType.STRING,
        "distance": ValueType.LONG,
        "limit_min": ValueType.DOUBLE,
    }
    assert list(compiled.kinds)[6:] == ["distance", "limit_min", "gap", "far", "much_slower"]
    again = join_of_json(compiled.to_json(), groups)
    assert (again.hash, again.definition) == (compiled.hash, compiled.definition)

    events = [
        SourceEvent({"at_ms": 1_000, "carrier": "UA", "delay": 30, "late": True}, 0, 0),
        SourceEvent({"at_ms": 2_000, "carrier": "AA", "delay": 5, "late": False}, 0, 1),
    ]
    left = {"ours": "UA", "theirs": "AA", "distance": 700, "limit_min": 20}
    row = join_features(again, {"flights": events}, left, 3_000)
    assert {name: row[name] for name in list(compiled.kinds)[6:]} == {
        "distance": 700,
        "limit_min": 20.0,
        "gap": 25,
        "far": False,
        "much_slower": True,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": [Part("carrier", keys={"carier": "ours"})]}, "no key 'carier' to be mapped; did you mean 'carrier'"),
        ({"parts": [Part("carrier", keys={"carrier": "our"})]}, "needs key 'our', and `left` has .*'ours'.*Part"),
        ({"request": {"distance": "int"}}, "`request` column 'distance' is 'int'; there are boolean, double"),
        ({"request": {"ours": "long"}}, "'ours' is long in `request` and string in group 'carrier'"),
        ({"request": {"carrier_delay_last": "long"}}, "column 'carrier_delay_last' is defined twice"),
        ({"derivations": {"a": "b + 1", "b": "a + 1"}}, "the derivations a, b read each other in a circle"),
        ({"derivations": {"a": "NULL"}}, "always null"),
    ],
)
def test_a_wrong_join_is_refused_with_its_name(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"left": Keys("ours"), "parts": [Part("carrier", keys={"carrier": "ours"})]}
    with pytest.raises(DefinitionError, match=f"Join 'pair': .*{message}"):
        compile_join(Join("pair", **given | changes), {"carrier": compile_group(group(), COLUMNS)})


def test_columns_come_from_avro_scalars() -> None:
    schema = {
        "type": "record",
        "name": "R",
        "fields": [
            {"name": "a", "type": "int"},
            {"name": "b", "type": ["null", "float"]},
            {"name": "c", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "d", "type": {"type": "enum", "name": "E", "symbols": ["X"]}},
            {"name": "e", "type": "bytes"},
            {"name": "f", "type": ["null", "string", "long"]},
        ],
    }
    kinds = columns_of(json.loads(json.dumps(schema)))
    assert kinds == {"a": ValueType.LONG, "b": ValueType.DOUBLE, "c": ValueType.LONG, "d": ValueType.STRING}

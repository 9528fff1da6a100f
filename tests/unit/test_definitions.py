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


EVERYTHING = COLUMNS | {"fuel": ValueType.DOUBLE, "tags": ValueType.LIST_STRING, "legs": ValueType.MAP_LONG}


def wrong(*values: Any, **named: Any) -> Any:
    """What no type checker would let through."""
    return named or values


def one(*given: Any, **more: Any) -> GroupBy:
    return group(aggregations=[Aggregation(*given, **more)])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: group(name="Carrier Delay"), "name of a GroupBy is 'Carrier Delay'; expected lower case"),
        (lambda: group(keys=[]), "GroupBy 'carrier': there are no keys"),
        (lambda: group(keys="carrier"), "GroupBy 'carrier': keys are 'carrier'; expected a list"),
        (lambda: group(keys=["carrier", "carrier"]), "GroupBy 'carrier': key 'carrier' is defined twice"),
        (lambda: group(source="flights"), "GroupBy 'carrier': source is 'flights'; expected an EventSource"),
        (
            lambda: group(source=Join("j", ["a"], ["a"])),
            "GroupBy 'carrier': source is Join 'j'; .* a topic and a table",
        ),
        (lambda: group(aggregations=[]), "GroupBy 'carrier': there are no aggregations"),
        (lambda: group(aggregations=Aggregation("delay", Op.SUM)), "GroupBy 'carrier': aggregations are .* a list"),
        (lambda: group(aggregations=["delay"]), "GroupBy 'carrier': aggregations hold 'delay'; expected Aggregation"),
        (lambda: group(aggregations=[Aggregation("delay", Op.SUM)] * 2), "'carrier_delay_sum' is defined twice"),
        (lambda: group(accuracy="SNAPSHOTS"), "accuracy is 'SNAPSHOTS'; did you mean 'SNAPSHOT'"),
        (lambda: group(tags="delay"), "tags are 'delay'; expected a list"),
        (lambda: one("delay", Op.SUM, ["1 week"]), "SUM of 'delay': a window is '1 week'; .* did you mean '7d'"),
        (lambda: one("delay", Op.SUM, ["2hours"]), "a window is '2hours'; .* did you mean '2h'"),
        (lambda: one("delay", Op.SUM, ["30s"]), "a window is '30s'; expected a number and m, h or d, for example"),
        (lambda: one("delay", Op.SUM, ["7m"]), "not a whole number of its hops"),
        (lambda: one("delay", Op.SUM, ["0h"]), "not a whole number of its hops"),
        (lambda: one("delay", Op.SUM, "1h"), "SUM of 'delay': windows are '1h'; expected a list"),
        (lambda: one("delay", Op.SUM, [60]), "SUM of 'delay': windows hold 60; expected name"),
        (lambda: one("delay", "AVERGE"), "AVERGE of 'delay': 'AVERGE' is not an operation; did you mean 'AVERAGE'"),
        (lambda: one("delay", "FOLD"), "'FOLD' is not an operation"),
        (lambda: one(7, Op.SUM), "SUM of 7: a column is 7; expected the name"),
        (lambda: one("delay", Op.LAST_K), "LAST_K of 'delay': LAST_K needs k, for example args={'k': 3}"),
        (lambda: one("delay", Op.LAST_K, args={"k": 0}), "LAST_K of 'delay': k is 0; expected a whole number from 1"),
        (lambda: one("delay", Op.LAST_K, args={"k": 2.0}), "k is 2.0; expected a whole number"),
        (lambda: one("delay", Op.LAST_K, args={"n": 3}), "LAST_K takes k; received n"),
        (lambda: one("delay", Op.LAST_K, args=3), "args are 3; expected a dictionary"),
        (lambda: one("delay", Op.SUM, args={"k": 3}), "SUM takes no arguments; received k"),
        (lambda: one("delay", Op.APPROX_PERCENTILE, args={"p": 0.5}), "p is 0.5; expected a list of ranks"),
        (lambda: one("delay", Op.APPROX_PERCENTILE, args={"p": [50]}), "expected a list of ranks from 0 to 1"),
        (lambda: source(time=""), "a source's time is ''"),
        (lambda: source(topic=None), "a source's topic is None"),
        (lambda: source(select=["delay"]), "a source's select is \\['delay'\\]; expected a dictionary"),
        (lambda: source(select={"Delay": "delay"}), "column of `select` is 'Delay'; expected lower case"),
        (lambda: Join("j", left=[], parts=["carrier"]), "Join 'j': it needs at least one key"),
        (lambda: Join("j", left="carrier", parts=["carrier"]), "Join 'j': left are 'carrier'; expected a list"),
        (
            lambda: Join("j", left=["carrier"], parts=wrong(7)),
            "Join 'j': parts hold 7; expected GroupBy or Part",
        ),
        (lambda: Join("j", left=Keys("carrier"), parts=["a", "a"]), "Join 'j': part 'a' is defined twice"),
        (lambda: Join("j", Keys("carrier"), ["a"], wrong(x=1)), "Join 'j': derivations is {'x': 1}; expected a dict"),
        (lambda: Part("carrier", prefix="Ours"), "prefix of a part is 'Ours'; expected lower case"),
        (lambda: Part(*wrong(7)), "a part is of 7; expected a GroupBy"),
        (
            lambda: group(source=EntitySource(topic="planes", table="planes", time="at_ms")),
            "GroupBy 'carrier': AVERAGE of 'delay' over an EntitySource; an entity has its last value",
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
        (one("dely", Op.SUM), "unknown column 'dely'; did you mean 'delay'"),
        (one("delay", Op.SUM, bucket="carier"), "unknown column 'carier'; did you mean 'carrier'"),
        (one("delay", Op.SUM, bucket="fuel"), "bucket 'fuel' is double; buckets are long, string or boolean"),
        (one("legs", Op.SUM, bucket="carrier"), "SUM of 'legs' is by the keys of a map already; remove bucket"),
        (one("tags", Op.SUM), "SUM cannot read column 'tags' of type array<string>; it reads double, long"),
        (one("fuel", Op.HISTOGRAM), "HISTOGRAM cannot read column 'fuel' of type double; it reads boolean, long"),
        (one("carrier", Op.SUM), "SUM cannot read column 'carrier' of type string; it reads double, long"),
        (one("late", Op.AVERAGE), "CAST it to INTEGER"),
        (group(source=source(time="delai")), "unknown column 'delai'; did you mean 'delay'"),
        (group(source=source(time="carrier")), "time 'carrier' must be a column of type long"),
        (group(source=source(where="delay")), "where 'delay' is long; expected a condition"),
        (group(source=source(where="now() > at_ms")), "'NOW\\(\\)' is not supported"),
        (group(source=source(where="delay >")), "is not valid SQL"),
        (group(source=source(select={"carrier": "carier", "delay": "delay"})), "did you mean 'carrier'"),
        (group(source=source(select={"carrier": "carrier", "delay": "NULL"})), "always null"),
        (group(source=source(select={"carrier": "carrier", "delay": "carrier + 1"})), "takes numbers"),
        (
            group(source=source(select={"carrier": "carrier", "delay": "legs + 1"})),
            "lists and maps can be named|takes numbers",
        ),
        (group(source=source(select={"carrier": "delay * 1.5", "delay": "delay"})), "key 'carrier' is double"),
        (group(keys=["tags"]), "key 'tags' is array<string>; keys are long, string or boolean"),
        (
            group(
                source=EntitySource(topic="flights", table="flights", time="at_ms", reversal="late"),
                aggregations=[Aggregation("delay", Op.MAX)],
            ),
            "MAX of 'delay' cannot take rows back, as a source with `reversal` does; COUNT, SUM, AVERAGE, LAST",
        ),
    ],
)
def test_a_definition_is_checked_against_its_source(wrong: GroupBy, message: str) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        compile_group(wrong, EVERYTHING)
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

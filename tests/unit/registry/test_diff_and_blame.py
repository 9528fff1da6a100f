"""What differs between two versions, and who put there what is so now."""

import json
from dataclasses import replace

from bighead.events.message import Position
from bighead.events.types import ModelRecord, Tensor
from bighead.registry import Command
from bighead.registry.blame import Blamed, blame
from bighead.registry.diff import Difference, differences
from bighead.registry.state import Stamp, Version
from bighead.registry.timeline import Recorded
from tests.unit.registry.samples import (
    GOOD_RECORD,
    MODEL,
    advance,
    approve,
    deploy,
    obey,
    partition,
    policy,
    promote,
    record,
    register,
    retire,
    roll_back,
    roll_out,
    split,
)

STAMP = Stamp("c", "ada", "trained anew", 10)


def compared(before: ModelRecord, after: ModelRecord) -> dict[str, Difference]:
    return {one.field: one for one in differences(Version(1, before, STAMP), Version(2, after, STAMP))}


def test_what_cannot_be_opened_is_compared_as_a_text() -> None:
    deep = "[" * 100_000
    assert compared(GOOD_RECORD, record(config=deep))["config"].after == deep


def test_equal_versions_do_not_differ() -> None:
    assert compared(GOOD_RECORD, GOOD_RECORD) == {}


def test_numbers_differ_by_so_much_and_keys_come_and_go() -> None:
    before = record(metrics={"auc": 0.7, "f1": 0.5}, config=json.dumps({"depth": 3, "model": {"eta": 0.1}}))
    after = record(metrics={"auc": 0.75, "brier": 0.2}, config=json.dumps({"depth": "3", "model": {"eta": 0.3}}))
    found = compared(before, after)
    assert list(found) == ["metrics.auc", "metrics.brier", "metrics.f1", "config.depth", "config.model.eta"]
    assert found["metrics.auc"].delta is not None
    assert round(found["metrics.auc"].delta, 9) == 0.05
    assert (found["metrics.brier"].change, found["metrics.f1"].change) == ("added", "removed")
    assert found["config.depth"] == Difference("config.depth", "changed", 3, "3")


def test_tensors_are_compared_by_name_and_texts_that_are_no_json_as_they_are() -> None:
    signature = GOOD_RECORD.signature
    other = replace(signature, inputs=(replace(signature.inputs[0], type="FP64"), Tensor(name="carrier", type="BYTES")))
    found = compared(record(training_data="{broken"), record(training_data="flights, v3", signature=other))
    assert found["signature.inputs.delay.type"] == Difference("signature.inputs.delay.type", "changed", "FP32", "FP64")
    assert found["signature.inputs.carrier.type"].change == "added"
    assert found["signature.inputs.order"].after == ["delay", "carrier"]
    assert found["training_data"] == Difference("training_data", "changed", "{broken", "flights, v3")


def test_who_registered_them_is_compared_and_what_is_not_a_number_has_no_difference() -> None:
    other = replace(STAMP, actor="bob", at_ms=25)
    found = differences(
        Version(1, record(metrics={"auc": float("nan")}), STAMP),
        Version(2, record(metrics={"auc": float("nan")}), other),
    )
    assert [(one.field, one.delta) for one in found] == [("registered.actor", None), ("registered.at_ms", 15)]


def blamed(*commands: Command) -> dict[str, Blamed]:
    recorded = [Recorded(event, Position("m", 0, offset)) for offset, event in enumerate(obey(*commands)[1])]
    return {one.fact: one for one in blame(MODEL, recorded)}


def told(found: dict[str, Blamed]) -> dict[str, tuple[str, str, str]]:
    return {fact: (one.value, one.event, one.command_id) for fact, one in found.items()}


def test_each_fact_is_blamed_on_the_event_since_which_it_is_so() -> None:
    found = blamed(
        register("a"),
        register("b"),
        deploy("c", 1),
        deploy("refused", 9),
        split("d", {1: 90, 2: 10}, labels={"champion": 1, "challenger": 2}),
        split("e", {1: 90, 2: 10}, labels={"champion": 1, "challenger": 1}),
        partition("f", {"carrier=AA": 1, "carrier=UA": 2}),
        partition("g", {"carrier=AA": 2, "carrier=UA": 2}),
    )
    assert told(found) == {
        "live": ("version 1", "DeploymentChanged", "c"),
        "arm v1": ("version 1, 90%", "TrafficChanged", "d"),
        "arm v2": ("version 2, 10%", "TrafficChanged", "d"),
        "unit": ("all keys", "TrafficChanged", "d"),
        "label challenger": ("version 1", "TrafficChanged", "e"),
        "label champion": ("version 1", "TrafficChanged", "d"),
        "segment carrier=AA": ("version 2", "SegmentsChanged", "g"),
        "segment carrier=UA": ("version 2", "SegmentsChanged", "f"),
    }
    live = found["live"]
    assert (live.actor, live.reason, live.at_ms, live.position, live.revision) == ("ada", "better AUC", 12, "m/0/2", 3)


def test_a_fact_that_came_back_is_blamed_on_its_return() -> None:
    found = blamed(register("a"), register("b"), deploy("c", 1), deploy("d", 2), roll_back("e"), retire("f", 2))
    assert told(found) == {
        "live": ("version 1", "RolledBack", "e"),
        "version 2": ("retired", "ModelRetired", "f"),
    }


def test_a_roll_out_is_blamed_on_its_start_and_its_stage_on_the_service() -> None:
    found = blamed(register("a"), register("b"), deploy("c", 1), roll_out("r", 2, 10, 50), advance("n", "r", 1))
    assert told(found)["roll-out"] == ("version 2 by 10%, 50%; rules: none", "RolloutStarted", "r")
    assert told(found)["roll-out's stage"] == ("2 of 2, 50%", "RolloutAdvanced", "n")


def test_environments_labels_rules_and_approvals_are_blamed_too() -> None:
    found = blamed(
        register("a"),
        approve("b", 1, "bob"),
        policy("p", "approvals=1"),
        deploy("c", 1),
        replace(deploy("d", 1), environment="staging"),
        promote("e", "champion", 1),
    )
    assert told(found) == {
        "live": ("version 1", "DeploymentChanged", "d"),
        "label champion": ("version 1", "LabelPromoted", "e"),
        "rule approvals=1": ("must hold", "PolicyChanged", "p"),
        "approval of version 1 by bob": ("given", "VersionApproved", "b"),
    }
    assert found["live"].environment == "staging", "production's comes first"

"""Policies: what keeps a version from answering in an environment, said all at once."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bighead.client.policies import default_policies, read_policies
from bighead.errors import ConfigError, InvalidInput
from bighead.events.types import (
    Attachment,
    CommandRejected,
    DeploymentChanged,
    ModelRegistered,
    PolicyChanged,
    PolicyRule,
    RegisterModel,
    RolledBack,
    RolloutEnded,
    TrafficChanged,
)
from bighead.registry import Command, ModelState, decide
from bighead.registry.policies import policies_from_toml, rule_of, told
from bighead.registry.policy_checks import is_filled
from tests.unit.registry.samples import (
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
    roll_back,
    roll_out,
    split,
)

TEST_DATA = {"table": "flights", "version": 3, "from_ms": 0, "to_ms": 1_000, "rows": 500}


def scored(auc: float | None, **data: Any) -> Any:
    training_data = json.dumps({"train": {"rows": 9}, "test": TEST_DATA | data})
    return record(metrics={} if auc is None else {"auc": auc}, training_data=training_data)


def refusal(state: ModelState, command: Command) -> str:
    (event,) = decide(state, command, 99)
    assert isinstance(event, CommandRejected)
    return event.reason_rejected


def accepted(state: ModelState, command: Command) -> bool:
    return not isinstance(decide(state, command, 99)[0], CommandRejected)


@pytest.mark.parametrize(
    "text",
    [
        "approvals=2",
        "parity",
        "parity<=0.0001",
        "auc>=live",
        "auc>=live-0.005",
        "log_loss<=live+1e-05",
        "required=code_version,metrics.auc",
        "lived_in=staging",
    ],
)
def test_a_rule_is_written_as_it_is_read(text: str) -> None:
    assert told(rule_of(text)) == text


@given(
    kind=st.sampled_from(["parity", "metric_not_worse"]),
    number=st.floats(0, allow_nan=False, allow_infinity=False),
    better=st.booleans(),
)
def test_every_bound_survives_its_text(kind: str, number: float, better: bool) -> None:
    rule = PolicyRule(kind=kind, at_most=number)
    if kind == "metric_not_worse":
        rule = PolicyRule(kind=kind, metric="auc_pr", higher_is_better=better, tolerance=number)
    assert rule_of(told(rule)) == rule


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is no rule"),
        ("approvals=two", "'approvals=two' is no rule"),
        ("approvals=0", "asks for 0 approvals; expected 1 or more"),
        ("parity<=-1", "expected a number that is not negative"),
        ("parity<=nan", "expected a number that is not negative"),
        ("auc>=0.7", "'auc>=0.7' is no rule of a policy; expected one such as approvals=2"),
        ("auc>=live+0.1", "is no rule"),
        ("auc>=live-inf", "is no rule"),
        ("required=", "names no field"),
        ("required=code_verison", "did you mean 'code_version' or"),
        ("required=metrics..auc", "no field of a record"),
        ("lived_in=Staging", "cannot name an environment"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as failure:
        rule_of(text)
    assert reason in str(failure.value)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ((PolicyRule(kind="aprovals", count=1),), "'aprovals' is no kind of rule (did you mean 'approvals'?)"),
        ((PolicyRule(kind="lived_in", environment="production"),), "is that of production itself"),
        ((PolicyRule(kind="metric_not_worse", metric=" "),), "expected the name of a metric"),
        ((PolicyRule(kind="metric_not_worse", metric="auc", tolerance=-1.0),), "not negative"),
        ((PolicyRule(kind="parity"),) * 51, "has 51 rules; at most 50"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(rules: tuple[PolicyRule, ...], reason: str) -> None:
    state, _ = obey(register("a"))
    assert reason in refusal(state, replace(policy("b"), rules=rules))


def test_a_refusal_names_every_rule_that_is_broken_and_what_is_missing() -> None:
    state, _ = obey(
        register("a", of=scored(0.8)),
        deploy("b", 1),
        register("c", of=scored(0.7, version=4)),
        policy("d", "approvals=2", "auc>=live-0.005", "required=code_version,config,metrics.auc", "lived_in=staging"),
        approve("e", 2),
    )
    assert refusal(state, deploy("f", 2)) == (
        "the policy of production keeps version 2 of 'delays' from answering there: "
        "approvals=2: it has 1 of 2 approvals (bob), 1 missing; "
        "auc>=live-0.005: it is not known to be tested on the same data as version 1, which is live "
        '(training_data.test is {"from_ms": 0, "rows": 500, "table": "flights", "to_ms": 1000, "version": 4} and '
        '{"from_ms": 0, "rows": 500, "table": "flights", "to_ms": 1000, "version": 3}); '
        "auc>=live-0.005: auc is 0.7, and that of version 1, which is live, 0.8; "
        "required=code_version,config,metrics.auc: its record lacks code_version, config; "
        "lived_in=staging: it was never live in staging; deploy it there first"
    )


def test_what_keeps_every_rule_goes_live() -> None:
    state, _ = obey(
        register("a", of=scored(0.8)),
        deploy("b", 1),
        register("c", of=scored(0.796)),
        policy("d", "approvals=2", "auc>=live-0.005", "parity", "parity<=1e-6", "required=metrics", "lived_in=staging"),
        approve("e", 2),
        replace(deploy("f", 2), environment="staging"),
        approve("g", 2, "eve"),
    )
    assert accepted(state, deploy("h", 2))


def test_where_nothing_is_live_there_is_nothing_to_be_worse_than() -> None:
    state, _ = obey(register("a"), policy("b", "auc>=live"))
    assert accepted(state, deploy("c", 1))


@pytest.mark.parametrize(
    ("live", "candidate", "reason"),
    [
        (scored(0.8), record(metrics={"auc": 0.9}), "not known to be tested on the same data"),
        (record(metrics={"auc": 0.8}), record(metrics={"auc": 0.9}), "training_data.test is empty and empty"),
        (scored(None), scored(0.9), "version 1 has no metric 'auc'; its metrics are: none"),
        (scored(0.8), scored(None), "version 2 has no metric 'auc'"),
        (scored(0.8), scored(float("nan")), "auc is nan"),
        (scored(float("nan")), scored(0.9), "which is live, nan"),
    ],
)
def test_a_comparison_that_nobody_can_make_is_none(live: Any, candidate: Any, reason: str) -> None:
    state, _ = obey(register("a", of=live), deploy("b", 1), register("c", of=candidate), policy("d", "auc>=live"))
    assert reason in refusal(state, deploy("e", 2))


def test_lower_may_be_better() -> None:
    worse, better = (replace(scored(None), metrics={"log_loss": value}) for value in (0.52, 0.49))
    state, _ = obey(
        register("a", of=replace(scored(None), metrics={"log_loss": 0.5})),
        deploy("b", 1),
        register("c", of=worse),
        register("d", of=better),
        policy("e", "log_loss<=live+0.01"),
    )
    assert "log_loss is 0.52" in refusal(state, deploy("f", 2))
    assert accepted(state, deploy("g", 3))


@pytest.mark.parametrize(
    "command",
    [
        deploy("x", 2),
        split("x", {1: 90, 2: 10}),
        split("x", {1: 100}, labels={"next": 2}),
        partition("x", {"carrier=AA": 2}),
        roll_out("x", 2, 10),
        promote("x", "next", 2),
    ],
)
def test_whatever_lets_a_version_answer_is_held_to_the_policy(command: Command) -> None:
    state, _ = obey(register("a"), register("b"), deploy("c", 1), policy("d", "approvals=1"))
    assert "approvals=1: it has 0 of 1 approvals, 1 missing" in refusal(state, command)
    approved, _ = obey(approve("e", 2), state=state)
    assert accepted(approved, command)


def test_a_shadow_answers_nobody_and_what_is_live_is_not_asked_again() -> None:
    state, _ = obey(register("a"), register("b"), deploy("c", 1), policy("d", "approvals=1"))
    shadow = replace(split("e", {1: 100, 2: 100}).arms[1], shadow=True)
    assert accepted(state, split("e", {1: 100}, arms=(split("e", {1: 100}).arms[0], shadow)))
    assert accepted(state, deploy("f", 1))


def test_the_way_back_is_never_barred() -> None:
    state, _ = obey(register("a"), register("b"), deploy("c", 1), deploy("d", 2), policy("e", "approvals=5"))
    assert isinstance(decide(state, roll_back("f"), 99)[0], RolledBack)


def test_a_roll_out_is_held_to_a_policy_that_came_after_it_began() -> None:
    story = (register("a"), register("b"), deploy("c", 1), roll_out("r", 2, 10), policy("d", "approvals=1"))
    state, _ = obey(*story)
    kept, events = obey(advance("e", "r", 1), state=state)
    ended, traffic = events
    assert isinstance(ended, RolloutEnded)
    assert (ended.outcome, kept.rollout, kept.live) == ("rolled back", None, 1)
    assert "keeps version 2 of 'delays' from answering there: approvals=1" in ended.why
    assert isinstance(traffic, TrafficChanged)
    assert [(arm.version, arm.percent) for arm in traffic.arms] == [(1, 100)]
    approved, events = obey(approve("f", 2), advance("g", "r", 1), state=state)
    assert approved.live == 2
    assert isinstance(events[-1], DeploymentChanged)


def test_a_policy_is_replaced_as_a_whole_and_may_be_none() -> None:
    state, _ = obey(register("a"), policy("b", "approvals=1", "parity"), policy("c", "parity"), policy("d"))
    assert state.slot().policy == ()
    assert accepted(state, deploy("e", 1))


DEFAULTS = policies_from_toml(
    """
    production = ["approvals=1", "required=code_version,metrics.auc"]
    staging = ["required=code_version"]
    """
)


def test_the_first_version_brings_the_default_policies_and_is_held_to_them() -> None:
    first = register("a", of=record(code_version="abc", metrics={"auc": 0.7}))
    registered, *policies = decide(ModelState(MODEL), first, 5, (), DEFAULTS)
    assert isinstance(registered, ModelRegistered)
    changes = [event for event in policies if isinstance(event, PolicyChanged)]
    assert {event.environment: event.rules for event in changes} == DEFAULTS
    assert changes[0].reason == "the default policy, with the first version (trained anew)"
    state, _ = obey(first)
    assert len(decide(state, replace(first, command_id="b"), 6, (), DEFAULTS)) == 1, "only with the first"


def test_a_record_that_lacks_what_is_required_is_refused_with_the_whole_list() -> None:
    def reason(command: RegisterModel, state: ModelState) -> str:
        (event,) = decide(state, command, 5, (), DEFAULTS)
        assert isinstance(event, CommandRejected)
        return event.reason_rejected

    expected = (
        "the record lacks what the model's policy requires: code_version (required in production and staging), "
        "metrics.auc (required in production); fill it, then register it"
    )
    assert reason(register("a"), ModelState(MODEL)) == expected
    later, _ = obey(
        register("a"),
        policy("b", "required=code_version,metrics.auc"),
        policy("c", "required=code_version", at="staging"),
    )
    assert reason(register("d"), later) == expected


def test_what_is_beside_the_fields_of_a_rule_or_of_a_later_release_bars_nothing_by_accident() -> None:
    odd = replace(policy("b"), rules=(PolicyRule(kind="approvals", count=1, fields=("no_such_field",)),))
    state, _ = obey(register("a"), odd)
    assert accepted(state, register("c"))
    assert not is_filled(record(), "field_of_a_later_release")


CARD = Attachment(
    name="card", kind="model_card", media_type="text/markdown", sha256="ab" * 32, size=3, uri="memory://card"
)


@pytest.mark.parametrize(
    ("changes", "field", "filled"),
    [
        ({}, "metrics", False),
        ({"metrics": {"auc": 0.0}}, "metrics.auc", True),
        ({"metrics": {"auc": 0.1}}, "metrics.log_loss", False),
        ({"config": "{}"}, "config", False),
        ({"config": '{"seed": 7}'}, "config.seed", True),
        ({"config": " "}, "config", False),
        ({"config": "{broken"}, "config", True),
        ({"config": "{broken"}, "config.seed", False),
        ({"training_data": '{"test": {}}'}, "training_data.test", False),
        ({"started_ms": 0}, "started_ms", False),
        ({"join_epoch": 0}, "join_epoch", True),
        ({}, "join", False),
        ({}, "attachments", False),
        ({"attachments": (CARD,)}, "attachments.model_card", True),
        ({"attachments": (CARD,)}, "attachments.chart", False),
        ({}, "signature.inputs", False),
    ],
)
def test_what_counts_as_filled(changes: dict[str, Any], field: str, filled: bool) -> None:
    assert is_filled(record(**changes), field) is filled


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("production = [", "is not TOML"),
        ('production = "approvals=2"', "expected a list of rules"),
        ("[production]\napprovals = 2", "expected a list of rules"),
        ('production = ["approvals=x"]', "production: 'approvals=x' is no rule"),
        ('production = ["lived_in=production"]', "that of production itself"),
        ('Production = ["parity"]', "cannot name an environment"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_what_is_wrong_in_it(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "policies.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as failure:
        read_policies(path)
    assert str(failure.value).startswith(f"{path}: ")
    assert reason in str(failure.value)
    with pytest.raises(ConfigError, match="BIGHEAD_POLICIES is"):
        default_policies(str(path))


def test_without_a_file_there_are_no_rules_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    assert default_policies("") == {}
    with pytest.raises(ConfigError, match="cannot be read"):
        default_policies(str(tmp_path / "gone.toml"))


def test_the_file_of_the_guide_is_one() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "registry.md").read_text()
    example = policies_from_toml(guide.partition("```toml")[2].partition("```")[0])
    assert sorted(example) == ["production", "staging"]
    assert example["production"][3] == rule_of("auc>=live-0.005")

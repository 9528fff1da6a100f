"""Records and commands that the tests of the registry tell their stories with."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bighead.events.types import (
    AdvanceRollout,
    Approve,
    DeployModel,
    ModelRecord,
    PromoteLabel,
    RegisterModel,
    RetireModel,
    RollBack,
    RolloutStage,
    SetPolicy,
    SetSegments,
    SetTraffic,
    Signature,
    StartRollout,
    StopRollout,
    Tensor,
    TrafficArm,
)
from bighead.registry import Command, ModelState, RegistryEvent, decide, evolve
from bighead.registry.policies import rule_of
from bighead.registry.state import PRODUCTION

MODEL = "delays"
GOOD_RECORD = ModelRecord(
    artifact_uri="memory://artifacts/sha256/ab/abc",
    artifact_sha256="ab" * 32,
    artifact_size=1234,
    signature=Signature(
        inputs=(Tensor(name="delay", type="FP32", source="request"),),
        outputs=(Tensor(name="late", type="FP32"),),
    ),
    golden=json.dumps([{"inputs": {"delay": 3.0}, "outputs": {"late": 0.5}}]),
    parity=json.dumps({"max_abs_diff": 1e-7, "tolerance": 1e-5, "rows": 100}),
    started_ms=1_000,
    finished_ms=2_000,
)


def record(**changes: Any) -> ModelRecord:
    """A record that the registry accepts, with some fields changed."""
    return replace(GOOD_RECORD, **changes)


COST_RECORD = record(
    signature=Signature(inputs=GOOD_RECORD.signature.inputs, outputs=(Tensor(name="cost", type="FP32"),)),
    golden=json.dumps([{"inputs": {"delay": 3.0}, "outputs": {"cost": 0.5}}]),
)
"""Another output: in one request its answers and those of GOOD_RECORD are no table."""


def register(id: str, *, model: str = MODEL, of: ModelRecord = GOOD_RECORD) -> RegisterModel:
    return RegisterModel(command_id=id, model=model, record=of, actor="ada", reason="trained anew", at_ms=0)


def deploy(id: str, version: int, *, model: str = MODEL) -> DeployModel:
    return DeployModel(command_id=id, model=model, version=version, actor="ada", reason="better AUC", at_ms=0)


def roll_back(id: str, version: int | None = None) -> RollBack:
    return RollBack(command_id=id, model=MODEL, version=version, actor="bob", reason="alerts", at_ms=0)


def retire(id: str, version: int | None = None) -> RetireModel:
    return RetireModel(command_id=id, model=MODEL, version=version, actor="bob", reason="leaks the label", at_ms=0)


def split(id: str, shares: Mapping[int, float], **changes: Any) -> SetTraffic:
    arms = tuple(TrafficArm(arm=f"v{version}", version=version, percent=share) for version, share in shares.items())
    command = SetTraffic(command_id=id, model=MODEL, arms=arms, actor="ada", reason="canary", at_ms=0)
    return replace(command, **changes)


def partition(id: str, versions: Mapping[str, int], *keys: str) -> SetSegments:
    named = keys or tuple(dict.fromkeys(name.partition("=")[0] for name in versions))
    return SetSegments(
        command_id=id, model=MODEL, keys=named, versions=versions, actor="ada", reason="carriers differ", at_ms=0
    )


def roll_out(id: str, version: int, *percents: float, **changes: Any) -> StartRollout:
    stages = tuple(RolloutStage(percent=float(percent), hold_ms=1_000, predictions=50) for percent in percents)
    command = StartRollout(
        command_id=id, model=MODEL, version=version, stages=stages, salt="s", actor="ada", reason="better AUC", at_ms=0
    )
    return replace(command, **changes)


def advance(id: str, rollout_id: str, stage: int) -> AdvanceRollout:
    return AdvanceRollout(
        command_id=id, model=MODEL, rollout_id=rollout_id, stage=stage, actor="service", reason="passed", at_ms=0
    )


def stop(id: str, rollout_id: str | None = None) -> StopRollout:
    return StopRollout(
        command_id=id, model=MODEL, rollout_id=rollout_id, actor="service", reason="error_rate is 0.2", at_ms=0
    )


def promote(id: str, label: str, version: int | None, **changes: Any) -> PromoteLabel:
    command = PromoteLabel(
        command_id=id, model=MODEL, label=label, version=version, actor="bob", reason="won the test", at_ms=0
    )
    return replace(command, **changes)


def approve(id: str, version: int, actor: str = "bob", **changes: Any) -> Approve:
    command = Approve(command_id=id, model=MODEL, version=version, actor=actor, reason="reviewed", at_ms=0)
    return replace(command, **changes)


def policy(id: str, *rules: str, at: str = PRODUCTION) -> SetPolicy:
    return SetPolicy(
        command_id=id,
        model=MODEL,
        rules=tuple(map(rule_of, rules)),
        environment=at,
        actor="eve",
        reason="two pairs of eyes",
        at_ms=0,
    )


def obey(
    *commands: Command, state: ModelState | None = None, now_ms: int = 10
) -> tuple[ModelState, list[RegistryEvent]]:
    """The state after the commands, given one millisecond apart, and every event on the way."""
    state, events = state or ModelState(MODEL), []
    for passed, command in enumerate(commands):
        for event in decide(state, command, now_ms + passed):
            state = evolve(state, event)
            events.append(event)
    return state, events

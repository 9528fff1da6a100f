"""Records and commands that the tests of the registry tell their stories with."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bighead.events.types import (
    DeployModel,
    ModelRecord,
    RegisterModel,
    RetireModel,
    RollBack,
    SetTraffic,
    Signature,
    Tensor,
    TrafficArm,
)
from bighead.registry import Command, ModelState, RegistryEvent, decide, evolve

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

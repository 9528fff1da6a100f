"""The second version goes live by canary: a growing share of the traffic, advanced by the platform as rules hold."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bighead.client.rollouts import RolloutsClient
from bighead.config import Settings
from bighead.errors import NotReady, PlatformError
from bighead.events.codec import Codec
from bighead.events.log import follow
from bighead.events.topics import SERVING_EVENTS, topic_name
from bighead.events.types import ModelLoaded, ModelSwapped, RolloutEnded, RolloutRule, RolloutStage
from bighead.registry.rollouts import ERROR_RATE, LATENCY_P99_MS, bounds
from bighead.registry.state import COMPLETED, RolloutEvent

STAGES = [RolloutStage(percent=percent, hold_ms=1_000, predictions=20) for percent in (10.0, 50.0, 100.0)]
RULES = [RolloutRule(metric=ERROR_RATE, at_most=0.01), RolloutRule(metric=LATENCY_P99_MS, at_most=2_000.0)]
REPORT_S = 30.0


@dataclass(frozen=True)
class RolledOut:
    """How a version went live: its stages, the rules that held, and what the server says of loading and swapping."""

    stages: str
    rules: str
    seconds: float
    steps_s: Mapping[str, float]
    swap_us: int


def roll_out(settings: Settings, model: str, version: int, reason: str, stop: Callable[[], bool]) -> RolledOut:
    """Returns when the version is live; raises PlatformError where a rule ended the roll-out.

    Without predictions no stage passes: raises NotReady where the roll-out has not ended when `stop()` says so.
    """
    client, begun = RolloutsClient(settings), time.monotonic()
    started = client.start(model, version, STAGES, reason, rules=RULES)
    events: list[RolloutEvent] = [started, *client.follow(model, started.rollout_id, stop=stop)]
    last = events[-1]
    if not isinstance(last, RolloutEnded):
        raise NotReady(
            f"the roll-out of version {version} of {model!r} has not ended, the newest event is a "
            f"{type(last).__name__}; does a server answer with the version, and is the stream worker running "
            f"(`bighead models show {model}`, `bighead status`)?"
        )
    if last.outcome != COMPLETED:
        raise PlatformError(f"version {version} was not rolled out: {last.outcome}, {last.why}; {last.reason}")
    seconds = time.monotonic() - begun
    loaded, swapped = _reported(settings, model, version)
    shares = ", ".join(f"{stage.percent:g}%" for stage in STAGES)
    return RolledOut(shares, " and ".join(map(bounds, RULES)), seconds, loaded.steps, swapped.swap_us)


def _reported(settings: Settings, model: str, version: int) -> tuple[ModelLoaded, ModelSwapped]:
    """What the server said of the version: it loaded it for the first stage, and swapped after the last."""
    deadline_s, codec = time.monotonic() + REPORT_S, Codec(settings.schema_registry)
    topic = topic_name(settings.topic_prefix, SERVING_EVENTS)
    messages = follow(settings, [topic], stop=lambda: time.monotonic() > deadline_s)
    loaded: ModelLoaded | None = None
    try:
        for message in messages:
            match codec.decode(message.value):
                case ModelLoaded(model=name, version=number) as event if (name, number) == (model, version):
                    loaded = event
                case ModelSwapped(model=name, version=number) as event if (name, number) == (model, version):
                    if loaded is not None:
                        return loaded, event
    finally:
        messages.close()
        codec.close()
    raise NotReady(f"no server said within {REPORT_S:g} s that it answers with version {version} of {model!r}")

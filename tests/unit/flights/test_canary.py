"""The demo's roll-out: it ends, or says why it does not."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bighead import config
from bighead.errors import NotReady, PlatformError
from bighead.events.types import RolloutAdvanced, RolloutEnded, RolloutStarted
from bighead.registry.state import RolloutEvent
from examples.flights import canary

SIGNED: dict[str, Any] = {"command_id": "c", "actor": "ada", "reason": "better AUC", "at_ms": 1}
OURS: dict[str, Any] = {"model": "delay", "rollout_id": "c", "version": 2} | SIGNED
STARTED = RolloutStarted(stages=(), rules=(), unit=None, salt="", **OURS)
ADVANCED = RolloutAdvanced(stage=1, percent=50.0, **OURS)


def rolled_out_with(events: list[RolloutEvent], monkeypatch: pytest.MonkeyPatch) -> canary.RolledOut:
    """A roll-out of which the log says no more than `events` until it is given up."""

    class Client:
        def __init__(self, settings: object) -> None:
            pass

        def start(self, *_: object, **__: object) -> RolloutStarted:
            return STARTED

        def follow(self, model: str, rollout_id: str, *, stop: Callable[[], bool]) -> Iterator[RolloutEvent]:
            assert stop()
            yield from events

    monkeypatch.setattr(canary, "RolloutsClient", Client)
    return canary.roll_out(config.load({}), "delay", 2, "better AUC", lambda: True)


@pytest.mark.parametrize(("events", "newest"), [([], "RolloutStarted"), ([STARTED, ADVANCED], "RolloutAdvanced")])
def test_one_that_is_given_up_says_how_far_it_came(
    events: list[RolloutEvent], newest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotReady, match=f"version 2 of 'delay' has not ended, the newest event is a {newest}; does"):
        rolled_out_with(events, monkeypatch)


def test_one_that_a_rule_ended_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = RolloutEnded(stage=0, outcome="rolled back", why="it was stopped", **OURS)
    with pytest.raises(PlatformError, match="was not rolled out: rolled back, it was stopped; better AUC"):
        rolled_out_with([STARTED, ended], monkeypatch)

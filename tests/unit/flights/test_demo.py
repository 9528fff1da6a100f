"""The demo's replay and roll-out, side by side: where one fails, the other does not go on for ever."""

import io
from contextlib import nullcontext
from typing import Any
from unittest.mock import Mock

import pandas as pd
import pytest
from rich.console import Console

from bighead import config
from bighead.errors import NotReady
from bighead.testing import eventually
from examples.flights import data, demo
from examples.flights.replay import Answer, Replayed
from examples.flights.story import Story

ENOUGH_S = 20.0


def replay(failure: Exception | None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a replay of one flight ends with, after its answer, beside a roll-out that never ends by itself."""
    said: list[str] = []

    async def run_replay(*given: Any) -> Replayed:
        done = Replayed(answers={"a": Answer("a", "p-a", 1, 0.5, 0.001)})
        given[-1](0, done)
        if failure is not None:
            raise failure
        return done

    def roll_out(*given: Any) -> None:
        eventually(given[-1], ENOUGH_S)
        said.append("stopped")
        raise NotReady("the roll-out has not ended")

    monkeypatch.setattr(demo, "_run_replay", run_replay)
    monkeypatch.setattr(demo, "roll_out", roll_out)
    monkeypatch.setattr(demo, "ROLL_OUT_S", 0.1)
    monkeypatch.setattr(demo, "MetricsWatch", lambda *_: nullcontext(Mock(text=lambda: "")))
    history = demo.History(pd.DataFrame({"asked_ms": [data.CUT_MS]}), [], 0, data.CUT_MS + data.DAY_MS)
    monkeypatch.setattr(data, "asked_between", lambda flights, *_: flights)
    monkeypatch.setattr(demo, "look_back", lambda *_: Mock())
    models = demo.Models({1: Mock(), 2: Mock()}, 0.5, 1, Mock())
    with pytest.raises(NotReady) as raised:
        demo._replay(config.load({}), history, models, Story(Console(file=io.StringIO())))
    return [*said, str(raised.value)]


def test_a_replay_that_fails_ends_the_roll_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert replay(NotReady("no answer"), monkeypatch) == ["stopped", "no answer"]


def test_a_roll_out_that_does_not_end_in_time_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert replay(None, monkeypatch) == ["stopped", "the roll-out has not ended"]

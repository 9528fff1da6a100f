"""What the console knows: an event that nobody should have written hides none of the others."""

import pytest

from bighead.events.message import Message
from bighead.events.types import GroupByApplied
from serving.console.log_state import LogState
from tests.event_examples import TIME_MS, example_event
from tests.unit.serving.console.kit import FakeCodec


def test_an_event_that_cannot_be_folded_is_named_and_the_rest_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    broken, run = example_event(GroupByApplied.FULL_NAME), example_event("bighead.v1.RunStarted")
    codec, state = FakeCodec(broken, run), LogState()
    for index in (0, 1):
        state.apply(Message("t", 0, index, b"k", str(index).encode()), codec)
    assert "GroupByApplied, is not shown: JSONDecodeError" in caplog.text
    assert len(state.runs.runs(None, TIME_MS)) == 1
    assert len(state.audit.entries(None)) == 2

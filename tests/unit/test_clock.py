"""The clock of a process never goes backwards."""

import time

import pytest

from bighead.clock import Clock


def test_a_machine_whose_clock_is_set_back_has_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    times_ms = iter([5_000, 1_000, 4_999, 5_001])
    monkeypatch.setattr(time, "time_ns", lambda: next(times_ms) * 1_000_000)
    clock = Clock()

    assert [clock() for _ in range(4)] == [5_000, 5_000, 5_000, 5_001]

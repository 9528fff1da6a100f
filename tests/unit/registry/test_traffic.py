"""Arms by a stable hash: shares hold, the same unit stays where it is, and only units move that must."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bighead.events.types import TrafficArm
from bighead.registry.state import Traffic
from bighead.registry.traffic import LIVE, choose

UNITS = [f"customer-{number}" for number in range(10_000)]


def traffic(shares: dict[str, float], salt: str = "s", shadow: str | None = None) -> Traffic:
    arms = [
        TrafficArm(arm=name, version=number, percent=percent)
        for number, (name, percent) in enumerate(shares.items(), 1)
    ]
    if shadow is not None:
        arms.append(TrafficArm(arm=shadow, version=99, percent=100, shadow=True))
    return Traffic(tuple(arms), {}, None, salt)


def arms_of(policy: Traffic) -> list[str]:
    return [choose(7, policy, unit).arm for unit in UNITS]


def test_undivided_traffic_goes_to_the_live_version() -> None:
    assert (choose(7, None, "a").version, choose(7, None, "a").arm) == (7, LIVE)
    assert choose(7, Traffic((), {"champion": 3}, None, ""), "a").version == 7


@pytest.mark.parametrize("shares", [{"a": 50, "b": 50}, {"a": 99, "b": 1}, {"a": 70, "b": 20, "c": 10}])
def test_shares_hold(shares: dict[str, float]) -> None:
    found = arms_of(traffic(shares))
    for arm, percent in shares.items():
        share = percent / 100
        assert abs(found.count(arm) / len(UNITS) - share) < 4 * math.sqrt(share * (1 - share) / len(UNITS))


def test_a_growing_canary_keeps_its_units_and_only_takes_others() -> None:
    before: set[str] = set()
    for percent in (1, 10, 50, 100):
        found = arms_of(traffic({"stable": 100 - percent, "canary": percent}))
        taken = {unit for unit, arm in zip(UNITS, found, strict=True) if arm == "canary"}
        assert before <= taken
        before = taken
    assert before == set(UNITS)


def test_another_salt_assigns_anew() -> None:
    one, two = (arms_of(traffic({"a": 50, "b": 50}, salt)) for salt in ("2026-11", "2026-12"))
    same = sum(first == second for first, second in zip(one, two, strict=True))
    assert abs(same / len(UNITS) - 0.5) < 4 * math.sqrt(0.25 / len(UNITS))


def test_a_shadow_sees_every_request_and_answers_none() -> None:
    chosen = [choose(7, traffic({"a": 60, "b": 40}, shadow="c"), unit) for unit in UNITS[:200]]
    assert {one.arm for one in chosen} == {"a", "b"}
    assert all([arm.arm for arm in one.shadows] == ["c"] for one in chosen)


@given(st.text(), st.text(), st.lists(st.floats(0.001, 100), min_size=2, max_size=5))
def test_any_unit_and_salt_has_one_stable_arm(unit: str, salt: str, shares: list[float]) -> None:
    policy = traffic({f"arm{number}": percent for number, percent in enumerate(shares)}, salt)
    turned = Traffic(tuple(reversed(policy.arms)), {}, None, salt)
    assert choose(7, policy, unit).arm == choose(7, policy, unit).arm == choose(7, turned, unit).arm


def test_the_assignment_is_the_same_on_every_server_and_in_every_release() -> None:
    """Written down once: a change of the hash would move customers between the arms of running experiments."""
    found = arms_of(traffic({"a": 50, "b": 30, "c": 20}))[:12]
    assert "".join(found) == "bacbaabaccbc"

"""What people write on the command line of a roll-out."""

import pytest
from click.testing import CliRunner

from bighead.cli import main
from bighead.errors import InvalidInput
from bighead.events.types import RolloutRule, RolloutStage
from bighead.registry.rollout_texts import duration_ms, rule_of, stages_of


def test_stages_rules_and_times_mean_what_they_say() -> None:
    assert stages_of("1,12.5, 100", 500, 20) == [
        RolloutStage(percent=percent, hold_ms=500, predictions=20) for percent in (1, 12.5, 100)
    ]
    assert rule_of("error_rate<=0.01") == RolloutRule(metric="error_rate", at_most=0.01)
    assert rule_of(" auc >= .7 ") == RolloutRule(metric="auc", at_least=0.7)
    assert [duration_ms(text) for text in ("0s", "500ms", "30s", "10m", "2h", "1d")] == [
        0, 500, 30_000, 600_000, 7_200_000, 86_400_000
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["auc", "auc=0.7", "auc<0.7", ">=0.7", "auc>=good", "auc>=0.7,brier<=1"])
def test_what_is_no_rule_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no rule; expected METRIC<=NUMBER"):
        rule_of(text)


@pytest.mark.parametrize("text", ["", "10", "-1m", "ten minutes", "1.5h"])
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no length of time"):
        duration_ms(text)


def test_what_are_no_stages_is_named() -> None:
    with pytest.raises(InvalidInput, match="expected percents such as"):
        stages_of("1;10", 0, 0)


def test_a_roll_out_is_stopped_as_a_whole() -> None:
    result = CliRunner().invoke(main, ["models", "rollout", "delay", "3", "--stop", "--hold", "1h", "--reason", "x"])
    assert result.exit_code == 2
    assert "leave out version, hold" in result.output

"""What the demo says about its findings: nothing passes that was not shown."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from bighead.charts.evaluation import Measure
from bighead.training.retrospective import Retrospect
from examples.flights.canary import RolledOut
from examples.flights.replay import Answer, Replayed
from examples.flights.summary import FeatureDifference, Findings, PartMemory, VersionAuc, links, summary
from examples.flights.training import Airport, ByOrigin

ANSWERS = {name: Answer(name, f"p-{name}", version, 0.5, 0.004) for name, version in (("a", 1), ("b", 2))}
DIFFERENCE = Measure(name="log_loss", value=-0.01, low=-0.02, high=-0.005, higher_is_better=False)
LOOKED_BACK = Retrospect(
    model="delay",
    version=2,
    task="binary_classification",
    predictions=10,
    labelled=9,
    compared=9,
    refused={},
    answered_by={1: 9},
    candidate=(),
    live=(),
    differences=(DIFFERENCE,),
    intervals="95% intervals by resampling 9 entities",
    loss="log_loss",
    days=(),
)
GOOD = Findings(
    parts=[PartMemory("kafka", "127.0.0.1:1", 170.0)],
    history_events=10,
    published_tiles=5,
    training_rows=4,
    schedule_auc=0.66,
    trained_auc={1: 0.74, 2: 0.75},
    parity=1e-9,
    replayed=Replayed(answers=ANSWERS, waits_s=[0.01], events=3, outcomes=2, seconds=1.0),
    asked=2,
    versions=[VersionAuc(version, 2, 2, 0.7, 0.7) for version in (0, 1, 2)],
    differences=[FeatureDifference("late", 2, 0, 0.0)],
    rolled_out=RolledOut("10%, 100%", "error_rate <= 0.01", 12.0, {"fetch": 0.001}, 12),
    dead_letters=0,
    metric_events=9,
    logged=3,
    retrospect=LOOKED_BACK,
    by_origin=ByOrigin({"JFK": Airport(2, 0.71, 0.70)}, asked=1, astray=()),
)


def test_what_was_shown_passes_and_is_told() -> None:
    assert GOOD.failures() == []
    console = Console(width=240, record=True, file=io.StringIO())
    console.print(summary(GOOD, {"replay": 1.0}))
    console.print(links("http://127.0.0.1:2"))
    text = console.export_text()
    story = "http://127.0.0.1:2/models/delay"
    for part in (
        "0 of 2 served values",
        "p50 4.0 ms",
        "0.080",
        "12 us, after fetch 1.0 ms",
        "better than what answered",
        "JFK by version 2",
        story,
    ):
        assert part in text


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (replace(GOOD, differences=[FeatureDifference("late", 2, 1, 0.5)]), "late differs in 1 of 2"),
        (replace(GOOD, differences=[FeatureDifference("late", 1, 0, 0.0)]), "late differs in 0 of 1"),
        (replace(GOOD, differences=[]), "no feature was compared"),
        (replace(GOOD, replayed=Replayed(answers=ANSWERS, failures=["a: no answer"])), "a request failed: a: no"),
        (replace(GOOD, asked=3), "3 were asked, 2 answered"),
        (replace(GOOD, logged=2), "1 logged"),
        (replace(GOOD, by_origin=ByOrigin({}, 1, ("a was answered by version 1",))), "by airport, a was answered"),
        (replace(GOOD, versions=[VersionAuc(0, 2, 2, 0.7, 0.7 + 2e-9), *GOOD.versions[1:]]), "the live AUC of"),
        (replace(GOOD, versions=[VersionAuc(0, 2, 2, float("nan"), 0.7), *GOOD.versions[1:]]), "the live AUC of"),
        (replace(GOOD, trained_auc={1: 0.70}), "lift the test AUC by 0.0400"),
        (replace(GOOD, trained_auc={1: 0.95}), "look for a leak"),
        (replace(GOOD, replayed=Replayed(answers={"a": ANSWERS["a"]})), "the second version answered nothing"),
        (replace(GOOD, dead_letters=1), "1 messages are with the dead letters"),
    ],
)
def test_what_was_not_shown_is_said(found: Findings, complaint: str) -> None:
    assert any(complaint in failure for failure in found.failures()), found.failures()

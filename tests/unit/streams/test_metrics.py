"""Live metrics as a fold: what is kept decides them, not the order in which it was read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from bighead.events.types import OutcomeObserved, PredictionServed
from streams.metrics import Figures, ModelScores


def predicted(
    scores: ModelScores, name: str, score: float | None, entity: str = "e", at_ms: int = 0, version: int = 1
) -> None:
    outputs = {} if score is None else {"probability": score}
    scores.predicted(
        PredictionServed(
            prediction_id=name,
            model="m",
            version=version,
            entity=entity,
            as_of_ms=at_ms,
            at_ms=at_ms,
            server="s",
            outputs=outputs,
        )
    )


def observed(
    scores: ModelScores, name: str | None, label: float, event_ms: int = 10, entity: str = "e", offset: int = 0
) -> None:
    event = OutcomeObserved(prediction_id=name, model="m", entity=entity, label=label, event_ms=event_ms)
    scores.observed(event, 0, offset)


def everything(scores: ModelScores) -> Figures:
    """The figures of all versions."""
    return scores.figures()[0]


# Many ties, and the ends of the range, on which a logarithm must be bounded.
SCORES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0, 1e-300]), st.floats(0, 1))


@given(pairs=st.lists(st.tuples(st.sampled_from([0.0, 1.0]), SCORES), min_size=1, max_size=60))
def test_they_equal_those_of_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    scores = ModelScores()
    for index, (label, score) in enumerate(pairs):
        predicted(scores, str(index), score)
        observed(scores, str(index), label)
    labels, given_scores = [label for label, _ in pairs], [score for _, score in pairs]

    values = everything(scores).values

    assert values["log_loss"] == pytest.approx(log_loss(labels, given_scores, labels=[0, 1]), abs=1e-9)
    assert values["brier"] == pytest.approx(brier_score_loss(labels, given_scores, pos_label=1), abs=1e-9)
    if len(set(labels)) == 2:
        assert values["auc"] == pytest.approx(roc_auc_score(labels, given_scores), abs=1e-9)
    else:
        assert "auc" not in values


def test_what_has_no_outcome_lowers_the_coverage_alone() -> None:
    scores = ModelScores()
    for name, score in (("a", 0.9), ("b", 0.1), ("c", 0.5), ("d", 0.4)):
        predicted(scores, name, score)
    assert everything(scores).values == {"coverage": 0.0}
    observed(scores, "a", 1.0)
    observed(scores, "b", 0.0)
    observed(scores, "unknown", 1.0)

    figures = everything(scores)

    assert (figures.values["auc"], figures.count, figures.predictions, figures.coverage) == (1.0, 2, 4, 0.5)


def test_the_newest_of_several_outcomes_counts_in_whatever_order_they_are_read() -> None:
    corrections = [(1.0, 10, 0), (0.0, 20, 1), (0.0, 20, 1)]
    for order in (corrections, corrections[::-1]):
        scores = ModelScores()
        for label, event_ms, offset in order:
            observed(scores, "a", label, event_ms, offset=offset)
        predicted(scores, "a", 0.25)
        assert everything(scores).values["brier"] == 0.0625


def test_an_outcome_of_an_entity_belongs_to_its_newest_prediction_before_it() -> None:
    scores = ModelScores()
    observed(scores, None, 1.0, event_ms=15)
    for name, at_ms, score in (("early", 0, 0.1), ("newest", 12, 0.8), ("after", 16, 0.3)):
        predicted(scores, name, score, at_ms=at_ms)
    predicted(scores, "other", 0.9, entity="other", at_ms=14)

    figures = everything(scores)

    assert figures.count == 1
    assert figures.values["brier"] == pytest.approx(0.04)


@pytest.mark.parametrize("score", [None, math.nan, math.inf, -0.1, 1.1])
def test_what_is_no_probability_is_left_out_of_the_metrics(score: float | None) -> None:
    scores = ModelScores()
    for name, one in (("a", 0.5), ("b", score)):
        predicted(scores, name, one)
        observed(scores, name, 1.0)

    assert everything(scores).values == {"log_loss": pytest.approx(math.log(2)), "brier": 0.25, "coverage": 1.0}


def test_a_prediction_read_again_counts_once_and_versions_are_kept_apart() -> None:
    scores = ModelScores()
    for _ in range(2):
        predicted(scores, "a", 0.5, version=1)
        predicted(scores, "b", 0.5, version=2)

    assert [(one.version, one.predictions) for one in scores.figures()] == [(0, 2), (1, 1), (2, 1)]


def test_only_the_newest_are_kept() -> None:
    scores = ModelScores(most=10)
    for index in range(100):
        predicted(scores, f"p{index}", 0.5, at_ms=index)
        observed(scores, f"p{index}", 1.0, event_ms=index)

    assert len(scores.versions[1]) <= 11 and len(scores.by_prediction) <= 11
    assert (everything(scores).predictions, everything(scores).from_ms, everything(scores).to_ms) == (10, 90, 100)

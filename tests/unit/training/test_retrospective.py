"""A candidate over logged predictions: figures are those of scikit-learn, and what cannot be answered is named."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from bighead.errors import InvalidInput
from bighead.events.types import OutcomeObserved, PredictionServed
from bighead.inference.predictor import Predictor
from bighead.inference.registered import Registered
from bighead.registry.records import record_from_json
from bighead.training.retrospective import Retrospect, labels_of, retrospect
from bighead.training.running import Wanted, train
from bighead.training.specification import load_specification
from tests.unit.training.kit import START_MS, Project, rows

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    project = Project.made(tmp_path_factory.mktemp("project"))
    wanted = Wanted(reason="test")
    found = train(load_specification(project.specification), project.settings, project.sink, wanted, print)
    record = record_from_json((Path(found.folder) / "record.json").read_text())
    return Predictor.load_tried(Registered("late", 2, record), project.settings)


def served(at: int, row: Mapping[str, Any], probability: float, **more: Any) -> PredictionServed:
    asked_ms = START_MS + at * DAY_MS // 20
    given: dict[str, Any] = {
        "prediction_id": f"p{at}", "model": "late", "version": 1, "entity": f'{{"plane":"{at % 40}"}}',
        "as_of_ms": asked_ms, "at_ms": asked_ms, "server": "s", "features": {"x": row["x"]}, "inputs": {"c": row["c"]},
        "outputs": {"probability": probability},
    }  # fmt: skip
    return PredictionServed(**given | more)


def outcome(at: int, label: float, event_ms: int = START_MS + 100 * DAY_MS) -> OutcomeObserved:
    return OutcomeObserved(prediction_id=f"p{at}", model="late", entity="{}", label=label, event_ms=event_ms)


def logged(answer: float = 0.5) -> tuple[list[PredictionServed], list[OutcomeObserved]]:
    table = rows(200)
    predictions = [served(at, row, answer) for at, row in enumerate(table.to_dict("records"))]
    return predictions, [outcome(at, float(late)) for at, late in enumerate(table.late) if at % 4]


def test_figures_and_days_are_those_computed_by_hand(candidate: Predictor) -> None:
    predictions, outcomes = logged()
    shadow = served(3, {"x": 0.0, "c": "a"}, 0.99, shadow=True, version=9)
    made = retrospect("late", 2, candidate, [*predictions, shadow], outcomes)
    table = rows(200)
    known = np.arange(200) % 4 != 0
    asked = table[["x", "c"]].to_dict("records")
    said = np.array([row["probability"] for row in candidate.predict(asked)], np.float64).ravel()[known]
    actual = table.late.to_numpy()[known]
    figures = {one.name: one.value for one in made.candidate}
    assert figures["log_loss"] == pytest.approx(log_loss(actual, said), rel=1e-12)
    assert figures["auc"] == pytest.approx(roc_auc_score(actual, said), rel=1e-12)
    [difference] = [one for one in made.differences if one.name == "log_loss"]
    assert difference.value == pytest.approx(log_loss(actual, said) - np.log(2), rel=1e-9)
    assert difference.low is not None
    assert difference.high is not None
    assert difference.low < difference.value < difference.high
    assert (made.predictions, made.labelled, made.compared) == (200, 150, 150)
    assert made.coverage == 0.75
    assert made.answered_by == {1: 150}, "a shadow answered nobody"
    assert made.intervals == f"95% intervals by resampling {len(made.days)} days"
    day = (np.arange(200) * DAY_MS // 20 + START_MS) // DAY_MS
    chosen = (day == day[0])[known]
    assert made.days[0].rows == chosen.sum()
    assert made.days[0].candidate == pytest.approx(log_loss(actual[chosen], said[chosen], labels=[0, 1]), rel=1e-12)
    assert "better than what answered" in made.verdict
    assert "bighead models rollout late 2" in made.verdict
    json.dumps(made.document(), allow_nan=False)


def test_what_answered_itself_is_no_difference(candidate: Predictor) -> None:
    predictions, outcomes = logged()
    asked = [{**one.features, **one.inputs} for one in predictions]
    answers: Any = candidate.predict(asked)
    same = [
        served(at, row, float(np.ravel(answer["probability"])[0]))
        for at, (row, answer) in enumerate(zip(asked, answers, strict=True))
    ]
    made = retrospect("late", 2, candidate, same, outcomes)
    assert all(one.value == 0 for one in made.differences)
    assert "no difference is certain" in made.verdict


def test_an_input_that_was_not_logged_is_named(candidate: Predictor) -> None:
    predictions, outcomes = logged()
    some = [served(at, {"x": 1.0, "c": "a"}, 0.5, features={}) if at % 2 else one for at, one in enumerate(predictions)]
    made = retrospect("late", 2, candidate, some, outcomes)
    assert made.refused == {"x": 100}
    assert made.compared == 50
    none = [served(at, {"x": 1.0, "c": "a"}, 0.5, features={}) for at in range(200)]
    with pytest.raises(InvalidInput, match="inputs that were not logged: 'x'"):
        retrospect("late", 2, candidate, none, outcomes)


@pytest.mark.parametrize(
    ("predictions", "outcomes", "said"),
    [([], [], "no prediction of 'late' was logged"), (logged()[0][:5], [], "none of 5 predictions of 'late' has")],
)
def test_nothing_to_compare_says_what_lacks(
    candidate: Predictor, predictions: list[PredictionServed], outcomes: list[OutcomeObserved], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        retrospect("late", 2, candidate, predictions, outcomes)


def test_an_outcome_about_an_entity_belongs_to_the_newest_prediction_before_it() -> None:
    row = {"x": 1.0, "c": "a"}
    early, late, other = (served(at, row, 0.5, entity="e", as_of_ms=at * 10) for at in (1, 2, 5))

    def about(label: float, event_ms: int) -> OutcomeObserved:
        return OutcomeObserved(prediction_id=None, model="late", entity="e", label=label, event_ms=event_ms)

    assert labels_of([early, late, other], [about(1.0, 25), about(0.0, 12)]) == {"p2": 1.0, "p1": 0.0}
    assert labels_of([early], [outcome(1, 1.0, 5), outcome(1, 0.0, 9)]) == {"p1": 0.0}, "the newest counts"


def test_a_worse_candidate_is_advised_against(candidate: Predictor) -> None:
    predictions, outcomes = logged()
    labels = labels_of(predictions, outcomes)
    sure = [
        served(at, {**one.features, **one.inputs}, 0.01 + 0.98 * labels.get(one.prediction_id, 0.0))
        for at, one in enumerate(predictions)
    ]
    made: Retrospect = retrospect("late", 2, candidate, sure, outcomes)
    assert made.verdict.startswith("worse than what answered")

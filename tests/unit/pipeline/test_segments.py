"""Partitioned models: who is trained, who answers, what the grid says; the same with any number of processes."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from bighead.errors import ModelError
from bighead.pipeline import feature
from bighead.pipeline.search import Whole, search
from bighead.pipeline.segments import Average, Segmented, train_segments
from bighead.pipeline.segments.hierarchy import answering, members, thin
from bighead.pipeline.splits import Split, by_time
from bighead.pipeline.training_set import TrainingSet
from bighead.registry.segments import candidates
from bighead.registry.state import Segments

LEVELS = ("city", "country")
CITIES = {"Basel": "CH", "Bern": "CH", "Chur": "CH", "Graz": "AT", "Linz": "AT", "Oslo": "NO"}
SHARES = (0.3, 0.25, 0.02, 0.2, 0.2, 0.03)


def split_of(count: int = 600) -> Split:
    source = np.random.default_rng(11)
    city = source.choice(list(CITIES), count, p=SHARES)
    numbers = source.normal(size=(count, 2))
    turned = np.where(city == "Bern", -1, 1)  # Bern is the other way round: no model of all rows can know both
    late = turned * numbers[:, 0] + source.normal(scale=0.5, size=count) > 0
    late[city == "Linz"] = True
    frame = pd.DataFrame({"a": numbers[:, 0], "b": numbers[:, 1], "late": late, "city": city})
    frame["country"] = [CITIES[one] for one in city]
    frame["asked_ms"] = np.arange(count) * 1_000
    rows = TrainingSet(name="rows", rows=frame, inputs=(feature("a"), feature("b")), label="late", time="asked_ms")
    return by_time(rows, count * 700)


def boosted(seed: int) -> Pipeline:
    model = HistGradientBoostingClassifier(
        max_iter=8, min_samples_leaf=4, max_features=0.5, early_stopping=False, random_state=seed
    )
    return Pipeline([("columns", ColumnTransformer([("numbers", "passthrough", ["a", "b"])])), ("model", model)])


def imputed(model: Any) -> Pipeline:
    return Pipeline([("known", SimpleImputer()), ("model", model)])


def tree(parameters: Mapping[str, Any], seed: int) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=parameters["depth"], max_features=1, random_state=seed)


def trained(**more: Any) -> Segmented:
    return train_segments(
        split_of(), boosted, levels=LEVELS, min_rows=20, metrics=("roc_auc", "neg_log_loss"), seed=3, **more
    )


@pytest.fixture(scope="module")
def partitioned() -> Segmented:
    return trained()


def test_segments_with_enough_rows_have_a_model_and_the_others_fall_back(partitioned: Segmented) -> None:
    assert set(partitioned.models) == {"city=Basel", "city=Bern", "city=Graz", "country=AT", "country=CH"}
    assert "fewer than 20" in partitioned.left["city=Chur"]
    assert "fewer than 20" in partitioned.left["country=NO"]
    assert "class" in partitioned.left["city=Linz"]  # it has one

    test = split_of().test.rows
    by = dict(zip(test.city, partitioned.answered_by(test), strict=True))

    assert by == {
        "Basel": "city=Basel",
        "Bern": "city=Bern",
        "Chur": "country=CH",
        "Graz": "city=Graz",
        "Linz": "country=AT",
        "Oslo": "",
    }


def test_each_model_is_that_of_its_rows_alone_and_proven(partitioned: Segmented) -> None:
    rows = split_of().train
    bern = rows.only((rows.rows.city == "Bern").to_numpy())
    model = partitioned.models["city=Bern"]

    alone = boosted(model.seed).fit(bern.columns, bern.labels)

    assert model.rows == len(bern)
    assert np.array_equal(model.estimator.predict_proba(rows.columns), alone.predict_proba(rows.columns))
    assert model.proven.parity.max_abs_diff <= model.proven.parity.tolerance
    assert len({one.seed for one in partitioned.every}) == len(partitioned.every)


def test_the_grid_has_the_worst_segment_first_and_the_model_of_all_rows_beside_it(partitioned: Segmented) -> None:
    test = split_of().test
    grid = {row.segment: row for row in partitioned.grid.rows}
    here = (test.rows.city == "Bern").to_numpy()
    bern = test.only(here)

    for found, model in (("metrics", partitioned.models["city=Bern"]), ("whole", partitioned.whole)):
        expected = roc_auc_score(bern.labels, model.estimator.predict_proba(bern.columns)[:, 1])
        assert getattr(grid["city=Bern"], found)["roc_auc"] == pytest.approx(expected, abs=1e-12)
    assert grid["city=Bern"].metrics["roc_auc"] > 0.7 > grid["city=Bern"].whole["roc_auc"]
    assert math.isnan(grid["city=Linz"].metrics["roc_auc"])  # of one class
    figures = [row.metrics["roc_auc"] for row in partitioned.grid.rows]
    known = [figure for figure in figures if not math.isnan(figure)]
    assert known == sorted(known) == figures[: len(known)]
    assert Counter(row.answered_by for row in partitioned.grid.rows)[("country=CH",)] == 1
    assert (
        grid["country=CH"].answered_by == ("city=Basel", "city=Bern", "country=CH")
        or len(grid["country=CH"].answered_by) > 1
    )


def test_the_grid_is_told_in_text_html_and_json(partitioned: Segmented) -> None:
    told = partitioned.with_versions({"city=Bern": 4})
    document = json.loads(told.grid.to_json())

    assert "5 segments have a model of their own (3 of city, 2 of country)" in str(told)
    assert "<td>city=Bern</td>" in told._repr_html_()
    (bern,) = [row for row in document["segments"] if row["segment"] == "city=Bern"]
    (linz,) = [row for row in document["segments"] if row["segment"] == "city=Linz"]
    drawn = [bar.name for bar in told.grid.chart.bars]
    assert drawn[::2] == [name for name in (row.segment for row in told.grid.rows) if name in drawn]
    assert (bern["versions"], linz["metrics"]["roc_auc"]) == ([4], None)


def test_of_thousands_of_segments_the_worst_are_shown(partitioned: Segmented) -> None:
    one = partitioned.grid.rows[0]
    many = replace(partitioned.grid, rows=tuple(replace(one, segment=f"city={place}") for place in range(3_000)))
    assert str(many).count("city=") == 30
    assert str(many).endswith("... and 2,970 more, all in the grid's table")
    assert many._repr_html_().count("<td>city=") == 1_000
    assert len(many.table) == 3_000


def test_over_processes_the_trials_and_the_bytes_are_the_same(partitioned: Segmented) -> None:
    """One test of both, for what is slow is to start the processes."""
    many = trained(jobs=2)

    assert list(many.models) == list(partitioned.models)
    assert [one.proven.sha256 for one in many.every] == [one.proven.sha256 for one in partitioned.every]
    assert many.grid.to_json() == partitioned.grid.to_json()

    space = {"depth": Whole(1, 4)}
    one, two = (search(tree, space, split_of(), metric="roc_auc", trials=10, seed=2, jobs=jobs) for jobs in (1, 2))
    assert (one.trials, one.outer, one.importance) == (two.trials, two.outer, two.importance)


def test_an_ensemble_is_an_estimator_like_any_other() -> None:
    split = split_of(300)
    averaged = Average((boosted, boosted, boosted))

    def make(seed: int) -> Pipeline:
        return Pipeline([("average", averaged(seed))])

    found = train_segments(split, make, levels=("country",), min_rows=60, metrics=("roc_auc",), seed=1)

    members_ = found.whole.estimator["average"].estimators_
    expected = np.mean([one.predict_proba(split.test.columns) for one in members_], axis=0)
    assert np.allclose(found.whole.estimator.predict_proba(split.test.columns), expected, atol=1e-15)
    assert members_[1]["model"].random_state != members_[2]["model"].random_state
    assert found.whole.proven.parity.max_abs_diff <= 1e-6


VALUES = st.sampled_from([None, "", "x", "y", 3, 3.0, True])


@settings(max_examples=80)
@given(rows=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=30), min_rows=st.integers(1, 6))
def test_a_row_is_answered_by_the_lowest_level_with_enough_rows_as_the_server_would(
    rows: list[tuple[object, object]], min_rows: int
) -> None:
    frame = pd.DataFrame(rows, columns=list(LEVELS), dtype=object)
    places = members(frame, LEVELS)
    few = thin(places, min_rows)
    enough = [name for name in places if name not in few]

    by = answering(frame, LEVELS, enough)

    served = Segments(LEVELS, dict.fromkeys(enough, 1))
    for place, row in enumerate(rows):
        given_row = dict(zip(LEVELS, row, strict=True))
        expected = next((name for name, _ in candidates(served, given_row.get)), "")
        assert by[place] == expected
        assert all(place in places[name] for name in ([by[place]] if by[place] else []))
    assert all(len(places[name]) >= min_rows for name in enough)


@pytest.mark.parametrize(
    ("label", "make", "metric"),
    [
        (lambda rows: rows.a * 2 + rows.b, lambda seed: imputed(LinearRegression()), "r2"),
        (
            lambda rows: pd.cut(rows.a, [-9, -0.5, 0.5, 9], labels=False),
            lambda seed: imputed(LogisticRegression()),
            "accuracy",
        ),
    ],
)
def test_numbers_and_many_classes_are_partitioned_as_well(label: Any, make: Any, metric: str) -> None:
    split = split_of()
    train, test = (replace(part, rows=part.rows.assign(late=label(part.rows))) for part in (split.train, split.test))
    found = train_segments(
        Split(train, test, split.how), make, levels=LEVELS[1:], min_rows=40, metrics=[metric], seed=3
    )
    assert set(found.models) == {"country=AT", "country=CH"}
    outputs = {tuple(tensor.name for tensor in one.proven.signature.outputs) for one in found.every}
    assert outputs == {("value",) if metric == "r2" else ("probabilities", "label")}
    assert found.grid.rows[-1].metrics[metric] > 0.9


def test_what_cannot_be_partitioned_is_refused_with_what_to_do() -> None:
    split = split_of(60)
    arguments: dict[str, Any] = {"levels": LEVELS, "min_rows": 5, "metrics": ("roc_auc",), "seed": 1}
    for changed, message in (
        ({"levels": ("town",)}, r"the levels \['town'\] of the hierarchy; expected columns"),
        ({"min_rows": 0}, "expected the training rows that a model of its own needs"),
        ({"metrics": ("auc",)}, "no metric is named 'auc'"),
        ({"metrics": ()}, "no metric for the grid"),
        ({"jobs": 0}, "expected the number of processes"),
    ):
        with pytest.raises(ModelError, match=message):
            train_segments(split, boosted, **arguments | changed)
    with pytest.raises(ModelError, match=r"the model of all rows, which answers .*: InvalidParameterError"):
        train_segments(split, lambda seed: LogisticRegression(C=-1), **arguments)
    with pytest.raises(ModelError, match="an average of 1 estimators"):
        Average((boosted,))

"""Each check finds what is planted for it, names the column, and says nothing of data that is as it should be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder

from benchmarks.library.flight_rows import demo_join
from bighead.errors import ChecksFailed, ModelError
from bighead.features.catalog import Catalog, GroupEpoch, JoinEpoch
from bighead.features.served import ServedDefinitions, ServedJoin, served_definitions
from bighead.features.types import ValueType
from bighead.pipeline.checks import CHECKS, Finding, Severity, as_html, as_text, check, raise_for
from bighead.pipeline.checks.documentation import markdown
from bighead.pipeline.splits import Split, by_time
from bighead.pipeline.tensors import feature, request
from bighead.pipeline.training_set import TrainingSet

ROWS = 600
INPUTS = (feature("score"), feature("age"), request("shop", "BYTES"))
HOUR_MS = 3_600_000


def rows(seed: int = 1, count: int = ROWS) -> pd.DataFrame:
    """An honest task: the label follows a score with noise, known a day after the question."""
    random = np.random.default_rng(seed)
    score = random.normal(0, 1, count)
    frame = pd.DataFrame({"score": score, "age": random.normal(40, 9, count)})
    frame["shop"] = random.choice(["north", "south", "east"], count)
    frame["bought"] = (score + random.normal(0, 1, count) > 0).astype(int)
    frame["customer"] = np.arange(count) % 37
    frame["asked_ms"] = 1_700_000_000_000 + np.arange(count) * HOUR_MS
    frame["known_ms"] = frame.asked_ms + 24 * HOUR_MS + random.integers(0, HOUR_MS, count)
    return frame


def split_of(frame: pd.DataFrame, **changed: Any) -> Split:
    """Three quarters to train on, by time."""
    given = {"label": "bought", "time": "asked_ms", "known": "known_ms", "entities": ("customer",), "inputs": INPUTS}
    made = TrainingSet(name="purchases", rows=frame, **(given | changed))
    if made.time:
        return by_time(made, int(frame.asked_ms.iloc[len(frame) * 3 // 4]))
    first = np.arange(len(frame)) < len(frame) * 3 // 4
    return Split(made.only(first), made.only(~first), "the first three quarters")


def found(split: Split, estimator: Any = None, **more: Any) -> dict[str, tuple[str, ...]]:
    """The columns of each code."""
    return {one.code: one.columns for one in check(split, estimator, **more)}


def test_nothing_is_said_of_an_honest_split_and_a_seeded_estimator() -> None:
    columns = ColumnTransformer([("shop", OneHotEncoder(handle_unknown="ignore"), ["shop"])], remainder="passthrough")
    pipeline = Pipeline([("columns", columns), ("forest", RandomForestClassifier(random_state=7))])
    assert check(split_of(rows()), pipeline) == ()


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris, load_diabetes])
def test_nothing_stops_on_public_data(load: Any) -> None:
    public = load(as_frame=True).frame.sample(frac=1, random_state=0, ignore_index=True)
    public.columns = [name.replace(" ", "_") for name in public.columns]
    inputs = tuple(feature(name) for name in public.columns if name != "target")
    split = split_of(public, label="target", inputs=inputs, time="", known="", entities=())
    assert [one for one in check(split) if one.severity is not Severity.NOTE] == []


def with_values(name: str, values: Any) -> pd.DataFrame:
    frame = rows()
    frame[name] = values(frame) if callable(values) else values
    return frame


SPOILED: Mapping[str, tuple[str, pd.DataFrame]] = {
    "BH001": ("shop", with_values("shop", lambda one: one.bought.map({0: "no", 1: "yes"}))),
    "BH002": ("age", with_values("age", lambda one: np.where(one.bought == 1, np.nan, one.age))),
    "BH003": ("age", with_values("age", lambda one: (one.known_ms - one.asked_ms) / 60_000)),
    "BH020": ("age", with_values("age", 41.0)),
    "BH021": ("age", rows(count=2_400).assign(age=lambda one: (one.index == 5).astype(float))),
    "BH022": ("age", with_values("age", lambda one: one.score)),
    "BH023": ("age", with_values("age", np.nan)),
    "BH024": ("age", with_values("age", lambda one: one.age.where(np.arange(ROWS) < 440))),
    "BH025": ("age", with_values("age", lambda one: one.age.where(np.arange(ROWS) > 0, np.inf))),
    "BH026": ("shop", with_values("shop", lambda one: one.shop.astype(object).where(np.arange(ROWS) > 3, 1))),
    "BH027": ("age", with_values("age", "forty")),
    "BH028": ("shop", with_values("shop", lambda one: one.shop.where(np.arange(ROWS) < 500, "west"))),
    "BH030": ("bought", with_values("bought", 0)),
    "BH031": ("bought", with_values("bought", lambda one: (np.arange(ROWS) % 120 == 0).astype(int))),
    "BH033": ("bought", with_values("bought", lambda one: one.bought.where(np.arange(ROWS) < 590, 2))),
}


@pytest.mark.parametrize("code", SPOILED)
def test_what_is_planted_is_found_and_its_column_named(code: str) -> None:
    column, frame = SPOILED[code]
    seen = found(split_of(frame))
    assert column in seen[code]
    also = {"BH031": {"BH032"}}.get(code, set())
    assert set(seen) <= {code, *also}


def test_an_error_stops_with_the_column_what_to_do_and_how_to_silence_it() -> None:
    findings = check(split_of(SPOILED["BH025"][1]))
    with pytest.raises(ChecksFailed) as refused:
        raise_for(findings)
    for said in ("BH025", "age", "is infinite in 1 training rows", "division by zero", '{"BH025:age": "the reason"}'):
        assert said in str(refused.value)


def test_what_is_silenced_stays_in_the_findings_with_its_reason_and_does_not_stop() -> None:
    split = split_of(SPOILED["BH003"][1])
    for key in ("BH003", "BH003:age"):
        findings = check(split, silence={key: "the delay is agreed on before"})
        raise_for(findings)
        assert [(one.code, one.silenced) for one in findings] == [("BH003", "the delay is agreed on before")]
    other = check(split, silence={"BH003:score": "another column"})
    assert [one.silenced for one in other] == [""]
    with pytest.raises(ModelError, match="no check 'BH999'"):
        check(split, silence={"BH999": "why"})
    with pytest.raises(ModelError, match="no reason for 'BH003'"):
        check(split, silence={"BH003": " "})


def test_findings_are_text_json_and_escaped_html() -> None:
    one = Finding("BH020", Severity.WARNING, ("<b>age</b>",), "is 1", "why", "fix")
    assert as_text([one]).startswith("BH020 warning  <b>age</b>: is 1\n  why: why\n  fix: fix\n")
    assert "&lt;b&gt;age&lt;/b&gt;" in as_html([one])
    assert "<b>" not in as_html([one])
    assert one.to_json()["severity"] == "warning"
    assert as_text([]) == "no check found anything"


def test_parts_that_overlap_are_found() -> None:
    frame = rows()
    made = split_of(frame).train
    mixed = np.arange(len(made)) % 4 > 0
    assert set(found(Split(made.only(mixed), made.only(~mixed), "every fourth row"))) == {"BH010"}
    assert set(found(Split(made, made, "the same rows"))) == {"BH010", "BH011"}
    twice = pd.concat([frame, frame.iloc[:60]], ignore_index=True).sort_values("asked_ms", ignore_index=True)
    assert set(found(split_of(twice))) == {"BH012"}
    assert set(found(split_of(frame, time="", known=""))) == {"BH013"}


def test_outcomes_known_before_the_question_are_found() -> None:
    frame = rows()
    frame.loc[:5, "known_ms"] = frame.asked_ms - 1
    [finding] = check(split_of(frame))
    assert finding.code == "BH004"
    assert "6 of" in finding.what


def test_a_class_of_few_rows_and_an_infinite_label() -> None:
    frame = rows()
    frame["bought"] = np.where(np.arange(ROWS) % 100 == 7, 2, frame.bought)
    assert set(found(split_of(frame))) == {"BH032"}
    amounts = rows().assign(bought=lambda one: one.score + np.where(np.arange(ROWS) == 3, np.inf, 0))
    assert "BH034" in found(split_of(amounts))


def test_randomness_without_a_seed_is_found_where_it_is_used() -> None:
    split = split_of(rows())
    forest = Pipeline([("forest", RandomForestClassifier())])
    [finding] = check(split, forest)
    assert (finding.code, finding.severity) == ("BH050", Severity.WARNING)
    assert "step 'forest' (RandomForestClassifier)" in finding.what
    assert "forest__random_state=7" in finding.what
    assert found(split, LogisticRegression()) == {}
    assert set(found(split, LogisticRegression(solver="saga"))) == {"BH050"}
    assert found(split, HistGradientBoostingClassifier()) == {}  # no early stopping on so few rows
    assert set(found(split, HistGradientBoostingClassifier(early_stopping=True))) == {"BH050"}
    assert set(found(split, Pipeline([("log", FunctionTransformer(np.log1p)), ("model", LogisticRegression())]))) == {
        "BH051"
    }


@pytest.mark.parametrize("encoder", [OneHotEncoder(handle_unknown="ignore"), OrdinalEncoder()])
def test_a_name_for_each_row_is_found_before_an_encoder_that_ignores_others(encoder: Any) -> None:
    frame = with_values("shop", lambda one: [f"shop {place}" for place in range(ROWS)])
    columns = ColumnTransformer([("names", encoder, ["shop"])])
    seen = found(split_of(frame), Pipeline([("columns", columns), ("model", LogisticRegression())]))
    assert ("BH029" in seen) is (encoder.handle_unknown == "ignore")
    assert "BH028" in seen


def test_rows_of_other_definitions_than_are_served_are_found() -> None:
    kinds = {"score": ValueType.DOUBLE, "age": ValueType.LONG}
    split = split_of(rows(), join="buyer", join_epoch=3, join_hash="abcd")

    def served(epoch: int = 3, digest: str = "abcd", **changed: ValueType) -> ServedDefinitions:
        return ServedDefinitions({"buyer": ServedJoin(epoch, digest, kinds | changed)})

    assert found(split, served=served()) == {}
    assert set(found(split, served=served(epoch=4, digest="ef"))) == {"BH060"}
    assert found(split, served=served(age=ValueType.STRING)) == {"BH062": ("age",)}
    only = ServedDefinitions({"buyer": ServedJoin(3, "abcd", {"score": ValueType.DOUBLE})})
    assert found(split, served=only) == {"BH061": ("age",)}
    [finding] = check(split, served=ServedDefinitions({"buyers": ServedJoin(3, "abcd", kinds)}))
    assert "did you mean 'buyers'" in finding.what


def test_what_is_served_is_what_the_catalog_answers_with() -> None:
    join = demo_join()
    epochs = {(group.name, 1): GroupEpoch(1, group, None) for group in join.groups}
    applied = JoinEpoch(5, join.to_json(), join.hash)
    served = served_definitions(Catalog(epochs, {name: 1 for name, _ in epochs}, {join.name: applied}))
    flight = served.joins["flight"]
    assert (flight.epoch, flight.hash) == (5, join.hash)
    assert flight.kinds["plane_arrivals_delay_last"] is ValueType.DOUBLE


def test_codes_are_stable_and_the_page_is_that_of_the_checks() -> None:
    codes = [one.code for one in CHECKS]
    assert len(set(codes)) == len(codes)
    assert all(one.look.__doc__ for one in CHECKS)
    page = Path(__file__).parents[4] / "docs" / "checks.md"
    assert page.read_text() == markdown(), "python -m bighead.pipeline.checks > docs/checks.md"

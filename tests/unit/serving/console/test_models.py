"""The list of models and the page of one: found, sorted, in pages, as of any time, and never taken for code."""

import re

import pytest

from bighead.events.types import ModelRegistered, RunStarted
from serving.console.log_state import LogState
from tests.unit.registry.samples import record
from tests.unit.serving.console.kit import EVIL, START_MS, check_inert, console, get, stamped, state_of, words_of
from tests.unit.serving.console.past import past


def many(count: int) -> LogState:
    tagged = [record(tags={"team": "growth"} if index % 2 else {"team": "risk"}) for index in range(count)]
    return state_of(
        *(
            ModelRegistered(**stamped(model=f"model-{index:03}", version=1, record=one, at_ms=START_MS + index))
            for index, one in enumerate(tagged)
        )
    )


def names(text: str) -> list[str]:
    return re.findall(r'href="/models/(model-[0-9]+)["?]', text)


def test_models_come_in_pages() -> None:
    app = console(many(120))
    assert names(get(app, "/models").text) == [f"model-{index:03}" for index in range(50)]
    last = get(app, "/models?page=3")
    assert names(last.text) == [f"model-{index:03}" for index in range(100, 120)]
    assert "101–120 of 120 models" in words_of(last)
    assert names(get(app, "/models?page=99").text) == names(last.text)
    assert names(get(app, "/models?page=x").text)[0] == "model-000"


@pytest.mark.parametrize(
    ("query", "first", "found"),
    [
        ("q=model-007", "model-007", 1),
        ("q=GROWTH 11", "model-011", 6),
        ("tag=team%3Drisk", "model-000", 50),
        ("sort=changed", "model-119", 50),
        ("sort=nonsense", "model-000", 50),
    ],
)
def test_models_are_searched_filtered_and_sorted(query: str, first: str, found: int) -> None:
    shown = names(get(console(many(120)), f"/models?{query}").text)
    assert shown[0] == first
    assert len(shown) == found


def test_a_list_without_models_says_what_to_do() -> None:
    assert "bighead models register" in words_of(get(console(LogState()), "/models"))
    assert "No model matches" in words_of(get(console(many(3)), "/models?q=nothing-like-it"))
    assert "No model is registered by then" in words_of(get(console(many(3)), f"/models?as_of={START_MS - 1}"))


def test_the_page_of_a_model_has_everything_that_happened() -> None:
    answer = get(console(state_of(*past())), "/models/late")
    assert answer.status_code == 200
    check_inert(answer)
    text = words_of(answer)
    for said in (
        "Live in production version 1",
        "version 1 90% version 2 10%",
        "champion → version 1",
        "golden: row 1 differs",
        "ada because 1",
        "refused was refused: approve",
        "grace registered it",
        "divided the traffic: v1 90%, v2 10%",
        "Version 2 answers in production",
        "0.76",
    ):
        assert said in text, said
    assert "version 1 was live in production from 2023-11-14 22:14:20" in answer.text  # the drawing, in words


def test_the_page_of_a_model_as_of_a_time_knows_nothing_later() -> None:
    text = words_of(get(console(state_of(*past())), "/models/late?as_of=2023-11-14T22:14:20Z"))
    assert "Live in production version 1" in text
    assert "Version 2" not in text
    assert "divided" not in text
    assert "Deploy" not in text  # nothing can be commanded in the past


@pytest.mark.parametrize("path", ["/models/lat", "/models/lat/deploy", "/models/lat/commands/c1"])
def test_an_unknown_model_is_told_with_the_one_that_may_be_meant(path: str) -> None:
    answer = get(console(state_of(*past())), path)
    assert answer.status_code == 404
    assert "did you mean 'late'?" in words_of(answer).replace("&#39;", "'")


def test_the_page_of_a_model_lists_the_runs_that_name_it_as_of_any_time() -> None:
    def run(number: int, spec: str, kind: str) -> RunStarted:
        return RunStarted(
            run_id=f"{number:032}", name=f"run {number}", kind=kind, spec=spec, spec_hash="", actor="ada", reason=EVIL,
            at_ms=START_MS + number,
        )  # fmt: skip

    registered = ModelRegistered(**stamped(version=1, record=record(), at_ms=START_MS))
    others = (run(number, spec, "backfill") for number, spec in enumerate(('{"model": "price"}', "[]", "no JSON"), 3))
    app = console(
        state_of(registered, run(1, '{"model": "late"}', "train"), run(2, '{"model": "late"}', "evaluate"), *others)
    )
    answer = get(app, "/models/late")
    assert re.findall(r'href="/runs/0*([0-9]+)["?]', answer.text) == ["2", "1"]
    check_inert(answer)
    then = get(app, f"/models/late?as_of={START_MS + 1}").text
    assert re.findall(r'href="/runs/0*([0-9]+)["?]', then) == ["1"]


def test_reasons_actors_tags_and_metrics_stay_text() -> None:
    evil = record(tags={EVIL: EVIL}, family=EVIL, metrics={EVIL: 1.0})
    app = console(state_of(ModelRegistered(**stamped(version=1, record=evil, actor=EVIL, reason=EVIL))), actor=EVIL)
    for path in ("/models", "/models?q=late", "/models/late", "/"):
        check_inert(get(app, path))

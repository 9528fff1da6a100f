"""One version with all that its record keeps, and two versions side by side."""

import hashlib
import json
from dataclasses import replace

import pytest
from fastapi import FastAPI

from bighead.charts import chart_json
from bighead.charts.forms import LineChart, Series
from bighead.events.types import Attachment, ModelRegistered
from serving.console.pages import figures
from serving.console.pages.figures import Gallery
from tests.unit.charts.samples import evaluation
from tests.unit.registry.samples import record
from tests.unit.serving.console.kit import (
    EVIL,
    MemoryDesk,
    Tags,
    check_inert,
    console,
    get,
    stamped,
    state_of,
    words_of,
)
from tests.unit.serving.console.past import at, past

CARD = f"# Late flights\n\n**Bold** words and {EVIL}\n"


def attached(name: str, kind: str, text: str) -> tuple[Attachment, bytes]:
    content = text.encode()
    media_type = "text/markdown" if kind == "model_card" else "application/json"
    digest = hashlib.sha256(content).hexdigest()
    return Attachment(
        name=name, kind=kind, media_type=media_type, sha256=digest, size=len(content), uri=f"memory://{digest}"
    ), content


def roc(name: str) -> str:
    line = Series(name=name, points=((0.0, 0.0), (0.5, 0.8), (1.0, 1.0)))
    return chart_json(LineChart(title="ROC curve", x_label="false", y_label="true", series=(line,)))


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    parts = [attached("card", "model_card", CARD), attached("roc", "chart", roc(EVIL)), attached("bad", "chart", "{}")]
    full = record(
        attachments=tuple(one for one, _ in parts),
        config=json.dumps({"depth": 7, "note": EVIL}),
        training_data=json.dumps({"train": {"table": "flights", "rows": 1000, "from_ms": 1_700_000_000_000}}),
        metrics={"auc": 0.79},
        join="flight_features",
        join_epoch=3,
        trained_by="nightly",
        tags={"team": EVIL},
    )
    contents = {one.sha256: content for one, content in parts}
    monkeypatch.setattr(MemoryDesk, "attachment", lambda desk, one: contents[one.sha256])
    return console(state_of(*past(), ModelRegistered(**at(9, version=3, record=full))))


def test_the_page_of_a_version_has_the_whole_record(app: FastAPI) -> None:
    answer = get(app, "/models/late/versions/3")
    assert answer.status_code == 200
    check_inert(answer)
    text = words_of(answer)
    for said in (
        "late version 3",
        "Trained by nightly",
        "depth 7",
        "table flights rows 1 000 from_ms 2023-11-14 22:13:20",
        "auc 0.79",
        "flight_features epoch 3",
        "max_abs_diff 1e-07",
        "delay late 3 0.5",
        "not in use",
    ):
        assert said in text, said
    assert "<strong>Bold</strong>" in answer.text
    digests = [attributes for tag, attributes in Tags(answer.text).tags if "download" in attributes]
    assert len(digests) == 3


def test_drawings_have_words_and_a_broken_attachment_is_told_in_its_place(app: FastAPI) -> None:
    answer = get(app, "/models/late/versions/3")
    assert "ROC curve" in words_of(answer)
    assert "bad:" in words_of(answer)
    drawn = [attributes for tag, attributes in Tags(answer.text).tags if tag == "svg"]
    named = [one for one in drawn if one.get("aria-label") or one.get("aria-labelledby") or one.get("aria-hidden")]
    assert len(named) == len(drawn)


def test_an_old_record_without_any_of_it_says_what_would_be_there() -> None:
    bare = record(metrics={}, config="", training_data="not JSON at all")
    answer = get(console(state_of(ModelRegistered(**stamped(version=1, record=bare)))), "/models/late/versions/1")
    text = words_of(answer)
    assert "No metric was recorded." in text
    assert "No configuration was recorded." in text
    assert "not JSON at all" in text


def test_numbers_that_no_double_holds_are_shown_and_compared() -> None:
    first, second = (record(config=json.dumps({"seed": seed}), started_ms=10**18) for seed in (10**400, 10**401))
    both = [ModelRegistered(**at(number, version=number, record=one)) for number, one in ((1, first), (2, second))]
    app = console(state_of(*both))
    assert "seed 10 000 000" in words_of(get(app, "/models/late/versions/1"))
    assert get(app, "/models/late/compare?a=1&b=2").status_code == 200


def test_half_a_character_in_a_record_breaks_no_page() -> None:
    halves = [record(config=json.dumps({"note": f"{number} \ud800"})) for number in (1, 2)]
    app = console(state_of(*(ModelRegistered(**stamped(version=at, record=of)) for at, of in enumerate(halves, 1))))
    for path in ("/models/late/versions/1", "/models/late/compare?a=1&b=2"):
        answer = get(app, path)
        assert answer.status_code == 200
        assert "note 1 ?" in words_of(answer)


@pytest.mark.parametrize("number", ["4", "0", "x", "99999999999999"])
def test_an_unknown_version_is_told_with_those_there_are(app: FastAPI, number: str) -> None:
    answer = get(app, f"/models/late/versions/{number}")
    assert answer.status_code == 404
    assert "it has versions 1 to 3" in words_of(answer)


def test_versions_are_compared_field_by_field(app: FastAPI) -> None:
    answer = get(app, "/models/late/compare?a=1&b=2")
    text = words_of(answer)
    assert "auc 0.71 0.76 +0.05 better" in text
    assert "log_loss 0.52 0.49 -0.03 better" in text
    assert "depth 4 6" in text
    assert "actor ada grace" in text
    check_inert(answer)
    check_inert(get(app, "/models/late/compare?a=1&b=3"))
    assert "Version 1 has no roc." in words_of(get(app, "/models/late/compare?a=1&b=3"))
    assert "These are the same version." in words_of(get(app, "/models/late/compare?a=2&b=2"))


def test_many_differences_are_folded_and_all_there() -> None:
    many = [record(config=json.dumps({f"parameter_{one:02}": number for one in range(20)})) for number in (1, 2)]
    app = console(state_of(*(ModelRegistered(**stamped(version=at, record=of)) for at, of in enumerate(many, 1))))
    answer = get(app, "/models/late/compare?a=1&b=2")
    shown, _, folded = answer.text.partition("<summary>5 more</summary>")
    assert [f"parameter_{one:02}" in shown for one in range(20)] == [one < 15 for one in range(20)]
    assert all(f"parameter_{one:02}" in folded for one in range(15, 20))
    check_inert(answer)


def test_evaluations_are_shown_and_two_of_them_are_compared_with_their_intervals_and_curves_in_one_drawing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = evaluation(EVIL)
    document["measures"] = [{"name": "auc", "value": 0.7, "low": 0.65, "high": 0.75}]
    parts = [attached("evaluation", "evaluation", json.dumps(document)), attached("roc", "chart", roc("model"))]
    contents = {one.sha256: content for one, content in parts}
    both = record(attachments=tuple(one for one, _ in parts), metrics={"auc": 0.7})
    monkeypatch.setattr(MemoryDesk, "attachment", lambda desk, one: contents[one.sha256])
    app = console(state_of(*(ModelRegistered(**at(one, version=one, record=both)) for one in (1, 2))))
    page, compared = get(app, "/models/late/versions/2"), get(app, "/models/late/compare?a=1&b=2")
    for answer in (page, compared):
        check_inert(answer)
    assert "auc 0.7 (0.65 to 0.75)" in words_of(page)
    for said in ("Worst slices Of 9 slices", "Threshold by cost From a probability of 0.3", "Baselines"):
        assert said in words_of(page), said
    assert "auc 0.7 (0.65 to 0.75) 0.7 (0.65 to 0.75)" in words_of(compared)
    assert "version 1 goes from 0 at 0 to 1 at 1; version 2 goes from" in words_of(compared)
    assert len([tag for tag, attributes in Tags(compared.text).tags if attributes.get("role") == "img"]) == 1


def test_a_comparison_of_nothing_named_is_that_of_the_live_version_with_the_newest(app: FastAPI) -> None:
    assert get(app, "/models/late/compare").headers["location"] == "/models/late/compare?a=1&b=3"
    one = console(state_of(ModelRegistered(**stamped(version=1, record=record()))))
    assert get(one, "/models/late/compare").status_code == 400
    assert get(app, "/models/late/compare?a=1&b=9").status_code == 404


def test_drawings_are_remembered_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MOST_KEPT", 20_000)
    contents = dict(attached(f"roc {number}", "chart", roc(str(number))) for number in range(20))
    gallery = Gallery(contents.__getitem__)
    drawn = [gallery.drawn(one) for one in contents]
    kept = sum(gallery.drawn(one) is before for one, before in reversed(list(zip(contents, drawn, strict=True))))
    assert 0 < kept < 20


def test_an_attachment_is_read_once() -> None:
    one, content = attached("roc", "chart", roc("all"))
    read: list[str] = []

    def reading(attachment: Attachment) -> bytes:
        read.append(attachment.name)
        return content

    gallery = Gallery(reading)
    first, second = gallery.drawn(one), gallery.drawn(replace(one))
    assert first is second
    assert read == ["roc"]

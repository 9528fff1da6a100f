"""Views: what people see of a model, and that a duplicate changes nothing."""

import json
from dataclasses import replace

from bighead.events.message import Position
from bighead.events.types import ModelLoaded, ModelLoadFailed, ModelSwapped, ServerStopped
from bighead.registry import ModelState
from bighead.registry.views import ModelView, ServingEvent, from_json, project, to_json
from tests.unit.registry.samples import MODEL, approve, deploy, obey, promote, register, retire, roll_back, split


def viewed() -> ModelView:
    view = ModelView(ModelState(MODEL))
    story = (register("a"), register("b"), deploy("c", 1), deploy("d", 2), split("e", {1: 50, 2: 50}), deploy("f", 9))
    for offset, event in enumerate(obey(*story, roll_back("g"), retire("h", 2), now_ms=1_000)[1]):
        view = project(view, event, Position("models", 0, offset))
    return view


def test_history_tells_who_did_what_why_and_what_was_live_then() -> None:
    lines = [(line.what, line.version, line.live, line.actor) for line in viewed().history]
    assert lines == [
        ("ModelRegistered", 1, None, "ada"),
        ("ModelRegistered", 2, None, "ada"),
        ("DeploymentChanged", 1, 1, "ada"),
        ("DeploymentChanged", 2, 2, "ada"),
        ("TrafficChanged", None, 2, "ada"),
        ("DeployModel", None, 2, "ada"),
        ("RolledBack", 1, 1, "bob"),
        ("ModelRetired", 2, 1, "bob"),
    ]
    assert viewed().history[5].refused == "'delays' has no version 9; it has versions 1 to 2"


def test_what_was_live_at_a_time() -> None:
    answers = [viewed().live_as_of(at_ms) for at_ms in (999, 1_001, 1_002, 1_003, 1_006, 9_999)]
    assert answers == [None, None, 1, 2, 1, 1]


def test_servers_report_into_the_view() -> None:
    common = {"server": "s1", "model": MODEL, "version": 2, "command_id": "d"}
    loaded = ModelLoaded(**common, artifact_sha256="ab", steps={}, at_ms=1)  # type: ignore[arg-type]
    swapped = ModelSwapped(**common, swap_us=3, at_ms=2)  # type: ignore[arg-type]
    failed = ModelLoadFailed(**common, step="golden", error="row 0", kept_version=1, at_ms=3)  # type: ignore[arg-type]
    view = ModelView(ModelState(MODEL))
    reports: tuple[ServingEvent, ...] = (loaded, swapped, failed)
    for offset, event in enumerate(reports):
        view = project(view, event, Position("serving", 0, offset))
    status = view.servers["s1"]
    assert (status.serving, status.loaded, status.error) == (1, 2, "golden: row 0")
    assert view.answering == {}, "nothing is deployed"
    stopped = ServerStopped(server="s1", address="127.0.0.1:1", at_ms=4)
    assert project(view, stopped, Position("serving", 0, 3)).servers == {}


def test_a_duplicate_is_a_no_op_and_partitions_are_told_apart() -> None:
    view = viewed()
    event = obey(register("x"))[1][0]
    assert project(view, event, Position("models", 0, 3)) is view
    assert len(project(view, event, Position("models", 1, 3)).state.versions) == 3


def test_a_view_survives_its_json() -> None:
    view = viewed()
    assert from_json(to_json(view)) == view


def test_a_view_carries_every_environment() -> None:
    view = ModelView(ModelState(MODEL))
    story = (
        register("a"),
        replace(deploy("b", 1), environment="staging"),
        approve("c", 1),
        promote("d", "next", 1, environment="staging"),
        deploy("e", 1),
        promote("f", "next", None, environment="staging"),
    )
    for offset, event in enumerate(obey(*story, now_ms=1_000)[1]):
        view = project(view, event, Position("models", 0, offset))
    assert from_json(to_json(view)) == view
    assert [(line.what, line.environment, line.live, line.detail) for line in view.history] == [
        ("ModelRegistered", None, None, ""),
        ("DeploymentChanged", "staging", 1, ""),
        ("VersionApproved", "production", None, "for production"),
        ("LabelPromoted", "staging", 1, "next"),
        ("DeploymentChanged", "production", 1, ""),
        ("LabelPromoted", "staging", 1, "next is taken away"),
    ]
    assert [view.live_as_of(at_ms) for at_ms in (1_001, 1_004)] == [None, 1]


def test_a_row_of_an_earlier_release_is_production() -> None:
    view = viewed()
    row = json.loads(to_json(view))
    old = {**row, **row.pop("environments")["production"]}
    for name in ("revision", "environments", "labels", "approvals", "lived", "segments", "rollout"):
        old.pop(name, None)
    for line in old["history"]:
        del line["environment"], line["position"], line["revision"]
    read = from_json(json.dumps(old))
    assert (read.is_of_an_earlier_release, view.is_of_an_earlier_release) == (True, False)
    assert read.state == view.state
    assert [line.live for line in read.history] == [line.live for line in view.history]


def test_servers_answer_where_something_is_deployed() -> None:
    view = ModelView(ModelState(MODEL))
    for offset, event in enumerate(obey(register("a"), replace(deploy("b", 1), environment="staging"))[1]):
        view = project(view, event, Position("models", 0, offset))
    for offset, (server, environment) in enumerate((("s1", "staging"), ("p1", "production"))):
        swapped = ModelSwapped(
            server=server, model=MODEL, version=1, command_id="b", swap_us=3, environment=environment, at_ms=2
        )
        view = project(view, swapped, Position("serving", 0, offset))
    assert list(view.answering) == list(view.answering_in("staging")) == ["s1"]
    assert view.answering_in("production") == {}
    assert from_json(to_json(view)) == view

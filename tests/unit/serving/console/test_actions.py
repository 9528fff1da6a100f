"""Changing a model from the console: a form, what would change, the command, and what came of it."""

from typing import Any

import pytest
from fastapi import FastAPI

from bighead.events.types import DeploymentChanged, ModelLoaded, ModelRegistered, ModelSwapped, PolicyChanged
from bighead.registry.policies import rule_of
from serving.console.log_state import LogState
from serving.console.pages.actions import ACTIONS
from tests.unit.registry.samples import record
from tests.unit.serving.console.kit import (
    EVIL,
    START_MS,
    FakeReach,
    Tags,
    append,
    ask,
    check_inert,
    console,
    field_of,
    get,
    stamped,
    state_of,
    words_of,
)
from tests.unit.serving.console.past import MINUTE_MS, at, past


@pytest.fixture
def state() -> LogState:
    return state_of(*past())


@pytest.fixture
def app(state: LogState) -> FastAPI:
    return console(state)


def hidden(text: str) -> dict[str, str]:
    inputs = (one for tag, one in Tags(text).tags if tag == "input" and one.get("type") == "hidden")
    return {str(one["name"]): str(one["value"] or "") for one in inputs if one.get("name") not in ("was", "end")}


def confirm(app: FastAPI, action: str, **fields: str) -> dict[str, str]:
    """The fields of the confirmation of an action."""
    page = get(app, f"/models/late/{action}", params={"review": "1", "reason": "it is time", **fields})
    assert page.status_code == 200, words_of(page)
    return hidden(page.text)


def test_a_deployment_is_shown_before_it_happens_then_followed_until_servers_answer(
    app: FastAPI, state: LogState
) -> None:
    page = get(app, "/models/late/deploy", params={"review": "1", "version": "2", "reason": "better AUC"})
    text = words_of(page)
    assert "Live version version 1 version 2" in text
    assert "Traffic version 1 90%, version 2 10% version 2 100%" in text
    assert "revision 4 becomes 5" in text
    assert state.model("late").state.live == 1

    sent = ask(app, "POST", "/models/late/deploy", data=hidden(page.text))
    assert sent.status_code == 303
    assert state.model("late").state.live == 2
    where = sent.headers["location"]
    waiting = get(app, where)
    assert "Version 2 is live in production. 0 of 2 servers answer with it." in words_of(waiting)
    command_id = where.rpartition("/")[2]
    for server in ("s1", "s2"):
        common: dict[str, Any] = {
            "server": server,
            "model": "late",
            "version": 2,
            "command_id": command_id,
            "at_ms": START_MS,
        }
        append(state, ModelLoaded(**common, artifact_sha256="cd" * 32, steps={}), ModelSwapped(**common, swap_us=2))
    done = get(app, where)
    assert "Done" in words_of(done)
    assert "2 of 2 servers answer with it." in words_of(done)
    assert "hx-get" not in done.text


def swapped(server: str, command_id: str, version: int = 2, environment: str = "production") -> ModelSwapped:
    return ModelSwapped(
        server=server, model="late", version=version, command_id=command_id, swap_us=2, at_ms=START_MS,
        environment=environment,
    )  # fmt: skip


def test_a_deployment_waits_for_the_servers_of_its_environment_alone(app: FastAPI, state: LogState) -> None:
    sent = ask(app, "POST", "/models/late/deploy", data=confirm(app, "deploy", version="2", environment="staging"))
    where = sent.headers["location"]
    assert "No server has reported yet." in words_of(get(app, where))
    append(state, swapped("s3", where.rpartition("/")[2], environment="staging"))
    done = words_of(get(app, where))
    assert "Version 2 is live in staging. 1 of 1 servers answer with it." in done
    assert "s1" not in done


def test_a_server_that_was_killed_is_not_waited_for_and_one_that_lives_is(state: LogState) -> None:
    reach = FakeReach()
    app, reach.alive = console(state, reach=reach), {"s2": "production", "s4": "production", "s5": "staging"}
    sent = ask(app, "POST", "/models/late/deploy", data=confirm(app, "deploy", version="2"))
    where = sent.headers["location"]
    append(state, swapped("s2", where.rpartition("/")[2]))
    assert "1 of 2 servers answer with it." in words_of(get(app, where))
    append(state, swapped("s4", where.rpartition("/")[2]))
    assert "2 of 2 servers answer with it." in words_of(get(app, where))
    assert "late version 2 100% 2 of 2" in words_of(get(app, "/"))
    page = words_of(get(app, "/models/late"))
    assert "s2 production version 2" in page
    assert "s1" not in page


def test_a_deployment_that_another_one_followed_waits_for_nobody(app: FastAPI, state: LogState) -> None:
    sent = ask(app, "POST", "/models/late/deploy", data=confirm(app, "deploy", version="2"))
    where = sent.headers["location"]
    append(state, swapped("s1", where.rpartition("/")[2]), DeploymentChanged(**at(9, version=1)))
    assert "1 of 1 servers answer with it." in words_of(get(app, where))


def test_the_same_form_sent_twice_is_one_command(app: FastAPI, state: LogState) -> None:
    fields = confirm(app, "deploy", version="2")
    for _ in range(2):
        assert ask(app, "POST", "/models/late/deploy", data=fields).status_code == 303
    assert state.model("late").state.revision == 5
    assert len(state.events_of("late")) == 6, "the second was not even sent: nobody would answer it"


def test_who_was_slower_is_told_who_was_faster(app: FastAPI, state: LogState) -> None:
    fields = confirm(app, "deploy", version="2")
    append(state, DeploymentChanged(**at(9, version=2, actor="grace", reason="mine first")))
    sent = ask(app, "POST", "/models/late/deploy", data=fields)
    text = words_of(get(app, sent.headers["location"]))
    assert "Refused" in text
    assert "Somebody was faster." in text
    assert "grace changed it at 2023-11-14 22:22:20Z (mine first)" in text


@pytest.mark.parametrize(
    ("action", "fields", "said"),
    [
        ("traffic", {"share-1": "60", "share-2": "40"}, "version 1 60%, version 2 40%"),
        ("traffic", {"share-1": "100", "shadow-2": "yes"}, "Shadows none version 2"),
        ("rollout", {"version": "2", "stages": "10, 100", "hold": "1h"}, "Roll-out none version 2 by 10%, 100%"),
        ("label", {"label": "challenger", "version": "2"}, "challenger → version 2"),
        ("approve", {"version": "2"}, "Approvals none version 2: ada"),
        ("policy", {"rules": "approvals=2\r\nlived_in=staging\r\n"}, "Policy none approvals=2, lived_in=staging"),
        ("retire", {"version": ""}, "Version 1 usable retired"),
        ("deploy", {"version": "2", "environment": "staging"}, "Live version nothing version 2"),
    ],
)
def test_each_action_shows_what_it_would_do_and_does_it(
    app: FastAPI, state: LogState, action: str, fields: dict[str, str], said: str
) -> None:
    page = get(app, f"/models/late/{action}", params={"review": "1", "reason": "it is time", **fields})
    assert said in words_of(page)
    before = state.model("late").state.revision
    sent = ask(app, "POST", f"/models/late/{action}", data=hidden(page.text))
    assert "Refused" not in words_of(get(app, sent.headers["location"]))
    assert state.model("late").state.revision > before


def test_a_roll_back_offers_what_was_live_and_returns_to_it(app: FastAPI, state: LogState) -> None:
    append(state, DeploymentChanged(**at(5, version=2, previous_version=1)))
    assert "Back to" in words_of(get(app, "/models/late/rollback"))
    ask(app, "POST", "/models/late/rollback", data=confirm(app, "rollback", version="1"))
    assert state.model("late").state.live == 1


def test_a_roll_out_under_way_can_be_stopped(app: FastAPI, state: LogState) -> None:
    ask(app, "POST", "/models/late/rollout", data=confirm(app, "rollout", version="2", stages="10,100"))
    running = state.model("late").state.rollout
    assert running is not None
    page = get(app, "/models/late/rollout")
    assert field_of(page, "stop") == running.id
    ask(app, "POST", "/models/late/rollout", data=confirm(app, "rollout", stop=running.id))
    assert state.model("late").state.rollout is None


@pytest.mark.parametrize(
    ("action", "fields", "said"),
    [
        ("deploy", {"version": "2", "reason": " "}, "the reason is empty"),
        ("deploy", {"version": "2", "reason": "x" * 3000}, "at most 2000"),
        ("deploy", {"version": "7", "reason": "r"}, "has no version 7"),
        ("deploy", {"version": "two", "reason": "r"}, "expected its number"),
        ("deploy", {"version": "2", "reason": "r", "environment": "No Place"}, "cannot name an environment"),
        ("traffic", {"share-1": "60", "share-2": "60", "reason": "r"}, "expected 100"),
        ("traffic", {"share-1": "many", "reason": "r"}, "expected a number of percent"),
        ("traffic", {"reason": "r"}, "no version has a share"),
        ("rollout", {"version": "2", "stages": "a", "reason": "r"}, "expected percents"),
        ("rollout", {"version": "2", "stages": "1,100", "hold": "soon", "reason": "r"}, "is no length of time"),
        ("rollout", {"version": "2", "stages": "1,100", "rules": "auc", "reason": "r"}, "is no rule"),
        ("rollback", {"reason": "r"}, "nothing to roll back to"),
        ("label", {"label": "", "version": "1", "reason": "r"}, "the label is empty"),
        ("approve", {"version": "1", "reason": "r"}, "cannot approve it as well"),
        ("policy", {"rules": "be good", "reason": "r"}, "is no rule of a policy"),
        ("retire", {"version": "1", "reason": "r"}, "answers requests"),
    ],
)
def test_what_cannot_be_is_told_before_it_is_commanded(
    app: FastAPI, state: LogState, action: str, fields: dict[str, str], said: str
) -> None:
    page = get(app, f"/models/late/{action}", params={"review": "1", **fields})
    assert page.status_code in (400, 409)
    assert said in words_of(page).replace("\u202f", "")
    assert len(state.model("late").history) == len([one for one in past() if hasattr(one, "actor")])


def test_a_policy_says_which_rules_hold_and_what_is_missing(app: FastAPI, state: LogState) -> None:
    append(state, PolicyChanged(**at(6, rules=(rule_of("approvals=1"), rule_of("parity"))), environment="production"))
    refused = get(app, "/models/late/deploy", params={"review": "1", "version": "2", "reason": "r"})
    assert refused.status_code == 409
    assert "2 approvals=1 fails it has 0 of 1 approvals, 1 missing" in words_of(refused)
    ask(app, "POST", "/models/late/approve", data=confirm(app, "approve", version="2"))
    assert "approvals=1\nparity" in get(app, "/models/late/policy").text
    allowed = get(app, "/models/late/deploy", params={"review": "1", "version": "2", "reason": "r"})
    assert "2 approvals=1 holds 2 parity holds" in words_of(allowed)


def test_a_form_of_another_session_or_site_commands_nothing(app: FastAPI, state: LogState) -> None:
    fields = confirm(app, "deploy", version="2")
    for data, headers in (
        (fields | {"csrf": "0" * 64}, {}),
        ({name: value for name, value in fields.items() if name != "csrf"}, {}),
        (fields, {"origin": "http://evil.example"}),
        (fields, {"sec-fetch-site": "cross-site"}),
    ):
        answer = ask(app, "POST", "/models/late/deploy", data=data, headers=headers)
        assert answer.status_code == 403
        check_inert(answer)
    assert state.model("late").state.live == 1


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("rollout", {"stages": "10,100", "predictions": "9" * 30}),
        ("rollout", {"stages": "10,100", "hold": f"{'9' * 30}d"}),
        ("rollout", {"stages": "10,nan"}),
        ("traffic", {"share-1": "nan"}),
        ("traffic", {"share-1": "1e999"}),
    ],
)
def test_a_number_that_cannot_be_kept_is_refused(app: FastAPI, action: str, fields: dict[str, str]) -> None:
    given = {"review": "1", "reason": "r", "version": "2", **fields}
    assert get(app, f"/models/late/{action}", params=given).status_code in (400, 409)


def test_a_revision_that_is_none_commands_nothing(app: FastAPI, state: LogState) -> None:
    fields = confirm(app, "deploy", version="2") | {"revision": "9" * 5000}
    assert ask(app, "POST", "/models/late/deploy", data=fields).status_code == 400
    assert state.model("late").state.live == 1


@pytest.mark.parametrize("missing", ["command_id", "revision", "reason"])
def test_a_form_that_is_not_whole_commands_nothing(app: FastAPI, state: LogState, missing: str) -> None:
    fields = confirm(app, "deploy", version="2") | {missing: ""}
    assert ask(app, "POST", "/models/late/deploy", data=fields).status_code == 400
    assert state.model("late").state.live == 1


def test_a_viewer_sees_no_action_and_may_do_none(state: LogState) -> None:
    token = "a-token-of-enough-characters"
    viewer = console(state, tokens=f"viewer:vera:{token}")
    headers = {"authorization": f"Bearer {token}"}
    assert "Deploy" not in words_of(get(viewer, "/models/late", headers=headers))
    assert get(viewer, "/models/late/deploy", headers=headers).status_code == 403
    fields = confirm(console(state), "deploy", version="2")
    assert ask(viewer, "POST", "/models/late/deploy", data=fields, headers=headers).status_code == 403
    assert state.model("late").state.live == 1


@pytest.mark.parametrize("action", ACTIONS)
def test_the_past_cannot_be_changed(app: FastAPI, action: str) -> None:
    answer = get(app, f"/models/late/{action}?as_of={START_MS + MINUTE_MS}")
    assert answer.status_code == 400
    assert "the past cannot be changed" in words_of(answer)


@pytest.mark.parametrize("action", ACTIONS)
def test_what_is_written_into_a_form_stays_text(action: str) -> None:
    hostile = console(state_of(*past(), ModelRegistered(**stamped(version=3, record=record(), reason=EVIL))))
    fields = dict.fromkeys(("reason", "version", "label", "environment", "stages", "share-1", "unit", "hold"), EVIL)
    check_inert(get(hostile, f"/models/late/{action}", params={"review": "1", **fields}))
    check_inert(get(hostile, f"/models/late/{action}"))
    page = get(hostile, f"/models/late/{action}", params={"review": "1", "reason": EVIL, "version": "2", "label": "x"})
    check_inert(page)


def test_a_deployment_is_answered_by_the_servers_of_its_environment() -> None:
    deployed = DeploymentChanged(**at(9, version=2, environment="staging"))
    swapped = ModelSwapped(
        server="s9", model="late", version=2, command_id="c9", swap_us=3, environment="staging", at_ms=deployed.at_ms
    )
    text = words_of(get(console(state_of(*past(), deployed, swapped)), "/models/late/commands/c9"))
    assert "answers with version 2" in text
    assert "has not reported yet" not in text

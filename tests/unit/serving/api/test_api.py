"""The registry's REST API: what it answers, to whom, what it refuses, and that every command is on the log."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bighead.client.models import new_id
from bighead.events.types import ModelSwapped
from serving.api.app import Api
from serving.api.uploads import MOST_RECEIVED
from tests.unit.registry.samples import GOOD_RECORD, deploy, record, register
from tests.unit.serving.api.kit import ADA, BOB, EVE, MAX, Client, Memory, api_of


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Memory, Api]:
    """One application for all tests, which takes a while to build, over a log that each of them begins anew."""
    memory = Memory()
    return memory, api_of(memory, tmp_path_factory.mktemp("home"))


@pytest.fixture
def memory(built: tuple[Memory, Api]) -> Memory:
    """Two versions of `delays`, the first of which is live, and one of `early`."""
    memory = built[0]
    memory.begin()
    for command in (
        register("r1", model="delays"),
        register("r2", model="delays", of=record(metrics={"auc": 0.8}, tags={"team": "ops"})),
        deploy("d1", 1, model="delays"),
        register("r3", model="early"),
    ):
        memory.carry_out(command)
    return memory


@pytest.fixture
def api(built: tuple[Memory, Api], memory: Memory) -> Api:
    return built[1]


async def test_models_come_in_pages_that_the_header_links(api: Api) -> None:
    ada = Client(api)
    first = (await ada.get("/models?limit=1")).json()
    assert [one["name"] for one in first["items"]] == ["delays"] and first["total"] == 2
    link = (await ada.get("/models?limit=1")).headers["link"]
    second = await ada.get(link.split(">")[0].removeprefix("</api/v1"))
    assert [one["name"] for one in second.json()["items"]] == ["early"]
    assert second.json()["next"] is None and "link" not in second.headers


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("q=EARL", ["early"]),
        ("q=better", ["delays"]),
        ("tag=team", ["delays"]),
        ("tag=team=ops", ["delays"]),
        ("tag=team=sales", []),
        ("live=true", ["delays"]),
        ("live=false", ["early"]),
        ("live=true&environment=staging", []),
        ("sort=-changed", ["early", "delays"]),
    ],
)
async def test_models_are_found(api: Api, query: str, names: list[str]) -> None:
    found = (await Client(api).get(f"/models?{query}")).json()
    assert [one["name"] for one in found["items"]] == names


async def test_a_model_has_its_revision_as_etag_and_is_not_sent_twice(api: Api) -> None:
    ada = Client(api)
    answer = await ada.get("/models/delays")
    assert (answer.json()["revision"], answer.headers["etag"], answer.json()["live"]) == (3, '"3"', 1)
    again = await ada.get("/models/delays", if_none_match='W/"3"')
    assert (again.status_code, again.content) == (304, b"")
    past = await ada.get("/models/delays?as_of=2023-11-14T22:13:21Z")
    assert (past.json()["revision"], past.json()["live"], past.headers["etag"]) == (2, None, '"2"')


async def test_what_servers_report_is_not_of_the_revision(api: Api, memory: Memory) -> None:
    ada = Client(api)
    before, model = await ada.get("/models/delays/servers"), await ada.get("/models/delays")
    memory.append(ModelSwapped(server="s1", model="delays", version=1, command_id="d1", swap_us=3, at_ms=1))
    after = await ada.get("/models/delays/servers", if_none_match=before.headers["etag"])
    assert (before.json(), after.status_code) == ([], 200)
    assert (after.json()[0]["server"], after.json()[0]["serving"]) == ("s1", 1)
    assert after.json()[0]["environment"] == "production"
    assert (await ada.get("/models")).json()["items"][0]["servers"] == {"s1": 1}
    assert (await ada.get("/models?environment=staging")).json()["items"][0]["servers"] == {}
    assert (await ada.get("/models/delays", if_none_match=model.headers["etag"])).status_code == 304


async def test_a_version_has_its_record_and_golden_rows_on_demand(api: Api) -> None:
    plain = (await Client(api).get("/models/delays/versions/2")).json()
    assert plain["record"]["metrics"] == {"auc": 0.8}
    assert plain["record"]["parity"]["tolerance"] == 1e-5
    assert "golden" not in plain["record"]
    golden = (await Client(api).get("/models/delays/versions/2?golden=true")).json()
    assert golden["record"]["golden"] == [{"inputs": {"delay": 3.0}, "outputs": {"late": 0.5}}]
    versions = (await Client(api).get("/models/delays/versions?limit=1")).json()
    assert (versions["items"][0]["number"], versions["total"]) == (2, 2)


async def test_history_blame_and_difference_tell_the_story(api: Api) -> None:
    ada = Client(api)
    history = (await ada.get("/models/delays/history")).json()
    assert [line["what"] for line in history["items"]] == ["ModelRegistered", "ModelRegistered", "DeploymentChanged"]
    blame = (await ada.get("/models/delays/blame")).json()
    assert (blame[0]["fact"], blame[0]["actor"], blame[0]["reason"]) == ("live", "ada", "better AUC")
    different = (await ada.get("/models/delays/diff?a=1&b=2")).json()
    assert {one["field"] for one in different} >= {"metrics.auc", "tags.team"}


async def test_a_deployment_is_the_tokens_owners_and_gives_the_new_etag(api: Api, memory: Memory) -> None:
    answer = await Client(api, BOB).post(
        "/models/delays/deploy?wait=true", {"version": 2, "reason": "AUC"}, if_match='"3"'
    )
    told = answer.json()
    assert (answer.status_code, answer.headers["etag"], told["type"]) == (200, '"4"', "DeploymentChanged")
    assert (told["event"]["actor"], told["event"]["version"], told["revision"]) == ("bob", 2, 4)
    assert (told["servers"][0]["server"], told["complete"]) == ("server-1", True)
    assert (await Client(api).get("/models/delays")).json()["live"] == 2


async def test_of_two_deployers_at_once_one_wins_and_the_other_is_told(api: Api, memory: Memory) -> None:
    both = await asyncio.gather(
        Client(api, ADA).post("/models/delays/deploy", {"version": 2, "reason": "AUC"}, if_match='"3"'),
        Client(api, BOB).post("/models/delays/deploy", {"version": 1, "reason": "alerts"}, if_match='"3"'),
    )
    won, lost = sorted(both, key=lambda answer: answer.status_code)
    assert (won.status_code, lost.status_code) == (200, 412)
    assert lost.headers["content-type"] == "application/problem+json"
    problem = lost.json()
    assert problem["error"] == "StaleRevision" and "meant for revision 3" in problem["detail"]
    assert won.json()["event"]["actor"] in problem["detail"]
    history = (await Client(api).get("/models/delays/history")).json()["items"]
    assert len(history) == 5 and history[-1]["refused"]


async def test_what_the_registry_refuses_is_409_and_on_the_log(api: Api) -> None:
    answer = await Client(api).post("/models/delays/deploy", {"version": 9, "reason": "AUC"})
    assert (answer.status_code, answer.json()["error"]) == (409, "CommandRefused")
    assert "has no version 9" in answer.json()["detail"]
    assert (await Client(api).get("/models/delays/history")).json()["items"][-1]["refused"]
    empty = await Client(api).post("/models/delays/deploy", {"version": 1, "reason": " "})
    assert (empty.status_code, "no reason" in empty.json()["detail"]) == (409, True)


async def test_a_command_with_a_key_is_done_once(api: Api, memory: Memory) -> None:
    ada, body = Client(api), {"version": 2, "reason": "AUC"}
    once = await ada.post("/models/delays/deploy", body, idempotency_key="k-1")
    twice = await ada.post("/models/delays/deploy", body, idempotency_key="k-1")
    assert (once.json()["replayed"], twice.json()["replayed"]) == (False, True)
    assert once.json()["event"] == twice.json()["event"] and once.headers["etag"] == twice.headers["etag"]
    assert sum(command.command_id == "k-1" for command in memory.commands) == 1
    other = await Client(api, BOB).post("/models/delays/deploy", body, idempotency_key="k-1")
    assert (other.status_code, "was used for another command, by ada" in other.json()["detail"]) == (409, True)


@pytest.mark.parametrize(
    ("path", "body"), [("deploy", {"version": 1}), ("deploy?environment=staging", {"version": 2}), ("retire", {})]
)
async def test_a_key_is_of_one_request_alone(api: Api, memory: Memory, path: str, body: dict[str, Any]) -> None:
    ada, key = Client(api), new_id()
    await ada.post("/models/delays/deploy", {"version": 2, "reason": "AUC"}, idempotency_key=key)
    other = await ada.post(f"/models/delays/{path}", body | {"reason": "AUC"}, idempotency_key=key)
    assert (other.status_code, "was used for another command" in other.json()["detail"]) == (409, True)
    assert (await ada.get("/models/delays")).json()["live"] == 2


async def test_a_console_that_was_started_anew_knows_of_a_key_what_the_log_says(memory: Memory, tmp_path: Path) -> None:
    body = {"version": 2, "reason": "AUC"}
    await Client(api_of(memory, tmp_path)).post("/models/delays/deploy", body, idempotency_key="k-2")
    ada = Client(api_of(memory, tmp_path))
    assert (await ada.post("/models/delays/deploy", body, idempotency_key="k-2")).json()["replayed"]
    other = await ada.post("/models/delays/retire", body, idempotency_key="k-2")
    assert (other.status_code, "was used for another command" in other.json()["detail"]) == (409, True)


HUGE = "1" + "0" * 400


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("traffic", '{"arms":[{"version":1,"percent":NaN}],"reason":"r"}'),
        ("traffic", f'{{"arms":[{{"version":1,"percent":{HUGE}}}],"reason":"r"}}'),
        ("rollout", '{"stages":[{"percent":Infinity}],"reason":"r"}'),
        ("rollout", f'{{"stages":[{{"percent":10}}],"rules":[{{"metric":"a","at_least":{HUGE}}}],"reason":"r"}}'),
        ("deploy", '{"version":1,"reason":"\\ud800"}'),
        ("deploy", f'{{"version":1,"reason":{"[" * 100_000}'),
    ],
)
async def test_numbers_and_texts_that_json_has_and_the_log_has_not_are_refused(
    api: Api, memory: Memory, path: str, text: str
) -> None:
    before = len(memory.commands)
    answer = await Client(api).send(f"/models/delays/{path}", text.encode(), content_type="application/json")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), answer.text
    assert len(memory.commands) == before


async def test_an_attachment_that_cannot_be_drawn_is_not_registered(api: Api, memory: Memory) -> None:
    ada, before = Client(api), len(memory.commands)
    model = (await ada.send("/artifacts", b"onnx")).json()["sha256"]
    chart = (await ada.send("/artifacts", b'{"type":"line"}')).json()["sha256"]
    given = {name: value for name, value in GOOD_RECORD.to_record().items() if not name.startswith("artifact_")}
    attached = {"name": "roc", "kind": "chart", "media_type": "application/json", "sha256": chart}
    body = {"record": given | {"artifact_sha256": model, "attachments": [attached]}, "reason": "mine"}
    answer = await ada.post("/models/late/versions", body)
    assert (answer.status_code, "attachment 'roc'" in answer.json()["detail"]) == (400, True), answer.text
    assert len(memory.commands) == before


EVERY_COMMAND: list[tuple[str, dict[str, Any]]] = [
    ("deploy", {"version": 2}),
    ("traffic", {"arms": [{"version": 1, "percent": 90}, {"version": 2, "percent": 10}], "labels": {"new": 2}}),
    ("segments", {"keys": ["carrier"], "versions": {"carrier=AA": 2}}),
    ("rollout", {"stages": [{"percent": 10}, {"percent": 100}], "rules": [{"metric": "auc", "at_least": 0.7}]}),
    ("retire", {"version": 2}),
    ("labels", {"label": "champion", "version": 2}),
    ("approvals", {"version": 2}),
    ("policies", {"rules": []}),
    ("versions", {"record": {}}),
    ("rollback", {}),
    ("rollout/stop", {}),
]


@pytest.mark.parametrize(("path", "body"), EVERY_COMMAND)
async def test_viewers_may_not_command_and_nobody_says_who_they_are(
    api: Api, memory: Memory, path: str, body: dict[str, Any]
) -> None:
    before = len(memory.commands)
    refused = await Client(api, EVE).post(f"/models/delays/{path}", body | {"reason": "r"})
    assert (refused.status_code, refused.json()["error"]) == (403, "PermissionDenied")
    anybody = await Client(api, None).post(f"/models/delays/{path}", body | {"reason": "r"})
    assert (anybody.status_code, anybody.headers["www-authenticate"]) == (401, "Bearer")
    named = await Client(api, MAX).post(f"/models/delays/{path}", body | {"reason": "r", "actor": "eve"})
    assert (named.status_code, named.json()["error"]) == (400, "InvalidInput")
    assert len(memory.commands) == before


@pytest.mark.parametrize(("path", "body"), EVERY_COMMAND[:-4])
async def test_every_command_reaches_the_log_in_the_callers_name(
    api: Api, memory: Memory, path: str, body: dict[str, Any]
) -> None:
    answer = await Client(api, BOB).post(f"/models/delays/{path}", body | {"reason": "because"})
    assert answer.status_code == 200, answer.text
    assert (memory.commands[-1].actor, memory.commands[-1].reason) == ("bob", "because")
    assert answer.json()["event"]["command_id"] == memory.commands[-1].command_id


async def test_rules_are_an_admins_and_mean_what_they_mean_on_the_command_line(api: Api) -> None:
    body = {"rules": ["approvals=2", "auc>=live-0.005"], "reason": "eyes"}
    assert (await Client(api).post("/models/delays/policies", body)).status_code == 403
    answer = await Client(api, MAX).post("/models/delays/policies?environment=staging", body)
    assert answer.json()["type"] == "PolicyChanged", answer.text
    assert (await Client(api).get("/models/delays/policies")).json() == {"staging": body["rules"]}
    wrong = await Client(api, MAX).post("/models/delays/policies", {"rules": ["eyes=2"], "reason": "eyes"})
    assert (wrong.status_code, wrong.json()["error"]) == (400, "InvalidInput")


async def test_a_model_is_registered_from_bytes_that_were_stored(api: Api) -> None:
    ada = Client(api)
    stored = (await ada.send("/artifacts", b"onnx")).json()
    card = (await ada.send("/artifacts", b"# late\n<script>alert(1)</script>")).json()
    given = {name: value for name, value in GOOD_RECORD.to_record().items() if not name.startswith("artifact_")}
    attached = {"name": "card.md", "kind": "model_card", "media_type": "text/markdown", "sha256": card["sha256"]}
    given |= {"artifact_sha256": stored["sha256"], "attachments": [attached]}
    answer = await ada.post("/models/late/versions", {"record": given, "reason": "trained anew"})
    assert (answer.status_code, answer.headers["location"]) == (201, "/api/v1/models/late/versions/1")
    version = (await ada.get("/models/late/versions/1")).json()
    assert version["record"]["artifact_size"] == 4
    assert version["attachments"][0]["sha256"] == card["sha256"]

    read = await ada.get(f"/attachments/{card['sha256']}")
    assert read.content == b"# late\n<script>alert(1)</script>"
    assert read.headers["content-type"].startswith("text/markdown")
    assert read.headers["content-disposition"] == 'attachment; filename="card.md"'
    assert "sandbox" in read.headers["content-security-policy"]
    assert read.headers["x-content-type-options"] == "nosniff"
    own = await ada.get(f"/attachments/{stored['sha256']}")
    assert own.status_code == 404  # a model's file is no attachment


async def test_only_some_files_are_received_at_once(api: Api) -> None:
    go_on, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def slow() -> AsyncIterator[bytes]:
        yield b"on"
        begun.release()
        await go_on.wait()
        yield b"nx"

    sending = [asyncio.create_task(Client(api).send("/artifacts", slow())) for _ in range(MOST_RECEIVED)]
    for _ in sending:
        await begun.acquire()
    refused = await Client(api).send("/artifacts", b"onnx")
    assert (refused.status_code, refused.json()["error"]) == (429, "Overloaded")
    go_on.set()
    assert [answer.status_code for answer in await asyncio.gather(*sending)] == [201] * MOST_RECEIVED


async def test_attachments_that_are_too_large_or_too_many_are_refused_before_they_are_read(api: Api) -> None:
    ada = Client(api)
    stored = (await ada.send("/artifacts", b"x" * 300_000)).json()
    one = {"name": "card.md", "kind": "model_card", "media_type": "text/markdown", "sha256": stored["sha256"]}
    for attachments, reason in (([one], "has 300,000 bytes"), ([one] * 65, "65 attachments; at most 64")):
        given = GOOD_RECORD.to_record() | {"artifact_sha256": stored["sha256"], "attachments": attachments}
        answer = await ada.post("/models/late/versions", {"record": given, "reason": "mine"})
        assert (answer.status_code, reason in answer.text) == (400, True), answer.text


@pytest.mark.parametrize("sha256", [None, "ab" * 32, "../../etc/passwd"])
async def test_a_record_names_no_bytes_but_those_of_the_store(api: Api, sha256: str | None) -> None:
    given = GOOD_RECORD.to_record() | {"artifact_sha256": sha256, "artifact_uri": "file:///etc/passwd"}
    answer = await Client(api).post("/models/late/versions", {"record": given, "reason": "mine"})
    assert answer.status_code in (400, 409)
    assert "/artifacts" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/models/nobody", 404, "UnknownModel"),
        ("/models/delays/versions/9", 404, "UnknownModel"),
        ("/models/delays?as_of=yesterday", 400, "InvalidInput"),
        ("/models?limit=0", 400, "InvalidInput"),
        ("/models?cursor=x!", 400, "InvalidInput"),
        ("/models?cursor=WzEsMl0", 400, "InvalidInput"),
        (f"/models?cursor={'W1tb' * 249}", 400, "InvalidInput"),
        ("/models?as_of=0001-01-01T00:00%2B14:00", 400, "InvalidInput"),
        ("/nothing", 404, "NotFound"),
        (f"/attachments/{'0' * 64}", 404, "UnknownModel"),
    ],
)
async def test_what_is_wrong_is_said_as_a_problem(api: Api, path: str, status: int, error: str) -> None:
    answer = await Client(api).get(path)
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["instance"] == f"/api/v1{path.partition('?')[0]}"


async def test_a_log_that_is_not_read_is_no_empty_log(api: Api, memory: Memory) -> None:
    memory.problem = "Kafka does not answer"
    answer = await Client(api).get("/models")
    assert (answer.status_code, "Kafka does not answer" in answer.json()["detail"]) == (503, True)


async def test_bodies_that_are_too_large_or_no_json_are_refused(api: Api) -> None:
    huge = await Client(api).post("/models/delays/deploy", {"version": 1, "reason": "x" * (6 << 20)})
    assert huge.status_code == 413
    broken = await Client(api).send("/models/delays/deploy", b"{")
    assert (broken.status_code, broken.json()["error"]) == (400, "InvalidInput")


async def test_no_answer_shows_a_token_and_every_answer_is_inert(api: Api) -> None:
    for path in ("/models", "/me", "/nothing", "/openapi.json"):
        answer = await Client(api).get(path)
        assert ADA not in answer.text + json.dumps(dict(answer.headers))
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await Client(api).get("/me")).json() == {"actor": "ada", "role": "deployer", "environment": "production"}


async def test_pages_of_other_sites_command_nothing(memory: Memory, tmp_path: Path) -> None:
    open_to_all = Client(api_of(memory, tmp_path, tokens=""), token=None)
    body = {"version": 2, "reason": "AUC"}
    refused = await open_to_all.post("/models/delays/deploy", body, origin="http://evil.example")
    assert refused.status_code == 403
    own = await open_to_all.post("/models/delays/deploy", body, origin="http://127.0.0.1")
    assert own.json()["event"]["actor"] == "owner"

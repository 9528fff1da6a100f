"""Who has to answer to a deployment and who has: from heartbeats and reports alone."""

from typing import Any

import pytest

from bighead.client import fleet as fleets
from bighead.client.fleet import Fleet, Heartbeat, ServerAnswer
from bighead.client.models import Deployed
from bighead.errors import DeadlineExceeded, ModelError
from bighead.events.types import ModelLoaded, ModelLoadFailed, ModelSwapped

OURS: dict[str, Any] = {"model": "delay", "version": 2, "command_id": "c2", "at_ms": 1}


def beat(server: str, version: int = 1, command_id: str = "c1") -> Heartbeat:
    return Heartbeat(server, "127.0.0.1:1", {"delay": [version, command_id]}, 1)


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> list[Heartbeat]:
    """The servers that live; asked at every turn."""
    monkeypatch.setattr(fleets, "_POLL_S", 0.0)
    return [beat("a"), beat("b")]


@pytest.fixture
def fleet(there: list[Heartbeat]) -> Fleet:
    made = Fleet("delay", lambda: there)
    assert not made.is_settled(), "nothing was asked of them yet"
    made.follow("c2", 2)
    return made


def loaded(server: str) -> ModelLoaded:
    return ModelLoaded(server=server, artifact_sha256="ab", steps={"load": 0.25}, **OURS)


def swapped(server: str, **other: Any) -> ModelSwapped:
    return ModelSwapped(server=server, swap_us=7, **(OURS | other))


def test_it_is_settled_when_all_that_live_have_answered(fleet: Fleet) -> None:
    for event in (loaded("a"), swapped("a"), swapped("b", command_id="c1", version=1)):
        fleet.hear(event)
        assert not fleet.is_settled()
    fleet.hear(swapped("b"))
    assert fleet.is_settled()
    first, second = fleet.answers
    assert (first.server, first.serves, first.steps, first.swap_us) == ("a", True, {"load": 0.25}, 7)
    assert (second.server, second.serves) == ("b", True)


def test_what_is_read_before_the_registrys_answer_counts(there: list[Heartbeat]) -> None:
    fleet = Fleet("delay", lambda: there)
    for event in (loaded("a"), swapped("a"), swapped("b", command_id="c1"), swapped("b")):
        fleet.hear(event)
    assert not fleet.is_settled()
    fleet.follow("c2", 2)
    assert fleet.is_settled()
    assert [answer.steps for answer in fleet.answers] == [{"load": 0.25}, {}]


def test_a_server_that_dies_is_not_waited_for_and_one_that_comes_late_is(fleet: Fleet, there: list[Heartbeat]) -> None:
    fleet.hear(swapped("a"))
    there[:] = [beat("a"), beat("c")]
    assert not fleet.is_settled()
    there[:] = [beat("a"), beat("c", version=2, command_id="c1")]
    assert not fleet.is_settled(), "it served the version before, by another command"
    there[:] = [beat("a"), beat("c", version=2, command_id="c2")]
    assert fleet.is_settled(), "it came up with the version and has nothing to swap"
    assert [answer.server for answer in fleet.answers] == ["a", "c"]


def test_without_heartbeats_those_that_report_count(there: list[Heartbeat], fleet: Fleet) -> None:
    there.clear()
    assert not fleet.is_settled()
    fleet.hear(swapped("a"))
    assert fleet.is_settled()


def test_a_failure_settles_and_another_try_heals_it(fleet: Fleet, there: list[Heartbeat]) -> None:
    del there[1:]
    fleet.hear(ModelLoadFailed(server="a", step="golden", error="row 0", kept_version=1, **OURS))
    assert fleet.is_settled()
    assert [answer.serves for answer in fleet.answers] == [False]
    fleet.hear(swapped("a"))
    assert [(answer.serves, answer.error) for answer in fleet.answers] == [(True, None)]


def test_the_outcome_says_who_answers_and_who_does_not() -> None:
    good, slow = ServerAnswer("a", serves=True), ServerAnswer("b")
    bad = ServerAnswer("c", error="step 'golden' failed: row 0", kept=1)
    assert outcome(good).require_all(5).servers == (good,)
    with pytest.raises(DeadlineExceeded, match=r"within 5 s no report came from b; servers that answer with it: a"):
        outcome(good, slow).require_all(5)
    with pytest.raises(DeadlineExceeded, match="no report came from any server"):
        outcome().require_all(5)
    said = r"c could not load version 2 of 'delay': step 'golden' failed: row 0. Version 1 still answers; b has not"
    with pytest.raises(ModelError, match=said.replace(".", r"\.")):
        outcome(good, bad, slow).require_all(5)


def outcome(*servers: ServerAnswer) -> Deployed:
    return Deployed("delay", 2, 1, "c2", servers=servers)


def test_a_heartbeat_of_another_release_is_read() -> None:
    (_, _, said, *_), _ = beat("a").commands("bighead")
    assert Heartbeat.of("a", said) == beat("a")
    assert Heartbeat.of("a", said[:-1] + ', "zone": "eu"}') == beat("a")
    assert Heartbeat.of("a", '{"address": "x", "live": {}, "at_ms": 1}').environment == "production"

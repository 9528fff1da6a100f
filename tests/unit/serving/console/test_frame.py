"""The frame of every page: escaped, nothing from elsewhere, the time that is shown, and what is said when all fails."""

import asyncio
from urllib.parse import parse_qs, urlsplit

import pytest

from bighead.events.types import DeadLetter, DeadLetterReplayed, DeploymentChanged, ModelRegistered, ModelSwapped
from bighead.health import Health
from serving.console.app import STATIC
from serving.console.board import HealthBoard
from serving.console.event_rate import EventRate
from serving.console.letter_state import DeadLetterCount
from serving.console.log_state import LogState
from tests.unit.registry.samples import record
from tests.unit.serving.console.kit import (
    EVIL,
    START_MS,
    Tags,
    check_inert,
    console,
    get,
    healthy,
    stamped,
    state_of,
    words_of,
)


def events() -> list[object]:
    letter = {"topic": "orders", "partition": 0, "stage": "worker", "at_ms": 1}
    detail = {"error_class": "E", "error_message": "m", "key": None, "value": None, "timestamp_ms": 1}
    return [
        ModelRegistered(**stamped(version=1, record=record())),
        DeploymentChanged(**stamped(version=1)),
        ModelSwapped(server="s1", model="late", version=1, command_id="c1", swap_us=3, at_ms=1),
        DeadLetter(**letter, **detail, offset=7),  # type: ignore[arg-type]
        DeadLetter(**letter, **detail, offset=8),  # type: ignore[arg-type]
        DeadLetterReplayed(**letter, offset=8, actor="ada"),  # type: ignore[arg-type]
    ]


def test_home_shows_parts_what_is_live_and_what_changed() -> None:
    answer = get(console(state_of(*events()), healthy("redis")), "/")
    assert answer.status_code == 200
    text = words_of(answer)
    assert "kafka works" in text
    assert "redis does not work" in text
    assert "late version 1 100% 1 of 1 ada 2023-11-14 22:13:20" in text
    assert "production ada deployed version 1" in text
    assert "worker 1 2" in text
    assert "<title>1 not working · bighead</title>" in answer.text


def test_what_was_written_into_the_log_stays_text() -> None:
    answer = get(console(state_of(*events()), healthy(), problem=EVIL), "/")
    check_inert(answer)
    assert "&lt;script&gt;" in answer.text


def test_an_empty_platform_says_what_to_do() -> None:
    text = words_of(get(console(LogState(), healthy(), problem="Kafka does not answer"), "/"))
    assert "bighead models register" in text
    assert "The log cannot be read. What is shown is what was read before. Kafka does not answer" in text
    assert "All parts" not in text
    assert "all work" in text


def test_messages_that_come_twice_change_nothing() -> None:
    once, twice = state_of(*events()), state_of(*events(), twice=True)
    assert once.models() == twice.models()
    assert twice.dead_letters == [DeadLetterCount("worker", 2, 1)]


@pytest.mark.parametrize("path", ["/health", *(f"/static/{name}" for name in STATIC)])
def test_what_the_page_needs_is_there(path: str) -> None:
    answer = get(console(LogState()), path)
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/nothing", "/static/../app.py", "/static/nothing.css"])
def test_an_address_that_leads_nowhere_has_a_page_that_says_so(path: str) -> None:
    answer = get(console(LogState()), path)
    assert answer.status_code == 404
    assert "There is no page" in words_of(answer)
    check_inert(answer)


def test_a_path_that_looks_like_another_host_leads_to_none() -> None:
    answer = get(console(LogState()), "http://localhost//evil.example/?as_of=2023-11-14")
    assert answer.status_code == 404
    assert '"//' not in answer.text


def test_in_the_past_a_banner_says_so_links_stay_there_and_nothing_is_live() -> None:
    app = console(state_of(*events()), healthy())
    answer = get(app, "/?as_of=2023-11-14T22:13:20Z")
    assert "Everything here is as it was at 2023-11-14 22:13:20" in words_of(answer)
    links = [attributes["href"] for tag, attributes in Tags(answer.text).tags if tag == "a"]
    assert "/models?as_of=2023-11-14T22%3A13%3A20Z" in links
    assert "hx-get" not in answer.text
    assert "hx-get" in get(app, "/").text


@pytest.mark.parametrize("text", ["yesterday", "99999999999999999999", "2023-13-01", "0001-01-01T00:00+14:00", EVIL])
def test_a_time_that_is_none_is_refused_with_what_is_expected(text: str) -> None:
    answer = get(console(LogState()), "/", params={"as_of": text})
    assert answer.status_code == 400
    assert "such as 2026-11-01T12:00Z" in words_of(answer)
    check_inert(answer)


@pytest.mark.parametrize(
    ("fields", "as_of"),
    [
        ({"was": "5000", "at": "5000", "as_of": ""}, None),
        ({"was": "5000", "at": "5000", "as_of": "2026-11-01T12:00Z"}, "2026-11-01T12:00Z"),
        ({"was": "5000", "at": str(START_MS), "as_of": ""}, "2023-11-14T22:13:20Z"),
        ({"was": "5000", "at": "7000", "end": "7000", "as_of": "2026-11-01T12:00Z"}, None),
        ({"was": "5000", "at": "9" * 30, "as_of": ""}, None),
    ],
)
def test_the_slider_and_the_field_are_one_time(fields: dict[str, str], as_of: str | None) -> None:
    answer = get(console(LogState()), "/", params=fields | {"q": "late"})
    assert answer.status_code == 303
    address = urlsplit(answer.headers["location"])
    assert address.path == "/"
    expected = {"q": ["late"]} | ({"as_of": [as_of]} if as_of else {})
    assert parse_qs(address.query) == expected


def test_home_in_the_past_counts_no_dead_letter_of_later() -> None:
    app = console(state_of(*events()), healthy())
    assert "Dead letters by stage" in words_of(get(app, "/"))
    then = words_of(get(app, "/?as_of=1969-12-31"))
    assert "Dead letters by stage" not in then
    assert "none waits" in then


def test_times_beyond_all_calendars_are_shown_as_they_are() -> None:
    app = console(state_of(*events(), ModelRegistered(**stamped(version=2, record=record(), at_ms=10**18))))
    assert "1000000000000000000 ms" in get(app, "/").text
    assert get(app, "/models/late").status_code == 200


def test_how_many_events_there_were_is_known_for_a_while() -> None:
    rate = EventRate()
    for minute in range(4000):
        rate.apply(minute * 60_000)
    assert rate.knows(4000 * 60_000)
    assert not rate.knows(1000 * 60_000)
    assert EventRate().knows(0)


async def test_parts_are_probed_once_for_many_readers() -> None:
    probes: list[int] = []
    now_s = [0.0]

    def probe() -> list[Health]:
        probes.append(1)
        return healthy()

    board = HealthBoard(probe, lambda: now_s[0])
    await asyncio.gather(*(board.newest() for _ in range(5)))
    assert len(probes) == 1
    now_s[0] = 60.0
    await board.newest()
    assert len(probes) == 2

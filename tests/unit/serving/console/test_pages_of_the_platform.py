"""The pages of features, look-ups, events, dead letters, runs, alerts and audit: what they show, then and now."""

import csv
import io
from dataclasses import replace

import pytest
from fastapi import FastAPI

from bighead.events.message import Position
from bighead.events.types import JoinApplied
from serving.console.log_state import LogState
from tests.unit.serving.console.kit import (
    EVIL,
    START_MS,
    FakeReach,
    append,
    ask,
    check_inert,
    console,
    field_of,
    get,
    state_of,
    words_of,
)
from tests.unit.serving.console.story import (
    DAY_MS,
    LETTERS,
    MINUTE_MS,
    TOPIC,
    everything,
    feature_events,
    letter,
    reach,
)

RUN = "a" * 32
PAGES = (
    "/features", "/features?q=sales", "/features/shop_sales", "/features/shop", "/features/lookup?join=shop",
    "/features/lookup?join=shop&k.shop=s-17", f"/events?topic={TOPIC}", "/dead-letters?all=yes", "/dead-letters/0/0",
    "/dead-letters/replay?p=0/0&p=0/1", "/runs", f"/runs/{RUN}", f"/runs/{'c' * 32}", "/alerts", "/alerts?model=late",
    "/audit", "/audit?outcome=refused",
)  # fmt: skip
BEFORE = "2023-11-14T00:00Z"
LATER = START_MS + 2 * DAY_MS


def filled(said: str = EVIL) -> tuple[FastAPI, FakeReach]:
    beside = reach(said)
    return console(state_of(*everything(said), topic=LETTERS), reach=beside), beside


@pytest.mark.parametrize("path", PAGES)
def test_what_was_written_into_the_log_stays_text_on_every_page(path: str) -> None:
    app, _ = filled()
    for address in (path, f"{path}{'&' if '?' in path else '?'}as_of={LATER}"):
        answer = get(app, address)
        assert answer.status_code == 200, words_of(answer)
        check_inert(answer)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/features", "No group is applied"),
        ("/features/lookup", "No Join is applied"),
        ("/events", "No topic is here"),
        ("/dead-letters", "There is no dead letter"),
        ("/runs", "Nothing ran"),
        ("/alerts", "No rule is broken"),
        ("/audit", "Nobody asked for anything"),
    ],
)
def test_an_empty_platform_says_so_and_what_to_do(path: str, said: str) -> None:
    answer = get(console(LogState()), path)
    assert answer.status_code == 200
    assert said in words_of(answer)


@pytest.mark.parametrize("path", ["/features", "/runs", "/alerts", "/audit", "/dead-letters"])
def test_before_anything_happened_there_was_nothing(path: str) -> None:
    app, _ = filled("plain")
    answer = get(app, f"{path}?as_of={BEFORE}")
    assert answer.status_code == 200
    for word in ("shop_sales", "refresh", "late", "plain"):
        assert word not in words_of(answer)


@pytest.mark.parametrize(
    "path", ["/features/shop_sales", f"/runs/{RUN}", "/dead-letters/0/0", "/features/nothing", "/runs/x"]
)
def test_what_was_not_there_is_not_found(path: str) -> None:
    app, _ = filled("plain")
    assert get(app, f"{path}?as_of={BEFORE}").status_code == 404


@pytest.mark.parametrize("place", ["0/x", "-1/0", f"0/{'9' * 30}", f"{'9' * 5000}/0"])
def test_what_is_no_place_of_a_dead_letter_is_refused(place: str) -> None:
    answer = get(filled("plain")[0], f"/dead-letters/{place}")
    assert answer.status_code == 400
    check_inert(answer)


def test_the_catalog_shows_groups_joins_freshness_and_epochs() -> None:
    app, _ = filled("plain")
    text = words_of(get(app, "/features"))
    assert "shop_sales plain 1 python epoch 2 waits shop" in text
    assert f"{TOPIC} 2023-11-14 22:13:20" in text
    found = words_of(get(app, "/features?q=money average"))
    assert "shop_sales_price_average_1d feature shop_sales" in found
    assert "Nothing was found" in words_of(get(app, "/features?q=zebra"))
    then = words_of(get(app, f"/features?as_of={START_MS + MINUTE_MS}"))
    assert "epoch 2 waits" not in then
    assert "Newest event" not in then


def test_a_group_shows_lineage_epochs_statistics_and_who_changed_it() -> None:
    app, _ = filled("plain")
    answer = get(app, "/features/shop_sales")
    text = words_of(answer)
    assert f"topic {TOPIC} group shop_sales" in text
    assert "join shop model late/2" in text
    assert 'aria-label="What feeds shop_sales, and what it feeds"' in answer.text
    assert "1,204 tiles of 88,310 events" in text
    assert "aggregations" in text
    assert "31.5" in text
    assert "Berlin: 40000" in text
    assert "activated epoch 1 ada plain" in text


def test_a_join_shows_its_columns_and_what_is_derived() -> None:
    app, _ = filled("plain")
    text = words_of(get(app, "/features/shop"))
    assert "shop_sales_price_sum_1d double shop_sales 1d" in text
    assert "spent double derived" in text
    assert "training set bob" in text


def test_a_look_up_now_shows_values_with_their_status() -> None:
    app, _ = filled("plain")
    text = words_of(get(app, "/features/lookup?join=shop&k.shop=s-17"))
    assert "shop_sales_price_sum_1d 1 234.5 OK shop_sales" in text
    assert "shop_visits_city_last plain STALE" in text
    assert "bighead features get shop shop=s-17" in text


def test_a_look_up_of_the_past_says_what_it_cannot_know() -> None:
    app, beside = filled("plain")
    text = words_of(get(app, f"/features/lookup?join=shop&k.shop=s-17&as_of={START_MS + 123}"))
    assert beside.asked_ms == [START_MS - START_MS % (5 * MINUTE_MS)]
    assert "shop_sales_price_sum_1d 1 234.5 OK" in text
    assert "shop_visits_city_last it looks back over everything" in text
    assert "plain STALE" not in text
    assert "bighead features training-set shop" in text
    before_the_cut = words_of(get(app, f"/features/lookup?join=shop&k.shop=s-17&as_of={START_MS - DAY_MS}"))
    assert "batch owns what lies before it" in before_the_cut
    assert "spent it is derived from shop_sales_price_sum_1d" in before_the_cut
    assert "shop_sales did not answer then" in before_the_cut


def test_the_tail_is_filtered_by_type_key_and_text_and_can_be_held() -> None:
    app, _ = filled("plain")
    path = f"/events?topic={TOPIC}"
    answer = get(app, path)
    assert 'hx-trigger="every 2s"' in answer.text
    assert "hx-trigger" not in get(app, f"{path}&paused=yes").text
    assert "hx-trigger" not in get(app, f"{path}&as_of={START_MS}").text
    text = words_of(answer)
    assert "not decoded s-17 no Avro plain" in text
    assert "shop s-17 · price 3.5 · note plain" in text
    for query, kept, gone in (
        ("type=Refund", "s-18", "s-17"),
        ("key=S-18", "s-18", "s-17"),
        ("text=3.5", "price 3.5", "no Avro"),
    ):
        rows = words_of(get(app, f"{path}&{query}")).partition("follows the log")[2]
        assert kept in rows
        assert gone not in rows
    assert "None of the 3 messages" in words_of(get(app, f"{path}&text=zebra"))
    assert get(app, "/events?topic=nothing").status_code == 404


def test_dead_letters_are_listed_by_cause_and_shown_with_their_bytes() -> None:
    app, _ = filled("plain")
    text = words_of(get(app, "/dead-letters"))
    assert f"lane UndecodableEvent {TOPIC} 1 2" in text
    assert f"{TOPIC}/1/11" in text
    assert f"{TOPIC}/1/12" not in text
    assert "sent back bob: plain" in words_of(get(app, "/dead-letters?all=yes"))
    shown = words_of(get(app, "/dead-letters/0/0"))
    assert "7b 22 73 68 6f 70" in shown
    assert "s-17" in shown


def test_dead_letters_are_sent_back_with_a_reason() -> None:
    app, beside = filled("plain")
    answer = ask(app, "POST", "/dead-letters/replay", data={"positions": "0/0"})
    assert answer.status_code == 403
    form = get(app, "/dead-letters/replay?p=0/0&p=0/2")
    assert f"0/0 {TOPIC}/1/11 lane UndecodableEvent" in words_of(form)
    fields = {"csrf": field_of(form, "csrf"), "positions": field_of(form, "positions")}
    without = ask(app, "POST", "/dead-letters/replay", data=fields | {"reason": " "})
    assert without.status_code == 400
    assert "Say why" in words_of(without)
    assert beside.replayed == []
    answer = ask(app, "POST", "/dead-letters/replay", data=fields | {"reason": "mended"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dead-letters?sent=2")
    assert beside.replayed == [(letter(11, said="plain"), "ada", "mended"), (letter(13, said="plain"), "ada", "mended")]
    assert "2 dead letters were sent back" in words_of(get(app, answer.headers["location"]))


def test_a_dead_letter_that_is_gone_is_not_sent_back() -> None:
    app, beside = filled("plain")
    del beside.stored[Position(LETTERS, 0, 0)]
    form = get(app, "/dead-letters/replay?p=0/0&p=0/2")
    fields = {"csrf": field_of(form, "csrf"), "positions": field_of(form, "positions"), "reason": "mended"}
    answer = ask(app, "POST", "/dead-letters/replay", data=fields)
    assert answer.status_code == 400
    assert beside.replayed == []
    assert get(app, "/dead-letters/replay?p=nonsense").status_code == 400


def test_runs_show_attempts_steps_and_checks() -> None:
    app, _ = filled("plain")
    text = words_of(get(app, "/runs"))
    assert "refresh backfill aaaaaaaaaaaa succeeded attempt 2" in text
    assert "predict batch inference bbbbbbbbbbbb failed" in text, "nothing was heard of it for years"
    assert "no sign of life since" in text
    assert "bbbbbbbbbbbb running" in words_of(get(app, f"/runs?as_of={START_MS + 7 * MINUTE_MS}"))
    assert "refresh" not in words_of(get(app, "/runs?kind=batch_inference")).partition("Status")[2].partition("Run ")[2]
    one = words_of(get(app, f"/runs/{RUN}"))
    assert "Attempt 2" in one
    assert "land succeeded" in one
    assert "fill failed" in one
    assert "42 s 512 MB" in one or "41.5 s 512 MB" in one
    assert "plain 0.75 fill" in one
    assert "Where in the code" in one
    assert "spent failed plain" in words_of(get(app, f"/runs/{'c' * 32}"))
    then = words_of(get(app, f"/runs/{RUN}?as_of={START_MS + MINUTE_MS}"))
    assert "no end was reported" in then
    assert "Attempt 2" not in then


def test_alerts_show_open_ones_first_and_metrics_as_charts() -> None:
    app, _ = filled("plain")
    answer = get(app, "/alerts")
    text = words_of(answer)
    assert text.index("critical late version 2") < text.index("resolved late version 1")
    assert "late version 2 canary" in text
    assert 'aria-label="log_loss from 0.2' in answer.text
    then = words_of(get(app, f"/alerts?as_of={START_MS + 2 * MINUTE_MS}"))
    assert "1 open" in then
    assert "resolved" not in then


def test_the_audit_lists_all_and_filters_and_downloads_the_same() -> None:
    app, _ = filled("=plain")
    text = words_of(get(app, "/audit"))
    assert "ada =plain DeployModel late version 2 accepted" in text
    assert "DeployModel late refused version 9 is unknown" in text
    assert "DeployModel late version 1 waiting" in text
    assert "bob =plain DeadLetterReplayed" in text
    refused = get(app, "/audit.json?outcome=refused").json()
    assert [(one["type"], one["subject"], one["outcome"]) for one in refused] == [("DeployModel", "late", "refused")]
    rows = list(csv.DictReader(io.StringIO(get(app, "/audit.csv?actor=ada&type=DeployModel").text)))
    assert [row["outcome"] for row in rows] == ["waiting", "refused", "accepted"]
    assert {row["reason"] for row in rows} == {"better AUC", "'=plain"}
    assert get(app, "/audit?from=2023-11-15T00:00Z&actor=ada").status_code == 200
    assert get(app, "/audit?from=yesterday").status_code == 400


def test_a_join_whose_definition_is_none_is_left_out_and_hides_no_other() -> None:
    state = state_of(*feature_events("plain"))
    app = console(state)
    applied = next(event for event in feature_events() if isinstance(event, JoinApplied))
    for number, definition in enumerate(("no JSON", "[]", "{}", '{"parts": 1}')):
        append(state, replace(applied, join=f"broken{number}", definition=definition))
        assert get(app, f"/features/broken{number}").status_code == 404
    assert "shop_sales" in words_of(get(app, "/features"))
    assert get(app, "/features/shop_sales").status_code == 200


def test_topics_of_others_on_the_broker_are_not_shown() -> None:
    app, beside = filled("plain")
    beside.tails["payroll.v1"] = beside.tails[TOPIC]
    assert TOPIC in words_of(get(app, "/events"))
    assert "payroll.v1" not in words_of(get(app, "/events"))
    assert get(app, "/events?topic=payroll.v1").status_code == 404

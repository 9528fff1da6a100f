"""A platform with something of everything beside models: what the pages of features, events, runs and audit show."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bighead.client.features import Definitions
from bighead.compile.changes import Who, decide
from bighead.events.base import Event
from bighead.events.message import Position
from bighead.events.types import (
    AlertRaised,
    AlertResolved,
    BackfillCompleted,
    CommandRejected,
    DeadLetter,
    DeadLetterReplayed,
    DeploymentChanged,
    FeatureStatisticsComputed,
    HealthCheck,
    HealthChecked,
    MetricComputed,
    ModelRegistered,
    RunArtifact,
    RunFinished,
    RunMetric,
    RunStarted,
    StepFinished,
    TrainingSetCreated,
)
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op
from bighead.features.catalog import Catalog, evolve
from bighead.features.compiled import compile_group
from bighead.features.plan import FeatureRow
from bighead.features.types import ValueType
from tests.unit.registry.samples import deploy, record
from tests.unit.serving.console.kit import EVIL, START_MS, FakeReach

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
TOPIC = "shop.orders.v1"
COLUMNS = {"placed_ms": ValueType.LONG, "shop": ValueType.STRING, "price": ValueType.DOUBLE, "city": ValueType.STRING}
ORDERS = EventSource(
    TOPIC, "shop/orders", "placed_ms", select={"shop": "shop", "price": "price", "city": "city"}, where="price > 0"
)
VISITS = EventSource("shop.visits.v1", "shop/visits", "placed_ms", select={"shop": "shop", "city": "city"})
LETTERS = "bighead.dead-letters.v1"


def groups(said: str, *windows: str) -> list[GroupBy]:
    """Two groups; `said` describes them."""
    prices = [Aggregation("price", Op.SUM, windows), Aggregation("price", Op.AVERAGE, windows, description=said)]
    return [
        GroupBy("shop_sales", ORDERS, ["shop"], prices, said, owner="team-shops", tags=["money"]),
        GroupBy("shop_visits", VISITS, ["shop"], [Aggregation("city", Op.LAST)], said),
    ]


def definitions(said: str, *windows: str) -> Definitions:
    """The groups and the Join that reads them."""
    found = groups(said, *windows)
    join = Join(
        "shop", left=Keys("shop"), parts=found, derivations={"spent": "shop_sales_price_sum_1d * 2"}, owner="me"
    )
    return Definitions({one.name: one for one in found}, {"shop": join})


def feature_events(said: str = EVIL) -> Iterator[Event]:
    """Applied, activated, filled, and applied anew."""
    catalog = Catalog()
    for at_ms, windows in ((START_MS, ("1d",)), (START_MS + 10 * MINUTE_MS, ("1d", "7d"))):
        made = definitions(said, *windows)
        compiled = [compile_group(one, COLUMNS) for one in made.groups.values()]
        joins = tuple(made.joins.values()) if at_ms == START_MS else ()
        _, events = decide(catalog, compiled, joins, Who("ada", said, at_ms), activate=at_ms == START_MS, engine=None)
        for event in events:
            catalog = evolve(catalog, event)
            yield event
    yield BackfillCompleted(
        group="shop_sales", epoch=1, cut_ms=START_MS - START_MS % DAY_MS, tiles=1_204, events=88_310,
        table="tiles/shop_sales", table_version=7, at_ms=START_MS + 5 * MINUTE_MS,
    )  # fmt: skip
    yield TrainingSetCreated(
        join="shop", join_hash="ab", epochs={"shop_sales": 1}, table="shop/training", table_version=0, rows=20_000,
        features=("shop_sales_price_sum_1d",), sources={}, from_ms=0, to_ms=1, actor="bob", at_ms=START_MS + MINUTE_MS,
    )  # fmt: skip


def statistics() -> Iterator[Event]:
    """Of a number and of a text."""
    shared: dict[str, Any] = {
        "group": "shop_sales", "origin": "stream", "from_ms": START_MS - START_MS % DAY_MS,
        "to_ms": START_MS - START_MS % DAY_MS + DAY_MS, "at_ms": START_MS + MINUTE_MS,
    }  # fmt: skip
    ranks = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
    yield FeatureStatisticsComputed(
        feature="price", kind="double", count=90_000, nulls=900, null_share=0.01, mean=31.5, ranks=ranks,
        quantiles=(0.5, 2.0, 5.0, 8.0, 15.0, 26.0, 41.0, 62.0, 80.0, 110.0, 940.0), **shared,
    )  # fmt: skip
    yield FeatureStatisticsComputed(
        feature="city", kind="string", count=90_000, nulls=0, null_share=0.0,
        frequent={"Berlin": 40_000, "Hamburg": 20_000, EVIL: 9_000}, **shared,
    )  # fmt: skip


def run_events(said: str = EVIL) -> Iterator[Event]:
    """A run that failed and was asked for again, one that is under way, and a check."""
    who: dict[str, Any] = {"actor": "ada", "reason": said}
    start, minute = START_MS, MINUTE_MS
    one: dict[str, Any] = {"run_id": "a" * 32}
    started = RunStarted(
        name="refresh", kind="backfill", spec='{"until":"2023-11-14"}', spec_hash="cd" * 32, code_version="0.1.0",
        at_ms=start, **one, **who,
    )  # fmt: skip
    yield started
    yield StepFinished(
        step="land",
        status="succeeded",
        started_ms=start,
        rows=88_310,
        outputs='{"table":"shop/orders"}',
        at_ms=start + minute,
        **one,
    )
    yield StepFinished(
        step="fill",
        status="failed",
        started_ms=start + minute,
        error=said,
        at_ms=start + 2 * minute,
        resources={"wall_s": 60.0, "cpu_s": 41.5, "peak_mb": 512.0},
        **one,
    )
    yield RunFinished(status="failed", started_ms=start, error=said, traceback=said, at_ms=start + 2 * minute, **one)
    yield replace(started, at_ms=start + 3 * minute)
    yield StepFinished(
        step="fill", status="succeeded", started_ms=start + 3 * minute, rows=1_204, at_ms=start + 4 * minute, **one
    )
    yield RunMetric(step="fill", name=said, value=0.75, at_ms=start + 4 * minute, **one)
    yield RunArtifact(step="fill", name=said, uri=said, sha256="ab" * 32, size=1_204, at_ms=start + 4 * minute, **one)
    yield RunFinished(
        status="succeeded", started_ms=start + 3 * minute, outputs='{"tiles":1204}', at_ms=start + 4 * minute, **one
    )
    yield RunStarted(
        run_id="b" * 32,
        name="predict",
        kind="batch_inference",
        spec="{}",
        spec_hash="ef",
        at_ms=start + 6 * minute,
        **who,
    )
    checks = (
        HealthCheck(name="shop_sales_price_sum_1d", passed=True),
        HealthCheck(name="spent", passed=False, detail=said),
    )
    yield HealthChecked(run_id="c" * 32, subject="shop", healthy=False, checks=checks, at_ms=start + 5 * minute)


def monitoring_events(said: str = EVIL) -> Iterator[Event]:
    """Two alerts, one of them resolved, and metrics of two versions and an arm."""
    alert: dict[str, Any] = {"rule": "log_loss", "model": "late", "severity": "critical", "threshold": 0.4}
    yield AlertRaised(alert_id="1", version=1, message=said, value=0.61, at_ms=START_MS + MINUTE_MS, **alert)
    yield AlertRaised(alert_id="2", version=2, message=said, value=0.52, at_ms=START_MS + 8 * MINUTE_MS, **alert)
    yield AlertResolved(
        alert_id="1",
        rule="log_loss",
        model="late",
        version=1,
        value=0.3,
        raised_ms=START_MS + MINUTE_MS,
        at_ms=START_MS + 5 * MINUTE_MS,
    )
    for minute in range(60):
        for version, arm in ((1, ""), (2, ""), (2, "canary")):
            for metric, value in (
                ("log_loss", 0.3 + 0.1 * math.sin(minute / 8 + version)),
                ("auc", 0.8 + 0.002 * minute),
            ):
                yield MetricComputed(
                    model="late", version=version, arm=arm, metric=metric, value=value, window="all",
                    count=100 * (minute + 1), predictions=130 * (minute + 1), coverage=0.77, from_ms=START_MS,
                    to_ms=START_MS + minute * MINUTE_MS, at_ms=START_MS + minute * MINUTE_MS,
                )  # fmt: skip


def letter(offset: int, stage: str = "lane", said: str = EVIL) -> DeadLetter:
    """A message that was no event."""
    return DeadLetter(
        topic=TOPIC, partition=1, offset=offset, stage=stage, error_class="UndecodableEvent", error_message=said,
        key=b"s-17", value=b'{"shop": "s-17", "price": "' + bytes(range(200, 240)) + said.encode() + b'"}',
        timestamp_ms=START_MS, at_ms=START_MS + offset * MINUTE_MS,
    )  # fmt: skip


def command_events(said: str = EVIL) -> Iterator[Event]:
    """Commands that were accepted and refused, and one that waits."""
    who: dict[str, Any] = {"actor": "ada", "reason": said, "model": "late"}
    for version in (1, 2):
        yield ModelRegistered(
            version=version, record=record(join="shop"), command_id=f"r{version}", at_ms=START_MS + version, **who
        )
    yield replace(deploy("d1", 2, model="late"), reason=said, at_ms=START_MS + MINUTE_MS)
    yield DeploymentChanged(version=2, command_id="d1", at_ms=START_MS + MINUTE_MS + 20, **who)
    yield CommandRejected(
        command_id="d2", command_type="bighead.v1.DeployModel", reason_rejected=f"version 9 is unknown {said}",
        at_ms=START_MS + 2 * MINUTE_MS, **who,
    )  # fmt: skip
    yield replace(deploy("d3", 1, model="late"), at_ms=START_MS + 3 * MINUTE_MS)


def everything(said: str = EVIL) -> list[Event]:
    """All of it; the dead letters come first, at offsets 0, 1 and 2."""
    replayed = DeadLetterReplayed(
        topic=TOPIC, partition=1, offset=12, stage="lane", actor="bob", reason=said, at_ms=START_MS + 30 * MINUTE_MS
    )
    return [
        letter(11, said=said), letter(12, said=said), letter(13, "materializer", said), replayed,
        *feature_events(said), *statistics(), *run_events(said), *monitoring_events(said), *command_events(said),
    ]  # fmt: skip


def reach(said: str = EVIL) -> FakeReach:
    """The platform beside the log: a topic with an event and with bytes that are none, dead letters, an entity."""
    found = FakeReach()
    one: dict[str, Any] = {
        "topic": TOPIC,
        "partition": 1,
        "key": "s-17",
        "headers": {"ce_type": "shop.Order", "x": said},
    }
    found.tails = {
        "bighead.models.events.v1": [],
        TOPIC: [
            one
            | {
                "offset": 8,
                "timestamp_ms": START_MS + 2,
                "type": None,
                "value": b"\x01\xff",
                "error": f"no Avro {said}",
            },
            one
            | {
                "offset": 7,
                "timestamp_ms": START_MS + 1,
                "type": "shop.Order",
                "value": {"shop": "s-17", "price": 3.5, "note": said},
            },
            one
            | {
                "offset": 6,
                "timestamp_ms": START_MS,
                "type": "bighead.v1.Refund",
                "key": "s-18",
                "value": {"shop": "s-18"},
            },
        ],
    }
    found.stored = {Position(LETTERS, 0, at): letter(offset, said=said) for at, offset in enumerate((11, 12, 13))}
    found.newest = {TOPIC: START_MS}
    values: dict[str, Any] = {
        "shop_sales_price_sum_1d": 1234.5, "shop_sales_price_average_1d": 12.25, "shop_visits_city_last": said,
        "spent": 2469.0,
    }  # fmt: skip
    statuses = dict.fromkeys(values, "OK") | {"shop_visits_city_last": "STALE"}
    found.rows = {"shop": FeatureRow(values, statuses, START_MS, {"shop_sales": 1, "shop_visits": 1})}
    return found

"""Worker, materializer and model server, killed in the middle of a replay: nothing is lost, counted twice or wrong."""

import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest

from bighead.client.feature_values import FeaturesClient
from bighead.client.models import ModelsClient
from bighead.client.predict import PredictionClient
from bighead.config import Settings
from bighead.errors import NotReady
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op
from bighead.features.windows import DAY_MS, HOUR_MS, MINUTE_MS
from bighead.local.platform import Platform
from bighead.testing import eventually
from tests.conformance.cases import COLUMNS, MIDNIGHT_MS
from tests.e2e.conftest import MATERIALIZER
from tests.e2e.kit import Killer, Source, catalog_of, check_tiles, read_online, reference
from tests.lane_kit import avro_schema
from tests.unit.serving.models import total, total_stored

EVENTS = 100_000
PLANES = 1_000
LITTLE = 200
ROUNDS = [("worker", MATERIALIZER, "server") if number % 3 == 0 else ("worker", MATERIALIZER) for number in range(10)]
FLIGHTS = EventSource(topic="crashes.flights.v1", table="crashes/flights", time="at_ms")
SPANS: list[list[str]] = [["1h", "1d"], []]
OPS = [Op.COUNT, Op.SUM, Op.AVERAGE, Op.MIN, Op.MAX, Op.LAST]
CARRIER = GroupBy(
    "crash_carrier", FLIGHTS, ["carrier"], [Aggregation("delay", op, span) for op in OPS for span in SPANS]
)
PLANE = GroupBy("crash_plane", FLIGHTS, ["tail"], [Aggregation("fuel", op, span) for op in OPS for span in SPANS])
FLIGHT = Join("crash_flight", Keys("carrier", "tail"), [CARRIER, PLANE])
QUIET = {"carrier": "quiet", "tail": "quiet"}
MODEL = "crash_total"
COUNTED = ["crash_carrier_delay_count_1d", "crash_plane_fuel_count"]
END_MS = MIDNIGHT_MS + 4 * DAY_MS


@dataclass(frozen=True)
class Kill:
    """SIGKILL for a part."""

    part: str


@dataclass(frozen=True)
class Look:
    """The moment to see whether everything answers again."""


def flight(at_ms: int, carrier: str, tail: str, delay: int | None, fuel: float | None) -> dict[str, Any]:
    return {"at_ms": at_ms, "carrier": carrier, "gate": 0, "delay": delay, "fuel": fuel, "tail": tail, "late": None}


def flights(chooser: random.Random) -> list[dict[str, Any]]:
    """Three days: in order but for minutes, with one in ten late by up to two days. Sums of quarters are exact."""
    found = []
    for index in range(EVENTS):
        at_ms = MIDNIGHT_MS + index * 3 * DAY_MS // EVENTS + chooser.randrange(-5 * MINUTE_MS, 5 * MINUTE_MS)
        if chooser.random() < 0.1:
            at_ms -= chooser.randrange(2 * DAY_MS)
        delay = None if chooser.random() < 0.05 else chooser.randrange(-30, 300)
        fuel = None if chooser.random() < 0.05 else chooser.randrange(4000) / 4
        found.append(flight(at_ms, f"C{chooser.randrange(20)}", f"N{chooser.randrange(PLANES)}", delay, fuel))
    return found


def story(records: list[dict[str, Any]], chooser: random.Random) -> Iterator[list[dict[str, Any]] | Kill | Look]:
    """The records in pieces of uneven size, the kills between them: each victim once a round."""
    edges = sorted(chooser.sample(range(1, len(records)), sum(len(victims) + 1 for victims in ROUNDS) - 1))
    pieces = iter([records[start:end] for start, end in pairwise([0, *edges, len(records)])])
    for victims in ROUNDS:
        for victim in chooser.sample(victims, len(victims)):
            yield next(pieces)
            yield Kill(victim)
        yield next(pieces)
        yield Look()


class Asker:
    """Asks for the same prediction and features again and again: each answer is the right one, or UNAVAILABLE."""

    def __init__(self, settings: Settings, expected: Mapping[str, Any]) -> None:
        self.answers = self.refusals = 0
        self.wrong: list[Any] = []
        self._settings = settings
        self._expected = dict(expected)
        self._score = float(sum(expected[name] for name in COUNTED)) + 1.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Asker":
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with PredictionClient(self._settings.grpc) as models, FeaturesClient(self._settings.grpc) as features:
            while not self._stop.wait(0.1):
                try:
                    answer = models.predict(MODEL, [QUIET], [{"hour": 1.0}], as_of_ms=END_MS)
                    (row,) = features.read(FLIGHT.name, [QUIET], as_of_ms=END_MS)
                except NotReady:
                    self.refusals += 1
                except Exception as error:  # noqa: BLE001 - the test's verdict, not this thread's
                    self.wrong.append(error)
                else:
                    self.answers += 1
                    if answer.predictions[0].outputs["score"] != self._score or row.values != self._expected:
                        self.wrong.append((answer, row))


@pytest.fixture(scope="module")
def source(breakable: Platform, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The topic with its groups, one entity that stays as it is, and a model over both groups."""
    source = Source(
        breakable.settings, FLIGHTS.topic, avro_schema("Departed", COLUMNS, ["at_ms"]), key="tail", partitions=3
    )
    source.apply([CARRIER, PLANE], FLIGHT)
    quiet = [flight(END_MS - hours * HOUR_MS, "quiet", "quiet", hours, hours / 4) for hours in (1, 2, 30)]
    source.await_visible(source.publish(quiet))
    folder = tmp_path_factory.mktemp("model")
    models = ModelsClient(breakable.settings, "test", timeout_s=60)
    record = total_stored(folder, COUNTED, FLIGHT.name)
    version = models.register(MODEL, record, total(folder / "total.onnx", [*COUNTED, "hour"]), "a test")
    models.deploy(MODEL, version, "a test")
    return source


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_parts_killed_during_a_replay_leave_every_feature_and_tile_right(breakable: Platform, source: Source) -> None:
    chooser, killer = random.Random(20131101), Killer(breakable)
    expected = reference(source, FLIGHT.name, [QUIET], END_MS)[0]
    with Asker(breakable.settings, expected) as asker:
        for step in story(flights(chooser), chooser):
            match step:
                case Kill(part):
                    killer.kill(part)
                case Look():
                    look(source, asker)
                case records:
                    # Little by little: parts are to be killed at work, and not while they still wait for it.
                    for start in range(0, len(records), LITTLE):
                        source.publish(records[start : start + LITTLE])
    assert sorted(part for part, _ in killer.killed) == sorted(victim for victims in ROUNDS for victim in victims)
    assert asker.wrong == []
    assert asker.refusals, "the server was asked while it was down"
    check_every_feature(source)
    check_tiles(source, FLIGHT.name)


def look(source: Source, asker: Asker) -> None:
    """Everything published so far is visible, some features are right, and the server answers again."""
    before = asker.answers
    source.await_visible(source.ends)
    some = [{"carrier": f"C{index}", "tail": f"N{index * 7}"} for index in range(5)]
    (rows,) = read_online(source.settings, catalog_of(source.settings), FLIGHT.name, some, [END_MS])
    assert rows == reference(source, FLIGHT.name, some, END_MS)
    eventually(lambda: asker.answers > before, 60)


def check_every_feature(source: Source) -> None:
    """Both groups, all entities, at the end; with a window also in the past, on edges and between."""
    catalog = catalog_of(source.settings)
    queries = [MIDNIGHT_MS + DAY_MS, MIDNIGHT_MS + 2 * DAY_MS + 5 * HOUR_MS, MIDNIGHT_MS + 3 * DAY_MS - 1]
    carriers = [f"C{index}" for index in range(20)]
    entities = [{"carrier": carriers[index % 20], "tail": f"N{index}"} for index in range(0, PLANES, 7)] + [QUIET]
    rows = read_online(source.settings, catalog, FLIGHT.name, entities, [END_MS, *queries])
    assert rows[0] == reference(source, FLIGHT.name, entities, END_MS)
    windowed = [name for name in rows[0][0] if name.endswith(("_1h", "_1d"))]
    for query_ms, found in zip(queries, rows[1:], strict=True):
        expected = reference(source, FLIGHT.name, entities, query_ms)
        assert [[row[name] for name in windowed] for row in found] == [
            [row[name] for name in windowed] for row in expected
        ]


def test_a_group_that_is_applied_later_is_filled_from_the_beginning(breakable: Platform, source: Source) -> None:
    """It is read for apart from the others until it has come near them; a kill on the way changes nothing."""
    source.await_visible(source.publish(flights(random.Random(1))[:7_000]))
    group = replace(CARRIER, name="crash_later_carrier")
    later = Join("crash_later", Keys("carrier"), [group])
    source.apply([group], later)
    Killer(breakable).kill("worker")
    source.await_visible(source.publish(flights(random.Random(2))[:100]))
    check_tiles(source, later.name)
    check_tiles(source, FLIGHT.name)


@pytest.mark.parametrize("part", ["redis", "kafka"])
def test_the_flow_goes_on_when_what_all_depend_on_was_killed(breakable: Platform, source: Source, part: str) -> None:
    """Redis may have lost its last second: the store says what it reflects, and is brought up from there."""
    killer = Killer(breakable)
    records = flights(random.Random(len(part)))[:2_000]
    source.publish(records[:1_000])
    killer.kill(part)
    source.publish(records[1_000:])
    eventually(lambda: breakable.status([part])[0].ok, 60, 0.1)
    source.await_visible(source.ends)
    check_tiles(source, FLIGHT.name)
    eventually(lambda: all(one.ok for one in breakable.status(["worker", "server"])), 60, 0.1)

"""Worker, materializer and model server, killed in the middle of a replay: nothing is lost, counted twice or wrong."""

import os
import random
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import redis

from bighead.client.models import ModelsClient
from bighead.client.predict import PredictionClient
from bighead.config import Settings
from bighead.errors import NotReady
from bighead.events.message import Position
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op
from bighead.features.compiled import CompiledGroup
from bighead.features.fold import fold
from bighead.features.reference import SourceEvent, group_features
from bighead.features.tiles import StateCodec, Tile, TileKey, store_field, store_key, store_value
from bighead.features.windows import DAY_MS, HOUR_MS, MINUTE_MS
from bighead.local.platform import Platform
from bighead.testing import eventually
from tests.conformance.cases import COLUMNS, MIDNIGHT_MS, rows_of
from tests.e2e.conftest import MATERIALIZER
from tests.e2e.kit import FeaturesClient, Source, catalog_of, read_online
from tests.lane_kit import avro_schema
from tests.unit.serving.models import total, total_stored

EVENTS = 20_000
ROUNDS = 5
VICTIMS = ("worker", MATERIALIZER, "server")
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
        found.append(flight(at_ms, f"C{chooser.randrange(20)}", f"N{chooser.randrange(150)}", delay, fuel))
    return found


def story(records: list[dict[str, Any]], chooser: random.Random) -> Iterator[list[dict[str, Any]] | Kill | Look]:
    """The records in pieces of uneven size, the kills between them: each victim once a round."""
    edges = sorted(chooser.sample(range(1, len(records)), ROUNDS * (len(VICTIMS) + 1) - 1))
    pieces = iter([records[start:end] for start, end in pairwise([0, *edges, len(records)])])
    for _ in range(ROUNDS):
        for victim in chooser.sample(VICTIMS, len(VICTIMS)):
            yield next(pieces)
            yield Kill(victim)
        yield next(pieces)
        yield Look()


class Killer:
    """Kills parts by their process ids; the supervisor starts them again."""

    def __init__(self, platform: Platform) -> None:
        self.killed: list[tuple[str, int]] = []
        self._platform = platform

    def kill(self, part: str) -> None:
        """Kills it once it is back from the kill before."""
        pid = eventually(lambda: self._running(part), 60)
        os.kill(pid, signal.SIGKILL)
        self.killed.append((part, pid))

    def _running(self, part: str) -> int:
        state = self._platform.supervisor.states()[part]
        fresh = state["statename"] == "RUNNING" and (part, state["pid"]) not in self.killed
        return int(state["pid"]) if fresh else 0


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
        with PredictionClient(self._settings.grpc) as models, FeaturesClient(self._settings) as features:
            while not self._stop.wait(0.02):
                try:
                    answer = models.predict(MODEL, [QUIET], [{"hour": 1.0}], as_of_ms=END_MS)
                    (row,) = features.read(FLIGHT.name, [QUIET], END_MS)
                except NotReady:
                    self.refusals += 1
                except Exception as error:  # noqa: BLE001 - the test's verdict, not this thread's
                    self.wrong.append(error)
                else:
                    self.answers += 1
                    if answer.predictions[0].outputs["score"] != self._score or row != self._expected:
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
def test_parts_killed_during_a_replay_leave_every_feature_and_tile_right(breakable: Platform, source: Source) -> None:
    chooser, killer = random.Random(20131101), Killer(breakable)
    expected = reference(source, [QUIET], END_MS)[0]
    with Asker(breakable.settings, expected) as asker:
        for step in story(flights(chooser), chooser):
            match step:
                case Kill(part):
                    killer.kill(part)
                case Look():
                    look(source, asker)
                case records:
                    source.publish(records)
    assert sorted(part for part, _ in killer.killed) == sorted(VICTIMS * ROUNDS)
    assert asker.wrong == []
    assert asker.refusals, "the server was asked while it was down"
    check_every_feature(source)
    check_every_tile(source)


def look(source: Source, asker: Asker) -> None:
    """Everything published so far is visible, some features are right, and the server answers again."""
    before = asker.answers
    source.await_visible(ends(source.topic, source.events))
    some = [{"carrier": f"C{index}", "tail": f"N{index * 7}"} for index in range(5)]
    (rows,) = read_online(source.settings, catalog_of(source.settings), FLIGHT.name, some, [END_MS])
    assert rows == reference(source, some, END_MS)
    eventually(lambda: asker.answers > before, 60)


def check_every_feature(source: Source) -> None:
    """Both groups, all entities, at the end; with a window also in the past, on edges and between."""
    catalog = catalog_of(source.settings)
    queries = [MIDNIGHT_MS + DAY_MS, MIDNIGHT_MS + 2 * DAY_MS + 5 * HOUR_MS, MIDNIGHT_MS + 3 * DAY_MS - 1]
    carriers = [f"C{index}" for index in range(20)]
    entities = [{"carrier": carriers[index % 20], "tail": f"N{index}"} for index in range(150)] + [QUIET]
    rows = read_online(source.settings, catalog, FLIGHT.name, entities, [END_MS, *queries])
    assert rows[0] == reference(source, entities, END_MS)
    windowed = [name for name in rows[0][0] if name.endswith(("_1h", "_1d"))]
    for query_ms, found in zip(queries, rows[1:], strict=True):
        expected = reference(source, entities, query_ms)
        assert [[row[name] for name in windowed] for row in found] == [
            [row[name] for name in windowed] for row in expected
        ]


def check_every_tile(source: Source) -> None:
    """The store's hashes are those that one fold of the whole log gives: byte by byte, none more, none less."""
    catalog = catalog_of(source.settings)
    for group in (CARRIER, PLANE):
        expected = folded(source.settings, catalog.group(group.name).group, source.events)
        assert stored_tiles(source.settings, group.name) == expected


def folded(settings: Settings, group: CompiledGroup, events: Sequence[SourceEvent]) -> dict[bytes, dict[bytes, bytes]]:
    """The online store of a group, computed at once."""
    codec = StateCodec(group)
    tiles: dict[TileKey, Tile] = {}
    for partition in {event.partition for event in events}:
        rows = rows_of(group, [event for event in events if event.partition == partition])
        if rows is not None:
            changed = fold(group, codec, rows, lambda keys: [tiles.get(key) for key in keys])
            tiles.update((tile.key, tile) for tile in changed)
    hashes: dict[bytes, dict[bytes, bytes]] = {}
    for tile in tiles.values():
        key = store_key(settings.topic_prefix, group.name, 1, tile.key.entity).encode()
        value = store_value(tile.rank, tile.seq, codec.encode(tile.state))
        hashes.setdefault(key, {})[store_field(tile.key.level, tile.key.start_ms)] = value
    return hashes


def stored_tiles(settings: Settings, group: str) -> dict[bytes, dict[bytes, bytes]]:
    with redis.Redis.from_url(settings.redis) as client:
        keys = list(client.scan_iter(store_key(settings.topic_prefix, group, 1, "*"), count=1000))
        return {key: client.hgetall(key) for key in keys}


def reference(source: Source, entities: Iterable[Mapping[str, Any]], query_ms: int) -> list[dict[str, Any]]:
    """The join by the reference interpreter, given an entity's own events alone: it would filter them anyway."""
    groups = [
        one.group for one in catalog_of(source.settings).groups.values() if one.group.name in FLIGHT.group_names()
    ]
    by_key: dict[tuple[str, Any], list[SourceEvent]] = {}
    for event in source.events:
        for group in groups:
            by_key.setdefault((group.name, event.record[group.keys[0]]), []).append(event)
    known: dict[tuple[str, Any], dict[str, Any]] = {}
    rows = []
    for entity in entities:
        row: dict[str, Any] = {}
        for group in groups:
            place = (group.name, entity[group.keys[0]])
            if place not in known:
                known[place] = group_features(group, by_key.get(place, []), [place[1]], query_ms)
            row |= known[place]
        rows.append(row)
    return rows


def ends(topic: str, events: Iterable[SourceEvent]) -> list[Position]:
    """The newest position of each partition."""
    newest: dict[int, int] = {}
    for event in events:
        newest[event.partition] = max(newest.get(event.partition, 0), event.offset)
    return [Position(topic, partition, offset) for partition, offset in newest.items()]

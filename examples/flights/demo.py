"""The demo: a year of flights as history, a model from training to a swap, a week as a stream, and the proof.

Wires the platform's public parts as a user would; every step is one that a user can do alone.
"""

import asyncio
import math
import platform as machine
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from importlib.metadata import version as package_version
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from bighead import artifacts, config
from bighead.client.catalog import read_catalog
from bighead.client.models import ModelsClient
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events import admin
from bighead.events.codec import Codec
from bighead.events.log import read_log
from bighead.events.topics import DEAD_LETTERS, PREDICTIONS, topic_name
from bighead.features.catalog import FLINK as FLINK_LANE
from bighead.features.catalog import PYTHON
from bighead.local.parts import FLINK
from bighead.local.platform import ALL, Platform
from bighead.pipeline import model_record, save
from bighead.pipeline.parity import Session
from bighead.pipeline.record import Origin
from bighead.pipeline.tensors import frame
from examples.flights import data
from examples.flights.canary import RolledOut, roll_out
from examples.flights.lake import Lake, PointInTime
from examples.flights.replay import PlatformFeed, Replayed, replay
from examples.flights.story import Step, Story
from examples.flights.summary import FeatureDifference, Findings, PartMemory, VersionAuc
from examples.flights.train import FIRST, SECOND, Recipe, Trained, schedule_only, train
from examples.flights.watch import ALL_VERSIONS, MetricsWatch

MODEL = "delay"
JOIN = "flight"
PARTITIONS = 4
# Each flight waits for what happened before it: on Flink until the next checkpoint, some tenths of a second.
DAYS = {PYTHON: 7, FLINK_LANE: 1}
METRICS_S = ROLL_OUT_S = 60.0
FEATURES = Path(__file__).with_name("features.py")


@dataclass
class History:
    """What is known before the replay begins."""

    flights: pd.DataFrame
    replayed: list[data.ReplayedEvent]
    events: int
    until_ms: int
    tiles: int = 0


@dataclass
class Models:
    """The two versions, and what the features have to beat."""

    versions: dict[int, Trained]
    schedule_auc: float
    rows: int


@dataclass(frozen=True)
class Week:
    """The replayed week, and the live AUC of each version (0: both) when every outcome was in."""

    asked: pd.DataFrame
    replayed: Replayed
    rolled_out: RolledOut
    live: Mapping[int, float]
    metric_events: int

    def answered_by(self, version: int) -> pd.DataFrame:
        """The flights that a version answered (0: all) with the version that did."""
        by = self.asked.flight_id.map({name: answer.version for name, answer in self.replayed.answers.items()})
        rows = self.asked.assign(version=by)
        return rows[by.notna() if version == ALL_VERSIONS else by == version]


def run(platform: Platform, story: Story, lane: str = PYTHON) -> Findings:
    """Runs the whole demo on a platform that is not started yet; the platform is left running.

    lane: the stream engine of the features; DAYS says how many days it replays.
    """
    settings = platform.settings
    with ThreadPoolExecutor(1) as pool, story.step("platform, history") as step:
        starting = pool.submit(_start, platform, lane)
        lake, history = _load(settings, step, data.CUT_MS + DAYS[lane] * data.DAY_MS)
        starting.result()
        step.result = f"{len(platform.status())} parts are ready; {history.events:,} events in Delta"
    try:
        _backfill(lake, history, story)
        models = _train(settings, lake, history, story)
        week = _replay(settings, history, models, story)
        return _compare(platform, lake, history, models, week, story)
    finally:
        lake.close()


def _start(platform: Platform, lane: str) -> None:
    """The platform, the topics of the airline's own events, and the features, by the command that users have."""
    settings = platform.settings
    platform.up([*ALL, *(FLINK if lane == FLINK_LANE else ())])
    for topic in data.TOPICS:
        admin.create_topic(settings, topic.name, PARTITIONS)
        admin.register_schema(settings, topic.name, topic.schema)
    command = [str(Path(sys.executable).with_name("bighead")), "features", "apply", str(FEATURES)]
    command += ["--reason", "features of the flights demo", "--wait", "60", "--engine", lane]
    environment = config.inherited_environment() | config.variables(settings)
    applied = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if applied.returncode:
        raise PlatformError(f"{' '.join(command)} ended with {applied.returncode}: {applied.stderr.strip()}")


def _load(settings: Settings, step: Step, until_ms: int) -> tuple[Lake, History]:
    step.say("reading flights, weather, planes")
    flights = data.load_flights()
    events = data.load_events(flights)
    step.say("starting Spark")
    lake = Lake(settings, MODEL, JOIN)
    past = data.history(events)
    for topic, table in past.items():
        step.say(f"writing {topic.table}")
        lake.load_history(topic, table)
    count = sum(table.num_rows for table in past.values())
    return lake, History(flights, data.replay_events(events, flights, until_ms), count, until_ms)


def _backfill(lake: Lake, history: History, story: Story) -> None:
    with story.step("backfill") as step:
        history.tiles = lake.backfill(data.CUT_MS, step.say)
        step.result = f"{history.tiles:,} tiles below 2013-11-01 published and in the online store"


def _train(settings: Settings, lake: Lake, history: History, story: Story) -> Models:
    with story.step("training set") as step:
        rows = lake.training_rows(history.flights, step.say)
        step.result = f"{len(rows.frame):,} rows, {len(rows.features)} features as of each request"
    with story.step("train, prove, register") as step:
        step.say("schedule only")
        schedule_auc = schedule_only(rows.frame, FIRST)["auc"]
        versions = {}
        for recipe in (FIRST, SECOND):
            step.say(f"{recipe.trees} trees")
            started_ms = wall_clock_ms()
            trained = train(rows.frame, rows.features, recipe)
            versions[_register(settings, trained, rows, recipe, started_ms)] = trained
        step.result = ", ".join(f"version {one}: AUC {it.metrics['auc']:.4f}" for one, it in versions.items())
    with story.step("deploy version 1") as step:
        deployed = ModelsClient(settings).deploy(MODEL, 1, "first model of the demo")
        step.result = f"{deployed.server} answers with it"
    return Models(versions, schedule_auc, len(rows.frame))


def _register(settings: Settings, trained: Trained, rows: PointInTime, recipe: Recipe, started_ms: int) -> int:
    codec = Codec(settings.schema_registry)
    try:
        join = read_catalog(settings, codec).joins[JOIN]
    finally:
        codec.close()
    origin = Origin(
        join=JOIN,
        join_epoch=join.epoch,
        join_hash=join.hash,
        training_data=rows.origin,
        config=trained.config,
        code_version=f"bighead {package_version('bighead')}",
        environment=f"Python {machine.python_version()}, scikit-learn {package_version('scikit-learn')}",
        started_ms=started_ms,
        finished_ms=wall_clock_ms(),
    )
    path = save(trained.model, settings.home / f"{MODEL}-{recipe.trees}.onnx")
    record = model_record(trained.model, artifacts.put(settings.artifacts, path), trained.metrics, origin)
    return ModelsClient(settings).register(MODEL, record, path, f"{recipe.trees} trees, for the demo")


def _replay(settings: Settings, history: History, models: Models, story: Story) -> Week:
    asked = data.asked_between(history.flights, data.CUT_MS, history.until_ms)
    days = (history.until_ms - data.CUT_MS) // data.DAY_MS
    with (
        story.step("replay a week" if days == 7 else "replay a day") as step,
        MetricsWatch(settings, MODEL) as watch,
        ThreadPoolExecutor(1) as pool,
    ):
        rolling: list[Future[RolledOut]] = []
        over = threading.Event()

        def on_step(_: int, done: Replayed) -> None:
            if not rolling and len(done.answers) >= len(asked) // 3:
                reason = "more trees, rolled out while the replay runs"
                rolling.append(pool.submit(roll_out, settings, MODEL, max(models.versions), reason, over.is_set))
            step.say(watch.text())
            step.advance(len(done.answers), len(asked))

        try:
            replayed = asyncio.run(_run_replay(settings, asked, history.replayed, on_step))
            wait(rolling, ROLL_OUT_S)
        finally:
            over.set()  # the pool waits for the roll-out, which would wait for predictions that never come
        week = Week(asked, replayed, rolling[0].result(), {}, 0)
        live = {version: _live_auc(watch, week, version) for version in (ALL_VERSIONS, *sorted(models.versions))}
        step.result = f"{len(replayed.answers):,} flights asked, {replayed.events:,} events, {watch.text()}"
        return replace(week, live=live, metric_events=watch.events)


async def _run_replay(
    settings: Settings,
    asked: pd.DataFrame,
    events: Sequence[data.ReplayedEvent],
    on_step: Callable[[int, Replayed], None],
) -> Replayed:
    feed = PlatformFeed(settings, MODEL)
    try:
        return await replay(feed, asked.to_dict("records"), events, on_step)
    finally:
        await feed.close()


def _live_auc(watch: MetricsWatch, week: Week, version: int) -> float:
    """What monitoring says when it has every prediction and every outcome."""
    answered = week.answered_by(version)
    if answered.empty:
        return math.nan
    return watch.wait(version, len(answered), int(answered.late.notna().sum()), METRICS_S).value


def _compare(platform: Platform, lake: Lake, history: History, models: Models, week: Week, story: Story) -> Findings:
    settings = platform.settings
    with story.step("recompute by Spark") as step:
        landed = lake.land(step.say)
        checked = lake.check(step.say)
        rows = lake.replayed_rows(week.answered_by(ALL_VERSIONS), step.say)
        versions = [_version_auc(models, week, rows.frame, version) for version in week.live]
        step.result = (
            f"{landed:,} events landed, {len(checked.features)} features of {checked.rows:,} requests compared"
        )
    return Findings(
        parts=_parts(platform),
        history_events=history.events,
        published_tiles=history.tiles,
        training_rows=models.rows,
        schedule_auc=models.schedule_auc,
        trained_auc={number: trained.metrics["auc"] for number, trained in models.versions.items()},
        parity=max(trained.model.parity.max_abs_diff for trained in models.versions.values()),
        replayed=week.replayed,
        asked=len(week.asked),
        versions=versions,
        differences=[
            FeatureDifference(name, one.rows, one.differences, one.largest)
            for name, one in sorted(checked.features.items())
        ],
        rolled_out=week.rolled_out,
        dead_letters=_count(settings, DEAD_LETTERS),
        metric_events=week.metric_events,
        logged=_count(settings, PREDICTIONS),
    )


def _version_auc(models: Models, week: Week, rows: pd.DataFrame, version: int) -> VersionAuc:
    """The AUC over point-in-time rows, each scored by the version that answered its flight."""
    answered = week.answered_by(version)
    labelled = rows.merge(answered[["flight_id", "version"]], on="flight_id")
    labelled = labelled[labelled.late.notna()]
    scores = pd.Series(np.nan, labelled.index)
    for number, trained in models.versions.items():
        mine = labelled[labelled.version == number]
        inputs = trained.model.signature.inputs
        scores[mine.index] = Session(trained.model.content, inputs).predict_each(frame(inputs, mine))
    recomputed = float(roc_auc_score(labelled.late, scores)) if len(labelled) else math.nan
    return VersionAuc(version, len(answered), len(labelled), week.live[version], recomputed)


def _parts(platform: Platform) -> list[PartMemory]:
    settings = platform.settings
    where = {
        "kafka": settings.kafka,
        "registry": settings.schema_registry,
        "redis": settings.redis,
        "server": f"grpc {settings.grpc}, http://{settings.http}",
        "console": f"http://{settings.console}",
    }
    return [PartMemory(one.part, where.get(one.part, ""), one.memory_mb) for one in platform.status()]


def _count(settings: Settings, name: str) -> int:
    return sum(1 for _ in read_log(settings, topic_name(settings.topic_prefix, name)))

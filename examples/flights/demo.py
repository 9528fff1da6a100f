"""The demo: a year of flights as history, a model from training to a swap, a week as a stream, and the proof.

Wires the platform's public parts as a user would; every step is one that a user can do alone.
"""

import asyncio
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from bighead import config
from bighead.client.models import ModelsClient
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events import admin
from bighead.events.log import read_log
from bighead.events.topics import DEAD_LETTERS, PREDICTIONS, topic_name
from bighead.features.catalog import FLINK as FLINK_LANE
from bighead.features.catalog import PYTHON
from bighead.local.parts import FLINK
from bighead.local.platform import ALL, Platform
from bighead.pipeline.parity import Session
from bighead.pipeline.tensors import frame
from bighead.training.replaying import Asked
from bighead.training.replaying import replay as look_back
from bighead.training.retrospective import Retrospect
from bighead.training.specification import load_specification
from examples.flights import data
from examples.flights.canary import RolledOut, roll_out
from examples.flights.lake import Lake
from examples.flights.recipes import JOIN, MODEL, OCTOBER, SEARCH, SEED, schedule_auc
from examples.flights.replay import PlatformFeed, Replayed, replay
from examples.flights.story import Step, Story
from examples.flights.summary import FeatureDifference, Findings, PartMemory, VersionAuc
from examples.flights.training import FIRST, SECOND, ByOrigin, Version, ask_by_origin, train_by_origin, train_version
from examples.flights.watch import ALL_VERSIONS, MetricsWatch

PARTITIONS = 4
# Each flight waits for what happened before it: on Flink until the next checkpoint, some tenths of a second.
DAYS = {PYTHON: 7, FLINK_LANE: 1}
METRICS_S = ROLL_OUT_S = 60.0
BY_ORIGIN_EVERY = 20
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
    """The two versions, what the features have to beat, and the model with a part for each airport."""

    versions: dict[int, Version]
    schedule_auc: float
    rows: int
    by_origin: ByOrigin


@dataclass(frozen=True)
class Second:
    """How the second version came: what it would have answered to the flights so far, and its roll-out."""

    retrospect: Retrospect
    rolled_out: RolledOut


@dataclass(frozen=True)
class Week:
    """The replayed week, and the live AUC of each version (0: both) when every outcome was in."""

    asked: pd.DataFrame
    replayed: Replayed
    second: Second
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
        features = sum(one.source == "feature" for one in rows.inputs)
        step.result = f"{len(rows):,} rows, {features} features as of each request"
    with story.step("schedule only") as step:
        auc = schedule_auc(OCTOBER.split(rows, SEED))
        step.result = f"AUC {auc:.4f} without any feature"
    versions = {}
    for title, reason, path in (
        ("train by hand", "parameters chosen by hand", FIRST),
        ("search and train", f"the best of {SEARCH.trials} trials", SECOND),
    ):
        with story.step(title) as step:
            made = train_version(settings, load_specification(path), reason, step.say)
            versions[made.number] = made
            step.result = f"version {made.number}: AUC {made.auc:.4f}, proven in ONNX to {made.difference:.1g}"
    with story.step("deploy version 1") as step:
        deployed = ModelsClient(settings).deploy(MODEL, 1, "first model of the demo")
        step.result = f"{deployed.server} answers with it"
    with story.step("a model for each airport") as step:
        trained = train_by_origin(settings, "airports differ", step.say)
        asked = data.asked_between(history.flights, data.CUT_MS, data.CUT_MS + data.DAY_MS).iloc[::BY_ORIGIN_EVERY]
        by_origin = ask_by_origin(settings, trained, asked)
        step.result = f"{len(trained.segments)} of their own, one of all flights; {by_origin.asked} flights asked"
    return Models(versions, auc, len(rows), by_origin)


def _replay(settings: Settings, history: History, models: Models, story: Story) -> Week:
    asked = data.asked_between(history.flights, data.CUT_MS, history.until_ms)
    days = (history.until_ms - data.CUT_MS) // data.DAY_MS
    with (
        story.step("replay a week" if days == 7 else "replay a day") as step,
        MetricsWatch(settings, MODEL) as watch,
        ThreadPoolExecutor(1) as pool,
    ):
        rolling: list[Future[Second]] = []
        over, began_ms = threading.Event(), wall_clock_ms()

        def on_step(_: int, done: Replayed) -> None:
            if not rolling and len(done.answers) >= len(asked) // 3:
                rolling.append(pool.submit(_roll_out, settings, max(models.versions), began_ms, over.is_set))
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


def _roll_out(settings: Settings, version: int, since_ms: int, stop: Callable[[], bool]) -> Second:
    """Looks first at what the version would have answered to the flights that were asked so far."""
    asked = Asked(MODEL, version, since_ms, wall_clock_ms(), "what would it have answered so far?")
    looked_back = look_back(settings, asked, lambda text: None)
    reason = "found by search; rolled out while the replay runs"
    return Second(looked_back, roll_out(settings, MODEL, version, reason, stop))


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
        trained_auc={number: version.auc for number, version in models.versions.items()},
        parity=max(version.difference for version in models.versions.values()),
        replayed=week.replayed,
        asked=len(week.asked),
        versions=versions,
        differences=[
            FeatureDifference(name, one.rows, one.differences, one.largest)
            for name, one in sorted(checked.features.items())
        ],
        rolled_out=week.second.rolled_out,
        retrospect=week.second.retrospect,
        by_origin=models.by_origin,
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
    for number, made in models.versions.items():
        mine = labelled[labelled.version == number]
        scores[mine.index] = Session(made.content, made.inputs).predict_each(frame(made.inputs, mine))
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

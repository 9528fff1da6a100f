"""Served feature vectors against the same vectors recomputed from the tables, bit for bit.

Knows Spark and the log of predictions. The online head holds the whole current five minutes, so the two can only be
equal where nothing with a time at or after `as_of_ms` was visible at the request. Sketches of percentiles that met
their values in another order are compared within their rank error.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from batch.arrow import ARROW_TYPES, python_rows
from batch.bounds import BOUNDS, bounded_join, within
from batch.explaining import explain
from batch.tables import read_version, table_path
from batch.training import Progress, source_versions, with_features
from bighead.client.publish import Publisher
from bighead.client.run_log import RunLog
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import ConfigError
from bighead.events.codec import Codec
from bighead.events.log import read_log
from bighead.events.served import chosen, served_features
from bighead.events.topics import MONITORING, PREDICTIONS, RUNS, topic_name
from bighead.events.types import HealthCheck, HealthChecked, MetricComputed, PredictionServed
from bighead.features.catalog import Catalog
from bighead.features.compiled import CompiledJoin, join_of_json
from bighead.features.plan import Status

_NUMBER = "__number"
_AS_OF = "__as_of_ms"
_BROKEN = (Status.ERROR, Status.STALE)
_MOST_NAMED = 10
KIND = "health_check"
METRIC = "feature_differences"
"""The metric, by model and with the feature as segment: the share of served values that are not the recomputed ones."""


@dataclass
class Difference:
    """One served value that is not the recomputed one.

    cause: "late", where it is right without the events that arrived after the request, "wrong" where it is not, ""
    where nobody looked. events: those that arrived after it, as topic/partition/offset.
    """

    prediction_id: str
    model: str
    entity: str
    as_of_ms: int
    at_ms: int
    feature: str
    served: Any
    recomputed: Any
    status: str
    cause: str = ""
    events: tuple[str, ...] = ()


@dataclass
class FeatureVerdict:
    """How often a feature was served, and differed. largest: the largest absolute difference of two numbers."""

    rows: int = 0
    differences: int = 0
    largest: float = 0.0


@dataclass
class Consistency:
    """The verdict on a join, by feature and by model. first: the differing values that were found first."""

    join: str
    rows: int = 0
    features: dict[str, FeatureVerdict] = field(default_factory=dict)
    models: dict[str, dict[str, FeatureVerdict]] = field(default_factory=dict)
    first: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)
    from_ms: int = 0
    to_ms: int = 0

    @property
    def differences(self) -> int:
        """Over all features."""
        return sum(one.differences for one in self.features.values())

    @property
    def healthy(self) -> bool:
        """Whether there was something to compare, and it was all the same."""
        return self.rows > 0 and self.differences == 0

    def compare(self, event: PredictionServed, recomputed: Mapping[str, Any]) -> None:
        """Takes one prediction with the values that it should have been served."""
        self.from_ms = min(self.from_ms, event.as_of_ms) if self.rows else event.as_of_ms
        self.to_ms = max(self.to_ms, event.as_of_ms + 1)
        self.rows += 1
        mine = self.models.setdefault(event.model, {})
        for name, served in served_features(event).items():
            verdicts = [found.setdefault(name, FeatureVerdict()) for found in (self.features, mine)]
            status, right = event.statuses.get(name, Status.OK), recomputed.get(name)
            same = _same(served, right) or within(served, recomputed.get(f"{BOUNDS}{name}"))
            differs = not same or status in _BROKEN
            for verdict in verdicts:
                verdict.rows += 1
                if differs:
                    verdict.differences += 1
                    verdict.largest = max(verdict.largest, _distance(served, right))
            if differs and len(self.first) < _MOST_NAMED:
                self.first.append(_difference(event, name, served, right, status))


@dataclass(frozen=True)
class Question:
    """What is checked: predictions that a join answered, of one model or of all (None), as of [from, to); a share."""

    join: str
    model: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    share: float = 1.0


def run_check(
    spark: SparkSession,
    settings: Settings,
    codec: Codec,
    catalog: Catalog,
    question: Question,
    reason: str,
    progress: Progress,
) -> Consistency:
    """Checks what was served, as a run of its own with the verdict: a check that finds differences has succeeded."""
    spec = {**asdict(question), "asked_ms": wall_clock_ms()}  # asked again it is another run: more was served
    run = RunLog(settings, f"consistency of {question.join}", KIND, spec, reason)
    try:
        with run.running() as outcome:
            with run.step("read") as step:
                served = read_served(settings, codec, **asdict(question))
                step.rows = len(served)
            with run.step("recompute") as step:
                result = check_consistency(spark, settings, catalog, question.join, served, progress)
                step.rows = result.rows
            publish_verdict(settings, result, run.id, wall_clock_ms())
            outcome.rows = result.rows
            outcome.outputs = {
                "predictions": result.rows,
                "features": len(result.features),
                "differences": result.differences,
            }
    finally:
        run.close()
    return result


def _difference(event: PredictionServed, name: str, served: Any, right: Any, status: str) -> Difference:
    return Difference(
        prediction_id=event.prediction_id,
        model=event.model,
        entity=event.entity,
        as_of_ms=event.as_of_ms,
        at_ms=event.at_ms,
        feature=name,
        served=served,
        recomputed=right,
        status=str(status),
    )


def check_consistency(
    spark: SparkSession,
    settings: Settings,
    catalog: Catalog,
    join: str,
    served: Sequence[PredictionServed],
    progress: Progress,
) -> Consistency:
    """Recomputes every prediction's features as of its request, with the epochs of the groups that answered it."""
    result = Consistency(join)
    by_epochs: dict[tuple[tuple[str, int], ...], list[PredictionServed]] = {}
    for event in served:
        by_epochs.setdefault(tuple(sorted(event.feature_epochs.items())), []).append(event)
    for epochs, events in by_epochs.items():
        compiled = _join_at(catalog, join, dict(epochs))
        versions = source_versions(spark, settings.lake, compiled)
        result.sources |= versions
        newest_ms = max(event.as_of_ms for event in events)
        result.notes += _notes(spark, settings.lake, compiled, versions, newest_ms)
        progress(f"{join}: recomputing the features of {len(events)} predictions")
        wider, named = bounded_join(compiled), len(result.first)
        left = spark.createDataFrame(_left(wider, events))
        with with_features(spark, settings.lake, wider, left, _AS_OF, versions) as frame:
            rows = frame.drop(_AS_OF, *(name for name in wider.left_kinds if name not in wider.kinds)).toArrow()
        for row in python_rows(rows.sort_by(_NUMBER)):  # in the order in which the predictions were logged
            result.compare(events[row[_NUMBER]], row)
        for difference in result.first[named:]:
            cause, late = explain(spark, settings, compiled, versions, difference)
            difference.cause, difference.events = cause, late
    return result


def read_served(
    settings: Settings,
    codec: Codec,
    join: str,
    model: str | None,
    from_ms: int | None,
    to_ms: int | None,
    share: float = 1.0,
) -> list[PredictionServed]:
    """The logged predictions that were answered with a join's features, as of [from, to).

    share: how many of them, 0 to 1, chosen by a hash of the prediction's id: the same ones each time.
    """
    events = _served(codec, read_log(settings, topic_name(settings.topic_prefix, PREDICTIONS)))
    return [
        event
        for event in events
        if event.join == join
        and (model is None or event.model == model)
        and (from_ms is None or event.as_of_ms >= from_ms)
        and (to_ms is None or event.as_of_ms < to_ms)
        and chosen(event.prediction_id, share)
    ]


def publish_verdict(settings: Settings, result: Consistency, run_id: str, at_ms: int) -> None:
    """HealthChecked with one check a feature, on the topic of runs; MetricComputed for each model and feature."""
    checks = [HealthCheck(name="rows", passed=result.rows > 0, detail=f"{result.rows} predictions were compared")]
    for name, one in result.features.items():
        detail = f"{one.differences} of {one.rows} differ; largest absolute difference {one.largest!r}"
        checks.append(HealthCheck(name=name, passed=one.differences == 0, detail=detail))
    event = HealthChecked(run_id=run_id, subject=result.join, healthy=result.healthy, checks=tuple(checks), at_ms=at_ms)
    publisher = Publisher(settings, "bighead/batch/consistency")
    publisher.publish(event, key=run_id, topic=topic_name(settings.topic_prefix, RUNS))
    for model, features in result.models.items():
        for name, one in features.items():
            metric = _metric(result, model, name, one, at_ms)
            publisher.publish(metric, key=model, topic=topic_name(settings.topic_prefix, MONITORING))
    publisher.flush()
    publisher.codec.close()


def _metric(result: Consistency, model: str, name: str, one: FeatureVerdict, at_ms: int) -> MetricComputed:
    return MetricComputed(
        model=model,
        version=0,
        segment=name,
        metric=METRIC,
        value=one.differences / one.rows,
        window="all",
        count=one.rows,
        predictions=one.rows,
        coverage=1.0,
        from_ms=result.from_ms,
        to_ms=result.to_ms,
        at_ms=at_ms,
    )


def _served(codec: Codec, messages: Iterable[Any]) -> Iterator[PredictionServed]:
    for message in messages:
        event = codec.decode(message.value)
        if isinstance(event, PredictionServed):
            yield event


def _join_at(catalog: Catalog, name: str, epochs: Mapping[str, int]) -> CompiledJoin:
    """The join over the epochs of groups that answered."""
    newest = catalog.join(name)
    groups = {group.name: catalog.group(group.name).group for group in newest.groups}
    for group, epoch in epochs.items():
        if (group, epoch) not in catalog.groups:
            raise ConfigError(f"predictions were served from epoch {epoch} of group {group!r}, which was never applied")
        groups[group] = catalog.groups[group, epoch].group
    return join_of_json(catalog.joins[name].definition, groups)


def _left(join: CompiledJoin, events: Sequence[PredictionServed]) -> pa.Table:
    entities = [{**event.inputs, **json.loads(event.entity)} for event in events]  # a join may take inputs as well
    columns = {
        name: pa.array([entity.get(name) for entity in entities], ARROW_TYPES[kind])
        for name, kind in join.left_kinds.items()
    }
    columns[_NUMBER] = pa.array(range(len(events)), pa.int64())
    columns[_AS_OF] = pa.array([event.as_of_ms for event in events], pa.int64())
    return pa.table(columns)


def _notes(
    spark: SparkSession, lake: str, join: CompiledJoin, versions: Mapping[str, int], newest_as_of_ms: int
) -> list[str]:
    """Tables that end before the newest request."""
    times = {group.definition.source.table: group.definition.source.time for group in join.groups}
    notes = []
    for table, time in times.items():
        path = table_path(lake, table)
        newest_ms = read_version(spark, path, versions[table]).agg(F.max(time)).collect()[0][0]
        if newest_ms is None or newest_ms < newest_as_of_ms:
            notes.append(
                f"the newest event of table {table} is of {newest_ms}, before the newest request, as of "
                f"{newest_as_of_ms}: right if none came after it, else land its topic and check again"
            )
    return notes


def _same(served: Any, recomputed: Any) -> bool:
    return type(served) is type(recomputed) and bool(served == recomputed)


def _distance(served: Any, recomputed: Any) -> float:
    if isinstance(served, int | float) and isinstance(recomputed, int | float):
        return abs(float(served) - float(recomputed))
    return 0.0

"""Served feature vectors against the same vectors recomputed from the tables, bit for bit.

Knows Spark and the log of predictions. The online head holds the whole current five minutes, so the two can only be
equal where nothing with a time at or after `as_of_ms` was visible at the request.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from batch.arrow import ARROW_TYPES
from batch.tables import read_version, table_path
from batch.training import Progress, source_versions, with_features
from bighead.client.publish import Publisher
from bighead.config import Settings
from bighead.errors import ConfigError
from bighead.events.codec import Codec
from bighead.events.log import read_log
from bighead.events.topics import PREDICTIONS, RUNS, topic_name
from bighead.events.types import HealthCheck, HealthChecked, PredictionServed
from bighead.features.catalog import Catalog
from bighead.features.compiled import CompiledJoin, join_of_json
from bighead.features.plan import Status

_NUMBER = "__number"
_AS_OF = "__as_of_ms"
_BROKEN = (Status.ERROR, Status.STALE)
_MOST_NAMED = 10


@dataclass(frozen=True)
class Difference:
    """One served value that is not the recomputed one."""

    prediction_id: str
    entity: str
    as_of_ms: int
    feature: str
    served: Any
    recomputed: Any
    status: str


@dataclass
class FeatureVerdict:
    """How often a feature was served, and differed. largest: the largest absolute difference of two numbers."""

    rows: int = 0
    differences: int = 0
    largest: float = 0.0


@dataclass
class Consistency:
    """The verdict on a join. first: the differing values that were found first."""

    join: str
    rows: int = 0
    features: dict[str, FeatureVerdict] = field(default_factory=dict)
    first: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)

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
        self.rows += 1
        for name, served in event.features.items():
            verdict = self.features.setdefault(name, FeatureVerdict())
            verdict.rows += 1
            status = event.statuses.get(name, Status.OK)
            right = recomputed.get(name)
            if _same(served, right) and status not in _BROKEN:
                continue
            verdict.differences += 1
            verdict.largest = max(verdict.largest, _distance(served, right))
            if len(self.first) < _MOST_NAMED:
                found = Difference(event.prediction_id, event.entity, event.as_of_ms, name, served, right, str(status))
                self.first.append(found)


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
        left = spark.createDataFrame(_left(compiled, events))
        with with_features(spark, settings.lake, compiled, left, _AS_OF, versions) as frame:
            rows = frame.drop(_AS_OF, *(name for name in compiled.left_kinds if name not in compiled.kinds)).toArrow()
        for row in _rows(rows):
            result.compare(events[row[_NUMBER]], row)
    return result


def read_served(
    settings: Settings, codec: Codec, join: str, model: str | None, from_ms: int | None, to_ms: int | None
) -> list[PredictionServed]:
    """The logged predictions that were answered with a join's features, as of [from, to)."""
    events = _served(codec, read_log(settings, topic_name(settings.topic_prefix, PREDICTIONS)))
    return [
        event
        for event in events
        if event.join == join
        and (model is None or event.model == model)
        and (from_ms is None or event.as_of_ms >= from_ms)
        and (to_ms is None or event.as_of_ms < to_ms)
    ]


def publish_verdict(settings: Settings, result: Consistency, run_id: str, at_ms: int) -> None:
    """HealthChecked with one check a feature, on the topic of runs."""
    checks = [HealthCheck(name="rows", passed=result.rows > 0, detail=f"{result.rows} predictions were compared")]
    for name, one in result.features.items():
        detail = f"{one.differences} of {one.rows} differ; largest absolute difference {one.largest!r}"
        checks.append(HealthCheck(name=name, passed=one.differences == 0, detail=detail))
    event = HealthChecked(run_id=run_id, subject=result.join, healthy=result.healthy, checks=tuple(checks), at_ms=at_ms)
    publisher = Publisher(settings, "bighead/batch/consistency")
    publisher.publish(event, key=run_id, topic=topic_name(settings.topic_prefix, RUNS))
    publisher.flush()
    publisher.codec.close()


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
    entities = [json.loads(event.entity) for event in events]
    columns = {
        name: pa.array([entity.get(name) for entity in entities], ARROW_TYPES[kind])
        for name, kind in join.left_kinds.items()
    }
    columns[_NUMBER] = pa.array(range(len(events)), pa.int64())
    columns[_AS_OF] = pa.array([event.as_of_ms for event in events], pa.int64())
    return pa.table(columns)


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows in the order in which the predictions were logged."""
    yield from table.sort_by(_NUMBER).to_pylist()


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

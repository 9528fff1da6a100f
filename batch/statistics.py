"""Statistics of features, day by day, over the rows of a training set or snapshot, as events.

Knows Spark. Numbers get quantiles, text and truth values their most frequent ones, lists and maps their nulls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.compile.spark import floor_sql, quoted
from bighead.config import Settings
from bighead.events.topics import MONITORING, topic_name
from bighead.events.types import FeatureStatisticsComputed
from bighead.features.types import NUMBERS, ValueType
from bighead.features.windows import DAY_MS

RANKS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
MOST_FREQUENT = 20
_ACCURACY = 10_000  # the rank error of a quantile is at most 1 / 10,000
_DAY = "__day"
_CHUNK = 50


@dataclass(frozen=True)
class Described:
    """A table of features: of which Join or group, and where it is kept."""

    kinds: Mapping[str, ValueType]
    groups: Mapping[str, str]
    join: str
    origin: str
    table: str
    version: int


def statistics_of(rows: DataFrame, time: str, what: Described) -> list[FeatureStatisticsComputed]:
    """One event for each feature and day. `time`: the column with each row's time, milliseconds since the epoch."""
    timed = rows.withColumn(_DAY, F.expr(floor_sql(quoted(time), DAY_MS))).persist()
    try:
        names = list(what.kinds)
        found: list[FeatureStatisticsComputed] = []
        for start in range(0, len(names), _CHUNK):  # a query over hundreds of columns takes Spark long to plan
            found += _some(timed, names[start : start + _CHUNK], what)
        return sorted(found, key=lambda event: (event.from_ms, names.index(event.feature)))
    finally:
        timed.unpersist()


def publish_statistics(settings: Settings, events: Sequence[FeatureStatisticsComputed]) -> None:
    """On the topic of monitoring, keyed by the feature's group or join."""
    publisher = Publisher(settings, "bighead/batch/statistics")
    for event in events:
        publisher.publish(event, key=event.group or event.join, topic=topic_name(settings.topic_prefix, MONITORING))
    publisher.flush()
    publisher.codec.close()


def _some(timed: DataFrame, names: Sequence[str], what: Described) -> list[FeatureStatisticsComputed]:
    aggregates = [F.count("*").alias("count")]
    for index, name in enumerate(names):
        column = F.col(quoted(name))
        aggregates.append(F.count(F.when(column.isNull(), 1)).alias(f"nulls_{index}"))
        if what.kinds[name] in NUMBERS:
            aggregates.append(F.avg(column).alias(f"mean_{index}"))
            quantiles = F.percentile_approx(column.cast("double"), list(RANKS), _ACCURACY)
            aggregates.append(quantiles.alias(f"quantiles_{index}"))
    texts = [name for name in names if what.kinds[name] in (ValueType.STRING, ValueType.BOOLEAN)]
    frequent = {name: _frequent(timed, name) for name in texts}
    at_ms = wall_clock_ms()
    return [
        _event(row, index, name, frequent.get(name, {}).get(row[_DAY], {}), what, at_ms)
        for row in timed.groupBy(_DAY).agg(*aggregates).collect()
        for index, name in enumerate(names)
    ]


def _event(
    row: Row, index: int, name: str, frequent: Mapping[str, int], what: Described, at_ms: int
) -> FeatureStatisticsComputed:
    values: dict[str, Any] = row.asDict()
    quantiles = values.get(f"quantiles_{index}") or ()
    return FeatureStatisticsComputed(
        feature=name,
        kind=str(what.kinds[name]),
        group=what.groups.get(name, ""),
        join=what.join,
        origin=what.origin,
        table=what.table,
        table_version=what.version,
        count=values["count"],
        nulls=values[f"nulls_{index}"],
        null_share=values[f"nulls_{index}"] / values["count"],
        mean=values.get(f"mean_{index}"),
        ranks=RANKS if quantiles else (),
        quantiles=tuple(quantiles),
        frequent=frequent,
        from_ms=values[_DAY],
        to_ms=values[_DAY] + DAY_MS,
        at_ms=at_ms,
    )


def _frequent(timed: DataFrame, name: str) -> dict[int, dict[str, int]]:
    """For each day the most frequent values and how often they occur; ties by the text."""
    counted = timed.where(F.col(quoted(name)).isNotNull()).groupBy(
        _DAY, F.col(quoted(name)).cast("string").alias("value")
    )
    best = F.expr(f"ROW_NUMBER() OVER (PARTITION BY {_DAY} ORDER BY count DESC, value)")
    rows = counted.count().withColumn("place", best).where(F.col("place") <= MOST_FREQUENT).collect()
    found: dict[int, dict[str, int]] = {}
    for row in sorted(rows, key=lambda one: (one[_DAY], one["place"])):
        found.setdefault(row[_DAY], {})[row["value"]] = row["count"]
    return found

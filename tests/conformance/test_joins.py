"""A Join with prefixes, columns of the request and derivations over derivations: Spark's rows equal the reference."""

from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from batch.tables import version_of
from batch.training import with_features
from bighead.compile.spark import OFFSET, PARTITION
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op, Part
from bighead.features.compiled import compile_group, compile_join
from bighead.features.reference import SourceEvent, join_features
from bighead.features.types import ValueType
from bighead.features.windows import HOUR_MS
from tests.conformance.cases import MIDNIGHT_MS

SOURCE = EventSource(topic="flights", table="flights", time="at_ms")
AIRPORT = compile_group(
    GroupBy("airport", SOURCE, ["origin"], [Aggregation("delay", Op.AVERAGE, ["1h"]), Aggregation("delay", Op.LAST)]),
    {"at_ms": ValueType.LONG, "origin": ValueType.STRING, "delay": ValueType.LONG},
)
JOIN = compile_join(
    Join(
        "trip",
        Keys("origin", "dest"),
        [Part("airport", "from"), Part("airport", "to", {"origin": "dest"})],
        {
            "risky": "gap > 10 OR distance_km > 3000",
            "gap": "to_airport_delay_last - from_airport_delay_last",
            "km": "COALESCE(distance_km, -1.0)",
        },
        request={"distance_km": "double"},
    ),
    {"airport": AIRPORT},
)
EVENTS = [(0, "EWR", 5), (10, "SFO", 40), (HOUR_MS, "EWR", 15), (2 * HOUR_MS, "SFO", None)]
ASKED: list[tuple[Any, ...]] = [
    ("EWR", "SFO", 4139.0, 1),
    ("EWR", "SFO", 4139.0, HOUR_MS + 1),
    ("SFO", "EWR", float("nan"), HOUR_MS + 1),
    ("EWR", None, -0.0, 3 * HOUR_MS),
    ("EWR", "EWR", None, 3 * HOUR_MS),
]


def test_rows_of_a_training_set_equal_the_reference(spark: SparkSession, tmp_path: Path) -> None:
    records = [{"at_ms": MIDNIGHT_MS + after, "origin": origin, "delay": delay} for after, origin, delay in EVENTS]
    table = pa.Table.from_pylist(records)
    table = table.append_column(PARTITION, pa.array([0] * len(records), pa.int32()))
    table = table.append_column(OFFSET, pa.array(range(len(records)), pa.int64()))
    spark.createDataFrame(table).write.format("delta").save(str(tmp_path / "flights"))
    names = ["origin", "dest", "distance_km", "asked_ms", "label"]
    rows = [(*asked[:3], MIDNIGHT_MS + asked[3], number) for number, asked in enumerate(ASKED)]
    left = spark.createDataFrame(pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]))
    versions = {"flights": version_of(spark, str(tmp_path / "flights"))}

    with with_features(spark, str(tmp_path), JOIN, left, "asked_ms", versions) as frame:
        assert frame.columns == [*names, *(name for name in JOIN.kinds if name != "distance_km")]
        found = sorted(frame.toArrow().to_pylist(), key=lambda row: row["label"])

    events = {"flights": [SourceEvent(record, 0, offset) for offset, record in enumerate(records)]}
    for row in found:
        assert {name: row[name] for name in JOIN.kinds} == join_features(JOIN, events, row, row["asked_ms"])
    assert [row["risky"] for row in found] == [True, True, None, None, None]

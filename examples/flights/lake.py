"""The demo's batch side: history, tiles, training rows and the check of what was served, in one Spark session.

Uses batch as a library, as a Spark program of a user's own would; each method is a command of `python -m batch` too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import pandas as pd
import pyarrow as pa
from pyarrow.dataset import dataset

from batch.backfill import backfill_all, complete, newest_epochs
from batch.consistency import Consistency, Question, run_check
from batch.land import land
from batch.session import spark_session
from batch.tables import read_version, table_path, write_history
from batch.training import write_training_set
from bighead.client.catalog import read_catalog
from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.pipeline.training_set import TrainingSet
from examples.flights import data
from examples.flights.recipes import TRAINING_TABLE, training_set

REPLAYED_TABLE = "flights/replayed"
STORED_S = 120.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class PointInTime:
    """Flights with their features as of the time at which each is asked about; `origin` says where they lie.

    features: those that a model can take.
    """

    frame: pd.DataFrame
    features: Sequence[str]
    origin: Mapping[str, Any]


class Lake:
    """Delta tables below the platform's lake, and the session that reads and writes them."""

    def __init__(self, settings: Settings, model: str, join: str) -> None:
        self._settings = settings
        self._model = model
        self._join = join
        self._codec = Codec(settings.schema_registry)
        self._spark = spark_session(settings, "flights")

    def close(self) -> None:
        """Ends the session."""
        self._spark.stop()
        self._codec.close()

    def load_history(self, topic: data.Topic, events: pa.Table) -> None:
        """Writes what was known before the replay to the topic's table."""
        write_history(self._spark, table_path(self._settings.lake, topic.table), events, topic.time)

    def backfill(self, cut_ms: int, say: Say) -> int:
        """Publishes the tiles of every group below the cut; how many. They are in the online store on return."""
        groups = newest_epochs(read_catalog(self._settings, self._codec), None)
        done = backfill_all(self._spark, self._settings, groups, cut_ms, say)
        complete(self._settings, done, STORED_S, say)
        return sum(one.tiles for one in done)

    def training_rows(self, flights: pd.DataFrame, say: Say) -> TrainingSet:
        """The flights whose outcome was known before the cut."""
        known = flights[flights.late.notna() & (flights.asked_ms < data.CUT_MS) & (flights.arrived_ms < data.CUT_MS)]
        made = self._point_in_time(known.assign(late=known.late.astype("int64")), TRAINING_TABLE, say)
        return training_set(made.frame, made.features, made.origin, read_catalog(self._settings, self._codec))

    def replayed_rows(self, flights: pd.DataFrame, say: Say) -> PointInTime:
        """The replayed flights, from the tables alone."""
        return self._point_in_time(flights, REPLAYED_TABLE, say)

    def land(self, say: Say) -> int:
        """Appends the replayed week to the tables of its topics; how many events."""
        landed = 0
        for topic in data.TOPICS:
            path = table_path(self._settings.lake, topic.table)
            landed += land(self._spark, self._settings, topic.name, path, [topic.time], say).events
        return landed

    def check(self, say: Say) -> Consistency:
        """Recomputes what was served, as a run with its verdict."""
        catalog = read_catalog(self._settings, self._codec)
        asked = Question(self._join, self._model)
        reason = "is what was served in the demo what Spark computes?"
        return run_check(self._spark, self._settings, self._codec, catalog, asked, reason, say)

    def _point_in_time(self, flights: pd.DataFrame, table: str, say: Say) -> PointInTime:
        join = read_catalog(self._settings, self._codec).join(self._join)
        columns = ["flight_id", *data.KEYS, *data.REQUEST_COLUMNS, "asked_ms", "arrived_ms", "late"]
        left = self._spark.createDataFrame(
            pa.Table.from_pandas(flights[list(dict.fromkeys(columns))], preserve_index=False)
        )
        made = write_training_set(self._spark, self._settings, join, left, "asked_ms", table, say)
        # The files themselves: collecting them through Spark would hold them in its memory once more.
        files = read_version(self._spark, made.table.table, made.table.version).inputFiles()
        frame = dataset([unquote(urlsplit(file).path) for file in files]).to_table().to_pandas()
        origin = {
            "table": made.table.table,
            "version": made.table.version,
            "rows": made.rows,
            "sources": dict(made.sources),
        }
        # A model takes single values: lists and maps are served, logged and compared with the others.
        inputs = tuple(name for name, kind in join.kinds.items() if kind.is_scalar)
        return PointInTime(frame, inputs, origin)

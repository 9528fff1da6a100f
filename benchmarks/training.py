"""Backfill and point-in-time join, beside the range join that a team would write by hand in Spark SQL, and DuckDB.

One key has half of all events. Every side computes the same features from the same table, and their sums must agree.
`python -m benchmarks.training --events 5000000 --queries 200000` is the large run.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import duckdb
import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from batch.backfill import tiles_path
from batch.filling import fill
from batch.session import spark_session
from batch.tables import read_version, source_events, write_history
from batch.training import with_features
from benchmarks.report import Report, Row, as_text, machine
from benchmarks.stack import say
from bighead import config
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.features import Aggregation, EventSource, GroupBy, Join, Op
from bighead.features.catalog import GroupEpoch
from bighead.features.compiled import CompiledGroup, compile_group, compile_join
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS, Window

EVENTS, QUERIES = 300_000, 20_000
WARM_EVENTS, WARM_QUERIES = 2_000, 100
SMALL_EVENTS, SMALL_QUERIES = 100_000, 20_000
LIMIT_S = 120.0
GOAL_SMALL_S = 20.0
GOAL_RANGE_JOIN = 3.0
ACCOUNTS, DAYS, SEED = 1_000, 60, 11
FIRST_MS = 1_700_006_400_000
WINDOWS = ("1h", "1d", "7d")
TABLE, LEFT = "payments", "asked"
COLUMNS = {"at_ms": ValueType.LONG, "account": ValueType.LONG, "amount": ValueType.DOUBLE}


@dataclass(frozen=True)
class Sizes:
    """How much is joined, and how long a peer may take before it is stopped."""

    events: int = EVENTS
    queries: int = QUERIES
    limit_s: float = LIMIT_S

    @property
    def small(self) -> "Sizes":
        """What the process of its own joins: never more than this."""
        return Sizes(min(SMALL_EVENTS, self.events), min(SMALL_QUERIES, self.queries))


def run(sizes: Sizes = Sizes()) -> Report:
    """Measures every side in one session, and the small run in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bighead-benchmark-") as folder:
        settings, home = config.load({"BIGHEAD_HOME": folder}), Path(folder) / "small"
        spark = spark_session(settings, "benchmarks")
        try:
            if sizes.events > WARM_EVENTS:  # else the measurement is no longer than its warm-up
                _warm(spark, Path(folder) / "warm")
            say(f"writing {sizes.events:,} events and {sizes.queries:,} queries")
            write(spark, settings, sizes)
            write(spark, config.load({"BIGHEAD_HOME": str(home)}), sizes.small)
            rows, sums = _measured(spark, settings, sizes)
        finally:
            spark.stop()
        small_s = _small(home)
    return _report(sizes, rows, sums, small_s)


def group() -> CompiledGroup:
    """The features: three operations over three windows."""
    source = EventSource(topic=TABLE, table=TABLE, time="at_ms")
    aggregations = [Aggregation("amount", op, WINDOWS) for op in (Op.COUNT, Op.SUM, Op.MAX)]
    return compile_group(GroupBy("account", source, ["account"], aggregations), COLUMNS)


def tables(sizes: Sizes) -> tuple[pa.Table, pa.Table]:
    """Events over sixty days, and queries of the second half of them, from a seed."""
    random = np.random.default_rng(SEED)

    def keyed(count: int, first_ms: int, amounts: bool) -> dict[str, np.ndarray]:
        hot = random.random(count) < 0.5
        last_ms = FIRST_MS + DAYS * DAY_MS
        columns = {
            "at_ms": np.sort(random.integers(first_ms, last_ms, count)),
            "account": np.where(hot, 0, random.integers(1, ACCOUNTS, count)),
        }
        # Quarters, so that sums are exact in whatever order they are taken.
        return columns | ({"amount": random.integers(1, 4_000, count) / 4.0} if amounts else {})

    queries = keyed(sizes.queries, FIRST_MS + DAYS // 2 * DAY_MS, amounts=False)
    return pa.table(keyed(sizes.events, FIRST_MS, amounts=True)), pa.table(queries)


def write(spark: SparkSession, settings: Settings, sizes: Sizes) -> None:
    """The Delta tables that every side reads."""
    events, queries = tables(sizes)
    write_history(spark, f"{settings.lake}/{TABLE}", events, "at_ms")
    spark.createDataFrame(queries).write.format("delta").save(f"{settings.lake}/{LEFT}")


def training_sums(spark: SparkSession, settings: Settings) -> tuple[float, ...]:
    """The point-in-time join with every feature computed, summed up."""
    one = group()
    join = compile_join(Join("payment", ["account"], ["account"]), {"account": one})
    left = read_version(spark, f"{settings.lake}/{LEFT}", 0)
    with with_features(spark, settings.lake, join, left, "at_ms", {TABLE: 0}) as frame:
        return _summed(frame, [feature.name for feature in one.features])


def _measured(spark: SparkSession, settings: Settings, sizes: Sizes) -> tuple[list[Row], dict[str, tuple[float, ...]]]:
    rows: list[Row] = []
    sums: dict[str, tuple[float, ...]] = {}

    def measure(what: str, work: Callable[[], tuple[float, ...]], stop: Callable[[], object] | None = None) -> None:
        say(f"measuring: {what}")
        started = time.perf_counter()
        with _limit(sizes.limit_s if stop else None, stop) as stopped:
            try:
                sums[what] = work()
            except Exception:  # each engine has its own way to say that it was stopped
                if not stopped.is_set():
                    raise
        seconds = time.perf_counter() - started
        rows.append({"what": what, "seconds": seconds, "events/s": sizes.events / seconds, "ended": int(what in sums)})

    measure(BACKFILL, lambda: _backfill(spark, settings))
    measure(JOIN, lambda: training_sums(spark, settings))
    measure(RANGE_JOIN, lambda: _range_join(spark, settings), spark.sparkContext.cancelAllJobs)
    events, queries = tables(sizes)
    with duckdb.connect(config={"threads": 2}) as duck:
        measure(DUCKDB, lambda: _duckdb(duck, events, queries), duck.interrupt)
    sums.pop(BACKFILL)
    return rows, sums


BACKFILL, JOIN = "bighead: backfill of the days that queries need", "bighead: point-in-time join"
RANGE_JOIN, DUCKDB = "Spark SQL range join", "DuckDB range join, in memory"


def _warm(spark: SparkSession, home: Path) -> None:
    """Every side once on a few rows: what is measured first would pay for Java's compiler otherwise."""
    say("warming up")
    settings = config.load({"BIGHEAD_HOME": str(home)})
    write(spark, settings, Sizes(WARM_EVENTS, WARM_QUERIES))
    _backfill(spark, settings)
    training_sums(spark, settings)
    _range_join(spark, settings)


def _backfill(spark: SparkSession, settings: Settings) -> tuple[float, ...]:
    one = group()
    events, path = source_events(spark, settings.lake, one, 0), tiles_path(settings, GroupEpoch(1, one, None))
    done = fill(spark, one, events, path, FIRST_MS + DAYS * DAY_MS, say)
    return (float(len(done.days)),)


def _range_join(spark: SparkSession, settings: Settings) -> tuple[float, ...]:
    for name in (TABLE, LEFT):
        read_version(spark, f"{settings.lake}/{name}", 0).createOrReplaceTempView(name)
    numbered = f"(SELECT monotonically_increasing_id() AS id, * FROM {LEFT})"
    return _summed(spark.sql(range_join_sql(numbered)), _names())


def _duckdb(duck: duckdb.DuckDBPyConnection, events: pa.Table, queries: pa.Table) -> tuple[float, ...]:
    duck.register(TABLE, events)
    duck.register(LEFT, queries)
    numbered = f"(SELECT ROW_NUMBER() OVER () AS id, * FROM {LEFT})"
    sums = ", ".join(f"SUM({name})" for name in _names())
    found = duck.execute(f"SELECT {sums} FROM ({range_join_sql(numbered)})").fetchone()
    return tuple(float(one) for one in found or ())


def range_join_sql(queries: str) -> str:
    """What a team would write: every event of the longest window joined to every query, then filtered by window."""
    starts = {text: _start(Window.parse(text)) for text in WINDOWS}
    columns = [
        f"{function}(CASE WHEN e.at_ms >= {start} THEN e.amount END) AS account_amount_{function.lower()}_{text}"
        for function in ("COUNT", "SUM", "MAX")
        for text, start in starts.items()
    ]
    return (
        f"SELECT q.id, {', '.join(columns)} FROM {queries} q LEFT JOIN {TABLE} e ON e.account = q.account "
        f"AND e.at_ms < q.at_ms AND e.at_ms >= {starts[WINDOWS[-1]]} GROUP BY q.id"
    )


def _start(window: Window) -> str:
    shifted = f"(q.at_ms - {window.length_ms})"
    return f"({shifted} - {shifted} % {window.hop_ms})"


def _names() -> list[str]:
    return [f"account_amount_{one}_{text}" for one in ("count", "sum", "max") for text in WINDOWS]


def _summed(frame: DataFrame, names: list[str]) -> tuple[float, ...]:
    row = frame.selectExpr(*(f"SUM(`{name}`)" for name in names)).collect()[0]
    return tuple(float(one or 0) for one in row)


@contextmanager
def _limit(seconds: float | None, stop: Callable[[], object] | None) -> Iterator[threading.Event]:
    """Calls `stop` after a time, and says so."""
    stopped = threading.Event()

    def end() -> None:
        stopped.set()
        if stop is not None:
            stop()

    timer = threading.Timer(seconds or 0, end)
    if seconds is not None:
        timer.start()
    try:
        yield stopped
    finally:
        timer.cancel()


def _small(home: Path) -> float:
    """Seconds of a process that starts a session and joins the small tables, which were written before."""
    say("the small run")
    started = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.training", "--small", str(home)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise PlatformError(f"the small run failed: {done.stderr[-500:]}")
    return time.perf_counter() - started


def _report(sizes: Sizes, rows: list[Row], sums: dict[str, tuple[float, ...]], small_s: float) -> Report:
    seconds = {str(row["what"]): float(row["seconds"]) for row in rows}
    ours = seconds[BACKFILL] + seconds[JOIN]
    ended = [name for name in (RANGE_JOIN, DUCKDB) if name in sums]
    wrong = [name for name in ended if sums[name] != sums[JOIN]]
    if wrong:
        raise PlatformError(f"{', '.join(wrong)}: {sums}; expected the same sums")
    small = f"small run: {sizes.small.events:,} events, {sizes.small.queries:,} queries, with session start"
    notes = [f"{name} was stopped after {sizes.limit_s:g} s" for name in (RANGE_JOIN, DUCKDB) if name not in ended] + [
        f"sums of {len(_names())} features agree between bighead and {', '.join(ended) or 'nobody'}"
    ]
    return Report(
        "training",
        f"{sizes.events:,} events, {sizes.queries:,} queries, 3 operations x 3 windows, one key has half of the events",
        [*rows, {"what": small, "seconds": small_s, "events/s": sizes.small.events / small_s, "ended": 1}],
        {
            "range join to bighead (backfill and join)": seconds[RANGE_JOIN] / ours,
            "range join to bighead (join)": seconds[RANGE_JOIN] / seconds[JOIN],
            "DuckDB to bighead (join)": seconds[DUCKDB] / seconds[JOIN],
        },
        {
            f"{GOAL_RANGE_JOIN:g} times the range join, backfill included": seconds[RANGE_JOIN] / ours
            >= GOAL_RANGE_JOIN,
            "not slower than DuckDB": seconds[DUCKDB] >= seconds[JOIN],
            f"the small run in {GOAL_SMALL_S:g} s": small_s < GOAL_SMALL_S,
        },
        notes,
    )


@click.command(name="python -m benchmarks.training")
@click.option("--events", type=click.IntRange(1_000), default=EVENTS, show_default=True)
@click.option("--queries", type=click.IntRange(100), default=QUERIES, show_default=True)
@click.option("--limit", "limit_s", default=LIMIT_S, show_default=True, help="Seconds after which a peer is stopped.")
@click.option("--small", "home", type=click.Path(path_type=Path), hidden=True)
def main(events: int, queries: int, limit_s: float, home: Path | None) -> None:
    """Measure with other sizes than `python -m benchmarks training` does."""
    if home is None:
        click.echo(as_text(run(Sizes(events, queries, limit_s))))
        click.echo("\n" + ", ".join(f"{name} {value}" for name, value in machine().items()))
        return
    settings = config.load({"BIGHEAD_HOME": str(home)})
    spark = spark_session(settings, "benchmarks")
    training_sums(spark, settings)
    spark.stop()


if __name__ == "__main__":
    main()

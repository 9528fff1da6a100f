"""A model for each of 500 segments: over two processes, beside a plain loop over the same fits in one."""

from time import perf_counter

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

from benchmarks.report import Report
from bighead.pipeline import request
from bighead.pipeline.segments import train_segments
from bighead.pipeline.splits import Split, by_time
from bighead.pipeline.training_set import TrainingSet

SEGMENTS, ROWS_EACH, JOBS = 500, 300, 2
COLUMNS = 6
GOAL = 1.7


def run(segments: int = SEGMENTS) -> Report:
    """Each model is fitted, converted and proven; the loop makes the same calls, one after the other."""
    split = made(segments)
    seconds, found = {}, {}
    for jobs in (1, JOBS):
        begun = perf_counter()
        found[jobs] = train_segments(
            split, boosted, levels=("city",), min_rows=ROWS_EACH // 4, metrics=("roc_auc",), seed=7, jobs=jobs
        )
        seconds[jobs] = perf_counter() - begun
    bytes_alike = [one.proven.sha256 for one in found[1].every] == [one.proven.sha256 for one in found[JOBS].every]
    ratio = seconds[1] / seconds[JOBS]
    return Report(
        "segments",
        "",
        [
            {"what": f"{len(found[JOBS].models)} segments over {JOBS} processes", "s": seconds[JOBS]},
            {"what": "the same in a plain loop", "s": seconds[1]},
        ],
        {"a plain loop to two processes": ratio},
        {f"two processes {GOAL:g} times as fast": ratio >= GOAL, "the same bytes": bytes_alike},
        [f"{len(split.train)} training rows of {COLUMNS} columns; the start of the processes is counted"],
    )


def made(segments: int, seed: int = 7) -> Split:
    """Rows of so many cities, in each of which the columns say something else."""
    random = np.random.default_rng(seed)
    count = segments * ROWS_EACH
    city = random.integers(0, segments, count)
    numbers = random.normal(size=(count, COLUMNS))
    weights = random.normal(size=(segments, COLUMNS))
    late = (numbers * weights[city]).sum(axis=1) + random.normal(0, 1, count) > 0
    table = pd.DataFrame(numbers, columns=[f"number_{place}" for place in range(COLUMNS)])
    inputs = tuple(request(str(name)) for name in table.columns)
    table["city"] = np.array([f"city {one}" for one in range(segments)], np.object_)[city]
    table["late"], table["asked_ms"] = late.astype(np.int64), np.arange(count)
    rows = TrainingSet(name="cities", rows=table, inputs=inputs, label="late", time="asked_ms")
    return by_time(rows, round(count * 0.8))


def boosted(seed: int) -> Pipeline:
    """Twenty boosted trees."""
    names = [f"number_{place}" for place in range(COLUMNS)]
    trees = HistGradientBoostingClassifier(max_iter=20, early_stopping=False, random_state=seed)
    return Pipeline([("columns", ColumnTransformer([("numbers", "passthrough", names)])), ("trees", trees)])

"""What checks and lineage add to a fit, on rows like the flights': all three beside the estimator's own fit.

Seconds are the processor's, of one thread: other work on the machine does not count.
"""

from collections.abc import Callable
from time import process_time

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline as Steps
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from benchmarks.report import Report
from bighead.pipeline import Pipeline, Split, TrainingSet, by_time, feature, request
from bighead.pipeline.checks import check, raise_for

ROWS, TEST_ROWS, FEATURES, TEXTS = 100_000, 20_000, 46, ("carrier", "origin", "dest", "tailnum")
TREES, RUNS = 100, 5
EVERY_MS, LASTS_MS = 60_000, 3 * 3_600_000
GOAL = 0.10


def run(rows: int = ROWS) -> Report:
    """The least of some runs of each, in turn."""
    steps, split = model(), made(rows, TEST_ROWS)
    typed, labels = split.train.columns, split.train.labels
    with threadpool_limits(1):
        found = [
            (
                _seconds(lambda: clone(steps).fit(typed, labels)),
                _seconds(lambda: Pipeline(steps).fit(split.train).lineage()),
                _seconds(lambda: raise_for(check(split, steps))),
            )
            for _ in range(RUNS)
        ]
    floor_s, fitted_s, checked_s = (min(times) for times in zip(*found, strict=True))
    ratio = (fitted_s + checked_s) / floor_s
    size = f"{len(split.train):,} x {len(split.train.inputs)}"
    return Report(
        "overhead",
        "",
        [
            {"what": f"Pipeline.fit with lineage, {size}", "s": fitted_s},
            {"what": "the checks before it", "s": checked_s},
            {"what": "the same estimator's own fit", "s": floor_s},
        ],
        {"fit with checks and lineage to bare fit": ratio},
        {f"less than {GOAL:.0%} more than a bare fit": ratio - 1 < GOAL},
        [f"processor seconds of one thread, the least of {RUNS} runs; {TREES} boosted trees over ordinal categories"],
    )


def made(rows: int, test_rows: int, seed: int = 7) -> Split:
    """Flights, one a minute: four texts, the rest averages of which one in ten is missing."""
    count, random = rows + test_rows, np.random.default_rng(seed)
    numbers = random.normal(size=(count, FEATURES))
    late = numbers[:, :6].sum(axis=1) + random.normal(0, 2, count) > 0
    numbers[random.random(numbers.shape) < 0.1] = np.nan
    table = pd.DataFrame(numbers, columns=[f"average_{place}" for place in range(FEATURES)])
    for name, kinds in zip(TEXTS, (16, 3, 100, 4_000), strict=True):
        values = np.array([f"{name} {place}" for place in range(kinds)], np.object_)
        table[name] = values[random.integers(0, kinds, count)]
    asked_ms = np.arange(count) * EVERY_MS
    features = tuple(feature(f"average_{place}") for place in range(FEATURES))
    flights = TrainingSet(
        name="flights",
        rows=table.assign(late=late, asked_ms=asked_ms, landed_ms=asked_ms + LASTS_MS),
        inputs=(*(request(name, "BYTES") for name in TEXTS), *features),
        label="late",
        time="asked_ms",
        known="landed_ms",
        join="flight",
    )
    return by_time(flights, rows * EVERY_MS)


def model() -> Steps:
    """As the demo has it."""
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("categories", encode, list(TEXTS))], remainder="passthrough")
    trees = HistGradientBoostingClassifier(max_iter=TREES, min_samples_leaf=200, early_stopping=False, random_state=7)
    return Steps([("columns", columns), ("trees", trees)])


def _seconds(work: Callable[[], object]) -> float:
    begun = process_time()
    work()
    return process_time() - begun

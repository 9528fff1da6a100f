"""Checks before training on the demo's flights, beside scikit-learn's fit of the demo's kind of model alone."""

from collections.abc import Callable
from time import process_time
from typing import TypeVar

import pandas as pd
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from benchmarks.library.features import model
from benchmarks.library.flight_rows import flights_split
from benchmarks.report import Report
from bighead.pipeline.checks import check
from examples.flights.data import load_flights

FROM_MS = pd.Timestamp("2013-01-01", tz="UTC").value // 1_000_000
WEEKS = 43
TREES, SEED = 100, 7
GOAL = 0.1
T = TypeVar("T")


def run(weeks: int = WEEKS) -> Report:
    """CPU seconds of one thread each: wall time would also count what else runs on the machine."""
    split = flights_split(load_flights(), from_ms=FROM_MS, weeks=weeks)
    estimator = model(split.train).set_params(trees__max_iter=TREES, trees__random_state=SEED)
    with threadpool_limits(1):
        columns, labels = split.train.columns, split.train.labels
        bare_s, _ = _timed(lambda: clone(estimator).fit(columns, labels))
        checks_s, findings = _timed(lambda: check(split, estimator))
    rows = f"{len(split.train):,} x {len(split.train.inputs)}"
    return Report(
        "checks",
        "",
        [
            {"what": f"all checks before training, {rows}", "s": checks_s, "findings": len(findings)},
            {"what": f"scikit-learn's fit of {TREES} trees alone", "s": bare_s},
        ],
        {"checks to the fit alone": checks_s / bare_s},
        {f"checks under {GOAL:.0%} of the fit": checks_s < GOAL * bare_s},
        ["checks and fit are CPU seconds of one thread each"],
    )


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    begun = process_time()
    done = work()
    return process_time() - begun, done

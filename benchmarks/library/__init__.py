"""What the library adds to scikit-learn's own work: reports, checks, conversion, segments. Needs no platform.

Each row is a function of a module of its own, which gives its part of the report; a ratio is ours over the floor, both
measured in the same run.
"""

from collections.abc import Callable, Mapping, Sequence

from benchmarks.library import checks, features, gate, overhead, segments
from benchmarks.report import Report

ROWS: Mapping[str, Callable[[], Report]] = {
    "checks": checks.run,
    "features": features.run,
    "gate": gate.run,
    "overhead": overhead.run,
    "segments": segments.run,
}


def run(only: Sequence[str] = ()) -> Report:
    """The rows that are wanted, all if none is named."""
    parts = [ROWS[name]() for name in only or ROWS]
    return Report(
        "library",
        "the BigHead library beside bare scikit-learn",
        [row for part in parts for row in part.rows],
        {name: ratio for part in parts for name, ratio in part.ratios.items()},
        {name: met for part in parts for name, met in part.goals.items()},
        [note for part in parts for note in part.notes],
    )

"""The model server under h2load: throughput, latency, batches, and what callers notice of work beside their requests.

Each row is a function; all of them run on one platform.
"""

from collections.abc import Callable, Mapping, Sequence

from benchmarks.report import Report
from benchmarks.serving import disturbed, h2load, models, rows
from benchmarks.serving.rows import Found
from benchmarks.serving.world import World, world

SECONDS = 10.0
ROWS: Mapping[str, tuple[Callable[[World, float], Found], Sequence[str]]] = {
    "throughput": (rows.throughput, [models.TENSOR]),
    "latency": (rows.latency, [models.TENSOR, models.COLUMNS, models.FEATURES]),
    "batch": (rows.batch, [models.TENSOR]),
    "observing": (rows.observing, [models.COLUMNS]),
    "swaps": (disturbed.swaps, [models.COLUMNS]),
    "goodput": (disturbed.goodput, [models.TENSOR]),
    "shadow": (disturbed.shadow, [models.COLUMNS]),
}
"""What measures each row, and the models that it needs."""


def run(seconds: float = SECONDS, only: Sequence[str] = ()) -> Report:
    """The rows that are wanted, all if none is named; each server of a row is loaded for `seconds`."""
    h2load.executable()
    wanted = only or list(ROWS)
    with world(list(dict.fromkeys(model for name in wanted for model in ROWS[name][1]))) as found:
        parts = [ROWS[name][0](found, seconds) for name in wanted]
    return Report(
        "serving",
        f"{models.TREES} boosted trees in ONNX, one row a call where nothing else is said; {seconds:g} s each",
        [row for part in parts for row in part.rows],
        {name: ratio for part in parts for name, ratio in part.ratios.items()},
        {name: met for part in parts for name, met in part.goals.items()},
        [
            "h2load and the servers share the machine's cores; latency counts from when a call was sent",
            "h2load sends one body again and again: features are those of one popular entity, read anew each time",
            "each call that came back was found in the server's own count of answers without an error",
        ],
    )

"""The registry with very many events: how long it takes to start, and how long its answers take beside MLflow's own.

Both hold the same models, versions, metrics and tags, on this machine, in the same run.
"""

from benchmarks.registry import ours, peer
from benchmarks.registry.asks import ASKS, PAGES, measured
from benchmarks.registry.content import Size, model_names
from benchmarks.report import Report, Row
from benchmarks.stack import say, stack
from bighead.local.parts import INFRASTRUCTURE

REQUESTS = 200
START_GOAL_S = 10.0
PAGE_GOAL_MS = 200.0


def run(size: Size | None = None, requests: int = REQUESTS, *, mlflow: bool = True) -> Report:
    """Fills both, starts everything, then asks each question `requests` times."""
    size = size or Size()
    names = model_names(size)
    with stack(INFRASTRUCTURE) as platform:
        settings = platform.settings
        ours.fill(settings, size)
        rows, goals = _starts(ours.starts(settings, size))
        with ours.console(settings, size) as address:
            own = measured(address, "ours", names, size, requests)
        other = {}
        if mlflow:
            with peer.running(settings, size) as served:
                rows.append({"what": "start of MLflow's server", "s": served.start_s})
                say("measuring: MLflow")
                other = measured(served.address, "mlflow", names, size, requests)
    rows += [_row(what, own[what], other.get(what, {})) for what in ASKS]
    ratios = {f"{what}: MLflow / ours, p50": other[what]["p50 ms"] / own[what]["p50 ms"] for what in other}
    goals |= {f"{what} faster than MLflow's": ratio > 1 for what, ratio in ratios.items()}
    slowest = max(PAGES, key=lambda what: own[what]["p99 ms"])
    goals[f"each page under {PAGE_GOAL_MS:g} ms, p99 (slowest: {slowest})"] = own[slowest]["p99 ms"] < PAGE_GOAL_MS
    return Report(
        "registry",
        f"{size.events:,} events, {size.models:,} models x {size.versions} versions; {requests} requests each",
        rows,
        ratios,
        goals,
        [
            "a start is measured from the process's first instruction to its readiness, imports included",
            "MLflow's tables are filled at once, not by its API; each version has a run with metrics and parameters",
            "a version of MLflow's is two requests (the version and its run), a comparison is both versions' runs",
            "requests come one after another over one connection; what is not cached is computed for each",
        ],
    )


def _starts(found: dict[str, float]) -> tuple[list[Row], dict[str, bool]]:
    rows: list[Row] = [{"what": f"start of the {what}", "s": seconds} for what, seconds in found.items()]
    kept = {what: seconds for what, seconds in found.items() if what.endswith(ours.KEPT)}
    return rows, {f"start of the {what} under {START_GOAL_S:g} s": s < START_GOAL_S for what, s in kept.items()}


def _row(what: str, own: dict[str, float], other: dict[str, float]) -> Row:
    figures = {f"ours {name}": value for name, value in own.items()}
    return {"what": what} | figures | {f"MLflow {name}": value for name, value in other.items()}

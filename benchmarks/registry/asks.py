"""What is asked of both registries over HTTP, the same questions in each one's own words."""

import time
from collections.abc import Callable, Mapping, Sequence

import httpx

from benchmarks.registry.content import BEGIN_MS, STEP_MS, Size
from benchmarks.registry.peer import run_id
from benchmarks.report import percentiles
from bighead.errors import PlatformError

Paths = Callable[[str, Size], Sequence[str]]
_OURS, _MLFLOW = "/api/v1", "/api/2.0/mlflow"
_WORD = "fraud"
_TIMEOUT_S = 60.0


def _half(size: Size) -> int:
    return BEGIN_MS + size.events // 2 * STEP_MS


# Pages of the console, as people open them, by what the report calls them.
_PAGES: Mapping[str, str] = {
    "home": "/",
    "models": "/models",
    "models, searched": f"/models?q={_WORD}",
    "a model": "/models/{name}",
    "a version": "/models/{name}/versions/{version}",
    "compare": "/models/{name}/compare?a=1&b={version}",
    "features": "/features",
    "audit": "/audit",
    "runs": "/runs",
}


def _page(path: str, *, past: bool) -> Paths:
    def paths(name: str, size: Size) -> list[str]:
        # Half of the log knows half of the versions.
        address = path.format(name=name, version=size.versions // 2)
        return [f"{address}{'&' if '?' in address else '?'}as_of={_half(size)}" if past else address]

    return paths


PAGES: Mapping[str, Paths] = {
    f"page {what}{' as of half of the log' * past}": _page(path, past=past)
    for past in (False, True)
    for what, path in _PAGES.items()
}

# A question to the paths that are asked for it, one after another; a registry without an answer has no entry.
ASKS: Mapping[str, Mapping[str, Paths]] = {
    "list of 50 models": {
        "ours": lambda name, size: [f"{_OURS}/models?limit=50"],
        "mlflow": lambda name, size: [f"{_MLFLOW}/registered-models/search?max_results=50"],
    },
    "search by a part of the name": {
        "ours": lambda name, size: [f"{_OURS}/models?limit=50&q={_WORD}"],
        "mlflow": lambda name, size: [
            f"{_MLFLOW}/registered-models/search?max_results=50&filter=name%20LIKE%20%27%25{_WORD}%25%27"
        ],
    },
    "show a model": {
        "ours": lambda name, size: [f"{_OURS}/models/{name}"],
        "mlflow": lambda name, size: [f"{_MLFLOW}/registered-models/get?name={name}"],
    },
    "its versions": {
        "ours": lambda name, size: [f"{_OURS}/models/{name}/versions?limit=50"],
        "mlflow": lambda name, size: [f"{_MLFLOW}/model-versions/search?max_results=50&filter=name%3D%27{name}%27"],
    },
    "show a version": {
        "ours": lambda name, size: [f"{_OURS}/models/{name}/versions/{size.versions}"],
        "mlflow": lambda name, size: [
            f"{_MLFLOW}/model-versions/get?name={name}&version={size.versions}",
            f"{_MLFLOW}/runs/get?run_id={run_id(name, size.versions)}",
        ],
    },
    "compare two versions": {
        "ours": lambda name, size: [f"{_OURS}/models/{name}/diff?a=1&b={size.versions}"],
        "mlflow": lambda name, size: [
            f"{_MLFLOW}/runs/get?run_id={run_id(name, version)}" for version in (1, size.versions)
        ],
    },
    "list as of half of the log": {"ours": lambda name, size: [f"{_OURS}/models?limit=50&as_of={_half(size)}"]},
    "show as of half of the log": {"ours": lambda name, size: [f"{_OURS}/models/{name}?as_of={_half(size)}"]},
    "who put it there, and why": {"ours": lambda name, size: [f"{_OURS}/models/{name}/blame"]},
    **{what: {"ours": paths} for what, paths in PAGES.items()},
}


def measured(address: str, who: str, names: Sequence[str], size: Size, requests: int) -> dict[str, dict[str, float]]:
    """p50 and p99 of each question that it can be asked, in milliseconds."""
    found = {}
    with httpx.Client(base_url=f"http://{address}", timeout=_TIMEOUT_S) as client:
        for what, paths in ASKS.items():
            if who in paths:
                asked = [paths[who](names[number % len(names)], size) for number in range(requests + 1)]
                _timed(client, asked[0])  # the first one may compile or connect
                all_ms = percentiles([_timed(client, one) for one in asked[1:]])
                found[what] = {name: all_ms[name] for name in ("p50 ms", "p99 ms")}
    return found


def _timed(client: httpx.Client, paths: Sequence[str]) -> float:
    started_s = time.perf_counter()
    for path in paths:
        answer = client.get(path)
        if answer.status_code != 200:
            raise PlatformError(f"{path} was answered with {answer.status_code}: {answer.text[:500]}")
    return (time.perf_counter() - started_s) * 1000

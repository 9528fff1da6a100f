"""What the log says of runs: started, each step, figures, files, finished, and verdicts of health checks.

Whoever reads it finds out alike that the process of a run has died: it has promised a sign of life, and gives none.
Knows no Kafka: it is told of events in the order of their log.
"""

import json
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from heapq import merge
from itertools import count

from bighead.events.base import Event
from bighead.events.types import HealthChecked, RunArtifact, RunBeat, RunFinished, RunMetric, RunStarted, StepFinished
from bighead.times import FIRST_MS, LAST_MS, utc

MOST_RUNS = 2_000
"""How many runs are kept, those that were heard of last."""
MOST_EVENTS = 400
"""How many events of one run are kept, the newest: a run that is asked for again is the same run. As many figures."""
RUNNING, SUCCEEDED, FAILED, CANCELLED = "running", "succeeded", "failed", "cancelled"
BEAT_S = 15
"""How often the process of a run says that it is alive."""
SILENCE_S = 4 * BEAT_S
"""After so long without a word its process is taken to have died; the clocks of machines differ by less."""
_UNPROMISED_S = 24 * 60 * 60
"""The same for a run that promised no sign of life."""
RUN_EVENTS = (RunStarted, RunBeat, RunMetric, RunArtifact, StepFinished, RunFinished, HealthChecked)
RunEvent = RunStarted | RunBeat | RunMetric | RunArtifact | StepFinished | RunFinished | HealthChecked


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a run. finished_ms None: no end was reported. error None: nothing went wrong.

    heard_ms: its last sign of life, also one after the time as of which it is told. doing: the step that it is in.
    """

    started: RunStarted | None
    started_ms: int
    heard_ms: int
    finished_ms: int | None = None
    status: str = RUNNING
    error: str | None = None
    outputs: str = ""
    doing: str = ""
    steps: tuple[StepFinished, ...] = ()
    metrics: tuple[RunMetric, ...] = ()
    artifacts: tuple[RunArtifact, ...] = ()
    end: RunFinished | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A run with its attempts, the oldest first, and the health checks that it reported."""

    run_id: str
    attempts: tuple[Attempt, ...]
    checks: tuple[HealthChecked, ...]

    @property
    def newest(self) -> Attempt | None:
        """The last attempt; None where only a health check spoke."""
        return self.attempts[-1] if self.attempts else None

    @property
    def started(self) -> RunStarted | None:
        """What was asked for; None where the log of it is gone."""
        return next((one.started for one in reversed(self.attempts) if one.started), None)

    @property
    def status(self) -> str:
        """That of the last attempt, or of the checks."""
        if self.newest is not None:
            return self.newest.status
        return SUCCEEDED if all(check.healthy for check in self.checks) else FAILED

    @property
    def at_ms(self) -> int:
        """When it began last."""
        return self.newest.started_ms if self.newest is not None else self.checks[-1].at_ms


@dataclass
class _Heard:
    """What is kept of a run, numbered in the order of the log; many figures push out no other event."""

    told: deque[tuple[int, RunEvent]] = field(default_factory=lambda: deque(maxlen=MOST_EVENTS))
    figures: deque[tuple[int, RunEvent]] = field(default_factory=lambda: deque(maxlen=MOST_EVENTS))

    def take(self, number: int, event: RunEvent) -> None:
        """Of several signs of life in a row the last says it all."""
        kept = self.figures if isinstance(event, RunMetric) else self.told
        if isinstance(event, RunBeat) and kept and isinstance(kept[-1][1], RunBeat):
            kept.pop()
        kept.append((number, event))

    @property
    def events(self) -> Iterator[RunEvent]:
        """In the order of the log."""
        return (event for _, event in merge(list(self.told), list(self.figures), key=lambda pair: pair[0]))


class RunState:
    """Folds the events of runs. `count` is the number of runs ever heard of, those included that are not kept."""

    def __init__(self) -> None:
        self.count = 0
        self._numbers = count()
        self._runs: OrderedDict[str, _Heard] = OrderedDict()
        self._models: dict[str, str] = {}

    def apply(self, event: Event) -> None:
        """Folds one event in; events of other things change nothing."""
        if not isinstance(event, RUN_EVENTS):
            return
        known = self._runs.pop(event.run_id, None)
        if known is None:
            known = _Heard()
            self.count += 1
        known.take(next(self._numbers), event)
        self._runs[event.run_id] = known
        if isinstance(event, RunStarted):
            self._models[event.run_id] = _model_of(event)
        if len(self._runs) > MOST_RUNS:
            gone, _ = self._runs.popitem(last=False)
            self._models.pop(gone, None)

    def runs(self, as_of_ms: int | None, now_ms: int) -> list[Run]:
        """The runs that had begun by a time, the newest first. None: now."""
        return _newest_first(self._runs.items(), as_of_ms, now_ms)

    def runs_of(self, model: str, as_of_ms: int | None, now_ms: int) -> list[Run]:
        """Those among them whose specification names the model: its trainings, and looks back on its versions."""
        heard = ((run_id, told) for run_id, told in list(self._runs.items()) if self._models.get(run_id) == model)
        return _newest_first(heard, as_of_ms, now_ms)

    def run(self, run_id: str, as_of_ms: int | None, now_ms: int) -> Run | None:
        """One run as of a time; None where nothing was heard of it."""
        heard = self._runs.get(run_id)
        return None if heard is None else _run(run_id, heard.events, as_of_ms, now_ms)


def settled(attempt: Attempt, at_ms: int) -> Attempt:
    """The same, failed where its end was not reported and there was no sign of life for longer than it promised."""
    promised_s = (attempt.started.silence_s if attempt.started else 0) or _UNPROMISED_S
    if attempt.status != RUNNING or at_ms - attempt.heard_ms <= promised_s * 1000:
        return attempt
    begun = attempt.started
    where = f" from {begun.host}:{begun.pid}" if begun and begun.host else ""
    since = utc(min(max(attempt.heard_ms, FIRST_MS), LAST_MS))
    said = f"no sign of life{where} since {since}: its process has died; ask for the run again"
    return replace(attempt, status=FAILED, finished_ms=attempt.heard_ms, error=said)


def _newest_first(heard: Iterable[tuple[str, _Heard]], as_of_ms: int | None, now_ms: int) -> list[Run]:
    found = [_run(run_id, told.events, as_of_ms, now_ms) for run_id, told in list(heard)]
    return sorted((run for run in found if run is not None), key=lambda run: run.at_ms, reverse=True)


def _model_of(started: RunStarted) -> str:
    """The model that a run's specification names; empty where it names none."""
    try:
        spec = json.loads(started.spec)
    except (ValueError, RecursionError):
        return ""
    named = spec.get("model") if isinstance(spec, dict) else None
    return named if isinstance(named, str) else ""


def _run(run_id: str, events: Iterable[RunEvent], as_of_ms: int | None, now_ms: int) -> Run | None:
    attempts: list[Attempt] = []
    checks: list[HealthChecked] = []
    later = False
    for event in events:
        if as_of_ms is not None and event.at_ms > as_of_ms:
            later = later or isinstance(event, RunStarted)
            if attempts and not later:
                attempts[-1] = _heard(attempts[-1], event.at_ms)
        elif isinstance(event, HealthChecked):
            checks.append(event)
        else:
            _attempted(attempts, event)
    if not attempts and not checks:
        return None
    at_ms = now_ms if as_of_ms is None else as_of_ms
    tried = (*map(_superseded, attempts[:-1]), *(settled(one, at_ms) for one in attempts[-1:]))
    return Run(run_id, tried, tuple(checks))


def _attempted(attempts: list[Attempt], event: RunEvent) -> None:
    if isinstance(event, RunStarted):
        attempts.append(Attempt(event, event.at_ms, event.at_ms))
        return
    if not attempts:
        began_ms = event.started_ms if isinstance(event, StepFinished | RunFinished) else event.at_ms
        attempts.append(Attempt(None, began_ms, began_ms))
    attempts[-1] = _told(_heard(attempts[-1], event.at_ms), event)


def _told(attempt: Attempt, event: RunEvent) -> Attempt:
    match event:
        case RunBeat():
            return replace(attempt, doing=event.step)
        case RunMetric():
            return replace(attempt, metrics=(*attempt.metrics, event))
        case RunArtifact():
            return replace(attempt, artifacts=(*attempt.artifacts, event))
        case StepFinished():
            return replace(attempt, steps=(*attempt.steps, event), doing="")
        case RunFinished():
            return replace(
                attempt, finished_ms=event.at_ms, status=event.status, error=event.error, outputs=event.outputs,
                doing="", end=event,
            )  # fmt: skip
    return attempt


def _heard(attempt: Attempt, at_ms: int) -> Attempt:
    return replace(attempt, heard_ms=max(attempt.heard_ms, at_ms))


def _superseded(attempt: Attempt) -> Attempt:
    """An attempt after which the run was begun again: who had not said its end by then never does."""
    if attempt.status != RUNNING:
        return attempt
    said = "its end was not reported before the run was begun again: its process had died"
    return replace(attempt, status=FAILED, finished_ms=attempt.heard_ms, error=said)

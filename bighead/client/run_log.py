"""What became of a run, as events: started, each step, figures, files, finished, and that its process is alive.

A run that is asked for again has the same identity, so the log says what of it is done.
"""

import hashlib
import json
import logging
import re
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version as package_version
from os import getpid
from typing import Any

from bighead.artifacts import Artifact
from bighead.client.resources import metered
from bighead.client.run_sinks import RunSink, TopicSink
from bighead.client.run_state import BEAT_S, CANCELLED, FAILED, SILENCE_S, SUCCEEDED
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import BigheadError
from bighead.events.base import Event
from bighead.events.types import RunArtifact, RunBeat, RunFinished, RunMetric, RunStarted, StepFinished

_log = logging.getLogger(__name__)
_OURS = re.compile(r"bighead(\.\w+)+\.(?=\w+: )")
"""What stands before the name of an error of ours in a traceback."""
_REASON_CHARACTERS = 4000
_TRACEBACK_CHARACTERS = 20_000


@dataclass
class Outcome:
    """What a step, or all of a run, has produced so far."""

    rows: int = 0
    outputs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Past:
    """What the log says of earlier attempts at a run."""

    steps: Mapping[str, int] = field(default_factory=dict)
    """The rows of each step that succeeded."""
    finished: bool = False


@dataclass(frozen=True)
class _End:
    """How a step or a run ended."""

    status: str
    outcome: Outcome
    started_ms: int
    resources: Mapping[str, float]
    error: BaseException | None

    def of(self, run_id: str) -> dict[str, Any]:
        """What StepFinished and RunFinished have in common."""
        return {
            "run_id": run_id,
            "status": self.status,
            "started_ms": self.started_ms,
            "outputs": canonical(self.outcome.outputs) if self.outcome.outputs else "",
            "error": None if self.error is None else reason_of(self.error),
            "resources": self.resources,
            "traceback": "" if self.error is None else _trace_of(self.error),
            "at_ms": wall_clock_ms(),
        }


class RunLog:
    """One run, named by its specification: whoever asks for the same again means the same run.

    sink: where it is told; None: the platform's topic of runs. code_version: of what is run, bighead's own by default.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        kind: str,
        spec: Mapping[str, Any],
        reason: str,
        *,
        sink: RunSink | None = None,
        code_version: str = "",
        environment: str = "",
    ) -> None:
        self._name = name
        self._kind = kind
        self._reason = reason
        self._actor = settings.actor
        self._code_version = code_version or package_version("bighead")
        self._environment = environment
        self._spec = canonical(spec)
        self._hash = hashlib.sha256(self._spec.encode()).hexdigest()
        self._sink: RunSink = TopicSink(settings, f"bighead/runs/{kind}") if sink is None else sink
        self._step = ""

    @property
    def id(self) -> str:
        """The identity of the run."""
        return self._hash[:32]

    def past(self) -> Past:
        """Earlier attempts at it."""
        steps: dict[str, int] = {}
        finished = False
        for event in self._sink.events(self.id):
            if isinstance(event, StepFinished) and event.status == SUCCEEDED:
                steps[event.step] = event.rows
            finished = finished or (isinstance(event, RunFinished) and event.status == SUCCEEDED)
        return Past(steps, finished)

    @contextmanager
    def running(self) -> Iterator[Outcome]:
        """RunStarted, a sign of life now and then, and RunFinished with what was produced, or with the error."""
        started_ms = wall_clock_ms()
        self._sink.say(
            RunStarted(
                run_id=self.id,
                name=self._name,
                kind=self._kind,
                spec=self._spec,
                spec_hash=self._hash,
                code_version=self._code_version,
                environment=self._environment,
                actor=self._actor,
                reason=self._reason,
                host=socket.gethostname(),
                pid=getpid(),
                silence_s=SILENCE_S,
                at_ms=started_ms,
            ),
            self.id,
        )
        with self._ending(started_ms, lambda end: RunFinished(**end.of(self.id))) as outcome, self._beating():
            yield outcome

    @contextmanager
    def step(self, name: str) -> Iterator[Outcome]:
        """StepFinished with what it wrote and took, or with the error."""
        self._step = name
        started_ms = wall_clock_ms()

        def finished(end: _End) -> Event:
            return StepFinished(step=name, rows=end.outcome.rows, **end.of(self.id))

        try:
            with self._ending(started_ms, finished) as outcome:
                yield outcome
        finally:
            self._step = ""

    def metric(self, name: str, value: float, trial: int | None = None) -> None:
        """A figure that was measured."""
        event = RunMetric(run_id=self.id, step=self._step, name=name, value=value, trial=trial, at_ms=wall_clock_ms())
        self._sink.say(event, self.id)

    def artifact(self, name: str, stored: Artifact) -> None:
        """A file that was stored."""
        event = RunArtifact(
            run_id=self.id,
            step=self._step,
            name=name,
            uri=stored.uri,
            sha256=stored.sha256,
            size=stored.size,
            at_ms=wall_clock_ms(),
        )
        self._sink.say(event, self.id)

    def close(self) -> None:
        """Closes the connection to the log."""
        self._sink.close()

    @contextmanager
    def _ending(self, started_ms: int, event_of: Callable[[_End], Event]) -> Iterator[Outcome]:
        outcome = Outcome()
        with metered() as meter:
            try:
                yield outcome
            except BaseException as error:
                status = FAILED if isinstance(error, Exception) else CANCELLED
                try:
                    self._sink.say(event_of(_End(status, outcome, started_ms, meter.taken(), error)), self.id)
                except BigheadError as unsaid:  # what went wrong first is what matters
                    _log.warning("that the run %s %s was not reported: %s", self.id, status, unsaid)
                raise
            self._sink.say(event_of(_End(SUCCEEDED, outcome, started_ms, meter.taken(), None)), self.id)

    @contextmanager
    def _beating(self) -> Iterator[None]:
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT_S):
                try:
                    self._sink.say(RunBeat(run_id=self.id, step=self._step, at_ms=wall_clock_ms()), self.id)
                except BigheadError as unsaid:  # the next one may get through
                    _log.warning("that the run %s is alive was not reported: %s", self.id, unsaid)

        beating = threading.Thread(target=beat, name="bighead-run-beat", daemon=True)
        beating.start()
        try:
            yield
        finally:
            over.set()
            beating.join()


def reason_of(error: BaseException) -> str:
    """What went wrong, from an error that may carry the traces of a worker and of Java: what is ours, else its head."""
    text = str(error)
    ours = [line for line in text.splitlines() if _OURS.match(line)]
    return _OURS.sub("", ours[-1], count=1) if ours else f"{type(error).__name__}: {text[:_REASON_CHARACTERS]}"


def canonical(value: Mapping[str, Any]) -> str:
    """JSON, the same text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _trace_of(error: BaseException) -> str:
    """The end of it, where it is long: what was called last is there."""
    return "".join(traceback.format_exception(error))[-_TRACEBACK_CHARACTERS:]

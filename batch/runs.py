"""What became of a run, as events on the topic of runs: started, each step, finished.

A run that is asked for again has the same identity, so the log says what of it is done. Knows Kafka.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version as package_version
from typing import Any

from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import BigheadError
from bighead.events.base import Event
from bighead.events.log import read_log
from bighead.events.topics import RUNS, topic_name
from bighead.events.types import RunFinished, RunStarted, StepFinished

_log = logging.getLogger(__name__)
_OURS = re.compile(r"bighead(\.\w+)+\.(?=\w+: )")
"""What stands before the name of an error of ours in a traceback."""
_REASON_CHARACTERS = 4000
_SUCCEEDED, _FAILED, _CANCELLED = "succeeded", "failed", "cancelled"


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


class RunLog:
    """One run, named by its specification: whoever asks for the same again means the same run."""

    def __init__(self, settings: Settings, name: str, kind: str, spec: Mapping[str, Any], reason: str) -> None:
        self._settings = settings
        self._name = name
        self._kind = kind
        self._reason = reason
        self._spec = canonical(spec)
        self._hash = hashlib.sha256(self._spec.encode()).hexdigest()
        self._topic = topic_name(settings.topic_prefix, RUNS)
        self._publisher = Publisher(settings, f"bighead/batch/{kind}")

    @property
    def id(self) -> str:
        """The identity of the run."""
        return self._hash[:32]

    def past(self) -> Past:
        """Earlier attempts at it."""
        steps: dict[str, int] = {}
        finished = False
        ours = (one for one in read_log(self._settings, self._topic) if one.key == self.id.encode())
        for _, event in self._publisher.codec.decoded(ours):
            if isinstance(event, StepFinished) and event.status == _SUCCEEDED:
                steps[event.step] = event.rows
            finished = finished or (isinstance(event, RunFinished) and event.status == _SUCCEEDED)
        return Past(steps, finished)

    @contextmanager
    def running(self) -> Iterator[Outcome]:
        """RunStarted, and RunFinished with what was produced, or with the error."""
        started_ms, outcome = wall_clock_ms(), Outcome()
        self._say(
            RunStarted(
                run_id=self.id,
                name=self._name,
                kind=self._kind,
                spec=self._spec,
                spec_hash=self._hash,
                code_version=package_version("bighead"),
                actor=self._settings.actor,
                reason=self._reason,
                at_ms=started_ms,
            )
        )
        with self._ending(lambda status, error: self._finished(started_ms, status, outcome, error)):
            yield outcome

    @contextmanager
    def step(self, name: str) -> Iterator[Outcome]:
        """StepFinished with what it wrote, or with the error."""
        started_ms, outcome = wall_clock_ms(), Outcome()
        with self._ending(lambda status, error: self._step_finished(name, started_ms, status, outcome, error)):
            yield outcome

    def close(self) -> None:
        """Closes the connection to the schema registry."""
        self._publisher.codec.close()

    @contextmanager
    def _ending(self, event_of: Any) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            status = _FAILED if isinstance(error, Exception) else _CANCELLED
            try:
                self._say(event_of(status, reason_of(error)))
            except BigheadError as unsaid:  # what went wrong first is what matters
                _log.warning("that the run %s %s was not reported: %s", self.id, status, unsaid)
            raise
        self._say(event_of(_SUCCEEDED, None))

    def _finished(self, started_ms: int, status: str, outcome: Outcome, error: str | None) -> RunFinished:
        return RunFinished(
            run_id=self.id,
            status=status,
            started_ms=started_ms,
            outputs=canonical(outcome.outputs) if outcome.outputs else "",
            error=error,
            at_ms=wall_clock_ms(),
        )

    def _step_finished(
        self, step: str, started_ms: int, status: str, outcome: Outcome, error: str | None
    ) -> StepFinished:
        return StepFinished(
            run_id=self.id,
            step=step,
            status=status,
            started_ms=started_ms,
            rows=outcome.rows,
            outputs=canonical(outcome.outputs) if outcome.outputs else "",
            error=error,
            at_ms=wall_clock_ms(),
        )

    def _say(self, event: Event) -> None:
        self._publisher.publish(event, key=self.id, topic=self._topic)
        self._publisher.flush()


def reason_of(error: BaseException) -> str:
    """What went wrong, from an error that may carry the traces of a worker and of Java: what is ours, else its head."""
    text = str(error)
    ours = [line for line in text.splitlines() if _OURS.match(line)]
    return _OURS.sub("", ours[-1], count=1) if ours else f"{type(error).__name__}: {text[:_REASON_CHARACTERS]}"


def canonical(value: Mapping[str, Any]) -> str:
    """JSON, the same text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

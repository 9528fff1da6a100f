"""Makes the model of a run again, in a process of its own, and compares the bytes; of other bytes it names the cause.

The specification is run as its run has kept it, over the rows that it read, with the code and packages of now.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bighead import artifacts, config
from bighead.client.run_sinks import RunSink, read_run
from bighead.config import Settings
from bighead.errors import ArtifactError, ConfigError, ModelError
from bighead.events.types import RunArtifact
from bighead.registry.segments import ALL_ROWS
from bighead.training.fingerprint import EVIDENCE, ROWS, Cause, Evidence, Hashes, causes

CHANCE = Cause(
    "chance",
    "not deterministic: the same inputs gave other bytes; give every step a seed (`bighead train` names what draws "
    "without one), and fit on one thread (threads=1): several add up in another order each time",
)


@dataclass(frozen=True)
class Reproduced:
    """The bytes of then and now. differs: what is not as it was; of identical bytes it changed nothing in them.

    segments: of a partitioned model those whose models have other bytes, or are only then or now.
    """

    run_id: str
    then: str
    now: str
    differs: tuple[Cause, ...]
    segments: tuple[str, ...] = ()

    @property
    def identical(self) -> bool:
        """Whether the same bytes were made."""
        return self.then == self.now

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Of other bytes what can be the cause: whatever differs, or else chance."""
        return () if self.identical else self.differs or (CHANCE,)


def reproduce(settings: Settings, sink: RunSink, run_id: str, source: Path | None = None) -> Reproduced:
    """Makes the model of a run again. source: another specification instead of the one that was kept.

    Raises ConfigError where the run has not made a model, ModelError where it cannot be made now.
    """
    kept, rows = _kept(settings, sink, run_id)
    run = read_run(sink, run_id)
    begun = run.started if run else None
    if begun is None:
        raise ConfigError(f"the log no longer has the specification of run {run_id}")
    spec = json.loads(begun.spec)
    request = {
        "source": spec["source"] if source is None else source.read_text(encoding="utf-8"),
        "name": spec["file"] if source is None else source.name,
        "folder": kept.folder if source is None else str(source.parent.absolute()),
        "pinned": kept.read,
    }
    made, rows_now = _made_again(settings, request)
    others = tuple(
        segment or ALL_ROWS
        for segment in sorted({*kept.segments, *made.segments})
        if kept.segments.get(segment) != made.segments.get(segment)
    )
    return Reproduced(run_id, kept.artifact, made.artifact, causes(kept, made, rows, rows_now), others)


def _kept(settings: Settings, sink: RunSink, run_id: str) -> tuple[Evidence, Hashes | None]:
    stored = {event.name: event for event in sink.events(run_id) if isinstance(event, RunArtifact)}
    if EVIDENCE not in stored:
        raise ConfigError(f"run {run_id} has made no model; `bighead runs show {run_id[:12]}` says what became of it")
    found = Evidence(**json.loads(_read(settings, stored[EVIDENCE])))
    try:
        return found, np.frombuffer(_read(settings, stored[ROWS]), "<u8")
    except (ArtifactError, KeyError):  # then rows are not counted
        return found, None


def _read(settings: Settings, stored: RunArtifact) -> bytes:
    return artifacts.read(settings.artifacts, stored.sha256, stored.size)


def _made_again(settings: Settings, request: Mapping[str, Any]) -> tuple[Evidence, Hashes]:
    with tempfile.TemporaryDirectory(prefix="bighead-reproduce-") as folder:
        command = [sys.executable, "-m", "bighead.training.again", folder]
        environment = config.inherited_environment() | config.variables(settings)
        done = subprocess.run(
            command, input=json.dumps(request), env=environment, stderr=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise ModelError(f"the model cannot be made again: {said[0]}")
        found = Evidence(**json.loads((Path(folder) / EVIDENCE).read_text()))
        return found, np.fromfile(Path(folder) / ROWS, "<u8")

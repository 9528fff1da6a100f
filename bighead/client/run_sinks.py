"""Where a run says what becomes of it, and where that is read again: the topic of runs, or a file without a platform.

A file has the same events, one as JSON on each line. Knows Kafka.
"""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from bighead.client.publish import Publisher
from bighead.client.run_state import Run, RunState
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import ConfigError
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.log import read_log
from bighead.events.topics import RUNS, topic_name
from bighead.events.types import EVENT_TYPES


class RunSink(Protocol):
    """The log of runs, to write to and to read. Several threads may write."""

    def say(self, event: Event, run_id: str) -> None:
        """Adds an event; it is stored on return."""

    def events(self, run_id: str | None = None) -> Iterator[Event]:
        """What was said of one run, or (None) of all of them, to the end as of the call."""

    def close(self) -> None:
        """Closes connections."""


class TopicSink:
    """The platform's topic of runs. `source` names who speaks."""

    def __init__(self, settings: Settings, source: str) -> None:
        self._settings = settings
        self._source = source
        self._topic = topic_name(settings.topic_prefix, RUNS)
        self._codec = Codec(settings.schema_registry)
        self._publisher: Publisher | None = None
        self._lock = threading.Lock()

    def say(self, event: Event, run_id: str) -> None:
        """Adds an event; it is stored on return."""
        with self._lock:
            if self._publisher is None:
                self._publisher = Publisher(self._settings, self._source, codec=self._codec)
            self._publisher.publish(event, key=run_id, topic=self._topic)
            self._publisher.flush()

    def events(self, run_id: str | None = None) -> Iterator[Event]:
        """What was said of one run, or (None) of all of them, to the end as of the call."""
        log = read_log(self._settings, self._topic)
        ours = log if run_id is None else (one for one in log if one.key == run_id.encode())
        return (event for _, event in self._codec.decoded(ours))

    def close(self) -> None:
        """Closes the connection to the schema registry."""
        self._codec.close()


class FileSink:
    """A file of this machine, for runs without a platform."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def say(self, event: Event, run_id: str) -> None:
        """Adds an event; it is stored on return. Lines are written at once, so several processes may write."""
        line = json.dumps({"type": event.FULL_NAME, "event": event.to_record()}, ensure_ascii=False)
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def events(self, run_id: str | None = None) -> Iterator[Event]:
        """What was said of one run, or (None) of all of them; a line that a killed process left half is skipped."""
        if not self._path.exists():
            return
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if run_id is None or said["event"]["run_id"] == run_id:
                yield EVENT_TYPES[said["type"]].from_record(said["event"])

    def close(self) -> None:
        """Nothing is open."""


def local_sink(settings: Settings) -> FileSink:
    """The file of the runs that were made without a platform, in the settings' home."""
    return FileSink(settings.home / "runs" / "events.jsonl")


def run_sink(settings: Settings, source: str, *, local: bool) -> RunSink:
    """The topic of runs, or (local) the file of this machine."""
    return local_sink(settings) if local else TopicSink(settings, source)


def read_runs(sink: RunSink) -> RunState:
    """What is known of all runs."""
    state = RunState()
    for event in sink.events():
        state.apply(event)
    return state


def read_run(sink: RunSink, run_id: str) -> Run | None:
    """What is known of one run, now; None where nothing was heard of it."""
    state = RunState()
    for event in sink.events(run_id):
        state.apply(event)
    return state.run(run_id, None, wall_clock_ms())


def full_run_id(sink: RunSink, begins: str) -> str:
    """The one run whose identity begins so; raises ConfigError where there is none, or several."""
    found = sorted(
        {run_id for event in sink.events() if (run_id := str(getattr(event, "run_id", ""))).startswith(begins)}
    )
    if len(found) != 1 or not begins:
        there = f"there are {', '.join(one[:12] for one in found[:5])}" if found else "`bighead runs list` lists them"
        raise ConfigError(f"{begins!r} is the beginning of {len(found)} runs; expected one: {there}")
    return found[0]

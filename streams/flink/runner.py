"""Keeps a Flink cluster at what the feature catalog says: one job for the groups that were applied together to a topic.

What was submitted lies in a folder, one file a job, so that a runner that starts again knows it. A job that the cluster
lost is submitted again from its newest checkpoint, or from the topic's beginning, which gives the same tiles.
"""

import hashlib
import json
import logging
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bighead.client.catalog import CatalogFollower
from bighead.config import Settings
from bighead.errors import BigheadError
from bighead.events.codec import Codec
from bighead.features.catalog import FLINK, Catalog, GroupEpoch
from bighead.features.types import ValueType
from streams.flink.cluster import Cluster, Job
from streams.flink.job import describe, profile
from streams.flink.names import Place, job_name, places_of

_PAUSE_S = 0.5
_log = logging.getLogger(__name__)


class Runner:
    """Follows the catalog until it is stopped. `states`: what the cluster says of each job."""

    def __init__(self, settings: Settings, codec: Codec, cluster: Cluster, program: Path) -> None:
        self._settings = settings
        self._codec = codec
        self._cluster = cluster
        self._program = program
        self._profile = profile(settings.flink_profile)
        self._folder = settings.home / "flink" / "jobs"
        self._catalog = CatalogFollower(settings, codec)
        self._stopped = threading.Event()
        self.states: dict[str, str] = {}

    def stop(self) -> None:
        """Makes `run` return; jobs go on."""
        self._stopped.set()

    def run(self) -> None:
        """Compares the cluster with the catalog, again and again."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._catalog.start()
        try:
            while not self._stopped.is_set():
                try:
                    self.step(self._catalog.current())
                except BigheadError as error:
                    _log.warning("tried again: %s", error)
                self._stopped.wait(_PAUSE_S)
        finally:
            self._catalog.stop()

    def step(self, catalog: Catalog) -> None:
        """Describes jobs for groups that are new, submits what the cluster does not run, cancels what was retired."""
        wanted = {place: one for place, one in catalog.groups.items() if one.engine == FLINK and not one.retired}
        described = self._described()
        known = {place for name in described for place in places_of(self._settings.topic_prefix, name)}
        for epochs in together([one for place, one in wanted.items() if place not in known]):
            description = self._describe(epochs, catalog)
            described[description["name"]] = description
        running = {job.name: job for job in self._cluster.jobs() if job.live}
        self.states = {name: running[name].state.lower() if name in running else "lost" for name in described}
        for name, description in described.items():
            if not any(place in wanted for place in places_of(self._settings.topic_prefix, name)):
                self._end(name, running.get(name))
            elif name not in running:
                self._submit(name, description)

    def _described(self) -> dict[str, dict[str, Any]]:
        found = (json.loads(file.read_text()) for file in sorted(self._folder.glob("*.json")))
        return {one["name"]: one for one in found}

    def _describe(self, epochs: Sequence[GroupEpoch], catalog: Catalog) -> dict[str, Any]:
        topic = epochs[0].group.definition.source.topic
        name = job_name(self._settings.topic_prefix, topic, (_place(one) for one in epochs))
        description = describe(
            self._settings,
            self._codec,
            epochs,
            self._profile,
            consumers=name,
            checkpoints=self._checkpoints(name).as_uri(),
            one_time=_one_time(catalog, topic),
        )
        file = self._file(name)
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(description))
        draft.replace(file)
        return description

    def _submit(self, name: str, description: Mapping[str, Any]) -> None:
        self._cluster.wait_for_slots(_PAUSE_S)
        checkpoint = newest_checkpoint(self._checkpoints(name))
        job = self._cluster.submit(self._program, description, checkpoint)
        _log.info("%s runs as %s, from %s", name, job, checkpoint or "the beginning")

    def _end(self, name: str, job: Job | None) -> None:
        if job is not None:
            self._cluster.cancel(job)
        self._file(name).unlink()
        shutil.rmtree(self._checkpoints(name), ignore_errors=True)
        _log.info("%s was retired", name)

    def _file(self, name: str) -> Path:
        return self._folder / f"{_digest(name)}.json"

    def _checkpoints(self, name: str) -> Path:
        return self._settings.home / "flink" / "checkpoints" / _digest(name)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint below a folder, whichever run of the job made it."""
    found = sorted(folder.glob("*/chk-*/_metadata"), key=lambda file: file.stat().st_mtime_ns)
    return found[-1].parent if found else None


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _place(one: GroupEpoch) -> Place:
    return one.group.name, one.epoch


def together(epochs: Iterable[GroupEpoch]) -> list[list[GroupEpoch]]:
    """Groups by job: those of one topic that read its columns as the same types."""
    jobs: list[tuple[str, dict[str, ValueType], list[GroupEpoch]]] = []
    for one in epochs:
        topic, columns = one.group.definition.source.topic, one.group.columns
        for other, known, mine in jobs:
            if topic == other and all(known.get(name, kind) is kind for name, kind in columns.items()):
                known.update(columns)
                mine.append(one)
                break
        else:
            jobs.append((topic, dict(columns), [one]))
    return [mine for _, _, mine in jobs]


def _one_time(catalog: Catalog, topic: str) -> bool:
    sources = (one.group.definition.source for one in catalog.groups.values() if not one.retired)
    return len({source.time for source in sources if source.topic == topic}) == 1

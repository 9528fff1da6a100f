"""Holds the loaded versions and brings them to what is wanted; reports each step as an event.

Called from one thread, never that of the event loop. A request sees a change as one replaced reference.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter_ns
from types import MappingProxyType
from typing import assert_never

from bighead.events.base import Event
from bighead.events.types import ModelLoaded, ModelLoadFailed, ModelRecord, ModelSwapped
from bighead.inference.loading import LoadFailed, return_memory
from bighead.inference.model import LoadedModel
from bighead.registry.deployments import Deployment, Load, Swap, Unload, next_step
from bighead.registry.state import PRODUCTION, Segments, Traffic
from serving.predictor import Predictor
from serving.snapshot import Served, Snapshot

_log = logging.getLogger(__name__)

Loader = Callable[[str, int, ModelRecord, int], tuple[LoadedModel, dict[str, float]]]
"""Loads a version of a model by its record, which may take so many bytes."""


@dataclass(slots=True)
class _Held:
    """What is held of one model."""

    versions: dict[int, LoadedModel] = field(default_factory=dict)
    serving: int | None = None
    failed: set[int] = field(default_factory=set)
    traffic: Traffic | None = None
    segments: Segments | None = None
    labels: Mapping[str, int] = field(default_factory=dict)
    command_id: str = ""

    @property
    def in_use(self) -> frozenset[int]:
        """Versions that requests may reach beside the one that serves."""
        segments = self.segments.versions.values() if self.segments else ()
        arms = self.traffic.versions if self.traffic else frozenset()
        return arms | frozenset(segments) | frozenset(self.labels.values())


class ModelHost:
    """The only writer of the predictor's snapshot. `report` sends an event and does not wait for it."""

    def __init__(
        self,
        predictor: Predictor,
        server: str,
        report: Callable[[Event], None],
        clock_ms: Callable[[], int],
        loader: Loader,
        budget_bytes: int,
        environment: str = PRODUCTION,
    ) -> None:
        self._predictor = predictor
        self._server = server
        self._report = report
        self._clock_ms = clock_ms
        self._loader = loader
        self._budget_bytes = budget_bytes
        self._environment = environment
        self._held: dict[str, _Held] = {}

    @property
    def models(self) -> tuple[str, ...]:
        """The models of which something is held."""
        return tuple(self._held)

    def answering(self) -> dict[str, tuple[int, str]]:
        """For each model the version that answers, and the last command that was followed. Called from any thread."""
        return {
            model: (held.serving, held.command_id)
            for model, held in list(self._held.items())
            if held.serving is not None
        }

    def declare_ready(self) -> None:
        """From now on an unknown model is unknown, and not one that may still come."""
        self._predictor.snapshot = Snapshot(self._predictor.snapshot.models, ready=True)

    def converge(self, model: str, wanted: Deployment | None, *, live_only: bool = False) -> None:
        """Loads, swaps and drops until the model is as wanted; with `live_only`, until all that answer can."""
        held = self._held.setdefault(model, _Held())
        if wanted is None or wanted.traffic is None:
            held.traffic = None
        if wanted is None:
            held.segments, held.labels = None, {}
        else:
            held.failed -= _set_anew(held, wanted)  # setting them asks for another try
        if wanted is not None and wanted.command_id != held.command_id:
            held.command_id = wanted.command_id
            held.failed.discard(wanted.live)  # deploying a version again asks for another try
            if held.serving == wanted.live:
                self._report_swap(model, held, wanted.live, wanted.live, 0)  # nothing to do, and who asked hears so
        self._step(model, held, wanted, live_only=live_only)
        if wanted is None:
            del self._held[model]
        elif (held.traffic, held.segments, held.labels) != (wanted.traffic, wanted.segments, wanted.labels):
            # Last: an arm, segment or label gets requests once its version was loaded or refused, and loses its old
            # one then.
            held.traffic, held.segments, held.labels = wanted.traffic, wanted.segments, wanted.labels
            self._replace(model, held)
            self._step(model, held, wanted, live_only=live_only)

    def _step(self, model: str, held: _Held, wanted: Deployment | None, *, live_only: bool) -> None:
        while step := next_step(wanted, held.versions, held.serving, held.failed, held.in_use):
            match step:
                case Swap(version):
                    self._swap(model, held, version)
                case Unload(version):
                    self._unload(model, held, version)
                case Load(version):
                    if live_only and wanted and held.serving is not None and version not in wanted.answering:
                        break
                    self._load(model, held, wanted, version)
                case _:
                    assert_never(step)
            self._stand_in(model, held, wanted)

    def _load(self, model: str, held: _Held, wanted: Deployment | None, version: int) -> None:
        if wanted is None:
            return
        record = wanted.records[version]
        try:
            loaded, seconds = self._loader(model, version, record, self._room_bytes())
        except LoadFailed as failure:
            held.failed.add(version)
            self._report(
                ModelLoadFailed(
                    server=self._server,
                    model=model,
                    version=version,
                    command_id=held.command_id,
                    step=failure.step,
                    error=str(failure),
                    kept_version=held.serving,
                    environment=self._environment,
                    at_ms=self._clock_ms(),
                )
            )
            return
        held.versions[version] = loaded
        self._replace(model, held)
        self._report(
            ModelLoaded(
                server=self._server,
                model=model,
                version=version,
                command_id=held.command_id,
                artifact_sha256=record.artifact_sha256,
                steps=seconds,
                environment=self._environment,
                at_ms=self._clock_ms(),
            )
        )

    def _room_bytes(self) -> int:
        used = sum(loaded.memory_bytes for held in self._held.values() for loaded in held.versions.values())
        return self._budget_bytes - used

    def _stand_in(self, model: str, held: _Held, wanted: Deployment | None) -> None:
        """A server that starts while the live version is broken serves what the others kept: the one before it."""
        if wanted is not None and held.serving is None and wanted.live in held.failed and held.versions:
            self._swap(model, held, next(number for number in wanted.wanted if number in held.versions))

    def _swap(self, model: str, held: _Held, version: int) -> None:
        previous, started = held.serving, perf_counter_ns()
        held.serving = version
        self._replace(model, held)
        swap_us = (perf_counter_ns() - started) // 1000
        _log.info("model %r: version %s answers after %s (%d us)", model, version, previous, swap_us)
        self._report_swap(model, held, version, previous, swap_us)

    def _report_swap(self, model: str, held: _Held, version: int, previous: int | None, swap_us: int) -> None:
        self._report(
            ModelSwapped(
                server=self._server,
                model=model,
                version=version,
                previous_version=previous,
                command_id=held.command_id,
                swap_us=swap_us,
                environment=self._environment,
                at_ms=self._clock_ms(),
            )
        )

    def _unload(self, model: str, held: _Held, version: int) -> None:
        """Requests that run on it hold their own reference: its memory is freed when the last one has its answer."""
        del held.versions[version]
        if held.serving == version:
            held.serving = None
        self._replace(model, held)
        return_memory()
        _log.info("model %r: version %d was dropped", model, version)

    def _replace(self, model: str, held: _Held) -> None:
        snapshot = self._predictor.snapshot
        models = {name: served for name, served in snapshot.models.items() if name != model}
        if held.serving is not None:
            versions = MappingProxyType(dict(held.versions))
            models[model] = Served(held.versions[held.serving], versions, held.traffic, held.segments, held.labels)
        self._predictor.snapshot = Snapshot(MappingProxyType(models), snapshot.ready)


def _set_anew(held: _Held, wanted: Deployment) -> set[int]:
    """The versions of traffic, segments and labels that were set since."""
    anew = {number for label, number in wanted.labels.items() if held.labels.get(label) != number}
    if wanted.segments is not None and wanted.segments != held.segments:
        anew.update(wanted.segments.versions.values())
    if wanted.traffic is not None and wanted.traffic != held.traffic:
        anew.update(wanted.traffic.versions)
    return anew

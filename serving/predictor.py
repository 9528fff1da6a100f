"""The one way from a request to an answer, under every transport: resolve, fetch features, run, log.

Knows models, features and the prediction log by what they do; knows no Kafka, Redis, ONNX or gRPC.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter_ns
from typing import Protocol, TypeVar

from bighead.client.feature_values import check_entities
from bighead.errors import DeadlineExceeded, DefinitionError, InvalidInput, NotReady
from bighead.features.plan import FeatureRow
from bighead.inference.datatypes import Array
from bighead.inference.model import LoadedModel
from bighead.inference.signature import MAX_ROWS, Row, output_rows
from serving.admission import Gate, Gates
from serving.answers import Answer, Entity, Given, Inference, Part
from serving.batching import Batches
from serving.explaining import PERMUTATIONS, Computed, Explained, check_cost, explained
from serving.measures import Measures
from serving.observing import Observer
from serving.partitions import (
    arm_of,
    arrays_in_order,
    cell,
    either,
    entity_parts,
    in_order,
    joined,
    parts_of,
    picked,
    rows_of,
    taken,
    version_of,
)
from serving.shadow import Shadows
from serving.snapshot import Snapshot, Wanted

T = TypeVar("T")
FEATURES_DEADLINE_S = 1.0
FEATURES_SHARE = 0.8
"""The share of a request's time in which features may be read, so that an answer without some of them still arrives."""


def _nothing(key: str) -> object:
    return None


class FeatureReader(Protocol):
    """What is needed of the online store. A store that fails gives rows of status ERROR.

    Raises DefinitionError for an unknown join and InvalidInput for keys that are not the join's.
    """

    def request_columns(self, join: str) -> frozenset[str]: ...

    async def read(
        self, join: str, entities: Sequence[Row], as_of_ms: int, timeout_s: float
    ) -> Sequence[FeatureRow]: ...


@dataclass(frozen=True, slots=True)
class _Job:
    """One request for one version; times in milliseconds, `expiry` in nanoseconds of the performance counter."""

    model: LoadedModel
    arm: str
    why: str
    shadow: bool
    entities: Sequence[Entity]
    as_of_ms: int
    at_ms: int
    expiry: int | None


class PredictionSink(Protocol):
    """Where answers are logged; never blocks and never raises."""

    def offer(self, answer: Answer) -> None: ...


class Predictor:
    """Answers requests from the current snapshot, which the model host replaces."""

    def __init__(
        self, reader: FeatureReader, log: PredictionSink, clock_ms: Callable[[], int], observer: Observer | None = None
    ) -> None:
        self.snapshot = Snapshot()
        self.reader = reader
        self.observer = observer or Observer()
        self._log = log
        self._clock_ms = clock_ms
        self.shadows = Shadows()
        self.measures = Measures()
        self.gates = Gates()
        self._aside = Batches(ThreadPoolExecutor(max_workers=1, thread_name_prefix="shadow"), 1)

    async def infer(
        self,
        model: str,
        wanted: Wanted,
        tensors: Mapping[str, Array],
        deadline_s: float | None = None,
        unit: str | None = None,
        given: Given = _nothing,
    ) -> Inference:
        """Runs a model over tensors that carry all of its inputs. unit: chooses the arm; a random one if None.

        given: values by which a partitioned model chooses the segment of rows that have no such column.
        """
        expiry, snapshot = _expiry(deadline_s), self.snapshot
        with self._gate(snapshot, model).entered() as gate:
            parts = parts_of(
                snapshot,
                model,
                wanted,
                lambda: rows_of(tensors),
                lambda row, key: either(cell(tensors, row, key), given, key),
                lambda row, key: unit if unit is not None else uuid.uuid4().hex,
            )
            self.observer.chosen(model, version_of(parts), arm_of(parts))
            outputs = await _all(
                [self._infer(part.found.model, taken(tensors, part), expiry, gate.pool) for part in parts]
            )
        found = parts[0].found
        if len(parts) == 1:
            return Inference(found.model, found.arm, outputs[0])
        return Inference(found.model, arm_of(parts), arrays_in_order(parts, outputs), parts)

    async def _infer(
        self, loaded: LoadedModel, tensors: Mapping[str, Array], expiry: int | None, pool: Batches
    ) -> list[Array]:
        measures, started = self.measures.of(loaded.name, loaded.version), perf_counter_ns()
        try:
            rows = loaded.signature.check(tensors)
            outputs = await self._run(loaded, tensors, rows, expiry, pool)
        except InvalidInput as error:
            raise InvalidInput(f"{_named(loaded)}: {error}") from error
        except Exception:
            measures.failures += 1
            raise
        measures.answered(rows, (perf_counter_ns() - started) // 1000)
        return outputs

    async def predict(
        self,
        model: str,
        wanted: Wanted,
        entities: Sequence[Entity],
        as_of_ms: int | None = None,
        deadline_s: float | None = None,
        given: Given = _nothing,
    ) -> Answer:
        """Fetches the features of the entities, runs the model and logs the predictions.

        One version answers all of a request; where traffic is divided, the first entity is the unit that chooses it.
        Where the model is partitioned, one answers all that are in the same segment; given: as in `infer`.
        """
        now_ms, expiry, snapshot = self._clock_ms(), _expiry(deadline_s), self.snapshot
        at_ms = now_ms if as_of_ms is None else as_of_ms
        with self._gate(snapshot, model).entered() as gate:
            parts = entity_parts(snapshot, model, wanted, entities, given)
            ids = [uuid.uuid4().hex for _ in entities]
            self.observer.chosen(model, version_of(parts), arm_of(parts), ids[0] if ids else None)
            jobs = [_job(part, entities, at_ms, now_ms, expiry) for part in parts]
            answers = await _all(
                [self._measured(job, picked(ids, part), gate.pool) for job, part in zip(jobs, parts, strict=True)]
            )
        whole = answers[0] if len(parts) == 1 else joined(parts, answers, entities, ids)
        for part, job, answer in zip(parts, jobs, answers, strict=True):
            self._keep(part, job, answer)
        return whole

    async def explain(
        self,
        model: str,
        wanted: Wanted,
        entities: Sequence[Entity],
        permutations: int = PERMUTATIONS,
        as_of_ms: int | None = None,
        deadline_s: float | None = None,
        given: Given = _nothing,
    ) -> Explained:
        """What each input adds to the answers that `predict` would give; logs no prediction, and no shadow sees it."""
        now_ms, expiry, snapshot = self._clock_ms(), _expiry(deadline_s), self.snapshot
        at_ms = now_ms if as_of_ms is None else as_of_ms
        gate = self._gate(snapshot, model)
        parts = entity_parts(snapshot, model, wanted, entities, given)
        check_cost(parts, len(entities), permutations)
        self.observer.chosen(model, version_of(parts), arm_of(parts))
        epochs: dict[str, int] = {}
        explanations = []
        async with gate.explaining():
            for part in parts:
                job = _job(part, entities, at_ms, now_ms, expiry)
                computed = await self._computed(job, gate.pool)
                with self.observer.stage("explanation", model=model, version=job.model.version):
                    explanations.append(await explained(computed, job.arm, permutations, expiry, gate.pool))
                self.measures.of(model, job.model.version).explanations += len(job.entities)
                epochs |= computed.features[0].epochs
        return Explained(model, at_ms, epochs, in_order(parts, explanations))

    async def _measured(self, job: _Job, ids: Sequence[str], pool: Batches) -> Answer:
        measures = self.measures.of(job.model.name, job.model.version)
        try:
            answer = await self._answer(job, ids, pool)
        except InvalidInput:
            raise
        except Exception:
            measures.failures += 1
            raise
        measures.answered(len(ids), answer.latency_us["total"])
        return answer

    def _keep(self, part: Part, job: _Job, answer: Answer) -> None:
        """Logs an answer, and lets the shadows answer the same."""
        self._log.offer(answer)
        for arm, loaded in part.found.shadows:
            shadow = replace(job, model=loaded, arm=arm.arm, why=f"shadow of {job.why}", shadow=True, expiry=None)
            self.shadows.offer(partial(self._shadow, shadow, answer))

    async def _shadow(self, job: _Job, answer: Answer) -> None:
        """The same request by another version, logged under the identities of the predictions that were returned."""
        known = answer.features if job.model.join == answer.join else None
        self._log.offer(await self._answer(job, answer.ids, self._aside, known))

    async def _answer(
        self, job: _Job, ids: Sequence[str], pool: Batches, known: Sequence[FeatureRow] | None = None
    ) -> Answer:
        started, loaded, entities = perf_counter_ns(), job.model, job.entities
        computed = await self._computed(job, pool, known)
        rows = computed.features
        outputs = output_rows(loaded.signature.outputs, computed.arrays, len(entities))
        ended = perf_counter_ns()
        return Answer(
            model=loaded.name,
            version=loaded.version,
            arm=job.arm,
            why=job.why,
            shadow=job.shadow,
            join=loaded.join,
            feature_epochs=rows[0].epochs,
            as_of_ms=job.as_of_ms,
            at_ms=job.at_ms,
            entities=entities,
            ids=ids,
            features=rows,
            outputs=outputs,
            latency_us={
                "features": (computed.fetched - started) // 1000,
                "model": (ended - computed.fetched) // 1000,
                "total": (ended - started) // 1000,
            },
            traceparent=self.observer.traceparent(),
        )

    async def _computed(self, job: _Job, pool: Batches, known: Sequence[FeatureRow] | None = None) -> Computed:
        """Checks the entities, reads their features where they are not known, and runs the model."""
        loaded, entities = job.model, job.entities
        try:
            _check_request(entities, job.as_of_ms)
            taken = self._request_columns(loaded)
            loaded.signature.check_inputs([entity.inputs for entity in entities], taken)
            left = [{**_some(entity.inputs, taken), **entity.keys} for entity in entities]
            rows = known if known is not None else await self._features(loaded, left, job.as_of_ms, job.expiry)
            fetched = perf_counter_ns()
            tensors = loaded.signature.tensors([row.values for row in rows], [entity.inputs for entity in entities])
            arrays = await self._run(loaded, tensors, len(entities), job.expiry, pool, inline=not job.shadow)
        except InvalidInput as error:
            raise InvalidInput(f"{_named(loaded)}: {error}") from error
        return Computed(loaded, entities, rows, tensors, arrays, fetched)

    async def features(
        self, join: str, entities: Sequence[Row], as_of_ms: int | None = None, deadline_s: float | None = None
    ) -> tuple[int, Sequence[FeatureRow]]:
        """The features of up to 1,000 entities and the time as of which they were read."""
        at_ms = self._clock_ms() if as_of_ms is None else as_of_ms
        check_entities(entities)
        _check_request(entities, at_ms)
        with self.observer.stage("features", join=join):
            return at_ms, await self.reader.read(join, entities, at_ms, _features_budget_s(_expiry(deadline_s)))

    def close(self) -> None:
        """Lets the running inferences end."""
        self.gates.close()
        self._aside.shutdown()

    def _gate(self, snapshot: Snapshot, model: str) -> Gate:
        """A model's bound, for a request to pass before anything is done for it; raises UnknownModel or NotReady."""
        snapshot.served(model)
        return self.gates.of(model)

    def _request_columns(self, loaded: LoadedModel) -> frozenset[str]:
        """The inputs that the model's join takes."""
        try:
            return self.reader.request_columns(loaded.join) if loaded.join is not None else frozenset()
        except DefinitionError as error:
            raise NotReady(f"{_named(loaded)} needs a join that this server does not know: {error}") from error

    async def _features(
        self, loaded: LoadedModel, left: Sequence[Row], as_of_ms: int, expiry: int | None
    ) -> Sequence[FeatureRow]:
        if loaded.join is None:
            return [FeatureRow({}, {}, as_of_ms, {})] * len(left)
        try:
            with self.observer.stage("features", join=loaded.join):
                return await self.reader.read(loaded.join, left, as_of_ms, _features_budget_s(expiry))
        except DefinitionError as error:
            raise NotReady(f"{_named(loaded)} needs a join that this server does not know: {error}") from error

    async def _run(
        self,
        loaded: LoadedModel,
        tensors: Mapping[str, Array],
        rows: int,
        expiry: int | None,
        pool: Batches,
        *,
        inline: bool = True,
    ) -> list[Array]:
        """Runs it here where that is quick and `inline` allows it, else on a thread, with others that wait for one."""
        _require_time(loaded, expiry)
        with self.observer.stage("model", model=loaded.name, version=loaded.version):
            if inline and rows <= loaded.inline_rows:
                return loaded.run(tensors)
            return await pool.run(loaded, tensors, rows, expiry)


def _require_time(loaded: LoadedModel, expiry: int | None) -> None:
    if expiry is not None and perf_counter_ns() >= expiry:
        raise DeadlineExceeded(f"the deadline passed before {_named(loaded)} was run; allow more time")


async def _all(asked: Sequence[Awaitable[T]]) -> list[T]:
    """All of them at once; raises the first error once all have ended, so that none goes on unseen."""
    if len(asked) == 1:
        return [await asked[0]]
    answers = []
    for ended in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended
        answers.append(ended)
    return answers


def _job(part: Part, entities: Sequence[Entity], at_ms: int, now_ms: int, expiry: int | None) -> _Job:
    found = part.found
    return _Job(found.model, found.arm, found.why, False, picked(entities, part), at_ms, now_ms, expiry)


def _some(row: Row, names: frozenset[str]) -> Row:
    return {name: row[name] for name in names if name in row}


def _named(loaded: LoadedModel) -> str:
    return f"model {loaded.name!r} version {loaded.version}"


def _check_request(entities: Sequence[object], as_of_ms: int) -> None:
    if not 0 < len(entities) <= MAX_ROWS:
        raise InvalidInput(f"entities: received {len(entities)}; expected 1 to {MAX_ROWS}")
    if not 0 <= as_of_ms < 1 << 53:
        raise InvalidInput(f"as_of_ms: received {as_of_ms}; expected milliseconds since the epoch, 0 or more")


def _expiry(deadline_s: float | None) -> int | None:
    return None if deadline_s is None else perf_counter_ns() + int(deadline_s * 1e9)


def _features_budget_s(expiry: int | None) -> float:
    if expiry is None:
        return FEATURES_DEADLINE_S
    return max(0.0, min(FEATURES_DEADLINE_S, FEATURES_SHARE * (expiry - perf_counter_ns()) / 1e9))

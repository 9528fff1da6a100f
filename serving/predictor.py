"""The one way from a request to an answer, under every transport: resolve, fetch features, run, log.

Knows models, features and the prediction log by what they do; knows no Kafka, Redis, ONNX or gRPC.
"""

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Protocol

from bighead.client.feature_values import check_entities
from bighead.errors import DeadlineExceeded, DefinitionError, InvalidInput, NotReady, UnknownModel
from bighead.features.plan import FeatureRow
from serving.signature import MAX_ROWS, Row, Signature, Value, output_rows
from serving.tensors import Array

FEATURES_DEADLINE_S = 1.0
FEATURES_SHARE = 0.8
"""The share of a request's time in which features may be read, so that an answer without some of them still arrives."""
LIVE, PINNED = "live", "pinned"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A proven version in memory. Up to `inline_rows` it is run on the event loop: a thread hop would cost more."""

    name: str
    version: int
    signature: Signature
    join: str | None
    run: Callable[[Mapping[str, Array]], list[Array]]
    inline_rows: int


@dataclass(frozen=True, slots=True)
class Served:
    """The loaded versions of one model and the one that answers."""

    live: LoadedModel
    versions: Mapping[int, LoadedModel]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a request depends on; replaced as a whole, never changed."""

    models: Mapping[str, Served] = field(default_factory=dict)
    ready: bool = False

    def resolve(self, model: str, version: int | None) -> tuple[LoadedModel, str]:
        """The version that answers and the arm that it is; raises UnknownModel or NotReady."""
        served = self.models.get(model)
        if served is None:
            if not self.ready:
                raise NotReady(f"model {model!r} may not be loaded yet: the server still reads the log; try again")
            known = ", ".join(sorted(self.models)) or "none"
            raise UnknownModel(f"no model {model!r} is deployed on this server; it serves: {known}")
        if version is None:
            return served.live, LIVE
        found = served.versions.get(version)
        if found is None:
            raise UnknownModel(
                f"version {version} of model {model!r} is not loaded; loaded: {sorted(served.versions)}; "
                "deploy it, or leave the version out to get the live one"
            )
        return found, PINNED


class FeatureReader(Protocol):
    """What is needed of the online store. A store that fails gives rows of status ERROR.

    Raises DefinitionError for an unknown join and InvalidInput for keys that are not the join's.
    """

    def request_columns(self, join: str) -> frozenset[str]: ...

    async def read(
        self, join: str, entities: Sequence[Row], as_of_ms: int, timeout_s: float
    ) -> Sequence[FeatureRow]: ...


@dataclass(frozen=True, slots=True)
class Entity:
    """Whom a prediction is about, and the columns that only the caller knows."""

    keys: Row
    inputs: Row


@dataclass(frozen=True, slots=True)
class Inference:
    """Output tensors and what made them."""

    model: LoadedModel
    arm: str
    outputs: list[Array]


@dataclass(frozen=True, slots=True)
class Answer:
    """Predictions for the entities of one request, all from one snapshot; lists are in the order of the request."""

    model: str
    version: int
    arm: str
    join: str | None
    feature_epochs: Mapping[str, int]
    as_of_ms: int
    at_ms: int
    entities: Sequence[Entity]
    ids: list[str]
    features: Sequence[FeatureRow]
    outputs: list[dict[str, Value]]
    latency_us: dict[str, int]


class PredictionSink(Protocol):
    """Where answers are logged; never blocks and never raises."""

    def offer(self, answer: Answer) -> None: ...


class Predictor:
    """Answers requests from the current snapshot, which the model host replaces."""

    def __init__(self, reader: FeatureReader, log: PredictionSink, clock_ms: Callable[[], int]) -> None:
        self.snapshot = Snapshot()
        self.reader = reader
        self._log = log
        self._clock_ms = clock_ms
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="inference")

    async def infer(
        self, model: str, version: int | None, tensors: Mapping[str, Array], deadline_s: float | None = None
    ) -> Inference:
        """Runs a model over tensors that carry all of its inputs."""
        loaded, arm = self.snapshot.resolve(model, version)
        try:
            rows = loaded.signature.check(tensors)
            outputs = await self._run(loaded, tensors, rows, _expiry(deadline_s))
        except InvalidInput as error:
            raise InvalidInput(f"{_named(loaded)}: {error}") from error
        return Inference(loaded, arm, outputs)

    async def predict(
        self,
        model: str,
        version: int | None,
        entities: Sequence[Entity],
        as_of_ms: int | None = None,
        deadline_s: float | None = None,
    ) -> Answer:
        """Fetches the features of the entities, runs the model and logs the predictions."""
        started, expiry = perf_counter_ns(), _expiry(deadline_s)
        loaded, arm = self.snapshot.resolve(model, version)
        now_ms = self._clock_ms()
        at_ms = now_ms if as_of_ms is None else as_of_ms
        try:
            _check_request(entities, at_ms)
            taken = self._request_columns(loaded)
            for entity in entities:
                loaded.signature.check_inputs(entity.inputs, taken)
            left = [{**_some(entity.inputs, taken), **entity.keys} for entity in entities]
            rows = await self._features(loaded, left, at_ms, expiry)
            fetched = perf_counter_ns()
            tensors = loaded.signature.tensors([row.values for row in rows], [entity.inputs for entity in entities])
            arrays = await self._run(loaded, tensors, len(entities), expiry)
        except InvalidInput as error:
            raise InvalidInput(f"{_named(loaded)}: {error}") from error
        outputs = output_rows(loaded.signature.outputs, arrays, len(entities))
        ended = perf_counter_ns()
        answer = Answer(
            model=loaded.name,
            version=loaded.version,
            arm=arm,
            join=loaded.join,
            feature_epochs=rows[0].epochs,
            as_of_ms=at_ms,
            at_ms=now_ms,
            entities=entities,
            ids=[uuid.uuid4().hex for _ in entities],
            features=rows,
            outputs=outputs,
            latency_us={
                "features": (fetched - started) // 1000,
                "model": (ended - fetched) // 1000,
                "total": (ended - started) // 1000,
            },
        )
        self._log.offer(answer)
        return answer

    async def features(
        self, join: str, entities: Sequence[Row], as_of_ms: int | None = None, deadline_s: float | None = None
    ) -> tuple[int, Sequence[FeatureRow]]:
        """The features of up to 1,000 entities and the time as of which they were read."""
        at_ms = self._clock_ms() if as_of_ms is None else as_of_ms
        check_entities(entities)
        _check_request(entities, at_ms)
        return at_ms, await self.reader.read(join, entities, at_ms, _features_budget_s(_expiry(deadline_s)))

    def close(self) -> None:
        """Lets the running inferences end."""
        self._pool.shutdown()

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
            return await self.reader.read(loaded.join, left, as_of_ms, _features_budget_s(expiry))
        except DefinitionError as error:
            raise NotReady(f"{_named(loaded)} needs a join that this server does not know: {error}") from error

    async def _run(
        self, loaded: LoadedModel, tensors: Mapping[str, Array], rows: int, expiry: int | None
    ) -> list[Array]:
        if expiry is not None and perf_counter_ns() >= expiry:
            raise DeadlineExceeded(f"the deadline passed before {_named(loaded)} was run; allow more time")
        if rows <= loaded.inline_rows:
            return loaded.run(tensors)
        return await asyncio.get_running_loop().run_in_executor(self._pool, loaded.run, tensors)


def _some(row: Row, names: frozenset[str]) -> Row:
    return {name: row[name] for name in names if name in row}


def canonical_entity(keys: Row) -> str:
    """The keys of an entity as the canonical JSON object that events carry."""
    return json.dumps(dict(keys), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


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

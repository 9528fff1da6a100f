"""Stand-ins for what the predictor is given: a reader of features, a log, a clock, a context of gRPC."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from bighead.errors import DefinitionError, InvalidInput
from bighead.features.plan import FeatureRow
from bighead.inference.model import LoadedModel
from bighead.inference.signature import Row
from serving.answers import Answer
from serving.observing import Observer
from serving.predictor import Predictor
from serving.snapshot import Served, Snapshot

NOW_MS = 1_700_000_000_000


class FakeReader:
    """One join, `flight`, keyed by carrier; `failing` answers as the real reader does when its store is gone."""

    def __init__(self, features: Mapping[str, Any] | None = None) -> None:
        self.features = dict(features or {"delay": 2.5, "flights": 3, "unused": None})
        self.failing = False
        self.takes: frozenset[str] = frozenset()
        self.asked: list[tuple[str, list[Row], int, float]] = []

    def request_columns(self, join: str) -> frozenset[str]:
        return self.takes

    async def read(self, join: str, entities: Sequence[Row], as_of_ms: int, timeout_s: float) -> Sequence[FeatureRow]:
        self.asked.append((join, list(entities), as_of_ms, timeout_s))
        if join != "flight":
            raise DefinitionError(f"join {join!r} is not applied; there are flight")
        for entity in entities:
            if "carrier" not in entity:
                raise InvalidInput(f"join 'flight' needs key 'carrier'; received {sorted(entity)}")
        if self.failing:
            row = FeatureRow(dict.fromkeys(self.features), dict.fromkeys(self.features, "ERROR"), as_of_ms, {"g": 1})
            return [row] * len(entities)
        statuses = {name: "EMPTY" if value is None else "OK" for name, value in self.features.items()}
        return [FeatureRow(dict(self.features), statuses, as_of_ms, {"g": 1})] * len(entities)


class FakeLog:
    """Keeps what it is offered."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def offer(self, answer: Answer) -> None:
        self.answers.append(answer)


class Aborted(Exception):
    """What a call that is aborted leaves."""

    def __init__(self, status: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{status.name}: {details}")
        self.status = status
        self.details = details


class FakeContext:
    """A call without a deadline, or with one."""

    def __init__(self, remaining_s: float | None = None) -> None:
        self._remaining_s = remaining_s

    def time_remaining(self) -> float | None:
        return self._remaining_s

    async def abort(self, status: grpc.StatusCode, details: str, trailers: Sequence[tuple[str, str]] = ()) -> None:
        raise Aborted(status, details)

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        return ()


def predictor_of(
    *models: LoadedModel, reader: FakeReader | None = None, log: FakeLog | None = None, observer: Observer | None = None
) -> Predictor:
    """A ready predictor that serves the last given version of each model."""
    predictor = Predictor(reader or FakeReader(), log or FakeLog(), lambda: NOW_MS, observer)
    versions: dict[str, dict[int, LoadedModel]] = {}
    for model in models:
        versions.setdefault(model.name, {})[model.version] = model
    served = {name: Served(held[max(held)], held) for name, held in versions.items()}
    predictor.snapshot = Snapshot(served, ready=True)
    return predictor

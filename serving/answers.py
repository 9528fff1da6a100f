"""What a prediction is about, and what is answered: plain values between the predictor, the transports and the log."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bighead.features.plan import FeatureRow
from bighead.inference.datatypes import Array
from bighead.inference.model import LoadedModel
from bighead.inference.signature import Row, Value
from serving.snapshot import Resolved

Given = Callable[[str], object]
"""The value that a request as a whole gives for the key of a segment; None where it gives none."""


# Made once: `json.dumps` makes one for each call that differs from its defaults.
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Part:
    """Who answers some rows of a request. rows: their places, ascending; None: all of them."""

    found: Resolved
    rows: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """Whom a prediction is about, and the columns that only the caller knows."""

    keys: Row
    inputs: Row


@dataclass(frozen=True, slots=True)
class Inference:
    """Output tensors and what made them. parts: where the rows fell to several segments, which rows fell to which."""

    model: LoadedModel
    arm: str
    outputs: list[Array]
    parts: Sequence[Part] = ()

    @property
    def versions(self) -> str:
        """The version, or those of the parts in the order of their first rows."""
        models = [part.found.model for part in self.parts] or [self.model]
        return ",".join(dict.fromkeys(str(model.version) for model in models))

    @property
    def segments(self) -> list[dict[str, object]]:
        """Which rows fell to which segment, where they fell to several."""
        return [
            {"segment": part.found.arm, "version": part.found.model.version, "rows": list(part.rows or ())}
            for part in self.parts
        ]


@dataclass(frozen=True, slots=True)
class Answer:
    """Predictions for the entities of one request, all from one snapshot; lists are in the order of the request.

    why: how the version was chosen, in words. shadow: whether it is logged and never returned. traceparent: the span of
    the request, where there are traces. versions, arms: where the entities fell to several segments, those of each;
    then version is 0.
    """

    model: str
    version: int
    arm: str
    why: str
    shadow: bool
    join: str | None
    feature_epochs: Mapping[str, int]
    as_of_ms: int
    at_ms: int
    entities: Sequence[Entity]
    ids: Sequence[str]
    features: Sequence[FeatureRow]
    outputs: list[dict[str, Value]]
    latency_us: dict[str, int]
    traceparent: str | None = None
    versions: Sequence[int] = ()
    arms: Sequence[str] = ()


def canonical_entity(keys: Row) -> str:
    """The keys of an entity as the canonical JSON object that events carry."""
    return _canonical(dict(keys))

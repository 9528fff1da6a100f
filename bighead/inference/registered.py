"""Which version of a model is meant, by the registry's log: the live one, a number, or a label.

`registered` reads the log; `chosen` is pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bighead.config import Settings
from bighead.errors import UnknownModel
from bighead.events.codec import Codec
from bighead.events.log import read_log
from bighead.events.topics import MODELS_EVENTS, topic_name
from bighead.events.types import ModelRecord
from bighead.registry.checks import within
from bighead.registry.deployments import Deployments
from bighead.registry.state import PRODUCTION, REGISTRY_EVENTS, ModelState, Version
from bighead.registry.suggestions import did_you_mean


@dataclass(frozen=True, slots=True)
class Registered:
    """One version of a model and its record."""

    name: str
    version: int
    record: ModelRecord


def registered(settings: Settings, name: str, wanted: int | str | None = None) -> Registered:
    """The version of that number or label, or (None) the live one, as the log says now of the settings' environment.

    Raises UnknownModel with what there is instead, and PlatformError where the log cannot be read.
    """
    deployments, codec = Deployments(), Codec(settings.schema_registry)
    try:
        for _, event in codec.decoded(read_log(settings, topic_name(settings.topic_prefix, MODELS_EVENTS))):
            if isinstance(event, REGISTRY_EVENTS):
                deployments = deployments.apply(event)
    finally:
        codec.close()
    return chosen(deployments.models, name, wanted, settings.environment)


def chosen(
    models: Mapping[str, ModelState], name: str, wanted: int | str | None, environment: str = PRODUCTION
) -> Registered:
    """The version that is meant in an environment; raises UnknownModel where there is none, or where it was retired."""
    state = models.get(name)
    if state is None or not state.versions:
        known = [other for other, one in models.items() if one.versions]
        raise UnknownModel(f"no model is named {name!r}{did_you_mean(name, known)}; `bighead models ls` lists them")
    found = _found(state, environment, wanted)
    if found.retired is not None:
        stamp = found.retired
        raise UnknownModel(
            f"version {found.number} of model {name!r} was retired by {stamp.actor} ({stamp.reason}); {_usable(state)}"
        )
    return Registered(name, found.number, found.record)


def _found(state: ModelState, environment: str, wanted: int | str | None) -> Version:
    slot = state.slot(environment)
    number = slot.live if wanted is None else wanted
    if wanted is None and slot.segments is not None:
        raise UnknownModel(
            f"model {state.name!r} answers by {', '.join(slot.segments.keys)}, segments with versions of their own; "
            f"name one: {_usable(state)}"
        )
    if number is None:
        raise UnknownModel(
            f"no version of model {state.name!r} is deployed{within(environment)}; deploy one, or name one: "
            f"{_usable(state)}"
        )
    if isinstance(number, str):
        labels = slot.labelled
        if number not in labels:
            known = ", ".join(sorted(labels)) or "none"
            raise UnknownModel(
                f"model {state.name!r} has no version labelled {number[:60]!r}{did_you_mean(number[:60], labels)}; "
                f"its labels are: {known}; {_usable(state)}"
            )
        number = labels[number]
    found = state.version(number)
    if found is None:
        raise UnknownModel(f"model {state.name!r} has no version {number}; {_usable(state)}")
    return found


def _usable(state: ModelState) -> str:
    numbers = [str(one.number) for one in state.versions if one.retired is None]
    return f"its versions are {', '.join(numbers)}" if numbers else "every version is retired; register a new one"

"""Requests to partitioned models: which version answers which of the rows, and their answers back in order.

Pure; knows no transport, store or log.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from bighead.errors import ModelError
from bighead.inference.datatypes import Array
from bighead.inference.signature import MAX_ROWS, Value
from bighead.registry.segments import candidates
from bighead.registry.state import Segments
from serving.answers import Answer, Entity, Given, Part, canonical_entity
from serving.snapshot import Resolved, Served, Snapshot, Wanted

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Choice:
    """The segment of a row, None where it is in none; missing: finer ones whose version this server does not have."""

    segment: tuple[str, int] | None
    missing: tuple[tuple[str, int], ...] = ()


def parts_of(
    snapshot: Snapshot,
    model: str,
    wanted: Wanted,
    rows: Callable[[], int],
    value_of: Callable[[int, str], object],
    unit_of: Callable[[int, str | None], str],
) -> list[Part]:
    """Who answers the rows of a request: one part where the model is not partitioned, or the request names a version.

    rows: how many there are. value_of: the value that a row has for a key, or None. unit_of: as in `Snapshot.resolve`,
    for a row.
    """
    served = snapshot.models.get(model)
    if wanted is not None or served is None or served.segments is None:
        return [Part(snapshot.resolve(model, wanted, partial(unit_of, 0)))]
    groups: dict[_Choice, list[int]] = {}
    count = rows()
    for row in range(count if count <= MAX_ROWS else 0):  # too many are refused later, as none are
        groups.setdefault(_chosen(served, served.segments, partial(value_of, row)), []).append(row)
    found = groups or {_Choice(None): [0]}
    parts = [
        Part(_resolved(snapshot, served, model, choice, partial(unit_of, places[0])), places)
        for choice, places in found.items()
    ]
    return parts if len(parts) > 1 else [Part(parts[0].found)]


def entity_parts(
    snapshot: Snapshot, model: str, wanted: Wanted, entities: Sequence[Entity], given: Given
) -> list[Part]:
    """The same for entities. given: what the request says of the segment where they do not."""
    return parts_of(
        snapshot,
        model,
        wanted,
        lambda: len(entities),
        lambda row, key: either(_value(entities[row], key), given, key),
        lambda row, key: _unit(entities[row : row + 1], key),
    )


def either(value: object, given: Given, key: str) -> object:
    """The value of a row, or what the request as a whole says where it has none."""
    return given(key) if value is None else value


def version_of(parts: Sequence[Part]) -> int:
    """The version that answers a request; 0 where several do."""
    return parts[0].found.model.version if len(parts) == 1 else 0


def arm_of(parts: Sequence[Part]) -> str:
    """The arm or segment of a request, or those of its parts."""
    return parts[0].found.arm if len(parts) == 1 else ", ".join(dict.fromkeys(part.found.arm for part in parts))


def why_of(parts: Sequence[Part]) -> str:
    """How the versions of the parts were chosen."""
    return "; ".join(f"{len(part.rows or ())} rows: {part.found.why}" for part in parts)


def joined(parts: Sequence[Part], answers: Sequence[Answer], entities: Sequence[Entity], ids: Sequence[str]) -> Answer:
    """The answers of the parts as that of the whole request; raises ModelError where they are not one table."""
    _check_alike(parts, [(set(answer.outputs[0]), set(answer.features[0].values)) for answer in answers])
    stages = answers[0].latency_us
    return replace(
        answers[0],
        version=version_of(parts),
        arm=arm_of(parts),
        why=why_of(parts),
        feature_epochs={group: epoch for answer in answers for group, epoch in answer.feature_epochs.items()},
        entities=entities,
        ids=ids,
        features=in_order(parts, [answer.features for answer in answers]),
        outputs=in_order(parts, [answer.outputs for answer in answers]),
        latency_us={stage: max(answer.latency_us[stage] for answer in answers) for stage in stages},
        versions=in_order(parts, [[answer.version] * len(answer.ids) for answer in answers]),
        arms=in_order(parts, [[answer.arm] * len(answer.ids) for answer in answers]),
    )


def in_order(parts: Sequence[Part], answers: Sequence[Sequence[T]]) -> list[T]:
    """What the parts answered, row by row as the request had them."""
    placed = {
        row: item
        for part, answered in zip(parts, answers, strict=True)
        for row, item in zip(range(len(answered)) if part.rows is None else part.rows, answered, strict=True)
    }
    return [placed[row] for row in range(len(placed))]


def arrays_in_order(parts: Sequence[Part], answers: Sequence[Sequence[Array]]) -> list[Array]:
    """The output tensors of the parts as those of the whole request, in the order of the first part's model."""
    by_name = [
        dict(zip((column.name for column in part.found.model.signature.outputs), arrays, strict=True))
        for part, arrays in zip(parts, answers, strict=True)
    ]
    _check_alike(parts, [{name: (array.dtype, array.shape[1:]) for name, array in one.items()} for one in by_name])
    return [_scattered(parts, [one[name] for one in by_name]) for name in by_name[0]]


def _check_alike(parts: Sequence[Part], tables: Sequence[object]) -> None:
    """Raises ModelError where what the parts answered is not one table."""
    if any(table != tables[0] for table in tables):
        model = parts[0].found.model.name
        versions = sorted({part.found.model.version for part in parts})
        raise ModelError(
            f"the rows of this request fall to versions {versions} of model {model!r}, whose outputs or features "
            "differ; send the rows of each segment in a request of its own"
        )


def rows_of(tensors: Mapping[str, Array]) -> int:
    """The rows that all tensors have; 0 where they differ, which is refused later."""
    sizes = {array.shape[0] if array.ndim else 0 for array in tensors.values()}
    return sizes.pop() if len(sizes) == 1 else 0


def cell(tensors: Mapping[str, Array], row: int, key: str) -> object:
    """The value of a column of single values."""
    column = tensors.get(key)
    if column is None or column.size != column.shape[0]:
        return None
    value = column.ravel()[row]
    return value.item() if isinstance(value, np.generic) else value


def picked(items: Sequence[T], part: Part) -> Sequence[T]:
    """Those of the part's rows."""
    return items if part.rows is None else [items[row] for row in part.rows]


def taken(tensors: Mapping[str, Array], part: Part) -> Mapping[str, Array]:
    """The part's rows of the tensors."""
    return tensors if part.rows is None else {name: array[list(part.rows)] for name, array in tensors.items()}


def _value(entity: Entity, key: str) -> Value:
    return entity.keys.get(key, entity.inputs.get(key))


def _unit(entities: Sequence[Entity], key: str | None) -> str:
    """The value of the key that traffic is divided by; without it the whole entity, and without keys a new unit."""
    first = entities[0] if entities else Entity({}, {})
    value = None if key is None else _value(first, key)
    if value is not None:
        return str(value)
    return canonical_entity(first.keys) if first.keys else uuid.uuid4().hex


def _chosen(served: Served, segments: Segments, value_of: Callable[[str], object]) -> _Choice:
    missing: list[tuple[str, int]] = []
    for segment, version in candidates(segments, value_of):
        if version in served.versions:
            return _Choice((segment, version), tuple(missing))
        missing.append((segment, version))
    return _Choice(None, tuple(missing))


def _resolved(
    snapshot: Snapshot, served: Served, model: str, choice: _Choice, unit_of: Callable[[str | None], str]
) -> Resolved:
    skipped = "".join(
        f"version {version} of segment {segment!r} is not loaded; " for segment, version in choice.missing
    )
    if choice.segment is None:
        found = snapshot.resolve(model, None, unit_of)
        return Resolved(found.model, found.arm, found.shadows, f"{skipped}in no segment; {found.why}")
    segment, version = choice.segment
    why = f"{skipped}segment {segment!r} is answered by version {version}"
    return Resolved(served.versions[version], segment, (), why)


def _scattered(parts: Sequence[Part], arrays: Sequence[Array]) -> Array:
    rows = sum(len(array) for array in arrays)
    whole: Array = np.empty((rows, *arrays[0].shape[1:]), arrays[0].dtype)
    for part, array in zip(parts, arrays, strict=True):
        whole[list(part.rows or ())] = array
    return whole

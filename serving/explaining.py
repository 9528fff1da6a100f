"""Explanations of predictions: what a request for them may cost, and the runs of the model that they are made of.

Runs of a bounded size, one after the other, each of which waits for a thread like a prediction. Knows no transport.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from bighead.errors import InvalidInput, ModelError
from bighead.features.plan import FeatureRow
from bighead.inference.datatypes import Array
from bighead.inference.explaining import Contributions, Orders, explained_numbers, model_rows, orders, worth
from bighead.inference.model import LoadedModel
from bighead.inference.signature import Row, output_rows
from serving.answers import Entity, Part
from serving.batching import Batches

PERMUTATIONS = 32
"""Orders of the inputs where a request does not say how many."""
LEAST_PERMUTATIONS, MOST_PERMUTATIONS = 4, 1000
MOST_MODEL_ROWS = 100_000
"""That a model computes for one request."""
RUN_ROWS = 1_000
"""Of a model at once: a prediction that finds no thread waits for the end of one such run, not of an explanation."""
SEED = 0
_REVEALED = "revealed"


@dataclass(frozen=True, slots=True)
class OutputExplanation:
    """Of one output column; base and contributions, which are by input as standard_errors are, add up to answer."""

    answer: float
    base: float
    contributions: Mapping[str, float]
    standard_errors: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of one entity. inputs: what the model was given; statuses: of those that are features.

    explained: by output column. permutations, background_rows: how many orders and golden rows it is made of.
    """

    version: int
    arm: str
    inputs: Row
    statuses: Mapping[str, str]
    outputs: Row
    explained: Mapping[str, OutputExplanation]
    permutations: int
    background_rows: int


@dataclass(frozen=True, slots=True)
class Explained:
    """Explanations for the entities of one request, in its order. seed: what the orders were drawn by."""

    model: str
    as_of_ms: int
    feature_epochs: Mapping[str, int]
    explanations: Sequence[Explanation]
    seed: int = SEED


@dataclass(frozen=True, slots=True)
class Computed:
    """What a version made of some entities. tensors: what it was given; arrays: what it answered.

    fetched: when their features were there, in nanoseconds of the performance counter.
    """

    model: LoadedModel
    entities: Sequence[Entity]
    features: Sequence[FeatureRow]
    tensors: Mapping[str, Array]
    arrays: Sequence[Array]
    fetched: int


def check_cost(parts: Sequence[Part], entities: int, permutations: int) -> None:
    """Refuses a request for more than may be computed, and says what would be possible, before anything is done."""
    if not LEAST_PERMUTATIONS <= permutations <= MOST_PERMUTATIONS or permutations % 2:
        raise InvalidInput(
            f"permutations: received {permutations}; expected an even number from {LEAST_PERMUTATIONS} to "
            f"{MOST_PERMUTATIONS}"
        )
    asked = [(part.found.model, entities if part.rows is None else len(part.rows)) for part in parts]
    rows = _rows(asked, permutations)
    if rows > MOST_MODEL_ROWS:
        raise InvalidInput(
            f"model {asked[0][0].name!r}: to explain {entities} entities with {permutations} permutations it would "
            f"compute {rows:,} rows; at most {MOST_MODEL_ROWS:,} are computed for a request: "
            f"{_advice(asked, entities, permutations)}"
        )


async def explained(
    computed: Computed, arm: str, permutations: int, expiry: int | None, pool: Batches
) -> list[Explanation]:
    """Each of the entities explained, one after the other; raises ModelError for answers that are no sums."""
    try:
        return await _explained(computed, arm, permutations, expiry, pool)
    except ModelError as error:
        raise type(error)(f"model {computed.model.name!r} version {computed.model.version}: {error}") from error


async def _explained(
    computed: Computed, arm: str, permutations: int, expiry: int | None, pool: Batches
) -> list[Explanation]:
    model, signature, rows = computed.model, computed.model.signature, len(computed.entities)
    drawn = orders(len(signature.inputs), permutations, SEED)
    answers = explained_numbers(signature.outputs, computed.arrays)
    outputs = output_rows(signature.outputs, computed.arrays, rows)
    found = []
    for place, entity in enumerate(computed.entities):
        row = {name: array[place : place + 1] for name, array in computed.tensors.items()}
        answer = {name: float(numbers[place]) for name, numbers in answers.items()}
        contributions = await _contributions(model, row, answer, drawn, expiry, pool)
        features = computed.features[place]
        found.append(
            Explanation(
                version=model.version,
                arm=arm,
                inputs={
                    column.name: (features.values if column.source == "feature" else entity.inputs)[column.name]
                    for column in signature.inputs
                },
                statuses={column.name: str(features.statuses[column.name]) for column in signature.features},
                outputs=outputs[place],
                explained=_by_output(model, answer, contributions),
                permutations=drawn.permutations,
                background_rows=_background_rows(model),
            )
        )
    return found


async def _contributions(
    model: LoadedModel,
    row: Mapping[str, Array],
    answer: Mapping[str, float],
    drawn: Orders,
    expiry: int | None,
    pool: Batches,
) -> Contributions:
    """The contributions to one answer."""
    background = _background_rows(model)
    # What is run mixes and averages as well, so that the event loop has nothing to compute; as another model than the
    # one that predictions ask for it is never run together with them.
    mixing = replace(model, run=partial(_worth, model, row))
    size, worths = max(1, RUN_ROWS // background), []
    for start in range(0, drawn.coalitions, size):
        revealed = drawn.revealed(start, min(start + size, drawn.coalitions))
        worths += await pool.run(mixing, {_REVEALED: revealed}, len(revealed) * background, expiry)
    return drawn.contributions(np.concatenate(worths), np.array(list(answer.values())))


def _worth(model: LoadedModel, row: Mapping[str, Array], tensors: Mapping[str, Array]) -> list[Array]:
    signature = model.signature
    revealed = tensors[_REVEALED].astype(np.bool_)
    return [worth(model.run, signature.inputs, signature.outputs, row, model.golden, revealed)]


def _advice(asked: Sequence[tuple[LoadedModel, int]], entities: int, permutations: int) -> str:
    fewer = range(permutations - 2, LEAST_PERMUTATIONS - 1, -2)
    fitting = next((count for count in fewer if _rows(asked, count) <= MOST_MODEL_ROWS), None)
    if fitting is not None:
        return f"ask for {fitting} permutations or less, or explain fewer entities at a time"
    if entities > 1:
        return "explain fewer entities at a time"
    return "it has too many inputs and golden rows to be explained by a server; ask for the prediction alone"


def _by_output(
    model: LoadedModel, answer: Mapping[str, float], contributions: Contributions
) -> dict[str, OutputExplanation]:
    names = [column.name for column in model.signature.inputs]
    return {
        output: OutputExplanation(
            number,
            float(contributions.base[place]),
            dict(zip(names, contributions.values[:, place].tolist(), strict=True)),
            dict(zip(names, contributions.standard_errors[:, place].tolist(), strict=True)),
        )
        for place, (output, number) in enumerate(answer.items())
    }


def _background_rows(model: LoadedModel) -> int:
    return len(next(iter(model.golden.values())))


def _rows(asked: Sequence[tuple[LoadedModel, int]], permutations: int) -> int:
    return sum(
        count * model_rows(len(model.signature.inputs), permutations, _background_rows(model)) for model, count in asked
    )

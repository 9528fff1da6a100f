"""Whether the training data means what is served now: the same Join, epoch, hash and types of features."""

from collections.abc import Iterator

from bighead.errors import near
from bighead.features.served import ServedJoin
from bighead.features.types import ValueType
from bighead.pipeline.checks.finding import Seen, Severity, rule
from bighead.pipeline.checks.inspected import Inspected

_DATATYPES = {
    ValueType.DOUBLE: ("FP64", "FP32"),
    ValueType.LONG: ("INT64", "FP64", "FP32"),
    ValueType.BOOLEAN: ("BOOL", "FP64", "FP32"),
    ValueType.STRING: ("BYTES",),
}
"""How a model may declare a column of each type: a number that may be missing travels as a float."""


@rule(
    "BH060",
    "trained on definitions that are not served",
    Severity.ERROR,
    why="features that mean something else in training than in serving make a model that nobody has tested",
    fix="write the training set again from the Join as it is applied now, or apply the definitions it was made with",
)
def other_definitions(seen: Inspected) -> Iterator[Seen]:
    """The Join's name, epoch and hash in the training set are compared with the catalog's."""
    train = seen.train
    if seen.served is None or not train.join:
        return
    served = seen.served.joins.get(train.join)
    if served is None:
        yield Seen(f"the Join {train.join!r} is not served{near(train.join, sorted(seen.served.joins))}")
        return
    if train.join_epoch is not None and train.join_epoch != served.epoch:
        yield Seen(f"the rows were made by epoch {train.join_epoch} of {train.join!r}, epoch {served.epoch} is served")
    if train.join_hash is not None and train.join_hash != served.hash:
        yield Seen(
            f"the rows were made by a definition of {train.join!r} with the hash {train.join_hash[:12]}, the one that "
            f"is served has {served.hash[:12]}"
        )


@rule(
    "BH061",
    "an input that is not served",
    Severity.ERROR,
    why="the server cannot look the feature up: every request would be without it",
    fix="add the feature to the Join, or leave the input out",
)
def absent_inputs(seen: Inspected) -> Iterator[Seen]:
    """Every input that the platform looks up must be a column of the Join that is served."""
    for join, name, source in _inputs(seen):
        if name not in join.kinds and source == "feature":
            yield Seen(f"the Join {seen.train.join!r} serves no such column{near(name, join.kinds)}", (name,))


@rule(
    "BH062",
    "an input of another type than is served",
    Severity.ERROR,
    why="the value that a request meets is not the one that the model was trained on",
    fix="declare the input in the type that the Join serves, and train again",
)
def other_kinds(seen: Inspected) -> Iterator[Seen]:
    """A long or boolean may be declared as a float, which can be missing; everything else must be as served."""
    types = {one.name: one.type for one in seen.train.inputs}
    for join, name, source in _inputs(seen):
        kind = join.kinds.get(name)
        if kind is None or source != "feature":
            continue
        allowed = _DATATYPES.get(kind, ())
        if types[name] not in allowed:
            expected = f"expected {' or '.join(allowed)}" if allowed else "a model cannot take it"
            yield Seen(f"declared as {types[name]}, and served as {kind}; {expected}", (name,))


def _inputs(seen: Inspected) -> Iterator[tuple[ServedJoin, str, str]]:
    join = seen.served.joins.get(seen.train.join) if seen.served is not None else None
    if join is not None:
        yield from ((join, one.name, one.source) for one in seen.train.inputs)

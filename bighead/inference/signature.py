"""What a loaded model takes and gives, compiled once: checks of tensors, and tensors from rows of values.

Pure. A null becomes NaN in a floating column, the empty string in BYTES, and 0 or false elsewhere: integer columns
have no other way to say "nothing known", and the status of the feature says it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bighead.errors import ArtifactError, InvalidInput
from bighead.events.types import Tensor
from bighead.inference.datatypes import DATATYPES, DTYPES, Array

MAX_ROWS = 10_000

_INFINITE = {"FP16": 65520.0, "FP32": 3.4028235677973366e38}
"""From here on numbers are rounded to infinity."""
_FLOAT = {float}
_FEW = 8
"""Up to so many values are checked one by one, which is quicker than all at once."""

Value = bool | int | float | str | None
Row = Mapping[str, Value]


@dataclass(frozen=True)
class Column:
    """One input or output. `shape` is the graph's, with -1 where the request chooses; the first is the batch."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    source: str

    @cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """The numpy type of its values."""
        return DTYPES[self.datatype]

    @cached_property
    def scalar(self) -> bool:
        """Whether it holds one value per row."""
        return self.shape in ((-1,), (-1, 1))

    @property
    def null(self) -> Value:
        """What stands for null in it."""
        if self.dtype.kind == "f":
            return math.nan
        return "" if self.datatype == "BYTES" else 0

    def names(self, width: int) -> list[str]:
        """What its values are called where there are so many in a row."""
        return [self.name] if width == 1 else [f"{self.name}[{index}]" for index in range(width)]

    def __str__(self) -> str:
        return f"{self.datatype} {list(self.shape)}"


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of one model version, in the order of the graph."""

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]

    @property
    def features(self) -> tuple[Column, ...]:
        """Inputs that the online store gives."""
        return tuple(column for column in self.inputs if column.source == "feature")

    @cached_property
    def requested(self) -> tuple[Column, ...]:
        """Inputs that come with the request."""
        return tuple(column for column in self.inputs if column.source == "request")

    def check(self, tensors: Mapping[str, Array], most: int = MAX_ROWS) -> int:
        """Refuses tensors that differ from the inputs in name, type or shape; returns the number of rows."""
        rows = 0
        for column in self.inputs:
            array = tensors.get(column.name)
            if array is None:
                self._check_names(tensors)
                raise InvalidInput(f"input {column.name!r}: received nothing; expected {column}")
            rows = _check_tensor(column, array, rows, most)
        if len(tensors) > len(self.inputs):
            self._check_names(tensors)
        return rows

    def tensors(self, features: Sequence[Row], inputs: Sequence[Row]) -> dict[str, Array]:
        """Input tensors of rows: their features as the store gave them, their inputs as `check_inputs` passed them."""
        found: dict[str, Array] = {}
        for columns in self._together:
            block = _block(columns, features, inputs)
            if block is None:
                found |= {column.name: _tensor(column, features, inputs) for column in columns}
            else:
                for column, values in zip(columns, block, strict=True):
                    found[column.name] = values.reshape((-1, *column.shape[1:]))
        for column in self._apart:
            found[column.name] = _tensor(column, features, inputs)
        return found

    @cached_property
    def _together(self) -> tuple[tuple[Column, ...], ...]:
        """Floating columns of one value a row, by datatype: one array holds all of them."""
        floating = [column for column in self.inputs if column.dtype.kind == "f" and column.scalar]
        datatypes = dict.fromkeys(column.datatype for column in floating)
        return tuple(tuple(one for one in floating if one.datatype == datatype) for datatype in datatypes)

    @cached_property
    def _apart(self) -> tuple[Column, ...]:
        together = {column.name for columns in self._together for column in columns}
        return tuple(column for column in self.inputs if column.name not in together)

    def check_inputs(self, rows: Sequence[Row], taken: frozenset[str] = frozenset()) -> None:
        """Refuses values of a request that are missing, unknown or of another type than the signature's.

        taken: columns that the model's join takes; the join checks them itself.
        """
        requested = self.requested
        for column in requested:
            if not column.scalar:
                raise InvalidInput(f"input {column.name!r} is {column}, not a column; send tensors with ModelInfer")
            try:
                values = [row[column.name] for row in rows]
            except KeyError:
                raise InvalidInput(
                    f"column {column.name!r}: received nothing in inputs; expected {column.datatype}"
                ) from None
            _check_values(column, values)
        for given in rows:
            if len(given) > len(requested):
                names = [column.name for column in requested]
                if unknown := sorted(given.keys() - set(names) - taken):
                    expected = [*names, *sorted(taken)] or "none"
                    raise InvalidInput(
                        f"column {unknown[0]!r}: not a column that the request gives; expected {expected}"
                    )

    def _check_names(self, tensors: Mapping[str, Array]) -> None:
        unknown = tensors.keys() - {column.name for column in self.inputs}
        if unknown:
            raise InvalidInput(f"input {min(unknown)!r}: not an input of the model; expected {self._expected()}")

    def _expected(self) -> str:
        return ", ".join(f"{column.name} ({column})" for column in self.inputs)


def checked_tensor(column: Column, values: Sequence[Any]) -> Array:
    """One value per row as a tensor, where features come with the rest; raises InvalidInput for what does not fit.

    A feature is taken as one of the online store is: null or too large as it may be. What else the model takes is
    checked as a request's.
    """
    if not column.scalar:
        raise InvalidInput(f"input {column.name!r} is {column}, not a column; give every input as a numpy array")
    if column.source == "request":
        _check_values(column, values)
    elif (several := _collection(values)) is not None:
        raise InvalidInput(f"column {column.name!r}: received {str(several)[:60]}; expected {column.datatype}")
    try:
        return tensor_of(column, values)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"column {column.name!r}: expected {column.datatype}; {error}") from error


def _block(columns: Sequence[Column], features: Sequence[Row], inputs: Sequence[Row]) -> Array | None:
    """The values of several floating columns, a line for each; None where one does not fit, whichever it is."""
    try:
        values = [[row[one.name] for row in (features if one.source == "feature" else inputs)] for one in columns]
        with np.errstate(over="ignore"):  # as in `tensor_of`; numpy makes NaN of None by itself
            block: Array = np.array(values, dtype=columns[0].dtype)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    return block if block.ndim == 2 else None


def _tensor(column: Column, features: Sequence[Row], inputs: Sequence[Row]) -> Array:
    try:
        values = [row[column.name] for row in (features if column.source == "feature" else inputs)]
        if column.source == "feature":
            _check_single(column, values)
        return tensor_of(column, values)
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        # Inputs were checked, so this is a feature that is gone or has another type than in training.
        raise ArtifactError(
            f"feature {column.name!r} of the model is not {column.datatype} in the join as it is now "
            f"({type(error).__name__}: {error}); register a version that was trained on that join"
        ) from error


def _check_values(column: Column, values: Sequence[Any]) -> None:
    if column.datatype == "FP64" and set(map(type, values)) == _FLOAT:
        return  # what most columns are; every float is one
    if len(values) <= _FEW or not _all_fit(column, values):
        for value in values:
            check_value(column, value)


def _collection(values: Sequence[Any]) -> Any:
    """The first list or map, which numpy would take apart into rows of their own."""
    return next((value for value in values if isinstance(value, list | dict)), None)


def _all_fit(column: Column, values: Sequence[Any]) -> bool:
    """Whether all fit, for many at once; False where they have to be looked at one by one."""
    kinds = set(map(type, values))
    match column.dtype.kind:
        case "b":
            return kinds == {bool}
        case "O":
            return kinds <= {str, type(None)}
        case "f" if kinds == {float}:
            return fits(column, np.array(values))
        case "i" | "u" if kinds == {int}:
            return _in_range(column.datatype, min(values)) and _in_range(column.datatype, max(values))
    return False


def fits(column: Column, numbers: NDArray[np.float64]) -> bool:
    """Whether all stay numbers in the datatype; infinity and NaN are what they are."""
    large = np.abs(numbers) >= _INFINITE.get(column.datatype, math.inf)
    return not np.any(large & np.isfinite(numbers))


def check_value(column: Column, value: Value) -> None:
    """Refuses a value that the column cannot hold, naming the column, what was received and what is expected."""
    kind = column.dtype.kind
    if value is None:
        fits = kind in "fO"
    elif kind == "b":
        fits = isinstance(value, bool)
    elif kind == "O":
        fits = isinstance(value, str)
    elif kind == "f":
        fits = isinstance(value, int | float) and not isinstance(value, bool) and _representable(column.datatype, value)
    else:
        fits = isinstance(value, int) and not isinstance(value, bool) and _in_range(column.datatype, value)
    if not fits:
        received = "null" if value is None else f"{str(value)[:60]!r} ({type(value).__name__})"
        raise InvalidInput(f"column {column.name!r}: received {received}; expected {column.datatype}")


def _check_single(column: Column, values: Sequence[Any]) -> None:
    collection = _collection(values)
    if collection is not None:
        raise ArtifactError(
            f"feature {column.name!r} is a {type(collection).__name__} in the join as it is now "
            f"({str(collection)[:60]}); the model takes {column.datatype}, one value a row. "
            "No derivation takes an element out of a list or map: train on an operation that answers a single value, "
            "LAST in place of LAST_K for example"
        )


def tensor_of(column: Column, values: Sequence[Any]) -> Array:
    """One value per row as a tensor; raises ValueError, TypeError or OverflowError for values that do not fit."""
    kind = column.dtype.kind
    strict = str if kind == "O" else int if kind in "iu" else None
    if strict is not None and column.scalar and any(not isinstance(value, strict | None) for value in values):
        raise TypeError(f"received {list(values[:3])}")
    filled = [column.null if value is None else value for value in values]
    with np.errstate(over="ignore"):  # a feature that is too large is infinite, as it was in training
        return np.array(filled, dtype=column.dtype).reshape((-1, *column.shape[1:]))


def output_columns(columns: Sequence[Column], arrays: Sequence[Array], rows: int) -> dict[str, list[Value]]:
    """Values of outputs by column: one for each output, or `name[index]` for each of its values of a row."""
    found: dict[str, list[Value]] = {}
    for column, array in zip(columns, arrays, strict=True):
        if array.shape[:1] != (rows,):
            raise ArtifactError(f"output {column.name!r} has the shape {list(array.shape)} for {rows} rows of input")
        width = math.prod(array.shape[1:])
        found |= zip(column.names(width), array.reshape(rows, width).T.tolist(), strict=True)
    return found


def output_rows(columns: Sequence[Column], arrays: Sequence[Array], rows: int) -> list[dict[str, Value]]:
    """The same by row."""
    found = output_columns(columns, arrays, rows)
    if not found:
        return [{} for _ in range(rows)]
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def compiled(
    inputs: Sequence[Tensor], outputs: Sequence[Tensor], graph_inputs: Sequence[Column], graph_outputs: Sequence[Column]
) -> Signature:
    """The signature of a record, checked against what the graph itself says; raises ArtifactError on a difference."""
    signature = Signature(_matched("input", inputs, graph_inputs), _matched("output", outputs, graph_outputs))
    for column in signature.features:
        if not column.scalar:
            raise ArtifactError(f"input {column.name!r} is a feature of shape {list(column.shape)}; expected [-1, 1]")
    return signature


def _matched(side: str, tensors: Sequence[Tensor], graph: Sequence[Column]) -> tuple[Column, ...]:
    declared, actual = [tensor.name for tensor in tensors], {column.name: column for column in graph}
    if len(set(declared)) != len(declared) or set(declared) != actual.keys():
        raise ArtifactError(f"the signature's {side}s are {sorted(declared)}; the model has {sorted(actual)}")
    return tuple(_column(side, tensor, actual[tensor.name]) for tensor in tensors)


def _column(side: str, tensor: Tensor, graph: Column) -> Column:
    if tensor.type != graph.datatype:
        raise ArtifactError(
            f"{side} {tensor.name!r} is {tensor.type} in the signature and {graph.datatype} in the model"
        )
    if not graph.shape or graph.shape[0] != -1:
        raise ArtifactError(
            f"{side} {tensor.name!r} has the shape {list(graph.shape)}; expected a free batch dimension"
        )
    declared, actual = tuple(tensor.shape), graph.shape[1:]
    # One value per row is [] in a signature, while converters write both [N] and [N, 1].
    if declared != actual and not (actual in ((), (1,)) and declared in ((), (1,))):
        raise ArtifactError(
            f"{side} {tensor.name!r} has rows of shape {list(declared)} in the signature, {list(actual)} in the model"
        )
    return Column(tensor.name, tensor.type, graph.shape, tensor.source)


def _check_tensor(column: Column, array: Array, rows: int, most: int) -> int:
    """The rows of a tensor that fits; `rows` are those of the tensors before it, 0 for the first."""
    datatype = DATATYPES[array.dtype]
    if datatype != column.datatype or len(array.shape) != len(column.shape):
        raise InvalidInput(f"input {column.name!r}: received {datatype} {list(array.shape)}; expected {column}")
    for size, expected in zip(array.shape, column.shape, strict=True):
        if expected not in (-1, size):
            raise InvalidInput(f"input {column.name!r}: received shape {list(array.shape)}; expected {column}")
    received = int(array.shape[0])
    if rows and received != rows:
        raise InvalidInput(f"input {column.name!r}: received {received} rows; expected {rows} as in the other inputs")
    if not 0 < received <= most:
        raise InvalidInput(f"input {column.name!r}: received {received} rows; expected 1 to {most}")
    return received


def _in_range(datatype: str, value: int) -> bool:
    unsigned, bits = datatype.startswith("U"), int(datatype.lstrip("UINT"))
    return 0 <= value < 1 << bits if unsigned else -(1 << bits - 1) <= value < 1 << bits - 1


def _representable(datatype: str, value: float) -> bool:
    """Whether a number of the request stays one in the datatype; infinity and NaN are what they are."""
    try:
        number = float(value)
    except OverflowError:
        return False
    return not math.isfinite(number) or abs(number) < _INFINITE.get(datatype, math.inf)

"""A registered model in this process: rows, Arrow tables or tensors in, the answers of a model server out.

Knows the registry's log and the artifact store when it loads, and nothing of them when it predicts.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Self, overload

import numpy as np
import pyarrow as pa

from bighead import config
from bighead.config import Settings
from bighead.errors import ArtifactError, InvalidInput
from bighead.inference.arrow import batch_of, check_type, output_types, plain, tensor_of_column
from bighead.inference.datatypes import DATATYPES, DTYPES, Array
from bighead.inference.loading import LoadFailed, Trial, load
from bighead.inference.model import LoadedModel
from bighead.inference.registered import Registered, registered
from bighead.inference.signature import Column, Row, Signature, Value, checked_tensor, output_columns, output_rows
from bighead.inference.trial import try_out
from bighead.registry.keys import trusted_keys
from bighead.registry.suggestions import did_you_mean


class Predictor:
    """One version of a model; may be used by several threads at once.

    Features are inputs like the others here: whoever asks brings them, from a training set for example.
    """

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    @classmethod
    def from_registry(cls, name: str, version: int | str | None = None, settings: Settings | None = None) -> Self:
        """The version of a number or label, or (None) the live one, loaded and proven as a model server does it.

        Of a partitioned model one has to be named. settings: those of the environment, if None. Raises UnknownModel
        with what there is instead, ArtifactError with the step in which the version was refused, PlatformError where
        the log cannot be read.
        """
        used = settings or config.load()
        return cls.load(registered(used, name, version), used)

    @classmethod
    def load(cls, found: Registered, settings: Settings) -> Self:
        """A version that was found already, tried first in a process that may die."""
        return cls._loaded(found, settings, try_out, settings.model_memory_mb << 20)

    @classmethod
    def load_tried(cls, found: Registered, settings: Settings) -> Self:
        """A version whose file another process has tried with these settings; verified and proven here all the same."""
        return cls._loaded(found, settings, None, None)

    @classmethod
    def _loaded(cls, found: Registered, settings: Settings, trial: Trial | None, room_bytes: int | None) -> Self:
        trusted = trusted_keys(settings.model_keys)
        try:
            loaded, _ = load(found.name, found.version, found.record, trial, room_bytes, trusted)
        except LoadFailed as failure:
            raise ArtifactError(
                f"version {found.version} of model {found.name!r} cannot be loaded: step {failure.step!r} failed: "
                f"{failure}"
            ) from failure
        return cls(loaded)

    @property
    def name(self) -> str:
        """The model's name."""
        return self._model.name

    @property
    def version(self) -> int:
        """The version's number."""
        return self._model.version

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return self._model.signature

    @overload
    def predict(self, data: Mapping[str, Array]) -> dict[str, Array]: ...
    @overload
    def predict(self, data: Sequence[Row]) -> list[dict[str, Value]]: ...
    @overload
    def predict(self, data: pa.Table | pa.RecordBatch) -> pa.RecordBatch: ...
    def predict(self, data: Any) -> Any:
        """Outputs in the form of the inputs: tensors by name, an Arrow table, or rows of values.

        Tables and rows may have columns that the model does not take. Raises InvalidInput naming the input.
        """
        try:
            if isinstance(data, Mapping):
                return self._tensors(data)
            if isinstance(data, pa.Table | pa.RecordBatch):
                return self._table(data)
            return self._rows(data)
        except InvalidInput as error:
            raise InvalidInput(f"model {self.name!r} version {self.version}: {error}") from error

    def _tensors(self, given: Mapping[str, Any]) -> dict[str, Array]:
        tensors = {name: _tensor(name, value) for name, value in given.items()}
        self.signature.check(tensors, sys.maxsize)
        names = [column.name for column in self.signature.outputs]
        return dict(zip(names, self._model.run(tensors), strict=True))

    def _table(self, table: Any) -> Any:
        tensors, rows = {}, table.num_rows
        for column in self.signature.inputs:
            index = table.schema.get_field_index(column.name)
            if index < 0:
                raise _absent(column, table.schema.names)
            check_type(table.schema.field(index))
            tensors[column.name] = tensor_of_column(column, table.column(index))
        if not rows:
            return pa.RecordBatch.from_pylist([], pa.schema(output_types(self.signature.outputs)))
        outputs = output_columns(self.signature.outputs, self._model.run(tensors), rows)
        return batch_of({name: [plain(value) for value in column] for name, column in outputs.items()})

    def _rows(self, rows: Sequence[Row]) -> list[dict[str, Value]]:
        tensors = {}
        for column in self.signature.inputs:
            try:
                tensors[column.name] = checked_tensor(column, [row[column.name] for row in rows])
            except KeyError:
                raise _absent(column, next(list(row) for row in rows if column.name not in row)) from None
        if not rows:
            return []
        outputs = output_rows(self.signature.outputs, self._model.run(tensors), len(rows))
        return [{name: plain(value) for name, value in row.items()} for row in outputs]


def _absent(column: Column, found: Sequence[str]) -> InvalidInput:
    times = list(found).count(column.name)
    if times:
        return InvalidInput(f"column {column.name!r}: received {times} of that name; expected one")
    near = did_you_mean(column.name, found)
    return InvalidInput(f"column {column.name!r}: received nothing{near}; expected {column.datatype}")


def _tensor(name: str, value: Any) -> Array:
    """A numpy array whose type has a datatype; texts may be of numpy's own type for them."""
    if not isinstance(value, np.ndarray):
        raise InvalidInput(f"input {name!r}: received a {type(value).__name__}; expected a numpy array")
    array = value.astype(object) if value.dtype.kind == "U" else value
    if array.dtype not in DATATYPES:
        raise InvalidInput(f"input {name!r}: received an array of {array.dtype}; expected one of {', '.join(DTYPES)}")
    if array.dtype == object and not all(isinstance(one, str) for one in array.flat):
        raise InvalidInput(f"input {name!r}: received an array of objects; expected texts, or numbers of one type")
    return array

"""The typed columns of a model: from rows with nulls to scikit-learn's frame and ONNX's tensors.

A missing number travels as NaN and a missing string as the empty string, in training as in serving.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import infer_dtype
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)

from bighead.errors import ModelError
from bighead.events.types import Tensor

COLUMN_SHAPE = (-1, 1)  # any number of rows, one column
PROBABILITY, LABEL = "probability", "label"


class Datatype(NamedTuple):
    """One Open Inference Protocol datatype in numpy and in skl2onnx."""

    dtype: type[Any]
    onnx: Any
    missing: Any


DATATYPES: dict[str, Datatype] = {
    "FP64": Datatype(np.float64, DoubleTensorType, np.nan),
    "FP32": Datatype(np.float32, FloatTensorType, np.nan),
    "INT64": Datatype(np.int64, Int64TensorType, None),
    "BOOL": Datatype(np.bool_, BooleanTensorType, None),
    "BYTES": Datatype(np.object_, StringTensorType, ""),
}
FLOATS = ("FP64", "FP32")


def feature(name: str, datatype: str = "FP64") -> Tensor:
    """An input that the platform reads from the online store."""
    return _column(name, datatype, "feature")


def request(name: str, datatype: str = "FP64") -> Tensor:
    """An input that comes with the request."""
    return _column(name, datatype, "request")


def check_inputs(inputs: Sequence[Tensor]) -> None:
    """Raises ModelError for an empty list, a name that is there twice or one that an output has."""
    names = [tensor.name for tensor in inputs]
    if not names:
        raise ModelError("a model has no input; expected at least one column")
    repeated = sorted({name for name in names if names.count(name) > 1 or name in (PROBABILITY, LABEL)})
    if repeated:
        raise ModelError(f"inputs {repeated} are named twice or like an output ({PROBABILITY}, {LABEL}); rename them")


def frame(inputs: Sequence[Tensor], rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` as the pipeline sees them: the inputs in order, in their declared types, nothing null but NaN."""
    absent = [tensor.name for tensor in inputs if tensor.name not in rows.columns]
    if absent:
        raise ModelError(f"the rows lack the columns {absent}; they have {list(rows.columns)}")
    return pd.DataFrame({tensor.name: _cast(tensor, rows[tensor.name]) for tensor in inputs}, index=rows.index)


def tensors(inputs: Sequence[Tensor], typed: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """A frame made by `frame` as one [N, 1] array per input."""
    return {tensor.name: typed[tensor.name].to_numpy().reshape(COLUMN_SHAPE) for tensor in inputs}


def json_values(typed: pd.DataFrame, place: int) -> dict[str, Any]:
    """One row of a typed frame as JSON can hold it; NaN becomes null, and whole numbers stay what they are."""
    row = {str(name): typed[name].iloc[place] for name in typed.columns}
    return {name: None if _is_nan(value) else _plain(value) for name, value in row.items()}


def _column(name: str, datatype: str, source: Literal["feature", "request"]) -> Tensor:
    if datatype not in DATATYPES:
        raise ModelError(f"column {name!r} has the datatype {datatype!r}; expected one of {', '.join(DATATYPES)}")
    return Tensor(name=name, type=datatype, source=source)


def _cast(tensor: Tensor, values: pd.Series) -> pd.Series:
    datatype = DATATYPES[tensor.type]
    missing = int(values.isna().sum()) if datatype.missing is None else 0
    if missing:
        raise ModelError(
            f"column {tensor.name!r} is {tensor.type}, which cannot be missing, and is null in {missing} of "
            f"{len(values)} rows; declare it FP64"
        )
    try:
        if tensor.type == "BYTES":
            return _texts(values).astype(np.object_).where(values.notna(), datatype.missing)
        return values.astype(datatype.dtype)
    except (TypeError, ValueError) as error:
        raise ModelError(f"column {tensor.name!r} does not hold {tensor.type}: {error}") from error


def _texts(values: pd.Series) -> pd.Series:
    """Goes from value to value only where some are no texts yet."""
    is_text = infer_dtype(values, skipna=True) in ("string", "empty")
    return values if is_text else values.map(str, na_action="ignore")


def _is_nan(value: Any) -> bool:
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value

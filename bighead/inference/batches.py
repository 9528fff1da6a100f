"""Whether rows of several requests may be run together, and whether it pays: tried when a model is loaded.

Knows a model by what it does to its golden rows.
"""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

import numpy as np

from bighead.errors import InvalidInput
from bighead.inference.datatypes import Array
from bighead.inference.signature import Signature

Run = Callable[[Mapping[str, Array]], list[Array]]
ALONE = 1
SIZES = (16, 64, 256)
PAYS = 2.0
"""How many times less a row must cost in a run of many than alone: requests wait for the slowest of their run."""
_SOME = (2, 3, 7)
"""Other sizes that are compared: kernels treat what is left over of a block of rows in their own way."""
_MOST_TRIED = 8
_LONGEST_S = 0.2
"""Of a run: who comes after it waits for its end."""


def batch_rows(signature: Signature, tensors: Mapping[str, Array], run: Run, one_s: float) -> int:
    """The most rows of several requests for one run; ALONE where it does not pay, or the answers would be others.

    tensors: golden rows, which are compared bit by bit alone and together. one_s: what one row takes, seconds.
    """
    columns = (*signature.inputs, *signature.outputs)
    if one_s > _LONGEST_S or not tensors or any(column.shape[:1] != (-1,) for column in columns):
        return ALONE
    try:
        return _size_that_pays({name: array[:_MOST_TRIED] for name, array in tensors.items()}, run, one_s)
    except InvalidInput:  # it takes the golden rows in one run of so many, and in no other
        return ALONE


def _size_that_pays(tensors: Mapping[str, Array], run: Run, one_s: float) -> int:
    count = len(next(iter(tensors.values())))
    alone = _columns([run({name: array[row : row + 1] for name, array in tensors.items()}) for row in range(count)])
    expected = {str(place): np.concatenate(parts) for place, parts in enumerate(alone)}
    best = ALONE
    for rows in (*_SOME, *SIZES):
        many = _repeated(tensors, rows)
        started = perf_counter()
        found = run(many)
        took_s = perf_counter() - started
        if took_s > _LONGEST_S or not all(map(_same, _repeated(expected, rows).values(), found)):
            return best
        if rows in SIZES:
            if took_s * PAYS > one_s * rows:
                return best
            best = rows
    return best


def _columns(outputs: Sequence[Sequence[Array]]) -> list[list[Array]]:
    return [list(parts) for parts in zip(*outputs, strict=True)]


def _repeated(tensors: Mapping[str, Array], rows: int) -> dict[str, Array]:
    """The rows again and again, until there are so many."""
    return {name: array[np.arange(rows) % len(array)] for name, array in tensors.items()}


def _same(expected: Array, found: Array) -> bool:
    if expected.shape != found.shape:
        return False
    return expected.tolist() == found.tolist() if expected.dtype == object else expected.tobytes() == found.tobytes()

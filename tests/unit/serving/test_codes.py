"""Every error of the tree has its codes."""

import inspect

import grpc
import pytest

from bighead import errors
from serving.codes import TABLE, code

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.BigheadError) and kind.__module__ == errors.__name__
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_class_has_a_row_of_its_own(kind: type[errors.BigheadError]) -> None:
    assert kind in TABLE
    assert code(kind("x")) == TABLE[kind]


def test_the_table_has_no_other_rows() -> None:
    assert set(TABLE) == set(CLASSES)


def test_a_subclass_takes_the_row_of_its_nearest_ancestor() -> None:
    class Special(errors.InvalidInput):
        pass

    assert code(Special("x")) == (grpc.StatusCode.INVALID_ARGUMENT, 400)


def test_what_the_caller_did_wrong_is_never_a_fault_of_the_server() -> None:
    for kind in (errors.InvalidInput, errors.UnknownModel, errors.DefinitionError):
        assert 400 <= TABLE[kind].http < 500
        assert TABLE[kind].status not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)

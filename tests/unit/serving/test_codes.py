"""Every error of the tree has its codes."""

import inspect
from pathlib import Path

import grpc
import pytest

from bighead import errors
from serving.codes import TABLE, code, details, documented

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

    assert code(Special("x")) == (grpc.StatusCode.INVALID_ARGUMENT, 400, None)


def test_what_the_caller_did_wrong_is_never_a_fault_of_the_server() -> None:
    for kind in (errors.InvalidInput, errors.UnknownModel, errors.DefinitionError):
        assert 400 <= TABLE[kind].http < 500
        assert TABLE[kind].status not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


def test_only_what_may_be_better_later_says_when_to_try_again() -> None:
    again = {kind for kind, row in TABLE.items() if row.retry_after_ms is not None}
    assert again == {errors.NotReady, errors.Overloaded, errors.PlatformError, errors.StoreError}


def test_a_message_fits_into_trailers_whatever_it_is_written_in() -> None:
    assert details("x" * 5000) == "x" * 1000
    assert details("\U0001f600" * 5000) == "\U0001f600" * 250


def test_the_table_of_the_guide_is_that_of_the_code() -> None:
    guide = Path(__file__).parents[3] / "docs" / "serving.md"
    assert documented() in guide.read_text(), "run `python infra/codegen.py`"

"""The SDK's client of rows: columns of Python, numpy and nulls, and errors by name."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from bighead.client.predict_rows import AsyncRowsClient, RowsClient
from bighead.errors import InvalidInput, UnknownModel
from tests.unit.serving.elsewhere import models
from tests.unit.serving.running import Addresses, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    with running(models(tmp_path_factory.mktemp("models"))) as addresses:
        yield addresses


def test_columns_of_every_kind_with_their_statuses(server: Addresses) -> None:
    columns = {"carrier": ["UA", "AA"], "is_late": np.array([True, False]), "hour": np.array([1, 2])}
    with RowsClient(server.grpc) as client:
        answer = client.predict("mixed", columns, keys=["carrier"], inputs=["carrier", "is_late", "hour"])
    assert (answer.model, answer.version, answer.arm, answer.feature_epochs) == ("mixed", 1, "live", {"g": 1})
    assert (answer.outputs["score"], answer.outputs["label"]) == ([7.5, 7.5], ["UA", "AA"])
    assert answer.statuses["unused"] == ["EMPTY", "EMPTY"]
    assert len(set(answer.prediction_ids)) == 2


async def test_nulls_and_integers_among_numbers_with_asyncio(server: Addresses) -> None:
    async with AsyncRowsClient(server.grpc) as client:
        values = (await client.predict("times", {"x": [1, None, 2.5]})).outputs["y"]
        assert math.isnan(float(values[1] or 0))
        assert [values[0], values[2]] == [2.0, 5.0]
        assert all(
            math.isnan(float(value or 0)) for value in (await client.predict("times", {"x": [None]})).outputs["y"]
        )
        with pytest.raises(UnknownModel, match="no model 'other'"):
            await client.predict("other", {"x": [1.0]})


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"x": [1.0, "a"]}, "column 'x': received values of float, str"),
        ({"x": [1 << 63]}, "column 'x': .*64-bit"),
        ({"x": []}, "rows: received 0"),
        ({"x": [1.0], "y": [1.0, 2.0]}, "column 'y': received 2 rows; expected 1"),
        ({"z": [1.0]}, "column 'x': received nothing"),
    ],
)
def test_columns_that_do_not_fit_are_named(server: Addresses, columns: dict[str, list[object]], expected: str) -> None:
    with RowsClient(server.grpc) as client, pytest.raises(InvalidInput, match=expected):
        client.predict("times", columns)

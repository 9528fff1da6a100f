"""Values cross the wire unchanged: single ones, lists, maps, and maps of them."""

from typing import Any

import pytest

from bighead.client.proto.value_pb2 import Value as ValueMessage
from bighead.client.values import read, write
from bighead.errors import InvalidInput
from bighead.events.served import served_features, split_features
from bighead.events.types import PredictionServed

VALUES = [
    None,
    True,
    False,
    0,
    2**63 - 1,
    -(2**63),
    0.1,
    5e-324,
    "",
    "Zürich",
    [],
    [1, 2],
    [0.1, None],
    {},
    {"": 1, "é": -1},
    {"a": [True], "b": []},
    {"a": {"x": 1}},
]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_comes_back_with_its_type(value: Any) -> None:
    message = ValueMessage()
    write(message, value)
    back = read(ValueMessage.FromString(message.SerializeToString()))
    assert (type(back), back) == (type(value), value)


@pytest.mark.parametrize(
    ("value", "message"),
    [(2**63, "received 9223372036854775808; expected a 64-bit integer"), (object, "expected bool, int, float, str")],
)
def test_a_value_without_a_form_on_the_wire_is_refused(value: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        write(ValueMessage(), value)


def test_served_features_are_split_and_put_together_again() -> None:
    values = {str(index): value for index, value in enumerate(VALUES)}
    features, collections = split_features(values)
    assert not any(isinstance(value, list | dict) for value in features.values())
    event = PredictionServed(
        prediction_id="1",
        model="m",
        version=1,
        entity="{}",
        as_of_ms=0,
        at_ms=0,
        server="s",
        features=features,
        collections=collections,
        outputs={},
    )
    assert served_features(event) == values

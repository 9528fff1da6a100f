"""Values of keys, inputs, features and outputs as protobuf messages, and back. Pure translation."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from bighead.client.proto.value_pb2 import Value as ValueMessage
from bighead.errors import InvalidInput

Value: TypeAlias = bool | int | float | str | None
"""A single value."""
Row: TypeAlias = Mapping[str, Value]


def write(message: ValueMessage, value: Any) -> None:
    """Sets a message to a value: a single one, a list, or a map from text; raises InvalidInput for another type."""
    writer = _WRITERS.get(type(value)) or next((one for kind, one in _WRITERS.items() if isinstance(value, kind)), None)
    if writer is None:
        raise InvalidInput(
            f"received {str(value)[:60]!r} ({type(value).__name__}); expected bool, int, float, str, None, list or dict"
        )
    writer(message, value)


def fill(target: Any, values: Row) -> None:
    """Sets the values of a map from text to messages; the error names the one that cannot be set."""
    for name, value in values.items():
        try:
            write(target[name], value)
        except InvalidInput as error:
            raise InvalidInput(f"{name!r}: {error}") from None


def read(message: ValueMessage) -> Any:
    """The value of a message; None where no kind is set."""
    kind = message.WhichOneof("kind")
    match kind:
        case None:
            return None
        case "list_value":
            return [read(one) for one in message.list_value.values]
        case "map_value":
            return {name: read(one) for name, one in message.map_value.values.items()}
        case _:
            return getattr(message, kind)


def _integer(message: ValueMessage, value: int) -> None:
    if not -(1 << 63) <= value < 1 << 63:
        raise InvalidInput(f"received {value}; expected a 64-bit integer")
    message.int64_value = value


def _boolean(message: ValueMessage, value: bool) -> None:
    message.bool_value = value


def _double(message: ValueMessage, value: float) -> None:
    message.double_value = value


def _text(message: ValueMessage, value: str) -> None:
    message.string_value = value


def _null(message: ValueMessage, value: None) -> None:
    message.SetInParent()


def _list(message: ValueMessage, value: list[Any]) -> None:
    message.list_value.SetInParent()
    for one in value:
        write(message.list_value.values.add(), one)


def _map(message: ValueMessage, value: dict[str, Any]) -> None:
    message.map_value.SetInParent()
    for name, one in value.items():
        write(message.map_value.values[name], one)


_WRITERS: dict[type, Callable[[ValueMessage, Any], None]] = {
    bool: _boolean,
    int: _integer,
    float: _double,
    str: _text,
    type(None): _null,
    list: _list,
    dict: _map,
}

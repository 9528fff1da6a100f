"""Messages as people and programs are shown them: decoded where they can be, with the reason where they cannot.

Knows no Kafka.
"""

import base64
from typing import Any

from bighead.errors import UndecodableEvent
from bighead.events.codec import Codec
from bighead.events.message import Message


def shown(codec: Codec, message: Message) -> dict[str, Any]:
    """Where it lies, key, headers, type and value. What cannot be decoded has its bytes, no type and an `error`."""
    row: dict[str, Any] = {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "timestamp_ms": message.timestamp_ms,
        "key": text_or_base64(message.key),
        "headers": {name: text_or_base64(value) for name, value in message.headers},
    }
    try:
        full_name, value = codec.decode_record(message.value)
    except UndecodableEvent as error:
        return row | {"type": None, "value": message.value, "error": str(error)}
    return row | {"type": full_name, "value": value}


def text_or_base64(data: bytes | None) -> str | dict[str, str] | None:
    """Bytes that are mostly text, such as a key: the text, or {"base64": ...} where they are not UTF-8."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}

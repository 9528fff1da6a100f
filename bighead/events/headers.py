"""CloudEvents headers in Kafka's binary mode, and those that a replay adds. Pure."""

import os
import random
from datetime import UTC, datetime
from functools import lru_cache

REPLAY_OF = "bighead-replay-of"
REPLAY_STAGE = "bighead-replay-stage"
CONTENT_TYPE = "application/avro"
_SPEC, _AVRO = ("ce_specversion", b"1.0"), ("content-type", CONTENT_TYPE.encode())
# Ids must differ and need not be secret: asking the system for each would cost more than the rest of the headers.
_ids = random.Random()
os.register_at_fork(after_in_child=_ids.seed)


def cloud_event(
    *,
    event_type: str,
    source: str,
    subject: str | None,
    time_ms: int,
    traceparent: str | None = None,
    event_id: str | None = None,
) -> list[tuple[str, bytes]]:
    """The headers of one event: `subject` is its key, `time_ms` when it happened. event_id: None for a new one."""
    second, ms = divmod(time_ms, 1000)
    headers = [
        _SPEC,
        ("ce_id", b"%032x" % _ids.getrandbits(128) if event_id is None else event_id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", event_type.encode()),
        ("ce_time", f"{_second(second)}.{ms:03d}Z".encode()),
        _AVRO,
    ]
    if subject is not None:
        headers.append(("ce_subject", subject.encode()))
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode()))
    return headers


@lru_cache(maxsize=4096)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")

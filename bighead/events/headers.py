"""CloudEvents headers in Kafka's binary mode, and those that a replay adds. Pure."""

import secrets
from datetime import UTC, datetime

REPLAY_OF = "bighead-replay-of"
REPLAY_STAGE = "bighead-replay-stage"
CONTENT_TYPE = "application/avro"


def cloud_event(
    *, event_type: str, source: str, subject: str | None, time_ms: int, traceparent: str | None = None
) -> list[tuple[str, bytes]]:
    """The headers of one event: `subject` is its key, `time_ms` when it happened."""
    time = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", secrets.token_hex(16).encode()),
        ("ce_source", source.encode()),
        ("ce_type", event_type.encode()),
        ("ce_time", time.replace("+00:00", "Z").encode()),
        ("content-type", CONTENT_TYPE.encode()),
    ]
    if subject is not None:
        headers.append(("ce_subject", subject.encode()))
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode()))
    return headers

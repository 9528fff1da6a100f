"""Requests that are wrong in every way, over real connections: none breaks the server or ends in INTERNAL."""

from pathlib import Path

from tests.unit.serving.malformed import run

COUNT = 1_500
"""`make malformed` sends ten thousand."""
ROOM_BYTES = 24 << 20
"""What the largest of the requests may leave behind in the allocator; a leak of one request in ten would be more."""


def test_no_request_breaks_the_server(tmp_path: Path) -> None:
    seen = run(tmp_path, COUNT)
    assert not seen.wrong, "\n".join(seen.wrong[:5])
    assert sum(seen.codes.values()) == COUNT
    assert seen.codes["INVALID_ARGUMENT"] > COUNT / 4
    assert {"OK", "NOT_FOUND", "200", "400", "404"} <= seen.codes.keys()
    assert seen.late - seen.early < ROOM_BYTES

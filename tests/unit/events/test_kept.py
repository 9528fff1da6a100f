"""A file of rows: what was added is there as a whole or not at all, whatever happened to the file."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bighead.events.kept import KeptRows, Row

ROWS = st.lists(st.builds(Row, st.integers(0, 9), st.integers(0, 2**40), st.integers(0, 20), st.binary()), max_size=5)


def chunk(number: int) -> list[Row]:
    return [Row(0, number * 10 + one, 1, b"x" * one) for one in range(3)]


def filled(path: Path, chunks: int, fingerprint: bytes = b"a") -> KeptRows:
    kept = KeptRows(path, fingerprint)
    assert list(kept.load()) == []
    for number in range(chunks):
        kept.add(chunk(number))
    return kept


def there(path: Path, fingerprint: bytes = b"a") -> list[list[Row]]:
    return list(KeptRows(path, fingerprint).load())


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROWS, max_size=5), st.integers(0, 400), st.integers(1, 255))
def test_whatever_breaks_the_file_what_is_read_is_a_beginning(
    tmp_path: Path, chunks: list[list[Row]], at: int, flipped: int
) -> None:
    path = tmp_path / "kept"
    path.unlink(missing_ok=True)
    kept = KeptRows(path, b"a")
    list(kept.load())
    for rows in chunks:
        kept.add(rows)
    assert there(path) == chunks
    content = path.read_bytes() if chunks else b""
    if not content[at:]:
        return
    for broken in (content[:at], content[:at] + bytes([content[at] ^ flipped]) + content[at + 1 :]):
        path.write_bytes(broken)
        left = there(path)
        assert left == chunks[: len(left)]
        assert len(left) < len(chunks)


def test_a_torn_chunk_is_written_over(tmp_path: Path) -> None:
    filled(tmp_path / "kept", 2)
    content = (tmp_path / "kept").read_bytes()
    (tmp_path / "kept").write_bytes(content[:-1])
    again = KeptRows(tmp_path / "kept", b"a")
    assert list(again.load()) == [chunk(0)]
    again.add(chunk(7))
    assert there(tmp_path / "kept") == [chunk(0), chunk(7)]


def test_another_process_that_adds_is_left_alone_and_no_gap_arises(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    first = filled(path, 1)
    other = KeptRows(path, b"a")
    list(other.load())
    other.add(chunk(1))
    first.add(chunk(8))
    first.add(chunk(9))
    other.add(chunk(2))
    assert there(path) == [chunk(0), chunk(1), chunk(2)]


def test_what_was_written_otherwise_or_is_forgotten_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    filled(path, 2)
    assert there(path, b"b") == []
    kept = KeptRows(path, b"a")
    list(kept.load())
    kept.forget()
    kept.add(chunk(5))
    assert there(path) == [chunk(5)]


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")
    kept = KeptRows(tmp_path / "file" / "kept", b"a")
    kept.add(chunk(0))
    kept.add(chunk(1))
    assert len(caplog.messages) == 1


def test_what_cannot_be_read_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    kept = KeptRows(tmp_path, b"a")
    assert list(kept.load()) == []
    kept.add([Row(0, 0, 1, b"x")])
    assert tmp_path.is_dir()

"""The list of JVM files, and what happens when bytes are not those that it pins. Nothing is downloaded here."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from bighead.errors import PlatformError
from bighead.local import jars
from bighead.local.jars import Jar

GOOD = b"good bytes"


class FakeIvy:
    """Stands for the run of Ivy: each run delivers the next of `deliveries` as every file's bytes."""

    def __init__(self, *deliveries: bytes) -> None:
        self.deliveries = list(deliveries)
        self.wanted: list[list[str]] = []

    def __call__(self, work: Path, wanted: Sequence[Jar], on_progress: jars.Progress) -> None:
        self.wanted.append([jar.file_name for jar in wanted])
        for jar in wanted:
            (work / jar.part).mkdir(parents=True, exist_ok=True)
            (work / jar.part / jar.file_name).write_bytes(self.deliveries[0])
        self.deliveries.pop(0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    listed = tuple(
        Jar("kafka", "org.example", name, "1.0", "jar", "", hashlib.sha256(GOOD).hexdigest()) for name in ("a", "b")
    )
    monkeypatch.setattr(jars, "jvm_folder", lambda: tmp_path / "jvm")
    monkeypatch.setattr(jars, "jars", lambda part: listed)
    return tmp_path / "jvm"


def test_every_row_of_the_list_has_coordinates_and_a_hash_of_its_own() -> None:
    rows = [jar for part in ("kafka", "registry", "spark", "flink") for jar in jars.jars(part)]

    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) for jar in rows)
    assert all(re.fullmatch(r"[\w.-]+", value) for jar in rows for value in (jar.group, jar.artifact, jar.version))
    assert len({(jar.part, jar.file_name) for jar in rows}) == len(rows)
    assert "flink" not in jars.DEFAULT_PARTS


def test_an_unknown_part_is_refused_by_name() -> None:
    with pytest.raises(PlatformError, match=r"no JVM part is named 'hive'.*kafka"):
        jars.jars("hive")


def test_files_are_fetched_once_and_not_even_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ivy = FakeIvy(GOOD)
    monkeypatch.setattr(jars, "_run_ivy", ivy)

    jars.ensure(["kafka"])
    monkeypatch.setattr(jars, "_sha256", lambda file: pytest.fail(f"{file} was read again"))
    jars.ensure(["kafka"])

    assert ivy.wanted == [["a-1.0.jar", "b-1.0.jar"]]
    assert [path.read_bytes() for path in jars.class_path("kafka")] == [GOOD, GOOD]
    assert not (folder / "fetch").exists()


def test_a_corrupted_download_is_named_and_fetched_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "_run_ivy", FakeIvy(b"bad", GOOD))
    said: list[str] = []

    jars.ensure(["kafka"], said.append)

    assert any("kafka/a-1.0.jar has SHA-256" in line and "fetching it again" in line for line in said)
    assert [path.read_bytes() for path in jars.class_path("kafka")] == [GOOD, GOOD]


def test_a_file_that_is_wrong_twice_is_an_error_and_is_not_put_in_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "_run_ivy", FakeIvy(b"bad", b"bad"))

    with pytest.raises(PlatformError, match=r"kafka/a-1\.0\.jar has SHA-256 .*, expected .*fetched twice"):
        jars.ensure(["kafka"])

    assert not any(path.exists() for path in jars.class_path("kafka"))


def test_a_file_that_changed_later_is_named_and_alone_fetched_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ivy = FakeIvy(GOOD, GOOD)
    monkeypatch.setattr(jars, "_run_ivy", ivy)
    jars.ensure(["kafka"])
    (folder / "kafka" / "b-1.0.jar").write_bytes(b"changed")
    (folder / "kafka" / "stray.jar").write_bytes(b"not in the list")
    said: list[str] = []

    jars.ensure(["kafka"], said.append)

    assert said[0].startswith("kafka/b-1.0.jar has SHA-256")
    assert ivy.wanted[1] == ["b-1.0.jar"]
    assert not (folder / "kafka" / "stray.jar").exists()

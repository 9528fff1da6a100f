"""Which options a program of Java gets for the archive of its classes."""

from pathlib import Path

import pytest

from bighead.local import archives
from bighead.local.java import find_java

JAVA = find_java(17)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(archives, "jvm_folder", lambda: tmp_path)
    return tmp_path


def test_the_first_process_writes_it_and_later_ones_read_it(folder: Path) -> None:
    assert archives.archive_options("broker", JAVA, ["a.jar"], write=False) == ()
    (first, *_) = archives.archive_options("broker", JAVA, ["a.jar"])
    assert archives.archive_options("broker", JAVA, ["a.jar"]) == ()

    option, _, file = first.partition("=")
    assert option == "-XX:ArchiveClassesAtExit"
    Path(file).touch()
    assert archives.archive_options("broker", JAVA, ["a.jar"])[0] == f"-XX:SharedArchiveFile={file}"
    (other, *_) = archives.archive_options("broker", JAVA, ["b.jar"])
    assert other.startswith(option) and other != first


def test_a_folder_that_cannot_be_written_costs_the_archive_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "jvm_folder", lambda: Path("/proc/none"))
    assert archives.archive_options("broker", JAVA, ["a.jar"]) == ()

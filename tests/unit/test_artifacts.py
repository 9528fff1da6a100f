"""Artifacts: stored under what they are, and refused when they are something else."""

import hashlib
from pathlib import Path

import pytest

from bighead.artifacts import CHUNK_BYTES, Artifact, fetch, put, put_bytes, read
from bighead.errors import ArtifactError

CONTENT = b"onnx" * CHUNK_BYTES


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def stored(artifact: Artifact) -> Path:
    return Path(artifact.uri.removeprefix("file://"))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_is_stored_under_its_sha256_and_comes_back_the_same(model: Path, root: Path, tmp_path: Path) -> None:
    artifact = put(str(root), model)
    assert (artifact.sha256, artifact.size) == (hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    assert stored(artifact) == root / "sha256" / artifact.sha256[:2] / artifact.sha256
    fetched = fetch(artifact.uri, artifact.sha256, artifact.size, tmp_path / "into")
    assert fetched == tmp_path / "into" / artifact.sha256
    assert fetched.read_bytes() == CONTENT


def test_storing_and_fetching_twice_changes_nothing(model: Path, root: Path, tmp_path: Path) -> None:
    artifact = put(str(root), model)
    written = stored(artifact).stat().st_mtime_ns
    assert put(str(root), model) == artifact
    assert stored(artifact).stat().st_mtime_ns == written
    assert files(root) == [stored(artifact)]
    places = {fetch(artifact.uri, artifact.sha256, artifact.size, tmp_path / "into") for _ in range(2)}
    assert files(tmp_path / "into") == list(places)


def test_a_damaged_copy_in_the_store_is_replaced_by_the_next_put(model: Path, root: Path) -> None:
    artifact = put(str(root), model)
    stored(artifact).write_bytes(b"half")
    assert put(str(root), model) == artifact
    assert stored(artifact).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "damaged",
    [CONTENT[:-1], CONTENT[:-1] + b"X", CONTENT + b"X", b""],
    ids=["truncated", "one byte changed", "longer", "empty"],
)
def test_other_bytes_are_refused_and_nothing_is_left(damaged: bytes, model: Path, root: Path, tmp_path: Path) -> None:
    artifact = put(str(root), model)
    stored(artifact).write_bytes(damaged)
    with pytest.raises(ArtifactError) as refused:
        fetch(artifact.uri, artifact.sha256, artifact.size, tmp_path / "into")
    assert f"expected SHA-256 {artifact.sha256}, {artifact.size} bytes" in str(refused.value)
    assert f"{len(damaged)} bytes" in str(refused.value)
    assert files(tmp_path / "into") == []


def test_a_file_with_other_bytes_is_never_overwritten(model: Path, root: Path, tmp_path: Path) -> None:
    artifact = put(str(root), model)
    place = tmp_path / artifact.sha256
    place.write_bytes(b"somebody's")
    with pytest.raises(ArtifactError, match="exists with other bytes"):
        fetch(artifact.uri, artifact.sha256, artifact.size, tmp_path)
    assert place.read_bytes() == b"somebody's"


def test_what_is_not_there_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="nothing-here"):
        fetch(f"{root}/nothing-here", "ab" * 32, 3, tmp_path)
    with pytest.raises(ArtifactError, match=r"missing\.onnx cannot be stored"):
        put(str(root), tmp_path / "missing.onnx")


def test_any_fsspec_store_will_do(model: Path, tmp_path: Path) -> None:
    artifact = put("memory://artifacts", model)
    assert artifact.uri.startswith("memory://")
    assert fetch(artifact.uri, artifact.sha256, artifact.size, tmp_path / "into").read_bytes() == CONTENT


def test_bytes_are_stored_like_a_file_and_read_by_their_sha256(model: Path, root: Path) -> None:
    artifact = put_bytes(str(root), "model", CONTENT)
    assert put(str(root), model) == artifact
    assert read(str(root), artifact.sha256, artifact.size) == CONTENT


@pytest.mark.parametrize("damaged", [CONTENT[:-1], CONTENT[:-1] + b"X", CONTENT + b"X", b""])
def test_other_bytes_are_not_read(damaged: bytes, root: Path) -> None:
    artifact = put_bytes(str(root), "model", CONTENT)
    stored(artifact).write_bytes(damaged)
    with pytest.raises(ArtifactError, match=f"expected SHA-256 {artifact.sha256}, {artifact.size} bytes; received"):
        read(str(root), artifact.sha256, artifact.size)


def test_bytes_that_are_not_there_are_named(root: Path) -> None:
    with pytest.raises(ArtifactError, match=f"does not give the 4 bytes with the SHA-256 {'ab' * 32}"):
        read(str(root), "ab" * 32, 4)

"""Artifacts in an S3 bucket: stored, fetched and proven like files in a folder; a server of moto is the store."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs
from moto.server import ThreadedMotoServer

from bighead import artifacts
from bighead.errors import ArtifactError
from bighead.inference.loading import load
from bighead.inference.trial import try_out
from tests.unit.serving.models import times, times_record

ROOT = "s3://models/artifacts"
SECRET = "s3cr3t-of-the-environment"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def environment(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # a store keeps the credentials that it was opened with


def test_a_model_is_stored_fetched_and_proven_and_a_changed_one_refused(tmp_path: Path) -> None:
    store = s3fs.S3FileSystem()
    store.mkdir("models", region_name="eu-central-1")
    artifact = artifacts.put(ROOT, times(tmp_path / "times.onnx", 2.0))
    assert artifact.uri == f"{ROOT}/sha256/{artifact.sha256[:2]}/{artifact.sha256}"
    assert artifacts.put(ROOT, tmp_path / "times.onnx") == artifact
    assert [entry.rpartition("/")[2] for entry in store.find(ROOT)] == [artifact.sha256], "and nothing else"
    loaded, steps = load("times", 1, times_record(artifact, 2.0), try_out)
    assert loaded.version == 1
    assert steps["fetch"] > 0
    assert SECRET not in artifact.uri

    store.pipe_file(artifact.uri, b"other bytes")
    with pytest.raises(ArtifactError, match="is not what was registered"):
        artifacts.fetch(artifact.uri, artifact.sha256, artifact.size, tmp_path / "into")
    assert artifacts.put(ROOT, tmp_path / "times.onnx") == artifact, "a damaged copy is replaced"
    assert artifacts.fetch(artifact.uri, artifact.sha256, artifact.size, tmp_path / "into").exists()


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"s3://models/none cannot be fetched"):
        artifacts.fetch("s3://models/none", "ab" * 32, 3, tmp_path / "into")
    with pytest.raises(ArtifactError, match=r"cannot be stored under s3://misspelt: .*bucket does not exist"):
        artifacts.put("s3://misspelt", times(tmp_path / "times.onnx", 2.0))


def test_credentials_come_from_the_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArtifactError, match="s3://models was given with a user or password") as refused:
        artifacts.put("s3://somebody:hunter2@models", times(tmp_path / "times.onnx", 2.0))
    assert "hunter2" not in str(refused.value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(ArtifactError, match=r"(?i)credentials"):
        artifacts.put(ROOT, tmp_path / "times.onnx")


def test_a_store_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, "s3", raising=False)
    with pytest.raises(ArtifactError, match=r"Install s3fs to access S3 \(for S3: pip install 'bighead\[s3\]'\)"):
        artifacts.fetch("s3://models/none", "ab" * 32, 3, tmp_path)

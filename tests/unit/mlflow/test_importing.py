"""Stores that a real MLflow made, in both layouts, read without it: what is imported, what is not, and why."""

import json
import tarfile
from pathlib import Path

import pytest

from bighead.errors import InvalidInput
from bighead.mlflow.importing import Importable, identity, importable, imported_as, labels
from bighead.mlflow.stores import StoredVersion, stored_versions
from bighead.registry.proof import check_record

LAYOUTS = ("files", "sqlite")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stores, in another folder than MLflow made them in."""
    place = tmp_path_factory.mktemp("moved store")
    with tarfile.open(Path(__file__).with_name("stores.tar.xz")) as archive:
        archive.extractall(place, filter="data")
    return place


def url_of(folder: Path, layout: str) -> str:
    return f"mlflow://{folder / 'mlruns'}" if layout == "files" else f"mlflow+sqlite://{folder / 'mlflow.db'}"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_store_is_read_with_runs_tags_aliases_and_stages(folder: Path, layout: str) -> None:
    code, first, second = stored_versions(url_of(folder, layout))
    assert [(one.model, one.version) for one in (code, first, second)] == [("code", 1), ("fare", 1), ("fare", 2)]
    assert (first.aliases, first.stage, first.tags) == (("champion",), "", {"approved": "yes"})
    assert (second.aliases, second.stage) == ((), "Staging")
    assert (labels(first), labels(second)) == (("champion",), ("staging",))
    assert first.run is not None
    assert (first.run.experiment, first.run.name) == ("taxi", "fit 1")
    assert first.run.params == {"weight": "1.5", "solver": "exact"}
    assert first.run.metrics == {"rmse": 0.5, "mae": 0.25}
    assert first.run.tags["team"] == "rides"
    assert first.folder is not None
    assert first.folder.is_relative_to(folder)


@pytest.fixture(scope="module", params=LAYOUTS)
def fares(folder: Path, request: pytest.FixtureRequest) -> list[tuple[StoredVersion, Importable]]:
    """Both versions of `fare`, proven."""
    return [(one, importable(one)) for one in stored_versions(url_of(folder, request.param)) if one.model == "fare"]


def test_a_version_becomes_a_record_that_the_registry_takes(fares: list[tuple[StoredVersion, Importable]]) -> None:
    (stored, found), (_, other) = fares
    check_record(found.record)
    record = found.record
    assert json.loads(record.golden) == [
        {"inputs": {"distance": 1.0}, "outputs": {"fare": 4.0}},
        {"inputs": {"distance": 4.0}, "outputs": {"fare": 8.5}},
    ]
    assert found.golden == "the logged input example"
    assert json.loads(other.record.golden) == [{"inputs": {"distance": 0.0}, "outputs": {"fare": 2.5}}]
    assert "no input example was logged" in other.golden
    config = json.loads(record.config)
    assert config["params"] == {"weight": "1.5", "solver": "exact"}
    assert config["mlflow"]["experiment"] == "taxi"
    assert record.metrics == {"rmse": 0.5, "mae": 0.25}
    assert record.tags == {"team": "rides", "approved": "yes", "imported_from": "mlflow"}
    assert stored.run is not None
    assert (record.started_ms, record.finished_ms) == (stored.run.started_ms, stored.run.ended_ms)
    assert record.trained_by == stored.run.user
    assert "What a ride costs." in found.card
    assert "The first **fit**." in found.card
    assert "Fitted on **October**." in found.card


def test_what_was_imported_is_known_again_wherever_the_store_lies(
    fares: list[tuple[StoredVersion, Importable]],
) -> None:
    records = {3: fares[0][1].record}
    assert imported_as(records, fares[0][0]) == 3
    assert imported_as(records, fares[1][0]) is None
    assert identity(fares[0][0]) != identity(fares[1][0])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_code_and_pickles_are_left_where_they_are(folder: Path, layout: str) -> None:
    code = stored_versions(url_of(folder, layout))[0]
    with pytest.raises(InvalidInput, match="its flavours are python_function, and only onnx can be served; convert it"):
        importable(code)


def test_what_is_no_store_is_refused_with_what_is_expected(folder: Path) -> None:
    for url, said in (
        ("http://mlflow.example/", "expected mlflow:///absolute"),
        ("mlflow://relative/path", "expected mlflow:///absolute"),
        (f"mlflow://{folder / 'mlflow.db'}", f"read as mlflow\\+sqlite://{folder / 'mlflow.db'}"),
        (f"mlflow://{folder / 'artifacts' / 'models'}", "no model was ever registered"),
        (f"mlflow+sqlite://{folder / 'nothing.db'}", "there is no file"),
        (f"mlflow+sqlite://{Path(__file__)}", "cannot be read as an MLflow store"),
    ):
        with pytest.raises(InvalidInput, match=said):
            stored_versions(url)


def changed(folder: Path, tmp_path: Path, edit: str) -> StoredVersion:
    """The first version of `fare` with a changed copy of its folder."""
    stored = next(one for one in stored_versions(url_of(folder, "files")) if one.model == "fare")
    assert stored.folder is not None
    copy = tmp_path / "artifacts"
    copy.mkdir()
    for path in stored.folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    text = (copy / "MLmodel").read_text()
    (copy / "MLmodel").write_text(text.replace("data: model.onnx", edit) if edit else text)
    return StoredVersion(**{name: getattr(stored, name) for name in StoredVersion.__slots__} | {"folder": copy})


def test_an_mlmodel_file_cannot_point_elsewhere_or_run_anything(folder: Path, tmp_path: Path) -> None:
    for number, edit in enumerate(
        ("data: ../../../etc/passwd", "data: /etc/passwd", "data: !!python/object/apply:os.system ['true']")
    ):
        place = tmp_path / str(number)
        place.mkdir()
        with pytest.raises(InvalidInput):
            importable(changed(folder, place, edit))


def test_yaml_that_grows_when_it_is_read_is_refused_and_links_are_not_followed(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
    model = tmp_path / "models" / "fare"
    (model / "aliases").mkdir(parents=True)
    for text in ("\n".join(lines), f"name: {'[' * 200}{']' * 200}", "name: &a [*a]", f"name: {'[' * 100_000}"):
        (model / "meta.yaml").write_text(text)
        with pytest.raises(InvalidInput, match="cannot be read as an MLflow store"):
            stored_versions(f"mlflow://{tmp_path}")
    version = model / "version-1"
    (version / "tags").mkdir(parents=True)
    (model / "meta.yaml").write_text("name: fare")
    (version / "meta.yaml").write_text("{name: fare, version: 1}")
    (version / "tags" / "own").write_text("yes")
    (tmp_path / "secret").write_text("of this machine")
    (version / "tags" / "stolen").symlink_to(tmp_path / "secret")
    [stored] = stored_versions(f"mlflow://{tmp_path}")
    assert stored.tags == {"own": "yes"}


def test_a_broken_file_is_not_imported(folder: Path, tmp_path: Path) -> None:
    stored = changed(folder, tmp_path, "")
    assert stored.folder is not None
    (stored.folder / "model.onnx").write_bytes(b"no onnx")
    with pytest.raises(InvalidInput, match="not an ONNX model"):
        importable(stored)
    with pytest.raises(InvalidInput, match="are not on this machine"):
        importable(StoredVersion(**{n: getattr(stored, n) for n in StoredVersion.__slots__} | {"folder": None}))

"""Reads the registered models of an MLflow store: a folder `mlruns` of YAML files, or an SQLite file. Writes nothing.

Knows MLflow's layouts of 2.x and 3.x, and none of its code. Artifacts are found where the store says, or, where the
store was moved or copied, at the same place below it.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

import yaml

from bighead.errors import InvalidInput

FILES, SQLITE = "mlflow", "mlflow+sqlite"
_DELETED = "Deleted_Internal"
_MOST_BYTES = 1 << 20
"""No YAML file of a store is larger by far."""
_MOST_NODES, _MOST_DEPTH = 100_000, 50


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A training run; times are milliseconds since the epoch, UTC, None where the store has none."""

    run_id: str
    name: str = ""
    experiment: str = ""
    user: str = ""
    started_ms: int | None = None
    ended_ms: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A registered version. folder: its artifacts, None where they are not on this machine; aliases name it."""

    model: str
    version: int
    created_ms: int
    description: str
    model_description: str
    stage: str
    source: str
    user: str
    folder: Path | None
    run: StoredRun | None
    tags: Mapping[str, str]
    aliases: tuple[str, ...]


class Store(Protocol):
    """What the two layouts have in common."""

    root: Path

    def versions(self) -> Iterator[Mapping[str, Any]]:
        """One row a version that was not deleted, in any order, with MLflow's own names of fields."""

    def run(self, run_id: str) -> StoredRun | None:
        """A run; None where the store does not know it."""

    def location(self, model_id: str) -> str:
        """Where a logged model of MLflow 3 has its artifacts; empty where the store does not know it."""

    def artifacts_of(self, run_id: str) -> str:
        """Where a run has its artifacts; empty where the store does not know it."""


def stored_versions(url: str) -> list[StoredVersion]:
    """All versions of a store, by model and number; raises InvalidInput for what is no store."""
    store = _opened(url)
    try:
        rows = sorted(store.versions(), key=lambda row: (str(row["name"]), int(row["version"])))
        return [_version(store, row) for row in rows]
    except (sqlite3.Error, OSError, KeyError, ValueError, TypeError) as error:
        raise InvalidInput(f"{url} cannot be read as an MLflow store: {type(error).__name__}: {error}") from error


def _opened(url: str) -> Store:
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.scheme not in (FILES, SQLITE) or parts.netloc or not path.is_absolute():
        raise InvalidInput(
            f"{url!r} names no MLflow store; expected {FILES}:///absolute/path/to/mlruns, or "
            f"{SQLITE}:///absolute/path/to/mlflow.db; what a server keeps elsewhere has to be copied here first"
        )
    if parts.scheme == FILES:
        if not path.is_dir():
            hint = f"; a file is read as {SQLITE}://{path}" if path.is_file() else ""
            raise InvalidInput(f"there is no folder {path}{hint}")
        return FileStore(path)
    if not path.is_file():
        raise InvalidInput(f"there is no file {path}")
    return SqliteStore(path)


def _version(store: Store, row: Mapping[str, Any]) -> StoredVersion:
    run_id = str(row.get("run_id") or "")
    run = store.run(run_id) if run_id else None
    source = str(row.get("source") or "")
    places = (str(row.get("storage_location") or ""), _resolved(store, source), source)
    folders = (_folder(store.root, place) for place in places)
    return StoredVersion(
        model=str(row["name"]),
        version=int(row["version"]),
        created_ms=int(row.get("creation_time") or row.get("creation_timestamp") or 0),
        description=str(row.get("description") or ""),
        model_description=str(row.get("model_description") or ""),
        stage="" if row.get("current_stage") in (None, "None") else str(row["current_stage"]),
        source=source,
        user=str(row.get("user_id") or "") or (run.user if run else ""),
        folder=next((found for found in folders if found), None),
        run=run,
        tags=dict(row["tags"]),
        aliases=tuple(sorted(row["aliases"])),
    )


def _resolved(store: Store, source: str) -> str:
    """The place of `models:/{id}` and of `runs:/{id}/{path}`; empty for any other source."""
    scheme, _, rest = source.partition(":/")
    if scheme == "models":
        return store.location(rest.strip("/"))
    if scheme == "runs":
        run_id, _, path = rest.strip("/").partition("/")
        place = store.artifacts_of(run_id)
        return f"{place.rstrip('/')}/{path}" if place else ""
    return ""


def _folder(root: Path, place: str) -> Path | None:
    """The folder of a place on this machine: where it says, or the longest end of it that lies below the store."""
    parts = urlsplit(place)
    if parts.scheme not in ("", "file") or not parts.path:
        return None
    path = Path(unquote(parts.path))
    if path.is_dir():
        return path
    names = [name for name in path.parts if name not in ("/", "..", ".")]
    ends = (root.joinpath(*names[start:]) for start in range(len(names)))
    return next((end for end in ends if end.is_dir()), None)


class FileStore:
    """`mlruns`: experiments with their runs as folders, registered models below `models`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if not (root / "models").is_dir():
            raise InvalidInput(f"{root} has no folder `models`: no model was ever registered in this MLflow store")

    def versions(self) -> Iterator[Mapping[str, Any]]:
        """See `Store`."""
        for folder in sorted((self.root / "models").iterdir()):
            if not (folder / "meta.yaml").is_file():
                continue
            model = _yaml(folder / "meta.yaml")
            aliases = {name: int(text) for name, text in _texts(folder / "aliases").items()}
            for one in sorted(folder.glob("version-*/meta.yaml")):
                row = _yaml(one)
                if row.get("current_stage") == _DELETED:
                    continue
                named = [alias for alias, version in aliases.items() if version == int(row["version"])]
                tags = _texts(one.parent / "tags")
                yield row | {"tags": tags, "aliases": named, "model_description": model.get("description")}

    def run(self, run_id: str) -> StoredRun | None:
        """See `Store`."""
        folder = self._run_folder(run_id)
        if folder is None:
            return None
        meta, tags = _yaml(folder / "meta.yaml"), _texts(folder / "tags")
        experiment = folder.parent / "meta.yaml"
        metrics = {name: _last_value(text) for name, text in _texts(folder / "metrics").items()}
        return StoredRun(
            run_id=run_id,
            name=str(meta.get("run_name") or tags.get("mlflow.runName", "")),
            experiment=str(_yaml(experiment).get("name") or "") if experiment.is_file() else "",
            user=tags.get("mlflow.user") or str(meta.get("user_id") or ""),
            started_ms=meta.get("start_time"),
            ended_ms=meta.get("end_time"),
            params=_texts(folder / "params"),
            metrics=metrics,
            tags=tags,
        )

    def location(self, model_id: str) -> str:
        """See `Store`."""
        found = self._one(f"*/models/{model_id}/meta.yaml", model_id)
        return "" if found is None else str(_yaml(found).get("artifact_location") or "")

    def artifacts_of(self, run_id: str) -> str:
        """See `Store`."""
        folder = self._run_folder(run_id)
        return "" if folder is None else str(_yaml(folder / "meta.yaml").get("artifact_uri") or "")

    def _run_folder(self, run_id: str) -> Path | None:
        found = self._one(f"*/{run_id}/meta.yaml", run_id)
        return None if found is None else found.parent

    def _one(self, pattern: str, identity: str) -> Path | None:
        """The file of an id, which is a name and no path or pattern."""
        if not identity.replace("-", "").isalnum():
            return None
        return next(iter(sorted(self.root.glob(pattern))), None)


class SqliteStore:
    """The tables of `mlflow.db`, read without the right to write."""

    def __init__(self, path: Path) -> None:
        self.root = path.parent
        self._url = f"file:{quote(str(path))}?mode=ro"

    def versions(self) -> Iterator[Mapping[str, Any]]:
        """See `Store`."""
        models = {row["name"]: row for row in self._rows("SELECT * FROM registered_models")}
        tags = self._rows("SELECT * FROM model_version_tags")
        aliases = self._rows("SELECT * FROM registered_model_aliases")
        for row in self._rows("SELECT * FROM model_versions"):
            if row.get("current_stage") == _DELETED:
                continue
            place = (row["name"], row["version"])
            yield dict(row) | {
                "tags": {one["key"]: one["value"] for one in tags if (one["name"], one["version"]) == place},
                "aliases": [one["alias"] for one in aliases if (one["name"], one["version"]) == place],
                "model_description": models.get(row["name"], {}).get("description"),
            }

    def run(self, run_id: str) -> StoredRun | None:
        """See `Store`."""
        found = self._rows("SELECT * FROM runs WHERE run_uuid = ?", run_id)
        if not found:
            return None
        (row,) = found
        experiments = self._rows("SELECT * FROM experiments WHERE experiment_id = ?", row["experiment_id"])
        tags = self._pairs("SELECT * FROM tags WHERE run_uuid = ?", run_id)
        metrics = self._rows("SELECT * FROM latest_metrics WHERE run_uuid = ?", run_id)
        return StoredRun(
            run_id=run_id,
            name=str(row.get("name") or tags.get("mlflow.runName", "")),
            experiment=str(experiments[0]["name"]) if experiments else "",
            user=tags.get("mlflow.user") or str(row.get("user_id") or ""),
            started_ms=row.get("start_time"),
            ended_ms=row.get("end_time"),
            params=self._pairs("SELECT * FROM params WHERE run_uuid = ?", run_id),
            metrics={one["key"]: float(one["value"]) for one in metrics if not one.get("is_nan")},
            tags=tags,
        )

    def location(self, model_id: str) -> str:
        """See `Store`."""
        if not self._rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'logged_models'"):
            return ""  # before MLflow 3
        found = self._rows("SELECT * FROM logged_models WHERE model_id = ?", model_id)
        return str(found[0].get("artifact_location") or "") if found else ""

    def artifacts_of(self, run_id: str) -> str:
        """See `Store`."""
        found = self._rows("SELECT * FROM runs WHERE run_uuid = ?", run_id)
        return str(found[0].get("artifact_uri") or "") if found else ""

    def _rows(self, query: str, *values: object) -> Sequence[dict[str, Any]]:
        with closing(sqlite3.connect(self._url, uri=True)) as database:
            cursor = database.execute(query, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def _pairs(self, query: str, *values: object) -> dict[str, str]:
        return {str(row["key"]): str(row["value"]) for row in self._rows(query, *values)}


def _yaml(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; no such file of MLflow is so large")
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path} is no plain YAML: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no names and values")
    if sum(1 for _ in islice(_nodes(found, 0), _MOST_NODES + 1)) > _MOST_NODES:
        raise ValueError(f"{path} holds more than {_MOST_NODES:,} values; no such file of MLflow does")
    return found


def _nodes(value: object, depth: int) -> Iterator[object]:
    """Every value in it, those again that are referred to again: a few lines of YAML may stand for billions."""
    yield value
    if depth > _MOST_DEPTH:
        raise ValueError(f"a value lies more than {_MOST_DEPTH} levels deep; no such file of MLflow is like that")
    inner = (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _nodes(one, depth + 1)


def model_file(folder: Path) -> dict[str, Any]:
    """What a model's file `MLmodel` says; raises ValueError or OSError where it says nothing."""
    return _yaml(folder / "MLmodel")


def _texts(folder: Path) -> dict[str, str]:
    """The content of each file of a folder, by its name; of none where there is no folder.

    Links are left out: in a store that came from elsewhere they may lead to files that are nobody's business.
    """
    if not folder.is_dir():
        return {}
    return {
        str(path.relative_to(folder)): path.read_text("utf-8").strip()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def _last_value(text: str) -> float:
    """The value of the last line `time value step`."""
    return float(text.splitlines()[-1].split()[1])

"""What a training came from, piece by piece, so that of two different outcomes the cause can be named. Pure.

A column is its SHA-256; a row is a number of 64 bits, so that differing rows can be counted and the first one named.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Hashes = npt.NDArray[np.uint64]
EVIDENCE, ROWS = "evidence.json", "rows.u64"
"""How a run calls the files that keep it."""
_MOST_NAMED = 5
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that the bytes of an artifact follow from, and their SHA-256.

    segments: of a partitioned model the SHA-256 of each model's bytes; `artifact` is then that of all of these.
    data: rows, and SHA-256 by column, in order. parameters: of every step of the fitted pipeline. code: commit and
    uncommitted changes by what they are of. environment: Python, machine, packages. read: what names the rows again.
    folder: of the specification's file.
    """

    artifact: str
    seed: int
    specification: Mapping[str, Any]
    data: Mapping[str, Any]
    parameters: Mapping[str, str]
    code: Mapping[str, Mapping[str, str]]
    environment: Mapping[str, Any]
    folder: str = ""
    read: Mapping[str, Any] = field(default_factory=dict)
    segments: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


@dataclass(frozen=True)
class Cause:
    """One thing that is not as it was. kind: data, seed, parameter, specification, library, machine or code."""

    kind: str
    text: str


def column_hashes(rows: pd.DataFrame) -> dict[str, str]:
    """SHA-256 of each column's values, in order; a column of another type is another one."""
    return {str(name): _column_hash(rows[name]) for name in rows.columns}


def row_hashes(rows: pd.DataFrame) -> Hashes:
    """A number for each row, from all of its values."""
    found = np.zeros(len(rows), np.uint64)
    for name in rows.columns:
        values = rows[name]
        plain = values.to_numpy() if values.dtype.kind in "biuf" else _texts(values)
        with np.errstate(over="ignore"):
            found = (found ^ pd.util.hash_array(plain).astype(np.uint64)) * _ODD
            found ^= found >> np.uint64(29)
    return found


def causes(then: Evidence, now: Evidence, rows_then: Hashes | None, rows_now: Hashes) -> tuple[Cause, ...]:
    """All that differs between two trainings and can change an artifact; nothing where only chance can."""
    found = [*_data(then.data, now.data, rows_then, rows_now)]
    if then.seed != now.seed:
        found.append(Cause("seed", f"the seed was {then.seed} and is {now.seed}"))
    found += [
        Cause("parameter", f"{name} was {one} and is {two}")
        for name, one, two in _changed(then.parameters, now.parameters)
    ]
    found += _specification(then.specification, now.specification)
    packages = [dict(one.environment.get("packages", {})) for one in (then, now)]
    found += [Cause("library", f"{name} was {one} and is {two}") for name, one, two in _changed(*packages)]
    machines = [{name: value for name, value in one.environment.items() if name != "packages"} for one in (then, now)]
    found += [Cause("machine", f"{name} was {one} and is {two}") for name, one, two in _changed(*machines)]
    for what in sorted({*then.code, *now.code}):
        one, two = then.code.get(what, {}), now.code.get(what, {})
        if one != two:
            found.append(Cause("code", f"the code of {what} was {_code(one)} and is {_code(two)}"))
    return tuple(found)


def _column_hash(values: pd.Series) -> str:
    digest = hashlib.sha256(str(values.dtype if values.dtype.kind in "biuf" else "text").encode())
    if values.dtype.kind in "biuf":
        digest.update(np.ascontiguousarray(values.to_numpy()).tobytes())
        return digest.hexdigest()
    for text in _texts(values):
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def _texts(values: pd.Series) -> npt.NDArray[np.object_]:
    """Values of any kind as texts that tell them apart; a null is no text."""
    known = values.notna().to_numpy()
    given = values.to_numpy()
    return np.array(
        [f"{type(one).__name__} {one!r}" if known[at] else "" for at, one in enumerate(given)], dtype=object
    )


def _data(
    then: Mapping[str, Any], now: Mapping[str, Any], rows_then: Hashes | None, rows_now: Hashes
) -> Iterator[Cause]:
    columns = list(_changed(then["columns"], now["columns"]))
    if not columns:
        return
    absent = [name for name, _, two in columns if two is None]
    added = [name for name, one, _ in columns if one is None]
    differing = [name for name, one, two in columns if one is not None and two is not None]
    said = [
        *([f"it lacks {_listed(absent)}"] if absent else []),
        *([f"it has gained {_listed(added)}"] if added else []),
        *([f"values differ in {_listed(differing)}"] if differing else []),
    ]
    if then["rows"] != now["rows"]:
        said.insert(0, f"it had {then['rows']} rows and has {now['rows']}")
    if rows_then is not None:
        shared = min(len(rows_then), len(rows_now))
        places = np.flatnonzero(rows_then[:shared] != rows_now[:shared])
        if len(places):
            said.append(f"{len(places)} of {shared} rows differ, the first is row {places[0]} (counted from 0)")
    yield Cause("data", f"the training data {now['name']!r} is another: {'; '.join(said)}")


def _specification(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Cause]:
    """What was chosen, the seed apart; where only the text of the file differs, that."""
    told = ("seed", "source", "source_sha256", "file")
    one, two = ({name: value for name, value in spec.items() if name not in told} for spec in (then, now))
    different = list(_changed(one, two))
    for name, before, after in different:
        yield Cause("specification", f"{name} was {before!r} and is {after!r}")
    if not different and then.get("source_sha256") != now.get("source_sha256"):
        yield Cause("specification", f"the text of {now.get('file', 'the file')} is another")


def _changed(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in [*one, *(name for name in two if name not in one)]:
        if one.get(name) != two.get(name):
            yield name, one.get(name), two.get(name)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _code(one: Mapping[str, str]) -> str:
    changes = f" with changes {one['dirty_sha256'][:12]}" if one.get("dirty_sha256") else ""
    return f"{one.get('version', 'unknown')[:40]}{changes}"

"""Keeps event schemas FULL_TRANSITIVE without a broker: compares them with every released version in schemas/history/.

`python infra/schema_history.py check` fails where one is not; `... record` adds the versions that are new.
Run `record` when a version is released: what lies in the history is never edited.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from infra.codegen import SCHEMAS, registered_schemas  # noqa: E402 - a script finds its neighbours through ROOT

HISTORY = SCHEMAS / "history"
ADVICE = (
    "Give an added field a default, remove only fields that had one, leave types as they are; "
    "for anything else make a new event type"
)

Schemas = Mapping[str, Any]


def released(folder: Path) -> dict[str, dict[int, Any]]:
    """The released versions by full name and number."""
    versions: dict[str, dict[int, Any]] = {}
    for path in sorted(folder.glob("*.avsc")):
        schema = json.loads(path.read_text())
        number = int(path.stem.rpartition(".")[2])
        versions.setdefault(f"{schema['namespace']}.{schema['name']}", {})[number] = schema
    return versions


def broken_promises(current: Schemas, history: Mapping[str, Mapping[int, Any]]) -> list[str]:
    """What in the current schemas is not FULL_TRANSITIVE with a released version: type, field and version."""
    problems = []
    for name, versions in sorted(history.items()):
        if name not in current:
            file = f"schemas/{name.rpartition('.')[2]}.avsc"
            problems.append(f"{name} was released and its schema is gone: put {file} back")
            continue
        for number, schema in sorted(versions.items()):
            for field in unread(current[name], schema):
                problems.append(f"{name}, field {field}: now cannot read what version {number} wrote. {ADVICE}")
            for field in unread(schema, current[name]):
                problems.append(f"{name}, field {field}: version {number} cannot read what is written now. {ADVICE}")
    return problems


def unread(reader: Any, writer: Any) -> list[str]:
    """The fields for which the reader's schema cannot read what the writer's wrote."""
    parsed = avro.schema.parse(json.dumps(reader))
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    result = checker.get_compatibility(parsed, avro.schema.parse(json.dumps(writer)))
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    return sorted(field_at(parsed, place) for place in result.locations - {"/"}) or ["(the record itself)"]


def field_at(schema: Any, place: str) -> str:
    """The dotted name of the field at a place such as /fields/3/type/items/fields/0."""
    names = []
    tokens = iter(place.strip("/").split("/"))
    for token in tokens:
        match token:
            case "fields":
                field = schema.fields[int(next(tokens))]
                names.append(field.name)
                schema = field.type
            case "items":
                schema = schema.items
            case "values":
                schema = schema.values
    return ".".join(names) or place


def new_versions(current: Schemas, history: Mapping[str, Mapping[int, Any]]) -> dict[str, Any]:
    """Name of the file and schema of each version that is not in the history yet."""
    files = {}
    for name, schema in current.items():
        versions = history.get(name, {})
        newest = max(versions, default=0)
        if versions.get(newest) != schema:
            files[f"{name.rpartition('.')[2]}.{newest + 1}.avsc"] = schema
    return files


def main(arguments: list[str]) -> int:
    """Checks or records."""
    if arguments not in (["check"], ["record"]):
        sys.stderr.write(f"schema_history: received {' '.join(arguments)!r}; expected check or record\n")
        return 2
    current, history = registered_schemas(), released(HISTORY)
    problems = broken_promises(current, history)
    for problem in problems:
        sys.stderr.write(problem + "\n")
    if problems or arguments == ["check"]:
        return 1 if problems else 0
    HISTORY.mkdir(exist_ok=True)
    for file, schema in new_versions(current, history).items():
        (HISTORY / file).write_text(json.dumps(schema, indent=2) + "\n")
        sys.stdout.write(f"recorded schemas/history/{file}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

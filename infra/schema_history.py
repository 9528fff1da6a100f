"""Keeps event schemas FULL_TRANSITIVE without a broker: compares them with every released version in schemas/history/.

`python infra/schema_history.py check` fails where one is not; `... record` adds the versions that are new.
Run `record` when a version is released: what lies in the history is never edited.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import ArraySchema, MapSchema, RecordSchema, Schema, parse

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from infra.codegen import SCHEMAS, registered_schemas  # noqa: E402 - a script finds its neighbours through ROOT

HISTORY = SCHEMAS / "history"
ADVICE = (
    "Give an added field a default, remove only fields that had one, leave types as they are; "
    "for anything else make a new event type"
)

Schemas = Mapping[str, Any]


def parsed(schema: Any) -> Schema:
    """A schema of the avro library."""
    return parse(json.dumps(schema))


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
        now = parsed(current[name])
        for number, schema in sorted(versions.items()):
            then = parsed(schema)
            for field in unread(now, then):
                problems.append(f"{name}, field {field}: now cannot read what version {number} wrote. {ADVICE}")
            for field in unread(then, now):
                problems.append(f"{name}, field {field}: version {number} cannot read what is written now. {ADVICE}")
    return problems


def unread(reader: Schema, writer: Schema, field: str = "") -> list[str]:
    """The fields, by dotted name, for which the reader's schema cannot read what the writer's wrote."""
    if isinstance(reader, RecordSchema) and isinstance(writer, RecordSchema) and reader.name == writer.name:
        found = []
        for row in reader.fields:
            name, written = f"{field}.{row.name}".lstrip("."), writer.fields_dict.get(row.name)
            if written is not None:
                found += unread(row.type, written.type, name)
            elif not row.has_default:
                found.append(name)
        return found
    if isinstance(reader, ArraySchema) and isinstance(writer, ArraySchema):
        return unread(reader.items, writer.items, field)
    if isinstance(reader, MapSchema) and isinstance(writer, MapSchema):
        return unread(reader.values, writer.values, field)
    result = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)  # type: ignore[no-untyped-call]
    return [] if result.compatibility is SchemaCompatibilityType.compatible else [field]


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

"""The registered form of each platform event's schema, as infra/codegen.py wrote it into the package."""

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def platform_schemas() -> dict[str, dict[str, Any]]:
    """Schemas by full name. Self-contained; not to be changed."""
    text = files("bighead.events").joinpath("schemas.json").read_text("utf-8")
    schemas: dict[str, dict[str, Any]] = json.loads(text)
    return schemas


def subject_of(topic: str, full_name: str) -> str:
    """The subject under which the schema of a topic's event type is registered."""
    return f"{topic}-{full_name}"


def types_of(topic: str, subjects: Iterable[str]) -> list[str]:
    """Full names of the event types that are registered for a topic."""
    names = [subject.removeprefix(f"{topic}-") for subject in subjects if subject.startswith(f"{topic}-")]
    # A record's name has no dash: one is part of the name of another topic that begins like this one.
    return [name for name in names if "-" not in name]


def full_name_of(schema: dict[str, Any]) -> str:
    """The full name of a record schema."""
    name: str = schema["name"]
    namespace = schema.get("namespace")
    return name if "." in name or not namespace else f"{namespace}.{name}"

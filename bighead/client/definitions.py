"""Definitions from a user's own Python file: its GroupBys and Joins, by name, and its Labels."""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from bighead.errors import BigheadError, DefinitionError
from bighead.features.definition import GroupBy, Join
from bighead.features.labels import Label

Definition = TypeVar("Definition", GroupBy, Join)


@dataclass(frozen=True)
class Definitions:
    """What a file defines, by name, in its order."""

    groups: Mapping[str, GroupBy]
    joins: Mapping[str, Join]


def load_definitions(path: Path) -> Definitions:
    """Runs a user's own Python file and collects the GroupBys and Joins of its module level."""
    module = _run_file(path)
    found = [value for value in vars(module).values() if isinstance(value, GroupBy | Join)]
    joins = _by_name("Join", [one for one in found if isinstance(one, Join)])
    named = [one for one in found if isinstance(one, GroupBy)]
    parts = [part.group for join in joins.values() for part in join.as_parts() if isinstance(part.group, GroupBy)]
    groups = _by_name("GroupBy", [*named, *parts])
    if not groups and not joins:
        raise DefinitionError(f"{path} defines no GroupBy and no Join at its module level")
    if both := sorted(groups.keys() & joins.keys()):
        raise DefinitionError(f"{both[0]!r} is the name of a GroupBy and of a Join; give one of them another name")
    return Definitions(groups, joins)


def load_labels(path: Path) -> list[Label]:
    """Runs a user's own Python file and collects the Labels of its module level."""
    found = [value for value in vars(_run_file(path)).values() if isinstance(value, Label)]
    labels = list({label.name: label for label in found}.values())
    if not labels:
        raise DefinitionError(f"{path} defines no Label at its module level")
    return labels


def _by_name(kind: str, found: Sequence[Definition]) -> dict[str, Definition]:
    """Definitions by name; the same one may be found under several variables, two different ones may not."""
    named: dict[str, Definition] = {}
    for one in found:
        if named.setdefault(one.name, one) != one:
            raise DefinitionError(f"{kind} {one.name!r} is defined twice, differently; give one of them another name")
    return named


def _run_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise DefinitionError(f"{path} is no file; expected a Python file with GroupBys and Joins")
    spec = importlib.util.spec_from_file_location(f"bighead_definitions_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise DefinitionError(f"{path} is no Python file; expected one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.absolute()))  # what lies beside the file can be imported, as when it is run
    try:
        spec.loader.exec_module(module)
    except BigheadError:
        raise
    except Exception as error:
        raise DefinitionError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent.absolute()))
    return module

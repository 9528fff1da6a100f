"""Finds groups, features and Joins by any words of their names, descriptions, owners, tags and columns. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from bighead.features.catalog import Catalog
from bighead.features.compiled import CompiledGroup, describe


@dataclass(frozen=True)
class Found:
    """One hit. of: the group of a feature, the topic of a group, the groups of a Join."""

    kind: str
    name: str
    of: str
    type: str
    owner: str
    tags: tuple[str, ...]
    description: str


def search(catalog: Catalog, text: str) -> list[Found]:
    """What has every word of `text` somewhere in what is said of it, whatever the case; by name."""
    words = text.lower().split()
    return [one for one in sorted(_everything(catalog), key=lambda one: (one.kind, one.name)) if _has(one, words)]


def _has(one: Found, words: list[str]) -> bool:
    said = " ".join([one.kind, one.name, one.of, one.type, one.owner, *one.tags, one.description]).lower()
    return all(word in said for word in words)


def _everything(catalog: Catalog) -> Iterator[Found]:
    for name in catalog.active:
        yield from _of_group(catalog.group(name).group)
    for name in catalog.joins:
        join = catalog.join(name)
        said, groups = join.definition, ", ".join(group.name for group in join.groups)
        tags = tuple(said.tags)
        yield Found("join", name, groups, f"{len(join.kinds)} columns", said.owner, tags, said.description)
        for column, text in said.derivations.items():
            yield Found("derivation", f"{name}.{column}", name, str(join.kinds[column]), said.owner, tags, text)


def _of_group(group: CompiledGroup) -> Iterator[Found]:
    said, columns = group.definition, ", ".join(group.keys)
    yield Found("group", said.name, said.source.topic, f"by {columns}", said.owner, tuple(said.tags), said.description)
    for row in describe(group):
        tags, kind = (*said.tags, *row["tags"]), row["type"]
        yield Found("feature", row["feature"], said.name, kind, said.owner, tags, row["description"])

"""What the catalog serves now, as training data is compared with it: epochs, hashes and types of columns. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from bighead.features.catalog import Catalog
from bighead.features.types import ValueType


@dataclass(frozen=True)
class ServedJoin:
    """A Join as it is served: its generation, the hash of its meaning, and the type of each column that it gives."""

    epoch: int
    hash: str
    kinds: Mapping[str, ValueType]


@dataclass(frozen=True)
class ServedDefinitions:
    """What the catalog serves now: its Joins, by name."""

    joins: Mapping[str, ServedJoin]


def served_definitions(catalog: Catalog) -> ServedDefinitions:
    """What a catalog (`bighead.client.catalog.read_catalog`) serves."""
    compiled = {name: catalog.join(name) for name in catalog.joins}
    return ServedDefinitions(
        {name: ServedJoin(catalog.joins[name].epoch, join.hash, join.kinds) for name, join in compiled.items()}
    )

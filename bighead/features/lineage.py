"""Which topic, table and column feeds which feature, Join and model, both ways: a graph made from the catalog.

Pure. Only what answers is in it: active epochs of groups, applied Joins, and registered versions of models.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from bighead.errors import DefinitionError, near
from bighead.features.catalog import Catalog
from bighead.features.compiled import CompiledGroup, CompiledJoin


class Kind(StrEnum):
    """What a node of the graph is, from the source to the model."""

    TOPIC = "topic"
    TABLE = "table"
    COLUMN = "column"
    GROUP = "group"
    FEATURE = "feature"
    REQUEST = "request"
    OUTPUT = "output"
    JOIN = "join"
    MODEL = "model"


@dataclass(frozen=True, order=True)
class Node:
    """Something that has a name of its kind.

    A column is `{topic}.{column}`, what a Join gives or takes `{join}.{column}`, a model `{name}/{version}`.
    """

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class ModelUse:
    """What a version of a model takes: columns of a Join."""

    model: str
    version: int
    join: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Lineage:
    """The graph: `edges` go from what feeds to what is fed."""

    edges: tuple[tuple[Node, Node], ...]

    def find(self, name: str) -> tuple[Node, ...]:
        """The nodes of that name: in full, or without its topic, join or version; raises DefinitionError for none."""
        nodes = {node for edge in self.edges for node in edge}
        found = sorted(node for node in nodes if name in (node.name, str(node)) or name == _short(node))
        if not found:
            known = sorted({text for node in nodes for text in (node.name, _short(node))})
            raise DefinitionError(f"nothing named {name!r} is in the catalog{near(name, known)}")
        return tuple(found)

    def upstream(self, node: Node) -> Iterator[tuple[int, Node]]:
        """What feeds a node, with its distance, each once."""
        return _walk(node, self._fed_by)

    def downstream(self, node: Node) -> Iterator[tuple[int, Node]]:
        """What a node feeds, with its distance, each once."""
        return _walk(node, self._feeds)

    def between(self, kinds: Collection[Kind]) -> tuple[tuple[Node, Node], ...]:
        """The edges that are left where only nodes of some kinds are looked at: others between them are passed over.

        An edge beside a way of two edges is left out.
        """
        found: dict[tuple[Node, Node], None] = {}
        for node in dict.fromkeys(one for edge in self.edges for one in edge if one.kind in kinds):
            seen, waiting = {node}, list(self._feeds.get(node, []))
            while waiting:
                other = waiting.pop()
                if other in seen:
                    continue
                seen.add(other)
                if other.kind in kinds:
                    found[node, other] = None
                else:
                    waiting += self._feeds.get(other, [])
        fed = _by_first(found)
        beside = {(first, third) for first, second in found for third in fed.get(second, [])}
        return tuple(edge for edge in found if edge not in beside)

    @cached_property
    def _feeds(self) -> dict[Node, list[Node]]:
        return _by_first(self.edges)

    @cached_property
    def _fed_by(self) -> dict[Node, list[Node]]:
        return _by_first((fed, feeds) for feeds, fed in self.edges)


def lineage_of(catalog: Catalog, models: Iterable[ModelUse]) -> Lineage:
    """The lineage of everything in the catalog that answers, and of the models that use it."""
    edges: dict[tuple[Node, Node], None] = {}
    for name in sorted(catalog.active):
        edges |= dict.fromkeys(_group_edges(catalog.group(name).group))
    for name in sorted(catalog.joins):
        edges |= dict.fromkeys(_join_edges(catalog.join(name)))
    for use in models:
        model = Node(Kind.MODEL, f"{use.model}/{use.version}")
        edges[Node(Kind.JOIN, use.join), model] = None
        edges |= dict.fromkeys((Node(Kind.OUTPUT, f"{use.join}.{column}"), model) for column in use.columns)
    return Lineage(tuple(edges))


def around(catalog: Catalog, name: str) -> Catalog:
    """As much of a catalog as the lineage of one group or Join needs: its groups, and the Joins that read it."""
    if name in catalog.joins:
        joins = {name: catalog.joins[name]}
    else:
        joins = {join: catalog.joins[join] for join in catalog.readers(name)}
    groups = {name, *(group for one in joins.values() for group in one.group_names())}
    active = {group: epoch for group, epoch in catalog.active.items() if group in groups}
    return Catalog({(group, epoch): catalog.groups[group, epoch] for group, epoch in active.items()}, active, joins)


def _group_edges(group: CompiledGroup) -> Iterator[tuple[Node, Node]]:
    source = group.definition.source
    columns = {name: Node(Kind.COLUMN, f"{source.topic}.{name}") for name in group.source_columns}
    for column in columns.values():
        yield Node(Kind.TOPIC, source.topic), column
        yield Node(Kind.TABLE, source.table), column
    shared = {source.time}
    for expression in (group.where, group.reversal, *(group.inputs[key] for key in group.keys)):
        shared |= expression.columns if expression is not None else set()
    for feature in group.features:
        cell = group.cells[feature.cell]
        read = [group.inputs[name].columns for name in (cell.column, cell.bucket) if name is not None]
        node = Node(Kind.FEATURE, feature.name)
        for name in sorted(shared.union(*read)):
            yield columns[name], node
        yield Node(Kind.GROUP, group.name), node
    for column in columns.values():
        yield column, Node(Kind.GROUP, group.name)


def _join_edges(join: CompiledJoin) -> Iterator[tuple[Node, Node]]:
    outputs = {name: Node(Kind.OUTPUT, f"{join.name}.{name}") for name in join.kinds}
    for part in join.parts:
        for feature, column in zip(part.group.features, part.columns, strict=True):
            yield Node(Kind.FEATURE, feature.name), outputs[column]
    for name in join.request_kinds:
        yield Node(Kind.REQUEST, f"{join.name}.{name}"), outputs[name]
    for name, expression in join.derivations.items():
        for column in sorted(expression.columns):
            yield outputs[column], outputs[name]
    for output in outputs.values():
        yield output, Node(Kind.JOIN, join.name)


def _by_first(edges: Iterable[tuple[Node, Node]]) -> dict[Node, list[Node]]:
    found: dict[Node, list[Node]] = {}
    for first, second in edges:
        found.setdefault(first, []).append(second)
    return found


def _walk(node: Node, edges: Mapping[Node, list[Node]]) -> Iterator[tuple[int, Node]]:
    seen, layer, distance = {node}, [node], 0
    while layer:
        following = dict.fromkeys(one for here in layer for one in edges.get(here, []) if one not in seen)
        seen |= following.keys()
        distance += 1
        yield from ((distance, one) for one in sorted(following))
        layer = list(following)


def _short(node: Node) -> str:
    """A column or output without its topic or join, a model without its version."""
    match node.kind:
        case Kind.COLUMN | Kind.OUTPUT | Kind.REQUEST:
            return node.name.rpartition(".")[2]
        case Kind.MODEL:
            return node.name.partition("/")[0]
        case _:
            return node.name

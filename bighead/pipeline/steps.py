"""A fitted pipeline as a graph: from the topics through groups and steps to the model. Pure."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sklearn.pipeline import Pipeline

from bighead.charts.graph import Graph, GraphNode
from bighead.charts.svg import number
from bighead.events.types import Tensor
from bighead.pipeline.through import Part, parts_of
from bighead.pipeline.training_set import ColumnSource

_SOURCES = {"feature": "features of the platform", "request": "the request"}


def pipeline_graph(
    pipeline: Pipeline,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    join: str | None,
    *,
    sources: Mapping[str, ColumnSource] | None = None,
    importance: Mapping[str, float] | None = None,
) -> Graph:
    """Inputs by source, the steps with the columns that each takes and what was chosen for it, the outputs.

    sources: where each input comes from; the topics and groups of the features are then drawn before them.
    importance: of the inputs; it is written beside their names, and they are sorted by it.
    """
    nodes, edges, ends = _origins(inputs, join, sources or {}, importance or {})
    columns = [tensor.name for tensor in inputs]
    for index, (name, step) in enumerate(pipeline.steps):
        is_last = index == len(pipeline.steps) - 1
        parts = [Part(name, step, tuple(columns), ())] if is_last else parts_of(name, step, columns)
        for part in parts:
            node = _step_node(f"{index} {part.name}", part, is_last, len(parts) > 1)
            nodes.append(node)
            edges += [(end, node.id) for end, names in ends.items() if not names.isdisjoint(part.taken)]
        ends = {f"{index} {part.name}": {made.name for made in part.made} for part in parts}
        columns = [made.name for part in parts for made in part.made]
    given = tuple(f"{tensor.name} {tensor.type}" for tensor in outputs)
    nodes.append(GraphNode(id="to answer", title="the answer", kind="output", items=given))
    edges += [(end, "to answer") for end in ends]
    return Graph(title="Pipeline", nodes=tuple(nodes), edges=tuple(edges))


def _origins(
    inputs: Sequence[Tensor], join: str | None, sources: Mapping[str, ColumnSource], importance: Mapping[str, float]
) -> tuple[list[GraphNode], list[tuple[str, str]], dict[str, set[str]]]:
    """What lies before the first step: nodes, edges, and by node the columns that it gives."""
    nodes: list[GraphNode] = []
    edges: list[tuple[str, str]] = []
    ends: dict[str, set[str]] = {}
    for source in dict.fromkeys(tensor.source for tensor in inputs):
        given = [tensor.name for tensor in inputs if tensor.source == source]
        names = sorted(given, key=lambda name: -importance.get(name, 0.0))
        title = f"Join {join}" if source == "feature" and join else _SOURCES.get(source, source)
        items = tuple(f"{name} {number(importance[name])}" if name in importance else name for name in names)
        node = GraphNode(id=f"from {source}", title=title, kind="source", detail=_columns(names), items=items)
        before, into = _feeding(names, sources, node.id)
        nodes += [*before, node]
        edges += into
        ends[node.id] = set(names)
    return nodes, edges, ends


def _step_node(id: str, part: Part, is_last: bool, is_branch: bool) -> GraphNode:
    return GraphNode(
        id=id,
        title=part.name,
        kind="model" if is_last else "step",
        detail=_told(part.transformer),
        items=_chosen(part.transformer) or (part.taken if is_branch else ()),
    )


def _feeding(
    names: Sequence[str], sources: Mapping[str, ColumnSource], to: str
) -> tuple[list[GraphNode], list[tuple[str, str]]]:
    """Topics and groups of the features among `names`, and of those that these are derived from, up to a node `to`."""
    read = dict.fromkeys(name for one in names for name in (one, *_derived_from(one, sources)))
    topics: dict[str, list[ColumnSource]] = {}
    groups: dict[str, dict[str, ColumnSource]] = {}
    for name in read:
        source = sources.get(name)
        if source is not None and source.kind == "feature":
            topics.setdefault(source.topic, []).append(source)
            groups.setdefault(source.group, {})[name] = source
    nodes = [_topic(topic, found) for topic, found in topics.items()]
    nodes += [_group(group, found) for group, found in groups.items()]
    edges = [(f"topic {one.topic}", f"group {group}") for group, found in groups.items() for one in found.values()]
    return nodes, [*dict.fromkeys(edges), *((f"group {group}", to) for group in groups)]


def _derived_from(name: str, sources: Mapping[str, ColumnSource]) -> Iterator[str]:
    for one in sources[name].of if name in sources else ():
        yield one
        yield from _derived_from(one, sources)


def _topic(topic: str, found: Sequence[ColumnSource]) -> GraphNode:
    columns = tuple(sorted({column for source in found for column in source.columns}))
    table = next((source.table for source in found if source.table), "")
    return GraphNode(
        id=f"topic {topic}", title=topic, kind="source", detail=f"table {table}" if table else "", items=columns
    )


def _group(group: str, found: Mapping[str, ColumnSource]) -> GraphNode:
    told = tuple(f"{one.operation} {one.window}".strip() for one in found.values())
    keys = ", ".join(next(iter(found.values())).keys)
    return GraphNode(id=f"group {group}", title=group, detail=f"by {keys}", items=tuple(dict.fromkeys(told)))


def graph_document(graph: Graph) -> dict[str, Any]:
    """As JSON has it (`bighead.charts.graph_from_json` reads it)."""
    return {
        "title": graph.title,
        "nodes": [
            {"id": node.id, "title": node.title, "kind": node.kind, "detail": node.detail, "items": list(node.items)}
            for node in graph.nodes
        ],
        "edges": [list(edge) for edge in graph.edges],
    }


def _told(step: Any) -> str:
    return "unchanged" if step == "passthrough" or type(step).__name__ == "FunctionTransformer" else type(step).__name__


def _columns(names: Sequence[str]) -> str:
    return "1 column" if len(names) == 1 else f"{len(names)} columns"


def _chosen(step: Any) -> tuple[str, ...]:
    """The parameters that are not as they are by default."""
    if not hasattr(step, "get_params") or type(step).__name__ == "FunctionTransformer":
        return ()
    defaults = {name: it.default for name, it in inspect.signature(type(step)).parameters.items()}
    given = step.get_params(deep=False).items()
    return tuple(f"{name} = {value!r}"[:120] for name, value in given if repr(value) != repr(defaults.get(name)))

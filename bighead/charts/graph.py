"""A graph of steps (a pipeline, a lineage) as data, and its drawing in layers from left to right. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bighead.charts.reading import Reader
from bighead.charts.svg import Svg, box, drawing, element, group, label, shortened
from bighead.charts.words import Table
from bighead.errors import InvalidInput

MOST_NODES, MOST_EDGES, MOST_ITEMS = 300, 2000, 2000
_WIDTH, _GAP_X, _GAP_Y, _PAD, _LINE, _HEAD = 190.0, 64.0, 18.0, 12.0, 15.0, 44.0
_SHOWN = 6
"""Items of a node that are written; the others are counted."""
_SWEEPS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """One box. `kind` names its look: source, step, model, output; `items`: what it holds, for example columns."""

    id: str
    title: str
    kind: str = "step"
    detail: str = ""
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Boxes and the arrows between them, by id; no way leads back."""

    title: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        known = {node.id for node in self.nodes}
        if len(known) != len(self.nodes):
            raise InvalidInput(f"the graph {self.title!r} has two nodes with one id; give each its own")
        for edge in self.edges:
            if not known.issuperset(edge):
                raise InvalidInput(f"the graph {self.title!r} has an edge {edge[0]!r} to {edge[1]!r}; one is no node")
        layers(self)


def graph_from_json(content: bytes | str) -> Graph:
    """The graph; raises InvalidInput where it is none, or leads back to where it came from."""
    reader = Reader.of_json(content, "the graph")
    edges = reader.values("edges", MOST_EDGES)
    if not all(
        isinstance(edge, list) and len(edge) == 2 and all(isinstance(end, str) for end in edge) for edge in edges
    ):
        raise InvalidInput("the graph's edges are not a list of [from, to]")
    nodes = tuple(
        GraphNode(
            id=one.text("id"),
            title=one.text("title"),
            kind=one.text("kind", "step"),
            detail=one.text("detail", ""),
            items=one.texts("items", MOST_ITEMS) if one.has("items") else (),
        )
        for one in reader.objects("nodes", MOST_NODES)
    )
    return Graph(title=reader.text("title"), nodes=nodes, edges=tuple((edge[0], edge[1]) for edge in edges))


def layers(graph: Graph) -> list[list[str]]:
    """The ids in columns: each node right of all that lead to it, ordered so that few arrows cross."""
    level = {node.id: 0 for node in graph.nodes}
    for _ in range(len(graph.nodes)):
        moved = False
        for start, end in graph.edges:
            if level[end] <= level[start]:
                level[end], moved = level[start] + 1, True
        if not moved:
            break
    else:
        if graph.nodes:
            raise InvalidInput(f"the graph {graph.title!r} leads back to where it came from")
    _pull(level, graph.edges)
    columns: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for node in graph.nodes:
        columns[level[node.id]].append(node.id)
    for sweep in range(_SWEEPS):
        _reorder(columns, graph.edges, forward=sweep % 2 == 0)
    return columns


def _pull(level: dict[str, int], edges: Sequence[tuple[str, str]]) -> None:
    """Moves each node to just before the first that it leads to: a long arrow would pass below the boxes between."""
    leads_to: dict[str, list[str]] = {}
    for start, end in edges:
        leads_to.setdefault(start, []).append(end)
    for name in sorted(leads_to, key=level.__getitem__, reverse=True):
        level[name] = min(level[end] for end in leads_to[name]) - 1


def _reorder(columns: list[list[str]], edges: Sequence[tuple[str, str]], forward: bool) -> None:
    """Puts each node at the mean place of its neighbours on one side; one that has none stays."""
    neighbours: dict[str, list[str]] = {}
    for start, end in edges:
        neighbours.setdefault(end if forward else start, []).append(start if forward else end)
    place = {name: index / max(1, len(column)) for column in columns for index, name in enumerate(column)}
    for column in columns if forward else reversed(columns):
        means = {}
        for name in column:
            beside = [place[other] for other in neighbours.get(name, ())]
            means[name] = sum(beside) / len(beside) if beside else place[name]
        column.sort(key=means.__getitem__)
        place |= {name: index / max(1, len(column)) for index, name in enumerate(column)}


def draw_graph(graph: Graph) -> str:
    """The graph as an SVG element."""
    columns, nodes = layers(graph), {node.id: node for node in graph.nodes}
    heights = {name: _height(node) for name, node in nodes.items()}
    tall = max((_stack([heights[name] for name in column]) for column in columns), default=_HEAD)
    at: dict[str, tuple[float, float]] = {}
    for index, column in enumerate(columns):
        y = _PAD + (tall - _stack([heights[name] for name in column])) / 2
        for name in column:
            at[name] = (_PAD + index * (_WIDTH + _GAP_X), y)
            y += heights[name] + _GAP_Y
    arrows = [_arrow(at, heights, start, end) for start, end in dict.fromkeys(graph.edges)]
    boxes = [_node(nodes[name], at[name], heights[name]) for name in nodes]
    width = _PAD * 2 + max(1, len(columns)) * (_WIDTH + _GAP_X) - _GAP_X
    parts = (group("arrows", *arrows), group("nodes", *boxes))
    return drawing(width, tall + 2 * _PAD, graph.title, graph_in_words(graph), *parts, wide=True)


def graph_in_words(graph: Graph) -> str:
    """What the drawing shows: the nodes from left to right, each with where it leads."""
    titles = {node.id: node.title for node in graph.nodes}
    targets: dict[str, list[str]] = {}
    for start, end in dict.fromkeys(graph.edges):
        targets.setdefault(start, []).append(titles[end])
    told = [
        f"{titles[name]} leads to {_listed(targets[name])}"
        for column in layers(graph)
        for name in column
        if name in targets
    ]
    return f"{graph.title}: {len(graph.nodes)} boxes, {len(graph.edges)} arrows. " + "; ".join(told[:40]) + "."


def graph_table(graph: Graph) -> Table:
    """The nodes with all that they hold, and where each leads."""
    titles = {node.id: node.title for node in graph.nodes}
    targets: Mapping[str, list[str]] = {node.id: [] for node in graph.nodes}
    for start, end in dict.fromkeys(graph.edges):
        targets[start].append(titles[end])
    rows = tuple((node.title, node.detail, ", ".join(node.items), ", ".join(targets[node.id])) for node in graph.nodes)
    return Table(("step", "detail", "holds", "leads to"), rows)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _lines(node: GraphNode) -> list[str]:
    more = len(node.items) - _SHOWN
    return [*node.items[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def _height(node: GraphNode) -> float:
    head = _HEAD if node.detail else _HEAD - 14
    return head + (len(_lines(node)) * _LINE + 6 if node.items else 0)


def _stack(heights: Sequence[float]) -> float:
    return sum(heights) + _GAP_Y * max(0, len(heights) - 1)


def _arrow(at: Mapping[str, tuple[float, float]], heights: Mapping[str, float], start: str, end: str) -> Svg:
    x, y = at[start][0] + _WIDTH, at[start][1] + heights[start] / 2
    to_x, to_y = at[end][0] - 6, at[end][1] + heights[end] / 2
    bend = max(24.0, (to_x - x) / 2)
    curve = f"M{x:.1f} {y:.1f}C{x + bend:.1f} {y:.1f} {to_x - bend:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
    head = f"M{to_x - 2:.1f} {to_y - 4:.1f}l6 4l-6 4Z"
    return group(
        "edge", element("path", {"d": curve, "class": "arrow"}), element("path", {"d": head, "class": "arrow-head"})
    )


def _node(node: GraphNode, at: tuple[float, float], height: float) -> Svg:
    x, y = at
    room = _WIDTH - 24
    told = ": ".join(part for part in (node.title, node.detail, ", ".join(node.items[:60])) if part)
    kind = node.kind if node.kind in ("source", "step", "model", "output") else "step"
    parts = [box(x, y, _WIDTH, height, f"box box-{kind}", told, 7), box(x, y + 7, 3, height - 14, f"edge-{kind}")]
    parts.append(label(x + 12, y + 20, shortened(node.title, room), "box-title"))
    if node.detail:
        parts.append(label(x + 12, y + 36, shortened(node.detail, room), "box-detail"))
    first = y + (_HEAD if node.detail else _HEAD - 14) + 10
    for place, item in enumerate(_lines(node)):
        parts.append(label(x + 12, first + place * _LINE, shortened(item, room), "box-item"))
    return group("box-group", *parts)

"""Fitted trees as data, and one of them drawn from left to right: one line a leaf, so that long names fit. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from bighead.charts.reading import Reader
from bighead.charts.svg import Svg, box, drawing, group, label, number, path, shortened, width_of
from bighead.charts.words import Table
from bighead.errors import InvalidInput

MOST_TREES, MOST_NODES = 50, 1023
_ROW, _LEVEL, _NODE, _LEAF, _PAD = 26.0, 290.0, 250.0, 150.0, 14.0
_HEIGHT = 22.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node; a leaf has no feature. yes: place of the node for rows of which the feature is at most the threshold.

    missing_yes: whether rows that lack it go there as well; None: the tree knows no missing values. A split without
    threshold only asks whether the feature is there.
    """

    value: float
    samples: float
    feature: str | None = None
    threshold: float | None = None
    yes: int = 0
    no: int = 0
    missing_yes: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One tree; `number` is its place in the ensemble, from 1, `output` the class that it votes for, if trees do."""

    number: int
    nodes: tuple[Node, ...]
    output: str = ""

    @property
    def leaves(self) -> int:
        """How many leaves it has."""
        return sum(node.feature is None for node in self.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trees:
    """The first trees of a model that has `total` of them. value_label: what leaves say."""

    estimator: str
    total: int
    value_label: str
    trees: tuple[Tree, ...]


def trees_from_json(content: bytes | str) -> Trees:
    """The trees; raises InvalidInput where they are none, and for a node that is reached twice or not at all."""
    reader = Reader.of_json(content, "the list of trees")
    trees = tuple(_tree(one) for one in reader.objects("trees", MOST_TREES))
    return Trees(
        estimator=reader.text("estimator"),
        total=reader.count("total"),
        value_label=reader.text("value_label"),
        trees=trees,
    )


def _tree(reader: Reader) -> Tree:
    nodes = tuple(_node(one) for one in reader.objects("nodes", MOST_NODES))
    reached = [0, *(child for node in nodes if node.feature is not None for child in (node.yes, node.no))]
    if sorted(reached) != list(range(len(nodes))) or any(
        min(node.yes, node.no) <= place for place, node in enumerate(nodes) if node.feature is not None
    ):
        raise InvalidInput(
            f"{reader.name} is no tree: each node but the first is the child of one that comes before it"
        )
    return Tree(number=reader.count("number"), nodes=nodes, output=reader.text("output", ""))


def _node(reader: Reader) -> Node:
    leaf = not reader.has("feature")
    return Node(
        value=reader.number("value", 0.0),
        samples=reader.number("samples", 0.0),
        feature=None if leaf else reader.text("feature"),
        threshold=reader.number("threshold") if reader.has("threshold") else None,
        yes=0 if leaf else reader.count("yes"),
        no=0 if leaf else reader.count("no"),
        missing_yes=reader.flag("missing_yes") if reader.has("missing_yes") else None,
    )


def draw_tree(trees: Trees, tree: Tree) -> str:
    """The tree as an SVG element: the upper branch of each split is taken where its condition holds."""
    places = _places(tree)
    depth = max(x for x, _ in places.values())
    height = _PAD * 2 + max(1, tree.leaves) * _ROW
    edges, nodes = [], []
    for index, node in enumerate(tree.nodes):
        x, y = _at(places[index])
        if node.feature is None:
            nodes.append(_leaf(x, y, node))
            continue
        nodes.append(_split(x, y, node))
        for child, kind in ((node.yes, "branch"), (node.no, "branch branch-no")):
            to_x, to_y = _at(places[child])
            bend = (x + _NODE + to_x) / 2
            edges.append(path([(x + _NODE, y), (bend, y), (bend, to_y), (to_x, to_y)], kind))
    title = f"Tree {tree.number} of {trees.total}" + (f", for {tree.output}" if tree.output else "")
    parts = (group("branches", *edges), group("nodes", *nodes))
    return drawing(_PAD * 2 + depth * _LEVEL + _LEAF, height, title, tree_in_words(trees, tree), *parts, wide=True)


def tree_in_words(trees: Trees, tree: Tree) -> str:
    """What the drawing shows."""
    root = tree.nodes[0]
    first = f" Its first split is {_condition(root)}." if root.feature is not None else ""
    values = [node.value for node in tree.nodes if node.feature is None]
    return (
        f"Tree {tree.number} of {trees.total} of {trees.estimator}, with {tree.leaves} leaves.{first} The upper branch "
        f"of a split is taken where its condition holds. Leaves give {trees.value_label} "
        f"from {number(min(values))} to {number(max(values))}."
    )


def tree_table(tree: Tree) -> Table:
    """The nodes as a table, in their order."""
    rows = []
    for index, node in enumerate(tree.nodes):
        where = ("", "", "") if node.feature is None else (_condition(node), str(node.yes), str(node.no))
        rows.append((str(index), *where, number(node.samples), number(node.value)))
    return Table(("node", "condition", "if so", "if not", "rows", "value"), tuple(rows))


def _places(tree: Tree) -> Mapping[int, tuple[float, float]]:
    """(level, row) of each node: leaves one below the other, a split between its branches."""
    places: dict[int, tuple[float, float]] = {}
    levels = {0: 0}
    row = 0
    pending = [0]
    while pending:
        index = pending.pop()
        node = tree.nodes[index]
        if node.feature is None:
            places[index] = (levels[index], row)
            row += 1
        else:
            levels[node.yes] = levels[node.no] = levels[index] + 1
            pending += (node.no, node.yes)
    for index in range(len(tree.nodes) - 1, -1, -1):  # children come after their parents
        node = tree.nodes[index]
        if node.feature is not None:
            places[index] = (levels[index], (places[node.yes][1] + places[node.no][1]) / 2)
    return places


def _at(place: tuple[float, float]) -> tuple[float, float]:
    return _PAD + place[0] * _LEVEL, _PAD + (place[1] + 0.5) * _ROW


def _split(x: float, y: float, node: Node) -> Svg:
    missing = {
        None: "",
        True: ". Missing values take the upper branch",
        False: ". Missing values take the lower branch",
    }
    told = f"{_condition(node)}: {number(node.samples)} rows{missing[node.missing_yes]}"
    shown = shortened(node.feature or "", _NODE - 12 - width_of(_asked(node))) + _asked(node)
    return group(
        "split", box(x, y - _HEIGHT / 2, _NODE, _HEIGHT, "node", told, 5), label(x + 7, y + 4, shown, "node-text")
    )


def _leaf(x: float, y: float, node: Node) -> Svg:
    kind = "leaf leaf-up" if node.value > 0 else "leaf leaf-down"
    told = f"{number(node.value)}, {number(node.samples)} rows"
    value = number(node.value)
    return group(
        "leaf-group",
        box(x, y - _HEIGHT / 2, _LEAF, _HEIGHT, kind, told, 5),
        label(x + 7, y + 4, value if value.startswith("−") else f"+{value}", "node-text"),
        label(x + _LEAF - 7, y + 4, f"n {number(node.samples)}", "leaf-rows", "end"),
    )


def _condition(node: Node) -> str:
    return f"{node.feature}{_asked(node)}"


def _asked(node: Node) -> str:
    return " is there" if node.threshold is None else f" ≤ {number(node.threshold)}"

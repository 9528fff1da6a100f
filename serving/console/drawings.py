"""Small drawings of the console, as SVG: the course of a metric, a distribution, what feeds what. Pure.

Colours and fonts come from classes of the style sheet: the policy of the pages forbids styles of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 240.0, 56.0
_PAD = 3.0
_BOX_WIDTH, _BOX_HEIGHT, _ACROSS, _DOWN = 196, 44, 64, 14
_LABEL_CHARACTERS = 25


def spark(points: Sequence[tuple[int, float]], label: str) -> Markup:
    """The course of a metric: (time, value) in the order of time."""
    if not points:
        return Markup("")
    first_ms, last_ms = points[0][0], points[-1][0]
    low, high = min(value for _, value in points), max(value for _, value in points)
    across, up = (last_ms - first_ms) or 1, (high - low) or 1.0

    def place(point: tuple[int, float]) -> str:
        x = _PAD + (WIDTH - 2 * _PAD) * ((point[0] - first_ms) / across if len(points) > 1 else 1.0)
        y = HEIGHT / 2 if high == low else HEIGHT - _PAD - (HEIGHT - 2 * _PAD) * ((point[1] - low) / up)
        return f"{x:.1f} {y:.1f}"

    # One point is drawn as a level line.
    places = [place(point) for point in points] if len(points) > 1 else [f"{_PAD} {HEIGHT / 2}", place(points[0])]
    line = "M" + "L".join(places)
    area = f"{line}L{places[-1].split()[0]} {HEIGHT}L{places[0].split()[0]} {HEIGHT}Z"
    return Markup(
        '<svg class="spark" viewBox="0 0 {w:g} {h:g}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '<path class="area" d="{area}"></path><path d="{line}"></path></svg>'
    ).format(w=WIDTH, h=HEIGHT, label=label, area=area, line=line)


def bars(shares: Sequence[tuple[str, float]], label: str) -> Markup:
    """Shares from 0 to 1 side by side, each with its name as a title."""
    if not shares:
        return Markup("")
    width = WIDTH / len(shares)
    most = max(share for _, share in shares) or 1.0
    drawn = Markup("").join(
        Markup('<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"><title>{name}</title></rect>').format(
            x=index * width + 0.75,
            y=HEIGHT - max(1.0, HEIGHT * share / most),
            w=max(1.0, width - 1.5),
            h=max(1.0, HEIGHT * share / most),
            name=name,
        )
        for index, (name, share) in enumerate(shares)
    )
    return Markup(
        '<svg class="bars" viewBox="0 0 {w:g} {h:g}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        "{drawn}</svg>"
    ).format(w=WIDTH, h=HEIGHT, label=label, drawn=drawn)


@dataclass(frozen=True, slots=True)
class Box:
    """A box of a graph: what it says, in small what it is, where it leads; main: the one that the page is about."""

    id: str
    text: str
    kind: str
    href: str = ""
    main: bool = False


def graph(columns: Sequence[Sequence[Box]], edges: Sequence[tuple[str, str]], label: str) -> Markup:
    """Boxes in columns from left to right, with the edges between them, by id. A group: an image holds no links."""
    columns = [column for column in columns if column]
    tallest = max((len(column) for column in columns), default=0)
    width = len(columns) * (_BOX_WIDTH + _ACROSS) - _ACROSS + 2
    height = tallest * (_BOX_HEIGHT + _DOWN) - _DOWN + 2
    places: dict[str, tuple[float, float]] = {}
    for index, column in enumerate(columns):
        own = len(column) * (_BOX_HEIGHT + _DOWN) - _DOWN + 2
        for row, box in enumerate(column):
            top = (height - own) / 2 + row * (_BOX_HEIGHT + _DOWN) + 1
            places[box.id] = (index * (_BOX_WIDTH + _ACROSS) + 1, top)
    lines = Markup("").join(_edge(places, edge) for edge in edges if edge[0] in places and edge[1] in places)
    boxes = Markup("").join(_box(box, *places[box.id]) for column in columns for box in column)
    return Markup(
        '<svg class="graph" width="{w}" height="{h:g}" viewBox="0 0 {w} {h:g}" role="group" aria-label="{label}">'
        "<title>{label}</title>{lines}{boxes}</svg>"
    ).format(w=width, h=height, label=label, lines=lines, boxes=boxes)


def _edge(places: Mapping[str, tuple[float, float]], edge: tuple[str, str]) -> Markup:
    (x, y), (to_x, to_y) = places[edge[0]], places[edge[1]]
    x, y, to_y = x + _BOX_WIDTH, y + _BOX_HEIGHT / 2, to_y + _BOX_HEIGHT / 2
    middle = (x + to_x) / 2
    return Markup('<path class="edge" d="M{x:g} {y:g}C{m:g} {y:g} {m:g} {v:g} {u:g} {v:g}"></path>').format(
        x=x, y=y, m=middle, u=to_x, v=to_y
    )


def _box(box: Box, x: float, y: float) -> Markup:
    text = box.text if len(box.text) <= _LABEL_CHARACTERS else box.text[: _LABEL_CHARACTERS - 1] + "…"
    drawn = Markup(
        '<g class="box{main}"><title>{kind} {full}</title>'
        '<rect x="{x:g}" y="{y:g}" width="{w}" height="{h}" rx="7"></rect>'
        '<text class="kind" x="{tx:g}" y="{ky:g}">{kind}</text><text x="{tx:g}" y="{ty:g}">{text}</text></g>'
    ).format(
        main=" main" if box.main else "", kind=box.kind, full=box.text, text=text,
        x=x, y=y, w=_BOX_WIDTH, h=_BOX_HEIGHT, tx=x + 12, ky=y + 16, ty=y + 33,
    )  # fmt: skip
    return Markup('<a href="{href}">{drawn}</a>').format(href=box.href, drawn=drawn) if box.href else drawn

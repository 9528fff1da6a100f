"""Charts as data: the forms there are, read from JSON that anybody may have written. Pure; raises InvalidInput.

A form says how something is drawn, not what it shows: ROC, calibration and learning curves are lines.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bighead.charts.reading import Reader
from bighead.errors import InvalidInput

MOST_POINTS, MOST_BARS, MOST_BINS, MOST_LABELS = 4000, 60, 200, 40
"""What one drawing can show. More is refused: it would be slow to draw and impossible to read."""
MOST_SERIES = 12
Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One named line."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChart:
    """Lines over a common axis. `baseline`: what they are compared with, dashed; ranges: None for those of the data."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    baseline: Series | None = None
    x_range: Point | None = None
    y_range: Point | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixChart:
    """Counts by row (what was so) and column (what was predicted)."""

    title: str
    row_label: str
    column_label: str
    labels: tuple[str, ...]
    counts: tuple[tuple[float, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One named value, and its standard deviation (0: none)."""

    name: str
    value: float
    spread: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BarChart:
    """Named values, the first on top."""

    title: str
    x_label: str
    bars: tuple[Bar, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramChart:
    """How many values lie between each two edges."""

    title: str
    x_label: str
    y_label: str
    edges: tuple[float, ...]
    counts: tuple[float, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterChart:
    """Points. `diagonal`: the line on which both axes are equal is drawn."""

    title: str
    x_label: str
    y_label: str
    points: tuple[Point, ...]
    diagonal: bool = False
    note: str = ""


Chart = LineChart | MatrixChart | BarChart | HistogramChart | ScatterChart
FORMS: Mapping[str, type[Chart]] = {
    "line": LineChart,
    "matrix": MatrixChart,
    "bar": BarChart,
    "histogram": HistogramChart,
    "scatter": ScatterChart,
}


def chart_json(chart: Chart) -> str:
    """A chart's JSON, the same for equal charts."""
    return json.dumps(chart_document(chart), sort_keys=True, allow_nan=False)


def chart_document(chart: Chart) -> dict[str, Any]:
    """A chart as JSON has it."""
    form = next(name for name, kind in FORMS.items() if isinstance(chart, kind))
    return {"form": form} | asdict(chart)


def chart_from_json(content: bytes | str) -> Chart:
    """The chart; raises InvalidInput naming the field that is not as it must be."""
    return chart_of(Reader.of_json(content, "the chart"))


def chart_of(reader: Reader) -> Chart:
    """The chart that an object holds; raises InvalidInput likewise."""
    match reader.text("form"):
        case "line":
            return _line(reader)
        case "matrix":
            return _matrix(reader)
        case "bar":
            return _bar(reader)
        case "histogram":
            return _histogram(reader)
        case "scatter":
            return _scatter(reader)
        case form:
            raise InvalidInput(f"the chart's form is {form!r}; expected one of {', '.join(FORMS)}")


def _line(reader: Reader) -> LineChart:
    series = tuple(_series(one) for one in reader.objects("series", MOST_SERIES))
    if not series or sum(len(one.points) for one in series) > MOST_POINTS:
        raise InvalidInput(
            f"the chart has {len(series)} series; expected 1 to {MOST_SERIES} of together {MOST_POINTS:,} points"
        )
    return LineChart(
        title=reader.text("title"),
        x_label=reader.text("x_label"),
        y_label=reader.text("y_label"),
        series=series,
        baseline=_series(reader.child("baseline")) if reader.has("baseline") else None,
        x_range=_range(reader, "x_range"),
        y_range=_range(reader, "y_range"),
        note=reader.text("note", ""),
    )


def _series(reader: Reader) -> Series:
    return Series(name=reader.text("name"), points=reader.points("points", MOST_POINTS))


def _range(reader: Reader, name: str) -> Point | None:
    if not reader.has(name):
        return None
    low, high = reader.numbers(name, most=2, least=2)
    if not low < high:
        raise InvalidInput(f"{reader.name}'s {name} goes from {low:g} to {high:g}; expected the lower end first")
    return low, high


def _matrix(reader: Reader) -> MatrixChart:
    labels = reader.texts("labels", MOST_LABELS)
    counts = reader.rows("counts", MOST_LABELS)
    if not labels or any(len(row) != len(labels) for row in counts) or len(counts) != len(labels):
        raise InvalidInput(f"the chart has {len(labels)} labels; expected as many rows and columns of counts")
    if any(count < 0 for row in counts for count in row):
        raise InvalidInput("the chart's counts have a negative one; expected how many rows there are of each")
    return MatrixChart(
        title=reader.text("title"),
        row_label=reader.text("row_label"),
        column_label=reader.text("column_label"),
        labels=labels,
        counts=counts,
        note=reader.text("note", ""),
    )


def _bar(reader: Reader) -> BarChart:
    bars = tuple(
        Bar(name=one.text("name"), value=one.number("value"), spread=one.number("spread", 0.0))
        for one in reader.objects("bars", MOST_BARS)
    )
    return BarChart(title=reader.text("title"), x_label=reader.text("x_label"), bars=bars, note=reader.text("note", ""))


def _histogram(reader: Reader) -> HistogramChart:
    return HistogramChart(
        title=reader.text("title"),
        x_label=reader.text("x_label"),
        y_label=reader.text("y_label"),
        edges=(edges := reader.edges("edges", MOST_BINS)),
        counts=reader.counts("counts", most=len(edges) - 1, least=len(edges) - 1),
        note=reader.text("note", ""),
    )


def _scatter(reader: Reader) -> ScatterChart:
    return ScatterChart(
        title=reader.text("title"),
        x_label=reader.text("x_label"),
        y_label=reader.text("y_label"),
        points=reader.points("points", MOST_POINTS),
        diagonal=reader.flag("diagonal"),
        note=reader.text("note", ""),
    )

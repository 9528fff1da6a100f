"""A chart in words and as a table: for whoever cannot see it, or wants the numbers. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from bighead.charts.forms import BarChart, Chart, HistogramChart, LineChart, MatrixChart, ScatterChart, Series
from bighead.charts.svg import number

_MOST_ROWS = 21
"""Of a line with more points some are left out: all are in the attachment."""


@dataclass(frozen=True, slots=True)
class Table:
    """Names of columns, and rows of texts."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def text_alternative(chart: Chart) -> str:
    """What the drawing shows, in a sentence or two."""
    return " ".join(part for part in (f"{_shows(chart)}.", chart.note) if part)


def data_table(chart: Chart) -> Table:
    """The chart's numbers; of long lines and clouds some."""
    match chart:
        case LineChart():
            rows = tuple(
                (one.name, number(x), number(y)) for one in chart.series for x, y in _some(one.points, _MOST_ROWS)
            )
            return Table(("line", chart.x_label, chart.y_label), rows)
        case MatrixChart():
            columns = (f"{chart.row_label} \\ {chart.column_label}", *chart.labels)
            named = zip(chart.labels, chart.counts, strict=True)
            return Table(columns, tuple((name, *map(number, counts)) for name, counts in named))
        case BarChart():
            bars = tuple((bar.name, number(bar.value), number(bar.spread)) for bar in chart.bars)
            return Table(("name", chart.x_label, "standard deviation"), bars)
        case HistogramChart():
            bins = zip(chart.edges, chart.edges[1:], chart.counts, strict=False)
            return Table(("from", "to", chart.y_label), tuple((number(a), number(b), number(n)) for a, b, n in bins))
        case ScatterChart():
            points = _some(chart.points, _MOST_ROWS)
            return Table((chart.x_label, chart.y_label), tuple((number(x), number(y)) for x, y in points))
    assert_never(chart)


def _shows(chart: Chart) -> str:
    match chart:
        case LineChart():
            lines = "; ".join(map(_line, chart.series))
            beside = f", beside {chart.baseline.name}" if chart.baseline else ""
            return f"{chart.title}: {chart.y_label} over {chart.x_label}{beside}. {lines}"
        case MatrixChart():
            total, right = sum(map(sum, chart.counts)), sum(row[place] for place, row in enumerate(chart.counts))
            share = f"{right / total:.1%}" if total > 0 else "none"
            return f"{chart.title}: {number(total)} rows, {share} of them on the diagonal, where both are the same"
        case BarChart():
            first = ", ".join(f"{bar.name} {number(bar.value)}" for bar in chart.bars[:5]) or "nothing"
            return f"{chart.title}: {chart.x_label}, {len(chart.bars)} bars; the first are {first}"
        case HistogramChart():
            most = max(range(len(chart.counts)), key=chart.counts.__getitem__)
            peak = f"between {number(chart.edges[most])} and {number(chart.edges[most + 1])}"
            highest = number(chart.counts[most])
            return f"{chart.title}: {number(sum(chart.counts))} {chart.y_label}, the most ({highest}) {peak}"
        case ScatterChart():
            return f"{chart.title}: {len(chart.points)} points, {chart.y_label} over {chart.x_label}"
    assert_never(chart)


def _line(one: Series) -> str:
    if not one.points:
        return f"{one.name}: no points"
    (x0, y0), (x1, y1) = one.points[0], one.points[-1]
    return f"{one.name} goes from {number(y0)} at {number(x0)} to {number(y1)} at {number(x1)}"


def _some(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Evenly chosen, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[round(place * (len(points) - 1) / (most - 1))] for place in range(most)]

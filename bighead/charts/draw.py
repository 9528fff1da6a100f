"""A chart as SVG: axes with round ticks, a quiet grid, and a description in words. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from bighead.charts.forms import (
    Bar,
    BarChart,
    Chart,
    HistogramChart,
    LineChart,
    MatrixChart,
    Point,
    ScatterChart,
)
from bighead.charts.svg import (
    Svg,
    box,
    drawing,
    element,
    group,
    label,
    line,
    number,
    path,
    shortened,
    ticks,
    tooltip,
    width_of,
    words,
)
from bighead.charts.words import text_alternative

WIDTH, HEIGHT = 440.0, 300.0
TONES = 6
_TOP, _RIGHT, _BOTTOM = 14.0, 16.0, 46.0
_LEGEND, _ABREAST = 22.0, 3
_BAR_WIDTH, _BAR, _NAME = 560.0, 22.0, 290.0
_FEW = 24
"""Points that are marked one by one."""


@dataclass(frozen=True, slots=True)
class Axes:
    """Where a plot lies in its drawing, and what its edges mean."""

    x: Point
    y: Point
    left: float
    top: float
    right: float
    bottom: float

    def at(self, point: Point) -> Point:
        """A point of the data in the drawing; what lies outside is put on the edge."""
        return self.x_at(point[0]), self.y_at(point[1])

    def x_at(self, value: float) -> float:
        """A place on the horizontal axis."""
        share = (min(max(value, self.x[0]), self.x[1]) - self.x[0]) / (self.x[1] - self.x[0])
        return self.left + share * (self.right - self.left)

    def y_at(self, value: float) -> float:
        """A place on the vertical axis."""
        share = (min(max(value, self.y[0]), self.y[1]) - self.y[0]) / (self.y[1] - self.y[0])
        return self.bottom - share * (self.bottom - self.top)


def draw(chart: Chart) -> str:
    """The chart as an SVG element, safe to put into a page as it is."""
    match chart:
        case LineChart():
            return _lines(chart)
        case MatrixChart():
            return _matrix(chart)
        case BarChart():
            return _bars(chart)
        case HistogramChart():
            return _histogram(chart)
        case ScatterChart():
            return _scatter(chart)
    assert_never(chart)


def _lines(chart: LineChart) -> str:
    everything = [point for one in chart.series for point in one.points]
    everything += chart.baseline.points if chart.baseline else ()
    named = [one.name for one in chart.series] + ([chart.baseline.name] if chart.baseline else [])
    legend = _LEGEND * math.ceil(len(named) / _ABREAST) if len(named) > 1 else 0.0
    axes = _axes(chart.x_range or _span(everything, 0), chart.y_range or _span(everything, 1), legend)
    parts = [_grid(axes, chart.x_label, chart.y_label)]
    if chart.baseline:
        parts.append(path([axes.at(point) for point in chart.baseline.points], "baseline"))
    for place, one in enumerate(chart.series):
        points = [axes.at(point) for point in one.points]
        if len(points) > 1:
            parts.append(path(points, f"line tone-{place % TONES}"))
        if len(points) <= _FEW:
            parts += [_mark(at, point, place) for at, point in zip(points, one.points, strict=True)]
    if legend:
        parts.append(_legend(named, bool(chart.baseline), axes.left))
    return drawing(WIDTH, HEIGHT, chart.title, text_alternative(chart), *parts)


def _mark(at: Point, point: Point, place: int) -> Svg:
    told = tooltip(f"{number(point[0])}, {number(point[1])}")
    return element("circle", {"cx": at[0], "cy": at[1], "r": 3.5, "class": f"mark tone-{place % TONES}"}, told)


def _legend(names: Sequence[str], with_baseline: bool, left: float) -> Svg:
    parts, room = [], (WIDTH - left - _RIGHT) / min(len(names), _ABREAST)
    for place, name in enumerate(names):
        x, y = left + place % _ABREAST * room, 12 + place // _ABREAST * _LEGEND
        is_baseline = with_baseline and place == len(names) - 1
        parts.append(line(x, y, x + 18, y, "baseline" if is_baseline else f"line tone-{place % TONES}"))
        parts.append(label(x + 24, y + 4, shortened(name, room - 28)))
    return group("legend", *parts)


def _matrix(chart: MatrixChart) -> str:
    count, left, top = len(chart.labels), 118.0, 44.0
    cell_width, cell_height = (WIDTH - left - _RIGHT) / count, (HEIGHT - top - 16) / count
    cells = []
    for row, counts in enumerate(chart.counts):
        total = sum(counts)
        for column, value in enumerate(counts):
            share = value / total if total > 0 else 0.0
            x, y = left + column * cell_width, top + row * cell_height
            told = (
                f"{chart.row_label} {chart.labels[row]}, {chart.column_label} {chart.labels[column]}: {number(value)}"
            )
            shade = min(4, int(share * 5))
            cells.append(box(x + 1.5, y + 1.5, cell_width - 3, cell_height - 3, f"cell shade-{shade}", told, 4))
            if count <= 10:
                cells.append(_cell(x + cell_width / 2, y + cell_height / 2, value, share, shade, count))
    axis = [label(left + (WIDTH - left - _RIGHT) / 2, 14, chart.column_label, "axis-label", "middle")]
    axis.append(label(4, 14, chart.row_label, "axis-label"))
    for place, name in enumerate(chart.labels):
        axis.append(label(left + (place + 0.5) * cell_width, 34, shortened(name, cell_width), "tick", "middle"))
        axis.append(label(left - 10, top + (place + 0.5) * cell_height + 4, shortened(name, left - 16), "tick", "end"))
    return drawing(WIDTH, HEIGHT, chart.title, text_alternative(chart), *cells, *axis)


def _cell(x: float, y: float, value: float, share: float, shade: int, count: int) -> Svg:
    shares = (label(x, y + 16, f"{share:.1%}", f"share on-{shade}", "middle"),) if count <= 5 else ()
    return group("value", label(x, y + (0 if shares else 4), number(value), f"count on-{shade}", "middle"), *shares)


def _bars(chart: BarChart) -> str:
    height = _TOP + max(1, len(chart.bars)) * _BAR + _BOTTOM
    ends = [end for bar in chart.bars for end in (bar.value - bar.spread, bar.value + bar.spread)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    axes = Axes((low, high if high > low else low + 1), (0, 1), _NAME, _TOP, _BAR_WIDTH - 60, height - _BOTTOM)
    parts = [_x_ticks(axes, chart.x_label)]
    for place, bar in enumerate(chart.bars):
        parts += _bar(axes, bar, _TOP + place * _BAR)
    parts.append(line(axes.x_at(0), _TOP, axes.x_at(0), axes.bottom, "axis"))
    return drawing(_BAR_WIDTH, height, chart.title, text_alternative(chart), *parts)


def _bar(axes: Axes, bar: Bar, top: float) -> list[Svg]:
    start, end = sorted((axes.x_at(0), axes.x_at(bar.value)))
    spread = f" ± {number(bar.spread)}" if bar.spread else ""
    parts = [
        label(_NAME - 8, top + 15, shortened(bar.name, _NAME - 12), "name", "end"),
        box(start, top + 4, max(end - start, 1), _BAR - 8, "bar tone-0", f"{bar.name}: {number(bar.value)}{spread}", 2),
    ]
    reach = end
    if bar.spread:
        low, reach = axes.x_at(bar.value - bar.spread), max(end, axes.x_at(bar.value + bar.spread))
        parts.append(line(low, top + _BAR / 2, axes.x_at(bar.value + bar.spread), top + _BAR / 2, "whisker"))
    return [*parts, label(reach + 5, top + 15, number(bar.value), "count")]


def _histogram(chart: HistogramChart) -> str:
    top = max((*chart.counts, 0.0))
    axes = _axes((chart.edges[0], chart.edges[-1]), (0.0, top * 1.05 or 1.0), 0.0)
    bars = []
    for low, high, count in zip(chart.edges, chart.edges[1:], chart.counts, strict=False):
        left, right, y = axes.x_at(low), axes.x_at(high), axes.y_at(count)
        told = f"{number(low)} to {number(high)}: {number(count)}"
        bars.append(box(left + 0.5, y, right - left - 1, axes.bottom - y, "bar tone-0", told))
    grid = _grid(axes, chart.x_label, chart.y_label)
    return drawing(WIDTH, HEIGHT, chart.title, text_alternative(chart), grid, *bars)


def _scatter(chart: ScatterChart) -> str:
    x, y = _span(chart.points, 0), _span(chart.points, 1)
    if chart.diagonal:
        x = y = (min(x[0], y[0]), max(x[1], y[1]))
    axes = _axes(x, y, 0.0)
    parts = [_grid(axes, chart.x_label, chart.y_label)]
    if chart.diagonal:
        parts.append(path([axes.at((x[0], x[0])), axes.at((x[1], x[1]))], "baseline"))
    for point in chart.points:
        at = axes.at(point)
        parts.append(element("circle", {"cx": at[0], "cy": at[1], "r": 2.5, "class": "dot tone-0"}))
    return drawing(WIDTH, HEIGHT, chart.title, text_alternative(chart), *parts)


def _axes(x: Point, y: Point, legend: float) -> Axes:
    """The plot beside the widest of its ticks."""
    left = 26 + max(width_of(number(tick)) for tick in ticks(*y))
    return Axes(x, y, left, _TOP + legend, WIDTH - _RIGHT, HEIGHT - _BOTTOM)


def _span(points: Sequence[Point], which: int) -> Point:
    values = [point[which] for point in points] or [0.0]
    low, high = min(values), max(values)
    room = (high - low) * 0.04 or max(abs(high), 1.0) * 0.5
    return low - room, high + room


def _grid(axes: Axes, x_label: str, y_label: str) -> Svg:
    parts = [_x_ticks(axes, x_label)]
    for tick in ticks(*axes.y):
        y = axes.y_at(tick)
        parts.append(line(axes.left, y, axes.right, y, "grid"))
        parts.append(label(axes.left - 7, y + 4, number(tick), "tick", "end"))
    middle = (axes.top + axes.bottom) / 2
    turned = {"x": 13.0, "y": middle, "text-anchor": "middle", "class": "axis-label"}
    turned["transform"] = f"rotate(-90 13 {middle:.1f})"
    shown = shortened(y_label, axes.bottom - axes.top)
    parts.append(element("text", turned, words(shown)))
    parts.append(line(axes.left, axes.bottom, axes.right, axes.bottom, "axis"))
    return group("axes", *parts)


def _x_ticks(axes: Axes, x_label: str) -> Svg:
    parts = []
    for tick in ticks(*axes.x):
        x = axes.x_at(tick)
        parts.append(line(x, axes.top, x, axes.bottom, "grid"))
        parts.append(label(x, axes.bottom + 17, number(tick), "tick", "middle"))
    middle = (axes.left + axes.right) / 2
    parts.append(label(middle, axes.bottom + 37, shortened(x_label, axes.right - axes.left), "axis-label", "middle"))
    return group("axes", *parts)

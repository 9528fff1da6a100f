"""Line charts of the same thing in one drawing: the curves of two versions over common axes. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from bighead.charts.forms import MOST_POINTS, MOST_SERIES, Chart, LineChart, Series


def overlaid(charts: Mapping[str, Chart]) -> LineChart | None:
    """One chart with the lines of all, called by what is drawn: None unless they have lines over the same axes."""
    lines = {name: chart for name, chart in charts.items() if isinstance(chart, LineChart)}
    if len(lines) < len(charts) or not lines:
        return None
    first = next(iter(lines.values()))
    axes = {(one.title, one.x_label, one.y_label) for one in lines.values()}
    series = tuple(_named(name, one, len(chart.series)) for name, chart in lines.items() for one in chart.series)
    if len(axes) > 1 or len(series) > MOST_SERIES or sum(len(one.points) for one in series) > MOST_POINTS:
        return None
    notes = " ".join(f"{name}: {chart.note}" for name, chart in lines.items() if chart.note)
    same = len({(one.x_range, one.y_range) for one in lines.values()}) == 1
    return LineChart(
        title=first.title,
        x_label=first.x_label,
        y_label=first.y_label,
        series=series,
        baseline=first.baseline,
        x_range=first.x_range if same else None,
        y_range=first.y_range if same else None,
        note=notes,
    )


def _named(name: str, one: Series, among: int) -> Series:
    return replace(one, name=name if among == 1 else f"{one.name}, {name}")

"""A whole feature report as tables and charts, in the order in which it is read. Pure."""

from collections.abc import Sequence

from bighead.charts.explained import clusters_table, example_chart
from bighead.charts.features import FeatureReport, contribution_chart, importance_chart
from bighead.charts.forms import Chart
from bighead.charts.svg import number
from bighead.charts.words import Table

MOST_ROWS = 200
"""Of a table of inputs; all are in the attachment."""


def feature_sections(report: FeatureReport) -> Sequence[tuple[str, str, Table]]:
    """(title, words, table): all inputs, and those that say the same."""
    told = f"Importance: {report.measured}. " if report.measured else ""
    drift = "A drift above 0.1 is a change of the values from training to test, above 0.25 a great one."
    found = [("Inputs", told + drift, features_table(report))]
    if report.clusters:
        words = (
            "Inputs whose ranks go together stand in for each other: each may look unimportant alone, so they are "
            "shuffled together as well."
        )
        found.append(("Inputs that say the same", words, clusters_table(report.clusters)))
    return found


def report_charts(report: FeatureReport) -> Sequence[Chart]:
    """Importance, contributions, the dependence on the most important inputs, and the explained rows."""
    bars = [chart for chart in (importance_chart(report), contribution_chart(report)) if chart.bars]
    dependences = [one.dependence for one in report.ranked if one.dependence is not None]
    return [*bars, *dependences, *map(example_chart, report.examples)]


def features_table(report: FeatureReport) -> Table:
    """A row for each of the most important inputs."""
    rows = []
    for one in report.ranked[:MOST_ROWS]:
        importance = "–" if one.importance is None else f"{number(one.importance[0])} ± {number(one.importance[1])}"
        missing = tuple(
            f"{part.missing / part.rows:.1%}" if part and part.rows else "–" for part in (one.train, one.test)
        )
        told = tuple("–" if value is None else number(value) for value in (one.contribution, one.drift))
        rows.append((one.name, importance, *told, *missing))
    heads = ("input", "importance", "contribution", "drift (PSI)", "missing in training", "in test")
    return Table(heads, tuple(rows))

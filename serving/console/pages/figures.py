"""A version's attachments as drawings with words and tables. Each is read and drawn once: its SHA-256 says what it is.

An attachment that cannot be read or is not as it must be is told in its place; the rest of the page stands.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bighead.charts import (
    Chart,
    Graph,
    Table,
    chart_from_json,
    data_table,
    distribution_in_words,
    distribution_table,
    draw,
    draw_distribution,
    draw_graph,
    draw_tree,
    feature_report_from_json,
    graph_from_json,
    graph_in_words,
    graph_table,
    text_alternative,
    tree_in_words,
    tree_table,
    trees_from_json,
)
from bighead.charts.evaluation import EvaluationReport, evaluation_from_json, sections
from bighead.charts.feature_report import feature_sections, report_charts
from bighead.errors import BigheadError
from bighead.events.types import Attachment
from bighead.registry.attachments import CHART, EVALUATION, FEATURE_REPORT, MODEL_CARD, PIPELINE, TREES
from serving.console.card import card_html

MOST_KEPT = 32 << 20
"""Characters of drawings that are remembered."""
MOST_FEATURES, MOST_TREES = 30, 100


@dataclass(frozen=True, slots=True)
class Figure:
    """One drawing; `words` say what it shows, `table` has its numbers."""

    title: str
    svg: Markup
    words: str
    table: Table


@dataclass(frozen=True, slots=True)
class Section:
    """A table with words above it."""

    title: str
    words: str
    table: Table


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one attachment shows: figures, sections or a text; problem: why it does not. chart, evaluation: what it
    was drawn from, for comparisons."""

    name: str
    figures: tuple[Figure, ...] = ()
    sections: tuple[Section, ...] = ()
    notes: tuple[str, ...] = ()
    html: Markup | None = None
    problem: str = ""
    chart: Chart | None = None
    evaluation: EvaluationReport | None = None

    @property
    def weight(self) -> int:
        """About how many characters it has."""
        cells = sum(len(cell) for one in self.sections for row in one.table.rows for cell in row)
        return 1000 + len(self.html or "") + sum(len(figure.svg) for figure in self.figures) + 2 * cells


class Gallery:
    """Draws attachments of whoever reads them; the newest are remembered, up to `MOST_KEPT`."""

    def __init__(self, read: Callable[[Attachment], bytes]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str, str], Drawn] = OrderedDict()
        self._weight = 0

    def drawn(self, attachment: Attachment) -> Drawn:
        """What the attachment shows."""
        key = (attachment.sha256, attachment.kind, attachment.name)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        try:
            found = _drawn(attachment, self._read(attachment))
        except BigheadError as error:
            return Drawn(attachment.name, problem=str(error))
        with self._lock:
            if key not in self._known:
                self._known[key] = found
                self._weight += found.weight
            while self._weight > MOST_KEPT:
                self._weight -= self._known.popitem(last=False)[1].weight
        return found

    def of_kind(self, attachments: Sequence[Attachment], kind: str) -> list[Drawn]:
        """What all attachments of a kind show, in the order of the record."""
        return [self.drawn(one) for one in attachments if one.kind == kind]


def graph_figure(graph: Graph) -> Figure:
    """A graph as a figure."""
    return Figure(graph.title, Markup(draw_graph(graph)), graph_in_words(graph), graph_table(graph))


def chart_figure(chart: Chart) -> Figure:
    """A chart as a figure."""
    return Figure(chart.title, Markup(draw(chart)), text_alternative(chart), data_table(chart))


def _drawn(attachment: Attachment, content: bytes) -> Drawn:
    # What bighead.charts draws and card_html writes has been made safe by them: text in it is text.
    name = attachment.name
    match attachment.kind:
        case kind if kind == MODEL_CARD:
            return Drawn(name, html=Markup(card_html(content.decode("utf-8", "replace"))))
        case kind if kind == CHART:
            chart = chart_from_json(content)
            return Drawn(name, (chart_figure(chart),), chart=chart)
        case kind if kind == EVALUATION:
            report = evaluation_from_json(content)
            told = tuple(Section(*one) for one in sections(report))
            return Drawn(name, sections=told, notes=report.notes, evaluation=report)
        case kind if kind == PIPELINE:
            return Drawn(name, (graph_figure(graph_from_json(content)),))
        case kind if kind == TREES:
            trees = trees_from_json(content)
            return Drawn(
                name,
                tuple(
                    Figure(
                        f"Tree {tree.number} of {trees.total}" + (f", {tree.output}" if tree.output else ""),
                        Markup(draw_tree(trees, tree)),
                        tree_in_words(trees, tree),
                        tree_table(tree),
                    )
                    for tree in trees.trees[:MOST_TREES]
                ),
            )
        case kind if kind == FEATURE_REPORT:
            return _report(name, content)
    return Drawn(name)


def _report(name: str, content: bytes) -> Drawn:
    report = feature_report_from_json(content)
    distributions = [
        Figure(
            facts.name,
            Markup(draw_distribution(facts)),
            distribution_in_words(facts),
            distribution_table(facts),
        )
        for facts in report.ranked[:MOST_FEATURES]
    ]
    figures = [chart_figure(chart) for chart in report_charts(report)[:MOST_FEATURES]]
    told = tuple(Section(*one) for one in feature_sections(report))
    return Drawn(name, (*figures, *distributions), told, report.notes)

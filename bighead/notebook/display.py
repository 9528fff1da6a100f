"""How an object is shown: HTML that asks nothing of any other server, and the same in plain text. Pure.

Text goes through `escape`; what is markup already has a type of its own, so that neither is taken for the other.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import NewType, Protocol

from bighead.charts import STYLESHEET, Chart, Graph, Table, draw, draw_graph, graph_in_words, text_alternative

Html = NewType("Html", str)
_WIDEST = 40
"""Characters of a cell in plain text."""


class Displayed(Protocol):
    """What a notebook shows as HTML, and a terminal as text."""

    def _repr_html_(self) -> str:
        """HTML of one element; text in it is escaped."""

    def __str__(self) -> str:
        """The same in words and aligned columns."""

    def __repr__(self) -> str:
        """The text, where an interpreter shows a value; a dataclass says `repr=False`, else it has one of its own."""
        return str(self)


@cache
def style() -> Html:
    """The colours and the look of all that is shown, as an element."""
    own = Path(__file__).with_name("style.css").read_text("utf-8")
    return Html(f"<style>{own}{STYLESHEET.read_text('utf-8')}</style>")


def shown(title: str, *parts: Html) -> str:
    """The whole of what `_repr_html_` gives."""
    return f'<div class="bighead">{style()}<h3>{escape(title)}</h3>{"".join(parts)}</div>'


def heading(text: str) -> Html:
    """The title of a part."""
    return Html(f"<h4>{escape(text)}</h4>")


def paragraph(text: str) -> Html:
    """A sentence or two."""
    return Html(f"<p>{escape(text)}</p>")


def table(content: Table, caption: str = "") -> Html:
    """A table; the first cell of each row is its name."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in content.columns)
    rows = "".join(_row(row) for row in content.rows)
    told = f"<caption>{escape(caption)}</caption>" if caption else ""
    return Html(f"<table>{told}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")


def sections(parts: Iterable[tuple[str, str, Table]]) -> list[Html]:
    """Parts of a report: (title, words, table)."""
    return [piece for title, words, rows in parts for piece in (heading(title), paragraph(words), table(rows, title))]


def text_sections(parts: Iterable[tuple[str, str, Table]]) -> list[str]:
    """The same as text."""
    return [f"{title}\n{words}\n{text_table(rows)}" for title, words, rows in parts]


def folded(summary: str, *parts: Html) -> Html:
    """Parts that are closed at first."""
    return Html(f"<details><summary>{escape(summary)}</summary>{''.join(parts)}</details>")


def figure(svg: str, words: str) -> Html:
    """A drawing of `bighead.charts`, which is safe as it is, and what it shows in words."""
    return Html(f'<div class="figure">{svg}</div>{folded("In words", paragraph(words))}')


def graph(content: Graph) -> Html:
    """A graph as a figure."""
    return figure(draw_graph(content), graph_in_words(content))


def chart(content: Chart) -> Html:
    """A chart as a figure."""
    return figure(draw(content), text_alternative(content))


def text_table(content: Table) -> str:
    """The table in aligned columns; long cells are cut."""
    rows = [[_cut(cell) for cell in row] for row in (content.columns, *content.rows)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(content.columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _row(cells: Sequence[str]) -> str:
    first, *others = cells
    return f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in others)}</tr>'


def _cut(cell: str) -> str:
    plain = " ".join(cell.split())
    return plain if len(plain) <= _WIDEST else f"{plain[: _WIDEST - 1]}…"

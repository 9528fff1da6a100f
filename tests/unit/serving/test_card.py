"""Model cards: Markdown that people wrote, shown without anything that could act."""

import time
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest

from bighead.registry.attachments import KINDS, MODEL_CARD
from serving.console.card import card_html
from tests.unit.serving.xss import XSS

LIMIT = KINDS[MODEL_CARD].limit_bytes
_LISTS = ("blockquote", "ul", "li", "em", "strong", "br", "hr")
HARMLESS = {"href", "title", "start", "rel"}


class Seen(HTMLParser):
    """The tags and attributes that a browser would find."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_a_card_has_headings_below_those_of_the_page_lists_tables_and_links() -> None:
    html = card_html(
        '# Delays\n\nFor **dispatch**.\n\n- one\n- `two`\n\n|a|b|\n|-|-|\n|1|2|\n\n[d](https://a.org "t")\n\n###### x'
    )
    for part in (
        "<h3>Delays</h3>",
        "<strong>dispatch</strong>",
        "<code>two</code>",
        "<td>1</td>",
        '<a href="https://a.org" title="t" rel="noopener noreferrer">d</a>',
        "<h6>x</h6>",
    ):
        assert part in html


@pytest.mark.parametrize(
    "frame",
    ["{}", "# {}", "[text]({})", "![alt]({})", "<{}>", "```{}\ncode\n```", "|a|\n|-|\n|{}|", '[a](x "{}")', "> - {}"],
)
def test_an_attack_stays_text(frame: str) -> None:
    for attack in XSS:
        seen = Seen(card_html(frame.format(attack)))
        assert seen.tags <= {"p", "h3", "a", "pre", "code", "table", "thead", "tbody", "tr", "th", "td", *_LISTS}, (
            attack
        )
        assert {name for name, _ in seen.attributes} <= HARMLESS, attack
        targets = [value for name, value in seen.attributes if name == "href"]
        assert {urlsplit(target).scheme for target in targets} <= {"", "http", "https", "mailto"}, attack


@pytest.mark.parametrize(
    "broken",
    ["[link](", "```", "**bold", "|a|b\n|-", "<div", "&#x110000; &#0;", "\x00\ufffe\u202e", "[a]: <", "- " * 50],
)
def test_broken_markdown_is_shown_as_text(broken: str) -> None:
    assert Seen(card_html(broken)).tags <= {"p", "pre", "code", *_LISTS}


@pytest.mark.parametrize("piece", ["[", "*a", "`a", "> ", "![](", "a\n\n"])
def test_a_hostile_card_takes_time_in_proportion_to_its_size(piece: str) -> None:
    """The largest that is kept has eight times as much."""
    started_s = time.process_time()
    card_html(piece * (LIMIT // 8 // len(piece)))
    assert time.process_time() - started_s < 3

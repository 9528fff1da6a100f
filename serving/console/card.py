"""A model card as HTML: Markdown in, a few harmless tags out. Pure.

Two walls: the parser knows no HTML, so tags in a card are text; and what it writes passes an allow-list all the same.
"""

from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

_HEADINGS_BELOW = 2
"""A card stands below the page's title and the section's."""
_TAGS = {
    *("h3", "h4", "h5", "h6", "p", "br", "hr", "ul", "ol", "li", "blockquote", "pre", "code", "em", "strong", "s", "a"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
_SCHEMES = {"http", "https", "mailto"}
# Pictures would ask other hosts for them; what they show is left as a link.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")


@lru_cache(maxsize=32)
def card_html(text: str) -> str:
    """The card's HTML: only tags without behaviour, links to http, https and mailto. Broken Markdown stays text.

    The largest card that is kept takes up to seconds if it was made to: ask for it outside of an event loop.
    """
    tokens = _PARSER.parse(text.replace("\x00", ""))
    for token in tokens:
        _lower(token)
    html: str = _PARSER.renderer.render(tokens, _PARSER.options, {})
    return nh3.clean(html, tags=_TAGS, attributes=_ATTRIBUTES, url_schemes=_SCHEMES, link_rel="noopener noreferrer")


def _lower(token: Token) -> None:
    """A heading of the card as one of the page."""
    if token.type in ("heading_open", "heading_close"):
        token.tag = f"h{min(6, int(token.tag[1]) + _HEADINGS_BELOW)}"

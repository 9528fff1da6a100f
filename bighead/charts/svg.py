"""The smallest SVG writer that cannot be written past: text is escaped, markup has a type of its own. Pure.

Nothing here has a colour or a style: classes do, and the page's stylesheet gives them light and dark.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NewType
from xml.sax.saxutils import escape, quoteattr

Svg = NewType("Svg", str)
"""Markup. Everything else is text, and goes through `text`."""
FONT = 12
_CHARACTER = 6.7
"""Mean width of a character of the page's font at that size, in units of the drawing."""
_LEAST = 1e-300
"""Nearer than that there is no room for arithmetic between two numbers."""
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def element(name: str, attributes: Mapping[str, object], *children: Svg) -> Svg:
    """One element; numbers are rounded to what can be seen."""
    written = "".join(f" {key}={quoteattr(_plain(_value(value)))}" for key, value in attributes.items())
    return Svg(f"<{name}{written}>{''.join(children)}</{name}>")


def words(content: str) -> Svg:
    """Text as markup."""
    return Svg(escape(_plain(content)))


def label(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> Svg:
    """Text whose baseline is at a point; anchor: start, middle or end."""
    attributes = {"x": x, "y": y, "text-anchor": anchor} | ({"class": kind} if kind else {})
    return element("text", attributes, words(content))


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Svg:
    """A straight line."""
    return element("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": kind})


def path(points: Sequence[tuple[float, float]], kind: str, closed: bool = False) -> Svg:
    """A line through points."""
    steps = "L".join(f"{_value(x)} {_value(y)}" for x, y in points)
    return element("path", {"d": f"M{steps}{'Z' if closed else ''}", "class": kind})


def box(x: float, y: float, width: float, height: float, kind: str, told: str = "", radius: float = 0) -> Svg:
    """A rectangle, with what is told of it under the pointer."""
    attributes = {"x": x, "y": y, "width": max(0.0, width), "height": max(0.0, height), "class": kind}
    return element("rect", attributes | ({"rx": radius} if radius else {}), *(tooltip(told),) * bool(told))


def tooltip(told: str) -> Svg:
    """What is told of the element that it is a child of."""
    return element("title", {}, words(told))


def group(kind: str, *children: Svg) -> Svg:
    """Elements together."""
    return element("g", {"class": kind}, *children)


def drawing(width: float, height: float, title: str, described: str, *children: Svg, wide: bool = False) -> str:
    """The whole drawing with its name and its description; `wide`: it is never made smaller than it is."""
    attributes = {
        "class": "chart chart-wide" if wide else "chart",
        "role": "img",
        "aria-label": title,
        "viewBox": f"0 0 {_value(width)} {_value(height)}",
        "width": width,
        "height": height,
    }
    heads = (element("title", {}, words(title)), element("desc", {}, words(described)))
    return element("svg", attributes, *heads, *children)


def width_of(content: str) -> float:
    """About how wide a text is."""
    return len(content) * _CHARACTER


def shortened(content: str, width: float) -> str:
    """The text, its middle left out where it would be wider: names differ at both ends."""
    room = max(3, int(width / _CHARACTER))
    if len(content) <= room:
        return content
    head = (room - 1) // 2
    return f"{content[:head]}…{content[len(content) - (room - 1 - head) :]}"


def number(value: float) -> str:
    """A number as people read it: four digits, thousands apart, no exponent where it is not needed."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 1e9 or abs(value) < 1e-4:
        return f"{value:.3g}".replace("-", "−")
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, apart by 1, 2 or 5 times a power of ten."""
    rough = (high - low) / about
    if not rough > _LEAST:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)


def _plain(content: str) -> str:
    return _NOT_XML.sub("\ufffd", content)

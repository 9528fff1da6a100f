"""The life of a model as a drawing: which version was live where, and when each thing happened. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bighead.registry.views import Change
from serving.console import words
from serving.console.pages import wording

WIDTH = 1000.0
_LEFT, _RIGHT, _LANE, _BAR, _TONES = 92.0, 12.0, 34.0, 20.0, 6
_PIXELS_PER_CHARACTER = 7.5


@dataclass(frozen=True, slots=True)
class Reign:
    """A version that was live from one time to another."""

    environment: str
    version: int
    from_ms: int
    to_ms: int


def reigns(history: Sequence[Change], until_ms: int) -> list[Reign]:
    """Which version was live where, in the order of their ends; those that still are end at `until_ms`."""
    found: list[Reign] = []
    live: dict[str, tuple[int, int]] = {}
    environments = {change.environment for change in history if change.environment and change.live is not None}
    for change in history:
        whole = change.environment is None and change.version is None
        for name in environments:
            if change.refused is not None or not (whole or change.environment == name):
                continue
            now = None if whole else change.live
            before = live.get(name)
            if before is not None and before[0] != now:
                found.append(Reign(name, before[0], before[1], change.at_ms))
                del live[name]
            if now is not None and name not in live:
                live[name] = (now, change.at_ms)
    return found + [Reign(name, version, since, max(until_ms, since)) for name, (version, since) in live.items()]


def draw(history: Sequence[Change], until_ms: int) -> Markup:
    """The drawing; empty for a model to which nothing happened."""
    if not history:
        return Markup("")
    first_ms, past = history[0].at_ms, reigns(history, until_ms)
    across = max(until_ms - first_ms, 1)
    lanes = sorted({reign.environment for reign in past}, key=lambda name: (name != "production", name))
    height = _LANE * (len(lanes) + 1) + 22

    times = [*sorted(change.at_ms for change in history), until_ms]

    def x(at_ms: int) -> float:
        # Half by time and half by order: what happened in one hour of a year can still be told apart.
        share = (min(at_ms, until_ms) - first_ms) / across + bisect_left(times, at_ms) / (len(times) - 1)
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * min(share / 2, 1.0)

    drawn = [_lane(index, name) for index, name in enumerate([*lanes, "events"])]
    drawn += [_reign(reign, lanes.index(reign.environment) * _LANE, x(reign.from_ms), x(reign.to_ms)) for reign in past]
    drawn += [_mark(change, len(lanes) * _LANE, x(change.at_ms)) for change in history]
    drawn += [
        Markup('<text x="{x:.1f}" y="{y:g}" class="axis" text-anchor="{anchor}">{text}</text>').format(
            x=place, y=height - 4, anchor=anchor, text=words.utc(at_ms)[:16]
        )
        for at_ms, place, anchor in ((first_ms, _LEFT, "start"), (until_ms, WIDTH - _RIGHT, "end"))
    ]
    return Markup('<svg class="story" viewBox="0 0 {w:g} {h:g}" role="img" aria-label="{label}">{drawn}</svg>').format(
        w=WIDTH, h=height, label=told(history, past), drawn=Markup("").join(drawn)
    )


def told(history: Sequence[Change], past: Iterable[Reign]) -> str:
    """The drawing in words."""
    lines = [
        f"version {reign.version} was live in {reign.environment} from {words.utc(reign.from_ms)} "
        f"to {words.utc(reign.to_ms)}"
        for reign in past
    ]
    return f"{len(history)} events. " + ("; ".join(lines[-20:]) or "Nothing was ever live")


def _lane(index: int, name: str) -> Markup:
    y = index * _LANE + _BAR / 2 + 10
    line = (
        Markup('<line x1="{a:g}" x2="{b:g}" y1="{y:g}" y2="{y:g}" class="rule"></line>').format(
            a=_LEFT, b=WIDTH - _RIGHT, y=y - 4
        )
        if name == "events"
        else Markup("")
    )
    return line + Markup('<text x="0" y="{y:g}" class="lane">{name}</text>').format(
        y=y, name=name if len(name) < 14 else name[:12] + "…"
    )


def _reign(reign: Reign, top: float, start: float, end: float) -> Markup:
    width, label = max(end - start, 1.5), f"v{reign.version}"
    text = (
        Markup('<text x="{x:.1f}" y="{y:g}" class="on">{label}</text>').format(x=start + 5, y=top + 19, label=label)
        if width > len(label) * _PIXELS_PER_CHARACTER + 8
        else Markup("")
    )
    return Markup(
        '<g><title>{title}</title><rect class="tone-{tone}" x="{x:.1f}" y="{y:g}" width="{w:.1f}" height="{h:g}" '
        'rx="4"></rect>{text}</g>'
    ).format(
        title=f"version {reign.version} in {reign.environment}: {words.utc(reign.from_ms)} to {words.utc(reign.to_ms)}",
        tone=(reign.version - 1) % _TONES, x=start, y=top + 4, w=max(width - 1, 1), h=_BAR, text=text,
    )  # fmt: skip


def _mark(change: Change, top: float, x: float) -> Markup:
    title = f"{words.utc(change.at_ms)} {change.actor} {wording.said(change)}: {change.refused or change.reason}"
    return Markup('<circle class="mark {tone}" cx="{x:.1f}" cy="{y:g}" r="5"><title>{title}</title></circle>').format(
        tone=wording.tone(change), x=x, y=top + 16, title=title
    )

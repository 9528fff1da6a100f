"""What a feature report tells beyond each input alone: which go together, and what moved single answers. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from bighead.charts.forms import MOST_BARS, Bar, BarChart
from bighead.charts.reading import Reader
from bighead.charts.svg import number
from bighead.charts.words import Table

MOST_CLUSTERS, MOST_MEMBERS, MOST_EXAMPLES = 200, 500, 20
_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Inputs that say the same: `correlation` is the least between two that were joined. importance: what the metric
    loses when all of them are shuffled together, with its standard deviation."""

    names: tuple[str, ...]
    correlation: float
    importance: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row's answer: `base` and all contributions add up to the score. inputs: (name, value as text)."""

    title: str
    output: str
    base: float
    score: float
    inputs: tuple[tuple[str, str], ...]
    contributions: tuple[tuple[str, float], ...]


def cluster_of(reader: Reader) -> Cluster:
    """A group of inputs."""
    importance = reader.child("importance") if reader.has("importance") else None
    return Cluster(
        names=reader.texts("names", MOST_MEMBERS),
        correlation=reader.number("correlation"),
        importance=None if importance is None else (importance.number("mean"), importance.number("std", 0.0)),
    )


def example_of(reader: Reader) -> Example:
    """An explained row."""
    return Example(
        title=reader.text("title"),
        output=reader.text("output", ""),
        base=reader.number("base"),
        score=reader.number("score"),
        inputs=tuple((one.text("name"), one.text("value")) for one in reader.objects("inputs", MOST_MEMBERS)),
        contributions=tuple(
            (one.text("name"), one.number("value")) for one in reader.objects("contributions", MOST_MEMBERS)
        ),
    )


def example_chart(one: Example) -> BarChart:
    """What moved the answer most, up or down; the rest of the contributions is one bar."""
    values = dict(one.inputs)
    ranked = sorted(one.contributions, key=lambda pair: -abs(pair[1]))
    bars = [Bar(name=f"{name} = {values[name]}" if name in values else name, value=value) for name, value in ranked]
    if len(bars) > _SHOWN:
        rest = sum(bar.value for bar in bars[_SHOWN - 1 :])
        bars = [*bars[: _SHOWN - 1], Bar(name=f"{len(ranked) - _SHOWN + 1} others together", value=rest)]
    note = f"From {number(one.base)}, the mean, the contributions lead to {number(one.score)}."
    return BarChart(title=one.title, x_label=one.output or "contribution", bars=tuple(bars[:MOST_BARS]), note=note)


def clusters_table(clusters: Sequence[Cluster]) -> Table:
    """The groups of inputs, the most important first."""
    ranked = sorted(clusters, key=lambda one: -one.importance[0] if one.importance else 0.0)
    rows = tuple(
        (
            ", ".join(one.names),
            number(one.correlation),
            "–" if one.importance is None else f"{number(one.importance[0])} ± {number(one.importance[1])}",
        )
        for one in ranked
    )
    return Table(("inputs", "rank correlation, at least", "importance together"), rows)

"""The feature report: importance and distribution of each input in training and test, and its small drawings. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bighead.charts.explained import MOST_CLUSTERS, MOST_EXAMPLES, Cluster, Example, cluster_of, example_of
from bighead.charts.forms import Bar, BarChart, Chart, chart_of
from bighead.charts.reading import Reader
from bighead.charts.svg import Svg, box, drawing, label, number, path, shortened
from bighead.charts.words import Table
from bighead.errors import InvalidInput

MOST_FEATURES, MOST_BINS, MOST_VALUES, MOST_NOTES = 2000, 60, 20, 20
QUANTILES = ("min", "p05", "p25", "p50", "p75", "p95", "max")
_WIDTH, _HEIGHT, _BOTTOM = 240.0, 84.0, 18.0
_LINE = 15.0
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How one input is distributed in one data set. Of a number the quantiles and the counts between the edges of the
    report; of a text the most frequent values."""

    rows: int
    missing: int
    quantiles: Mapping[str, float]
    counts: tuple[float, ...]
    distinct: int
    top: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFacts:
    """One input. importance: what the metric loses when its values are shuffled, with its standard deviation; drift:
    the population stability index of test to training; contribution: the mean size of what it adds to an answer;
    dependence: the mean answer over its values."""

    name: str
    datatype: str
    source: str
    importance: tuple[float, float] | None
    edges: tuple[float, ...]
    train: Spread | None
    test: Spread | None
    drift: float | None = None
    contribution: float | None = None
    dependence: Chart | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReport:
    """All inputs, in the order of the signature. measured, contributed: what importance and contribution are, in words;
    clusters: inputs that say the same; examples: rows whose answers are explained."""

    measured: str
    features: tuple[FeatureFacts, ...]
    contributed: str = ""
    clusters: tuple[Cluster, ...] = ()
    examples: tuple[Example, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ranked(self) -> tuple[FeatureFacts, ...]:
        """The inputs with the most important ones first."""
        return tuple(sorted(self.features, key=lambda one: -one.importance[0] if one.importance else 0.0))


def feature_report_from_json(content: bytes | str) -> FeatureReport:
    """The report; raises InvalidInput naming the field that is not as it must be."""
    reader = Reader.of_json(content, "the feature report")
    features = tuple(_facts(one) for one in reader.objects("features", MOST_FEATURES))
    clusters = reader.objects("clusters", MOST_CLUSTERS) if reader.has("clusters") else ()
    examples = reader.objects("examples", MOST_EXAMPLES) if reader.has("examples") else ()
    return FeatureReport(
        measured=reader.text("measured", ""),
        features=features,
        contributed=reader.text("contributed", ""),
        clusters=tuple(map(cluster_of, clusters)),
        examples=tuple(map(example_of, examples)),
        notes=reader.texts("notes", MOST_NOTES) if reader.has("notes") else (),
    )


def _facts(reader: Reader) -> FeatureFacts:
    edges = reader.edges("edges", MOST_BINS) if reader.has("edges") else ()
    importance = reader.child("importance") if reader.has("importance") else None
    return FeatureFacts(
        name=reader.text("name"),
        datatype=reader.text("datatype", ""),
        source=reader.text("source", ""),
        importance=None if importance is None else (importance.number("mean"), importance.number("std", 0.0)),
        edges=edges,
        train=_spread(reader.child("train"), edges) if reader.has("train") else None,
        test=_spread(reader.child("test"), edges) if reader.has("test") else None,
        drift=reader.number("drift") if reader.has("drift") else None,
        contribution=reader.number("contribution") if reader.has("contribution") else None,
        dependence=chart_of(reader.child("dependence")) if reader.has("dependence") else None,
    )


def _spread(reader: Reader, edges: Sequence[float]) -> Spread:
    quantiles = reader.child("quantiles") if reader.has("quantiles") else None
    counts = reader.counts("counts", MOST_BINS) if reader.has("counts") else ()
    if counts and len(counts) != len(edges) - 1:
        raise InvalidInput(
            f"{reader.name} has {len(counts)} counts; expected one between each two of {len(edges)} edges"
        )
    return Spread(
        rows=reader.count("rows"),
        missing=reader.count("missing", 0),
        quantiles={name: quantiles.number(name) for name in QUANTILES if quantiles.has(name)} if quantiles else {},
        counts=counts,
        distinct=reader.count("distinct", 0),
        top=tuple((one.text("value"), one.count("count")) for one in reader.objects("top", MOST_VALUES))
        if reader.has("top")
        else (),
    )


def importance_chart(report: FeatureReport, most: int = 20) -> BarChart:
    """The most important inputs as bars."""
    ranked = [one for one in report.ranked if one.importance is not None]
    bars = [
        Bar(name=one.name, value=one.importance[0], spread=one.importance[1])
        for one in ranked[:most]
        if one.importance is not None
    ]
    note = f"The first {most} of {len(ranked)} inputs." if len(ranked) > most else ""
    return BarChart(title="Importance", x_label=report.measured or "importance", bars=tuple(bars), note=note)


def contribution_chart(report: FeatureReport, most: int = 20) -> BarChart:
    """The inputs that move single answers most, as bars."""
    sizes = {one.name: one.contribution for one in report.features if one.contribution is not None}
    ranked = sorted(sizes.items(), key=lambda pair: -pair[1])
    return BarChart(
        title="Contributions",
        x_label=report.contributed or "mean size of the contribution",
        bars=tuple(Bar(name=name, value=size) for name, size in ranked[:most]),
        note=f"The first {most} of {len(ranked)} inputs." if len(ranked) > most else "",
    )


def draw_distribution(facts: FeatureFacts) -> str:
    """One input's distribution: training filled, test as a line."""
    title = f"Distribution of {facts.name}"
    shown = facts.train or facts.test
    if shown is not None and shown.top:
        return drawing(_WIDTH, _HEIGHT, title, distribution_in_words(facts), *_values(facts))
    if shown is not None and facts.edges:
        return drawing(_WIDTH, _HEIGHT, title, distribution_in_words(facts), *_bins(facts))
    return drawing(
        _WIDTH,
        _HEIGHT,
        title,
        distribution_in_words(facts),
        label(_WIDTH / 2, _HEIGHT / 2, "no values", "tick", "middle"),
    )


def _bins(facts: FeatureFacts) -> list[Svg]:
    shares = [_shares(one.counts) for one in (facts.train, facts.test) if one is not None]
    top = max((share for one in shares for share in one), default=0.0) or 1.0
    wide, floor = _WIDTH / (len(facts.edges) - 1), _HEIGHT - _BOTTOM
    parts = []
    for place, share in enumerate(_shares(facts.train.counts) if facts.train else ()):
        tall = share / top * (floor - 6)
        told = f"{number(facts.edges[place])} to {number(facts.edges[place + 1])}: {share:.1%} of training"
        parts.append(box(place * wide + 0.5, floor - tall, wide - 1, tall, "bar tone-0 soft", told))
    if facts.test is not None and facts.test.counts:
        steps = []
        for place, share in enumerate(_shares(facts.test.counts)):
            y = floor - share / top * (floor - 6)
            steps += [(place * wide, y), ((place + 1) * wide, y)]
        parts.append(path(steps, "line tone-2"))
    parts.append(path([(0, floor), (_WIDTH, floor)], "axis"))
    parts.append(label(0, _HEIGHT - 4, number(facts.edges[0]), "tick"))
    parts.append(label(_WIDTH, _HEIGHT - 4, number(facts.edges[-1]), "tick", "end"))
    return parts


def _values(facts: FeatureFacts) -> list[Svg]:
    train, test = (dict(_top_shares(one)) if one is not None else {} for one in (facts.train, facts.test))
    names = list(train or test)[:_SHOWN]
    most = max([*train.values(), *test.values()], default=0.0) or 1.0
    left, right, parts = 84.0, _WIDTH - 44, []
    for place, name in enumerate(names):
        y = 4 + place * _LINE
        told = f"{name or '(empty)'}: {train.get(name, 0.0):.1%} of training, {test.get(name, 0.0):.1%} of test"
        reach = left + train.get(name, 0.0) / most * (right - left)
        parts.append(label(left - 6, y + 11, shortened(name or "(empty)", left - 8), "tick", "end"))
        parts.append(box(left, y + 2, reach - left, _LINE - 5, "bar tone-0 soft", told, 2))
        parts.append(label(right + 6, y + 11, f"{train.get(name, test.get(name, 0.0)):.1%}", "tick"))
        if name in test:
            x = left + test[name] / most * (right - left)
            parts.append(path([(x, y + 1), (x, y + _LINE - 2)], "line tone-2"))
    return parts


def distribution_in_words(facts: FeatureFacts) -> str:
    """What the drawing shows."""
    told = [f"{name}: {_in_words(one)}" for name, one in (("training", facts.train), ("test", facts.test)) if one]
    return f"Distribution of {facts.name}. " + ("; ".join(told) or "nothing is known") + "."


def distribution_table(facts: FeatureFacts) -> Table:
    """Quantiles or the most frequent values, training beside test."""
    both = [one for one in (facts.train, facts.test) if one is not None]
    heads = tuple(name for name, one in (("training", facts.train), ("test", facts.test)) if one is not None)
    rows = [("rows", *(number(one.rows) for one in both)), ("missing", *(number(one.missing) for one in both))]
    for name in QUANTILES:
        if any(name in one.quantiles for one in both):
            rows.append((name, *(number(one.quantiles[name]) if name in one.quantiles else "–" for one in both)))
    for value in dict.fromkeys(value for one in both for value, _ in one.top):
        rows.append((value or "(empty)", *(number(dict(one.top).get(value, 0)) for one in both)))
    return Table(("", *heads), tuple(rows))


def _in_words(one: Spread) -> str:
    missing = f"{one.missing / one.rows:.1%} missing" if one.rows else "no rows"
    if one.top:
        return f"{one.distinct} values, the most frequent {one.top[0][0] or '(empty)'} ({one.top[0][1]}), {missing}"
    if "p50" in one.quantiles:
        low, middle, high = (number(one.quantiles.get(name, one.quantiles["p50"])) for name in ("p05", "p50", "p95"))
        return f"median {middle}, nine of ten between {low} and {high}, {missing}"
    return missing


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts)
    return [count / total if total > 0 else 0.0 for count in counts]


def _top_shares(one: Spread) -> list[tuple[str, float]]:
    return [(value, count / one.rows if one.rows else 0.0) for value, count in one.top]

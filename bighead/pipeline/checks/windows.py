"""Windows that hold outcomes which were not known: the row's own, or others', stamped too early.

What a feature would be is computed from the labels of all rows under several suppositions about when outcomes are
counted. A feature that is explained by outcomes that nobody knew yet, where those that were known explain it less than
half as well, was made from them. Features that only predict such outcomes stay far below (flights: at most 0.74).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from bighead.features.windows import Window
from bighead.pipeline.checks.finding import Seen, Severity, rule
from bighead.pipeline.checks.inspected import SAMPLED, SEED, Inspected
from bighead.pipeline.checks.leakage import auc
from bighead.pipeline.checks.timelines import COUNT, OPERATIONS, Numbers, Timeline, Times
from bighead.pipeline.training_set import ColumnSource

EXPLAINED = 0.9
"""R2 from which a feature is taken to be made of labels: a proxy of the label (departures for arrivals) has 0.74."""
LEFT = 0.5
"""What a supposition must leave unexplained at most, as a share of what known outcomes leave."""
LEAST_ROWS = 200
"""Rows below which an R2 near these limits is not sure."""
NEWEST_ROWS = 50_000
"""Rows whose outcomes are counted, where more windows do not need more."""
TELLS = 0.99
"""AUC with which a feature of one outcome alone tells that outcome, whatever of it is summed up."""
DILUTED = 0.02
"""AUC that is lost where other outcomes are in the window: a feature that merely predicts well loses nothing."""
KNOWN, ASKED = "known", "asked"
"""When outcomes may be counted: as they became known, or with their question."""
EXPECTED = {"expected": 0.5, "soonest": 0.01}
"""Or after the time that was planned, in which half of them become known, or, where few are early, one in a hundred."""


@dataclass(frozen=True, eq=False)
class _Outcomes:
    """The newest rows of both parts with their labels as numbers, and when each may have been counted.

    places: of those rows in training and test together.
    """

    places: Times
    rows: pd.DataFrame
    labels: Numbers
    stamps: Mapping[str, Times]

    @cached_property
    def _timelines(self) -> dict[tuple[tuple[str, ...], str], Timeline]:
        return {}

    @cached_property
    def _entities(self) -> dict[tuple[str, ...], Times]:
        return {}

    def entities(self, keys: tuple[str, ...]) -> Times:
        """The rows' entities, numbered."""
        if keys not in self._entities:
            hashed = pd.util.hash_pandas_object(self.rows[list(keys)], index=False)
            self._entities[keys] = np.asarray(pd.factorize(hashed)[0], np.int64)
        return self._entities[keys]

    def timeline(self, keys: tuple[str, ...], stamp: str) -> Timeline:
        """The labels by entity, at one of their stamps."""
        if (keys, stamp) not in self._timelines:
            self._timelines[keys, stamp] = Timeline.of(self.entities(keys), self.stamps[stamp], self.labels)
        return self._timelines[keys, stamp]


def _newest(asked: Times, sources: Sequence[ColumnSource]) -> Times:
    """The places of the newest rows: some ten thousand, and those of three times the longest window at least."""
    lengths = [Window.parse(one.window).length_ms for one in sources if one.window]
    from_ms = int(asked.max()) - 3 * max(lengths, default=0)
    if len(asked) > NEWEST_ROWS:
        from_ms = min(from_ms, int(np.partition(asked, len(asked) - NEWEST_ROWS)[len(asked) - NEWEST_ROWS]))
        return np.flatnonzero(asked >= from_ms)
    return np.arange(len(asked))


def _outcomes(seen: Inspected, sources: Sequence[ColumnSource]) -> _Outcomes | None:
    """None where the label is neither a number nor one of two classes, or the times that are needed are not there."""
    train = seen.train
    if not (train.label and train.time and train.known) or (seen.classes is not None and len(seen.classes) != 2):
        return None
    names = dict.fromkeys((train.time, train.known, train.label, *(name for one in sources for name in one.keys)))
    names |= dict.fromkeys(one.name for one in train.inputs if one.source != "feature")
    names |= dict.fromkeys(name for name in train.rows.columns if pd.api.types.is_integer_dtype(train.rows[name].dtype))
    parts = [part.rows for part in (train, seen.test)]
    kept = _newest(np.concatenate([part[train.time].to_numpy().astype(np.int64) for part in parts]), sources)
    first = kept[kept < len(train)], kept[kept >= len(train)] - len(train)
    newest = [part[list(names)].iloc[places] for part, places in zip(parts, first, strict=True)]
    rows = pd.concat(newest, ignore_index=True)
    labels = rows[train.label]
    numbers = labels if pd.api.types.is_numeric_dtype(labels) else pd.Series(pd.factorize(labels)[0])
    values = numbers.to_numpy().astype(np.float64)
    if not np.isfinite(values).all():
        return None
    asked, known = (rows[name].to_numpy().astype(np.int64) for name in (train.time, train.known))
    planned_ms = _planned_ms(seen, rows, known - asked)
    stamps = {KNOWN: known, ASKED: asked}
    for name, share in EXPECTED.items():
        # Of a quantile: the few that take very long are not what was planned.
        expected_ms = planned_ms + np.quantile(known - asked - planned_ms, share)
        stamps[name] = asked + np.asarray(np.maximum(expected_ms, 0), np.int64)
    others = [name for name in rows.columns if name not in (train.time, train.known)]
    stamps |= {name: rows[name].to_numpy() for name in others if _is_time(rows[name], asked, known)}
    return _Outcomes(kept, rows, values, stamps)


def _planned_ms(seen: Inspected, rows: pd.DataFrame, delay_ms: Times) -> Numbers:
    """How long each outcome was to take, by least squares over what the request brings: what was planned, if it says.

    Features are left out: they may hold the delay that is not to be known here.
    """
    brought = [one.name for one in seen.train.inputs if one.source != "feature" and not seen.is_text(one.name)]
    columns = [rows[name].to_numpy().astype(np.float64) for name in brought if name in seen.names]
    usable = [one - one.mean() for one in columns if np.isfinite(one).all() and np.ptp(one) > 0]
    made = np.column_stack([np.ones(len(rows)), *(one / one.std() for one in usable)])
    weights = np.linalg.lstsq(made, delay_ms.astype(np.float64), rcond=None)[0]
    return np.asarray(made @ weights, np.float64)


def _is_time(values: pd.Series, asked: Times, known: Times) -> bool:
    """Whether a column holds times, milliseconds, in the range of those of the questions and outcomes."""
    if not pd.api.types.is_integer_dtype(values) or bool(values.isna().any()):
        return False
    length_ms = int(known.max() - asked.min())
    return bool(values.min() >= asked.min() - length_ms and values.max() <= known.max() + length_ms)


@dataclass(frozen=True, eq=False)
class _Supposed:
    """What an operation over a window makes of labels, for some rows: of known outcomes, with the own, at other stamps.

    places: the rows. seen: how many known outcomes the window holds. own: the row's own label. volume: of a count, by
    supposition, how many outcomes of any kind the window would hold.
    """

    places: Times
    seen: Times
    own: Numbers
    known: Numbers
    with_own: Mapping[str, Numbers]
    early: Mapping[str, Numbers]
    volume: Mapping[str, Times]

    @cached_property
    def high(self) -> npt.NDArray[np.bool_]:
        """Whether the own label is the upper of two, or above the median."""
        if not len(self.own):
            return np.zeros(0, np.bool_)
        return np.asarray(self.own > (np.median(self.own) if len(np.unique(self.own)) > 2 else self.own.min()))


@dataclass(frozen=True, eq=False)
class _Compared:
    """A feature beside what it may be made of; NaN where it is missing."""

    values: Numbers
    supposed: _Supposed

    @cached_property
    def with_own(self) -> tuple[str, float, float] | None:
        """How the row's own outcome explains it, see `_better`."""
        return _better(self, self.supposed.with_own)


def _supposed(outcomes: _Outcomes, keys: tuple[str, ...], operation: str, text: str) -> _Supposed:
    """Some rows whose window begins after the first outcome of all rows became known."""
    asked = outcomes.stamps[ASKED]
    window = Window.parse(text) if text else None
    reached = asked - (window.length_ms + window.hop_ms if window else 0) >= outcomes.stamps[KNOWN].min()
    places = np.random.default_rng(SEED).permutation(np.flatnonzero(reached))[:SAMPLED]
    places = places[np.lexsort((asked[places], outcomes.entities(keys)[places]))]  # neighbours are found faster
    asked_ms, entities = asked[places], outcomes.entities(keys)[places]
    from_ms = (asked_ms - window.length_ms) // window.hop_ms * window.hop_ms if window else None
    slices: dict[str, tuple[Times, Times]] = {}
    for stamp in outcomes.stamps:
        timeline = outcomes.timeline(keys, stamp)
        start = timeline.place(entities, np.full_like(asked_ms, timeline.first_ms) if from_ms is None else from_ms)
        slices[stamp] = start, np.maximum(start, timeline.place(entities, asked_ms))

    def made(stamp: str, end: Times | None = None, own: Numbers | None = None) -> Numbers:
        start, before = slices[stamp]
        return outcomes.timeline(keys, stamp).made(operation, start, before if end is None else end, own)

    own = outcomes.labels[places]
    so_far = np.maximum(slices[ASKED][0], outcomes.timeline(keys, ASKED).place(entities, asked_ms + 1))
    with_own = {"it": made(KNOWN, own=own), "those asked about so far": made(ASKED, so_far)}
    early = {name: made(name) for name in outcomes.stamps if name != KNOWN}
    volume = {name: end - start for name, (start, end) in slices.items()}
    seen = volume[KNOWN]
    volume |= {"it": seen, "those asked about so far": so_far - slices[ASKED][0]}
    return _Supposed(places, seen, own, made(KNOWN), with_own, early, volume if operation == COUNT else {})


def _better(compared: _Compared, suppositions: Mapping[str, Numbers]) -> tuple[str, float, float] | None:
    """The supposition that explains a feature far better than known outcomes do, with both R2; None where none does.

    A count has to be explained better than by how much was asked about, too: it may count that, and no outcomes.
    """
    found: tuple[str, float, float] | None = None
    for name, made in suppositions.items():
        where = np.isfinite(compared.values) & np.isfinite(compared.supposed.known) & np.isfinite(made)
        if where.sum() < LEAST_ROWS:
            continue
        values = compared.values[where]
        supposed = explained(values, made[where])
        if supposed > max(EXPLAINED, found[1] if found else 0):
            known = explained(values, compared.supposed.known[where])
            if name in compared.supposed.volume:
                known = max(known, explained(values, compared.supposed.volume[name][where].astype(np.float64)))
            found = (name, supposed, known) if 1 - supposed < LEFT * (1 - known) else found
    return found


def explained(values: Numbers, made: Numbers) -> float:
    """R2 of a line through both; 0 where nothing varies."""
    if np.ptp(values) == 0 or np.ptp(made) == 0:
        return 0.0
    first, second = values - values.mean(), made - made.mean()
    return float((first @ second) ** 2 / ((first @ first) * (second @ second)))


def _tells(compared: _Compared) -> tuple[float, float] | None:
    """The AUC for the own label where no other outcome is in the window, and where some are; None where it is no sign.

    A feature of an empty window has no value, and one of what happened before the rows loses nothing by more of it.
    """
    high, alone = compared.supposed.high, compared.supposed.seen == 0
    known = np.isfinite(compared.values)
    aucs = []
    for part in (alone & known, ~alone & known):
        if part.sum() < LEAST_ROWS or not 0 < high[part].sum() < part.sum():
            return None
        learned, bins = np.unique(compared.values[part], return_inverse=True)
        found = auc(high[part].astype(np.float64), bins, learned)
        aucs.append(max(found, 1 - found))
    return (aucs[0], aucs[1]) if aucs[0] > TELLS and aucs[1] < aucs[0] - DILUTED else None


def _operation(source: ColumnSource) -> str:
    """The name of a feature's operation; `bighead.pipeline.lineage` says of what it is, too ("AVERAGE of late")."""
    return source.operation.partition(" of ")[0].upper()


def _features(seen: Inspected) -> Iterator[tuple[str, _Compared]]:
    """Inputs that can be computed again from labels, with what they would be; nothing where it cannot be said."""
    columns = set(seen.train.rows.columns)
    sources = {name: one for name, one in seen.train.sources.items() if name in seen.names and not seen.is_text(name)}
    chosen = {
        name: one
        for name, one in sources.items()
        if _operation(one) in OPERATIONS and one.keys and columns.issuperset(one.keys)
    }
    outcomes = _outcomes(seen, list(chosen.values())) if chosen else None
    if outcomes is None:
        return
    made: dict[tuple[tuple[str, ...], str, str], _Supposed] = {}
    for name, one in chosen.items():
        reading = (one.keys, _operation(one), one.window)
        if reading not in made:
            made[reading] = _supposed(outcomes, *reading)
        yield name, _Compared(_values(seen, name, outcomes.places[made[reading].places]), made[reading])


def _values(seen: Inspected, name: str, places: Times) -> Numbers:
    """A feature's values in some rows of training and test together."""
    values, trained = np.empty(len(places)), places < len(seen.train)
    values[trained] = seen.train_values(name)[places[trained]]
    values[~trained] = seen.test_values(name)[places[~trained] - len(seen.train)]
    return values


def _compared(seen: Inspected) -> tuple[tuple[str, _Compared], ...]:
    return seen.once("windows", lambda: tuple(_features(seen)))


@rule(
    "BH005",
    "the row's own outcome in its window",
    Severity.ERROR,
    why="the feature holds a part of what is to be predicted, the larger the fewer others there are; serving will not",
    fix="compute features as of the question, and stamp outcomes when they become known, not when they were planned",
)
def own_outcome(seen: Inspected) -> Iterator[Seen]:
    """Averages, sums, counts, variances, extremes, first and last values are computed again from all rows' labels.

    `sources` of the training set says which inputs are such features, and of which keys and window. With the row's own
    label among the outcomes that were known they explain the feature (R2 above 0.9), and leave less than half of what
    remains without it. Or: where no other outcome is in the window, the feature tells the row's own label with an AUC
    above 0.99, and less where others are.
    """
    for name, compared in _compared(seen):
        found, tells = compared.with_own, None if compared.with_own else _tells(compared)
        if found:
            with_own, supposed, known = found
            yield Seen(
                f"is explained by known outcomes and {with_own} (R2 {supposed:.4f}), not without ({known:.4f})", (name,)
            )
        elif tells:
            what = f"tells the row's own label where no outcome was known yet (AUC {tells[0]:.4f})"
            yield Seen(f"{what}, less where others were ({tells[1]:.4f})", (name,))


@rule(
    "BH006",
    "outcomes counted before they were known",
    Severity.ERROR,
    why="the events are stamped when the outcome was planned, so that features know what nobody could know; serving, "
    "where events come when they happen, will not",
    fix="stamp the events of the feature's source when the outcome became known, and write the training set again",
)
def counted_early(seen: Inspected) -> Iterator[Seen]:
    """The same computation, with outcomes counted at other times: the question's, any time in the rows, and the usual.

    The usual time is the question's and as long as the outcome was to take, estimated from what the request brings: so
    that half of the outcomes are known by then, and so that one in a hundred is. With one of these times the outcomes
    explain the feature (R2 above 0.9), and leave less than half of what remains with those that were known. Where a
    feature is not of the label, but of what goes with it (minutes of delay), only BH005's second way sees into it.
    """
    for name, compared in _compared(seen):
        found = None if compared.with_own else _better(compared, compared.supposed.early)
        if found:
            stamp, supposed, known = found
            expected = "the time at which they were to be expected"
            when = {ASKED: "the time of the question", "expected": expected, "soonest": f"{expected} at the soonest"}
            at = when.get(stamp, f"{stamp!r}")
            what = f"is explained by outcomes counted at {at} (R2 {supposed:.4f})"
            yield Seen(f"{what}, not at {seen.train.known!r} ({known:.4f})", (name,))

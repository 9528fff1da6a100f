"""What the demo found, and what it means that it passed: the text at the end and the exit code follow from it.

Pure: figures in, text out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table

from bighead.training.retrospective import Retrospect
from examples.flights.canary import RolledOut
from examples.flights.replay import Replayed, percentile
from examples.flights.training import ByOrigin

LEAST_LIFT = 0.05
MOST_LIFT = 0.12
MOST_AUC_DIFFERENCE = 1e-9


class FeatureDifference(NamedTuple):
    """One feature: how many served values were recomputed, how many differ, and by how much at most."""

    feature: str
    compared: int
    different: int
    largest: float


class VersionAuc(NamedTuple):
    """The AUC of one version, 0 for both together: live, and over point-in-time rows of the same flights."""

    version: int
    predictions: int
    outcomes: int
    live: float
    recomputed: float


class PartMemory(NamedTuple):
    """A process of the platform, where it listens, and its memory after the replay."""

    part: str
    where: str
    memory_mb: float


@dataclass(frozen=True)
class Findings:
    """Everything that the demo measured."""

    parts: Sequence[PartMemory]
    history_events: int
    published_tiles: int
    training_rows: int
    schedule_auc: float
    trained_auc: Mapping[int, float]
    parity: float
    replayed: Replayed
    asked: int
    versions: Sequence[VersionAuc]
    differences: Sequence[FeatureDifference]
    rolled_out: RolledOut
    retrospect: Retrospect
    by_origin: ByOrigin
    dead_letters: int
    metric_events: int
    logged: int

    def failures(self) -> list[str]:
        """Why the demo did not show what it is for; empty when it did."""
        found = [f"a request failed: {failure}" for failure in self.replayed.failures]
        logged = self.logged - self.by_origin.asked
        if len(self.replayed.answers) != self.asked or logged != self.asked:
            found.append(f"{self.asked} were asked, {len(self.replayed.answers)} answered and {logged} logged")
        found += [f"of the model by airport, {one}" for one in self.by_origin.astray]
        found += [
            f"feature {one.feature} differs in {one.different} of {one.compared} served values, by {one.largest:g}"
            for one in self.differences
            if one.different or one.compared != self.asked
        ]
        found += [
            f"the live AUC of version {one.version} is {one.live!r}, over point-in-time rows it is {one.recomputed!r}"
            for one in self.versions
            if not abs(one.live - one.recomputed) <= MOST_AUC_DIFFERENCE
        ]
        if not self.differences:
            found.append("no feature was compared")
        if len({answer.version for answer in self.replayed.answers.values()}) < 2:
            found.append("the second version answered nothing: it was not rolled out during the replay")
        lift = self.lift
        if not LEAST_LIFT <= lift <= MOST_LIFT:
            reason = "look for a leak" if lift > MOST_LIFT else "too little"
            found.append(f"features lift the test AUC by {lift:.4f}; expected {LEAST_LIFT} to {MOST_LIFT}: {reason}")
        if self.dead_letters:
            found.append(f"{self.dead_letters} messages are with the dead letters")
        return found

    @property
    def lift(self) -> float:
        """By how much features lift the AUC on the test month."""
        return self.trained_auc[1] - self.schedule_auc


def features_table(findings: Findings) -> Table:
    """Per feature: what was served against what Spark computes as of each request."""
    table = Table("feature", title="Served features, recomputed by Spark as of each request", title_justify="left")
    for name in ("compared", "different", "largest difference"):
        table.add_column(name, justify="right")
    for one in findings.differences:
        table.add_row(one.feature, f"{one.compared:,}", f"{one.different:,}", f"{one.largest:g}")
    return table


def auc_table(findings: Findings) -> Table:
    """The AUC on the test month, live, and over point-in-time rows."""
    table = Table("AUC", title="Will a flight arrive more than 15 minutes late?", title_justify="left")
    for name in ("October (test)", "flights", "with outcome", "live", "point in time", "difference"):
        table.add_column(name, justify="right")
    table.add_row("schedule only", f"{findings.schedule_auc:.4f}")
    for one in findings.versions:
        tested = findings.trained_auc.get(one.version)
        table.add_row(
            f"version {one.version}" if one.version else "both versions",
            f"{tested:.4f}" if tested else "",
            f"{one.predictions:,}",
            f"{one.outcomes:,}",
            f"{one.live:.6f}",
            f"{one.recomputed:.6f}",
            f"{one.live - one.recomputed:g}",
        )
    return table


def summary(findings: Findings, seconds: Mapping[str, float]) -> RenderableType:
    """What was found, for a person."""
    where = Table("part", "where", title="What ran", title_justify="left")
    where.add_column("memory", justify="right")
    for part in findings.parts:
        where.add_row(part.part, part.where, f"{part.memory_mb:,.0f} MB")
    where.add_row("all", "", f"{sum(part.memory_mb for part in findings.parts):,.0f} MB")
    facts = Table(show_header=False, box=None, pad_edge=False)
    for name, text in _facts(findings, seconds):
        facts.add_row(f"[bold]{name}[/bold]", text)
    return Group(features_table(findings), "", where, "", auc_table(findings), "", facts)


def links(console: str) -> RenderableType:
    """The console's pages that tell the story of the run."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for path, text in (
        ("/models/delay", "who deployed what and why, the canary, the swap"),
        ("/models/delay/compare?a=1&b=2", "the two versions side by side"),
        ("/models/delay/versions/2", "the search, the evaluation, what it looks at and where that comes from"),
        ("/models/delay_by_origin", "a model for each airport under one name"),
        ("/features/flight", "the features, where they come from and how fresh they are"),
        ("/runs", "the trainings, the look back, and the check that what was served is what Spark computes"),
        ("/audit", "every command, with its answer"),
    ):
        table.add_row(f"[link={console}{path}]{console}{path}[/link]", text)
    return Group(f"[bold]The story of this run:[/bold] {console}", table)


def _facts(findings: Findings, seconds: Mapping[str, float]) -> list[tuple[str, str]]:
    done = findings.replayed
    latencies = [answer.seconds * 1e3 for answer in done.answers.values()]
    waits = [wait_s * 1e3 for wait_s in done.waits_s]
    rolled = findings.rolled_out
    steps = ", ".join(f"{name} {step_s * 1e3:.1f} ms" for name, step_s in rolled.steps_s.items())
    different = sum(one.different for one in findings.differences)
    compared = sum(one.compared for one in findings.differences)
    return [
        (
            "history",
            f"{findings.history_events:,} events in Delta, {findings.published_tiles:,} tiles published, "
            f"{findings.training_rows:,} point-in-time training rows",
        ),
        (
            "replay",
            f"{done.events:,} events, {len(done.answers):,} predictions, {done.outcomes:,} outcomes in "
            f"{done.seconds:.1f} s; {findings.metric_events:,} metric events",
        ),
        ("failed requests", str(len(done.failures))),
        ("dead letters", str(findings.dead_letters)),
        ("freshness", f"publish to visible: p50 {percentile(waits, 0.5):.1f} ms, p99 {percentile(waits, 0.99):.1f} ms"),
        (
            "predictions",
            f"p50 {percentile(latencies, 0.5):.1f} ms, p99 {percentile(latencies, 0.99):.1f} ms, seen by the client",
        ),
        ("in retrospect", f"version 2 on {findings.retrospect.compared:,} flights: {findings.retrospect.verdict}"),
        ("roll-out", f"version 2 at {rolled.stages} of the flights in {rolled.seconds:.0f} s, as {rolled.rules} held"),
        ("swap", f"{rolled.swap_us:,} us, after {steps}"),
        ("parity", f"scikit-learn and ONNX differ by at most {findings.parity:.1g}"),
        ("lift", f"features lift the AUC on October by {findings.lift:.4f}"),
        ("by airport", _by_origin(findings.by_origin)),
        ("feature difference", f"{different} of {compared:,} served values"),
        ("time", ", ".join(f"{title} {step_s:.0f} s" for title, step_s in seconds.items())),
    ]


def _by_origin(found: ByOrigin) -> str:
    told = [
        f"{name} by version {one.version}, AUC {one.own:.4f} ({one.whole:.4f} by that of all flights)"
        for name, one in sorted(found.airports.items())
    ]
    return "; ".join(told)

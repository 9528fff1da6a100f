"""`bighead runs`: what became of runs, and making the model of one again."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bighead import config
from bighead.client.run_sinks import full_run_id, read_run, read_runs, run_sink
from bighead.client.run_state import Attempt, Run
from bighead.clock import wall_clock_ms
from bighead.commands.options import reads_as_of, say
from bighead.commands.text import columns
from bighead.errors import ConfigError
from bighead.times import utc

_MOST = 50
_MOST_SEGMENTS = 10
_local = click.option("--local", is_flag=True, help="Runs that were made without a platform, from BIGHEAD_HOME.")
_as_json = click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object.")


@click.group()
def command() -> None:
    """What became of runs: training, batch and checks; making a model again."""


@command.command("list")
@click.option("--kind", default="", help="Runs of this kind, such as train.  [default: all]")
@click.option("--status", default="", help="running, succeeded, failed or cancelled.  [default: all]")
@reads_as_of
@_local
@_as_json
def list_(kind: str, status: str, as_of_ms: int | None, local: bool, as_json: bool) -> None:
    """The runs, the newest first. One whose process gives no sign of life has failed.

    Example: bighead runs list --kind train --status failed
    """
    sink = run_sink(config.load(), "bighead/runs", local=local)
    try:
        every = read_runs(sink).runs(as_of_ms, wall_clock_ms())
    finally:
        sink.close()
    found = [run for run in every if kind in ("", _kind(run)) and status in ("", run.status)]
    rows = [(run.run_id[:12], _name(run), _kind(run), run.status, utc(run.at_ms), _error(run)) for run in found[:_MOST]]
    text = (
        columns(("run", "name", "kind", "status", "began", "what went wrong"), rows) if rows else "no run was heard of"
    )
    say({"runs": [_document(run) for run in found]}, text, as_json)


@command.command()
@click.argument("run")
@_local
@_as_json
def show(run: str, local: bool, as_json: bool) -> None:
    """One run with its steps, what they took, its figures and files. RUN: its identity, or how that begins.

    Example: bighead runs show 3f2a9c
    """
    sink = run_sink(config.load(), "bighead/runs", local=local)
    try:
        found = read_run(sink, full_run_id(sink, run))
    finally:
        sink.close()
    if found is None:
        raise ConfigError(f"nothing is known of run {run}")
    say(_document(found), "\n\n".join([_head(found), *map(_attempt, found.attempts)]), as_json)


@command.command()
@click.argument("run")
@click.option(
    "--spec",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another specification to compare with.  [default: the run's own, as it was kept]",
)
@_local
@_as_json
@click.pass_context
def reproduce(context: click.Context, run: str, source: Path | None, local: bool, as_json: bool) -> None:
    """Make the model of a run again, from the same rows, and compare the bytes. RUN: its identity, or how that begins.

    Ends with 0 where they are identical; with 1 where they differ, and says by what: rows, seed, parameters, packages,
    code, or none of these.

    Example: bighead runs reproduce 3f2a9c
    """
    from bighead.training.reproduction import reproduce as make_again

    settings = config.load()
    sink = run_sink(settings, "bighead/runs", local=local)
    try:
        found = make_again(settings, sink, full_run_id(sink, run), source)
    finally:
        sink.close()
    verdict = f"identical: {found.now}" if found.identical else f"other bytes: {found.then} then, {found.now} now"
    about = "differs, and changed nothing: " if found.identical else "cause: "
    lines = [f"{about}{one.text}" for one in (found.differs if found.identical else found.causes)]
    if found.segments:
        named = ", ".join(found.segments[:_MOST_SEGMENTS])
        more = f" and {len(found.segments) - _MOST_SEGMENTS} more" if len(found.segments) > _MOST_SEGMENTS else ""
        lines.insert(0, f"other models: {named}{more}")
    outcome = {**asdict(found), "identical": found.identical, "causes": [asdict(one) for one in found.causes]}
    say(outcome, "\n".join([verdict, *lines]), as_json)
    context.exit(0 if found.identical else 1)


def _head(run: Run) -> str:
    begun = run.started
    if begun is None:
        return f"run {run.run_id}: {run.status}"
    return f"{begun.name} ({begun.kind}), run {run.run_id}: {run.status}\nby {begun.actor}: {begun.reason}"


def _attempt(attempt: Attempt) -> str:
    began = f"began {utc(attempt.started_ms)}: {attempt.status}"
    doing = f", in step {attempt.doing}" if attempt.doing else ""
    rows = [
        (
            one.step,
            one.status,
            *(f"{one.resources.get(name, 0):g}" for name in ("wall_s", "cpu_s", "peak_mb")),
            one.rows,
        )
        for one in attempt.steps
    ]
    parts = [
        f"{began}{doing}" + (f"\n{attempt.error}" if attempt.error else ""),
        columns(("step", "status", "seconds", "cpu s", "peak MB", "rows"), rows) if rows else "",
        "\n".join(f"{one.name} {one.value:.6g}" for one in attempt.metrics if one.trial is None),
        "\n".join(f"{one.name} {one.sha256} ({one.size} bytes)" for one in attempt.artifacts),
        attempt.end.traceback if attempt.end else "",
    ]
    return "\n".join(part for part in parts if part)


def _kind(run: Run) -> str:
    return run.started.kind if run.started else ""


def _name(run: Run) -> str:
    return run.started.name if run.started else run.checks[-1].subject if run.checks else ""


def _error(run: Run) -> str:
    said = run.newest.error if run.newest else None
    return (said or "").partition("\n")[0]


def _document(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "name": _name(run),
        "kind": _kind(run),
        "status": run.status,
        "at_ms": run.at_ms,
        "attempts": [_attempt_document(one) for one in run.attempts],
    }


def _attempt_document(attempt: Attempt) -> dict[str, Any]:
    return {
        "started_ms": attempt.started_ms,
        "finished_ms": attempt.finished_ms,
        "heard_ms": attempt.heard_ms,
        "status": attempt.status,
        "error": attempt.error,
        "doing": attempt.doing,
        "steps": [one.to_record() for one in attempt.steps],
        "metrics": [one.to_record() for one in attempt.metrics],
        "artifacts": [one.to_record() for one in attempt.artifacts],
        "outputs": attempt.outputs,
    }

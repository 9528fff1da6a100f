"""`bighead conformance`: whether a server speaks the Open Inference Protocol."""

import json

import click

from bighead.commands.text import columns
from bighead.conformance.cases import Verdict
from bighead.conformance.runner import Report, run

MARKS = {Verdict.PASSED: "yes", Verdict.FAILED: "NO", Verdict.SKIPPED: "-"}


@click.command()
@click.option("--target", required=True, metavar="HOST:PORT", help="The server's gRPC listener.")
@click.option("--http", metavar="HOST:PORT", help="Its HTTP listener; none: gRPC alone.")
@click.option("--model", metavar="NAME", help="The model to ask; the first of the server's index if absent.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for machines.")
@click.option("--failed", is_flag=True, help="Show only what failed.")
def command(target: str, http: str | None, model: str | None, as_json: bool, failed: bool) -> None:
    """Ask any server of the protocol everything, rightly and wrongly, and compare its answers with what they must be.

    The inputs are made from the model's metadata, ones and the text "a"; what says nothing about this model or server
    is shown as skipped, with the reason. Ends with 1 if a case failed.

    Example: bighead conformance --target 127.0.0.1:18500 --http 127.0.0.1:18501 --failed
    """
    report = run(target, http, model)
    click.echo(_as_json(report) if as_json else _as_table(report, failed))
    if report.count(Verdict.FAILED):
        raise click.exceptions.Exit(1)


def _as_table(report: Report, failed: bool) -> str:
    rows = [
        (
            result.transport,
            result.case.call,
            result.case.name,
            MARKS[result.verdict],
            " ".join(result.seen.split())[:100],
        )
        for result in report.results
        if result.verdict is Verdict.FAILED or not failed
    ]
    counts = ", ".join(f"{report.count(verdict)} {verdict}" for verdict in Verdict)
    return f"{columns(('OVER', 'CALL', 'CASE', 'AS IT MUST', 'SEEN'), rows)}\n\nmodel {report.model}: {counts}"


def _as_json(report: Report) -> str:
    results = [
        {
            "transport": result.transport,
            "call": result.case.call,
            "case": result.case.name,
            "expected": list(result.case.expected),
            "verdict": str(result.verdict),
            "seen": result.seen,
        }
        for result in report.results
    ]
    counts = {str(verdict): report.count(verdict) for verdict in Verdict}
    return json.dumps({"model": report.model, **counts, "results": results}, indent=2)

"""`python -m benchmarks [NAME...]`: runs measurements and prints figures beside those of a peer or a floor."""

import signal
import sys
from collections.abc import Callable

import click

from benchmarks import (
    flink,
    freshness,
    lane,
    library,
    memory,
    online,
    predictions,
    rebuild,
    registry,
    serving,
    training,
)
from benchmarks.report import Report, as_json, as_text, machine
from bighead.errors import BigheadError

RUNS: dict[str, Callable[[float | None], Report]] = {
    "flink": lambda _: flink.run(),
    "freshness": lambda seconds: freshness.run(seconds or freshness.SECONDS),
    "lane": lambda _: lane.run(),
    "library": lambda _: library.run(),
    "online": lambda seconds: online.run(seconds or online.SECONDS),
    "memory": lambda _: memory.run(),
    "predictions": lambda seconds: predictions.run(seconds or predictions.SECONDS),
    "rebuild": lambda _: rebuild.run(),
    "registry": lambda _: registry.run(),
    "training": lambda _: training.run(),
    "serving": lambda seconds: serving.run(seconds or serving.SECONDS),
}
EXAMPLES = """\b
Examples:
  python -m benchmarks                           all of them, about five minutes
  python -m benchmarks freshness --seconds 20    one, with a shorter measurement
  python -m benchmarks lane predictions --json   figures for machines
  python -m benchmarks serving --only batch      one row of a benchmark

\b
flink        events/s of the Flink lane from a filled topic, beside Flink's own scan and count (needs `make flink`)
freshness    publish to visible in Redis at 2,000 events/s, beside Kafka alone
lane         events/s of the Python lane from a filled topic, beside plain Faust agents
library      reports, checks, conversion and segments of the BigHead library beside bare scikit-learn; `--only ROW`
online       p99 of reading a Join of 30 features, 1 and 100 entities, beside pipelined HMGET
memory       resident memory of the worker at a million live keys, and bytes of Redis a key
predictions  calls/s and latency with and without feature look-up, beside a bare grpc.aio echo
rebuild      tiles/s from the log to an empty Redis, byte-identical
registry     start and answers with 100,000 events of 1,000 models x 50 versions, beside MLflow's own server (minutes)
serving      the model server under h2load, which must be on PATH: calls/s beside MLServer (installed apart, which takes
             a minute the first time), latency, batches beside ONNX Runtime alone, and callers' latency while versions
             are swapped, ten times too much is offered, and a shadow computes; `--only ROW` for one of them
training     backfill and point-in-time join, beside a Spark SQL range join and DuckDB; `python -m benchmarks.training`
             takes other sizes

Each starts its own platform in a temporary folder on free ports and removes it. Believe the ratios: all parts of one
run share one machine at one time. h2load is used for full load where it is on PATH.
"""


@click.command(name="python -m benchmarks", epilog=EXAMPLES)
@click.argument("names", nargs=-1, type=click.Choice(list(RUNS)), metavar="[NAME]...")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    help="How long freshness, online, predictions and serving load (60, 20, 20 and 10).",
)
@click.option("--feast", is_flag=True, help="Measure Feast beside online; it is installed apart, which takes a minute.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([*serving.ROWS, *library.ROWS]),
    help="Of serving and library, this row; may be given again.",
)
@click.option("--json", "json_wanted", is_flag=True, help="One JSON object, for machines.")
def main(names: tuple[str, ...], seconds: float | None, feast: bool, only: tuple[str, ...], json_wanted: bool) -> None:
    """Measure bighead on this machine, each figure beside a peer or a floor from the same run."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit unwinds, and with it every platform stops
    facts, reports = machine(), []
    runs = RUNS | {
        "online": lambda seconds: online.run(seconds or online.SECONDS, feast=feast),
        "serving": lambda seconds: serving.run(
            seconds or serving.SECONDS, [row for row in only if row in serving.ROWS]
        ),
        "library": lambda _: library.run([row for row in only if row in library.ROWS]),
    }
    try:
        for name in names or runs:
            report = runs[name](seconds)
            reports.append(report)
            if not json_wanted:
                click.echo(as_text(report))
    except BigheadError as error:
        raise click.ClickException(str(error)) from None
    click.echo(as_json(reports, facts) if json_wanted else "\n" + ", ".join(f"{k} {v}" for k, v in facts.items()))


if __name__ == "__main__":
    main()

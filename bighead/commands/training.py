"""`bighead train`: a specification to a proven, registered and deployed model, as a run that can be resumed."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bighead import config
from bighead.client.run_sinks import run_sink
from bighead.commands.options import say
from bighead.commands.signing import signing_key
from bighead.config import Settings

if TYPE_CHECKING:
    from bighead.pipeline.parallel import Workers

Command = TypeVar("Command", bound=Callable[..., object])


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the options of a training say."""

    register: bool
    deploy: bool
    local: bool
    reason: str
    as_json: bool


def asks(function: Command) -> Command:
    """The specification, and the options that are those of `Asked`."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object."),
        click.option("--reason", default="", help="Why; it is kept with the run and the version."),
        click.option("--local", is_flag=True, help="Without a platform: the run is told to a file in BIGHEAD_HOME."),
        click.option("--deploy", is_flag=True, help="Register it and make it live."),
        click.option("--register", is_flag=True, help="Register the model as the next version."),
        click.argument("specification", metavar="SPEC", type=click.Path(path_type=Path)),
    ):
        function = option(function)
    return function


@click.command("train")
@asks
def command(specification: Path, **asked: Any) -> None:
    """Train the model that SPEC defines: a Python file with training = Training(...).

    It reads the training set, checks it, searches, fits, proves the ONNX form, evaluates and writes the record, each a
    step of a run (`bighead runs show`). Run the same command again after an interruption: what is done is kept.
    With BIGHEAD_SIGNING_KEY or BIGHEAD_SIGNING_KEY_FILE in the environment a registered version is signed.

    Exit codes: 1 another process is at this run, 2 the specification is wrong, 3 a part of the platform is not there,
    4 the checks, the proof or the registry refused the model.

    \b
    Examples:
      bighead train spec.py --local
      bighead train spec.py --deploy --reason "October is in"
    """
    carry_out(config.load(), specification, Asked(**asked))


def carry_out(settings: Settings, path: Path, asked: Asked, workers: "Workers | None" = None) -> None:
    """Trains and says what came of it. workers: where the models of segments are fitted, None: on this machine."""
    register = asked.register or asked.deploy
    if asked.local and register:
        raise click.UsageError("--local trains without a platform; a model is registered on one: leave --local out")
    if register and not asked.reason:
        raise click.UsageError("--register and --deploy need --reason: why; it is kept with the version")
    from bighead.training.running import Wanted, train
    from bighead.training.specification import load_specification

    sink = run_sink(settings, "bighead/train", local=asked.local)
    try:
        secret = signing_key() if register else None
        wanted = Wanted(reason=asked.reason or "trained", register=register, deploy=asked.deploy, secret=secret)
        specification = load_specification(path)
        found = train(specification, settings, sink, wanted, lambda line: click.echo(line, err=True), workers)
    finally:
        sink.close()
    figures = ", ".join(f"{name} {value:.4g}" for name, value in found.metrics.items())
    what = f" is version {found.version}" + (", live" if found.deployed else "") if found.version else " is trained"
    what += f", {len(found.segments)} segments by versions of their own" if found.segments else ""
    text = f"{found.model}{what} ({figures}); run {found.run_id[:12]}, {found.folder}"
    say(asdict(found), text, asked.as_json)

"""`bighead train`: a specification to a proven, registered and deployed model, as a run that can be resumed."""

from dataclasses import asdict
from pathlib import Path

import click

from bighead import config
from bighead.client.run_sinks import run_sink
from bighead.commands.options import say
from bighead.commands.signing import signing_key


@click.command("train")
@click.argument("specification", metavar="SPEC", type=click.Path(path_type=Path))
@click.option("--register", is_flag=True, help="Register the model as the next version.")
@click.option("--deploy", is_flag=True, help="Register it and make it live.")
@click.option("--local", is_flag=True, help="Without a platform: the run is told to a file in BIGHEAD_HOME.")
@click.option("--reason", default="", help="Why; it is kept with the run and the version.")
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object.")
def command(specification: Path, register: bool, deploy: bool, local: bool, reason: str, as_json: bool) -> None:
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
    if local and (register or deploy):
        raise click.UsageError("--local trains without a platform; a model is registered on one: leave --local out")
    if (register or deploy) and not reason:
        raise click.UsageError("--register and --deploy need --reason: why; it is kept with the version")
    from bighead.training.running import Wanted, train
    from bighead.training.specification import load_specification

    settings = config.load()
    sink = run_sink(settings, "bighead/train", local=local)
    try:
        register = register or deploy
        secret = signing_key() if register else None
        wanted = Wanted(reason=reason or "trained", register=register, deploy=deploy, secret=secret)
        found = train(
            load_specification(specification), settings, sink, wanted, lambda line: click.echo(line, err=True)
        )
    finally:
        sink.close()
    figures = ", ".join(f"{name} {value:.4g}" for name, value in found.metrics.items())
    what = f" is version {found.version}" + (", live" if found.deployed else "") if found.version else " is trained"
    what += f", {len(found.segments)} segments by versions of their own" if found.segments else ""
    text = f"{found.model}{what} ({figures}); run {found.run_id[:12]}, {found.folder}"
    say(asdict(found), text, as_json)

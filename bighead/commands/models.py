"""`bighead models`: register, deploy, roll back, divide traffic, retire; what was live when, who put it there, why."""

from dataclasses import asdict, replace
from pathlib import Path

import click

from bighead import config
from bighead.client.attachments import store_files
from bighead.client.fleet import ServerAnswer
from bighead.client.models import Deployed, ModelsClient
from bighead.commands.mlflow_import import import_
from bighead.commands.model_history import as_of, blame, diff, history
from bighead.commands.model_reads import ls, show
from bighead.commands.options import expects, places, say, writes
from bighead.commands.policies import policy
from bighead.commands.promotions import approve, label
from bighead.commands.retrospect import retrospect
from bighead.commands.rollouts import rollout
from bighead.commands.segments import segments
from bighead.commands.signing import keygen, signing_key
from bighead.errors import InvalidInput
from bighead.registry.checks import within
from bighead.registry.keys import public_key
from bighead.registry.records import record_with_files


@click.group()
def command() -> None:
    """Register, deploy, roll back and look up models."""


command.add_command(rollout)
command.add_command(keygen)
command.add_command(segments)
command.add_command(label)
command.add_command(approve)
command.add_command(policy)
command.add_command(import_)
command.add_command(retrospect)
for read in (ls, show, as_of, history, diff, blame):
    command.add_command(read)


@command.command()
@click.argument("name")
@click.option(
    "--artifact", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The ONNX file."
)
@click.option(
    "--record", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its record, JSON."
)
@writes
def register(
    name: str, artifact: Path, record: Path, reason: str, actor: str | None, timeout_s: float, as_json: bool
) -> None:
    """Store an artifact and register it as the next version.

    Its record may name files as attachments (a model card in Markdown, charts): {"name", "kind", "file"}, each stored
    beside the artifact.

    With BIGHEAD_SIGNING_KEY (a secret key in PEM) or BIGHEAD_SIGNING_KEY_FILE in the environment it is signed.

    Example: bighead models register delay --artifact model.onnx --record record.json --reason "first model"
    """
    client = _client(actor, timeout_s)
    try:
        read, files = record_with_files(record.read_text())
        attached = store_files(config.load(), files, record.parent)
    except InvalidInput as error:
        raise InvalidInput(f"{record}: {error}") from error
    complete = replace(read, attachments=(*read.attachments, *attached))
    secret = signing_key()
    version = client.register(name, complete, artifact, reason, secret=secret)
    key = None if secret is None else public_key(secret)
    text = f"{name} version {version} is registered" + (f", signed by {key}" if key else "")
    say({"model": name, "version": version, "signing_key": key}, text, as_json)


@command.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(1), required=False)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until all live servers answer with it.")
@places
@expects
@writes
def deploy(
    name: str,
    version: int | None,
    wait: bool,
    environment: str | None,
    expected: int | None,
    reason: str,
    actor: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Make a version live; without VERSION the newest.

    Ends with 4 if a live server could not load it, with 3 if one did not report in time; it says which.

    With --expect it is refused if somebody changed the model since you looked: `bighead models show` says its revision.

    \b
    Examples:
      bighead models deploy delay 2 --reason "better AUC in October"
      bighead models deploy delay 2 --expect 7 --reason "better AUC in October"
    """
    _say_deployed(
        _client(actor, timeout_s, environment).deploy(
            name, version, reason, wait, check=False, expected_revision=expected
        ),
        wait,
        timeout_s,
        as_json,
    )


@command.command()
@click.argument("name")
@click.option("--to", "version", type=click.IntRange(1), help="A version that was live before.  [default: the last]")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until all live servers answer with it.")
@places
@expects
@writes
def rollback(
    name: str,
    version: int | None,
    wait: bool,
    environment: str | None,
    expected: int | None,
    reason: str,
    actor: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Return to the version that was live before.

    Example: bighead models rollback delay --reason "log loss doubled"
    """
    _say_deployed(
        _client(actor, timeout_s, environment).rollback(
            name, reason, version, wait, check=False, expected_revision=expected
        ),
        wait,
        timeout_s,
        as_json,
    )


@command.command()
@click.argument("name")
@click.argument("shares", nargs=-1, required=True, metavar="VERSION=PERCENT...")
@click.option("--shadow", "shadows", type=click.IntRange(1), multiple=True, help="A version that sees all, unanswered.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VERSION", help="A name that requests may ask for.")
@click.option("--unit", help="Key or input that decides the arm, such as customer; all keys by default.")
@click.option("--salt", default="", help="Another salt assigns every unit anew.")
@places
@expects
@writes
def traffic(
    name: str,
    shares: tuple[str, ...],
    shadows: tuple[int, ...],
    labels: tuple[str, ...],
    unit: str | None,
    salt: str,
    environment: str | None,
    expected: int | None,
    reason: str,
    actor: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Divide requests among versions until the next deployment; the shares sum to 100.

    A unit stays with its arm; when shares change, only those units move that must.

    \b
    Examples:
      bighead models traffic delay 2=90 3=10 --reason "canary"
      bighead models traffic delay 2=100 --shadow 3 --label champion=2 --label challenger=3 --reason "compare"
    """
    divided, named = dict(_share(share) for share in shares), dict(_label(label) for label in labels)
    _client(actor, timeout_s, environment).set_traffic(
        name, divided, reason, shadows=shadows, labels=named, unit=unit, salt=salt, expected_revision=expected
    )
    text = ", ".join(f"{percent:g}% to version {version}" for version, percent in divided.items())
    text += "".join(f"; version {version} as a shadow" for version in shadows)
    text += "".join(f"; {label} is version {version}" for label, version in named.items())
    say({"model": name, "shares": divided, "shadows": list(shadows), "labels": named}, f"{name}: {text}", as_json)


@command.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(1), required=False)
@expects
@writes
def retire(
    name: str,
    version: int | None,
    expected: int | None,
    reason: str,
    actor: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Take a version out of use for good; without VERSION the whole model.

    Example: bighead models retire delay 1 --reason "leaks the label"
    """
    _client(actor, timeout_s).retire(name, reason, version, expected_revision=expected)
    what = "the whole model" if version is None else f"version {version}"
    say({"model": name, "version": version}, f"{name}: {what} is retired", as_json)


def _client(actor: str | None, timeout_s: float, environment: str | None = None) -> ModelsClient:
    return ModelsClient(config.load(), actor, environment=environment, timeout_s=timeout_s)


def _say_deployed(deployed: Deployed, waited: bool, timeout_s: float, as_json: bool) -> None:
    """Says what came of it, then fails where a server does not answer with the version."""
    say(asdict(deployed), _deployed(deployed), as_json)
    if waited:
        deployed.require_all(timeout_s)


def _deployed(deployed: Deployed) -> str:
    before = "" if deployed.previous_version is None else f", before it version {deployed.previous_version}"
    where = within(deployed.environment)
    return "\n".join(
        [f"{deployed.model} version {deployed.version} is live{where}{before}", *map(_answer, deployed.servers)]
    )


def _answer(answer: ServerAnswer) -> str:
    if not answer.serves:
        kept = "" if answer.kept is None else f", version {answer.kept} answers on"
        return f"{answer.server} does NOT answer with it{kept}: {answer.error or 'it has not reported'}"
    swapped = "since its start" if answer.swap_us is None else f"swapped in {answer.swap_us} us"
    steps = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in answer.steps.items())
    return f"{answer.server} answers with it, {swapped}" + (f" ({steps})" if steps else "")


def _share(text: str) -> tuple[int, float]:
    version, _, percent = text.partition("=")
    try:
        return int(version), float(percent)
    except ValueError:
        raise InvalidInput(f"{text!r} is no share of traffic; expected VERSION=PERCENT, for example 2=90") from None


def _label(text: str) -> tuple[str, int]:
    label, _, version = text.partition("=")
    if not label or not version.isdecimal():
        raise InvalidInput(f"{text!r} is no label; expected NAME=VERSION, for example champion=2")
    return label, int(version)

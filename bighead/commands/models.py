"""`bighead models`: register, deploy, roll back, divide traffic, retire; what was live when, who put it there, why."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bighead import config
from bighead.client.fleet import ServerAnswer
from bighead.client.models import Deployed, ModelsClient
from bighead.commands.options import say, writes
from bighead.commands.rollouts import rollout
from bighead.commands.segments import segments, told
from bighead.commands.signing import keygen, signing_key
from bighead.commands.text import columns, json_line
from bighead.errors import InvalidInput, UnknownModel
from bighead.registry.keys import public_key
from bighead.registry.records import record_from_json
from bighead.registry.rollouts import bounds
from bighead.registry.state import Rollout, Version
from bighead.registry.views import Change, ModelView, to_json


@click.group()
def command() -> None:
    """Register, deploy, roll back and look up models."""


command.add_command(rollout)
command.add_command(keygen)
command.add_command(segments)


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

    With BIGHEAD_SIGNING_KEY (a secret key in PEM) or BIGHEAD_SIGNING_KEY_FILE in the environment it is signed.

    Example: bighead models register delay --artifact model.onnx --record record.json --reason "first model"
    """
    client = _client(actor, timeout_s)
    try:
        complete = record_from_json(record.read_text())
    except InvalidInput as error:
        raise InvalidInput(f"{record}: {error}") from error
    secret = signing_key()
    version = client.register(name, complete, artifact, reason, secret=secret)
    key = None if secret is None else public_key(secret)
    text = f"{name} version {version} is registered" + (f", signed by {key}" if key else "")
    say({"model": name, "version": version, "signing_key": key}, text, as_json)


@command.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(1), required=False)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until all live servers answer with it.")
@writes
def deploy(
    name: str, version: int | None, wait: bool, reason: str, actor: str | None, timeout_s: float, as_json: bool
) -> None:
    """Make a version live; without VERSION the newest.

    Ends with 4 if a live server could not load it, with 3 if one did not report in time; it says which.

    Example: bighead models deploy delay 2 --reason "better AUC in October"
    """
    _say_deployed(_client(actor, timeout_s).deploy(name, version, reason, wait, check=False), wait, timeout_s, as_json)


@command.command()
@click.argument("name")
@click.option("--to", "version", type=click.IntRange(1), help="A version that was live before.  [default: the last]")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until all live servers answer with it.")
@writes
def rollback(
    name: str, version: int | None, wait: bool, reason: str, actor: str | None, timeout_s: float, as_json: bool
) -> None:
    """Return to the version that was live before.

    Example: bighead models rollback delay --reason "log loss doubled"
    """
    _say_deployed(
        _client(actor, timeout_s).rollback(name, reason, version, wait, check=False), wait, timeout_s, as_json
    )


@command.command()
@click.argument("name")
@click.argument("shares", nargs=-1, required=True, metavar="VERSION=PERCENT...")
@click.option("--shadow", "shadows", type=click.IntRange(1), multiple=True, help="A version that sees all, unanswered.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VERSION", help="A name that requests may ask for.")
@click.option("--unit", help="Key or input that decides the arm, such as customer; all keys by default.")
@click.option("--salt", default="", help="Another salt assigns every unit anew.")
@writes
def traffic(
    name: str,
    shares: tuple[str, ...],
    shadows: tuple[int, ...],
    labels: tuple[str, ...],
    unit: str | None,
    salt: str,
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
    _client(actor, timeout_s).set_traffic(name, divided, reason, shadows=shadows, labels=named, unit=unit, salt=salt)
    text = ", ".join(f"{percent:g}% to version {version}" for version, percent in divided.items())
    text += "".join(f"; version {version} as a shadow" for version in shadows)
    text += "".join(f"; {label} is version {version}" for label, version in named.items())
    say({"model": name, "shares": divided, "shadows": list(shadows), "labels": named}, f"{name}: {text}", as_json)


@command.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(1), required=False)
@writes
def retire(name: str, version: int | None, reason: str, actor: str | None, timeout_s: float, as_json: bool) -> None:
    """Take a version out of use for good; without VERSION the whole model.

    Example: bighead models retire delay 1 --reason "leaks the label"
    """
    _client(actor, timeout_s).retire(name, reason, version)
    what = "the whole model" if version is None else f"version {version}"
    say({"model": name, "version": version}, f"{name}: {what} is retired", as_json)


@command.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def ls(as_json: bool) -> None:
    """List the models, what is live, and who put it there.

    Example: bighead models ls
    """
    views = ModelsClient(config.load()).ls()
    if as_json:
        for view in views:
            click.echo(json_line(_summary(view)))
        return
    names = ("model", "live", "previous", "versions", "since", "actor", "reason", "servers")
    rows = ([_cell(_summary(view)[name]) for name in names] for view in views)
    click.echo(columns(names, rows))


@command.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(1), required=False)
@click.option("--as-of", metavar="TIME", help="As it was then: ISO 8601 (UTC where no zone is given) or milliseconds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(name: str, version: int | None, as_of: str | None, as_json: bool) -> None:
    """Show a model with its history, or one version's record.

    Example: bighead models show delay --as-of 2026-11-01T12:00
    """
    as_of_ms = None if as_of is None else _time_ms(as_of)
    view = ModelsClient(config.load()).show(name, as_of_ms)
    if version is None:
        click.echo(to_json(view) if as_json else _view_text(view))
        return
    found = view.state.version(version)
    if found is None:
        raise UnknownModel(f"{name!r} has no version {version}; it has {len(view.state.versions)}, the first is 1")
    click.echo(json_line(_version(found)) if as_json else _version_text(found))


def _client(actor: str | None, timeout_s: float) -> ModelsClient:
    return ModelsClient(config.load(), actor, timeout_s=timeout_s)


def _say_deployed(deployed: Deployed, waited: bool, timeout_s: float, as_json: bool) -> None:
    """Says what came of it, then fails where a server does not answer with the version."""
    say(asdict(deployed), _deployed(deployed), as_json)
    if waited:
        deployed.require_all(timeout_s)


def _deployed(deployed: Deployed) -> str:
    before = "" if deployed.previous_version is None else f", before it version {deployed.previous_version}"
    return "\n".join([f"{deployed.model} version {deployed.version} is live{before}", *map(_answer, deployed.servers)])


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


def _time_ms(text: str) -> int:
    if text.isdecimal():
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"--as-of is {text!r}; expected a time such as 2026-11-01T12:00Z or milliseconds since 1970"
        ) from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _summary(view: ModelView) -> dict[str, Any]:
    state = view.state
    return {
        "model": state.name,
        "live": state.live,
        "previous": state.previous,
        "versions": len(state.versions),
        "since": _time(state.deployment.at_ms) if state.deployment else None,
        "actor": state.deployment.actor if state.deployment else None,
        "reason": state.deployment.reason if state.deployment else None,
        "servers": {name: status.serving for name, status in sorted(view.answering.items())},
    }


def _version(version: Version) -> dict[str, Any]:
    return {
        "version": version.number,
        "registered": asdict(version.registered),
        "retired": asdict(version.retired) if version.retired else None,
        "record": version.record.to_record(),
    }


def _view_text(view: ModelView) -> str:
    state = view.state
    lines = [f"{state.name}: live {_cell(state.live)}, previous {_cell(state.previous)}"]
    if state.traffic is not None:
        arms = ", ".join(f"{arm.arm}: version {arm.version}, {arm.percent:g}%" for arm in state.traffic.arms)
        lines.append(f"traffic: {arms}")
    if state.segments is not None:
        lines.append(f"segments: {told(state.segments)}")
    if state.rollout is not None:
        lines.append(_rollout(state.rollout))
    for name, status in sorted(view.answering.items()):
        failed = f"; failed at {status.error}" if status.error else ""
        lines.append(f"{name}: answers with version {_cell(status.serving)}{failed}")
    versions = [
        (
            item.number,
            _time(item.registered.at_ms),
            item.registered.actor,
            _metrics(item),
            "retired" if item.retired else "",
        )
        for item in state.versions
    ]
    history = [(_time(line.at_ms), line.actor, _what(line), _cell(line.live), line.reason) for line in view.history]
    return "\n".join(
        [
            *lines,
            "",
            columns(("version", "registered", "by", "metrics", ""), versions),
            "",
            columns(("time", "actor", "what", "live", "reason"), history),
        ]
    )


def _rollout(rollout: Rollout) -> str:
    stage = f"stage {rollout.stage + 1} of {len(rollout.stages)}, {rollout.percent:g}% since {_time(rollout.since_ms)}"
    rules = ", ".join(map(bounds, rollout.rules)) or "none"
    return f"roll-out of version {rollout.version}: {stage}; rules: {rules}"


def _version_text(version: Version) -> str:
    record = version.record
    rows = {
        "version": version.number,
        "registered": f"{_time(version.registered.at_ms)} by {version.registered.actor}: {version.registered.reason}",
        "retired": f"{_time(version.retired.at_ms)} by {version.retired.actor}" if version.retired else "no",
        "artifact": f"{record.artifact_uri} ({record.artifact_size} bytes)",
        "sha256": record.artifact_sha256,
        "signed by": record.signing_key or "nobody",
        "inputs": ", ".join(f"{tensor.name} {tensor.type} ({tensor.source})" for tensor in record.signature.inputs),
        "outputs": ", ".join(f"{tensor.name} {tensor.type}" for tensor in record.signature.outputs),
        "join": "none" if record.join is None else f"{record.join}, epoch {_cell(record.join_epoch)}",
        "metrics": _metrics(version),
        "parity": record.parity,
        "golden rows": len(json.loads(record.golden)),
        "training data": record.training_data,
        "configuration": record.config,
        "code": f"{record.code_version} in {record.environment}",
        "trained": f"{_time(record.started_ms)} to {_time(record.finished_ms)}",
    }
    return "\n".join(f"{name:14} {value}" for name, value in rows.items())


def _what(line: Change) -> str:
    version = "" if line.version is None else f" {line.version}"
    if line.refused:
        return f"{line.what}{version} REFUSED: {line.refused}"
    return f"{line.what}{version}: {line.detail}" if line.detail else f"{line.what}{version}"


def _metrics(version: Version) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in sorted(version.record.metrics.items())) or "-"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(" ", "seconds").replace("+00:00", "Z")


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case dict():
            return ", ".join(f"{name}: {_cell(item)}" for name, item in value.items()) or "-"
    return str(value)

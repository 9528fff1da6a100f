"""`bighead models ls` and `show`: what is there, now or as of any time."""

import json
from dataclasses import asdict
from typing import Any

import click

from bighead import config
from bighead.client.model_reads import version_of
from bighead.client.models import ModelsClient
from bighead.commands.options import reads_as_of
from bighead.commands.slots import slot_lines
from bighead.commands.text import columns, json_line
from bighead.registry.state import PRODUCTION, Version
from bighead.registry.views import Change, ModelView, to_json
from bighead.times import utc


@click.command()
@reads_as_of
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def ls(as_of_ms: int | None, as_json: bool) -> None:
    """List the models, what is live, and who put it there.

    Example: bighead models ls --as-of 2026-11-01
    """
    views = ModelsClient(config.load()).ls(as_of_ms)
    if as_json:
        for view in views:
            click.echo(json_line(_summary(view)))
        return
    names = ("model", "live", "previous", "versions", "since", "actor", "reason", "servers")
    rows = ([cell(_summary(view)[name]) for name in names] for view in views)
    click.echo(columns(names, rows))


@click.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(1), required=False)
@reads_as_of
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(name: str, version: int | None, as_of_ms: int | None, as_json: bool) -> None:
    """Show a model with its history, or one version's record.

    Example: bighead models show delay --as-of 2026-11-01T12:00
    """
    view = ModelsClient(config.load()).show(name, as_of_ms)
    if version is None:
        click.echo(to_json(view) if as_json else _view_text(view))
        return
    found = version_of(view, version)
    click.echo(json_line(_version(found)) if as_json else _version_text(found))


def _summary(view: ModelView) -> dict[str, Any]:
    state = view.state
    return {
        "model": state.name,
        "live": state.live,
        "previous": state.previous,
        "versions": len(state.versions),
        "revision": state.revision,
        "since": utc(state.deployment.at_ms) if state.deployment else None,
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


def head(view: ModelView) -> list[str]:
    """What is live of a model in each environment and how its requests are divided, a line each."""
    state = view.state
    lines = [f"{state.name}: live {cell(state.live)}, previous {cell(state.previous)}, revision {state.revision}"]
    lines += slot_lines(state.slot())
    for name, status in sorted(view.answering.items()):
        failed = f"; failed at {status.error}" if status.error else ""
        lines.append(f"{name}: answers with version {cell(status.serving)}{failed}")
    for environment, slot in sorted(state.slots.items()):
        if environment != PRODUCTION:
            lines.append(f"{environment}: live {cell(slot.live)}, previous {cell(slot.previous)}")
            lines += [f"  {line}" for line in slot_lines(slot)]
    return lines


def _view_text(view: ModelView) -> str:
    versions = [
        (
            item.number,
            utc(item.registered.at_ms),
            item.registered.actor,
            _metrics(item),
            "retired" if item.retired else "",
        )
        for item in view.state.versions
    ]
    history = [(utc(line.at_ms), line.actor, what(line), cell(line.live), line.reason) for line in view.history]
    return "\n".join(
        [
            *head(view),
            "",
            columns(("version", "registered", "by", "metrics", ""), versions),
            "",
            columns(("time", "actor", "what", "live", "reason"), history),
        ]
    )


def _version_text(version: Version) -> str:
    record = version.record
    changed = f" with changes {record.code_dirty_sha256[:12]}" if record.code_dirty_sha256 else ""
    rows = {
        "version": version.number,
        "registered": f"{utc(version.registered.at_ms)} by {version.registered.actor}: {version.registered.reason}",
        "retired": f"{utc(version.retired.at_ms)} by {version.retired.actor}" if version.retired else "no",
        "artifact": f"{record.artifact_uri} ({record.artifact_size} bytes)",
        "sha256": record.artifact_sha256,
        "signed by": record.signing_key or "nobody",
        "inputs": ", ".join(f"{tensor.name} {tensor.type} ({tensor.source})" for tensor in record.signature.inputs),
        "outputs": ", ".join(f"{tensor.name} {tensor.type}" for tensor in record.signature.outputs),
        "join": "none" if record.join is None else f"{record.join}, epoch {cell(record.join_epoch)}",
        "metrics": _metrics(version),
        "parity": record.parity,
        "golden rows": len(json.loads(record.golden)),
        "training data": record.training_data,
        "configuration": record.config,
        "code": f"{record.code_version}{changed} in {record.environment}",
        "trained": f"{utc(record.started_ms)} to {utc(record.finished_ms)} by {record.trained_by or 'somebody'}",
        "kind": " ".join(part for part in (record.model_type, record.family) if part) or "not said",
        "parent": record.parent_version or "none",
        "tags": ", ".join(f"{name}={value}" for name, value in sorted(record.tags.items())) or "none",
        "attachments": ", ".join(f"{one.name} ({one.kind}, {one.size} bytes)" for one in record.attachments) or "none",
    }
    return "\n".join(f"{name:14} {value}" for name, value in rows.items())


def what(line: Change) -> str:
    """What was asked and what came of it."""
    version = "" if line.version is None else f" {line.version}"
    if line.refused:
        return f"{line.what}{version} REFUSED: {line.refused}"
    return f"{line.what}{version}: {line.detail}" if line.detail else f"{line.what}{version}"


def _metrics(version: Version) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in sorted(version.record.metrics.items())) or "-"


def cell(value: object) -> str:
    """A value of a table."""
    match value:
        case None:
            return "-"
        case dict():
            return ", ".join(f"{name}: {cell(item)}" for name, item in value.items()) or "-"
    return str(value)

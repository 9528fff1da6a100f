"""`bighead models import`: what a team brings along from MLflow."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import click

from bighead import config
from bighead.client.attachments import store_attachment
from bighead.client.promotions import PromotionsClient
from bighead.commands.options import writes
from bighead.commands.text import json_line
from bighead.config import Settings
from bighead.errors import ConfigError, InvalidInput, ModelError, UnknownModel
from bighead.events.types import ModelRecord
from bighead.registry.attachments import MODEL_CARD

IMPORTED, THERE, WOULD, NOT = "imported", "was imported before", "would be imported", "cannot be imported"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one version of the store. registered: its number here."""

    model: str
    mlflow_version: int
    outcome: str
    registered: int | None = None
    labels: tuple[str, ...] = ()
    golden: str = ""
    detail: str = ""


@click.command("import")
@click.argument("store")
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@click.option("--dry-run", is_flag=True, help="Only say what would be imported, after proving it.")
@writes
def import_(
    store: str, names: tuple[str, ...], dry_run: bool, reason: str, actor: str | None, timeout_s: float, as_json: bool
) -> None:
    """Import registered models from an MLflow store: a folder mlruns, or an SQLite file. MLflow is not needed.

    Versions with an ONNX flavour are run on their input example, and registered with their parameters, metrics, tags,
    descriptions, user and times; aliases and stages become labels. Others are listed with what to do: code and pickles
    are never run. Importing again imports what is new. Exit code 2: no store; 4: something could not be imported.

    \b
    Examples:
      bighead models import mlflow:///home/ada/project/mlruns --dry-run --reason "moving"
      bighead models import mlflow+sqlite:///srv/mlflow/mlflow.db fare --reason "moving the taxi models"
    """
    settings = config.load()
    outcomes = []
    for outcome in imported(settings, store, names, reason, actor, timeout_s, dry_run=dry_run):
        outcomes.append(outcome)
        click.echo(json_line(asdict(outcome)) if as_json else _text(outcome))
    missing = sum(one.outcome == NOT for one in outcomes)
    done = sum(one.outcome in (IMPORTED, WOULD) for one in outcomes)
    click.echo(f"{done} of {len(outcomes)} versions {WOULD if dry_run else IMPORTED}, {missing} cannot be", err=True)
    if missing:
        raise ModelError(f"{missing} versions were not imported; each says why")


def imported(
    settings: Settings,
    store: str,
    names: tuple[str, ...],
    reason: str,
    actor: str | None,
    timeout_s: float,
    *,
    dry_run: bool,
) -> Iterator[Outcome]:
    """What becomes of each version of a store, as it happens."""
    try:
        from bighead.mlflow import importing
        from bighead.mlflow.stores import stored_versions
    except ImportError as error:
        raise ConfigError(f"importing runs the models; install bighead[inference] ({error})") from error
    every = stored_versions(store)
    unknown = sorted(set(names) - {one.model for one in every})
    if unknown:
        known = ", ".join(sorted({one.model for one in every})) or "none"
        raise InvalidInput(f"the store has no model {', '.join(unknown)}; it has {known}")
    client = PromotionsClient(settings, actor, timeout_s=timeout_s)
    for stored in every:
        if names and stored.model not in names:
            continue
        before = importing.imported_as(_records(client, stored.model), stored)
        outcome = Outcome(stored.model, stored.version, THERE, before)
        if before is None:
            try:
                found = importing.importable(stored)
            except InvalidInput as error:
                yield replace(outcome, outcome=NOT, detail=str(error))
                continue
            given = importing.labels(stored)
            outcome = replace(outcome, outcome=WOULD, labels=given, golden=found.golden)
            if not dry_run:
                record = _with_card(settings, found.record, found.card)
                number = client.register(stored.model, record, found.artifact, reason)
                for label in given:
                    client.label(stored.model, label, number, reason)
                outcome = replace(outcome, outcome=IMPORTED, registered=number)
        yield outcome


def _records(client: PromotionsClient, model: str) -> dict[int, ModelRecord]:
    try:
        return {version.number: version.record for version in client.show(model).state.versions}
    except UnknownModel:
        return {}


def _with_card(settings: Settings, record: ModelRecord, card: str) -> ModelRecord:
    if not card:
        return record
    attachment = store_attachment(settings, "card", MODEL_CARD, card.encode())
    return replace(record, attachments=(attachment,))


def _text(outcome: Outcome) -> str:
    said = f"{outcome.model} {outcome.mlflow_version}: {outcome.outcome}"
    if outcome.registered is not None:
        said += f" as version {outcome.registered}"
    if outcome.labels:
        said += f", {', '.join(outcome.labels)}"
    if outcome.golden:
        said += f"; golden rows: {outcome.golden}"
    return f"{said}: {outcome.detail}" if outcome.detail else said

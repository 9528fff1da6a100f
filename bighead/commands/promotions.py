"""`bighead models label | approve`: name versions, and vouch for them."""

import click

from bighead import config
from bighead.client.promotions import PromotionsClient
from bighead.commands.options import expects, places, say, writes
from bighead.errors import InvalidInput

_NONE = "none"


@click.command()
@click.argument("name")
@click.argument("label", metavar="LABEL=VERSION")
@places
@expects
@writes
def label(
    name: str,
    label: str,
    environment: str | None,
    expected: int | None,
    reason: str,
    actor: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Give a label to a version: requests may ask for it, and the version is not retired while it has it.

    It stays whatever is deployed, until the label is given to another version, or to none.

    \b
    Examples:
      bighead models label delay champion=3 --reason "won the test of October"
      bighead models label delay challenger=none --reason "the test is over"
    """
    named, version = label_of(label)
    settings = config.load()
    client = PromotionsClient(settings, actor, environment=environment, timeout_s=timeout_s)
    client.label(name, named, version, reason, expected_revision=expected)
    where = environment or settings.environment
    what = "no version any more" if version is None else f"version {version}"
    outcome = {"model": name, "label": named, "version": version, "environment": where}
    say(outcome, f"{name}: {named} is {what} in {where}", as_json)


@click.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(1))
@places
@expects
@writes
def approve(
    name: str,
    version: int,
    environment: str | None,
    expected: int | None,
    reason: str,
    actor: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Vouch for a version, where the policy of an environment asks for approvals.

    Who registered it cannot approve it, and nobody counts twice.

    Example: bighead models approve delay 3 --actor bob --reason "read the feature report"
    """
    settings = config.load()
    client = PromotionsClient(settings, actor, environment=environment, timeout_s=timeout_s)
    client.approve(name, version, reason, expected_revision=expected)
    who, where = actor or settings.actor, environment or settings.environment
    outcome = {"model": name, "version": version, "environment": where, "actor": who}
    say(outcome, f"{name}: version {version} is approved for {where} by {who}", as_json)


def label_of(text: str) -> tuple[str, int | None]:
    """The label and the version that an argument names; raises InvalidInput."""
    name, _, version = text.rpartition("=")
    if not name or not (version.isdecimal() or version == _NONE):
        raise InvalidInput(f"{text!r} is no label; expected LABEL=VERSION, for example champion=3, or champion=none")
    return name, None if version == _NONE else int(version)

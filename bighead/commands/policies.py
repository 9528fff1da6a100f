"""`bighead models policy`: what must hold of a version before it answers in an environment."""

from pathlib import Path

import click

from bighead import config
from bighead.client.policies import PoliciesClient, read_policies
from bighead.commands.options import expects, places, reads_as_of, say, writes
from bighead.commands.text import columns, json_line
from bighead.errors import InvalidInput
from bighead.registry.policies import rule_of, told


@click.group()
def policy() -> None:
    """What must hold of a version before it answers in an environment.

    \b
    Rules:
      approvals=2                   so many actors approved it; who registered it does not count
      parity<=0.0001                its ONNX form differs from the pipeline by no more; parity: than its tolerance
      auc>=live-0.005               no worse than the live version, on the same test data; also log_loss<=live+0.01
      required=config,metrics.auc   its record says something there; asked for when it is registered, too
      lived_in=staging              it was live there before
    """


@policy.command()
@click.argument("name")
@reads_as_of
@click.option("--json", "as_json", is_flag=True, help="The rules by environment, as one JSON object.")
def show(name: str, as_of_ms: int | None, as_json: bool) -> None:
    """Show the rules of each environment.

    Example: bighead models policy show delay --as-of 2026-11-01
    """
    state = PoliciesClient(config.load()).show(name, as_of_ms).state
    rules = {place: [told(rule) for rule in slot.policy] for place, slot in sorted(state.slots.items()) if slot.policy}
    if as_json:
        click.echo(json_line({"model": name, "policies": rules}))
    elif not rules:
        click.echo(f"{name} has no policy: whatever is registered may be deployed")
    else:
        rows = ((environment, rule) for environment, texts in rules.items() for rule in texts)
        click.echo(columns(("environment", "rule"), rows))


@policy.command("set")
@click.argument("name")
@click.argument("rules", nargs=-1, metavar="RULE...")
@click.option("--none", "ends", is_flag=True, help="No rules any more.")
@places
@expects
@writes
def set_rules(
    name: str,
    rules: tuple[str, ...],
    ends: bool,
    environment: str | None,
    expected: int | None,
    reason: str,
    actor: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Set the rules of an environment; what was set before is replaced as a whole.

    What answers there already goes on: rules are for what is deployed from now on. A roll-back is never barred.

    \b
    Example:
      bighead models policy set delay approvals=2 "auc>=live-0.005" lived_in=staging --reason "two pairs of eyes"
    """
    if ends == bool(rules):
        raise InvalidInput("expected rules such as approvals=2, or --none to end them")
    parsed = [rule_of(rule) for rule in rules]
    settings = config.load()
    client = PoliciesClient(settings, actor, environment=environment, timeout_s=timeout_s)
    client.set_policy(name, parsed, reason, expected_revision=expected)
    where, texts = environment or settings.environment, [told(rule) for rule in parsed]
    text = f"{name}: the policy of {where} is {'; '.join(texts) or 'none any more'}"
    say({"model": name, "environment": where, "rules": texts}, text, as_json)


@policy.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("models", nargs=-1, metavar="[MODEL...]")
@expects
@writes
def apply(
    file: Path,
    models: tuple[str, ...],
    expected: int | None,
    reason: str,
    actor: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Set the rules of a TOML file for models that exist; without MODEL for all. --expect is for one MODEL.

    With BIGHEAD_POLICIES the same file gives every new model its rules. It has a list for each environment:

    \b
      staging = ["required=code_version,training_data"]
      production = ["approvals=2", "lived_in=staging", "auc>=live-0.005"]

    Example: bighead models policy apply policies.toml --reason "rules of the new audit"
    """
    client = PoliciesClient(config.load(), actor, timeout_s=timeout_s)
    changed = client.apply(read_policies(file), models, reason, expected_revision=expected)
    outcome = {"changed": [{"model": model, "environment": environment} for model, environment in changed]}
    lines = [f"{model}: the policy of {environment} is that of {file}" for model, environment in changed]
    say(outcome, "\n".join(lines) or "nothing to change: every model has these rules already", as_json)

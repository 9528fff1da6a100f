"""`bighead features forget`: erases one entity of a group everywhere, and says what it found when it looked again."""

import json
import subprocess
import sys
from dataclasses import asdict

import click

from bighead import config
from bighead.client.catalog import read_catalog
from bighead.client.forget import entity_from, epochs_of, forget
from bighead.commands.text import json_line
from bighead.errors import PlatformError
from bighead.events.codec import Codec


@click.command("forget")
@click.argument("group")
@click.argument("keys", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why; it is kept with the event, so do not name anybody.")
@click.option("--actor", help="Who asks for it.  [default: BIGHEAD_ACTOR]")
@click.option(
    "--wait", "wait_s", default=60.0, show_default=True, metavar="SECONDS", help="How long to wait for parts."
)
@click.option("--without-tables", is_flag=True, help="Leave Delta tables alone (no Spark is started).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def forget_command(
    group: str,
    keys: tuple[str, ...],
    reason: str,
    actor: str | None,
    wait_s: float,
    without_tables: bool,
    as_json: bool,
) -> None:
    """Erase an entity of a GROUP, given by its key values in order: online store, stream state, tiles, Delta tables.

    Later events of the entity begin anew. What stays: the events themselves in the source's topic and dead letters,
    until their retention ends (a log cannot be changed); training sets that were made; tombstoned tiles on the state
    topic until Kafka compacts it; least and greatest values in the logs of Delta tables, for 30 days. Exit code 1:
    something that should be gone is still there.

    Example: bighead features forget account account-17 --reason "request 4711"
    """
    settings = config.load()
    done = forget(settings, group, keys, actor=actor or settings.actor, reason=reason, timeout_s=wait_s)
    result = asdict(done)
    if not without_tables:
        result |= _from_tables(group, keys)
    left = done.left + int(result.get("rows_left", 0))
    if as_json:
        click.echo(json_line(result))
    else:
        for name, value in result.items():
            click.echo(f"{name.replace('_', ' ')}: {value}")
    sys.exit(1 if left else 0)


def _from_tables(group: str, keys: tuple[str, ...]) -> dict[str, int]:
    """What batch erased, in a process of its own."""
    settings = config.load()
    codec = Codec(settings.schema_registry)
    try:
        entity = entity_from(epochs_of(read_catalog(settings, codec), group)[-1].group, keys)
    finally:
        codec.close()
    environment = config.inherited_environment() | config.variables(settings)
    command = [sys.executable, "-m", "batch", "forget", "--group", group, "--entity", entity, "--json"]
    done = subprocess.run(command, env=environment, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise PlatformError(f"the tables could not be cleaned (exit code {done.returncode}); what batch said is above")
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found

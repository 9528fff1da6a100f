"""`bighead health | prepare`: what works and is set up the same on one machine, in containers and on a cluster."""

import json

import click

from bighead import config
from bighead import health as probes
from bighead.commands.options import say
from bighead.commands.text import columns
from bighead.errors import PlatformError
from bighead.events import admin


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(probes.KNOWN), metavar="[PART]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for machines.")
@click.option("--timeout", default=5.0, show_default=True, metavar="SECONDS", help="How long a part may take.")
def health(parts: tuple[str, ...], as_json: bool, timeout: float) -> None:
    """Use every part but Flink's, or those named, once: a record through Kafka, a schema read back, PING, grpc.health.

    Ends with 3 if one does not work; containers run it as their health check.

    Example: bighead health kafka redis --timeout 2
    """
    found = probes.check_all(config.load(), parts or None, timeout)
    if as_json:
        click.echo(json.dumps([probe.as_json() for probe in found], indent=2))
    else:
        rows = [(p.part, "yes" if p.ok else "NO", f"{p.latency_ms:.0f} ms", p.detail) for p in found]
        click.echo(columns(("PART", "WORKS", "TOOK", "SEEN"), rows))
    broken = [probe.part for probe in found if not probe.ok]
    if broken:
        raise PlatformError(f"{', '.join(broken)} cannot be used")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object.")
def prepare(as_json: bool) -> None:
    """Create the platform's topics that are missing, verify the others, and register its schemas.

    `bighead up` does it by itself; run it once where Kafka and the schema registry are not started by it.

    Example: bighead prepare
    """
    settings = config.load()
    admin.ensure_topics(settings)
    admin.register_schemas(settings)
    outcome = {"kafka": settings.kafka, "schema_registry": settings.schema_registry}
    text = f"topics at {settings.kafka} and schemas at {settings.schema_registry} are in place"
    say(outcome, text, as_json)

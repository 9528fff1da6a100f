"""`bighead models segments`: partition a model."""

import click

from bighead import config
from bighead.client.models import ModelsClient
from bighead.commands.options import expects, places, say, writes
from bighead.errors import InvalidInput
from bighead.registry.state import Segments


@click.command()
@click.argument("name")
@click.argument("segments", nargs=-1, metavar="KEY=VALUE:VERSION...")
@click.option("--none", "ends", is_flag=True, help="No longer partitioned: the live version answers everything.")
@places
@expects
@writes
def segments(
    name: str,
    segments: tuple[str, ...],
    ends: bool,
    environment: str | None,
    expected: int | None,
    reason: str,
    actor: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Let versions of their own answer for segments of the rows, such as a carrier or a region.

    Name the segments of the finest key first: a row is answered by the first of its segments that there is, and where
    there is none by the live version and its traffic. What was set before is replaced as a whole. The values come from
    the entity, the inputs or the request.

    \b
    Example:
      bighead models segments delay carrier=AA:4 carrier=UA:5 region=EU:6 --reason "trained by carrier"
    """
    if ends == bool(segments):
        raise InvalidInput("expected segments such as carrier=AA:4, or --none to end them")
    versions = dict(segment_of(text) for text in segments)
    if len(versions) != len(segments):
        raise InvalidInput(f"a segment is named twice among {', '.join(segments)}; expected each once")
    keys = tuple(dict.fromkeys(segment.partition("=")[0] for segment in versions))
    ModelsClient(config.load(), actor, environment=environment, timeout_s=timeout_s).set_segments(
        name, versions, keys, reason, expected_revision=expected
    )
    text = f"{name}: {told(Segments(keys, versions))}" if versions else f"{name} is not partitioned any more"
    say({"model": name, "keys": list(keys), "segments": versions}, text, as_json)


def segment_of(text: str) -> tuple[str, int]:
    """The segment and version that an argument names; raises InvalidInput."""
    segment, _, version = text.rpartition(":")
    if "=" not in segment or not version.isdecimal():
        raise InvalidInput(f"{text!r} is no segment; expected KEY=VALUE:VERSION, for example carrier=AA:4")
    return segment, int(version)


def told(partitioned: Segments) -> str:
    """Which version answers for which segment, in the order in which a row is looked up."""
    named = [
        f"{segment}: version {number}"
        for key in partitioned.keys
        for segment, number in sorted(partitioned.versions.items())
        if segment.partition("=")[0] == key
    ]
    return ", ".join([*named, "else the live version"])

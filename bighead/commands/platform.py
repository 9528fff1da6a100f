"""`bighead up | status | logs | down`: the platform on this machine."""

import json
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import click

from bighead import config
from bighead.commands.options import say
from bighead.commands.text import columns, json_line
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.health import expanded, processes
from bighead.local.parts import FLINK
from bighead.local.platform import ALL, KNOWN, PartStatus, Platform
from bighead.local.ports import free_settings

_FOLLOW_S = 0.2


@click.command()
@click.option(
    "--free-ports", is_flag=True, help="Choose ports that nobody uses; other commands find them by themselves."
)
@click.option("--only", metavar="PARTS", help=f"Start these alone, separated by commas: {','.join(KNOWN)}.")
@click.option("--lane", type=click.Choice(["flink"]), help="Start this stream lane too, beside the Python one.")
@click.option("--timeout", default=180.0, show_default=True, metavar="SECONDS", help="How long to wait for all parts.")
@click.option("--json", "as_json", is_flag=True, help="Addresses as one JSON object; progress goes to standard error.")
def up(free_ports: bool, only: str | None, lane: str | None, timeout: float, as_json: bool) -> None:
    """Start the platform on this machine and return when every part has passed its probe.

    Data, logs and settings lie in BIGHEAD_HOME (default: .bighead). What runs already is left as it is.

    \b
    Examples:
      bighead up
      bighead up --free-ports --only kafka,registry,redis
    """
    started = time.monotonic()
    platform = Platform(_settings(free_ports))
    wanted = [name.strip() for name in only.split(",")] if only else list(ALL)
    wanted += FLINK if lane else ()
    was_running = platform.supervisor.pid() is not None
    platform.up(wanted, lambda line: click.echo(f"{time.monotonic() - started:6.1f} s  {line}", err=as_json), timeout)
    settings = platform.settings
    lines = [f"{'runs already' if was_running else 'started'} in {settings.home}"]
    lines += [f"  {name:<16} {address}" for name, address in _addresses(settings)]
    outcome = {"home": str(settings.home), "started": not was_running, "addresses": dict(_addresses(settings))}
    say(outcome, "\n".join(lines), as_json)


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(KNOWN), metavar="[PART]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for machines.")
def status(parts: tuple[str, ...], as_json: bool) -> None:
    """Show the parts on this machine, or those named: process, memory, and what its probe saw.

    Ends with 3 if one cannot be used. `bighead health` asks the same of parts that run elsewhere.

    Example: bighead status kafka server
    """
    found = Platform(config.load()).status(parts)
    if as_json:
        click.echo(json.dumps([_as_json(part) for part in found], indent=2))
    else:
        click.echo(columns(("PART", "WORKS", "PROCESS", "PID", "UP", "MEMORY", "SEEN"), map(_as_row, found)))
        click.echo(f"memory of all: {sum(part.memory_mb for part in found):,.0f} MB")
    broken = [part.part for part in found if not part.ok]
    if broken:
        raise PlatformError(f"{', '.join(broken)} cannot be used; see `bighead logs`, or start with `bighead up`")


@click.command()
@click.argument("part", required=False, type=click.Choice(KNOWN))
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on, until interrupted.")
@click.option("-n", "--lines", default=50, show_default=True, help="How many lines of each part to begin with.")
def logs(part: str | None, follow: bool, lines: int) -> None:
    """Show the last lines that the parts wrote, or those of one PART.

    Example: bighead logs server --lines 200 --follow
    """
    platform = Platform(config.load())
    files = {name: platform.log_file(name) for name in _with_logs(platform, part)}
    only = part if len(files) == 1 else None
    there = {name: file for name, file in files.items() if file.exists()}
    if not there:
        raise PlatformError(f"no logs in {platform.supervisor.logs}; nothing was started there yet: bighead up")
    for name, file in there.items():
        with file.open(errors="replace") as opened:
            for line in deque(opened, maxlen=lines):
                _echo_line(name, line, only)
    if follow:
        for name, line in _follow(there):
            _echo_line(name, line, only)


@click.command()
@click.option("--timeout", default=180.0, show_default=True, metavar="SECONDS", help="How long to wait for all of it.")
@click.option(
    "--json", "as_json", is_flag=True, help="The outcome as one JSON object; progress goes to standard error."
)
def restart(timeout: float, as_json: bool) -> None:
    """Replace the processes of the model server one after the other; no request is lost.

    Each new one has loaded what is live before an old one drains. Settings stay: for others, `bighead down` and `up`.

    Example: bighead restart
    """
    platform = Platform(config.load())
    platform.restart_servers(lambda line: click.echo(line, err=as_json), timeout)
    if as_json:
        click.echo(json_line({"restarted": list(processes(platform.settings))}))


@click.command()
@click.option(
    "--json", "as_json", is_flag=True, help="The outcome as one JSON object; progress goes to standard error."
)
def down(as_json: bool) -> None:
    """Stop every process of the platform. Its data stays in BIGHEAD_HOME.

    Example: bighead down
    """
    platform = Platform(config.load())
    stopped = platform.down(lambda line: click.echo(line, err=as_json))
    home = platform.settings.home
    say({"home": str(home), "stopped": stopped}, f"{'stopped' if stopped else 'nothing runs'} in {home}", as_json)


def _settings(free_ports: bool) -> Settings:
    settings = config.load()
    if not free_ports or Platform(settings).supervisor.pid() is not None:
        return settings
    environment = config.inherited_environment()
    return free_settings(settings.home, {name: environment[name] for name in config.VARIABLES if name in environment})


def _addresses(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "console", f"http://{settings.console}"
    yield "predictions", f"grpc {settings.grpc}, http://{settings.http}"
    yield "Kafka", settings.kafka
    yield "schema registry", settings.schema_registry
    yield "Redis", settings.redis


def _as_json(status: PartStatus) -> dict[str, object]:
    process = {"state": status.state, "pid": status.pid, "uptime_s": status.uptime_s, "memory_mb": status.memory_mb}
    return status.health.as_json() | {"process": process}


def _as_row(status: PartStatus) -> tuple[str, ...]:
    pid = str(status.pid or "")
    memory = f"{status.memory_mb:,.0f} MB" if status.pid else ""
    uptime = f"{status.uptime_s:,.0f} s" if status.pid else ""
    works = "yes" if status.ok else "NO"
    seen = f"{status.health.detail} ({status.health.latency_ms:.0f} ms)"
    return status.part, works, status.state, pid, uptime, memory, seen


def _with_logs(platform: Platform, part: str | None) -> list[str]:
    return expanded([part] if part else KNOWN, platform.settings)


def _echo_line(name: str, line: str, only: str | None) -> None:
    click.echo(line.rstrip("\n") if only else f"{name:<8} | {line.rstrip()}")


def _follow(files: dict[str, Path]) -> Iterator[tuple[str, str]]:
    """Lines written from now on. A file that became shorter was rotated, and is read from its beginning."""
    positions = {name: file.stat().st_size for name, file in files.items()}
    while True:
        for name, file in files.items():
            if not file.exists():
                continue
            with file.open("rb") as opened:
                size = opened.seek(0, 2)
                opened.seek(positions[name] if positions[name] <= size else 0)
                for line in opened:
                    yield name, line.decode(errors="replace")
                positions[name] = opened.tell()
        time.sleep(_FOLLOW_S)

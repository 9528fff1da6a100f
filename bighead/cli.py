"""The `bighead` command: its groups, loaded when they are asked for, and what the exit code of each error is.

Knows names and modules only, so that `bighead --help` and a failing command answer at once.
"""

from importlib import import_module

import click

from bighead import errors

# Name on the command line: module and object below bighead.commands, and the line that `bighead --help` shows.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("platform:up", "Start the platform on this machine; ready when it returns."),
    "status": ("platform:status", "The parts on this machine: processes and probes."),
    "logs": ("platform:logs", "Show what the parts wrote."),
    "restart": ("platform:restart", "Replace the model server's processes; no request is lost."),
    "down": ("platform:down", "Stop the platform; its data stays."),
    "prepare": ("cluster:prepare", "Create the platform's topics and schemas, wherever Kafka runs."),
    "health": ("cluster:health", "Probe parts by using them, wherever they run."),
    "events": ("events:command", "Topics, schemas, publishing and following."),
    "dead-letters": ("dead_letters:command", "What could not be handled, why, and replaying it."),
    "features": ("features:command", "Apply definitions, backfill, training sets, online values."),
    "batch": ("batch:command", "Run models over tables of the lake."),
    "train": ("training:command", "Train a model from its specification: checked, proven, registered."),
    "runs": ("runs:command", "What became of runs; making the model of one again."),
    "conformance": ("conformance:command", "Does a server speak the Open Inference Protocol?"),
    "models": ("models:command", "Register, deploy, roll back and look up models."),
    "completion": ("completion:command", "Let a shell complete commands and options."),
}

# The first row that the error is an instance of; scripts may rely on these.
EXIT_CODES: tuple[tuple[type[errors.BigheadError], int], ...] = (
    (errors.ConfigError, 2),
    (errors.DefinitionError, 2),
    (errors.EventError, 2),
    (errors.InvalidInput, 2),
    (errors.PlatformError, 3),
    (errors.NotReady, 3),
    (errors.Overloaded, 3),
    (errors.DeadlineExceeded, 3),
    (errors.StoreError, 3),
    (errors.ModelError, 4),
    (errors.Unauthenticated, 4),
    (errors.PermissionDenied, 4),
    (errors.BigheadError, 1),
)

EXAMPLES = """\b
Examples:
  bighead up                                  start everything, data in .bighead
  bighead status                              does each part work?
  bighead events tail predictions.v1          follow predictions as JSON
  bighead models deploy delay 2 --reason "better AUC"
  bighead down

\b
Exit codes: 0 done, 1 failed, 2 wrong use or input, 3 a part of the platform is not there, 4 refused.
Settings come from the environment (BIGHEAD_*), then from the settings.json that `bighead up` leaves.
"""


class Failure(click.ClickException):
    """A BigheadError on its way out: its message on stderr, its cause as the exit code."""

    def __init__(self, error: errors.BigheadError) -> None:
        super().__init__(str(error))
        self.exit_code = next(code for kind, code in EXIT_CODES if isinstance(error, kind))


class LazyGroup(click.Group):
    """A group whose commands are imported when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(f"bighead.commands.{module}"), attribute)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except errors.BigheadError as error:
            raise Failure(error) from error


@click.group(cls=LazyGroup, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bighead")
def main() -> None:
    """An open, event-driven, streaming-first machine-learning platform."""

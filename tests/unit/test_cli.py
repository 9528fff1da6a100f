"""The command line's frame: every command is there, errors end with the code of their cause, help is quick."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from bighead import cli, errors
from bighead.commands import text

CODES = {
    "ConfigError": 2,
    "DefinitionError": 2,
    "EventError": 2,
    "UndecodableEvent": 2,
    "InvalidEvent": 2,
    "InvalidInput": 2,
    "PlatformError": 3,
    "NotReady": 3,
    "Overloaded": 3,
    "DeadlineExceeded": 3,
    "StoreError": 3,
    "Unauthenticated": 4,
    "PermissionDenied": 4,
    "ModelError": 4,
    "UnknownModel": 4,
    "CommandRefused": 4,
    "StaleRevision": 4,
    "ArtifactError": 4,
    "ParityError": 4,
    "ChecksFailed": 4,
    "Conflict": 1,
    "BigheadError": 1,
}
ERRORS = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_its_exit_code_and_shows_its_message_alone(
    kind: type[errors.BigheadError], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def fails() -> None:
        raise kind("what to do")

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: fails)

    result = CliRunner().invoke(cli.main, ["up"])

    assert (result.exit_code, result.output) == (CODES[kind.__name__], "Error: what to do\n")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_of_the_help_exists_and_explains_itself(name: str) -> None:
    result = CliRunner().invoke(cli.main, [name, "--help"])

    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output and "--help" in result.output


def examples(command: click.Command) -> Iterator[str]:
    """The lines of help that show a call, of a command and those below it, each without what is said beside it."""
    text = f"{command.help}\n{command.epilog}".replace("\\\n", " ")
    for line in re.findall(r"^ *(?:Example: )?(bighead .+)", text, re.MULTILINE):
        yield re.split(r" [<>] | {3,}[a-z]", line)[0]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from examples(below)


@pytest.mark.parametrize("line", list(examples(cli.main)))
def test_every_example_of_the_help_is_a_command_that_exists(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Command, "invoke", lambda *_: None)  # parsed, and not run
    for kind in (click.Path, click.File):
        monkeypatch.setattr(kind, "convert", lambda self, value, *_: value)  # the files are the reader's
    result = CliRunner().invoke(cli.main, shlex.split(line)[1:])
    assert result.exit_code == 0, result.output


def commands(
    group: click.Command = cli.main, path: tuple[str, ...] = ("bighead",)
) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by what is typed."""
    if not isinstance(group, click.Group) or group.invoke_without_command:
        yield " ".join(path), group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            below = group.get_command(context, name)
            assert below is not None
            yield from commands(below, (*path, name))


EVERY = dict(commands())
ALWAYS_JSON = {"bighead events tail", "bighead events schemas show", "bighead dead-letters show"}
"""They print nothing but JSON."""
AS_IT_IS = {"bighead logs", "bighead completion"}
"""They print what others wrote, or what a shell reads."""


@pytest.mark.parametrize("name", EVERY)
def test_every_command_shows_how_it_is_called(name: str) -> None:
    assert f"{name}" in "\n".join(examples(EVERY[name])), "its help needs a line `Example: bighead ...`"


@pytest.mark.parametrize("name", EVERY)
def test_every_command_can_speak_to_programs_and_asks_nobody(name: str) -> None:
    options = {text for parameter in EVERY[name].params for text in parameter.opts}
    lists = name == "bighead events schemas"  # `bighead events schemas ls` does
    assert "--json" in options or lists or name in ALWAYS_JSON | AS_IT_IS
    asking = [one.name for one in EVERY[name].params if isinstance(one, click.Option) and one.prompt]
    assert not asking, "a script has nobody who answers"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell: str) -> None:
    source = CliRunner().invoke(cli.main, ["completion", shell])
    assert source.exit_code == 0 and "_BIGHEAD_COMPLETE" in source.output
    words = {"COMP_WORDS": "bighead models dep", "COMP_CWORD": "2" if shell != "fish" else "dep"}
    asked = words | {"_BIGHEAD_COMPLETE": f"{shell}_complete"}
    completed = CliRunner().invoke(cli.main, [], env=asked, prog_name="bighead")
    assert "deploy" in completed.output


def test_tables_fit_a_terminal_and_lose_nothing() -> None:
    rows = [("delay", 2, "a reason of several words that is far too long for one line of a terminal")]
    table = text.fitted(("model", "live", "reason"), rows, 40)
    assert all(len(line) <= 40 for line in table.splitlines())
    assert " ".join(table.split()).replace("model live reason delay 2 ", "") == rows[0][2]
    assert len(text.fitted(("model", "live", "reason"), rows, None).splitlines()) == 2
    assert len(text.fitted(("model", "live", "reason"), rows, 200).splitlines()) == 2


def test_an_unknown_command_is_wrong_use() -> None:
    result = CliRunner().invoke(cli.main, ["levitate"])

    assert result.exit_code == 2 and "No such command 'levitate'" in result.output


def test_help_lists_every_command_and_imports_none_of_them() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from bighead.cli import main\n"
        "print(CliRunner().invoke(main, ['--help']).output)\n"
        "print('LOADED', [m for m in sys.modules if m.startswith('bighead.') or m in ('confluent_kafka', 'redis')])"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert all(f"  {name} " in printed for name in cli.COMMANDS)
    assert "LOADED ['bighead.errors', 'bighead.cli']" in printed

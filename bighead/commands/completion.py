"""`bighead completion`: what a shell has to read to complete this command's own commands and options."""

import click
from click.shell_completion import get_completion_class

from bighead.errors import PlatformError

SHELLS = ("bash", "fish", "zsh")
_NAME = "bighead"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print what SHELL has to read.

    \b
    Examples:
      bighead completion bash > ~/.local/share/bash-completion/completions/bighead
      bighead completion zsh > ~/.zfunc/_bighead      (with ~/.zfunc in fpath)
      bighead completion fish > ~/.config/fish/completions/bighead.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise PlatformError(f"the installed click knows no completion for {shell}; expected {', '.join(SHELLS)}")
    click.echo(kind(context.find_root().command, {}, _NAME, f"_{_NAME.upper()}_COMPLETE").source())

"""bighead: the SDK of the platform, and the only package that users import."""

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext bighead` in a notebook."""
    from bighead.notebook.extension import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext bighead`."""
    from bighead.notebook.extension import unload

    unload(shell)

"""`%load_ext bighead`: an error that was raised on purpose is a sentence, and a list of things that show themselves
shows each of them."""

import sys
from types import TracebackType
from typing import Any

from bighead.errors import BigheadError
from bighead.notebook import display


def load(shell: Any) -> None:
    """What `%load_ext bighead` calls, with the running shell."""
    shell.set_custom_exc((BigheadError,), _say)
    formatters = shell.display_formatter.formatters
    for kind in (tuple, list):
        formatters["text/html"].for_type(kind, _html)


def unload(shell: Any) -> None:
    """What `%unload_ext bighead` calls."""
    shell.set_custom_exc((), None)
    for kind in (tuple, list):
        shell.display_formatter.formatters["text/html"].pop(kind, None)


def _html(shown: tuple[Any, ...] | list[Any]) -> str | None:
    """None leaves it to the text, which is what lists of anything else have."""
    checks = sys.modules.get("bighead.pipeline.checks.finding")  # it has been imported by whoever made a finding
    if shown and checks is not None and all(isinstance(one, checks.Finding) for one in shown):
        return display.shown("Checks before training", display.Html(checks.as_html(shown)))
    if not shown or not all(hasattr(one, "_repr_html_") for one in shown):
        return None
    return "".join(one._repr_html_() for one in shown)


def _say(_shell: Any, kind: type[BaseException], error: BaseException, _trace: TracebackType, **_: Any) -> None:
    """What went wrong and what to do; the stack would say nothing more."""
    sys.stderr.write(f"{kind.__name__}: {error}\n")

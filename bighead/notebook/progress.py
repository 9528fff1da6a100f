"""A bar for what takes longer than two seconds, in a terminal or a notebook; nothing is written anywhere else."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from time import monotonic
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

SHOWN_AFTER_S = 2.0
_EVERY_S = 0.25


@dataclass(slots=True)
class Bar:
    """What a loop tells of itself: `advance` may be called from any thread. Without a total only time is known."""

    what: str
    total: float | None = None
    done: float = 0.0
    note: str = ""

    def advance(self, steps: float = 1.0, note: str = "") -> None:
        """So many steps more are done; the note stands beside the bar until the next one."""
        self.done += steps
        self.note = note


class _Screen(Protocol):
    """Where a bar is seen; all calls come from one thread."""

    def show(self, bar: Bar) -> None: ...

    def clear(self) -> None: ...


class _Terminal:
    def __init__(self, console: Console, bar: Bar) -> None:
        counted = [] if bar.total is None else [BarColumn(), MofNCompleteColumn()]
        columns = [SpinnerColumn(), TextColumn("{task.description}"), *counted, TimeElapsedColumn()]
        note = TextColumn("{task.fields[note]}")
        self._progress = Progress(*columns, note, console=console, transient=True, auto_refresh=False)
        self._task = self._progress.add_task(bar.what, total=bar.total, note="")
        self._progress.start()

    def show(self, bar: Bar) -> None:
        self._progress.update(self._task, completed=bar.done, note=bar.note, refresh=True)

    def clear(self) -> None:
        self._progress.stop()


class _Notebook:
    """One line of HTML that is written again: rich would need ipywidgets."""

    def __init__(self, bar: Bar) -> None:
        from IPython.display import HTML, display

        html: Any = HTML  # it says nothing of its types
        show: Any = display
        self._html, self._begun_s = html, monotonic()
        self._handle = show(html(self._text(bar)), display_id=True)

    def show(self, bar: Bar) -> None:
        self._handle.update(self._html(self._text(bar)))

    def clear(self) -> None:
        self._handle.update(self._html(""))

    def _text(self, bar: Bar) -> str:
        counted = "" if bar.total is None else f'<progress value="{bar.done:g}" max="{bar.total:g}"></progress> '
        return f"{counted}{escape(f'{bar.what}, {monotonic() - self._begun_s:.0f} s {bar.note}')}"


@contextmanager
def progress(what: str, total: float | None = None, shown_after_s: float = SHOWN_AFTER_S) -> Iterator[Bar]:
    """A bar on stderr, or below a notebook's cell, from `shown_after_s` on; it is taken away when all is done."""
    bar, console = Bar(what, total), Console(file=sys.stderr)
    if not console.is_terminal and not console.is_jupyter:
        yield bar
        return
    over = threading.Event()
    drawing = threading.Thread(target=_draw, args=(console, bar, over, shown_after_s), daemon=True)
    drawing.start()
    try:
        yield bar
    finally:
        over.set()
        drawing.join()


def _draw(console: Console, bar: Bar, over: threading.Event, shown_after_s: float) -> None:
    if over.wait(shown_after_s):
        return
    screen: _Screen = _Notebook(bar) if console.is_jupyter else _Terminal(console, bar)
    while not over.wait(_EVERY_S):
        screen.show(bar)
    screen.show(bar)
    screen.clear()

"""The demo's steps as a person sees them: a bar while one runs, a line with its seconds when it is done.

Knows rich. Without a terminal only the lines are printed.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_REFRESH_PER_S = 5


class Step:
    """One step: how far it is, and what there is to say about it in the end."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self.result = ""
        self._bars = bars
        self._task = task

    def say(self, detail: str) -> None:
        """What it does now."""
        self._bars.update(self._task, detail=escape(detail))

    def advance(self, completed: float, total: float) -> None:
        """How far it is."""
        self._bars.update(self._task, completed=completed, total=total)


class Story:
    """Runs steps one after another, and keeps their seconds by title."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}
        self._started_s = time.monotonic()

    @property
    def total_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started_s

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Shows a bar until the step ends; a step that raises leaves no line."""
        started_s = time.monotonic()
        columns = (SpinnerColumn(), TextColumn(title), BarColumn(24), TextColumn("{task.fields[detail]}"))
        with Progress(
            *columns,
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            refresh_per_second=_REFRESH_PER_S,
            disable=not self.console.is_terminal,
        ) as bars:
            step = Step(bars, bars.add_task(title, total=None, detail=""))
            yield step
        self.seconds[title] = time.monotonic() - started_s
        self.console.print(
            f"{self.seconds[title]:6.1f} s  [bold]{title}[/bold]  {escape(step.result)}", highlight=False
        )

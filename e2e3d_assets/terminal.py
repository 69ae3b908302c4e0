"""Progress of a run on the terminal: a bar for the running stage, a line of figures for each finished one."""

import logging
import os
import sys
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeftColumn

from .measure import Cost
from .reconstruction.monitor import Figures

_FIGURES_SHOWN = 5


def steady_console() -> Console:
    """A console on a copy of standard output: Dagster puts a pipe in its place while a stage runs, to capture it."""
    return Console(file=os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding))


class TerminalProgress:
    """A progress sink that draws with rich; use it as a context manager around the run.

    Where the console is no terminal (a log file, CI), each stage prints one line when it starts and one when it ends.
    """

    def __init__(self, console: Console, stages: int) -> None:
        self._console = console
        self._stages = stages
        self._finished = 0
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("[dim]{task.fields[what]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]left"),
            TimeLeftColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "TerminalProgress":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()

    def started(self, stage: str, log: logging.Logger) -> None:
        """Draw a bar for the stage; a stage may tell of its parts one by one."""
        self._remove_bar()
        label = f"[{self._finished + 1}/{self._stages}] {stage}"
        self._task = self._bars.add_task(escape(label), total=None, what="")
        if not self._console.is_terminal:
            self._console.print(f"{escape(label)} …", highlight=False)

    def progress(self, done: int, total: int, what: str) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total, what=escape(what))

    def finished(self, stage: str, figures: Figures, cost: Cost, reused: bool) -> None:
        """Replace the bar by a line with what the stage says of its product."""
        self._remove_bar()
        self._finished += 1
        seconds = "   kept" if reused else f"{cost.wall_seconds:6.1f}s"
        self._console.print(
            f"[green]✓[/] {stage:<19}{seconds}  [dim]{escape(summary(figures))}[/]", highlight=False, soft_wrap=True
        )

    def _remove_bar(self) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None


def summary(figures: Figures) -> str:
    """The first few figures of a stage in words: ``16 photos, 0.61 mean reprojection error px``."""
    shown = []
    for name, value in list(figures.items())[:_FIGURES_SHOWN]:
        words = name.replace("_", " ")
        if isinstance(value, bool):
            shown.append(words if value else f"not {words}")
        elif isinstance(value, str):
            shown.append(f"{words} {value}")
        else:
            shown.append(f"{value:,} {words}" if isinstance(value, int) else f"{value:,.3g} {words}")
    return ", ".join(shown)

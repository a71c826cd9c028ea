"""Progress of the steps on a terminal as bars, elsewhere as lines, always on stderr."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

LINE_EVERY_S = 1.0


class StepProgress:
    """One bar for each step. `now` gives seconds and only spaces out the lines."""

    def __init__(self, console: Console, now: Callable[[], float]) -> None:
        self._console, self._now = console, now
        self._bars = Progress(
            TextColumn("{task.fields[step]:<10}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._step = ""
        self._last_line = float("-inf")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def begin(self, step: str) -> None:
        self._step = step
        self._task = self._bars.add_task("", total=1.0, step=step)
        self._last_line = float("-inf")
        self._line("begins")

    def tell(self, what: str, share: float | None = None) -> None:
        """What is being done, and how much of the step is done (0 to 1)."""
        if self._task is not None:
            if share is None:
                self._bars.update(self._task, description=what)
            else:
                self._bars.update(self._task, description=what, completed=share)
        self._line(what if share is None else f"{what} ({share:.0%})")

    def end(self, what: str = "done") -> None:
        if self._task is not None:
            self._bars.update(self._task, description=what, completed=1.0)
        self._last_line = float("-inf")
        self._line(what)

    def _line(self, text: str) -> None:
        if self._console.is_terminal or self._now() - self._last_line < LINE_EVERY_S:
            return
        self._last_line = self._now()
        self._console.print(f"{self._step}: {text}", markup=False, highlight=False, soft_wrap=True)

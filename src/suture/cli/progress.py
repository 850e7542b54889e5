"""A progress bar with speed and time left, on standard error."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from suture.training.train import Watch


class Bar:
    """Shows a training run. Use as a context; hand `watch` to `train`.

    every: seconds between lines where standard error is no terminal, and a bar cannot be shown.
    """

    def __init__(self, title: str, *, every: float = 30.0):
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"), TimeRemainingColumn(),
        )  # fmt: skip
        self.progress = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.title, self.every, self._first, self._steps = title, every, 0, 0
        self._began = self._told = time.monotonic()
        self._task = self.progress.add_task(title, total=None, speed="compiling")

    def __enter__(self) -> Watch:
        self.progress.start()
        return Watch(say=self._say, start=self._start, progress=self._advance)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False)

    def _start(self, first: int, steps: int) -> None:
        self._first, self._steps = first, steps
        self._began = self._told = time.monotonic()
        self.progress.update(self._task, total=steps, completed=first)

    def _advance(self, step: int) -> None:
        now = time.monotonic()
        if not self.console.is_terminal and now - self._told >= self.every:
            self._told = now
            self._say(self._line(step, now - self._began))
        speed = self.progress.tasks[0].speed
        self.progress.update(self._task, completed=step, speed=f"{speed:,.0f} updates/s" if speed else "")

    def _line(self, step: int, seconds: float) -> str:
        """'iql: step 12,000 of 100,000, 400 updates/s, 220 s left'."""
        rate = (step - self._first) / max(seconds, 1e-9)
        left = f", {(self._steps - step) / rate:,.0f} s left" if rate > 0 else ""
        return f"{self.title}: step {step:,} of {self._steps:,}, {rate:,.0f} updates/s{left}."

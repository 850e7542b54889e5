"""A progress bar with speed and time left, on standard error."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from suture.training.train import Watch


class Bar:
    """Shows a training run. Use as a context; hand `watch` to `train`."""

    def __init__(self, title: str):
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"), TimeRemainingColumn(),
        )  # fmt: skip
        self.progress = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.title, self._first = title, 0
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
        self._first = first
        self.progress.update(self._task, total=steps, completed=first)

    def _advance(self, step: int) -> None:
        speed = self.progress.tasks[0].speed
        self.progress.update(self._task, completed=step, speed=f"{speed:,.0f} updates/s" if speed else "")

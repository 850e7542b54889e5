"""`suture demo`: a policy stitched from logs that no single log shows."""

import time
from pathlib import Path
from typing import Literal, TypeAlias

from rich.console import Console

from suture.cli.demo import composite, maze
from suture.envs.composite.scene import Scene
from suture.envs.make import advice
from suture.errors import ConfigError, RefusedInput

Task: TypeAlias = Literal["maze", "composite"]


def run_demo(out: Path, task: Task | None = None, size: composite.Size | None = None) -> int:
    """Make a log, train BC and IQL on it, play both, and say what it shows. Takes a minute or so.

    task: "composite", the five-step task, or "maze"; None: the composite task where MuJoCo is installed.
    size: of the composite task's demonstration.
    Raises ConfigError where the composite task is asked for and cannot be made.
    """
    if out.exists() and any(out.iterdir()):
        out = _free(out)
    console, began = Console(highlight=False, soft_wrap=True), time.monotonic()
    lacking = None if task == "maze" else _lacking()
    if task == "composite" and lacking:
        raise ConfigError(f"The five-step task cannot be shown: {lacking}")
    if lacking:
        console.print(f"The maze is shown, as the five-step task cannot be made here: {lacking}\n")
    if task == "maze" or lacking:
        return maze.show(console, out, began)
    return composite.show(console, out, began, size or composite.Size())


def _lacking() -> str | None:
    """What there is to do before the composite task can be made; None where it can."""
    try:
        Scene()
    except ImportError as error:
        return advice(error)
    return None


def _free(out: Path) -> Path:
    """The next free neighbour of a folder that is not empty."""
    for number in range(2, 1000):
        if not (path := out.with_name(f"{out.name}-{number}")).exists():
            return path
    raise RefusedInput(f"{out} and 998 folders beside it exist already. Remove some, or name another --out.")

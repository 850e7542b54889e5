"""What a person waits for before anything happens: importing, inspecting a log, compiling.

    python benchmarks/startup.py [--quick] [--data FOLDER] [--json FILE]

Every figure is the median of child processes that take turns. `import suture` is less the interpreter's own
start, which is measured beside it. Compiling is from the algorithm to its first finished update, at two
hidden layers of 256: cold with an empty cache folder, warm with the persistent cache that the cold one
filled. Real logs are inspected where --data (by default SUTURE_DATA, then ../shared/data) holds any, tables
with the schema that `inspect` proposes. `inspect --deep` is timed on made logs of 20 columns, once (of a
million rows not with --quick). Processor seconds depend less on what else the machine does.
"""

import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tyro
from _bench import Options
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
IMPORT, COLD, WARM, INSPECT = 0.15, 5.0, 1.5, 2.0
"""Seconds that are aimed at."""
DEEP = {100_000: 5.0, 1_000_000: 60.0}
"""Rows of a log of 20 columns -> seconds that are aimed at for its diagnosis."""
COMPILE = "import sys; sys.path.insert(0, sys.argv[1]); import startup; startup.compile_once(sys.argv[2])"
LOGS = (".npz", ".h5", ".hdf5", ".csv", ".parquet")
Seconds = tuple[float, float]
"""Wall clock, processor."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Seconds until something happens, beside what is aimed at."""

    rounds: int = 7
    """Child processes for each figure (3 for compiling and for real logs)."""
    data: Path = Path(os.environ.get("SUTURE_DATA", HERE.parent.parent / "shared" / "data"))
    """Folder of real logs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One figure.   seconds, processor_seconds: medians.   goal: seconds that are aimed at."""

    method: str
    seconds: float
    processor_seconds: float
    goal: float

    @staticmethod
    def of(method: str, measured: Sequence[Seconds], goal: float) -> "Row":
        """The medians of what was measured."""
        wall, processor = (round(statistics.median(column), 4) for column in zip(*measured, strict=True))
        return Row(method=method, seconds=wall, processor_seconds=processor, goal=goal)


def child(*arguments: object, accept: tuple[int, ...] = (0,), **environment: str) -> tuple[Seconds, str]:
    """Run Python with some arguments: how long it took, and what it printed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in accept:
        raise SystemExit(f"{' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stderr}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (wall, spent), done.stdout


def importing(rounds: int) -> Row:
    """`import suture`, less the interpreter's own start; the first turn, with cold files, does not count."""
    turns = [(child("-c", "import suture")[0], child("-c", "pass")[0]) for _ in range(rounds + 1)][1:]
    return Row.of("import suture", [(ours[0] - bare[0], ours[1] - bare[1]) for ours, bare in turns], IMPORT)


def diagnosing(rows: int, folder: Path) -> Row:
    """`suture inspect --deep` of a made log of 20 columns, in episodes of 1,000 steps."""
    log = made_log(folder / f"{rows}.npz", rows=rows, width=20, length=1_000)
    turn, _ = child("-m", "suture", "inspect", log, "--deep")
    return Row.of(f"inspect --deep, {rows:,} rows", [turn], DEEP[rows])


def inspecting(log: Path, rounds: int, name: str, folder: Path) -> Row:
    """`suture inspect` of one log."""
    extra: tuple[object, ...] = ()
    if log.suffix in (".csv", ".parquet"):
        _, proposal = child("-m", "suture", "inspect", log, accept=(2,))
        (folder / "schema.json").write_text(proposal)
        extra = ("--schema", folder / "schema.json")
    turns = [child("-m", "suture", "inspect", log, *extra, accept=(0, 2))[0] for _ in range(rounds)]
    return Row.of(f"inspect {name}", turns, INSPECT)


def compiling(name: str, rounds: int) -> list[Row]:
    """From the algorithm to its first finished update: cold, then from the cache that this filled."""
    cold, warm = list[Seconds](), list[Seconds]()
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            for turns in (cold, warm):
                _, printed = child("-c", COMPILE, HERE, name, XDG_CACHE_HOME=cache)
                wall, processor = json.loads(printed.splitlines()[-1])
                turns.append((wall, processor))
    return [Row.of(f"compile {name}, cold", cold, COLD), Row.of(f"compile {name}, warm", warm, WARM)]


def compile_once(name: str) -> None:
    """Print the wall-clock and processor seconds of compiling; in a process of its own."""
    from updates import Ours

    from suture.algorithms.table import algorithm_named
    from suture.training import device

    device.use_compilation_cache()
    algorithm = algorithm_named(name)(**{"hidden": (256, 256)})
    spent = time.process_time()
    ours = Ours(algorithm, 10_000, 1.0)
    print(json.dumps([ours.compile_seconds, time.process_time() - spent]))


def made_log(path: Path, *, rows: int = 1_000, width: int = 3, length: int = 100) -> Path:
    """A random walk in episodes of a length, ten of a hundred steps by default."""
    rng, ends = np.random.default_rng(0), np.arange(rows) % length == length - 1
    observation = np.cumsum(rng.normal(size=(rows, width)), 0)
    np.savez(
        path, observations=observation, actions=rng.uniform(-1, 1, (rows, 2)), rewards=rng.normal(size=rows),
        next_observations=np.roll(observation, -1, 0), terminals=ends,
    )  # fmt: skip
    return path


def show(rows: Sequence[Row]) -> None:
    """Print a table."""
    table = Table(title="Seconds until something happens", title_justify="left")
    for column in ("what", "seconds", "processor seconds", "goal", ""):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        met = "reached" if row.seconds <= row.goal else "missed"
        table.add_row(row.method, f"{row.seconds:.3g}", f"{row.processor_seconds:.3g}", f"{row.goal:g}", met)
    Console().print(table)


def main(settings: Settings) -> None:
    """Measure and print."""
    rounds, few = (3, 1) if settings.quick else (settings.rounds, 3)
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"):
        os.environ.pop(name, None)
    steps: list[Callable[[], list[Row]]] = [lambda: [importing(rounds)]]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        log = made_log(folder / "small.npz")
        steps.append(lambda: [inspecting(log, rounds, "a log of 1,000 rows", folder)])
        for path in sorted(path for path in settings.data.rglob("*") if path.suffix in LOGS):
            name = str(path.relative_to(settings.data))
            steps.append(lambda path=path, name=name: [inspecting(path, few, name, folder)])
        for size in (100_000,) if settings.quick else DEEP:
            steps.append(lambda size=size: [diagnosing(size, folder)])
        steps += [lambda: compiling("bc", few), lambda: compiling("iql", few)]
        rows = [row for step in steps for row in step()]
    show(rows)
    if settings.json is not None:
        settings.json.write_text(json.dumps([vars(row) for row in rows], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(Settings))

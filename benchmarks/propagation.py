"""Does value travel back from the reward, step by step, through logs that show one step each?

    python benchmarks/propagation.py --quick                  a minute: IQL, one seed, a short run
    python benchmarks/propagation.py --train none --figure propagation.svg
    python benchmarks/propagation.py --json propagation.json  all that is missing: IQL and its controls

Starts of the five stages, the same for all (layouts as in the log), are valued at every checkpoint of a run;
V of methods that learn one, else the critics' value of the policy's own actions. A stage's front is there at
the first checkpoint where the mean over its starts exceeds half of what it is at the end; a stage that ends
below 1 of 100, or below half of what the first method's ends at, has none. In order: one after the other,
never two at once. Beside it stands exact value iteration of the twin, whose shortest way takes as many steps
as a script's. Results are kept in results/propagation/, as stitching.py keeps its own. The quick form fails
unless the fronts come in the order 5, 4, 3, 2, 1.
"""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from _bench import narrow
from _kept import kept
from _stitching import METHODS, Trained, certified, file_of, identity, log_of, trained
from rich.console import Console
from rich.table import Table

import suture
from suture.data.dataset import Dataset
from suture.envs.composite.certificate import STEPS
from suture.evaluation.propagation import LEAST, boundary_values, exact_values, fronts, in_order, starts_of
from suture.report import figures
from suture.report import propagation as drawing
from suture.storage import atomic


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Trained):
    """The front of value, against training steps."""

    methods: tuple[str, ...] = ("iql", "iql-1-step", "iql-slow-targets", "iql-without-B", "iql-unlinked")
    """Which of METHODS that learn values (_stitching.py)."""
    steps: int = 12_000
    """Updates of each run."""
    every: int = 50
    """Updates between checkpoints."""
    starts: int = 32
    """Of each stage."""
    figure: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw the first method's fronts, and the twin's, to this SVG file."""


def require_travel(came: list[int | None]) -> None:
    """End with an error unless a front came to every stage, in order, and took its time."""
    if None in came or not in_order(came) or came[0] == came[-1]:
        raise SystemExit(f"Value did not travel from the last stage to the first: {came}.")


def result_of(name: str, settings: Settings, data: Dataset | None, *, keep: bool) -> dict[str, Any] | None:
    """A method's trace: a kept one, or of a run that is made now; None where there is neither."""
    method = METHODS[name]
    asked_for = identity(method, settings, data) | {"every": settings.every, "starts": settings.starts}

    def make() -> dict[str, Any]:
        assert data is not None
        proof = certified(name, method, data)
        starts = starts_of(settings.starts)
        with tempfile.TemporaryDirectory() as folder:
            run = trained(
                method, data, settings, Path(folder) / "run", checkpoint_every=settings.every,
                keep=settings.steps, log_every=max(settings.every, 1_000),
            )  # fmt: skip
            values = np.stack([boundary_values(run.at(step), starts) for step in run.steps], axis=1)
            return {
                "method": name, "version": suture.__version__, "checkpoints": run.steps,
                "values": np.round(values, 3).tolist(), "outcome": str(run.outcome),
                "certificate": proof.to_json(),
            }  # fmt: skip

    if not keep:
        return make()
    file = file_of("propagation", name, settings)
    return kept(file, asked_for, None if data is None else make, again=settings.again)


def exact() -> dict[str, Any]:
    """The same of value iteration on the twin, in sweeps."""
    values = exact_values()
    return {
        "method": "the twin, in sweeps",
        "checkpoints": list(range(len(values))),
        "values": [values.tolist()],
    }


def with_fronts(result: dict[str, Any], least: Any = LEAST) -> dict[str, Any]:
    """A trace and when its fronts came, of each seed.   least: what a front needs at the end."""
    steps = np.array(result["checkpoints"])
    came = [fronts(np.array(member), steps, least) for member in result["values"]]
    return result | {"fronts": came, "ordered": [in_order(one) for one in came]}


def at_the_end(result: dict[str, Any]) -> Any:
    """The value of each stage's starts, (5,), the mean over seeds."""
    return np.array(result["values"])[:, -1].mean(0)


def table(results: list[dict[str, Any]]) -> Table:
    """Fronts and final values, as a person reads them."""
    stages = [f"stage {number}" for number in range(1, 6)]
    shown = narrow("When the front of value came, and the value at the end", "method", *stages, "in order")
    for result in results:
        for came, ordered in zip(result["fronts"], result["ordered"], strict=True):
            cells = ["never" if step is None else f"{step:,}" for step in came]
            shown.add_row(result["method"], *cells, "yes" if ordered else "no")
        shown.add_row("  value at the end", *(f"{value:.1f}" for value in at_the_end(result)), "")
    return shown


def panel(result: dict[str, Any], title: str) -> figures.Panel:
    """A trace as a map: the mean over seeds, each stage as a share of its value at the end."""
    values, steps = np.array(result["values"]).mean(0), np.array(result["checkpoints"])
    return drawing.panel(title, values, steps, fronts(values, steps), STEPS, LEAST)


def draw(results: list[dict[str, Any]], twin: dict[str, Any], file: Path) -> None:
    """The first method's map above the twin's."""
    drawn = figures.heat(
        [panel(results[0], f"updates of {results[0]['method']}"), panel(twin, "sweeps of value iteration")],
        title="Value travels back from the reward",
        subtitle="The value of the starts of each stage, as a share of what it is at the end. A stroke marks "
        "where it passes one half. Below, the tabular twin, exactly.",
        y="stage", value="share",
    )  # fmt: skip
    atomic.write_file(file, drawn.encode(), point="figure")


def main(settings: Settings) -> list[dict[str, Any]]:
    """Make the log, train what is missing, value the starts, print and draw."""
    if settings.quick:
        settings = dataclasses.replace(settings, methods=("iql",), episodes=3_000, steps=3_000, seeds=1)
    console, results, twin = Console(highlight=False), list[dict[str, Any]](), with_fronts(exact())
    data = None if settings.train == "none" else log_of(settings, console)
    for name in settings.methods:
        found = result_of(name, settings, data, keep=not settings.quick)
        if found is None:
            console.print(f"{name}: not kept")
            continue
        least = np.maximum(LEAST, 0.5 * at_the_end(results[0] if results else found))
        results.append(with_fronts(found, least))
        if settings.json is not None:
            written = json.dumps([*results, twin], indent=1) + "\n"
            atomic.write_file(settings.json, written.encode(), point="json")
    console.print(table([*results, twin]))
    if settings.figure is not None and results:
        draw(results, twin, settings.figure)
    if settings.quick:
        require_travel(results[0]["fronts"][0])
    return results


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))

"""How much of a plan can be put together, by how much its pieces overlap? Exactly, on the tabular twin.

    python benchmarks/overlap.py [--quick] [--figure FILE.svg] [--json FILE]        seconds

Set B (how to open the drawer) is recorded in a share of the contexts. Planning knows the log's support and
every probability; planning from a log has counted them in episodes. Both take the best supported action, and
a random one where nothing tells actions apart. Cloning takes what the log shows. Success is that within 100
steps from the start, computed by dynamic programming and not played. With less noise than the default, whose
scripts take the right action in less than half of their steps, cloning does as well as planning: this twin's
scripts always want the right thing, and only their errors are to be unlearned.
"""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from _bench import Options
from rich.console import Console
from rich.table import Table

from suture.envs.composite.certificate import STEPS
from suture.envs.composite.twin import Twin
from suture.envs.finite import TabularMDP, optimal
from suture.report import figures
from suture.spaces import Array
from suture.storage import atomic

LIMIT = 100
TIE = 1e-9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Success against the overlap of logs, in the tabular twin."""

    points: int = 11
    """Overlaps, from 0 to 1."""
    episodes: int = 2_000
    """Of each counted log."""
    logs: int = 3
    """Counted for each overlap, of which the mean is shown."""
    noise: float = 0.7
    """Chance of a random action in place of a script's."""
    figure: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also draw the curves to this SVG file."""


def success(mdp: TabularMDP, policy: Array, limit: int = LIMIT) -> float:
    """The probability to end within some steps of the start.   policy: (S, A)."""
    through = np.einsum("sa,sat->st", policy, mdp.transition)
    alive = mdp.start
    for _ in range(limit):
        alive = alive @ through
    return float(1 - alive.sum())


def planned(mdp: TabularMDP, allowed: Array) -> Array:
    """The best policy (S, A) within a support (S, A); uniform over what cannot be told apart."""
    quality = np.where(allowed, optimal(mdp, allowed)[0], -np.inf)
    known = allowed.any(axis=1)
    choices = np.where(known[:, None], quality >= quality.max(axis=1, keepdims=True) - TIE, True)
    return choices / choices.sum(axis=1, keepdims=True)


def counted(twin: Twin, overlap: float, settings: Settings, seed: int) -> tuple[TabularMDP, Array]:
    """The problem as a log shows it, and how often it shows each pair, (S, A)."""
    log = twin.log(episodes=settings.episodes, overlap=overlap, noise=settings.noise, seed=seed)
    seen = [np.asarray(one) for one in (log.observation, log.next_observation)]
    here, there = (np.where(one.any(1), one.argmax(1), twin.states) for one in seen)
    counts = np.zeros((twin.states, len(STEPS), twin.states + 1))
    rewards = np.zeros(counts.shape[:2])
    np.add.at(counts, (here, log.action, there), 1)
    np.add.at(rewards, (here, log.action), log.reward)
    visits = counts.sum(axis=2)
    often = np.maximum(visits, 1)
    exact = twin.mdp()
    return (
        TabularMDP(counts[..., :-1] / often[..., None], rewards / often, exact.discount, exact.start),
        visits,
    )


def row_of(twin: Twin, overlap: float, settings: Settings) -> dict[str, Any]:
    """Every way's success at one overlap."""
    exact = twin.mdp()
    told = {
        "planning": [success(exact, planned(exact, twin.support(overlap)))],
        "from a log": [],
        "cloning": [],
    }
    for seed in range(settings.logs):
        shown, visits = counted(twin, overlap, settings, seed)
        told["from a log"].append(success(exact, planned(shown, visits > 0)))
        total = visits.sum(axis=1, keepdims=True)
        clone = np.where(total > 0, visits / np.maximum(total, 1), 1 / len(STEPS))
        told["cloning"].append(success(exact, clone))
    values = twin.boundary_values(overlap).mean(axis=1)
    return {
        "overlap": overlap, **{name: float(np.mean(each)) for name, each in told.items()},
        "values": values.tolist(),
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows as a person reads them."""
    shown = Table(title="Success within 100 steps, and value, by overlap", title_justify="left")
    names = ["planning", "from a log", "cloning"]
    for column in ("overlap", *names, *(f"V{number + 1}" for number in range(len(STEPS)))):
        shown.add_column(column, justify="right")
    for row in rows:
        shares = [f"{row[name]:.3f}" for name in names]
        shown.add_row(f"{row['overlap']:.1f}", *shares, *(f"{value:.3f}" for value in row["values"]))
    return shown


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """The curves of success."""
    points = [
        {"name": name, "x": row["overlap"], "mean": row[name]}
        for name in ("planning", "from a log", "cloning") for row in rows
    ]  # fmt: skip
    drawn = figures.curves(
        points, title="A plan can be put together where its pieces overlap",
        subtitle="Tabular twin of the five steps, exactly.", x="share of contexts in which set B is recorded",
        y="success within 100 steps", label="way",
    )  # fmt: skip
    atomic.write_file(file, drawn.encode(), point="figure")


def main(settings: Settings) -> list[dict[str, Any]]:
    """Compute, print, draw."""
    if settings.quick:
        settings = dataclasses.replace(settings, points=3, logs=1)
    twin = Twin()
    rows = [row_of(twin, float(overlap), settings) for overlap in np.linspace(0, 1, settings.points)]
    Console(highlight=False).print(table(rows))
    if settings.figure is not None:
        draw(rows, settings.figure)
    if settings.json is not None:
        atomic.write_file(settings.json, (json.dumps(rows, indent=1) + "\n").encode(), point="json")
    return rows


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))

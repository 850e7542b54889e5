"""Does a policy of the five-step task get on where its logs do not meet? With MuJoCo, by overlap.

    python benchmarks/overlap_physical.py --quick              a minute: IQL, one seed, one overlap
    python benchmarks/overlap_physical.py --train none --figure overlap-physical.svg
    python benchmarks/overlap_physical.py --json FILE          all that is missing: some minutes an overlap

Set B (how to open the drawer) is recorded in a share of the drawer's places, counted from one end: in the
others nothing leads on from where set A ends. Policies are played with sampled actions in layouts as in the
log; `met` are the episodes whose drawer stands where B was recorded, `apart` those where it stands MARGIN (a
cell of the certificate) or more from any such place. Beside success stands what the critics claim at those
starts, of a reward of 100, and the certificate's share of starts with a path. The tabular twin (overlap.py),
which shares nothing between contexts, has nothing to say of `apart`; a network may go on as it does nearby,
and that is what this measures. Results are kept in results/overlap/, as stitching.py keeps its own.
"""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import gymnasium
import numpy as np
import tyro
from _bench import narrow
from _kept import kept
from _stitching import METHODS, Trained, file_of, identity, trained
from rich.console import Console
from rich.table import Table

import suture
from suture.data.build import build
from suture.data.dataset import Dataset
from suture.envs.composite.certify import certify
from suture.envs.composite.collect import Recipe, collect
from suture.envs.composite.env import COMPOSITE
from suture.envs.composite.layout import DRAWER, PLACES
from suture.envs.composite.states import DRAWER_Y, STRIPE
from suture.evaluation.overestimation import asked
from suture.evaluation.statistics import interval, mean
from suture.report import figures
from suture.spaces import Array
from suture.storage import atomic

TOUCHING, MARGIN = 1e-6, STRIPE
"""Metres between a drawer and the nearest one whose opening was recorded: up to the first it is one of these,
from the second on apart."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Trained):
    """Success of the physical version against the overlap of its logs."""

    methods: tuple[str, ...] = ("iql",)
    """Which of METHODS (_stitching.py)."""
    overlaps: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """Shares of the drawer's places in which set B is recorded."""
    steps: int = 20_000
    """Updates of each run."""
    played: int = 500
    """Episodes that each seed's policy plays."""
    figure: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw success against overlap to this SVG file."""


def distance(starts: Array, overlap: float) -> Array:
    """Metres from the drawer of some starts (n, 16) to where set B is recorded, (n,); 0: it is, there."""
    place, width = starts[:, DRAWER_Y] - DRAWER[0], DRAWER[1] - DRAWER[0]
    left, away = overlap * sum(high - low for low, high in PLACES["train"]), np.full(len(starts), np.inf)
    for low, high in PLACES["train"]:
        if left > TOUCHING:
            end = min(high, low + left)
            away = np.minimum(away, np.maximum(width * low - place, place - width * end))
        left -= high - low
    return np.maximum(away, 0.0)


def row_of(name: str, overlap: float, settings: Settings, data: Dataset) -> dict[str, Any]:
    """One method at one overlap.   Ends the program where its part of the log shows the whole."""
    proof = certify(METHODS[name].part(data))
    if not proof.never_shown.holds:
        raise SystemExit(f"{name} at {overlap}: the log shows too much. {json.dumps(proof.to_json())}")
    with tempfile.TemporaryDirectory() as folder:
        run = trained(METHODS[name], data, settings, Path(folder) / "run")
        played = suture.evaluate(
            run, lambda: gymnasium.make(COMPOSITE, layouts="train"), episodes=settings.played, seed=1,
            sample=True,
        )  # fmt: skip
        assert isinstance(played.starts, np.ndarray)
        ended, claims = (played.returns > 0).astype(float), asked(run, played.starts)[1]
        outcome = str(run.outcome)
    away, told = distance(played.starts, overlap), dict[str, Any]()
    for part, chosen in {"all": away >= 0, "met": away <= TOUCHING, "apart": away >= MARGIN}.items():
        if chosen.any():
            low, high = interval(mean, ended[:, chosen])
            told[part] = {
                "episodes": int(chosen.sum()), "success": float(ended[:, chosen].mean()), "low": low,
                "high": high, "claim": float(claims[:, chosen].mean()),
            }  # fmt: skip
    return {
        "method": name, "overlap": overlap, "path": proof.stitched.share, "seeds": len(ended), "parts": told,
        "outcome": outcome, "certificate": proof.to_json(),
    }  # fmt: skip


def log_at(overlap: float, settings: Settings) -> Dataset | None:
    """The log, or None where nothing is to be trained."""
    recipe = Recipe(episodes=settings.episodes, seed=settings.seed, overlap=overlap)
    return None if settings.train == "none" else build(collect(recipe)).admit()


def result_of(
    name: str, overlap: float, settings: Settings, data: Dataset | None, *, keep: bool
) -> dict[str, Any] | None:
    """A row: a kept one, or made now; None where there is neither."""
    asked_for = identity(METHODS[name], settings, data) | {
        "overlap": overlap, "played": settings.played, "margin": MARGIN,
    }  # fmt: skip

    def make() -> dict[str, Any]:
        assert data is not None
        return {"version": suture.__version__, "row": row_of(name, overlap, settings, data)}

    if not keep:
        return make()["row"]
    file = file_of("overlap", f"{name}-{overlap:g}", settings)
    found = kept(file, asked_for, None if data is None else make, again=settings.again)
    return None if found is None else found["row"]


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows as a person reads them."""
    shown = narrow(
        "Success from the start, layouts as in the log",
        "method", "overlap", "path", "all", "", "met", "", "claim", "apart", "", "claim",
    )  # fmt: skip
    for row in rows:
        parts = row["parts"]
        told = {
            name: (f"{one['success']:.3f}", f"{one['low']:.2f}-{one['high']:.2f}", f"{one['claim']:.1f}")
            for name, one in parts.items()
        }
        shown.add_row(
            row["method"], f"{row['overlap']:.2f}", f"{row['path']:.0%}", *told["all"][:2],
            *told.get("met", ("", "", "")), *told.get("apart", ("", "", "")),
        )  # fmt: skip
    return shown


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """The curves of success of the first method."""
    names = {"all": "all starts", "met": "set B was recorded there", "apart": "it was not"}
    points = [
        {"name": names[part], "x": row["overlap"], "mean": one["success"]}
        | {end: one[end] for end in ("low", "high")}
        for part in names for row in rows if row["method"] == rows[0]["method"]
        for one in [row["parts"].get(part)] if one is not None
    ]  # fmt: skip
    drawn = figures.curves(
        points, title="Where logs meet, and where they do not",
        subtitle=f"{rows[0]['method']} on the physical version of the five steps.",
        x="share of the drawer's places in which set B is recorded", y="success", label="starts",
    )  # fmt: skip
    atomic.write_file(file, drawn.encode(), point="figure")


def main(settings: Settings) -> list[dict[str, Any]]:
    """Make what is missing, print, draw."""
    if settings.quick:
        settings = dataclasses.replace(
            settings, methods=("iql",), overlaps=(0.5,), episodes=2_000, steps=2_000, seeds=1, played=60
        )
    console, rows = Console(highlight=False), list[dict[str, Any]]()
    for overlap in settings.overlaps:
        data = log_at(overlap, settings)
        for name in settings.methods:
            found = result_of(name, overlap, settings, data, keep=not settings.quick)
            if found is None:
                console.print(f"{name} at {overlap}: not kept")
                continue
            rows.append(found)
            if settings.json is not None:
                atomic.write_file(settings.json, (json.dumps(rows, indent=1) + "\n").encode(), point="json")
    console.print(table(rows))
    if settings.figure is not None and rows:
        draw(rows, settings.figure)
    return rows


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))

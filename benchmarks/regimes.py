"""Does the diagnosis know the regime of a log, in worlds from which it was not calibrated?

    python benchmarks/regimes.py [--quick] [--json FILE] [--fit]

Logs are generated in eight families of worlds (grids, point mazes, a swing-up, carts, a machine, key and
door, masses on springs, regulators), each of a regime by construction, different in size, noise and scale.
The regression is fitted eight times, each time without one family, and judged on that family. Then the
shipped table judges the real logs.
`--fit` writes the table, fitted to all families, into the package.
"""

import dataclasses
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from _bench import Options
from _logs import make
from _worlds import FAMILIES
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.optimize import minimize

from suture.data.dataset import Dataset
from suture.data.formats.schema import Schema
from suture.data.load import load
from suture.diagnosis.calibration import WEIGHTS
from suture.diagnosis.diagnose import diagnose
from suture.diagnosis.regime import NAMES, features_of, probabilities_of
from suture.diagnosis.statistics import statistics_of

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SUTURE_DATA", ROOT.parent / "shared" / "data"))
PENALTY = 3e-4
"""Of the squared weights: of 0.003, 0.001 ... 0.00003 held-out likelihoods were best at 0.0003 and 0.0001."""
BINS, WIDTH = 10, 132
Weights = dict[str, tuple[float, ...]]
REAL = (
    *(f"swingup/{t}.h5" for t in ("uniform", "random", "medium_replay", "expert_replay", "medium", "expert")),
    "neorl/dmsd_train.npz", "neorl/safety_halfcheetah_train.npz", "pendulum/pendulum_replay.npz",
    "adroit/door_human.npz", "pointmaze/pointmaze-large-stitch-v0.npz",
    "pointmaze/pointmaze-large-stitch-v0-val.npz", "acrobot/acrobot.csv",
    "open_bandit/random_men.csv", "open_bandit/thompson_men.csv",
)  # fmt: skip
SCHEMAS = {
    "acrobot": Schema(
        episode="episode_id", order="transition_number", reward="reward", action=("action",),
        observation=tuple(f"state_feature_{n}" for n in range(6)), action_type="discrete",
        action_probabilities=("all_action_probabilities",),
    ),
    "open_bandit": Schema(
        order="timestamp", action=("item_id",), action_type="discrete", reward="click",
        propensity="propensity_score", columns=("timestamp",),
        observation=("position", *(f"user-item_affinity_{n}" for n in range(34))),
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Regimes(Options):
    """Confusion matrix, accuracy and calibration on worlds left out; the diagnosis of the real logs."""

    logs: int = 20
    """Logs of each regime in each family; at most 2 with --quick."""
    fit: bool = False
    """Write the table fitted to all families into the package."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """One generated log: where it is from, what it is, and what the regression sees."""

    family: str
    world: str
    regime: str
    features: dict[str, float]


def suite(logs: int) -> Iterator[tuple[str, str, str, Dataset]]:
    """Family, world, regime and log, `logs` of each regime in each family."""
    for family, worlds in FAMILIES.items():
        for regime in worlds[0].regimes:
            for number in range(logs):
                world = worlds[number % len(worlds)]
                yield family, world.name, regime, make(world, regime, number)


def judge(logs: int, console: Console) -> list[Judged]:
    """The features of every log of the suite."""
    total = sum(len(worlds[0].regimes) * logs for worlds in FAMILIES.values())
    listed = track(suite(logs), "logs", total=total, console=console, transient=True)
    return [
        Judged(family=family, world=world, regime=regime, features=features_of(statistics_of(data)))
        for family, world, regime, data in listed
    ]


def fitted(judged: Sequence[Judged]) -> Weights:
    """Multinomial logistic regression with a squared penalty: the weights by feature."""
    names = list(judged[0].features)
    inputs = np.array([[one.features[name] for name in names] for one in judged])
    truth = np.eye(len(NAMES))[[NAMES.index(one.regime) for one in judged]]

    def loss(flat: Any) -> tuple[float, Any]:
        weights = flat.reshape(len(names), len(NAMES))
        score = inputs @ weights
        score -= score.max(1, keepdims=True)
        logarithm = score - np.log(np.exp(score).sum(1, keepdims=True))
        gradient = inputs.T @ (np.exp(logarithm) - truth) / len(judged) + PENALTY * weights
        value = -(truth * logarithm).sum() / len(judged) + 0.5 * PENALTY * float(flat @ flat)
        return value, gradient.ravel()

    start = np.zeros(len(names) * len(NAMES))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 5_000})
    return dict(zip(names, map(tuple, found.x.reshape(len(names), -1).tolist()), strict=True))


def held_out(judged: Sequence[Judged]) -> Any:
    """Probabilities of each log by the regression that has not seen its family, (n, 5)."""
    weights = {f: fitted([one for one in judged if one.family != f]) for f in {one.family for one in judged}}
    return np.array([probabilities_of(one.features, weights[one.family]) for one in judged])


def calibration_error(probabilities: Any, right: Any) -> float:
    """Expected calibration error of the likeliest regime over ten bins.   Source: Guo et al. 2017."""
    sure = probabilities.max(1)
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = [abs(right[place == k].sum() - sure[place == k].sum()) for k in range(BINS)]
    return float(sum(gaps) / len(sure))


def summary(judged: Sequence[Judged], probabilities: Any) -> dict[str, Any]:
    """Confusion matrix (rows are the truth), accuracy, calibration error, log loss, accuracy by family."""
    truth = np.array([NAMES.index(one.regime) for one in judged])
    said = probabilities.argmax(1)
    confusion = np.zeros((len(NAMES), len(NAMES)), int)
    np.add.at(confusion, (truth, said), 1)
    families = np.array([one.family for one in judged])
    right = said == truth
    return {
        "logs": len(judged), "confusion": confusion.tolist(), "accuracy": float(right.mean()),
        "calibration_error": calibration_error(probabilities, right),
        "log_loss": float(-np.log(probabilities[np.arange(len(truth)), truth]).mean()),
        "by_family": {family: float(right[families == family].mean()) for family in FAMILIES},
    }  # fmt: skip


def real() -> list[dict[str, Any]]:
    """What the shipped table says of the logs of others; nothing where they are absent."""
    rows = list[dict[str, Any]]()
    for name in REAL:
        if (DATA / name).is_file():
            data = load(DATA / name, schema=SCHEMAS.get(name.partition("/")[0]))
            began = time.perf_counter()
            found = diagnose(data)
            rows.append({
                "log": name, "seconds": time.perf_counter() - began, **found.regime.to_json(),
                "methods": [one.method for one in found.recommendation],
            })  # fmt: skip
    return rows


def tell(console: Console, found: dict[str, Any]) -> None:
    """Print the confusion matrix and what it comes to, then the real logs."""
    table = Table(title="Held-out families: truth down, said across", title_justify="left")
    for name in ("", *NAMES):
        table.add_column(name, justify="right")
    for name, row in zip(NAMES, found["confusion"], strict=True):
        table.add_row(name, *map(str, row))
    console.print(table)
    console.print(
        f"{found['logs']} logs: accuracy {found['accuracy']:.3f}, expected calibration error "
        f"{found['calibration_error']:.3f}, log loss {found['log_loss']:.3f}",
        ", ".join(f"{family} {value:.2f}" for family, value in found["by_family"].items()), sep="\n",
    )  # fmt: skip
    if not found["real"]:
        return console.print(f"The real logs are not at {DATA} (SUTURE_DATA): left out.")
    table = Table(title="Real logs, by the shipped table", title_justify="left")
    for name in ("log", *NAMES, "begin with", "seconds"):
        table.add_column(name, justify="left" if name in ("log", "begin with") else "right")
    for one in found["real"]:
        shares = [
            f"[bold]{p:.2f}[/bold]" if name == one["label"] else f"{p:.2f}"
            for name, p in one["probabilities"].items()
        ]
        table.add_row(one["log"], *shares, ", ".join(one["methods"]), f"{one['seconds']:.1f}")
    console.print(table)


def write_table(weights: Weights, found: dict[str, Any]) -> None:
    """The table of the package, with where it is from."""
    lines = "".join(
        f'    "{name}": ({", ".join(f"{w:.3f}" for w in row)}),\n' for name, row in weights.items()
    )
    text = (
        '"""Weights of the regression that tells regimes apart: feature -> one for each of `NAMES`.'
        f"\n\nWritten by `python benchmarks/regimes.py --fit` from {found['logs']} generated logs of "
        f"{len(FAMILIES)} families of worlds.\nOn families left out it is right in {found['accuracy']:.3f} "
        f"of the logs, with an expected calibration\nerror of {found['calibration_error']:.3f}.\n"
        f'"""\n\nWEIGHTS: dict[str, tuple[float, ...]] = {{\n{lines}}}\n'
    )
    (ROOT / "src/suture/diagnosis/calibration.py").write_text(text, encoding="utf-8")


def main() -> None:
    """Judge the suite, say how well it went, and judge the real logs."""
    options, console = tyro.cli(Regimes), Console(width=WIDTH)
    judged = judge(min(options.logs, 2) if options.quick else options.logs, console)
    found = summary(judged, held_out(judged))
    if options.fit:
        write_table(weights := fitted(judged), found)
        WEIGHTS.clear()
        WEIGHTS.update(weights)
    found["real"] = real()
    tell(console, found)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""How often does the 95 % interval of a value estimated from a log hold the truth?

    python benchmarks/coverage.py [--quick] [--logs 40] [--episodes 100] [--json FILE]

On a problem of four states and three choices whose exact answers are known: one policy is trained on one log,
its exact value is computed, and `suture.estimate` is asked for it from fresh logs of the behaviour,
one after the other. Refusals are counted apart.
"""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from _bench import Options
from rich.console import Console

from suture.algorithms.iql import IQL
from suture.data.build import build
from suture.data.dataset import Dataset
from suture.envs.tabular import canonical, evaluate, sample_log
from suture.evaluation.ope.estimate import estimate
from suture.training.run import Run
from suture.training.train import train

BEHAVIOUR = np.array([[0.6, 0.3, 0.1], [0.1, 0.9, 0.0], [0.05, 0.5, 0.45], [0.4, 0.4, 0.2]])
DISCOUNT, HORIZON = 0.9, 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coverage(Options):
    """Coverage of intervals of values estimated from logs."""

    logs: int = 40
    """Fresh logs."""
    episodes: int = 100
    """Episodes of each, of 40 steps."""
    resamples: int = 10
    """Of the episodes of each log."""


def log_of(seed: int, episodes: int) -> Dataset:
    """A log of the behaviour."""
    return build(sample_log(canonical(), BEHAVIOUR, episodes=episodes, horizon=HORIZON, seed=seed)).admit()


def truth(run: Run) -> float:
    """The exact value of the stochastic policy at the first state."""
    policy = jax.tree.map(lambda leaf: leaf[0], run.policies.policies)
    normal = run.recipe.normaliser.normalise(np.eye(4, dtype=np.float32))
    chances = jnp.exp(jax.nn.log_softmax(policy(normal).logits))
    return float(evaluate(canonical(), np.asarray(chances, np.float64))[2])


def main(options: Coverage) -> dict[str, Any]:
    """Estimate, count, print."""
    if options.quick:
        options = dataclasses.replace(options, logs=2, resamples=3)
    console, rows = Console(), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        method = IQL(hidden=(32,), discount=DISCOUNT, actor_learning_rate=0.01)
        run = train(method, log_of(0, 300), steps=1_500, out=Path(folder) / "run")
        exact = truth(run)
        for number in range(options.logs):
            (found,) = estimate(run, log_of(1 + number, options.episodes), resamples=options.resamples)
            rows.append(found.to_json())
            if options.json is not None:
                told = {"exact": exact, "estimates": rows}
                options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    given = [row["interval"] for row in rows if row["interval"] is not None]
    held = [low <= exact <= high for low, high in given]
    width = float(np.mean([high - low for low, high in given])) if given else float("nan")
    error = float(np.mean([abs(row["value"] - exact) for row in rows if row["value"] is not None]))
    summary = {
        "exact": exact, "logs": len(rows), "refused": len(rows) - len(given),
        "coverage": float(np.mean(held)) if held else None, "mean_width": width, "mean_error": error,
    }  # fmt: skip
    console.print(summary)
    return summary


if __name__ == "__main__":
    main(tyro.cli(Coverage, description=__doc__))

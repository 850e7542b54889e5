"""Sweeps: members equal their single runs; what cannot be swept is refused before anything is traced."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from making.runs import Toy, newest, walk

from suture.algorithms.bc import BC
from suture.algorithms.iql import IQL
from suture.errors import ConfigError
from suture.training.sweep import Sweep
from suture.training.train import train

pytestmark = pytest.mark.usefixtures("compiled_once")


def test_members_equal_their_single_runs(tmp_path: Path) -> None:
    """100 steps, seeds x expectile, rtol 1e-5 on every number of the state."""
    data, options = walk(), {"steps": 100, "checkpoint_every": 100, "log_every": 100}
    algorithm = IQL(hidden=(8, 8), batch_size=32)
    sweep = train(Sweep(algorithm, seeds=2, expectile=[0.6, 0.9]), data, out=tmp_path / "sweep", **options)
    assert sweep.members == [
        {"expectile": level, "seed": seed} for level in (0.6, 0.9) for seed in (0, 1)
    ]  # seeds vary fastest
    single = dataclasses.replace(algorithm, expectile=0.9)
    alone = train(single, data, out=tmp_path / "single", seed=1, **options)
    leaves = zip(jax.tree.leaves(sweep.newest.state), jax.tree.leaves(alone.newest.state), strict=True)
    for ours, theirs in leaves:
        np.testing.assert_allclose(np.asarray(ours)[3], np.asarray(theirs)[0], rtol=1e-5, atol=1e-7)
    seen = np.asarray(data.observation)[:5]
    np.testing.assert_allclose(sweep.member(3).act(seen), alone.policy.act(seen), rtol=1e-5, atol=1e-6)


def test_members_differ(tmp_path: Path) -> None:
    """Equality above would be cheap if all members were one."""
    run = train(Sweep(Toy(), seeds=2, rate=[0.1, 0.5]), walk(), out=tmp_path / "run", steps=20)
    assert len(np.unique(np.asarray(run.newest.state.value))) == 4


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({"expectile": [0.5, 1.0]}, "IQL.expectile must be > 0 and < 1, found 1.0"),
        ({"expectile": [float("nan")]}, "IQL.expectile must be > 0 and < 1, found nan"),
        ({"actor_learning_rate": [float("inf")]}, "IQL.actor_learning_rate must be finite, found inf"),
        ({"expectle": [0.7]}, "'expectle' cannot be swept, it is not a field. Did you mean 'expectile'?"),
        ({"hidden": [8.0]}, "'hidden' cannot be swept, it shapes the program"),
        ({"critics": [2.0]}, "'critics' cannot be swept, it shapes the program"),
        ({"dropout": [0.1]}, "'dropout' cannot be swept, it shapes the program or the data that it is given"),
        ({"expectile": []}, "the sweep of 'expectile' has no values"),
        ({"expectile": [0.7, 0.8, 0.70000001]}, "the sweep of 'expectile' holds a value twice"),
    ],
)
def test_what_cannot_be_swept_is_refused(grid: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Sweep(IQL(), **grid)
    assert said in str(refused.value)


@pytest.mark.parametrize(("seeds", "seed"), [(0, 0), (-1, 0), (1, -1), (2, 2**32 - 1)])
def test_seeds_outside_their_range_are_refused(seeds: int, seed: int) -> None:
    with pytest.raises(ConfigError, match="seeds must be at least 1"):
        Sweep(BC(), seeds=seeds, seed=seed)


def test_the_value_of_success_may_differ_between_members(tmp_path: Path) -> None:
    """Targets of each are cut at its own."""
    sweep = Sweep(IQL(hidden=(8, 8), batch_size=64), success_value=[1e-3, 2e-3])
    run = train(sweep, walk(), out=tmp_path / "run", steps=20, log_every=20, reward_shift=100.0)
    assert [line["value/max_abs"] for line in run.metrics] == pytest.approx([1e-3, 2e-3], rel=1e-3)


def test_the_first_seed_may_be_any(tmp_path: Path) -> None:
    data = walk()
    pair = train(Toy(), data, out=tmp_path / "pair", seeds=2, seed=4, steps=20)
    alone = train(Toy(), data, out=tmp_path / "alone", seed=5, steps=20)
    assert np.asarray(pair.newest.state.value)[1] == np.asarray(alone.newest.state.value)[0]
    assert newest(pair.path)[0] == newest(alone.path)[0]

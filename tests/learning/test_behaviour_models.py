"""BRAC, BEAR and BCQ on single steps whose best action in the log's reach is known, and beyond it is not."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.sets import dataset_of

from suture import spaces
from suture.algorithms.base import Batch, Spec
from suture.algorithms.bc import BC
from suture.algorithms.bcq import BCQ
from suture.algorithms.bear import BEAR
from suture.algorithms.brac import BRAC
from suture.data.dataset import Dataset
from suture.keys import key_for
from suture.spaces import Array
from suture.training.run import Run
from suture.training.train import train

SMALL: dict[str, Any] = {
    "hidden": (32, 32), "behaviour_hidden": (32, 32), "batch_size": 128, "critic_learning_rate": 2e-3,
    "actor_learning_rate": 1e-3, "behaviour_learning_rate": 2e-3, "target_rate": 0.05,
}  # fmt: skip


def single_steps(seen: Array, action: Array, reward: Array) -> Dataset:
    """Episodes of one step, with one number seen and one done in [-1, 1]."""
    data = dataset_of((1,) * len(seen), observation=seen[:, None].astype(np.float32))
    return Dataset(
        observation=data.observation, next_observation=data.next_observation,
        action=action[:, None].astype(np.float32), reward=reward.astype(np.float32),
        terminated=data.terminated, truncated=data.truncated, has_next=data.has_next,
        episode_start=data.episode_start, observation_space=data.observation_space,
        action_space=spaces.Box((1,), low=(-1.0,), high=(1.0,)), source="single steps",
    )  # fmt: skip


def trained(algorithm: Any, data: Dataset, out: Path, steps: int = 2_000) -> Run:
    return train(algorithm, data, steps=steps, normalise="none", out=out / "run")


@pytest.mark.parametrize("penalty", ["actor", "reward"])
def test_brac_is_the_product_of_behaviour_and_values(penalty: Any, tmp_path: Path) -> None:
    """Behaviour N(-0.2, 0.09), reward 1 - (a - 0.5)^2, temperature 0.1: N(0.25, 0.032), in closed form.

    At twice the temperature the mean would be 0.13, at half of it 0.35; without the behaviour 0.5.
    """
    rng = np.random.default_rng(0)
    action = np.clip(-0.2 + 0.3 * rng.normal(size=2_000), -1, 1)
    data = single_steps(np.ones(2_000), action, 1 - (action - 0.5) ** 2)
    algorithm = BRAC(
        **SMALL,
        penalty=penalty,
        behaviour_model="gaussian",
        temperature=0.1,
        behaviour_steps=1_000,
        warm_up=100,
    )
    policy = trained(algorithm, data, tmp_path, steps=3_000).policy
    drawn = policy.act(np.ones((2_000, 1), np.float32), sample=True, seed=1)
    assert drawn.mean() == pytest.approx(0.25, abs=0.04)
    assert drawn.var() == pytest.approx(1 / (1 / 0.09 + 2 / 0.1), abs=0.008)


@pytest.mark.parametrize("method", [BRAC(**SMALL), BEAR(**SMALL, behaviour_model="tanh_gaussian"), "bc"])
def test_a_log_that_saturates_is_modelled_as_it_acts(method: Any) -> None:
    """N(0.8, 0.3), clipped to 1 a quarter of the time: 0.4 % below 0, and 16 % where 1 has a density."""
    action = np.clip(0.8 + 0.3 * np.random.default_rng(0).normal(size=(2_000, 1)), -1, 1)
    assert 0.002 < (action < 0).mean() < 0.007 < 0.2 < (action == 1).mean()
    batch = Batch(observation=jnp.ones((2_000, 1)), action=jnp.asarray(action, jnp.float32))
    spec = Spec(observation=spaces.Box((1,)), action=spaces.Box((1,), low=(-1.0,), high=(1.0,)))
    key = key_for(0, "init")
    if method == "bc":
        cloning = BC(head="tanh_gaussian", hidden=(16,), learning_rate=1e-2)
        first, step = cloning.init(spec, key), lambda _, state: cloning.update(state, batch, key)[0]
    else:
        first, step = method.init(spec, key).behaviour, lambda _, own: method.fit_behaviour(own, batch, key)
    fitted = jax.jit(lambda first: jax.lax.fori_loop(0, 1_000, step, first))(first)
    answer = (fitted.actor.net if method == "bc" else fitted.policy)(jnp.ones((20_000, 1)))
    drawn = np.asarray(answer.sample(key_for(0, "act")))
    assert (drawn < 0).mean() < 0.06
    assert drawn.mean() == pytest.approx(action.mean(), abs=0.03)


@pytest.mark.parametrize("model", [{"behaviour_model": "tanh_gaussian"}, {"noise_weight": 0.05}])
def test_bear_climbs_as_far_as_its_constraint_lets_it(model: dict[str, Any], tmp_path: Path) -> None:
    """The log acts around -0.2 and higher pays more: the mean distance settles at its threshold."""
    action = np.clip(-0.2 + 0.2 * np.random.default_rng(0).normal(size=2_000), -1, 1)
    algorithm = BEAR(
        **SMALL | {"behaviour_learning_rate": 5e-3, "actor_learning_rate": 2e-3}, **model, warm_up=300,
        multiplier_learning_rate=2e-2, divergence_samples=10, sigma=0.1, threshold=0.4,
    )  # fmt: skip
    run = trained(algorithm, single_steps(np.ones(2_000), action, action), tmp_path, steps=4_000)
    assert run.metrics[-1]["policy/mmd"] == pytest.approx(0.4, abs=0.03)
    acted = float(run.policy.act(np.ones(1, np.float32))[0])
    assert -0.1 < acted < 0.6, "better than the mean, but not where nothing was logged"


@pytest.mark.parametrize("model", ["gaussian", "mixture"])
def test_bear_can_resemble_a_behaviour_at_the_limit(model: Any, tmp_path: Path) -> None:
    """A part of what the model draws lies beyond 1: the threshold is met all the same."""
    action = np.clip(0.95 + 0.05 * np.random.default_rng(0).normal(size=2_000), -1, 1)
    algorithm = BEAR(**SMALL, behaviour_model=model, divergence_samples=10, warm_up=9_999, threshold=0.06)
    metrics = trained(algorithm, single_steps(np.ones(2_000), action, action), tmp_path).metrics[-1]
    assert metrics["policy/mmd"] < 0.06


def test_bcq_takes_the_better_of_two_ways(tmp_path: Path) -> None:
    """Actions of -0.8 or 0.8; the way of what is seen pays 1. Values rise on beyond 0.8, untried."""
    rng = np.random.default_rng(0)
    seen, side = rng.choice([-1.0, 1.0], 1_000), rng.choice([-1.0, 1.0], 1_000)
    data = single_steps(seen, 0.8 * side + 0.03 * rng.normal(size=1_000), (side == seen).astype(float))
    policy = trained(BCQ(**SMALL), data, tmp_path).policy
    both = np.array([[-1.0], [1.0]], np.float32)
    for actions in (policy.act(both), policy.act(both, sample=True, seed=3)):
        np.testing.assert_allclose(actions, 0.8 * both, atol=0.12)


def test_bcq_takes_the_better_of_the_likely_choices(tmp_path: Path) -> None:
    """Three choices taken 60, 37 and 3 times of 100, which pay 0, 1 and 2."""
    rng = np.random.default_rng(0)
    choice = rng.choice(3, 1_000, p=[0.6, 0.37, 0.03])
    data = single_steps(np.ones(1_000), choice, choice.astype(float))
    data = Dataset(**{**vars(data), "action": choice.astype(np.int32), "action_space": spaces.Discrete(3)})
    for threshold, best in ((0.3, 1), (0.0, 2)):
        sizes: dict[str, Any] = {"hidden": (16,), "batch_size": 128, "critic_learning_rate": 2e-3}
        policy = trained(BCQ(**sizes, threshold=threshold), data, tmp_path / str(best), 600).policy
        assert policy.act(np.ones(1, np.float32)) == best

"""IQL on chains whose answers are known: when stitching pays, and that luck of the dynamics is no skill."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.canonical import solve

from suture.algorithms.base import Batch, Spec
from suture.algorithms.bc import BC
from suture.algorithms.iql import IQL
from suture.algorithms.qlearning import DQN
from suture.spaces import Discrete

FIELDS: dict[str, Any] = {
    "hidden": (), "actor_schedule": "constant", "target_rate": 0.05,
    "extraction": "greedy", "threshold": 0.005,
}  # fmt: skip


def transitions(rows: list[tuple[int, int, float, int | None, int]]) -> Batch:
    """(state, action, reward, next state or None at the end, how often)."""
    spread = [row[:4] for row in rows for _ in range(row[4])]
    state, action, reward, following = zip(*spread, strict=True)
    return Batch(
        observation=jnp.array(state), action=jnp.array(action), reward=jnp.array(reward, jnp.float32),
        next_observation=jnp.array([0 if s is None else s for s in following]),
        discount=jnp.array([float(s is not None) for s in following]),
    )  # fmt: skip


@pytest.mark.parametrize(("share", "expectile", "worth"), [
    (0.01, 0.9, 1.0), (0.01, 0.95, 9.9), (0.05, 0.66, 1.0), (0.05, 0.7, 9.9),
])  # fmt: skip
def test_stitching_pays_from_a_known_expectile_on(share: float, expectile: float, worth: float) -> None:
    """First: 1 at once, or go on. Then: 10 by an action that the behaviour takes rarely, or nothing.

    Going on looks better than 1 from the expectile 0.9175 on where 1 in 100 takes the good action, and from
    0.681 on where 1 in 20 does.
    """
    good = round(100 * share)
    batch = transitions([
        (0, 0, 1.0, None, 50), (0, 1, 0.0, 1, 50),
        (1, 1, 10.0, None, good), (1, 0, 0.0, None, 100 - good),
    ])  # fmt: skip
    algorithm = IQL(**FIELDS, discount=0.99, expectile=expectile)
    state = solve(algorithm, batch=batch, spec=Spec(observation=Discrete(2), action=Discrete(2)), steps=3_000)
    first, then = np.asarray(algorithm.policy(state)(jnp.arange(2)).mode())
    assert [1.0, 0.99 * 10.0 * then][first] == pytest.approx(worth)
    rare = expectile * share / (expectile * share + (1 - expectile) * (1 - share))
    assert float(state.value.net(jnp.array([1]))[0]) == pytest.approx(10 * rare, abs=2e-3)


def test_halves_of_an_episode_that_no_log_shows_whole() -> None:
    """60 logs begin where nothing is earned and break off at the junction by the worse of its two actions;
    40 begin at the junction and take the good one. No log from the beginning earns anything.

    Cloning earns what chance joins, 0.99 * 40 / 100; dynamic programming 0.99; an expectile is between.
    """
    batch = transitions([(0, 0, 0.0, 1, 60), (1, 0, 0.0, None, 60), (1, 1, 1.0, None, 40)])
    spec, begin, junction = Spec(observation=Discrete(2), action=Discrete(2)), jnp.array([0]), jnp.array([1])
    cloned = solve(BC(hidden=()), batch=batch, spec=spec, steps=2_000)
    good = jax.nn.softmax(cloned.actor.net(junction).logits)[0, 1]
    assert 0.99 * float(good) == pytest.approx(0.99 * 0.4, abs=2e-3)
    learned = solve(IQL(**FIELDS, discount=0.99, expectile=0.9), batch=batch, spec=spec, steps=3_000)
    between = 0.9 * 0.4 / (0.9 * 0.4 + 0.1 * 0.6)
    assert float(learned.value.net(begin)[0]) == pytest.approx(0.99 * between, abs=2e-3)
    exact = solve(DQN(hidden=(), discount=0.99, target_rate=0.05), batch=batch, spec=spec, steps=3_000)
    assert float(exact.critic.net.values(begin).mean(0)[0, 0]) == pytest.approx(0.99, abs=2e-3)


def test_lucky_dynamics_are_not_mistaken_for_a_good_action() -> None:
    """One action; with probability 0.1 it leads to 10. It is worth 0.9 * 1, and an expectile of 0.9 says so.

    An expectile over targets `r + gamma V(s')` would say 4.5: the luck would seem to be a choice.
    """
    batch = transitions([
        (0, 0, 0.0, 1, 10), (0, 0, 0.0, 2, 90), (1, 0, 10.0, None, 50), (2, 0, 0.0, None, 50),
    ])  # fmt: skip
    spec = Spec(observation=Discrete(3), action=Discrete(1))
    state = solve(IQL(**FIELDS, discount=0.9, expectile=0.9), batch=batch, spec=spec, steps=3_000)
    np.testing.assert_allclose(state.value.net(jnp.arange(3)), [0.9, 10.0, 0.0], atol=2e-3)
    np.testing.assert_allclose(state.critic.net.values(jnp.array([0])), 0.9, atol=2e-3)

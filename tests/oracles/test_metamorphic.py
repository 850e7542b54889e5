"""What must not matter, or must matter in a known way, to every method that learns values of choices.

On the canonical problem with tables: rows twice or in another order change nothing; another unit of reward
changes values by that unit; a constant more in every reward is `constant / (1 - discount)` more in every
value; without a future, values are mean rewards. The behaviour takes every choice, so that all are learned.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.canonical import exact_batch, probabilities, solve, table
from making.probe import QUICK

from suture.algorithms.awac import AWAC
from suture.algorithms.awr import AWR
from suture.algorithms.base import Batch
from suture.algorithms.bcq import BCQ
from suture.algorithms.brac import BRAC
from suture.algorithms.cql import CQL
from suture.algorithms.crr import CRR
from suture.algorithms.iql import IQL
from suture.algorithms.qlearning import DQN
from suture.algorithms.sac import SAC
from suture.envs.tabular import canonical
from suture.keys import key_for
from suture.spaces import Array

BEHAVIOUR = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]])
COPIES, DISCOUNT, UNIT, MORE = (20, 4, 8, 20), 0.9, 0.5, 0.7
TABLES: dict[str, Any] = {"hidden": (), "discount": DISCOUNT, "target_rate": 0.05, "critics": 1}
CLONED: dict[str, Any] = TABLES | {"behaviour_hidden": (), "behaviour_steps": 0, "warm_up": 0}
LIMIT = 1e9


class Case(NamedTuple):
    """A method, and its fields that have units: of reward, and of 1 / reward."""

    algorithm: Any
    in_reward: tuple[str, ...] = ()
    inverse: tuple[str, ...] = ()


CASES = {
    "iql": Case(
        IQL(**TABLES, actor_schedule="constant", inverse_temperature=1.0, max_weight=LIMIT),
        inverse=("inverse_temperature",),
    ),
    "awac": Case(AWAC(**TABLES, temperature=0.5, max_weight=LIMIT), ("temperature",)),
    "crr": Case(CRR(**TABLES, temperature=0.5, max_weight=LIMIT), ("temperature",)),
    "awr": Case(
        AWR(hidden=(), discount=DISCOUNT, target_rate=0.05, window_length=1, whitened=False, temperature=0.5,
            max_weight=LIMIT, advantages="exact"),
        ("temperature",),
    ),
    "brac-p": Case(BRAC(**CLONED, penalty="actor", temperature=0.5), ("temperature",)),
    "brac-v": Case(BRAC(**CLONED, penalty="reward", temperature=0.5), ("temperature",)),
    "dqn": Case(DQN(**TABLES)),
    "bcq": Case(BCQ(**TABLES)),
    "cql": Case(
        CQL(**TABLES, conservative_weight=0.2), ("conservative_weight", "conservative_temperature")
    ),
    "sac": Case(SAC(**TABLES, target_entropy=0.8), ("initial_temperature",)),
}  # fmt: skip


@functools.cache
def log() -> Batch:
    return exact_batch(BEHAVIOUR, COPIES)


def seen_by(algorithm: Any, batch: Batch) -> Batch:
    """The batch as the method sees it: AWR's rows are windows."""
    if not isinstance(algorithm, AWR):
        return batch
    columns = {name: column for name, column in vars(batch).items() if column is not None}
    return algorithm.batch(columns)


def cloned(state: Any) -> Any:
    """The state whose model of the behaviour, where it has one, is the behaviour."""
    if not hasattr(state, "behaviour"):
        return state
    place = lambda s: [s.behaviour.model.net.mlp.layers[0].weight, s.behaviour.model.net.mlp.layers[0].bias]  # noqa: E731
    weight, bias = place(state)
    exact = jnp.asarray(np.log(BEHAVIOUR), jnp.float32)
    return eqx.tree_at(
        place, state, [exact if weight.shape == exact.shape else exact.T, jnp.zeros_like(bias)]
    )


@functools.cache
def solution(name: str, unit: float = 1.0, more: float = 0.0, discount: float = DISCOUNT) -> Any:
    """The state at the fixed point, of rewards `unit * reward + more`."""
    case = CASES[name]
    batch = eqx.tree_at(lambda b: b.reward, log(), unit * log().reward + more)
    scaled = {field: getattr(case.algorithm, field) * unit for field in case.in_reward}
    inverse = {field: getattr(case.algorithm, field) / unit for field in case.inverse}
    return solve(
        case.algorithm, batch=seen_by(case.algorithm, batch), steps=1_500, rates=(3e-2, 1e-2, 1e-3, 1e-4),
        prepare=cloned, traced={"discount": discount} | scaled | inverse,
    )  # fmt: skip


def values(name: str, **rewards: float) -> Array:
    """Q (4, 3) at the fixed point."""
    state = solution(name, **rewards)
    learner = getattr(state, "learner", state)
    critic = learner.critic.net
    return table(critic.critic if name == "bcq" else critic)


def policy(name: str, **rewards: float) -> Array:
    """Probabilities of the choices (4, 3), or which one is taken (4,)."""
    answer = CASES[name].algorithm.policy(solution(name, **rewards))
    if name in ("dqn", "bcq", "cql"):
        return np.asarray(answer(jnp.arange(4)).mode())
    return probabilities(answer)


@pytest.mark.parametrize("name", CASES)
def test_a_constant_more_in_every_reward_is_its_sum_over_time_more_in_every_value(name: str) -> None:
    gained = values(name, more=MORE) - values(name)
    np.testing.assert_allclose(gained, MORE / (1 - DISCOUNT), atol=5e-3)
    np.testing.assert_allclose(policy(name, more=MORE), policy(name), atol=2e-3)


@pytest.mark.parametrize("name", CASES)
def test_another_unit_of_reward_changes_values_by_it_and_no_choice(name: str) -> None:
    np.testing.assert_allclose(values(name, unit=UNIT), UNIT * values(name), atol=5e-3)
    np.testing.assert_allclose(policy(name, unit=UNIT), policy(name), atol=2e-3)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"cql"}))
def test_without_a_future_values_are_mean_rewards(name: str) -> None:
    """But for CQL, whose penalty is in the values."""
    np.testing.assert_allclose(values(name, discount=0.0), canonical().reward, atol=2e-3)


def rows_of(change: Callable[[Array], Array]) -> Batch:
    return jax.tree.map(lambda column: jnp.asarray(change(np.asarray(column))), log())


@pytest.mark.parametrize("name", CASES)
def test_rows_twice_or_in_another_order_make_the_same_step(name: str) -> None:
    """From networks in motion; so that fixed points are the same, too."""
    algorithm, state = CASES[name].algorithm, solution(name, discount=0.0)
    update = jax.jit(algorithm.update, compiler_options=QUICK)
    order = np.random.default_rng(0).permutation(len(log().action))

    def after(batch: Batch) -> list[Array]:
        moved, metrics = update(state, seen_by(algorithm, batch), key_for(0, "update"))
        return [np.asarray(leaf) for leaf in jax.tree.leaves((moved, metrics))]

    usual = after(log())
    moves = zip(usual, jax.tree.leaves(state), strict=False)
    assert any(not np.array_equal(one, other) for one, other in moves)
    for change in (lambda rows: rows[order], lambda rows: np.concatenate([rows, rows])):
        for one, other in zip(usual, after(rows_of(change)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)

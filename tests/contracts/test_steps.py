"""Targets of n steps and chunks of actions, for every method that learns action values."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.probe import QUICK

from suture.algorithms.base import Spec
from suture.algorithms.critic_based import CriticBased
from suture.algorithms.table import ALGORITHMS
from suture.config import fields_of
from suture.keys import key_for
from suture.spaces import Box, Discrete
from suture.testing.contract import ROWS, example_columns

SMALL: dict[str, Any] = {
    "hidden": (6,), "behaviour_hidden": (6,), "samples": 6, "flow_steps": 2, "behaviour_steps": 0,
    "act_samples": 3, "loss": "squared", "discount": 0.9,
}  # fmt: skip
LINE = Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2)
CASES = [
    (name, kind)
    for name, method in ALGORITHMS.items()
    if issubclass(method, CriticBased)
    for kind in sorted(method.actions)
    if (name, kind) != ("bcq", "discrete")  # Huber's loss; test_bcq.py shows that it is DQN's
]


@functools.cache
def made(name: str, kind: str) -> tuple[Any, Any, Any]:
    """A state, a batch of 3 steps (and of chunks of 2 actions), and what an update of both tells."""
    method: Any = ALGORITHMS[name]
    steps = {"n_step": 3} if kind == "discrete" else {"n_step": 3, "chunk": 2}
    algorithm = method(**{key: value for key, value in SMALL.items() if key in fields_of(method)}, **steps)
    spec = Spec(observation=Box((3,)), action=Discrete(3) if kind == "discrete" else LINE)
    batch = algorithm.batch(example_columns(spec, algorithm.needs, algorithm.window))

    state = jax.jit(lambda key: algorithm.init(spec, key), compiler_options=QUICK)(key_for(0, "init"))
    decided = jax.eval_shape(lambda state: algorithm.policy(state)(batch.observation).mode(), state)
    assert decided.shape == ((ROWS,) if kind == "discrete" else (ROWS, 2 * 2))
    told = lambda state, batch: algorithm.update(state, batch, key_for(0, "update"))[1]  # noqa: E731
    return state, batch, jax.jit(told, compiler_options=QUICK)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_follows_n_steps_is_discounted_by_all_of_them(name: str, kind: str) -> None:
    """The squared error is a parabola in the factors of the next value, which the batch holds after n steps.

    A method that only asks whether an episode went on would see no difference between 1, 2 and 3.
    """
    state, batch, update = made(name, kind)
    found = np.array([
        update(state, dataclasses.replace(batch, discount=jnp.full(ROWS, factor)))["critic/loss"]
        for factor in (1.0, 2.0, 3.0, 4.0)
    ])  # fmt: skip
    assert abs(np.diff(found)).max() > 1e-4
    np.testing.assert_allclose(found @ [-1, 3, -3, 1], 0, atol=1e-5 * abs(found).max())


def _biases(state: Any) -> list[Any]:
    """The last biases of whatever says values."""
    learner = getattr(state, "learner", state)
    slow = getattr(learner, "slow", learner)
    nets = [learner.critic.net, *getattr(learner, "targets", [getattr(slow, "target_critic", None)])]
    nets += [learner.value.net] if hasattr(learner, "value") else []
    return [net.mlp.layers[-1].bias for net in nets]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_values_that_are_higher_by_a_constant_belong_to_rewards_that_are(name: str, kind: str) -> None:
    """Of every value, K more, and of every reward, K less what follows of it: no error changes."""
    state, batch, update = made(name, kind)
    more = 2.0
    reward = batch.reward + more * (1 - SMALL["discount"] * batch.discount)
    told = dataclasses.replace(batch, reward=reward)
    if batch.return_to_go is not None:
        told = dataclasses.replace(told, return_to_go=batch.return_to_go + more)
    usual, raised = (
        update(state, batch),
        update(eqx.tree_at(_biases, state, replace_fn=lambda b: b + more), told),
    )
    for loss in {"critic/loss", "value/loss", "conservative/gap"} & usual.keys():
        np.testing.assert_allclose(raised[loss], usual[loss], rtol=1e-4, atol=1e-5, err_msg=loss)

"""Fitted Q evaluation, the code that `suture evaluate --data` runs, beside values known in closed form.

Three steps of three states and two choices. The reference (spec B4) gives 1.102797 for its policy and 0.709
for the greedy one, and not the tables behind them; this is a problem of our own of the same shape (one first
state, 72 trajectories, discount 0.9), solved by enumeration, whose greedy policy is worth another number. And
the reference's linear system with quadratic costs (D1), which is determined, with its numbers.
"""

import dataclasses
import functools
import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from making.canonical import solve

from suture.algorithms.base import Batch, Spec, Trainable
from suture.evaluation.ope.fqe import FQE
from suture.keys import key_for
from suture.nets.critics import Critic
from suture.nets.distributions import Categorical, Gaussian
from suture.nets.expectation import expected_value
from suture.nets.policies import Policy
from suture.spaces import Array, Box, Discrete

STEPS, STATES, DISCOUNT = 3, 3, 0.9
AHEAD = np.array([[[0.4, 0.2, 0.4], [0.5, 0.3, 0.2]], [[0.4, 0.4, 0.2], [0.3, 0.3, 0.4]],
                  [[0.2, 0.1, 0.7], [0.4, 0.4, 0.2]]])  # fmt: skip
REWARD = np.array([[-1.5, 2.0], [0.5, -0.5], [-1.0, 1.5]])
POLICY = np.array([[0.4, 0.6], [0.6, 0.4], [0.6, 0.4]])
BEHAVIOUR = np.array([[0.6, 0.4], [0.3, 0.7], [0.4, 0.6]])
GREEDY = np.eye(2)[POLICY.argmax(1)]


class Table(Policy):
    """A policy over places (step, state), numbered step by step."""

    chances: Any

    def __call__(self, observation: Any, key: Any = None) -> Categorical:
        return Categorical(jnp.log(self.chances + 1e-12)[observation])


def enumerated(policy: Array, drawn: Array | None = None) -> tuple[float, int]:
    """The policy's value over all trajectories, and how many there are.

    drawn: the policy that they are drawn from; the returns are then weighed by the importance ratio.
    """
    drawn, total, count = policy if drawn is None else drawn, 0.0, 0
    for a0, s1, a1, s2, a2 in itertools.product((0, 1), range(3), (0, 1), range(3), (0, 1)):
        pairs = ((0, a0), (s1, a1), (s2, a2))
        chance = AHEAD[0, a0, s1] * AHEAD[s1, a1, s2] * np.prod([drawn[pair] for pair in pairs])
        ratio = np.prod([policy[pair] / drawn[pair] for pair in pairs])
        total += chance * ratio * sum(DISCOUNT**t * REWARD[pair] for t, pair in enumerate(pairs))
        count += 1
    return float(total), count


def logged() -> Batch:
    """Every transition in proportion to its chance under the behaviour, ends as ends."""
    rows = [
        (3 * step + state, action, REWARD[state, action], float(step < STEPS - 1), 3 * (step + 1) % 9 + after)
        for step, state, action, after in itertools.product(
            range(STEPS), range(STATES), (0, 1), range(STATES)
        )
        for _ in range(round(100 * BEHAVIOUR[state, action] * AHEAD[state, action, after]))
    ]
    place, action, reward, going, following = (np.array(column) for column in zip(*rows, strict=True))
    return Batch(
        observation=jnp.asarray(place), action=jnp.asarray(action), reward=jnp.asarray(reward, jnp.float32),
        discount=jnp.asarray(going, jnp.float32), next_observation=jnp.asarray(following),
    )  # fmt: skip


@functools.cache
def fitted(greedily: bool) -> float:
    """What the fitted critic says of the policy (or of its mode) at the first state."""
    policy = Table(jnp.asarray(np.tile(GREEDY if greedily else POLICY, (STEPS, 1)), jnp.float32))
    state = solve(
        FQE(hidden=(), discount=DISCOUNT), batch=logged(), steps=2_000,
        spec=Spec(observation=Discrete(9), action=Discrete(2)),
        prepare=lambda state: dataclasses.replace(state, policy=policy),
    )  # fmt: skip
    first = jnp.zeros(1, jnp.int32)
    said = expected_value(state.critic.net, first, policy(first), key_for(0, "act"), samples=1, spread=0.0)
    return float(said[0])


def test_the_stochastic_policy_is_evaluated_and_not_its_mode() -> None:
    value, count = enumerated(POLICY)
    assert count == 72
    assert value == pytest.approx(1.0804884, abs=1e-12)
    assert enumerated(POLICY, BEHAVIOUR)[0] == pytest.approx(value, abs=1e-12), "the log determines it"
    greedy, _ = enumerated(GREEDY, BEHAVIOUR)
    assert abs(greedy - value) > 2
    assert fitted(False) == pytest.approx(value, abs=1e-3)
    assert fitted(True) == pytest.approx(greedy, abs=1e-3), "an evaluation by the mode would say this"


A, B, UNIT, COST, SIGMA, FUTURE = 0.9, 0.5, 4.0, 0.1, 0.1, 0.95
"""x' = 0.9 x + 0.5 u + noise, reward -(x^2 + 0.1 u^2); actions are u / 4, so that they lie in [-1, 1]."""


class Quadratic(Critic):
    """Q linear in x^2, x u, u^2 and 1.   weights: (1, 4)."""

    weights: Any

    @property
    def action_size(self) -> int:
        return 1

    def first(self) -> "Quadratic":
        return self

    def __call__(self, observation: Any, action: Any) -> Any:
        x, u = observation[..., 0], UNIT * action[..., 0]
        x = jnp.broadcast_to(x, u.shape)
        return jnp.einsum("mf,f...->m...", self.weights, jnp.stack([x * x, x * u, u * u, jnp.ones_like(x)]))


class Feedback(Policy):
    """u = -gain x, with noise of a deviation."""

    gain: Any
    deviation: float

    def __call__(self, observation: Any, key: Any = None) -> Gaussian:
        return Gaussian(-self.gain * observation / UNIT, jnp.log(jnp.asarray([self.deviation / UNIT])))


def closed_form(gain: float, deviation: float = 0.0) -> float:
    """V(1) = -(p x^2 + c): the Lyapunov equation, and what noise of the system and the actions costs."""
    p = (1 + COST * gain**2) / (1 - FUTURE * (A - B * gain) ** 2)
    noise = COST * deviation**2 + FUTURE * p * (SIGMA**2 + (B * deviation) ** 2)
    return -(p + noise / (1 - FUTURE))


def of_the_linear_system(gain: float, deviation: float) -> float:
    """V(1) by the critic that FQE's own updates come to. Noise is +-0.1, alike in mean and variance."""
    grid = itertools.product(np.linspace(-1, 1, 9), np.linspace(-0.4, 0.4, 5), (-SIGMA, SIGMA))
    x, action, noise = (jnp.asarray(column, jnp.float32)[:, None] for column in zip(*grid, strict=True))
    batch = Batch(
        observation=x, action=action, reward=-(x**2 + COST * (UNIT * action) ** 2)[:, 0],
        discount=jnp.ones(len(x)), next_observation=A * x + B * UNIT * action + noise,
    )  # fmt: skip
    algorithm, critic = FQE(discount=FUTURE), Quadratic(jnp.zeros((1, 4)))
    policy = Feedback(jnp.asarray(gain), deviation)
    begun = {
        "critic": Trainable.of(critic, algorithm.critic_optimiser()), "target_critic": critic,
        "policy": policy,
    }  # fmt: skip
    spec = Spec(observation=Box((1,)), action=Box((1,), low=(-1.0,), high=(1.0,)))
    state = solve(
        algorithm, batch=batch, spec=spec, prepare=lambda state: dataclasses.replace(state, **begun)
    )
    one = jnp.ones((1, 1))
    draws = 1 if deviation < 1e-6 else 4_096
    said = expected_value(state.critic.net, one, policy(one), key_for(0, "act"), samples=draws, spread=0.0)
    return float(said[0])


@pytest.mark.parametrize(("gain", "reference"), [(0.0, -5.16269), (0.3, -2.57871), (1.344266, -1.47794)])
def test_the_linear_system_has_its_closed_form(gain: float, reference: float) -> None:
    assert closed_form(gain) == pytest.approx(reference, abs=1e-5)
    assert of_the_linear_system(gain, 1e-9) == pytest.approx(reference, rel=1e-3)


def test_noisy_feedback_is_not_its_mode() -> None:
    value = closed_form(0.3, 0.3)
    assert value < 1.2 * closed_form(0.3)
    assert of_the_linear_system(0.3, 0.3) == pytest.approx(value, rel=0.01)

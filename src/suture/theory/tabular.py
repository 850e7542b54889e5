"""Exact answers of finite decision problems: operators and their fixed points, occupancies, lemmas.

NumPy, float64. Values V are (S,), action values Q (S, A), policies pi and beta (S, A) with rows that sum to
1. A pair with beta = 0 is outside the support. The problems themselves are in `envs/finite.py`.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from suture.envs.finite import TabularMDP, canonical, canonical_behaviour, evaluate, optimal
from suture.errors import ConfigError
from suture.spaces import Array

__all__ = [
    "Backup",
    "TabularMDP",
    "advantage_gain",
    "best_in_support",
    "canonical",
    "canonical_behaviour",
    "certainty_equivalent",
    "divergence_of",
    "evaluate",
    "expectile",
    "expectile_values",
    "fixed_point",
    "greedy",
    "implicit_policy",
    "occupancy",
    "optimal",
    "penalised_policy",
    "problems",
    "random_mdp",
    "random_policy",
    "simulation_gap",
    "soft_policy",
    "soft_value",
    "value_of",
]  # fmt: skip

Backup = Callable[[Array], Array]
"""Action values (S, A) -> values of states (S,)."""


def value_of(mdp: TabularMDP, policy: Array) -> float:
    """J: the value of the start of a policy."""
    return evaluate(mdp, policy)[2]


def random_mdp(
    generator: np.random.Generator, *, states: int = 5, actions: int = 3, discount: float = 0.9
) -> TabularMDP:
    """Transitions from a flat Dirichlet over all states, standard normal rewards, a random first state."""
    transition = generator.dirichlet(np.full(states, 0.5), (states, actions))
    return TabularMDP(
        transition, generator.normal(size=(states, actions)), discount, generator.dirichlet(np.ones(states))
    )


def random_policy(generator: np.random.Generator, mdp: TabularMDP, *, unsupported: float = 0.0) -> Array:
    """(S, A) from a flat Dirichlet; each action but one of a state is left out with chance `unsupported`."""
    policy = generator.dirichlet(np.ones(mdp.actions), mdp.states)
    absent = generator.random(policy.shape) < unsupported
    absent[np.arange(mdp.states), generator.integers(mdp.actions, size=mdp.states)] = False
    policy = np.where(absent, 0.0, policy)
    return policy / policy.sum(axis=1, keepdims=True)


def problems(
    seed: int, count: int, *, unsupported: float = 0.3, discount: float = 0.9
) -> Iterator[tuple[TabularMDP, Array, np.random.Generator]]:
    """Random problems of 2 to 6 states and 2 to 4 actions, each with a behaviour and its own generator."""
    for generator in np.random.default_rng(seed).spawn(count):
        states, actions = (int(generator.integers(2, most)) for most in (7, 5))
        mdp = random_mdp(generator, states=states, actions=actions, discount=discount)
        yield mdp, random_policy(generator, mdp, unsupported=unsupported), generator


def occupancy(mdp: TabularMDP, policy: Array) -> Array:
    """Discounted visits, (S, A): `(1 - gamma) sum_t gamma^t P(s_t, a_t)`; they sum to 1 if nothing ends."""
    through = np.einsum("sa,sat->st", policy, mdp.transition)
    visits = np.linalg.solve(np.eye(mdp.states) - mdp.discount * through.T, mdp.start)
    return (1 - mdp.discount) * visits[:, None] * policy


def fixed_point(
    mdp: TabularMDP, backup: Backup, tolerance: float = 1e-13, most: int = 200_000
) -> tuple[Array, Array]:
    """Q (S, A) and V (S,) with `Q = r + gamma P V` and `V = backup(Q)`, by iteration from 0.

    Raises ConfigError where `most` backups do not reach the tolerance, relative to the largest value.
    """
    value = np.zeros(mdp.states)
    for _ in range(most):
        after = backup(mdp.backup(value))
        close = np.abs(after - value).max() <= tolerance * max(1.0, np.abs(after).max())
        value = after
        if close:
            return mdp.backup(value), value
    raise ConfigError(
        f"The backup moved the values after {most:,} rounds by more than {tolerance:g} still: it is no "
        "contraction, or the discount is too near to 1."
    )


def greedy(quality: Array, allowed: Array | None = None) -> Array:
    """The deterministic policy (S, A) of the best (allowed) action."""
    usable = quality if allowed is None else np.where(allowed, quality, -np.inf)
    return np.eye(quality.shape[1])[usable.argmax(axis=1)]


def best_in_support(behaviour: Array) -> Backup:
    """The maximum over actions that the behaviour takes."""
    return lambda quality: np.where(behaviour > 0, quality, -np.inf).max(axis=1)


def expectile(values: Array, probability: Array, level: float) -> Array:
    """The expectile of each row: where `level E(x - v)+ = (1 - level) E(v - x)+`. (..., n) to (...).

    values: finite where probability > 0, anything elsewhere.   level: in (0, 1).
    Exact: between two neighbouring values the condition is linear in v, and each round is a Newton step.
    """
    if not 0 < level < 1:
        raise ConfigError(f"An expectile's level lies in (0, 1); found {level:g}.")
    taken = np.where(probability > 0, values, 0.0)
    value = (probability * taken).sum(axis=-1)
    for _ in range(taken.shape[-1] + 2):  # each round that changes anything moves past a value
        weight = probability * np.where(taken > value[..., None], level, 1 - level)
        value, before = (weight * taken).sum(axis=-1) / weight.sum(axis=-1), value
        if np.array_equal(value, before):
            break
    return value


def expectile_values(behaviour: Array, level: float) -> Backup:
    """IQL's backup: the expectile of action values under the behaviour."""
    return lambda quality: expectile(quality, behaviour, level)


def implicit_policy(quality: Array, behaviour: Array, level: float) -> Array:
    """The policy whose expected value is the expectile: `beta |level - 1(Q <= v)|`, normalised, (S, A)."""
    value = expectile(quality, behaviour, level)
    weight = behaviour * np.where(quality > value[:, None], level, 1 - level)
    return weight / weight.sum(axis=1, keepdims=True)


def soft_value(quality: Array, behaviour: Array, temperature: float) -> Array:
    """`temperature log E_beta exp(Q / temperature)`, (..., A) to (...)."""
    top = np.where(behaviour > 0, quality, -np.inf).max(axis=-1, keepdims=True)
    weight = behaviour * np.exp(np.where(behaviour > 0, quality - top, 0.0) / temperature)
    return top[..., 0] + temperature * np.log(weight.sum(axis=-1))


def soft_policy(quality: Array, behaviour: Array, temperature: float) -> Array:
    """`beta exp(Q / temperature)`, normalised in each state, (S, A)."""
    value = soft_value(quality, behaviour, temperature)[..., None]
    return behaviour * np.exp(np.where(behaviour > 0, quality - value, 0.0) / temperature)


def penalised_policy(mdp: TabularMDP, behaviour: Array, temperature: float) -> tuple[Array, Array]:
    """BRAC-p's and AWAC's rest: `pi = beta exp(Q^pi / temperature) / Z` with the plain Q^pi. pi and Q (S, A).

    By policy iteration with damped steps; raises ConfigError where it does not settle.
    """
    policy = behaviour
    for _ in range(20_000):
        quality = evaluate(mdp, policy)[0]
        wanted = soft_policy(quality, behaviour, temperature)
        if np.abs(wanted - policy).max() < 1e-13:
            return policy, quality
        policy = 0.5 * policy + 0.5 * wanted
    raise ConfigError(f"No rest of `pi = beta exp(Q^pi / {temperature:g})` was found in 20,000 rounds.")


def divergence_of(policy: Array, reference: Array) -> Array:
    """KL(policy || reference) of each state, (..., A) to (...): inf where the reference lacks an action."""
    taken = policy > 0
    with np.errstate(divide="ignore"):
        ratio = np.log(np.where(taken, policy, 1.0)) - np.log(np.where(taken, reference, 1.0))
    return (policy * ratio).sum(axis=-1)


def advantage_gain(mdp: TabularMDP, policy: Array, reference: Array) -> float:
    """J(policy) - J(reference) by the performance-difference lemma: `E_{d^policy} A^reference / (1 - gamma)`.

    Source: Kakade & Langford 2002, lemma 6.1.
    """
    quality, value, _ = evaluate(mdp, reference)
    return float((occupancy(mdp, policy) * (quality - value[:, None])).sum() / (1 - mdp.discount))


def simulation_gap(mdp: TabularMDP, model: TabularMDP, policy: Array) -> float:
    """J in the problem less J in a model of it, by the simulation lemma.

    `E_{d^policy in the model} [r - r' + gamma (P - P') V^policy in the problem] / (1 - gamma)`.
    Source: Kearns & Singh 2002; Yu et al. 2020 (arXiv:2005.13239), lemma 4.1.
    """
    value = evaluate(mdp, policy)[1]
    difference = mdp.backup(value) - model.backup(value)
    return float((occupancy(model, policy) * difference).sum() / (1 - mdp.discount))


def certainty_equivalent(
    mdp: TabularMDP, counts: Array, reward_sums: Array, *, unseen: float = 0.0
) -> TabularMDP:
    """The problem that a log seems to be: mean rewards and frequencies of what followed.

    counts: (S, A, S) of transitions.   reward_sums: (S, A).   unseen: reward of a pair that was never taken,
    which then stays where it is.
    """
    taken = counts.sum(axis=2)
    stay = np.broadcast_to(np.eye(mdp.states)[:, None], counts.shape)
    often = np.maximum(taken, 1)
    transition = np.where(taken[..., None] > 0, counts / often[..., None], stay)
    reward = np.where(taken > 0, reward_sums / often, unseen)
    return dataclasses.replace(mdp, transition=transition, reward=reward)

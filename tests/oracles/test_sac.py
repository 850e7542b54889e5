"""SAC, SAC-N and EDAC: the published formulas in float64, exact soft fixed points, who reads what."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.canonical import exact_batch, probabilities, solve
from making.parity import agree, agree_with_differences
from making.probe import QUICK, Probe
from making.soft import SPEC, Diverse, Soft
from scipy import optimize
from scipy.special import log_softmax, softmax

from suture.algorithms.base import Spec
from suture.algorithms.edac import EDAC, SACN
from suture.algorithms.sac import SAC
from suture.envs.tabular import canonical
from suture.keys import key_for
from suture.spaces import Array, Box, Discrete
from suture.testing.contract import example_batch

SMALL = {"hidden": (6, 6), "initial_temperature": 0.7}
METHODS: dict[str, Any] = {
    "sac": SAC(**SMALL),
    "sac without entropy": SAC(**SMALL, entropy_backup=False, discount=0.9),
    "sac_n": SACN(**SMALL, critics=5),
    "edac": EDAC(**SMALL, critics=4, diversity_weight=3.0),
}


def unlike(state: Any) -> Any:
    """A state whose target is not the critic that it follows."""
    target = jax.tree.map(lambda leaf: leaf[::-1] * 0.9, state.target_critic)
    return eqx.tree_at(lambda s: s.target_critic, state, target)


@pytest.fixture(scope="module", params=METHODS)
def probe(request: pytest.FixtureRequest) -> Probe:
    algorithm = METHODS[request.param]
    return Probe(algorithm, SPEC, example_batch(SPEC, algorithm.needs), prepare=unlike)


def test_losses_and_gradients_are_the_papers(probe: Probe) -> None:
    plain = (Diverse if isinstance(probe.algorithm, EDAC) else Soft)(
        probe.algorithm, probe.state, probe.batch
    )
    after, metrics = probe.after()
    agree(metrics["critic/loss"], plain.squared_errors(), "critic loss")
    agree(metrics["actor/loss"], plain.actor_loss(), "actor loss")
    agree(metrics["policy/entropy"], plain.entropy(), "entropy")
    if isinstance(plain, Diverse):
        agree(metrics["critic/diversity"], plain.diversity(), "diversity")
    agree_with_differences(after.critic, plain.critic, plain.critic_loss)
    agree_with_differences(after.actor, plain.actor, plain.actor_loss)
    lacking = -2.0 - plain.entropy()
    agree(after.temperature.optimiser.mu.log, -0.1 * lacking, "temperature: the target is minus |A|")


def test_each_loss_reads_its_networks(probe: Probe) -> None:
    both = {"critic/loss", "actor/loss"}
    assert probe.readers(lambda s: s.target_critic) == {"critic/loss"}
    assert probe.readers(lambda s: s.actor.net) == both
    assert probe.readers(lambda s: s.critic.net.mlp) == both
    backed_up = probe.algorithm.entropy_backup
    assert probe.readers(lambda s: s.temperature.net) == (both if backed_up else {"actor/loss"})


def test_the_policy_is_asked_once_before_anything_moves() -> None:
    batch = example_batch(SPEC, SAC.needs)
    rates = ("critic_learning_rate", "actor_learning_rate", "temperature_learning_rate")
    still, moving = (Probe(METHODS["sac"], SPEC, batch, moving=names).metrics for names in ((), rates))
    assert still == pytest.approx(moving, rel=1e-6)


def test_the_target_follows_every_update() -> None:
    """There is no delay (a listed difference from TD3)."""
    algorithm = SACN(hidden=(4,), critics=3, target_rate=0.25)
    probe = Probe(algorithm, SPEC, example_batch(SPEC, SACN.needs), moving=("critic_learning_rate",))
    state = probe.state
    for _ in range(2):
        before, (state, _) = state.target_critic, probe.after(state)
        moved = jax.tree.map(lambda old, new: old + 0.25 * (new - old), before, state.critic.net)
        for ours, exact in zip(jax.tree.leaves(state.target_critic), jax.tree.leaves(moved), strict=True):
            np.testing.assert_allclose(ours, exact, atol=1e-6)


def test_diversity_is_not_scaled_by_the_ensemble_as_the_errors_are() -> None:
    """Errors are summed over the critics and the diversity is not: without it EDAC is SAC-N."""
    batch, algorithm = example_batch(SPEC, EDAC.needs), EDAC(hidden=(6, 6), critics=4)
    state = SACN(hidden=(6, 6), critics=4).init(SPEC, key_for(0, "init"))

    @functools.partial(jax.jit, compiler_options=QUICK)
    def gradient(weight: Any) -> Any:
        configured = dataclasses.replace(algorithm, diversity_weight=weight)
        after, _ = configured.update(state, batch, key_for(0, "update"))
        return jax.tree.map(lambda moment: moment / 0.1, after.critic.optimiser.mu)

    plain = Probe(SACN(hidden=(6, 6), critics=4), SPEC, batch).after()[0].critic.optimiser.mu
    found = [gradient(jnp.float32(weight)) for weight in (0.0, 1.0, 2.0)]
    for p, n, o, t in zip(*map(jax.tree.leaves, (plain, *found)), strict=True):
        np.testing.assert_allclose(n, p / 0.1, atol=1e-5)
        np.testing.assert_allclose(t - n, 2 * (o - n), atol=1e-5)


EVEN = np.full((4, 3), 1 / 3)


@functools.cache
def soft_fixed_point(temperature: float, entropy_backup: bool) -> tuple[Array, Array]:
    """Q and the policy `exp(Q / temperature)`, (4, 3) each, by iteration."""
    mdp, q = canonical(), np.zeros((4, 3))
    for _ in range(600):
        policy = softmax(q / temperature, axis=1)
        bonus = -temperature * log_softmax(q / temperature, axis=1) if entropy_backup else 0.0
        q = mdp.backup((policy * (q + bonus)).sum(1))
    return q, policy


def mean_entropy(policy: Array) -> float:
    """Over the states, in nats."""
    return float(-(policy * np.log(policy)).sum(1).mean())


@pytest.mark.parametrize("entropy_backup", [True, False])
def test_choices_reach_the_soft_fixed_point_whose_entropy_is_the_target(entropy_backup: bool) -> None:
    """Expectations over choices are exact, and the temperature is learned: only float32 is left as noise."""
    target = 0.8
    state = solve(
        SAC(
            hidden=(), discount=0.9, target_rate=0.05, target_entropy=target, entropy_backup=entropy_backup,
            initial_temperature=0.5,
        ),
        batch=exact_batch(EVEN, 30), steps=2_000,
    )  # fmt: skip
    temperature = optimize.brentq(
        lambda t: mean_entropy(soft_fixed_point(t, entropy_backup)[1]) - target, 0.05, 20.0
    )
    q, policy = soft_fixed_point(temperature, entropy_backup)
    learned = probabilities(state.actor.net)
    assert abs(mean_entropy(learned) - target) < 1e-3
    assert abs(float(state.temperature.net()) / temperature - 1) < 2e-3
    np.testing.assert_allclose(learned, policy, atol=1e-3)
    np.testing.assert_allclose(np.asarray(state.critic.net.values(jnp.arange(4)).min(0)), q, atol=5e-3)


def test_the_default_target_of_choices_is_near_the_largest_entropy() -> None:
    spec = dataclasses.replace(SPEC, action=Discrete(3))
    batch = example_batch(spec, SAC.needs)
    after, metrics = Probe(SAC(hidden=(4,)), spec, batch).after()
    lacking = 0.98 * np.log(3) - metrics["policy/entropy"]
    agree(after.temperature.optimiser.mu.log, -0.1 * lacking, "temperature")


def test_entropy_in_the_values_is_no_divergence() -> None:
    """|A| = 2 nats at temperature 3 beside a reward of 1, for 100 steps; log 4 of choices."""
    for space, entropy in ((Box((2,)), 2.0), (Discrete(4), 0.98 * np.log(4))):
        spec = Spec(observation=Box((3,)), action=space, reward_limit=1.0)
        assert SAC(initial_temperature=3.0).value_limit(spec) == pytest.approx(100 * (1 + 3 * entropy))
        assert SAC(initial_temperature=3.0, entropy_backup=False).value_limit(spec) == pytest.approx(100)
    assert SAC(target_entropy=-5.0).value_limit(spec) == pytest.approx(600)

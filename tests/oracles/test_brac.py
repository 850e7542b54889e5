"""BRAC: exact fixed points, the published formulas in float64, and when the behaviour is fitted."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.canonical import LOGGED, exact_batch, probabilities, read_oracle, solve, table, worth
from making.parity import Plain, agree, agree_with_differences
from making.probe import QUICK, Probe
from making.shaken import shaken
from scipy import special

from suture.algorithms.base import Batch, Spec
from suture.algorithms.bc import BC, BCState
from suture.algorithms.behaviour import ADOPTED
from suture.algorithms.brac import BRAC
from suture.envs.tabular import canonical, canonical_behaviour
from suture.errors import ConfigError
from suture.keys import key_for
from suture.objectives.divergences import categorical_kl
from suture.spaces import Array, Box, Discrete
from suture.testing.contract import example_batch

SPEC = Spec(observation=Box((3,)), action=Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2))
EXACT: dict[str, Any] = {"hidden": (), "behaviour_hidden": (), "discount": 0.9, "target_rate": 0.05}
NAMES = {"reward": "soft_xql_bracv_lam", "actor": "bracp_awac_lam"}
NEEDS = BRAC.needs
FIT: dict[str, Any] = {"steps": 2_000, "rates": (3e-2, 1e-2, 1e-3, 1e-4)}


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    return read_oracle()


@functools.cache
def clone() -> Any:
    """The behaviour of the canonical log, by behavioural cloning."""
    policy = solve(BC(hidden=()), **FIT | {"steps": 3_000}).actor.net
    np.testing.assert_allclose(probabilities(policy), canonical_behaviour(), atol=2e-4)
    return policy


@functools.cache
def solution(penalty: Any, temperature: float, discount: float = 0.9) -> tuple[Array, Array]:
    """Q and the policy, (4, 3) each, at the fixed point."""
    algorithm = BRAC(**EXACT | {"discount": discount}, penalty=penalty, temperature=temperature, warm_up=0)
    state = solve(algorithm, prepare=lambda state: algorithm.adopt(state, clone()), **FIT)
    return table(state.critic.net), probabilities(state.actor.net)


@pytest.mark.parametrize("penalty", NAMES)
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_both_penalties_reach_their_fixed_points(
    oracle: dict[str, Any], penalty: str, temperature: float
) -> None:
    """Paid once: behaviour * exp(Q / temperature), Q of the policy. Paid always: with the soft Q (XQL)."""
    exact = oracle[f"{NAMES[penalty]}{temperature:g}"]
    q, policy = solution(penalty, temperature)
    np.testing.assert_allclose(q[LOGGED], np.array(exact["Q"])[LOGGED], atol=1e-3)
    np.testing.assert_allclose(policy, exact["pi"], atol=1e-3)
    assert abs(worth(policy) - exact["J"]) < 1e-3


@pytest.mark.parametrize(("temperature", "exact"), [(0.1, 0.14302), (0.5, 0.02742)])
def test_the_two_are_no_more_the_same_than_they_should(temperature: float, exact: float) -> None:
    """Total variation between their policies at the start; at discount 0 it is 0 (below)."""
    one, other = (solution(penalty, temperature)[1] for penalty in NAMES)
    assert 0.5 * np.abs(one - other)[0].sum() == pytest.approx(exact, abs=1e-3)


def test_where_they_part() -> None:
    """Four states in a row, 2 at the end; each step on is one that the behaviour takes in 1 of 5.

    What is paid for going on later counts at the first state where the divergence is paid in the reward, and
    does not where the actor pays: there it goes on with 0.70 in place of 0.31.
    """
    behaviour, leave, end, t = np.array([[0.5, 0.5]] + [[0.2, 0.8]] * 3), 0.5, 2.0, 0.5
    rows = [(s, 0, end * (s == 3), s + 1, 100 * behaviour[s, 0]) for s in range(4)]
    rows += [(s, 1, leave * (s == 0), 4, 100 * behaviour[s, 1]) for s in range(4)]
    spread = np.repeat([row[:4] for row in rows], [round(row[4]) for row in rows], axis=0)
    state, action, reward, after = spread.T
    batch = Batch(
        observation=jnp.asarray(state, int), action=jnp.asarray(action, int), reward=jnp.asarray(reward),
        next_observation=jnp.asarray(np.minimum(after, 3), int),
        discount=jnp.asarray((after < 4).astype(np.float32)),
    )  # fmt: skip
    spec = Spec(observation=Discrete(4), action=Discrete(2))
    cloned = solve(BC(hidden=()), batch=batch, spec=spec, steps=2_000).actor.net
    for penalty, first in {"reward": 0.314, "actor": 0.702}.items():
        on = end  # the value of going on, from the end to the beginning
        for s in reversed(range(4)):
            q = np.array([on, leave * (s == 0)])
            tilted = behaviour[s] * np.exp(q / t)
            soft = t * np.log(tilted.sum())
            on = 0.9 * (soft if penalty == "reward" else q @ tilted / tilted.sum())
        policy = tilted / tilted.sum()
        algorithm = BRAC(**EXACT, penalty=penalty, temperature=t, warm_up=0)
        prepare = functools.partial(algorithm.adopt, behaviour=cloned)
        learned = solve(algorithm, batch=batch, spec=spec, prepare=prepare, **FIT).actor.net
        found = np.asarray(jax.nn.softmax(learned(jnp.array([0])).logits))[0]
        np.testing.assert_allclose(found, policy, atol=2e-3)
        assert policy[0] == pytest.approx(first, abs=1e-3)


def test_at_discount_0_both_are_the_tilted_behaviour() -> None:
    """With the temperature doubled (the divergence paid in the reward and by the actor) both would fail."""
    tilted, doubled = (canonical_behaviour() * np.exp(canonical().reward / t) for t in (0.5, 1.0))
    tilted, doubled = (policy / policy.sum(1, keepdims=True) for policy in (tilted, doubled))
    assert np.abs(tilted - doubled).max() > 0.1
    for penalty in NAMES:
        np.testing.assert_allclose(solution(penalty, 0.5, 0.0)[1], tilted, atol=1e-3)


def test_paying_twice_for_one_step_doubles_the_temperature() -> None:
    """Where the mistake comes to rest: Q = r - t log(pi / behaviour), and the actor pays as well."""
    behaviour, reward, t = canonical_behaviour()[0], canonical().reward[0], 0.5
    policy = behaviour.copy()
    for _ in range(200):  # damped: the mistake is a contraction towards its own fixed point
        shaped = reward - t * np.log(policy / behaviour)
        policy = np.sqrt(policy * special.softmax(np.log(behaviour) + shaped / t))
        policy /= policy.sum()
    np.testing.assert_allclose(policy, special.softmax(np.log(behaviour) + reward / (2 * t)), atol=1e-9)


def test_the_lecture_s_actor_objective_is_maximised_by_the_behaviour() -> None:
    """E[Q] over logged actions does not depend on the policy: only with the policy's own does it climb."""
    behaviour, q = jnp.array([0.5, 0.3, 0.2]), jnp.array([1.0, -2.0, 3.0])

    def ascend(expected: Any) -> Array:
        def objective(logits: Array) -> Array:
            log_policy = jax.nn.log_softmax(logits)
            return expected(jnp.exp(log_policy)) - categorical_kl(log_policy, jnp.log(behaviour))

        step = lambda _, logits: logits + 0.5 * jax.grad(objective)(logits)  # noqa: E731
        return np.asarray(jax.nn.softmax(jax.lax.fori_loop(0, 3_000, step, jnp.array([1.0, 0.0, -1.0]))))

    np.testing.assert_allclose(ascend(lambda policy: behaviour @ q), behaviour, atol=1e-5)
    tilted = behaviour * jnp.exp(q)
    np.testing.assert_allclose(ascend(lambda policy: policy @ q), tilted / tilted.sum(), atol=1e-5)


SMALL: dict[str, Any] = {
    "hidden": (6, 6), "behaviour_hidden": (6, 6), "behaviour_steps": 0, "warm_up": 0, "divergence_samples": 3,
}  # fmt: skip
METHODS = {
    "v kl": BRAC(**SMALL, temperature=0.3),
    "p kl": BRAC(**SMALL, temperature=0.3, penalty="actor", behaviour_model="gaussian"),
    "v mmd": BRAC(**SMALL, temperature=2.0, divergence="mmd", sigma=0.4),
}


def unlike(state: Any) -> Any:
    """A state whose target is not the critic that it follows; its biases are not 0, where ReLU bends."""
    places = lambda s: [s.critic.net, s.target_critic, s.actor.net, s.behaviour.model.net]  # noqa: E731
    return eqx.tree_at(places, state, [shaken(net, seed) for seed, net in enumerate(places(state))])


@functools.cache
def probe(name: str) -> Probe:
    algorithm = METHODS[name]
    return Probe(algorithm, SPEC, example_batch(SPEC, algorithm.needs), prepare=unlike)


class Statement:
    """The losses of the paper in float64 NumPy, for a state and a batch."""

    def __init__(self, algorithm: BRAC, state: Any, batch: Batch):
        self.algorithm = algorithm
        self.batch = jax.tree.map(lambda column: np.asarray(column, np.float64), batch)
        self.actor, self.critic = Plain(state.actor.net.mlp), Plain(state.critic.net.mlp)
        self.behaviour = Plain(state.behaviour.policy.mlp)
        self.log_std = np.asarray(getattr(state.behaviour.policy, "log_std", 0.0), np.float64)
        key_learn = jax.random.split(key_for(0, "update"))[1]
        key_next, self.key_actor = jax.random.split(key_learn)
        value, distance = self.appraise(Plain(state.target_critic.mlp), self.batch.next_observation, key_next)
        price = 0.0 if algorithm.penalty == "actor" else algorithm.temperature
        self.target = self.batch.reward + 0.99 * self.batch.discount * (value - price * distance)

    def squashed(self, net: Plain, seen: Array, key: Any) -> tuple[Array, Array]:
        """An action of a tanh Gaussian, and its log-density."""
        mean, log_std = np.split(net(seen), 2, axis=-1)
        log_std = np.clip(log_std, -5, 2)
        raw = mean + np.exp(log_std) * np.asarray(jax.random.normal(key, mean.shape), np.float64)
        return np.tanh(raw), self.density(raw, mean, log_std) - np.log(1 - np.tanh(raw) ** 2).sum(-1)

    def density(self, x: Array, mean: Array, log_std: Array) -> Array:
        return (-(((x - mean) / np.exp(log_std)) ** 2) / 2 - log_std - np.log(2 * np.pi) / 2).sum(-1)

    def kl(self, drawn: list[tuple[Array, Array]], seen: Array) -> Array:
        """From samples for the Gaussian; of two squashed ones it is that of the Gaussians before the tanh."""
        if self.algorithm.behaviour_model == "gaussian":
            mean = np.tanh(self.behaviour(seen))
            return np.mean([log - self.density(a, mean, self.log_std) for a, log in drawn], axis=0)
        (m, s), (n, t) = (np.split(net(seen), 2, axis=-1) for net in (self.actor, self.behaviour))
        s, t = np.clip(s, -5, 2), np.clip(t, -5, 2)
        return (t - s + (np.exp(2 * s) + (m - n) ** 2) / (2 * np.exp(2 * t)) - 0.5).sum(-1)

    def kernel(self, x: Array, y: Array) -> Array:
        difference = x - y
        size = np.abs(difference) if self.algorithm.kernel == "laplacian" else difference**2
        return np.exp(-size.sum(-1) / (2 * self.algorithm.sigma))

    def appraise(self, critic: Plain, seen: Array, key: Any) -> tuple[Array, Array]:
        """The smaller value of one action, and the divergence, in each state."""
        key_value, key_divergence = jax.random.split(key)
        action, _ = self.squashed(self.actor, seen, jax.random.split(key_value, 1)[0])
        value = critic(np.concatenate([seen, action], 1))[..., 0].min(0)
        ours, theirs = (jax.random.split(k, 3) for k in jax.random.split(key_divergence))
        drawn = [self.squashed(self.actor, seen, k) for k in ours]
        if self.algorithm.divergence == "kl":
            return value, self.kl(drawn, seen)
        one, other = [a for a, _ in drawn], [self.squashed(self.behaviour, seen, k)[0] for k in theirs]
        mean = lambda x, y: np.mean([self.kernel(a, b) for a in x for b in y], axis=0)  # noqa: E731
        return value, mean(one, one) + mean(other, other) - 2 * mean(one, other)

    def critic_loss(self) -> float:
        q = self.critic(np.concatenate([self.batch.observation, self.batch.action], 1))[..., 0]
        return float(np.square(q - self.target).mean(1).sum())

    def actor_loss(self) -> float:
        value, distance = self.appraise(self.critic, self.batch.observation, self.key_actor)
        return float((self.algorithm.temperature * distance - value).mean())


@pytest.mark.parametrize("name", METHODS)
def test_losses_and_gradients_are_the_paper_s(name: str) -> None:
    one = probe(name)
    plain = Statement(METHODS[name], one.state, one.batch)
    after, metrics = one.after()
    agree(metrics["critic/loss"], plain.critic_loss(), "critic loss")
    agree(metrics["actor/loss"], plain.actor_loss(), "actor loss")
    agree_with_differences(after.critic, plain.critic, plain.critic_loss)
    agree_with_differences(after.actor, plain.actor, plain.actor_loss, tolerance=2e-5)


@pytest.mark.parametrize("name", ["v kl", "p kl"])
def test_each_loss_reads_its_networks(name: str) -> None:
    one, paid = probe(name), {"critic/loss", "actor/loss"}
    assert one.readers(lambda s: s.target_critic) == {"critic/loss"}
    assert [one.readers(lambda s: s.critic.net.mlp, member=m) for m in (0, 1)] == [paid, paid], "the smaller"
    assert one.readers(lambda s: s.actor.net) == paid
    assert one.readers(lambda s: s.behaviour.model.net.mlp) == (paid if name == "v kl" else {"actor/loss"})


def test_the_behaviour_is_fitted_first_and_alone_then_kept() -> None:
    """The first two steps are those of behavioural cloning; then everything else moves, and it does not."""
    sizes: dict[str, Any] = {"hidden": (6, 6), "behaviour_hidden": (6, 6), "behaviour_model": "gaussian"}
    algorithm, bc, batch = (
        BRAC(**sizes, behaviour_steps=2, warm_up=0),
        BC(hidden=(6, 6)),
        example_batch(SPEC, NEEDS),
    )
    update, imitate = (jax.jit(one.update, compiler_options=QUICK) for one in (algorithm, bc))
    states = [jax.jit(lambda key: algorithm.init(SPEC, key), compiler_options=QUICK)(key_for(0, "init"))]
    cloned = BCState(states[0].behaviour.model)
    for step in range(3):
        state, metrics = update(states[-1], batch, key_for(0, "update", step))
        states.append(state)
        assert (metrics["critic/loss"] != 0) == (step == 2)
        if step < 2:
            cloned, fitted = imitate(cloned, batch, key_for(0, "update", step))
            agree(metrics["behaviour/loss"], fitted["actor/loss"], "loss of the behaviour")
            same = eqx.tree_at(lambda s: s.behaviour, states[-1], states[-2].behaviour)
            assert eqx.tree_equal(same, states[-2]), "something else than the behaviour moved"
    for one, other in zip(*map(jax.tree.leaves, (states[2].behaviour.model, cloned.actor)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    assert eqx.tree_equal(states[2].behaviour, states[3].behaviour)
    assert not eqx.tree_equal(states[2].actor.net, states[3].actor.net)
    assert not eqx.tree_equal(states[2].critic.net, states[3].critic.net)
    assert int(states[3].updates) == 1


def test_while_it_warms_up_the_policy_does_not_see_values() -> None:
    cold = dataclasses.replace(METHODS["v kl"], warm_up=1)
    one = Probe(cold, SPEC, example_batch(SPEC, cold.needs), prepare=unlike)
    after, other = (one.after(state)[0] for state in (None, one.with_moved(lambda s: s.critic.net.mlp)))
    assert eqx.tree_equal(after.actor.optimiser.mu, other.actor.optimiser.mu)
    warm, other = (
        one.after(state)[0] for state in (after, one.after(one.with_moved(lambda s: s.critic.net.mlp))[0])
    )
    assert not eqx.tree_equal(warm.actor.optimiser.mu, other.actor.optimiser.mu)


def test_the_temperature_follows_the_divergence() -> None:
    """One step of Adam is the rate times the sign of what exceeds the target; never beyond 500."""
    batch, divergence = example_batch(SPEC, BRAC.needs), probe("v kl").metrics["policy/divergence"]
    for target, sign in ((0.5 * divergence, 1), (2 * divergence, -1)):
        algorithm = dataclasses.replace(METHODS["v kl"], target_divergence=target)
        one = Probe(algorithm, SPEC, batch, prepare=unlike, moving=("temperature_learning_rate",))
        after = one.after()[0]
        assert float(after.temperature.net.log) == pytest.approx(np.log(0.3) + sign * 1e-3, abs=1e-6)
        high = eqx.tree_at(lambda s: s.temperature.net.log, one.state, jnp.float32(np.log(500)))
        after, metrics = one.after(high)
        assert float(after.temperature.net.log) <= np.log(500) + 1e-6
        assert metrics["policy/temperature"] == pytest.approx(500, rel=1e-5)
    assert probe("v kl").after()[0].temperature.net.log == pytest.approx(np.log(0.3)), "no target: it stays"


def test_the_values_may_hold_any_divergence_if_it_is_paid_from_them() -> None:
    spec = dataclasses.replace(SPEC, reward_limit=2.0)
    assert BRAC(penalty="actor").value_limit(spec) == pytest.approx(200)
    assert BRAC(penalty="reward").value_limit(spec) is None


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="continuous actions"):
        solve(BRAC(**EXACT, divergence="mmd"))
    algorithm = BRAC(hidden=(6, 6), behaviour_hidden=(6, 6))
    state = algorithm.init(SPEC, key_for(0, "init"))
    with pytest.raises(ConfigError, match=r"GaussianPolicy of \[3, 6\].*behaviour_model"):
        algorithm.adopt(state, BC(hidden=(6, 6)).init(SPEC, key_for(0, "init")).actor.net)
    right = BC(hidden=(6, 6), head="tanh_gaussian", dropout=0.1).init(SPEC, key_for(1, "init")).actor.net
    adopted = algorithm.adopt(state, right)
    assert int(adopted.behaviour.updates) == ADOPTED
    assert jax.tree.structure(adopted) == jax.tree.structure(state)
    assert eqx.tree_equal(adopted.behaviour.policy.mlp.layers, right.mlp.layers)
    with pytest.raises(ConfigError, match=r"Those that do: .*brac"):
        BC().adopt(BC(hidden=()).init(SPEC, key_for(0, "init")), right)


def test_a_policy_over_choices_needs_no_randomness() -> None:
    """Expectations over choices are exact sums: another key changes nothing."""
    algorithm = BRAC(**EXACT, behaviour_steps=0, warm_up=0)
    state = solve(algorithm, steps=1, rates=(1e-3,))
    one, two = (algorithm.update(state, exact_batch(), key_for(seed, "update"))[1] for seed in (0, 1))
    assert all(float(one[name]) == float(two[name]) for name in one)

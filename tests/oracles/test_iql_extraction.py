"""What IQL makes of its values: its three extractions, and which networks each loss reads."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.bandit import Quadratic
from making.canonical import LOGGED, exact_batch, read_oracle, solve
from making.parity import gradient_of
from making.probe import Probe
from scipy import optimize

from suture.algorithms.awac import AWAC
from suture.algorithms.base import Batch, Spec, Trainable
from suture.algorithms.bc import BC
from suture.algorithms.iql import IQL
from suture.envs.tabular import canonical, canonical_behaviour, evaluate
from suture.keys import key_for
from suture.nets.optimiser import adam
from suture.spaces import Box, Discrete

TABLES: dict[str, Any] = {
    "hidden": (), "actor_schedule": "constant", "target_rate": 0.05, "extraction": "greedy",
}  # fmt: skip


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    return read_oracle()


@functools.cache
def greedy(expectile: float) -> tuple[IQL, Any]:
    algorithm = IQL(**TABLES, discount=0.9, expectile=expectile, threshold=0.03)
    return algorithm, solve(algorithm)


@pytest.mark.parametrize(("expectile", "chosen", "worth"), [
    (0.5, None, 4.5), (0.9, [2, 0, 0, 2], 4.5), (0.99, [1, 0, 0, 2], 5.84339),
])  # fmt: skip
def test_greedy_takes_the_best_choice_that_was_taken(
    oracle: dict[str, Any], expectile: float, chosen: Any, worth: float
) -> None:
    """In state 1 the behaviour never takes action 2, whatever its value says. At 0.5 one step better."""
    if chosen is None:
        chosen = np.array(oracle["one_step_greedy"]["pi"]).argmax(1).tolist()
    algorithm, state = greedy(expectile)
    found = np.asarray(algorithm.policy(state)(jnp.arange(4)).mode())
    assert found.tolist() == chosen
    assert evaluate(canonical(), np.eye(3)[found])[2] == pytest.approx(worth, abs=1e-4)


@pytest.mark.parametrize("threshold", [0.03, 0.08, 0.19, 0.42, 0.95])
def test_the_threshold_is_of_the_behaviours_probability(oracle: dict[str, Any], threshold: float) -> None:
    """A choice taken less often is passed over; the likeliest remains, however rare."""
    _, state = greedy(0.9)
    behaviour = canonical_behaviour()
    allowed = (behaviour >= threshold) | (behaviour == behaviour.max(1, keepdims=True))
    exact = np.where(allowed, np.array(oracle["iql_tau0.9"]["Q"]), -np.inf).argmax(1)
    if threshold > 0.4:  # state 3 has two likeliest choices, which the clone knows to a rounding only
        exact = exact[:3]
    policy = IQL(**TABLES, threshold=threshold).policy(state)
    assert np.asarray(policy(jnp.arange(4)).mode())[: len(exact)].tolist() == exact.tolist()


def test_greedy_clones_the_behaviour_unweighted() -> None:
    _, state = greedy(0.9)
    cloned = jax.nn.softmax(state.actor.net(jnp.arange(4)).logits)
    np.testing.assert_allclose(np.asarray(cloned)[LOGGED], canonical_behaviour()[LOGGED], atol=1e-3)


def test_greedy_reads_the_critics_not_their_slow_copy() -> None:
    algorithm, state = greedy(0.9)
    other = eqx.tree_at(
        lambda s: s.target_critic.mlp, state, jax.tree.map(jnp.negative, state.target_critic.mlp)
    )
    np.testing.assert_array_equal(
        algorithm.policy(other)(jnp.arange(4)).values, algorithm.policy(state)(jnp.arange(4)).values
    )


LINE = Spec(observation=Box((1,)), action=Box((1,), low=(-1.0,), high=(1.0,)))
MEAN, BEST = -0.2, 0.5


def parabola_batch() -> Batch:
    """Actions around -0.2, in one state; every row is a true end."""
    half = np.random.default_rng(0).uniform(0, 0.5, (32, 1))
    action = jnp.asarray(MEAN + np.concatenate([half, -half]), jnp.float32)
    seen = jnp.ones((64, 1))
    return Batch(observation=seen, action=action, next_observation=seen, discount=jnp.zeros(64),
                 reward=2 - 3 * jnp.square(action[:, 0] - BEST))  # fmt: skip


@pytest.mark.parametrize(
    ("head", "bc_weight"), [("deterministic", 0.5), ("deterministic", 5.0), ("gaussian", 0.5)]
)
def test_ascent_with_cloning_rests_where_both_pull_alike(head: Any, bc_weight: float) -> None:
    """On Q = 2 - 3 (a - 0.5)^2: `-Q'(m) / |Q(m)| = bc_weight (-0.2 - m)`, for a clone by least squares.

    A gaussian clones with standard deviation 1, which is the same; its own does not move.
    """
    critic = Quadratic(jnp.array([2.0, 2.0]), jnp.array([3.0, 3.0]), jnp.full((2, 1), BEST))

    def prepare(state: Any) -> Any:
        parts = [Trainable.of(critic, adam(1e-3)), critic]
        return eqx.tree_at(lambda s: [s.critic, s.target_critic], state, parts)

    algorithm = IQL(
        hidden=(), extraction="ddpg_bc", head=head, bc_weight=bc_weight, actor_schedule="constant"
    )
    assert IQL().head == "gaussian"
    state = solve(algorithm, batch=parabola_batch(), spec=LINE, prepare=prepare, steps=3_000)
    found = float(algorithm.policy(state)(jnp.ones((1, 1))).mode()[0, 0])

    def force(m: float) -> float:
        value, slope = 2 - 3 * (m - BEST) ** 2, -6 * (m - BEST)
        return slope / abs(value) + bc_weight * (MEAN - m)

    assert found == pytest.approx(optimize.brentq(force, MEAN, BEST + 1e-9), abs=1e-3)
    assert head == "deterministic" or float(state.actor.net.log_std[0]) == 0.0


@pytest.mark.parametrize("kind", [IQL, BC, AWAC])
def test_dropout_is_in_the_update_of_the_actor_and_not_in_its_acts(kind: Any) -> None:
    """Masks are drawn by the update's key; the values see none, and the policy acts with all units."""
    batch = parabola_batch()
    dropping, whole = (Probe(kind(hidden=(8,), dropout=rate), LINE, batch) for rate in (0.5, 0.0))
    assert dropping.metrics["actor/loss"] != whole.metrics["actor/loss"]
    for loss in {"value/loss", "critic/loss"} & whole.metrics.keys():
        assert dropping.metrics[loss] == whole.metrics[loss]
    states = [one.after()[0] for one in (dropping, whole)]
    gradients = [gradient_of(state.actor).mlp.layers[0].weight for state in states]
    assert not np.array_equal(*gradients)
    assert np.array_equal(states[0].actor.net.mlp.layers[0].weight, states[1].actor.net.mlp.layers[0].weight)
    actions = [
        one.algorithm.policy(one.state)(batch.observation).sample(key_for(0, "act"))
        for one in (dropping, whole)
    ]
    np.testing.assert_array_equal(*actions)


@pytest.mark.parametrize(("extraction", "action", "idle"), [
    ("awr", Discrete(3), {"bc_weight": 7.0, "threshold": 0.5}),
    ("ddpg_bc", LINE.action, {"inverse_temperature": 9.0, "max_weight": 2.0, "threshold": 0.5}),
    ("greedy", Discrete(3), {"bc_weight": 7.0, "inverse_temperature": 9.0, "max_weight": 2.0}),
])  # fmt: skip
def test_an_extraction_does_not_read_the_fields_of_the_others(
    extraction: Any, action: Any, idle: Any
) -> None:
    discrete = isinstance(action, Discrete)
    spec = Spec(observation=Discrete(4), action=action) if discrete else LINE
    algorithm = IQL(hidden=(), extraction=extraction)
    state = jax.jit(lambda key: algorithm.init(spec, key))(key_for(0, "init"))
    batch = exact_batch() if discrete else parabola_batch()

    @jax.jit
    def after(fields: Any) -> Any:
        return dataclasses.replace(algorithm, **fields).update(state, batch, key_for(0, "update"))

    usual = {name: getattr(algorithm, name) for name in idle}
    same = jax.tree.map(lambda one, two: bool(jnp.array_equal(one, two)), after(usual), after(idle))
    assert all(jax.tree.leaves(same))


def changed(before: dict[str, float], after: dict[str, float]) -> set[str]:
    """Which losses differ."""
    return {name for name in before if name.endswith("/loss") and before[name] != after[name]}


def moved(state: Any, place: Any) -> Any:
    """A state with one network changed."""
    return eqx.tree_at(place, state, jax.tree.map(lambda leaf: leaf + 0.1, place(state)))


@pytest.mark.parametrize(("network", "read_by"), [
    ("target_critic", {"value/loss", "actor/loss"}),
    ("critic", {"critic/loss"}),
    ("value", {"value/loss", "actor/loss", "critic/loss"}),
    ("actor", {"actor/loss"}),
])  # fmt: skip
def test_each_loss_reads_its_networks_and_no_others(network: str, read_by: set[str]) -> None:
    """V regresses on the slow critics, Q on V, the policy on both of those."""
    places = {
        "target_critic": lambda s: s.target_critic.mlp, "critic": lambda s: s.critic.net.mlp,
        "value": lambda s: s.value.net.mlp, "actor": lambda s: s.actor.net.mlp,
    }  # fmt: skip
    batch = eqx.tree_at(lambda b: b.discount, parabola_batch(), jnp.ones(64))
    one = Probe(IQL(hidden=(8,)), LINE, batch)
    _, metrics = one.after(moved(one.state, places[network]))
    assert changed(one.metrics, metrics) == read_by


def test_ascent_is_on_the_slow_critics_alone() -> None:
    """On what they say of the policy's action; the loss itself, divided by its size, may stay at -1."""
    one = Probe(IQL(hidden=(8,), extraction="ddpg_bc"), LINE, parabola_batch())
    for place, read in (
        (lambda s: s.target_critic.mlp, True), (lambda s: s.critic.net.mlp, False),
        (lambda s: s.value.net.mlp, False),
    ):  # fmt: skip
        told = one.after(moved(one.state, place))[1]["actor/value"]
        assert (told != one.metrics["actor/value"]) == read


def test_q_and_the_policy_use_v_as_it_is_after_its_step() -> None:
    """V's step size decides what they regress on, within one update."""
    batch = eqx.tree_at(lambda b: b.discount, parabola_batch(), jnp.ones(64))
    still, moving = (
        Probe(IQL(hidden=(8,)), LINE, batch, moving=names) for names in ((), ("value_learning_rate",))
    )
    assert changed(still.metrics, moving.metrics) == {"actor/loss", "critic/loss"}


def test_a_weight_is_cut_at_exactly_100() -> None:
    """Advantages of 10 at inverse temperature 3 weigh 100 each, not e^30; at 0.1 they weigh e."""
    for temperature, weight in ((3.0, 100.0), (0.1, np.e)):
        one = Probe(IQL(hidden=(), inverse_temperature=temperature), LINE, parabola_batch())
        networks = lambda s: [s.value.net.mlp, s.target_critic.mlp]  # noqa: E731
        zero = jax.tree.map(jnp.zeros_like, networks(one.state))
        tens = eqx.tree_at(lambda mlp: mlp.layers[0].bias, zero[1], zero[1].layers[0].bias + 10)
        _, metrics = one.after(eqx.tree_at(networks, one.state, [zero[0], tens]))
        assert metrics["actor/weight"] == pytest.approx(weight, rel=1e-6)


def test_the_policys_steps_fall_to_nothing_along_a_cosine_over_the_run() -> None:
    """Relative to those of a constant rate: all at first, half in the middle, none at the end of 100."""

    def moves(schedule: Any) -> list[Any]:
        algorithm = IQL(hidden=(), actor_schedule=schedule, actor_learning_rate=1e-3)
        rates = ("actor_learning_rate",)
        one = Probe(algorithm, dataclasses.replace(LINE, steps=100), parabola_batch(), moving=rates)
        weight = lambda s: s.actor.net.mlp.layers[0].weight  # noqa: E731
        counted = [
            eqx.tree_at(lambda s: s.actor.optimiser.count, one.state, jnp.int32(n)) for n in (0, 50, 100)
        ]
        return [np.asarray(weight(one.after(state)[0]) - weight(state)) for state in counted]

    for fallen, constant, share in zip(moves("cosine"), moves("constant"), (1.0, 0.5, 0.0), strict=True):
        assert np.abs(constant).min() > 0
        np.testing.assert_allclose(fallen, share * constant, rtol=1e-2, atol=1e-7)

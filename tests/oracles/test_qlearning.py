"""DQN and QT-Opt: exact fixed points by the real update, and their losses and gradients in plain NumPy."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.bandit import Quadratic
from making.canonical import exact_batch, read_oracle, solve
from making.parity import STILL, Plain, agree, agree_with_differences
from making.sets import dataset_of

from suture.algorithms.base import Batch, Spec, Trainable
from suture.algorithms.qlearning import DQN
from suture.algorithms.qt_opt import QTOpt
from suture.envs.tabular import canonical, evaluate
from suture.errors import ConfigError, RefusedInput
from suture.keys import key_for
from suture.nets.critics import DiscreteCritic, SigmoidCritic
from suture.nets.encoder import OneHot
from suture.nets.optimiser import adam
from suture.nets.search import value_of
from suture.spaces import Box, Discrete

BOX = Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2)
TABLES: dict[str, Any] = {"hidden": (), "discount": 0.9, "target_rate": 0.05}


class Bare(eqx.Module):
    """A table without the bias that all its rows share: what is never trained stays what it is."""

    weight: Any

    @property
    def layers(self) -> Any:
        return (self,)

    def __call__(self, x: Any) -> Any:
        return x @ self.weight


def with_unseen(value: float) -> Any:
    """Puts a table into a state, with this value of the pair that is never logged."""
    weight = np.zeros((1, 4, 3), np.float32)
    weight[0, 1, 2] = value
    critic = DiscreteCritic(OneHot(4), Bare(jnp.asarray(weight)))  # type: ignore[arg-type]

    def prepare(state: Any) -> Any:
        return eqx.tree_at(
            lambda s: [s.critic, s.targets], state, [Trainable.of(critic, adam(1e-3)), (critic,)]
        )

    return prepare


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    return read_oracle()


def test_where_the_unseen_is_known_to_be_bad_it_finds_the_in_support_optimum(oracle: dict[str, Any]) -> None:
    state = solve(DQN(**TABLES), prepare=with_unseen(-1e3))
    q = np.asarray(state.critic.net.values(jnp.arange(4))[0])
    exact = np.array(oracle["in_support_optimal"]["Q"])
    exact[1, 2] = -1e3
    np.testing.assert_allclose(q, exact, atol=1e-3)
    chosen = DQN(**TABLES).policy(state)(jnp.arange(4)).mode()
    assert chosen.tolist() == [1, 0, 0, 2]


def test_where_all_is_tried_it_finds_the_optimum(oracle: dict[str, Any]) -> None:
    state = solve(DQN(**TABLES), batch=exact_batch(np.full((4, 3), 1 / 3), 30))
    exact = oracle["optimal"]
    q = np.asarray(state.critic.net.values(jnp.arange(4))[0])
    np.testing.assert_allclose(q, exact["Q"], atol=1e-3)
    assert evaluate(canonical(), np.eye(3)[q.argmax(1)])[2] == pytest.approx(exact["J"], abs=1e-5)


@pytest.mark.parametrize(("unseen", "claimed", "true"), [(10.0, 9.0, -1.6517), (50.0, 45.0, -3.7086)])
def test_what_was_never_tried_is_believed(unseen: float, claimed: float, true: float) -> None:
    """An unlogged action's value is never corrected: its reward is -2, and the claim is far from it."""
    algorithm = DQN(**TABLES, double=False, loss="squared")
    state = solve(algorithm, prepare=with_unseen(unseen))
    greedy = np.asarray(algorithm.policy(state)(jnp.arange(4)).mode())
    assert greedy[1] == 2
    assert float(state.critic.net.values(jnp.array([0])).max()) == pytest.approx(claimed, abs=2e-3)
    reward = canonical().reward.copy()
    reward[1, 2] = -2.0
    real = evaluate(dataclasses.replace(canonical(), reward=reward), np.eye(3)[greedy])[2]
    assert real == pytest.approx(true, abs=1e-4)


def bandit(rewards: list[float], discount: float = 0.0) -> Batch:
    """One state, one choice, these rewards."""
    zeros = jnp.zeros(len(rewards), jnp.int32)
    return Batch(observation=zeros, action=zeros, reward=jnp.array(rewards), next_observation=zeros,
                 discount=jnp.full(len(rewards), discount))  # fmt: skip


ONE = Spec(observation=Discrete(1), action=Discrete(1))


@pytest.mark.parametrize(("loss", "exact"), [("squared", 1.0), ("huber", 1 / 9)])
def test_the_loss_decides_what_a_rare_reward_counts(loss: Any, exact: float) -> None:
    state = solve(DQN(**TABLES, loss=loss), batch=bandit([0.0] * 9 + [10.0]), spec=ONE, steps=2_000)
    assert float(state.critic.net.values(jnp.array([0]))[0, 0, 0]) == pytest.approx(exact, abs=1e-3)


def test_cross_entropy_learns_the_probability_of_success() -> None:
    algorithm = DQN(**TABLES, loss="cross_entropy")
    state = solve(algorithm, batch=bandit([1.0] * 3 + [0.0] * 7), spec=ONE, steps=2_000)
    q = algorithm.critic(state)(jnp.array([0]), jnp.array([0]))
    assert float(q[0, 0]) == pytest.approx(0.3, abs=1e-3)
    assert isinstance(algorithm.critic(state), SigmoidCritic)


def test_probabilities_are_what_the_greedy_policy_spreads_too() -> None:
    """Logits (9, 1) and (2, 2): less half a deviation 3 and 2, but probabilities 0.80 and 0.88."""
    algorithm = DQN(**TABLES | {"critics": 2}, loss="cross_entropy", spread=0.5)
    state = begin(algorithm, dataclasses.replace(ONE, action=Discrete(2)))
    net = state.critic.net.mlp.layers[-1]
    logits = jnp.array([[9.0, 2.0], [1.0, 2.0]]).reshape(net.bias.shape)
    where = lambda s: [s.critic.net.mlp.layers[-1].weight, s.critic.net.mlp.layers[-1].bias]  # noqa: E731
    state = eqx.tree_at(where, state, [0 * net.weight, logits])
    assert int(algorithm.policy(state)(jnp.array([0])).mode()[0]) == 1


def test_targets_of_probabilities_stay_probabilities() -> None:
    """A loop that pays 1 at every step would be worth 10: the target is cut at 1, and at 0 below."""
    algorithm = DQN(**TABLES, loss="cross_entropy")
    state = begin(algorithm, ONE)
    for reward, edge in ((1.0, 1.0), (-1.0, 0.0)):
        _, metrics = algorithm.update(state, bandit([reward], discount=1.0), key_for(0, "update"))
        assert float(metrics["value/max_abs"]) == edge


def test_cross_entropy_refuses_rewards_that_are_no_probabilities() -> None:
    with pytest.raises(ConfigError, match="--reward-scale"):
        DQN(loss="cross_entropy").init(dataclasses.replace(ONE, reward_limit=2.0), key_for(0, "init"))


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"elites <= samples.* samples=4, elites=6"):
        QTOpt(samples=4)
    with pytest.raises(ConfigError, match="no choices in chunks"):
        QTOpt(choices=2, chunk=2)


def begin(algorithm: Any, spec: Spec) -> Any:
    """The first state, in one compilation."""
    return jax.jit(lambda key: algorithm.init(spec, key))(key_for(0, "init"))


def batch_for(action: Any, rows: int = 32) -> Batch:
    """Random transitions; discounts as after several steps, and true ends."""
    generator = np.random.default_rng(0)
    columns = generator.normal(size=(2, rows, 3)), generator.uniform(0, 1, rows)
    return Batch(
        observation=jnp.asarray(columns[0][0], jnp.float32), action=action(generator, rows),
        next_observation=jnp.asarray(columns[0][1], jnp.float32),
        reward=jnp.asarray(columns[1], jnp.float32),
        discount=jnp.asarray(generator.choice([0.0, 0.81, 1.0], rows), jnp.float32),
    )  # fmt: skip


def different_nets(state: Any, seeds: tuple[int, ...]) -> Any:
    """A state whose targets are not its critics, nor each other."""

    def other(net: Any, seed: int) -> Any:
        leaves, tree = jax.tree.flatten(net)
        keys = jax.random.split(key_for(seed, "init"), len(leaves))
        moved = [leaf + 0.3 * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)]
        return jax.tree.unflatten(tree, moved)

    targets = tuple(other(net, seed) for net, seed in zip(state.targets, seeds, strict=False))
    return eqx.tree_at(lambda s: s.targets, state, targets)


def plain_loss(name: str, q: Any, target: Any) -> float:
    """Of predictions (members, batch), summed over the members."""
    error = np.abs(target - q)
    each = {
        "squared": lambda: error**2,
        "huber": lambda: np.where(error <= 1, 0.5 * error**2, error - 0.5),
        "cross_entropy": lambda: np.logaddexp(0, q) - np.clip(target, 0, 1) * q,
    }[name]()
    return float(each.mean(1).sum())


def plain_pessimism(q: Any, spread: float | None) -> Any:
    return q.min(0) if spread is None else q.mean(0) - spread * q.std(0)


SETTINGS: list[dict[str, Any]] = [
    {}, {"double": False, "loss": "squared"}, {"targets": "two_lagged"}, {"spread": 0.7},
    {"loss": "cross_entropy", "targets": "two_lagged"},
]  # fmt: skip


@pytest.mark.parametrize("fields", SETTINGS, ids=str)
def test_dqn_is_its_formula(fields: dict[str, Any]) -> None:
    algorithm = DQN(hidden=(8,), critics=2, critic_learning_rate=STILL, **fields)
    spec = Spec(observation=Box((3,)), action=Discrete(4))
    state = different_nets(begin(algorithm, spec), (1, 2))
    batch = batch_for(lambda generator, rows: jnp.asarray(generator.integers(4, size=rows)))
    after, metrics = jax.jit(algorithm.update)(state, batch, key_for(0, "update"))

    link = (lambda x: 1 / (1 + np.exp(-x))) if algorithm.loss == "cross_entropy" else (lambda x: x)
    online, *slow = (Plain(net.mlp) for net in (state.critic.net, *state.targets))
    seen, following, rows = np.asarray(batch.observation), np.asarray(batch.next_observation), np.arange(32)
    chooser = online if algorithm.double else slow[0]
    best = plain_pessimism(link(chooser(following)), algorithm.spread).argmax(1)
    values = [plain_pessimism(link(net(following))[:, rows, best], algorithm.spread) for net in slow]
    target = np.asarray(batch.reward) + 0.99 * np.asarray(batch.discount) * np.min(values, 0)

    def loss() -> float:
        return plain_loss(algorithm.loss, online(seen)[:, rows, np.asarray(batch.action)], target)

    agree(metrics["critic/loss"], loss(), "loss")
    agree_with_differences(after.critic, online, loss)


@pytest.mark.parametrize(
    "fields", [{}, {"targets": "one", "loss": "cross_entropy"}, {"double": True}], ids=str
)
def test_qt_opt_is_its_formula(fields: dict[str, Any]) -> None:
    """But for the search, whose action is taken as found."""
    algorithm = QTOpt(hidden=(8,), critics=2, critic_learning_rate=STILL, **fields)
    state = begin(algorithm, Spec(observation=Box((3,)), action=BOX))
    state = different_nets(state, (1, 2))
    batch = batch_for(lambda generator, rows: jnp.asarray(generator.uniform(-1, 1, (rows, 2)), jnp.float32))
    after, metrics = jax.jit(algorithm.update)(state, batch, key_for(0, "update"))

    chooser = algorithm.answers(state.critic.net if algorithm.double else state.targets[0])
    maximise = algorithm.maximiser(chooser)
    best = maximise(value_of(chooser, None), batch.next_observation, key_for(0, "update"))
    online, *slow = (Plain(net.mlp) for net in (state.critic.net, *state.targets))
    link = (lambda x: 1 / (1 + np.exp(-x))) if algorithm.loss == "cross_entropy" else (lambda x: x)

    def q(net: Plain, observation: Any, action: Any) -> Any:
        return net(np.concatenate([observation, np.asarray(action)], 1))[..., 0]

    values = [link(q(net, np.asarray(batch.next_observation), best)).min(0) for net in slow]
    target = np.asarray(batch.reward) + 0.9 * np.asarray(batch.discount) * np.min(values, 0)

    def loss() -> float:
        return plain_loss(algorithm.loss, q(online, np.asarray(batch.observation), batch.action), target)

    agree(metrics["critic/loss"], loss(), "loss")
    agree_with_differences(after.critic, online, loss)


def test_the_average_follows_and_the_old_copy_is_renewed_every_lag_updates() -> None:
    algorithm = QTOpt(hidden=(4,), lag=3, target_rate=0.5, critic_learning_rate=0.1, samples=8)
    state = begin(algorithm, Spec(observation=Box((3,)), action=BOX))
    batch = batch_for(lambda generator, rows: jnp.asarray(generator.uniform(-1, 1, (rows, 2)), jnp.float32))
    update, copies, averages = jax.jit(algorithm.update), list[Any](), list[Any]()
    for step in range(7):
        before = np.asarray(state.targets[0].mlp.layers[0].weight)
        state, _ = update(state, batch, key_for(0, "update", step))
        average, copy = (np.asarray(net.mlp.layers[0].weight) for net in state.targets)
        np.testing.assert_allclose(average, (before + state.critic.net.mlp.layers[0].weight) / 2, atol=1e-6)
        averages.append(average)
        copies.append(copy)
    for step in range(2, 7):  # steps count from 0: after three updates comes the first copy
        np.testing.assert_array_equal(copies[step], averages[2 if step < 5 else 5])
    assert not np.array_equal(copies[1], averages[1])


@pytest.mark.parametrize(("best", "found"), [(0.5, 0.5), (-0.3, -0.3), (1.4, 1.0)])
def test_qt_opt_acts_at_the_top_of_its_averaged_critic(best: float, found: float) -> None:
    algorithm = QTOpt()
    line = Box((1,), low=(-1.0,), high=(1.0,))
    state = begin(algorithm, Spec(observation=Box((3,)), action=line))
    critic = Quadratic(jnp.ones(1), jnp.ones(1), jnp.full((1, 1), best))
    state = eqx.tree_at(lambda s: s.targets, state, (critic, state.targets[1]))
    action = algorithm.policy(state)(jnp.zeros((5, 3))).mode()
    np.testing.assert_allclose(action, found, atol=1e-2)
    assert float(jnp.abs(action).max()) <= 1.0


def test_a_search_that_acts_may_be_larger_than_one_that_trains() -> None:
    small, line = QTOpt(samples=2, elites=1, iterations=1), Box((1,), low=(-1.0,), high=(1.0,))
    state = begin(small, Spec(observation=Box((3,)), action=line))
    critic = Quadratic(jnp.ones(1), jnp.ones(1), jnp.full((1, 1), 0.37))
    state = eqx.tree_at(lambda s: s.targets, state, (critic, state.targets[1]))
    large = dataclasses.replace(small, act_samples=64, act_iterations=6)
    found = [float(one.policy(state)(jnp.zeros((1, 3))).mode()[0, 0]) for one in (small, large)]
    assert abs(found[0] - 0.37) > 0.05
    assert found[1] == pytest.approx(0.37, abs=5e-3)
    acting, training = large.policy(state).maximise, large.maximiser(critic)
    assert (acting.samples, acting.elites, acting.iterations) == (64, 32, 6)
    assert (training.samples, training.elites, training.iterations) == (2, 1, 1)


def test_qt_opt_searches_a_choice_as_such() -> None:
    """One number and a choice of three: its critic likes 0.4, and the second of them."""
    algorithm = QTOpt(hidden=(), choices=3, iterations=4)
    box = Box((4,), low=(-1.0,) * 4, high=(1.0,) * 4)
    state = begin(algorithm, Spec(observation=Box((3,)), action=box))
    weight = np.zeros((1, 7, 1), np.float32)
    weight[0, 3:, 0] = [0.1, 0.0, 1.0, 0.5]
    state = eqx.tree_at(lambda s: s.targets[0].mlp.layers[0].weight, state, jnp.asarray(weight))
    action = np.asarray(algorithm.policy(state)(jnp.zeros((2, 3))).mode())
    np.testing.assert_array_equal(action, [[1.0, -1, 1, -1]] * 2)


def test_qt_opt_refuses_a_log_whose_choices_are_none() -> None:
    rows = np.array([[0.3, 1, 0], [-0.2, 0, 1], [0.0, 1, 0]], np.float32)
    space = Box((3,), low=(-1.0, 0.0, 0.0), high=(1.0, 1.0, 1.0))
    data = dataclasses.replace(dataset_of((3,)), action=rows, action_space=space)
    QTOpt(choices=2).require(data)
    rows[1] = [-0.2, 1, 1]
    with pytest.raises(RefusedInput, match=r"1 of 3 rows it is not so, first in row 1: \[1.0, 1.0\]"):
        QTOpt(choices=2).require(data)
    rows[1] = [-0.2, 1, 0.5]
    with pytest.raises(RefusedInput, match="1 of 3 rows"):
        QTOpt(choices=2).require(data)
    rows[1] = [-0.2, 0, 0]
    with pytest.raises(RefusedInput, match="1 of 3 rows"):
        QTOpt(choices=2).require(data)
    QTOpt(choices=2, no_choice=True).require(data)
    rows[1] = [-0.2, 1, 1]
    with pytest.raises(RefusedInput, match="at most one is high and the others are low; in 1 of 3"):
        QTOpt(choices=2, no_choice=True).require(data)
    with pytest.raises(RefusedInput, match="at least 4 numbers"):
        QTOpt(choices=4).require(data)


def test_the_critics_step_size_falls_along_a_cosine() -> None:
    """The second of four steps is cos^2(pi / 8) of that with a constant rate, and a fifth would be none."""
    batch = bandit([1.0])

    def moves(schedule: Any) -> list[float]:
        algorithm = DQN(**TABLES, loss="squared", critic_schedule=schedule)
        state = algorithm.init(dataclasses.replace(ONE, steps=4), key_for(0, "init"))
        told = [0.0]
        for step in range(5):
            state, _ = algorithm.update(state, batch, key_for(step, "step"))
            told.append(float(state.critic.net.values(jnp.array([0]))[0, 0, 0]))
        return np.diff(told[1:]).tolist()

    falling, constant = moves("cosine"), moves("constant")
    assert falling[0] == pytest.approx(constant[0] * np.cos(np.pi / 8) ** 2, rel=1e-3)
    assert falling[-1] == pytest.approx(0.0, abs=1e-9)
    assert constant[-1] > 1e-5

"""FQL and IFQL: losses and gradients in plain NumPy, what each gradient reaches, and known limits."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.parity import STILL, Plain, agree, agree_with_differences

from suture.algorithms.base import Batch, Spec
from suture.algorithms.fql import FQL
from suture.algorithms.ifql import IFQL
from suture.keys import key_for
from suture.spaces import Array, Box

SPEC = Spec(observation=Box((3,)), action=Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2))
ROWS, KEY = 24, key_for(0, "update")


def batch() -> Batch:
    generator = np.random.default_rng(0)
    return Batch(
        observation=jnp.asarray(generator.normal(size=(ROWS, 3)), jnp.float32),
        next_observation=jnp.asarray(generator.normal(size=(ROWS, 3)), jnp.float32),
        action=jnp.asarray(generator.uniform(-1, 1, (ROWS, 2)), jnp.float32),
        reward=jnp.asarray(generator.normal(size=ROWS), jnp.float32),
        discount=jnp.asarray(generator.choice([0.0, 1.0], ROWS), jnp.float32),
    )  # fmt: skip


def begin(algorithm: Any) -> Any:
    """A state whose slow critics are not its critics."""
    state = jax.jit(lambda key: algorithm.init(SPEC, key))(key_for(0, "init"))
    moved = jax.tree.map(lambda leaf: 0.8 * leaf + 0.05, state.target_critic)
    return eqx.tree_at(lambda s: s.target_critic, state, moved)


def beside(*parts: Any) -> Array:
    return np.concatenate([np.asarray(part, np.float64) for part in parts], axis=-1)


def flow_end(flow: Plain, seen: Any, noise: Any, steps: int) -> Array:
    x = np.asarray(noise, np.float64)
    for step in range(steps):
        x = x + flow(beside(seen, x, np.full((len(x), 1), step / steps))) / steps
    return x


def check_flow(state: Any, after: Any, loss: Any, key: Any) -> None:
    """Conditional flow matching on straight paths, with the draws of the update's key."""
    flow, data = Plain(state.flow.net.mlp), batch()
    key_noise, key_time = jax.random.split(key)
    noise = np.asarray(jax.random.normal(key_noise, (ROWS, 2)), np.float64)
    time = np.asarray(jax.random.uniform(key_time, (ROWS, 1)), np.float64)
    action = np.asarray(data.action, np.float64)

    def plain() -> float:
        x = (1 - time) * noise + time * action
        return float(np.square(flow(beside(data.observation, x, time)) - (action - noise)).mean())

    agree(loss, plain(), "flow loss")
    agree_with_differences(after.flow, flow, plain)


@pytest.mark.parametrize(("normalise", "spread"), [(True, 0.0), (False, None)])
def test_fql_is_its_formulas(normalise: bool, spread: float | None) -> None:
    algorithm = FQL(hidden=(6,), flow_steps=3, bc_weight=2.5, normalise_q=normalise, spread=spread,
                    critic_learning_rate=STILL, actor_learning_rate=STILL)  # fmt: skip
    state, data = begin(algorithm), batch()
    far = lambda s: s.actor.net.mlp.layers[-1].weight  # noqa: E731
    state = eqx.tree_at(far, state, 30 * far(state))
    after, metrics = jax.jit(algorithm.update)(state, data, KEY)
    key_next, key_flow, key_actor = jax.random.split(KEY, 3)
    q, slow, jump = (Plain(net.mlp) for net in (state.critic.net, state.target_critic, state.actor.net))
    noise = np.asarray(jax.random.normal(key_next, (ROWS, 2)))
    following = np.clip(jump(beside(data.next_observation, noise)), -1, 1)
    values = slow(beside(data.next_observation, following))[..., 0]
    value = values.min(0) if spread is None else values.mean(0)
    target = np.asarray(data.reward) + 0.99 * np.asarray(data.discount) * value

    def critic_loss() -> float:
        return float(np.square(q(beside(data.observation, data.action))[..., 0] - target).mean(1).sum())

    agree(metrics["critic/loss"], critic_loss(), "critic loss")
    agree_with_differences(after.critic, q, critic_loss)

    noise = np.asarray(jax.random.normal(key_actor, (ROWS, 2)))
    wanted = np.clip(flow_end(Plain(state.flow.net.mlp), data.observation, noise, 3), -1, 1)

    def value_of(action: Array) -> Array:
        return q(beside(data.observation, np.clip(action, -1, 1)))[..., 0].mean(0)

    size = np.abs(value_of(jump(beside(data.observation, noise)))).mean() + 1e-6 if normalise else 1.0

    assert 0.05 < (np.abs(jump(beside(data.observation, noise))) > 1).mean() < 0.95, "some must leave [-1, 1]"

    def actor_loss() -> float:
        action = jump(beside(data.observation, noise))
        return float(2.5 * np.square(action - wanted).mean() - value_of(action).mean() / size)

    agree(metrics["actor/loss"], actor_loss(), "actor loss")
    agree_with_differences(after.actor, jump, actor_loss)
    check_flow(state, after, metrics["flow/loss"], key_flow)


def test_ifql_clones_with_a_flow_and_values_as_iql_does() -> None:
    algorithm = IFQL(hidden=(6,), flow_steps=3, expectile=0.8, flow_learning_rate=STILL,
                     value_learning_rate=STILL, critic_learning_rate=STILL)  # fmt: skip
    state, data = begin(algorithm), batch()
    after, metrics = jax.jit(algorithm.update)(state, data, KEY)
    check_flow(state, after, metrics["flow/loss"], KEY)
    slow, v, q = (Plain(net.mlp) for net in (state.target_critic, state.value.net, state.critic.net))
    wanted = slow(beside(data.observation, data.action))[..., 0].min(0)

    def value_loss() -> float:
        error = wanted - v(np.asarray(data.observation))[..., 0]
        return float((np.where(error > 0, 0.8, 0.2) * np.square(error)).mean())

    agree(metrics["value/loss"], value_loss(), "value loss")
    agree_with_differences(after.value, v, value_loss)
    following = v(np.asarray(data.next_observation, np.float64))[..., 0]
    target = np.asarray(data.reward) + 0.99 * np.asarray(data.discount) * following

    def critic_loss() -> float:
        return float(np.square(q(beside(data.observation, data.action))[..., 0] - target).mean(1).sum())

    agree(metrics["critic/loss"], critic_loss(), "critic loss")
    agree_with_differences(after.critic, q, critic_loss)


def test_the_policys_loss_moves_the_policy_alone() -> None:
    """No gradient of it runs back along the flow, nor into the critics it climbs."""
    algorithm = FQL(hidden=(6,), flow_steps=3)
    state, data = begin(algorithm), batch()

    @jax.jit
    def after(weight: Any) -> Any:
        return dataclasses.replace(algorithm, bc_weight=weight).update(state, data, KEY)[0]

    weak, strong = after(0.1), after(50.0)
    for part in ("critic", "target_critic", "flow"):
        for one, two in zip(
            jax.tree.leaves(getattr(weak, part)), jax.tree.leaves(getattr(strong, part)), strict=True
        ):
            np.testing.assert_array_equal(one, two, err_msg=part)
    assert not np.array_equal(weak.actor.net.mlp.layers[0].weight, strong.actor.net.mlp.layers[0].weight)


def train(algorithm: Any, state: Any, data: Batch, steps: int) -> Any:
    def body(step: Any, state: Any) -> Any:
        return algorithm.update(state, data, key_for(0, "update", step))[0]

    return jax.jit(lambda state: jax.lax.fori_loop(0, steps, body, state))(state)


@pytest.fixture(scope="module")
def two_ways() -> Batch:
    """The first action is -0.8 or 0.8, which pays more; the second is a half of what is seen first."""
    generator = np.random.default_rng(1)
    seen = generator.uniform(-1, 1, (256, 3))
    side = generator.choice([-0.8, 0.8], 256)
    action = np.stack([side + 0.02 * generator.normal(size=256), 0.5 * seen[:, 0]], axis=1)
    return Batch(
        observation=jnp.asarray(seen, jnp.float32), action=jnp.asarray(action, jnp.float32),
        next_observation=jnp.asarray(seen, jnp.float32), discount=jnp.zeros(256),
        reward=jnp.asarray(side > 0, jnp.float32),
    )  # fmt: skip


def test_a_policy_that_only_distils_is_the_flow(two_ways: Batch) -> None:
    """With a weight of 10^4 it makes of noise what the flow makes of it: both ways, and not their mean."""
    algorithm = FQL(hidden=(32, 32), bc_weight=1e4, actor_learning_rate=2e-3, critic_learning_rate=1e-3)
    state = train(algorithm, begin(algorithm), two_ways, 1_500)
    flow, jump = state.flow.net(two_ways.observation), state.actor.net(two_ways.observation)
    noise = flow.noise(key_for(7, "act"))
    wanted, made = (np.asarray(jnp.clip(answer.of(noise), -1, 1)) for answer in (flow, jump))
    assert np.square(wanted - made).mean() < 0.05
    assert (np.abs(made[:, 0]) > 0.5).mean() > 0.75
    assert 0.3 < (made[:, 0] > 0).mean() < 0.7


def test_the_best_of_32_samples_lies_2_07_deviations_up() -> None:
    """Of a flow that shrinks noise to deviation 0.05, and critics that value the first action."""
    algorithm = IFQL(hidden=(), layer_norm=False)
    state = begin(algorithm)
    shrink = 10 * (1 - 0.05**0.1)  # ten steps leave (1 - shrink / 10)^10 = 0.05
    weight = np.zeros((6, 2), np.float32)  # three features, two places, the time
    weight[3, 0] = weight[4, 1] = -shrink
    worth = np.zeros((2, 5, 1), np.float32)
    worth[:, 3] = [[1.0], [1.5]]
    state = eqx.tree_at(
        lambda s: [s.flow.net.mlp.layers[0].weight, s.flow.net.mlp.layers[0].bias,
                   s.critic.net.mlp.layers[0].weight], state,
        [jnp.asarray(weight), jnp.zeros(2), jnp.asarray(worth)],
    )  # fmt: skip
    answer = algorithm.policy(state)(jnp.zeros((1, 3)))
    best = jax.jit(jax.vmap(answer.sample))(jax.random.split(KEY, 4_000))
    assert float(best[:, 0, 0].mean()) / 0.05 == pytest.approx(2.07, abs=0.08)
    assert abs(float(best[:, 0, 1].mean())) / 0.05 < 0.08
    assert float(best[:, 0, 1].std()) / 0.05 == pytest.approx(1.0, abs=0.05)

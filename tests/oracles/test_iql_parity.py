"""Our IQL against the losses and gradients that CORL's own code gives on fixed weights and one batch.

The learning rates are so small that no parameter moves, as in the reference.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from making.parity import STILL, agree, batch_of, gradient_of, layers, read_parity, with_layers

from suture.algorithms.base import Spec
from suture.algorithms.iql import IQL, IQLState
from suture.keys import key_for
from suture.spaces import Box

SETTINGS = ((0.7, 3.0), (0.9, 10.0))


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return read_parity("iql")


def state_of(reference: dict[str, Any], algorithm: IQL) -> IQLState:
    spec = Spec(observation=Box((5,)), action=Box((3,), low=(-1.0,) * 3, high=(1.0,) * 3))
    state = algorithm.init(spec, key_for(0, "init"))
    critics, targets = (
        [layers(reference, f"{name}/q{i}.net") for i in (1, 2)] for name in ("critic", "target_critic")
    )
    return eqx.tree_at(
        lambda s: [
            s.value.net.mlp, s.critic.net.mlp, s.target_critic.mlp, s.actor.net.mlp, s.actor.net.log_std
        ],
        state,
        [
            with_layers(state.value.net.mlp, [layers(reference, "value/v.net")]),
            with_layers(state.critic.net.mlp, critics),
            with_layers(state.target_critic.mlp, targets),
            with_layers(state.actor.net.mlp, [layers(reference, "actor/net.net")]),
            jnp.asarray(reference["actor/log_std"]),
        ],
    )  # fmt: skip


@pytest.mark.parametrize(("expectile", "temperature"), SETTINGS)
def test_losses_and_gradients_are_the_reference_s(
    reference: dict[str, Any], expectile: float, temperature: float
) -> None:
    algorithm = IQL(
        expectile=expectile, inverse_temperature=temperature, hidden=(32, 32), actor_schedule="constant",
        value_learning_rate=STILL, critic_learning_rate=STILL, actor_learning_rate=STILL,
    )  # fmt: skip
    state, batch = state_of(reference, algorithm), batch_of(reference)
    after, metrics = jax.jit(algorithm.update)(state, batch, key_for(0, "update"))
    case = f"expectile{expectile:g}_temperature{temperature:g}"
    agree(metrics["value/loss"], reference[f"{case}/value_loss"], "value loss")
    agree(metrics["critic/loss"] / 2, reference[f"{case}/q_loss"], "q loss: ours is the sum of two critics")
    agree(metrics["actor/loss"], reference[f"{case}/actor_loss"], "actor loss")
    _check_gradients(after, reference, case)


def _check_gradients(after: IQLState, reference: dict[str, Any], case: str) -> None:
    grads = {name.removeprefix(f"{case}/grad/"): value for name, value in reference.items() if case in name}
    value, actor, critic = (gradient_of(part) for part in (after.value, after.actor, after.critic))
    for ours, theirs in (
        (value.mlp, layers(grads, "value/v.net")),
        (actor.mlp, layers(grads, "actor/net.net")),
    ):
        for layer, (weight, bias) in zip(ours.layers, theirs, strict=True):
            agree(layer.weight, weight, "weight")
            agree(layer.bias, bias, "bias")
    agree(actor.log_std, grads["actor/log_std"], "log_std")
    for member in (0, 1):
        theirs = layers(grads, f"critic/q{member + 1}.net")
        for layer, (weight, bias) in zip(critic.mlp.layers, theirs, strict=True):
            # the reference divides the sum over its two critics by two
            agree(layer.weight[member] / 2, weight, "critic weight")
            agree(layer.bias[member, 0] / 2, bias, "critic bias")

"""TD3+BC: the numbers of CORL's code, the fixed points of a bandit, and which network each loss reads."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest
from making.bandit import fixed_point
from making.parity import STILL, agree, batch_of, gradient_of, layers, read_parity, with_layers
from making.probe import QUICK, Probe, on_actor_step

from suture.algorithms.base import Spec
from suture.algorithms.td3_bc import TD3BC
from suture.keys import key_for
from suture.spaces import Box
from suture.testing.contract import example_batch

SPEC = Spec(observation=Box((5,)), action=Box((3,), low=(-1.0,) * 3, high=(1.0,) * 3))


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return read_parity("td3_bc")


def test_losses_and_gradients_are_the_reference_s(reference: dict[str, Any]) -> None:
    algorithm = TD3BC(hidden=(32, 32), noise=0.0, critic_learning_rate=STILL, actor_learning_rate=STILL)
    state = on_actor_step(
        jax.jit(lambda key: algorithm.init(SPEC, key), compiler_options=QUICK)(key_for(0, "init"))
    )
    networks = {
        "actor": state.slow.actor.net.mlp, "target_actor": state.slow.target_actor.mlp,
        "critic": state.critic.net.mlp, "target_critic": state.slow.target_critic.mlp,
    }  # fmt: skip
    state = eqx.tree_at(
        lambda s: [s.slow.actor.net.mlp, s.slow.target_actor.mlp, s.critic.net.mlp, s.slow.target_critic.mlp],
        state,
        [
            with_layers(
                mlp, [layers(reference, f"{name}{i}/net") for i in (("",), ("_1", "_2"))["critic" in name]]
            )
            for name, mlp in networks.items()
        ],
    )
    after, metrics = jax.jit(algorithm.update, compiler_options=QUICK)(
        state, batch_of(reference), key_for(0, "update")
    )
    agree(metrics["critic/loss"], reference["critic_loss"], "critic loss")
    agree(metrics["actor/loss"], reference["actor_loss"], "actor loss")
    actor, critic = gradient_of(after.slow.actor).mlp, gradient_of(after.critic).mlp
    for layer, (weight, bias) in zip(actor.layers, layers(reference, "grad/actor/net"), strict=True):
        agree(layer.weight, weight, "actor weight")
        agree(layer.bias, bias, "actor bias")
    # The reference's first critic also holds what the actor's backward pass left there.
    for layer, (weight, bias) in zip(critic.layers, layers(reference, "grad/critic_2/net"), strict=True):
        agree(layer.weight[1], weight, "critic weight")
        agree(layer.bias[1, 0], bias, "critic bias")


@pytest.mark.parametrize(("alpha", "dimensions", "exact"), [
    (0.5, 1, 0.066715), (2.5, 1, 0.305465), (10.0, 1, 0.436596), (2.5, 6, 0.456711),
])  # fmt: skip
def test_the_policy_rests_where_value_and_cloning_balance(
    alpha: float, dimensions: int, exact: float
) -> None:
    """With the squares summed instead of averaged it would rest at 0.3016 in six dimensions."""
    found = fixed_point(TD3BC(hidden=(), alpha=alpha), dimensions)
    np.testing.assert_allclose(found, exact, atol=1e-3)


def test_the_rewards_scale_does_not_matter() -> None:
    np.testing.assert_allclose(fixed_point(TD3BC(hidden=()), 1, scale=100.0), 0.305465, atol=1e-3)


@pytest.fixture(scope="module")
def probe() -> Probe:
    algorithm = TD3BC(hidden=(8, 8))
    return Probe(algorithm, SPEC, example_batch(SPEC, algorithm.needs), prepare=on_actor_step)


def test_each_loss_reads_its_networks(probe: Probe) -> None:
    assert probe.readers(lambda s: s.slow.target_actor) == {"critic/loss"}
    assert probe.readers(lambda s: s.slow.target_critic) == {"critic/loss"}
    assert probe.readers(lambda s: s.slow.actor.net) == {"actor/loss"}
    assert probe.readers(lambda s: s.critic.net.mlp, member=0) == {"critic/loss", "actor/loss"}
    assert probe.readers(lambda s: s.critic.net.mlp, member=1) == {"critic/loss"}

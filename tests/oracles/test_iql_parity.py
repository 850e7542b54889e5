"""Our IQL against the losses and gradients that CORL's own code gives on fixed weights and one batch.

Gradients are read from the real update: after one step of a fresh Adam, its first moment is 0.1 times the
gradient. The learning rates are so small that no parameter moves, as in the reference.
"""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suture.algorithms.base import Batch, Spec
from suture.algorithms.iql import IQL, IQLState
from suture.keys import key_for
from suture.spaces import Box

SETTINGS = ((0.7, 3.0), (0.9, 10.0))
STILL = 1e-30


@pytest.fixture(scope="module")
def reference(data_folder: Path) -> dict[str, Any]:
    path = data_folder.parent / "spec" / "parity" / "iql.npz"
    if not path.is_file():
        pytest.skip(f"the reference numbers are absent: {path}")
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def layers(values: dict[str, Any], prefix: str) -> list[tuple[Any, Any]]:
    """(weight as (in, out), bias) of the three layers."""
    return [(values[f"{prefix}.{i}.weight"].T, values[f"{prefix}.{i}.bias"]) for i in (0, 2, 4)]


def with_layers(mlp: Any, networks: list[list[tuple[Any, Any]]]) -> Any:
    """An MLP with these weights; several networks become the members of an ensemble."""
    arrays: list[Any] = []
    for each in zip(*networks, strict=True):
        weights, biases = ([pair[i] for pair in each] for i in (0, 1))
        alone = mlp.layers[0].weight.ndim == 2
        arrays += [weights[0], biases[0]] if alone else [np.stack(weights), np.stack(biases)[:, None]]
    places = lambda m: [leaf for layer in m.layers for leaf in (layer.weight, layer.bias)]  # noqa: E731
    return eqx.tree_at(places, mlp, [jnp.asarray(array) for array in arrays])


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


def agree(ours: Any, theirs: Any, what: str) -> None:
    """Equal to 1e-5 of the largest element."""
    scale = max(float(np.abs(theirs).max()), 1e-12)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-5, atol=1e-5 * scale, err_msg=what)


@pytest.mark.parametrize(("expectile", "temperature"), SETTINGS)
def test_losses_and_gradients_are_the_reference_s(
    reference: dict[str, Any], expectile: float, temperature: float
) -> None:
    algorithm = IQL(
        expectile=expectile, inverse_temperature=temperature, hidden=(32, 32), actor_schedule="constant",
        value_learning_rate=STILL, critic_learning_rate=STILL, actor_learning_rate=STILL,
    )  # fmt: skip
    batch = {name.removeprefix("batch/"): jnp.asarray(v) for name, v in reference.items() if "batch/" in name}
    terminal = batch.pop("terminal")
    state = state_of(reference, algorithm)
    after, metrics = jax.jit(algorithm.update)(
        state, Batch(**batch, discount=1.0 - terminal), key_for(0, "update")
    )
    case = f"expectile{expectile:g}_temperature{temperature:g}"
    agree(metrics["value/loss"], reference[f"{case}/value_loss"], "value loss")
    agree(metrics["critic/loss"] / 2, reference[f"{case}/q_loss"], "q loss: ours is the sum of two critics")
    agree(metrics["actor/loss"], reference[f"{case}/actor_loss"], "actor loss")
    _check_gradients(after, reference, case)


def _check_gradients(after: IQLState, reference: dict[str, Any], case: str) -> None:
    grads = {name.removeprefix(f"{case}/grad/"): value for name, value in reference.items() if case in name}
    moments = [part.optimiser.mu for part in (after.value, after.actor, after.critic)]
    value, actor, critic = (jax.tree.map(lambda m: m / 0.1, moment) for moment in moments)
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

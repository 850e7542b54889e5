"""Comparing losses and gradients with references: numbers that other code wrote, and plain NumPy in float64.

Gradients are read from the real update: after one step of a fresh Adam, its first moment is 0.1 times the
gradient. With a learning rate of `STILL` no parameter moves.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from suture.algorithms.base import Batch
from suture.spaces import Array

STILL = 1e-30
DISTANCE = 1e-5


def read_parity(name: str) -> dict[str, Any]:
    """The reference's numbers."""
    with np.load(Path(__file__).parents[1] / "fixtures" / "parity" / f"{name}.npz") as file:
        return {name: file[name] for name in file.files}


def batch_of(reference: dict[str, Any]) -> Batch:
    """The reference's batch."""
    columns = {k.removeprefix("batch/"): jnp.asarray(v) for k, v in reference.items() if "batch/" in k}
    terminal = columns.pop("terminal")
    return Batch(**columns, discount=1.0 - terminal)


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
    return eqx.tree_at(_linear, mlp, [jnp.asarray(array) for array in arrays])


def parameters(mlp: Any) -> list[Any]:
    """Weights and biases of an MLP, layer by layer, then scales and shifts of its layer norms."""
    return _linear(mlp) + [leaf for norm in mlp.norms for leaf in (norm.scale, norm.shift)]


def _linear(mlp: Any) -> list[Any]:
    return [leaf for layer in mlp.layers for leaf in (layer.weight, layer.bias)]


def gradient_of(trained: Any) -> Any:
    """The gradient that a fresh Adam saw in its one step, as a network."""
    return jax.tree.map(lambda moment: moment / 0.1, trained.optimiser.mu)


def agree(ours: Any, theirs: Any, what: str, tolerance: float = 1e-5) -> None:
    """Equal to `tolerance` of the largest element."""
    scale = max(float(np.abs(theirs).max()), 1e-12)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=tolerance, atol=tolerance * scale, err_msg=what)


def gelu(x: Array) -> Array:
    """The usual approximation (Hendrycks & Gimpel 2016)."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": lambda x: np.maximum(x, 0), "gelu": gelu}


class Plain:
    """An MLP of ours in float64 NumPy: activation, then layer norm where it has any; members first."""

    def __init__(self, mlp: Any):
        self.arrays = [np.array(leaf, np.float64) for leaf in parameters(mlp)]
        self.depth, self.activation = len(mlp.layers), ACTIVATIONS[mlp.activation]

    def __call__(self, x: Array) -> Array:
        norms = self.arrays[2 * self.depth :]
        for i in range(self.depth):
            x = x @ self.arrays[2 * i] + self.arrays[2 * i + 1]
            if i < self.depth - 1:
                x = self.activation(x)
                if norms:
                    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
                    x = x * norms[2 * i] + norms[2 * i + 1]
        return x


def central_differences(loss: Callable[[], float], arrays: list[Array]) -> Iterator[Array]:
    """The gradient of a loss with respect to each of some arrays, which it reads when it is called."""
    for array in arrays:
        gradient = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            kept = array[place]
            ends = list[float]()
            for step in (DISTANCE, -DISTANCE):
                array[place] = kept + step
                ends.append(loss())
            array[place] = kept
            gradient[place] = (ends[0] - ends[1]) / (2 * DISTANCE)
        yield gradient


def agree_with_differences(
    trained: Any, plain: Plain, loss: Callable[[], float], tolerance: float = 1e-5
) -> None:
    """The gradient of a trained MLP is that of a plain loss."""
    ours = parameters(gradient_of(trained).mlp)
    exact = list(central_differences(loss, plain.arrays))
    largest = max(float(np.abs(gradient).max()) for gradient in exact)
    assert largest > 0
    for one, other in zip(ours, exact, strict=True):
        np.testing.assert_allclose(np.asarray(one), other, rtol=tolerance, atol=tolerance * largest)

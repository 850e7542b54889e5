"""Multi-layer perceptrons, single or as an ensemble computed by one batched matrix product a layer."""

import itertools
from collections.abc import Callable
from typing import Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from suture.keys import Key

Activation: TypeAlias = Literal["relu", "gelu", "tanh"]
ACTIVATIONS: dict[Activation, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "tanh": jnp.tanh,
}


FEW_OUTPUTS = 32


@jax.custom_vjp
def product(
    x: Float[Array, "*members batch inputs"], weight: Float[Array, "*members inputs outputs"]
) -> Array:
    """`x @ weight`, with the weight's gradient computed as XLA's CPU backend does it fastest.

    That is not `x.T @ gradient` as it stands, but from a transpose of x that is there already; with few
    outputs it is from the other side. Barriers keep the transposes from being folded back into the product.
    """
    return x @ weight


def _product_forward(x: Array, weight: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ weight, (x, weight)


def _product_backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, weight = kept
    apart = jax.lax.optimization_barrier
    if gradient.shape[-1] < FEW_OUTPUTS:
        weight_gradient = apart(apart(gradient.mT) @ x).mT
    else:
        weight_gradient = (apart(x.mT) if jax.default_backend() == "cpu" else x.mT) @ gradient
    return gradient @ weight.mT, weight_gradient


product.defvjp(_product_forward, _product_backward)


class Linear(eqx.Module):
    """`x @ weight + bias`; with an ensemble dimension in front, one product for all members.

    weight: (in, out) or (members, in, out).   bias: (out,) or (members, 1, out).
    """

    weight: Float[Array, "*members inputs outputs"]
    bias: Float[Array, "*members_or_one outputs"]

    def __init__(self, noise: Float[Array, "*members inputs_and_bias outputs"]):
        """From noise in [-1, 1], of which the last row is the bias's: all within 1 / sqrt(inputs)."""
        noise = noise / (noise.shape[-2] - 1) ** 0.5
        self.weight = noise[..., :-1, :]
        self.bias = noise[..., -1:, :] if noise.ndim > 2 else noise[-1]

    def __call__(
        self, x: Float[Array, "*batch inputs"], inputs: slice = slice(None), *, bias: bool = True
    ) -> Float[Array, "*batch outputs"]:
        """inputs: which of the layer's inputs `x` holds; the others count as 0."""
        weight = self.weight[..., inputs, :]
        if weight.ndim == 2:
            y = product(x.reshape(-1, x.shape[-1]), weight).reshape(*x.shape[:-1], -1)
        else:
            y = product(jnp.broadcast_to(x, (len(weight), *x.shape[-2:])), weight)
        return y + self.bias if bias else y


class LayerNorm(eqx.Module):
    """Zero mean and unit variance over the features, then a learned scale and shift (Ba et al. 2016)."""

    scale: Float[Array, "*members_or_one features"]
    shift: Float[Array, "*members_or_one features"]

    def __init__(self, features: int, *, members: int | None = None):
        shape = (features,) if members is None else (members, 1, features)
        self.scale, self.shift = jnp.ones(shape), jnp.zeros(shape)

    def __call__(self, x: Float[Array, "*batch features"]) -> Float[Array, "*batch features"]:
        centred = x - x.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + 1e-5) * self.scale + self.shift


def noise(key: Key, shape: tuple[int, ...]) -> Array:
    """What layers begin from: uniform in [-1, 1].   shape: (..., inputs + 1, outputs) for one layer."""
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)


class MLP(eqx.Module):
    """Hidden layers with an activation (and layer norm, dropout), then a linear output.

    Without hidden layers it is linear: on one-hot input, a table. `members`: ensemble size; the output has
    a leading ensemble dimension. Weights and biases begin uniform within 1 / sqrt(inputs), as PyTorch's do,
    and with them most published results of offline RL. (With the reference IQL's orthogonal weights, gain
    sqrt(2) and no biases, it returns less on the safety half-cheetah: benchmarks/RESULTS.md.)
    """

    layers: tuple[Linear, ...]
    norms: tuple[LayerNorm, ...]
    activation: Activation = eqx.field(static=True)
    dropout: float = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        hidden: tuple[int, ...],
        outputs: int,
        key: Key,
        *,
        members: int | None = None,
        activation: Activation = "relu",
        layer_norm: bool = False,
        dropout: float = 0.0,
    ):
        sizes = (inputs, *hidden, outputs)
        shapes = tuple(itertools.pairwise(sizes))
        ends = list(itertools.accumulate((a + 1) * b for a, b in shapes))
        leading = () if members is None else (members,)
        # One draw for all layers: each draw is a loop that takes the compiler as long as an update does.
        parts = jnp.split(noise(key, (*leading, ends[-1])), ends[:-1], axis=-1)
        self.layers = tuple(
            Linear(part.reshape(*leading, a + 1, b)) for part, (a, b) in zip(parts, shapes, strict=True)
        )
        self.norms = tuple(LayerNorm(size, members=members) for size in hidden) if layer_norm else ()
        self.activation, self.dropout = activation, dropout

    def __call__(
        self, x: Float[Array, "*batch inputs"], key: Key | None = None
    ) -> Float[Array, "*batch outputs"]:
        """`key`: draws the dropout mask; without it nothing is dropped."""
        return self._from_first(self.layers[0](x), key)

    def of_parts(
        self, shared: Float[Array, "*batch some"], each: Float[Array, "*batch others"]
    ) -> Float[Array, "*batch outputs"]:
        """Of two parts of the input side by side, as the sum of the first layer's products with each.

        Where `vmap` runs over `each` alone, the shared product is done once.
        """
        first, size = self.layers[0], shared.shape[-1]
        whole = first(shared, jnp.s_[:size]) + first(each, jnp.s_[size:], bias=False)
        return self._from_first(whole, None)

    def of_two(
        self, shared: Float[Array, "batch some"], each: Float[Array, "samples batch others"]
    ) -> Float[Array, "*members samples batch outputs"]:
        """Of `shared` beside each of `samples` other parts of the input; the shared product is done once.

        Inside, the samples of a row lie side by side: XLA's CPU backend sums over neighbours, as the gradient
        of the shared part must, a hundred times faster than over rows that lie a batch apart. The barrier
        lets the bias, too, take its gradient from those sums.
        """
        first, (samples, batch, _) = self.layers[0], each.shape
        shared_part = jax.lax.optimization_barrier(first(shared, jnp.s_[: shared.shape[-1]]))
        rows = jnp.swapaxes(each, 0, 1).reshape(batch * samples, -1)
        each_part = first(rows, jnp.s_[shared.shape[-1] :], bias=False)
        whole = shared_part[..., None, :] + each_part.reshape(*each_part.shape[:-2], batch, samples, -1)
        flat = self._from_first(whole.reshape(*each_part.shape), None)
        return jnp.swapaxes(flat.reshape(*flat.shape[:-2], batch, samples, -1), -3, -2)

    def _from_first(self, x: Array, key: Key | None) -> Array:
        """From the first layer's product on."""
        for i, layer in enumerate(self.layers[1:]):
            x = ACTIVATIONS[self.activation](x)
            if self.norms:
                x = self.norms[i](x)
            if self.dropout and key is not None:
                kept = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - self.dropout, x.shape)
                x = jnp.where(kept, x / (1 - self.dropout), 0.0)
            x = layer(x)
        return x

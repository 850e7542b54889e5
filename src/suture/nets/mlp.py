"""Multi-layer perceptrons, single or as an ensemble computed by one batched matrix product a layer."""

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


class Linear(eqx.Module):
    """`x @ weight + bias`; with an ensemble dimension in front, one product for all members.

    weight: (in, out) or (members, in, out).   bias: (out,) or (members, 1, out).
    """

    weight: Float[Array, "*members inputs outputs"]
    bias: Float[Array, "*members_or_one outputs"]

    def __init__(
        self, inputs: int, outputs: int, key: Key, *, members: int | None = None, scale: float = 2**0.5
    ):
        initialise = jax.nn.initializers.orthogonal(scale)
        if members is None:
            self.weight = initialise(key, (inputs, outputs), jnp.float32)
            self.bias = jnp.zeros(outputs)
        else:
            each = jax.random.split(key, members)
            self.weight = jax.vmap(lambda k: initialise(k, (inputs, outputs), jnp.float32))(each)
            self.bias = jnp.zeros((members, 1, outputs))

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return x @ self.weight + self.bias


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


class MLP(eqx.Module):
    """Hidden layers with an activation (and layer norm, dropout), then a linear output.

    Without hidden layers it is linear: on one-hot input, a table. `members`: ensemble size; the output has
    a leading ensemble dimension. Weights are orthogonal with gain sqrt(2) (the reference IQL's choice).
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
        keys = jax.random.split(key, len(sizes) - 1)
        self.layers = tuple(
            Linear(size_in, size_out, k, members=members)
            for size_in, size_out, k in zip(sizes[:-1], sizes[1:], keys, strict=True)
        )
        self.norms = tuple(LayerNorm(size, members=members) for size in hidden) if layer_norm else ()
        self.activation, self.dropout = activation, dropout

    def __call__(
        self, x: Float[Array, "*batch inputs"], key: Key | None = None
    ) -> Float[Array, "*batch outputs"]:
        """`key`: draws the dropout mask; without it nothing is dropped."""
        for i, layer in enumerate(self.layers[:-1]):
            x = ACTIVATIONS[self.activation](layer(x))
            if self.norms:
                x = self.norms[i](x)
            if self.dropout and key is not None:
                kept = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - self.dropout, x.shape)
                x = jnp.where(kept, x / (1 - self.dropout), 0.0)
        return self.layers[-1](x)

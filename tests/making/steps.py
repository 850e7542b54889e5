"""One update of an algorithm as a function that tests compare with itself: its gradients, network by network.

Gradients are the first moments of fresh optimisers, whose rates are too small to move anything. Every row
gets the same draws of noise, so that rows can change places and be there twice.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Generator
from typing import Any
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from making import probe
from making.parity import STILL, gradient_of
from suture.algorithms.base import Algorithm, Spec, Trainable
from suture.algorithms.multiplier import Multiplier
from suture.config import fields_of
from suture.keys import key_for
from suture.nets.critics import Critic, Value
from suture.nets.policies import Policy
from suture.nets.vae import Perturbation
from suture.spaces import Array, Box
from suture.testing.contract import ROWS, example_columns

SPEC = Spec(observation=Box((3,)), action=Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2), reward_limit=1.0)
QUICK = probe.QUICK | {"xla_cpu_use_fusion_emitters": False}
"""Compiled in a third of the time."""
NETWORKS = Trainable, Critic, Value, Policy, Perturbation, Multiplier
VALUES = {"critic", "target_critic", "value", "target_value", "targets[0]", "targets[1]"}


class Step:
    """One update of a method, compiled once; the fields that are `named`, and all rates, may change.

    first: a first state whose networks are all different.   columns: random rows, or windows of them.
    """

    def __init__(self, algorithm: Algorithm[Any], named: set[str]):
        self.algorithm = algorithm
        self.rates = {field for field in fields_of(algorithm) if field.endswith("learning_rate")}
        self.fields = {field: getattr(algorithm, field) for field in named | {"discount"}}
        self.fields |= dict.fromkeys(self.rates, STILL)
        # From shapes alone: nothing is compiled for it.
        shapes = jax.eval_shape(lambda key: algorithm.init(SPEC, key), key_for(0, "init"))
        zeros = jax.tree.map(lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype)), shapes)
        self.first = changed(zeros, drawn)
        self.columns = example_columns(SPEC, algorithm.needs, algorithm.window)

        def update(fields: Any, state: Any, columns: Any, key: Any) -> Any:
            one = dataclasses.replace(algorithm, **fields)
            with the_same_draws_in_every_row():
                return one.update(state, one.batch(dict(columns)), key)

        self._update = jax.jit(update, compiler_options=QUICK)

    def after(self, state: Any, columns: Any, seed: int = 0, **fields: Any) -> tuple[Any, dict[str, float]]:
        """State and metrics after the update with these fields; nothing moves unless its rate is given."""
        after, metrics = self._update(self.fields | fields, state, columns, key_for(seed, "update"))
        return after, {name: float(value) for name, value in metrics.items()}

    def gradients(self, state: Any, columns: Any, **fields: Any) -> dict[str, Any]:
        """Of each network with an optimiser, as a network."""
        after = networks(self.after(state, columns, **fields)[0])
        return {name: gradient_of(part) for name, part in after.items() if isinstance(part, Trainable)}


@contextlib.contextmanager
def the_same_draws_in_every_row() -> Generator[None]:
    """Noise with a dimension of rows has one row, repeated."""

    def repeated(draw: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
        def once(key: Any, shape: tuple[int, ...], **given: Any) -> jax.Array:
            row = tuple(1 if size in (ROWS, 2 * ROWS) else size for size in shape)
            return jnp.broadcast_to(draw(key, row, **given), shape)

        return once

    draws: dict[str, Any] = {name: repeated(getattr(jax.random, name)) for name in ("normal", "uniform")}
    with mock.patch.multiple(jax.random, **draws):
        yield


def _is_network(node: Any) -> bool:
    return isinstance(node, NETWORKS)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path).rsplit(".")[-1]


def networks(state: Any) -> dict[str, Any]:
    """The networks of a state by their names; those that learn with their optimisers."""
    found = jax.tree_util.tree_leaves_with_path(state, is_leaf=_is_network)
    return {_name(path): node for path, node in found if _is_network(node)}


def changed(state: Any, change: Callable[[str, Any], Any]) -> Any:
    """The state with `change(name, network)` in the place of each network."""

    def renewed(path: Any, node: Any) -> Any:
        if isinstance(node, Trainable):
            return Trainable(change(_name(path), node.net), node.optimiser)
        return change(_name(path), node) if _is_network(node) else node

    return jax.tree_util.tree_map_with_path(renewed, state, is_leaf=_is_network)


def drawn(name: str, net: Any, seed: int = 0) -> Any:
    """A network of random numbers, by its name and a seed."""
    generator = np.random.default_rng([seed, *map(ord, name)])
    return jax.tree.map(lambda leaf: jnp.asarray(generator.normal(0, 0.4, leaf.shape), jnp.float32), net)


def last(net: Any) -> list[Array]:
    """Weight and bias of the last layer."""
    return [net.mlp.layers[-1].weight, net.mlp.layers[-1].bias]


def raised(net: Any, by: float) -> Any:
    """A network that answers so much more."""
    weight, bias = last(net)
    return eqx.tree_at(last, net, [weight, bias + by])


def times(factor: float, net: Any) -> Any:
    """A network, or a gradient, whose numbers are so many times as large."""
    return jax.tree.map(lambda leaf: factor * leaf, net)


def numbers(tree: Any) -> Array:
    """All numbers of a tree in one row."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def same(one: Any, other: Any) -> bool:
    """To the last bit."""
    return np.array_equal(numbers(one), numbers(other))


def agree(ones: dict[str, Any], others: dict[str, Any], tolerance: float = 1e-4) -> None:
    """Gradients are equal, to `tolerance` of the largest number of each, and are there."""
    for name, one in ones.items():
        found, expected = numbers(one), numbers(others[name])
        largest = np.abs(expected).max()
        assert largest > 1e-4, name
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * largest, err_msg=name)

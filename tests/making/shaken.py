"""Networks moved off their first weights: biases of 0 lie where ReLU bends, and copies are equal."""

from typing import Any

import jax

from suture.keys import key_for


def shaken(net: Any, seed: int, by: float = 0.3) -> Any:
    """A network with noise on every number; another seed is another network."""
    leaves, structure = jax.tree.flatten(net)
    keys = jax.random.split(key_for(seed, "bootstrap"), len(leaves))
    moved = [leaf + by * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, moved)

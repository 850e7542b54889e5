"""The only place where random keys are made: a key is a function of (seed, purpose, step).

Nothing random is saved, so nothing can be forgotten: a resumed run draws what the uninterrupted run drew.
"""

import zlib
from typing import Literal, TypeAlias

import jax

Key: TypeAlias = jax.Array
Purpose: TypeAlias = Literal["init", "batch", "update", "act", "environment", "bootstrap", "crop"]


def key_for(seed: int | jax.Array, purpose: Purpose, step: int | jax.Array = 0) -> Key:
    """The key of one purpose at one step. `seed` and `step` may be traced."""
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()) & 0x7FFFFFFF)
    return jax.random.fold_in(key, step)

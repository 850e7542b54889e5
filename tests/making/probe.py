"""Which losses read which networks: change the one, and see which of the others change."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from making.parity import STILL
from suture.algorithms.base import Algorithm, Batch, Spec
from suture.config import fields_of
from suture.keys import key_for

QUICK: dict[str, Any] = {"xla_backend_optimization_level": "0", "xla_llvm_disable_expensive_passes": True}


def on_actor_step(state: Any) -> Any:
    """A state of TD3 and its kin as it is when the policy is about to move."""
    return eqx.tree_at(lambda s: s.updates, state, jnp.int32(1))


class Probe:
    """One update of an algorithm whose parameters do not move, on one batch.

    prepare: changes the first state.   learning rates that are named in `moving` stay as they are.
    """

    def __init__(
        self, algorithm: Algorithm[Any], spec: Spec, batch: Batch, *,
        prepare: Callable[[Any], Any] = lambda state: state, moving: tuple[str, ...] = (),
    ):  # fmt: skip
        rates = {name for name in fields_of(algorithm) if name.endswith("learning_rate")} - set(moving)
        self.algorithm = dataclasses.replace(algorithm, **dict.fromkeys(rates, STILL))
        initial = jax.jit(lambda key: algorithm.init(spec, key), compiler_options=QUICK)
        self.state = prepare(initial(key_for(0, "init")))
        self.batch, self._update = batch, jax.jit(self.algorithm.update, compiler_options=QUICK)
        self.metrics = self.after()[1]

    def after(self, state: Any = None, batch: Batch | None = None) -> tuple[Any, dict[str, float]]:
        """State and metrics after the update of a state and a batch; of the first where none is given."""
        after, metrics = self._update(
            self.state if state is None else state,
            self.batch if batch is None else batch,
            key_for(0, "update"),
        )
        return after, {name: float(value) for name, value in metrics.items()}

    def with_moved(self, place: Callable[[Any], Any], member: int | None = None) -> Any:
        """The state with every number of a network changed (or of one member of an ensemble)."""

        def move(leaf: Any) -> Any:
            noise = 0.3 * jnp.cos(1.0 + jnp.arange(leaf.size)).reshape(leaf.shape)
            return leaf + noise if member is None else leaf.at[member].add(noise[member])

        return eqx.tree_at(place, self.state, jax.tree.map(move, place(self.state)))

    def readers(self, place: Callable[[Any], Any], member: int | None = None) -> set[str]:
        """The losses that change when a network does."""
        _, metrics = self.after(self.with_moved(place, member))
        return {
            name for name, value in metrics.items() if name.endswith("/loss") and value != self.metrics[name]
        }

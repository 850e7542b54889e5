"""The compiled program of a run: many updates of all members in one call, with in-program sampling.

One program serves every chunk length, because the number of steps is an argument: the same machine code
runs whether a run is cut into chunks here or there, which is what makes a resumed run equal, bit for bit.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from suture.algorithms.base import Algorithm, Batch, Metrics, Spec
from suture.data.stage import Rows
from suture.keys import key_for
from suture.nets.encoder import has_images

State: TypeAlias = Any
DIVERGENCE_SLACK = 10.0
MAX_ABS = "value/max_abs"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Members:
    """The members of a sweep: their seeds and the traced fields in which they differ, (members,) each."""

    seeds: Int[Any, " members"]
    fields: Mapping[str, Float[Any, " members"]]

    def __len__(self) -> int:
        return len(self.seeds)

    def values(self, member: int) -> dict[str, float]:
        """The swept fields of one member, as plain numbers."""
        return {name: float(column[member]) for name, column in self.fields.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chunk:
    """What a chunk returns beside the state. Each array is (members,).

    metrics: means over the chunk.   bad_step: first step whose metrics were not finite or whose values
    left the limit, -1 where all were good.
    """

    metrics: dict[str, Array]
    bad_step: Int[Array, " members"]


def sample_rows(seed: Any, step: Any, batch_size: int, eligible: int) -> Int[Array, " batch"]:
    """The positions of a batch among the eligible rows: a pure function of (seed, step)."""
    return jax.random.randint(key_for(seed, "batch", step), (batch_size,), 0, eligible)


class Program:
    """Compiles and runs chunks of updates for one algorithm on one spec.

    eligible: rows that may be sampled.   streamed: batches come from the host, in the order of the steps,
    instead of being sampled from rows on the device.
    """

    def __init__(
        self, algorithm: Algorithm[Any], spec: Spec, eligible: int, *, streamed: bool, continue_diverged: bool
    ):
        self.algorithm, self.spec, self.eligible, self.streamed = algorithm, spec, eligible, streamed
        self.continue_diverged = continue_diverged
        # Convolution gradients inside a loop are some thirty times slower on XLA's CPU backend.
        self.stepwise = jax.default_backend() == "cpu" and has_images(spec.observation)
        self._run = jax.jit(self._members, donate_argnums=0)
        self._init = jax.jit(self._members_init)

    def init(self, members: Members) -> State:
        """The state of all members before the first step."""
        return self._init(self._tree(members))

    def run(self, state: State, members: Members, rows: Rows, start: int, count: int) -> tuple[State, Chunk]:
        """Do `count` updates from step `start`. The given state is consumed."""
        if not self.stepwise:
            state, metrics, bad = self._run(state, self._tree(members), rows, start, 0, count)
            return state, Chunk(metrics=metrics, bad_step=bad)
        totals: dict[str, Array] = {}
        first = jnp.full(len(members), -1)
        for offset in range(count):
            state, metrics, bad = self._run(state, self._tree(members), rows, start, offset, 1)
            totals = {name: totals.get(name, 0.0) + value / count for name, value in metrics.items()}
            first = jnp.where((first < 0) & (bad >= 0), bad, first)
        return state, Chunk(metrics=totals, bad_step=first)

    def lower(self, state: State, members: Members, rows: Rows) -> Any:
        """The lowered program, for timing its compilation and reading its cost."""
        return self._run.lower(state, self._tree(members), rows, 0, 0, 1)

    def _tree(self, members: Members) -> dict[str, Any]:
        """The members as arrays: seed, swept fields, and the limit beyond which values count as diverged."""
        each = [dataclasses.replace(self.algorithm, **members.values(i)) for i in range(len(members))]
        limits = [None if self.continue_diverged else one.value_limit(self.spec) for one in each]
        return {
            "seed": jnp.asarray(members.seeds, jnp.uint32),
            "fields": {name: jnp.asarray(column, jnp.float32) for name, column in members.fields.items()},
            "limit": jnp.asarray(
                [math.inf if limit is None else DIVERGENCE_SLACK * limit for limit in limits]
            ),
        }

    def _configured(self, fields: Mapping[str, Any]) -> Algorithm[Any]:
        return dataclasses.replace(self.algorithm, **fields)

    def _members_init(self, members: dict[str, Any]) -> State:
        def one(member: dict[str, Any]) -> State:
            return self._configured(member["fields"]).init(self.spec, key_for(member["seed"], "init"))

        return self._each(one, members)

    def _members(
        self, state: State, members: dict[str, Any], rows: Rows, start: Any, offset: Any, count: Any
    ) -> tuple[State, Metrics, Array]:
        def one(part: tuple[State, dict[str, Any], Rows]) -> tuple[State, Metrics, Array]:
            return self._steps(*part, start, offset, count)

        if self.streamed:  # each member has batches of its own
            return self._each(one, (state, members, rows))
        return self._each(lambda part: one((*part, rows)), (state, members))

    def _each(self, function: Any, members: Any) -> Any:
        """Apply to every member: one after the other on a CPU, where that keeps each member's networks
        in the cache; side by side on an accelerator."""
        count = len(jax.tree.leaves(members)[0])
        if count == 1 or self.stepwise:
            parts = [function(jax.tree.map(lambda leaf: leaf[i], members)) for i in range(count)]  # noqa: B023
            return jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
        if jax.default_backend() == "cpu":
            return jax.lax.map(function, members)
        return jax.vmap(function)(members)

    def _steps(
        self, state: State, member: dict[str, Any], rows: Rows, start: Any, offset: Any, count: Any
    ) -> tuple[State, Metrics, Array]:
        algorithm, seed = self._configured(member["fields"]), member["seed"]
        size = algorithm.batch_size

        def step(index: Any, state: State) -> tuple[State, Metrics]:
            now = start + index
            picked = (
                index * size + jnp.arange(size)
                if self.streamed
                else sample_rows(seed, now, size, self.eligible)
            )
            batch = Batch(**rows.take(picked))
            return algorithm.update(state, batch, key_for(seed, "update", now))

        def body(index: Any, carry: tuple[State, Metrics, Array]) -> tuple[State, Metrics, Array]:
            state, sums, bad = carry
            state, metrics = step(index, state)
            good = jnp.stack([jnp.isfinite(value) for value in metrics.values()]).all()
            good &= metrics.get(MAX_ABS, jnp.float32(0)) <= member["limit"]
            bad = jnp.where((bad < 0) & ~good, start + index, bad)
            return state, {name: sums[name] + metrics[name] for name in sums}, bad

        shapes = jax.eval_shape(step, jnp.int32(0), state)[1]
        zeros = {name: jnp.zeros(()) for name in shapes}
        initial = (state, zeros, jnp.int32(-1))
        if self.stepwise:
            state, sums, bad = body(offset, initial)
            return state, sums, bad
        state, sums, bad = jax.lax.fori_loop(0, count, body, initial)
        return state, {name: total / count for name, total in sums.items()}, bad

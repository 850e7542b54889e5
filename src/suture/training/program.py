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
import numpy as np
from jaxtyping import Array, Float, Int

from suture.algorithms.base import Algorithm, Metrics, Spec
from suture.data.stage import Growth, Rows
from suture.keys import key_for
from suture.nets.encoder import has_images
from suture.training.crop import cropped

State: TypeAlias = Any
DIVERGENCE_SLACK = 10.0
MAX_ABS = "value/max_abs"
ONLINE = "online/share"
"""The metric of a batch's share of rows that came since."""
QUICKLY = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""For what runs a few times: without optimisation, IQL's first state takes 0.5 s to compile instead of 3."""
IN_PLACE = {"xla_cpu_copy_insertion_use_region_analysis": True}
"""For the loop of updates: networks that an update replaces are not copied first (IQL: 8 % faster)."""


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


def sample_rows(
    seed: Any, step: Any, batch_size: int, eligible: int, growth: Growth | None = None
) -> Int[Array, " batch"]:
    """A batch of draws from the eligible rows: a pure function of (seed, step).

    growth: of rows that came since, drawn as `eligible` and above; each draw is one of them with their share.
    """
    key = key_for(seed, "batch", step)
    drawn = jax.random.randint(key, (batch_size,), 0, eligible)
    if growth is None:
        return drawn
    key_which, key_since = jax.random.split(key)
    since = eligible + jax.random.randint(key_since, (batch_size,), 0, jnp.maximum(growth.filled, 1))
    return jnp.where(jax.random.uniform(key_which, (batch_size,)) < growth.share(step), since, drawn)


def _take(tree: Any, member: Any) -> Any:
    """One member's part of a tree of all. A single one is there as it lies: nothing is compiled for it."""
    return jax.tree.map(lambda leaf: leaf[0] if len(leaf) == 1 else leaf[member], tree)


def _put(tree: Any, member: Any, part: Any) -> Any:
    """The tree of all members with one member's part replaced."""
    return jax.tree.map(
        lambda leaf, new: new[None] if len(leaf) == 1 else leaf.at[member].set(new), tree, part
    )


def _jit_with(options: dict[str, Any], function: Any, **jitted: Any) -> Any:
    """`jax.jit` with options of XLA; without them where it knows no such options."""
    special, usual = jax.jit(function, compiler_options=options, **jitted), jax.jit(function, **jitted)

    def call(*arguments: Any) -> Any:
        try:
            return special(*arguments)
        except jax.errors.JaxRuntimeError as error:
            if "compile option" not in str(error):
                raise
            return usual(*arguments)

    return call


@jax.jit
def _joined(*parts: Any) -> Any:
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


class Program:
    """Compiles and runs chunks of updates for one algorithm on one spec.

    eligible: rows that may be drawn.   streamed: batches come from the host, in the order of the steps,
    instead of being sampled from rows on the device.   crop: by how many pixels images move at random.
    """

    def __init__(
        self, algorithm: Algorithm[Any], spec: Spec, eligible: int, *,
        streamed: bool, continue_diverged: bool, crop: int = 0,
    ):  # fmt: skip
        self.algorithm, self.spec, self.eligible, self.streamed = algorithm, spec, eligible, streamed
        self.continue_diverged, self.crop = continue_diverged, crop
        # Convolution gradients inside a loop are some thirty times slower on XLA's CPU backend.
        on_cpu = jax.default_backend() == "cpu"
        self.stepwise = on_cpu and has_images(spec.observation)
        self._init, self._run = self._on_accelerator() if not on_cpu else self._on_cpu()

    def init(self, members: Members) -> State:
        """The state of all members before the first step."""
        return self._init(self._tree(members))

    def shapes(self, members: Members) -> State:
        """The shapes and dtypes of that state; nothing is compiled."""
        return jax.eval_shape(jax.vmap(self._init_member), self._tree(members))

    def workspace(self, members: Members, rows: Rows) -> int:
        """Bytes that one update takes beside the state and the rows, as the compiler counts them.

        rows: at least one; batches are sampled from them. The update is compiled, and nothing is allocated.
        """
        one = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype),
            (self.shapes(members), self._tree(members)),
        )
        count = 1 if jax.default_backend() == "cpu" else len(members)  # side by side on an accelerator
        told = jax.jit(self._steps).lower(*one, rows, 0, 0, 1).compile().memory_analysis()
        return 0 if told is None else count * told.temp_size_in_bytes

    def run(self, state: State, members: Members, rows: Rows, start: int, count: int) -> tuple[State, Chunk]:
        """Do `count` updates from step `start`. The given state is consumed."""
        tree, totals = self._tree(members), dict[str, Array]()
        if not self.stepwise:
            state, metrics, bad = self._run(state, tree, rows, start, 0, count)
            return state, Chunk(metrics=metrics, bad_step=bad)
        first = jnp.full(len(members), -1)
        for offset in range(count):
            state, metrics, bad = self._run(state, tree, rows, start, offset, 1)
            totals = {name: totals.get(name, 0.0) + value / count for name, value in metrics.items()}
            first = jnp.where((first < 0) & (bad >= 0), bad, first)
        return state, Chunk(metrics=totals, bad_step=first)

    def _on_accelerator(self) -> tuple[Any, Any]:
        """All members side by side, in one program to begin and one to go on."""
        axes = (0, 0, 0 if self.streamed else None, None, None, None)
        run = jax.vmap(self._steps, in_axes=axes)
        return jax.jit(jax.vmap(self._init_member)), jax.jit(run, donate_argnums=0)

    def _on_cpu(self) -> tuple[Any, Any]:
        """Member after member, each with its networks in the cache, and as few programs as can be.

        The first state is computed once: compiling it is what costs.
        """

        def steps(member: Any, state: State, tree: Any, rows: Any, *when: Any) -> tuple[State, Any, Any]:
            own = _take(rows, member) if self.streamed else rows
            mine, metrics, bad = self._steps(_take(state, member), _take(tree, member), own, *when)
            return _put(state, member, mine), metrics, bad

        def first(member: Any, tree: Any) -> State:
            return jax.tree.map(lambda leaf: leaf[None], self._init_member(_take(tree, member)))

        compiled = _jit_with(IN_PLACE, steps, donate_argnums=1)
        compiled_quickly = _jit_with(QUICKLY, first)

        def init(tree: Any) -> State:
            parts = [compiled_quickly(member, tree) for member in range(len(tree["seed"]))]
            return parts[0] if len(parts) == 1 else _joined(*parts)

        def run(state: State, tree: Any, *others: Any) -> tuple[State, Any, Any]:
            told = list[Any]()
            for member in range(len(tree["seed"])):
                state, *each = compiled(member, state, tree, *others)
                told.append(each)
            return state, *jax.tree.map(lambda *values: np.stack(values), *told)

        return init, run

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

    def _init_member(self, member: dict[str, Any]) -> State:
        return self._configured(member["fields"]).init(self.spec, key_for(member["seed"], "init"))

    def _steps(
        self, state: State, member: dict[str, Any], rows: Rows, start: Any, offset: Any, count: Any
    ) -> tuple[State, Metrics, Array]:
        algorithm, seed = self._configured(member["fields"]), member["seed"]
        size, limit = algorithm.batch_size, member["limit"]
        if rows.growth is not None:
            limit = limit * rows.growth.stretch

        def step(index: Any, state: State) -> tuple[State, Metrics]:
            now = start + index
            beside = dict[str, Array]()
            if self.streamed:
                shape = (size,) if algorithm.window == 1 else (size, algorithm.window)
                count = math.prod(shape)
                columns = rows.take((index * count + jnp.arange(count)).reshape(shape))
            else:
                draws = sample_rows(seed, now, size, self.eligible, rows.growth)
                columns = rows.draw(draws)
                if rows.growth is not None:
                    beside[ONLINE] = jnp.mean(draws >= self.eligible)
            batch = algorithm.batch(columns)
            if self.crop:
                batch = cropped(batch, self.spec.observation, self.crop, key_for(seed, "crop", now))
            state, metrics = algorithm.update(state, batch, key_for(seed, "update", now))
            return state, metrics | beside

        def body(index: Any, carry: tuple[State, Metrics, Array]) -> tuple[State, Metrics, Array]:
            state, sums, bad = carry
            state, metrics = step(index, state)
            good = jnp.stack([jnp.isfinite(value) for value in metrics.values()]).all()
            good &= metrics.get(MAX_ABS, jnp.float32(0)) <= limit
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

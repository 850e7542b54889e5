"""The canonical problem for exact tests: its logged transitions as a batch, and training to the fixed point.

Observations are choices, so networks without hidden layers are tables; the batch holds every transition in
proportion to its probability, so that the only noise is that of float32 (and of what a method draws).
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from suture.algorithms.base import Algorithm, Batch, Spec
from suture.config import fields_of
from suture.envs.tabular import canonical, canonical_behaviour, evaluate
from suture.keys import key_for
from suture.spaces import Array, Discrete

SPEC = Spec(observation=Discrete(4), action=Discrete(3))
RATES = (3e-2, 3e-3, 3e-4)
LOGGED = canonical_behaviour() > 0


def read_oracle() -> dict[str, Any]:
    """The exact answers."""
    return json.loads((Path(__file__).parents[1] / "fixtures" / "oracle.json").read_text())


def exact_batch(behaviour: Array | None = None, copies: int | tuple[int, ...] = 200) -> Batch:
    """Every transition of the canonical problem under a behaviour, about `copies` rows a state (or each)."""
    mdp, behaviour = canonical(), canonical_behaviour() if behaviour is None else behaviour
    rows: list[tuple[int, int, float, int]] = []
    for s, a, after in np.ndindex(mdp.transition.shape):
        count = np.broadcast_to(copies, 4)[s] * behaviour[s, a] * mdp.transition[s, a, after]
        assert abs(count - round(count)) < 1e-6, "choose copies so that every count is whole"
        rows += [(s, a, float(mdp.reward[s, a]), after)] * round(count)
    columns = [jnp.asarray(column) for column in zip(*rows, strict=True)]
    return Batch(
        observation=columns[0], action=columns[1], reward=columns[2].astype(jnp.float32),
        discount=jnp.ones(len(rows)), next_observation=columns[3],
    )  # fmt: skip


def solve(
    algorithm: Algorithm[Any], *, batch: Batch | None = None, spec: Spec = SPEC,
    steps: int = 6_000, rates: tuple[float, ...] = RATES, prepare: Callable[[Any], Any] = lambda state: state,
    traced: Mapping[str, float] | None = None,
) -> Any:  # fmt: skip
    """The state after training with Adam at falling rates, `steps` updates each, by the method's own update.

    One compilation: every learning rate is an argument of the program.   prepare: changes the first state.
    traced: other fields that are arguments of it, so that calls with the same names share it.
    """
    batch = exact_batch() if batch is None else batch
    names = tuple(name for name in fields_of(algorithm) if name.endswith("learning_rate"))
    state = prepare(jax.jit(lambda key: algorithm.init(spec, key))(key_for(0, "init")))
    for stage, rate in enumerate(rates):
        values = dict.fromkeys(names, jnp.float32(rate))
        values |= {name: jnp.float32(value) for name, value in (traced or {}).items()}
        state = _train(algorithm, steps, values, state, batch, jnp.int32(stage * steps))
    return state


@functools.partial(jax.jit, static_argnums=(0, 1))
def _train(
    algorithm: Algorithm[Any], steps: int, values: dict[str, Any], state: Any, batch: Batch, first: Any
) -> Any:
    configured = dataclasses.replace(algorithm, **values)

    def body(step: Any, state: Any) -> Any:
        return configured.update(state, batch, key_for(0, "update", first + step))[0]

    return jax.lax.fori_loop(0, steps, body, state)


def worth(policy: Array) -> float:
    """Exact value of the start of a policy (4, 3), its probability of the unlogged pair left out."""
    policy = np.where(LOGGED, policy, 0.0)
    return evaluate(canonical(), policy / policy.sum(1, keepdims=True))[2]


def probabilities(policy: Any) -> Array:
    """The choices of a categorical policy in the four states, (4, 3)."""
    return np.asarray(jax.nn.softmax(policy(jnp.arange(4)).logits), np.float64)


def table(critic: Any) -> Array:
    """Q (4, 3) of a discrete critic: the mean over its ensemble."""
    return np.asarray(critic.values(jnp.arange(4)).mean(0), np.float64)

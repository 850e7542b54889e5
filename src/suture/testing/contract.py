"""The contract of an algorithm, as a suite that anyone can run on theirs: `check_algorithm(Mine())`."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from suture import config
from suture.algorithms.base import Algorithm, Batch, Spec
from suture.config import bounds_of, fields_of
from suture.errors import ConfigError
from suture.keys import key_for
from suture.spaces import Box, Dict, Discrete, Space

ROWS = 12
OBSERVATIONS: dict[str, Space] = {
    "vector": Box((5,)),
    "matrix": Box((2, 3)),
    "choice": Discrete(4),
    "image": Box((8, 8, 3), "uint8"),
    "dict": Dict.of({"camera": Box((8, 8, 1), "uint8"), "joints": Box((3,)), "mode": Discrete(2)}),
}
ACTIONS: dict[str, Space] = {
    "continuous": Box((2,), low=(-1.0, -1.0), high=(1.0, 1.0)),
    "discrete": Discrete(3),
}


def check_algorithm(algorithm: Algorithm[Any]) -> None:
    """Raise `AssertionError`, with what is wrong, where an algorithm breaks the contract.

    Checked for every observation kind and every action kind that it supports: JSON round trip and bounds;
    `init` and `update` are pure and repeatable; every network is trained; the state keeps its structure;
    metrics are finite scalars; columns that it does not need change nothing; no target is bootstrapped
    past a true end; the order of a batch does not matter; policies act in their action space.
    """
    _check_configuration(algorithm)
    for action_name, action in ACTIONS.items():
        if action_name in algorithm.actions:
            for name, observation in OBSERVATIONS.items():
                if action_name == "discrete" and name in ("matrix", "image"):
                    continue  # encoders do not know the actions: once is enough for the slow ones
                where = f"{algorithm.name} on {name} observations with {action_name} actions"
                spec = Spec(observation=observation, action=action, steps=100, reward_limit=1.0)
                _check_on(algorithm, spec, where)


def _require(condition: Any, where: str, what: str) -> None:
    if not bool(condition):
        raise AssertionError(f"{where}: {what}")


def _check_configuration(algorithm: Algorithm[Any]) -> None:
    where, kind = algorithm.name, type(algorithm)
    again = config.from_json(kind, config.to_json(algorithm))
    _require(again == algorithm and hash(again) == hash(algorithm), where, "JSON does not give it back")
    _require(dataclasses.is_dataclass(kind), where, "it must be a frozen dataclass")
    for name, field in fields_of(algorithm).items():
        for value in _bad_values(bounds_of(field)):
            try:
                dataclasses.replace(algorithm, **{name: value})
            except ConfigError as error:
                _require(name in str(error), where, f"the refusal of {name}={value} does not name the field")
            else:
                raise AssertionError(f"{where}: {name}={value} lies outside its bounds and was accepted")


def _bad_values(bounds: config.Bounds) -> Iterator[float]:
    for limit, sign in ((bounds.above, 0), (bounds.below, 0), (bounds.at_least, -1), (bounds.at_most, 1)):
        if limit is not None:
            yield limit + sign


def _check_on(algorithm: Algorithm[Any], spec: Spec, where: str) -> None:
    init, update = eqx.filter_jit(lambda key: algorithm.init(spec, key)), eqx.filter_jit(algorithm.update)
    state, batch = init(key_for(0, "init")), example_batch(spec, algorithm.needs)
    again = init(key_for(0, "init"))
    _require(_equal(state, again), where, "`init` gives different states for one key")
    key = key_for(0, "update")
    after, metrics = update(state, batch, key)
    repeated, _ = update(state, batch, key)
    _require(_equal(after, repeated), where, "`update` is not repeatable")
    _require(
        jax.tree.structure(after) == jax.tree.structure(state)
        and all(a.shape == b.shape and a.dtype == b.dtype for a, b in _pairs(after, state)),
        where,
        "`update` changes the structure, a shape or a dtype of the state",
    )
    _require(metrics, where, "`update` reports no metrics")
    for name, value in metrics.items():
        _require(value.shape == () and jnp.isfinite(value), where, f"metric {name} is not a finite scalar")
    for path, leaf in jax.tree_util.tree_leaves_with_path(after):
        _require(jnp.isfinite(leaf).all(), where, f"{jax.tree_util.keystr(path)} is not finite")
    _check_training(update, after, batch, where)
    _check_order(update, state, batch, key, where)
    _check_ends(algorithm, update, state, batch, key, where)
    _check_policy(algorithm, after, batch, spec, where)


def _check_training(update: Any, state: Any, batch: Batch, where: str) -> None:
    """Every weight matrix moves within a few updates."""
    moved = state
    for step in range(3):
        moved, _ = update(moved, batch, key_for(0, "update", step + 1))
    for (path, before), after in zip(
        jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(moved), strict=True
    ):
        name = jax.tree_util.keystr(path)
        if name.endswith(".weight"):
            _require(jnp.any(before != after), where, f"{name} does not change with updates")


def _check_order(update: Any, state: Any, batch: Batch, key: Any, where: str) -> None:
    """The rows of a batch are exchangeable (checked where the update itself draws nothing at random)."""
    reverse = jax.tree.map(lambda column: column[::-1], batch)
    one, redrawn = update(state, batch, key)[1], update(state, batch, key_for(1, "update"))[1]
    if not _equal(one, redrawn):
        return
    _, other = update(state, reverse, key)
    for name in one:
        close = jnp.allclose(one[name], other[name], rtol=1e-3, atol=1e-4)
        _require(close, where, f"metric {name} depends on the order of the batch")


def _check_ends(
    algorithm: Algorithm[Any], update: Any, state: Any, batch: Batch, key: Any, where: str
) -> None:
    """Where `discount` is 0, what the next observation holds must not matter."""
    if "next_observation" not in algorithm.needs or batch.discount is None:
        return
    ended = eqx.tree_at(lambda b: b.discount, batch, jnp.zeros_like(batch.discount))
    other = eqx.tree_at(lambda b: b.next_observation, ended, ended.observation)
    one, two = update(state, ended, key)[0], update(state, other, key)[0]
    _require(_close(one, two), where, "values are bootstrapped past a true end (discount 0)")


def _check_policy(algorithm: Algorithm[Any], state: Any, batch: Batch, spec: Spec, where: str) -> None:
    policy = algorithm.policy(state)
    distribution = policy(batch.observation)
    sample, mode = distribution.sample(key_for(0, "act")), distribution.mode()
    expected = (ROWS, *spec.action.shape) if isinstance(spec.action, Box) else (ROWS,)
    for name, action in (("a sample", sample), ("the mode", mode)):
        _require(action.shape == expected, where, f"{name} has shape {action.shape}, expected {expected}")
        if isinstance(spec.action, Discrete):
            _require(((action >= 0) & (action < spec.action.n)).all(), where, f"{name} is no valid choice")
    if isinstance(spec.action, Box):
        _require((jnp.abs(mode) <= 1).all(), where, "the mode leaves [-1, 1]")
    _require(distribution.log_prob(batch.action).shape == (ROWS,), where, "log_prob is not one per row")


def example_batch(spec: Spec, needs: frozenset[str], seed: int = 0) -> Batch:
    """A batch of random transitions that fits a spec; every third row is a true end."""
    generator = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "observation": _draw(spec.observation, generator),
        "action": _draw(spec.action, generator),
        "reward": jnp.asarray(generator.uniform(-1, 1, ROWS), jnp.float32),
        "discount": jnp.asarray(np.arange(ROWS) % 3 != 0, jnp.float32),
        "next_observation": _draw(spec.observation, generator),
    }
    return Batch(**{name: column for name, column in columns.items() if name in needs})


def _draw(space: Space, generator: np.random.Generator) -> Any:
    if isinstance(space, Dict):
        return {name: _draw(inner, generator) for name, inner in space.items}
    if isinstance(space, Discrete):
        return jnp.asarray(generator.integers(space.n, size=ROWS), jnp.int32)
    if space.is_image:
        return jnp.asarray(generator.integers(256, size=(ROWS, *space.shape)), jnp.uint8)
    return jnp.asarray(generator.uniform(-1, 1, (ROWS, *space.shape)), jnp.float32)


def _pairs(one: Any, two: Any) -> Iterator[tuple[Any, Any]]:
    return zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)


def _equal(one: Any, two: Any) -> bool:
    return all(bool(jnp.array_equal(a, b)) for a, b in _pairs(one, two))


def _close(one: Any, two: Any) -> bool:
    return all(bool(jnp.allclose(a, b, rtol=1e-5, atol=1e-6)) for a, b in _pairs(one, two))

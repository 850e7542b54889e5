"""The contract of an algorithm, as a suite that anyone can run on theirs: `check_algorithm(Mine())`."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
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
    "dict": Dict.of(
        {"camera": Box((8, 8, 1), "uint8"), "joints": Box((3,)), "mode": Discrete(2), "pose": Box((2, 3))}
    ),
}
ACTIONS: dict[str, Space] = {
    "continuous": Box((2,), low=(-1.0, -1.0), high=(1.0, 1.0)),
    "discrete": Discrete(3),
}


def check_algorithm(algorithm: Algorithm[Any]) -> None:
    """Raise `AssertionError`, with what is wrong, where an algorithm breaks the contract.

    Checked on its configuration: JSON round trip and bounds. By tracing, for every kind of observation and
    every kind of action that it supports: the state keeps its structure, metrics are scalars, the policy
    gives one action a row, and columns that it does not need are not touched. By running, on vectors with
    continuous actions and on a dictionary of every kind of observation with discrete ones (or with the one
    kind of action that it supports): `init` and `update` are pure and repeatable; every network is trained;
    state and metrics are finite; no target is bootstrapped past a true end; the order of a batch does not
    matter; policies act in their action space.
    """
    _check_configuration(algorithm)
    kinds = [kind for kind in ACTIONS if kind in algorithm.actions]
    for kind in kinds:
        for name, observation in OBSERVATIONS.items():
            where = f"{algorithm.name} on {name} observations with {kind} actions"
            spec = Spec(observation=observation, action=ACTIONS[kind], steps=100, reward_limit=1.0)
            batch = algorithm.batch(example_columns(spec, algorithm.needs, algorithm.window))
            seen = example_batch(spec, algorithm.needs)
            _check_shapes(algorithm, spec, batch, seen, where)
            if (name, kind) in (("vector", kinds[0]), ("dict", kinds[-1])):
                _check_values(algorithm, spec, batch, seen, where)


def _require(condition: Any, where: str, what: str) -> None:
    if not bool(condition):
        raise AssertionError(f"{where}: {what}")


def _check_configuration(algorithm: Algorithm[Any]) -> None:
    where, kind = algorithm.name, type(algorithm)
    again = config.from_json(kind, config.to_json(algorithm))
    _require(again == algorithm and hash(again) == hash(algorithm), where, "JSON does not give it back")
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


def _act(algorithm: Algorithm[Any], state: Any, seen: Batch) -> tuple[Any, Any, Any]:
    """A sample, the mode, and the log-probability of the logged actions (0 where there is no density)."""
    distribution = algorithm.policy(state)(seen.observation)
    log_prob = distribution.log_prob(seen.action) if distribution.has_density else jnp.zeros(ROWS)
    return distribution.sample(key_for(0, "act")), distribution.mode(), log_prob


def _check_shapes(algorithm: Algorithm[Any], spec: Spec, batch: Batch, seen: Batch, where: str) -> None:
    """What tracing alone can tell: structures, shapes and dtypes."""
    key = key_for(0, "init")
    state = jax.eval_shape(lambda key: algorithm.init(spec, key), key)
    after, metrics = jax.eval_shape(algorithm.update, state, batch, key)
    _require(
        jax.tree.structure(after) == jax.tree.structure(state)
        and all((a.shape, a.dtype) == (b.shape, b.dtype) for a, b in _pairs(after, state)),
        where,
        "`update` changes the structure, a shape or a dtype of the state",
    )
    _require(metrics, where, "`update` reports no metrics")
    for name, value in metrics.items():
        _require(value.shape == (), where, f"metric {name} has shape {value.shape}, expected a scalar")
    sample, mode, log_prob = jax.eval_shape(lambda *given: _act(algorithm, *given), after, seen)
    expected = (ROWS, *spec.action.shape) if isinstance(spec.action, Box) else (ROWS,)
    for name, action in (("a sample", sample), ("the mode", mode)):
        _require(action.shape == expected, where, f"{name} has shape {action.shape}, expected {expected}")
    _require(log_prob.shape == (ROWS,), where, f"log_prob has shape {log_prob.shape}, expected {(ROWS,)}")


def _check_values(algorithm: Algorithm[Any], spec: Spec, batch: Batch, seen: Batch, where: str) -> None:
    """What only numbers can tell."""
    first, key = key_for(0, "init"), key_for(0, "update")
    init = _compile(lambda key: algorithm.init(spec, key), (first,), f"{where}: `init`")
    state = init(first)
    _require(_equal(state, init(first)), where, "`init` gives different states for one key")
    update = _compile(algorithm.update, (state, batch, key), f"{where}: `update`")
    after, metrics = update(state, batch, key)
    _require(_equal((after, metrics), update(state, batch, key)), where, "`update` is not repeatable")
    for name, value in metrics.items():
        _require(np.isfinite(value), where, f"metric {name} is {value}")
    for path, leaf in jax.tree_util.tree_leaves_with_path(after):
        _require(np.isfinite(leaf).all(), where, f"{jax.tree_util.keystr(path)} is not finite")
    _check_training(update, state, after, batch, where)
    _check_order(update, state, batch, metrics, where)
    for begun in (state, after):  # a first update may do something else than learn values
        _check_ends(algorithm, update, begun, batch, where)
    _check_policy(algorithm, after, seen, spec, where)


def _compile(function: Callable[..., Any], arguments: tuple[Any, ...], where: str) -> Callable[..., Any]:
    """The compiled function. Tracing it twice must give one program: whatever it read that was no argument
    (a counter, a clock, NumPy's generator) became a constant of the program, and shows there."""

    def traced() -> Any:  # a new function each time: JAX remembers what it traced
        return jax.jit(functools.partial(function)).lower(*arguments)

    one, two = traced(), traced()
    _require(one.as_text() == two.as_text(), where, "is not pure: traced twice, it is two programs")
    # What runs a dozen times on twelve rows is not worth optimising.
    quick: dict[str, str | bool] = {
        "xla_backend_optimization_level": "0",
        "xla_llvm_disable_expensive_passes": True,
    }
    return one.compile(quick if jax.default_backend() == "cpu" else None)


def _check_training(update: Any, state: Any, moved: Any, batch: Batch, where: str) -> None:
    """Every array of weights moves within a few updates."""
    for step in range(1, 4):
        moved, _ = update(moved, batch, key_for(0, "update", step))
    for (path, before), after in zip(
        jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(moved), strict=True
    ):
        if before.ndim >= 2 and np.issubdtype(before.dtype, np.floating):
            name = jax.tree_util.keystr(path)
            _require(not np.array_equal(before, after), where, f"{name} does not change with updates")


def _check_order(update: Any, state: Any, batch: Batch, metrics: Any, where: str) -> None:
    """The rows of a batch are exchangeable (checked where the update itself draws nothing at random)."""
    if not _equal(metrics, update(state, batch, key_for(1, "update"))[1]):
        return
    reverse = jax.tree.map(lambda column: np.asarray(column)[::-1], batch)
    _, other = update(state, reverse, key_for(0, "update"))
    for name, value in metrics.items():
        close = np.allclose(value, other[name], rtol=1e-3, atol=1e-4)
        _require(close, where, f"metric {name} depends on the order of the batch")


def _check_ends(algorithm: Algorithm[Any], update: Any, state: Any, batch: Batch, where: str) -> None:
    """Where `discount` is 0, what the next observation holds must not matter."""
    if "next_observation" not in algorithm.needs or batch.discount is None:
        return
    key = key_for(0, "update")
    ended = eqx.tree_at(lambda b: b.discount, batch, np.zeros_like(batch.discount))
    other = eqx.tree_at(lambda b: b.next_observation, ended, ended.observation)
    one, two = update(state, ended, key)[0], update(state, other, key)[0]
    close = all(np.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in _pairs(one, two))
    _require(close, where, "values are bootstrapped past a true end (discount 0)")


def _check_policy(algorithm: Algorithm[Any], state: Any, seen: Batch, spec: Spec, where: str) -> None:
    """Actions are choices that exist, and modes lie in [-1, 1]."""
    act = _compile(lambda *given: _act(algorithm, *given), (state, seen), f"{where}: `policy`")
    sample, mode, log_prob = (np.asarray(array) for array in act(state, seen))
    _require(np.isfinite(log_prob).all(), where, "log_prob of a logged action is not finite")
    if isinstance(spec.action, Discrete):
        for name, action in (("a sample", sample), ("the mode", mode)):
            _require(((action >= 0) & (action < spec.action.n)).all(), where, f"{name} is no valid choice")
    else:
        _require(np.isfinite(sample).all(), where, "a sample is not finite")
        _require((np.abs(mode) <= 1).all(), where, "the mode leaves [-1, 1]")


def example_batch(spec: Spec, needs: frozenset[str], seed: int = 0) -> Batch:
    """A batch of random transitions that fits a spec; every third row is a true end."""
    return Batch(**example_columns(spec, needs, 1, seed))


def example_columns(spec: Spec, needs: frozenset[str], window: int, seed: int = 0) -> dict[str, Any]:
    """Random rows as `Algorithm.batch` gets them, or windows of rows, of which some reach less far."""
    generator = np.random.default_rng(seed)
    shape = (ROWS,) if window == 1 else (ROWS, window)
    reach = generator.integers(1, window + 1, shape)
    # Every third row is a true end: of windows, the last row that they reach.
    ended = (np.arange(ROWS) % 3 == 0).reshape(ROWS, *(1,) * (len(shape) - 1))
    last = np.arange(window) == reach[:, :1] - 1 if window > 1 else np.ones(ROWS, bool)
    columns: dict[str, Any] = {
        "observation": _draw(spec.observation, generator, shape),
        "action": _draw(spec.action, generator, shape),
        "reward": jnp.asarray(generator.uniform(-1, 1, shape), jnp.float32),
        "discount": jnp.asarray(~(ended & last), jnp.float32),
        "next_observation": _draw(spec.observation, generator, shape),
        "next_action": _draw(spec.action, generator, shape),
        "return_to_go": jnp.asarray(generator.uniform(-1, 1, shape), jnp.float32),
    }
    kept = {name: column for name, column in columns.items() if name in needs}
    if "next_action" in needs:
        kept["next_action_known"] = kept["discount"]
    return kept if window == 1 else kept | {"reach": jnp.asarray(reach, jnp.int32)}


def _draw(space: Space, generator: np.random.Generator, shape: tuple[int, ...]) -> Any:
    if isinstance(space, Dict):
        return {name: _draw(inner, generator, shape) for name, inner in space.items}
    if isinstance(space, Discrete):
        return jnp.asarray(generator.integers(space.n, size=shape), jnp.int32)
    if space.is_image:
        return jnp.asarray(generator.integers(256, size=(*shape, *space.shape)), jnp.uint8)
    return jnp.asarray(generator.uniform(-1, 1, (*shape, *space.shape)), jnp.float32)


def _pairs(one: Any, two: Any) -> Iterator[tuple[Any, Any]]:
    return zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)


def _equal(one: Any, two: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in _pairs(one, two))

"""The program of an accelerator, all members side by side, against one member after the other.

It is compiled for the CPU here: what is tested is that members are told apart, not the device.
"""

from collections.abc import Generator
from typing import Any

import jax
import numpy as np
import pytest
from making.runs import Toy
from making.sets import dataset_of

from suture.algorithms.base import Algorithm
from suture.algorithms.bc import BC
from suture.algorithms.cql import CQL
from suture.algorithms.iql import IQL
from suture.algorithms.td3_bc import TD3BC
from suture.data.normalise import Normaliser
from suture.data.stage import Stage
from suture.spaces import Box
from suture.training.feed import Resident, Streamed
from suture.training.program import Members, Program, Spec

STEPS, TINY = 20, {"hidden": (8,), "batch_size": 16}
SWEPT: dict[str, tuple[Algorithm[Any], dict[str, list[float]]]] = {
    "bc": (BC(**TINY), {"learning_rate": [1e-3, 1e-3, 3e-3]}),
    "iql": (IQL(**TINY), {"expectile": [0.7, 0.7, 0.9]}),
    "td3_bc": (TD3BC(**TINY), {"discount": [0.9, 0.9, 0.5]}),
    "cql": (CQL(**TINY), {"conservative_weight": [1.0, 1.0, 9.0]}),
}
"""Two members that differ in the seed, and a third in a field."""
SEEDS = (0, 1, 1)


@pytest.fixture(autouse=True)
def compiled_quickly() -> Generator[None]:
    """Some twenty updates of tiny networks: compiling them is what costs."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def staged(algorithm: Algorithm[Any]) -> Stage:
    data = dataset_of((30, 20, 25))
    rows = np.flatnonzero(algorithm.rows(data))
    return Stage(dataset=data, normaliser=Normaliser(), needs=algorithm.needs, rows=rows)


def trained(algorithm: Algorithm[Any], members: Members, *, streamed: bool = False) -> tuple[Any, Any]:
    """The state of all members after two chunks, and what the second one said."""
    stage = staged(algorithm)
    spec = Spec(observation=Box((3,)), action=Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2), reward_limit=3.0)
    program = Program(algorithm, spec, stage.eligible, streamed=streamed, continue_diverged=False)
    feed = Streamed(stage, members, algorithm.batch_size, 1 << 22) if streamed else Resident(stage)
    state = program.init(members)
    state, _ = program.run(state, members, feed.rows(0, 12), 0, 12)
    return program.run(state, members, feed.rows(12, STEPS - 12), 12, STEPS - 12)


def assert_alike(ours: Any, theirs: Any) -> None:
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-4, atol=1e-5)


def members_of(name: str, which: slice = slice(None)) -> Members:
    fields = {field: np.array(values[which], np.float32) for field, values in SWEPT[name][1].items()}
    return Members(seeds=np.array(SEEDS[which], np.uint32), fields=fields)


@pytest.mark.parametrize("name", SWEPT)
def test_members_side_by_side_are_those_of_one_after_the_other(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm, members = SWEPT[name][0], members_of(name)
    state, chunk = trained(algorithm, members)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    beside, told = trained(algorithm, members)
    assert_alike(beside, state)
    assert_alike(told.metrics, chunk.metrics)
    assert np.asarray(told.bad_step).tolist() == np.asarray(chunk.bad_step).tolist() == [-1, -1, -1]
    parts = [leaf for leaf in map(np.asarray, jax.tree.leaves(beside)) if leaf[0].size >= 8]
    for leaf in parts:
        assert len({leaf[member].tobytes() for member in range(3)}) > 1 or not leaf.any()
    assert any(len({leaf[member].tobytes() for member in range(3)}) == 3 for leaf in parts)


def test_streamed_members_side_by_side_have_batches_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    members = Members(
        seeds=np.array(SEEDS, np.uint32), fields={"rate": np.array([0.1, 0.1, 0.5], np.float32)}
    )
    state, _ = trained(Toy(), members)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    beside, _ = trained(Toy(), members, streamed=True)
    assert_alike(beside, state)
    assert len(np.unique(np.asarray(beside.value))) == 3


def test_the_first_bad_step_is_each_members_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one's value is 1.5 ** k after k updates: it leaves the limit of 1000 in step 17."""
    growth = {"growth": np.array([1.0, 1.5, 1.0], np.float32)}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    _, chunk = trained(Toy(limit=1e3), Members(seeds=np.array(SEEDS, np.uint32), fields=growth))
    assert np.asarray(chunk.bad_step).tolist() == [-1, 17, -1]

"""What is compiled: a run of one member on a CPU needs two programs of weight, and few small ones."""

from typing import Any

import jax
import numpy as np
import pytest
from making.sets import dataset_of

from suture.algorithms.base import Algorithm, Spec
from suture.algorithms.bc import BC
from suture.algorithms.iql import IQL
from suture.data.normalise import Normaliser
from suture.data.stage import Stage
from suture.spaces import Box
from suture.training import guard
from suture.training.program import Members, Program

COMPILED = "/jax/core/compile/backend_compile_duration"


def program_of(algorithm: Algorithm[Any]) -> tuple[Program, Stage]:
    data = dataset_of((20, 30))
    normaliser = Normaliser()
    stage = Stage(dataset=data, normaliser=normaliser, needs=algorithm.needs, rows=np.arange(len(data)))
    spec = Spec(observation=Box((3,)), action=Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2))
    return Program(algorithm, spec, stage.eligible, streamed=False, continue_diverged=True), stage


@pytest.fixture
def compiled() -> Any:
    """The programs that are compiled from now on: one entry each."""
    found, open_ = list[str](), [True]

    def listen(event: str, _: float, **more: Any) -> None:
        if open_ and event == COMPILED:
            found.append(str(more.get("fun_name", "")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    open_.clear()


def test_few_programs_are_compiled(compiled: list[str]) -> None:
    """The state to begin with, the steps, a copy, and some constants: each costs what a user waits for."""
    program, stage = program_of(BC(hidden=(7,), batch_size=4))
    rows, members = stage.everything(), Members(seeds=np.zeros(1, np.uint32), fields={})
    compiled.clear()
    state = program.init(members)
    kept = guard.copy(state)
    state, chunk = program.run(state, members, rows, 0, 3)
    assert np.asarray(guard.all_finite(state)).tolist() == [True]
    assert np.asarray(chunk.bad_step).tolist() == [-1]
    assert 2 < len(compiled) <= 8, compiled
    compiled.clear()
    program.run(kept, members, rows, 3, 2)
    assert compiled == [], "another length of a chunk is the same program"


def test_members_begin_as_they_do_alone_and_stay_apart() -> None:
    """Each has its own seed; what one of them becomes does not touch the others."""
    program, stage = program_of(BC(hidden=(7,), batch_size=4))
    rows, three = stage.everything(), Members(seeds=np.arange(3, dtype=np.uint32), fields={})
    together = program.init(three)
    before = jax.tree.map(np.array, together)
    for member in range(3):
        alone = program.init(Members(seeds=np.array([member], np.uint32), fields={}))
        for one, all_of_them in zip(jax.tree.leaves(alone), jax.tree.leaves(before), strict=True):
            np.testing.assert_array_equal(one[0], all_of_them[member])
    state, chunk = program.run(together, three, rows, 0, 3)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    assert all(
        len({leaf[member].tobytes() for member in range(3)}) > 1 for leaf in leaves if leaf[0].size > 7
    )
    assert all(value.shape == (3,) for value in (*chunk.metrics.values(), chunk.bad_step))


def test_an_xla_without_the_options_compiles_as_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are XLA's own, and a later version may drop them; what is computed is the same without."""
    members = Members(seeds=np.zeros(1, np.uint32), fields={})

    def trained() -> list[np.ndarray]:
        program, stage = program_of(IQL(hidden=(7,), batch_size=4))
        state, _ = program.run(program.init(members), members, stage.everything(), 0, 3)
        return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]

    special = trained()
    for name in ("QUICKLY", "IN_PLACE"):
        monkeypatch.setattr(f"suture.training.program.{name}", {"xla_cpu_no_such_option": 0})
    for one, other in zip(special, trained(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_finiteness_is_told_for_each_member() -> None:
    state = {"a": np.ones((3, 2), np.float32), "b": np.ones(3, np.float32), "count": np.zeros(3, np.int32)}
    state["a"][1, 0], state["b"][2] = np.nan, np.inf
    assert np.asarray(guard.all_finite(state)).tolist() == [True, False, False]
    assert np.asarray(guard.finite_on_device(state)).tolist() == [True, False, False]

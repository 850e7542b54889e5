"""The front of value: when it is said to have come, on exact values, and whose values those of a run are."""

from pathlib import Path

import jax
import numpy as np
import pytest
from making import lqr

from suture.algorithms.iql import IQL
from suture.envs.composite.certificate import STEPS
from suture.envs.composite.env import STATE
from suture.envs.composite.twin import Twin, front
from suture.evaluation.propagation import boundary_values, fronts, in_order, starts_of
from suture.training.train import train

CHECKPOINTS = np.array([250, 500, 750])


@pytest.mark.parametrize("length", [1, 3])
def test_without_slips_value_is_there_after_exactly_as_many_sweeps_as_steps(length: int) -> None:
    twin = Twin(contexts=1, length=length, slip=0.0, discount=0.9)
    values, left = front(twin, 5 * length + 3), length * np.arange(5, 0, -1)
    np.testing.assert_allclose(values[-1], 0.9 ** (left - 1), rtol=1e-12)
    assert fronts(values, np.arange(len(values)), least=0.1) == left.tolist()
    assert in_order(left.tolist())


def test_a_front_is_there_once_the_value_exceeds_half_of_its_end() -> None:
    values = np.array([[0.4, 10.0, 20.0], [0.6, 20.0, 21.0], [0.9, 40.0, 40.0]])
    assert fronts(values, CHECKPOINTS) == [None, 750, 500], "one that ends below 1 has none; half is not more"


def test_a_front_needs_as_much_at_the_end_as_is_asked_of_its_stage() -> None:
    values = np.array([[0.0, 10.0, 20.0], [2.0, 20.0, 21.0], [2.0, 40.0, 40.0]])
    assert fronts(values, CHECKPOINTS, least=np.array([3.0, 20.0, 20.0])) == [None, 750, 500]


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        ([5, 4, 3, 2, 1], True),
        ([5, 4, 3, 3, 1], False),
        ([None, None, 3, 2, 1], True),
        ([5, 4, 2, 3, 1], False),
        ([1, None, 3, 2, 1], False),
    ],
)
def test_the_order_is_that_of_the_stages_backwards(came: list[int | None], expected: bool) -> None:
    assert in_order(came) is expected


def test_starts_are_the_same_each_time_and_of_their_stages() -> None:
    pytest.importorskip("mujoco", reason="mujoco is an extra")
    starts = starts_of(2)
    np.testing.assert_array_equal(starts, starts_of(2))
    np.testing.assert_array_equal(starts[:, STATE.index("unlocked")], np.repeat([0, 0, 0, 0, 1], 2))
    drawer = starts[:, STATE.index("drawer")]
    assert drawer[:4].max() < 0.5 * drawer[4:].min(), "it is open from the third stage on"


def test_values_of_a_run_are_means_of_v_over_each_stage_s_starts(tmp_path: Path) -> None:
    run = train(IQL(hidden=(4,)), lqr.log_of(noise=0.3, episodes=5), steps=2, seeds=2, out=tmp_path / "run")
    starts = np.random.default_rng(0).normal(size=(2 * len(STEPS), 2)).astype(np.float32)
    normal, nets = run.recipe.normaliser.normalise(starts), run.newest.state.value.net
    for member, found in enumerate(boundary_values(run, starts)):
        each = np.asarray(jax.tree.map(lambda leaf, one=member: leaf[one], nets)(normal))
        np.testing.assert_allclose(found, (each[::2] + each[1::2]) / 2, rtol=1e-5)

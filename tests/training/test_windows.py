"""n-step targets and chunks of actions: what a batch holds, against a plain loop over the log."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.sets import dataset_of

from suture.algorithms.base import Batch
from suture.algorithms.iql import IQL
from suture.algorithms.rebrac import ReBRAC
from suture.data.dataset import Dataset
from suture.data.normalise import Normaliser
from suture.data.stage import Stage
from suture.errors import RefusedInput
from suture.evaluation.evaluate import evaluate
from suture.spaces import Box, Discrete
from suture.training.train import train

NEEDS = frozenset(
    {"observation", "action", "reward", "discount", "next_observation", "next_action", "return_to_go"}
)
SCALED = Normaliser(action=None)


def ended(lengths: tuple[int, ...], truncated: tuple[int, ...] = ()) -> Dataset:
    """Episodes that terminate, but for those that are named, whose last next observation is missing."""
    data = dataset_of(lengths)
    last = data.episode_start[1:] - 1
    terminated, truncated_rows = data.terminated.copy(), data.truncated.copy()
    for episode in truncated:
        terminated[last[episode]], truncated_rows[last[episode]] = False, True
    following = np.random.default_rng(1).normal(size=data.observation.shape).astype(np.float32)  # type: ignore[union-attr]
    return dataclasses.replace(
        data, terminated=terminated, truncated=truncated_rows, next_observation=following,
        has_next=~truncated_rows,
    )  # fmt: skip


def stage_of(data: Dataset, algorithm: Any) -> Stage:
    return Stage(
        dataset=data, normaliser=SCALED, needs=NEEDS, rows=np.flatnonzero(data.bootstrappable),
        window=algorithm.window, chunk=algorithm.decision_steps, discount=algorithm.discount,
    )  # fmt: skip


def by_hand(data: Dataset, row: int, algorithm: Any) -> dict[str, Any]:
    """The transition of several steps from a row, with a loop."""
    total, factor, action = 0.0, 1.0, []
    assert data.reward is not None
    for step in range(algorithm.span):
        last = row + step
        total += algorithm.discount**step * float(data.reward[last])
        factor = algorithm.discount**step * float(~data.terminated[last])
        following = last + 1
        if (
            following >= len(data)
            or data.episode_index[following] != data.episode_index[row]
            or not data.bootstrappable[following]
        ):
            break
    for step in range(algorithm.chunk):
        action.append(data.action[min(row + step, last)])
    rest = data.reward[row : data.episode_start[data.episode_index[row] + 1]]
    return {
        "reward": total, "discount": factor,
        "return_to_go": (algorithm.discount ** np.arange(len(rest)) * rest).sum(),
        "next_observation": data.next_observation[last],  # type: ignore[call-overload]
        "observation": data.observation[row], "action": np.concatenate(action),  # type: ignore[call-overload]
    }  # fmt: skip


@pytest.mark.parametrize(("n_step", "chunk"), [(1, 1), (3, 1), (1, 3), (4, 2)])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_batch_is_what_a_loop_over_the_log_gives(n_step: int, chunk: int, streamed: bool) -> None:
    data = ended((7, 1, 5, 2, 6), truncated=(2, 4))
    algorithm = IQL(n_step=n_step, chunk=chunk, discount=0.9)
    stage = stage_of(data, algorithm)
    draws = np.arange(stage.eligible)
    if streamed:
        positions = stage.positions(draws)
        rows = jax.tree.map(jnp.asarray, stage.at(positions.reshape(-1)))
        columns = rows.take(np.arange(positions.size).reshape(positions.shape))
    else:
        columns = stage.everything().draw(draws)
    batch: Batch = algorithm.batch(columns)
    first = stage.rows if stage.starts is None else stage.rows[stage.starts]
    for place, row in enumerate(first):
        for name, value in by_hand(data, int(row), algorithm).items():
            found = np.asarray(getattr(batch, name))[place]
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6, err_msg=f"{name} of row {row}")


def test_chunks_begin_where_all_their_actions_were_taken_or_the_episode_ended() -> None:
    data = ended((5, 4), truncated=(1,))
    stage = stage_of(data, IQL(chunk=3))
    assert stage.starts is not None
    # The first episode terminates: its last rows may begin a chunk. The second was cut, and its last row
    # has no next observation: only rows with three usable rows ahead begin one.
    assert stage.rows[stage.starts].tolist() == [0, 1, 2, 3, 4, 5]


def test_the_next_action_is_the_logs_and_known_inside_episodes_alone() -> None:
    data = ended((3, 2))
    batch = stage_of(data, IQL()).everything().draw(np.arange(5))
    np.testing.assert_array_equal(batch["next_action_known"], [1, 1, 0, 1, 0])
    for row in (0, 1, 3):
        np.testing.assert_array_equal(batch["next_action"][row], data.action[row + 1])


@pytest.mark.parametrize(("n_step", "chunk"), [(1, 2), (1, 3), (4, 2)])
def test_the_next_chunk_is_what_the_log_did_next_as_far_as_it_is_known(n_step: int, chunk: int) -> None:
    data = ended((7, 1, 5, 2, 6), truncated=(2, 4))
    algorithm = ReBRAC(n_step=n_step, chunk=chunk)
    stage = stage_of(data, algorithm)
    batch = algorithm.batch(stage.everything().draw(np.arange(stage.eligible)))
    usual = IQL(n_step=n_step, chunk=chunk)
    same = usual.batch(stage_of(data, usual).everything().draw(np.arange(stage.eligible)))
    for name in ("observation", "action", "reward", "discount", "next_observation"):
        np.testing.assert_array_equal(getattr(batch, name), getattr(same, name), err_msg=name)
    assert stage.starts is not None
    found, counted = np.asarray(batch.next_action).reshape(-1, chunk, 2), 0
    for place, row in enumerate(stage.rows[stage.starts]):
        after = row + min(max(n_step, chunk), int(stage.reach[row]))
        for step in range(chunk):
            within = after + step < len(data) and data.episode_index[after + step] == data.episode_index[row]
            # A row that may not be read is known as what came after the one before it, and no further.
            known = within and (step == 0 or bool(data.bootstrappable[after + step - 1]))
            assert batch.next_action_known is not None
            assert batch.next_action_known[place, step] == known
            if known:
                np.testing.assert_allclose(found[place, step], data.action[after + step], rtol=1e-6)
                counted += 1
    assert counted > 5


def test_chunks_are_refused_for_choices() -> None:
    data = dataset_of((9,))
    choices = dataclasses.replace(data, action=np.zeros(9, np.int32), action_space=Discrete(2))
    with pytest.raises(RefusedInput, match="Leave out --chunk"):
        IQL(chunk=2).require(choices)


@pytest.mark.usefixtures("compiled_once")
def test_a_policy_of_chunks_is_trained_and_played(tmp_path: Any) -> None:
    """Pendulum: a decision of 4 torques is asked for every fourth step, and played in order."""
    data = dataset_of((40, 40))
    torque = Box((1,), low=(-2.0,), high=(2.0,))
    data = dataclasses.replace(data, action=data.action[:, :1], action_space=torque)
    run = train(IQL(hidden=(8,), chunk=4, batch_size=8), data, steps=4, out=tmp_path / "run")
    plan = run.policy.act(np.zeros(3, np.float32))
    assert plan.shape == (4, 1)
    evaluation = evaluate(run, "Pendulum-v1", episodes=2)
    assert evaluation.lengths.tolist() == [[200, 200]]

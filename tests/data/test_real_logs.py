"""Every real log reads as its publisher's notes say, and each of its traps is found and named.

The files are third-party data and no part of the project: they are found by SUTURE_DATA, and the tests
are skipped where they are absent.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.logs import ids

from suture import spaces
from suture.data.alignment import find_shifted_rewards
from suture.data.dataset import Dataset
from suture.data.findings import Finding
from suture.data.formats.schema import Schema
from suture.data.load import load
from suture.data.log import Reading
from suture.data.split import require_disjoint
from suture.data.summary import summarise
from suture.errors import DataRefused

DATA = Path(os.environ.get("SUTURE_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the third-party logs are absent (SUTURE_DATA)")

# transitions, episodes, terminated, truncated, unfinished, missing next observations, mean return
COUNTS: dict[str, tuple[int, int, int, int, int, int, float | None]] = {
    "swingup/uniform.h5": (20101, 155, 155, 0, 0, 0, 25.1),
    "swingup/random.h5": (20163, 112, 112, 0, 0, 0, 38.6),
    "swingup/medium_replay.h5": (8999, 52, 52, 0, 0, 0, 93.0),
    "swingup/expert_replay.h5": (13999, 59, 54, 4, 1, 0, 160.5),
    "swingup/medium.h5": (20044, 40, 30, 10, 0, 0, 423.3),
    "swingup/expert.h5": (20000, 20, 0, 20, 0, 0, 956.6),
    "neorl/dmsd_train.npz": (100000, 1000, 0, 1000, 0, 0, 494.5),
    "neorl/safety_halfcheetah_train.npz": (18000, 18, 0, 18, 0, 0, 1769.3),
    "pendulum/pendulum_replay.npz": (99500, 500, 0, 500, 0, 500, -180.5),
    "adroit/door_human.npz": (6729, 25, 0, 0, 25, 25, 794.1),
    "pointmaze/pointmaze-large-stitch-v0.npz": (400000, 2000, 0, 0, 2000, 0, None),
    "pointmaze/pointmaze-large-stitch-v0-val.npz": (40000, 200, 0, 0, 200, 0, None),
}
ACROBOT = Schema(
    episode="episode_id", order="transition_number", reward="reward", action=("action",),
    observation=tuple(f"state_feature_{n}" for n in range(6)), action_type="discrete",
    action_probabilities=("all_action_probabilities",),
)  # fmt: skip
BANDIT = Schema(
    order="timestamp", action=("item_id",), action_type="discrete", reward="click",
    propensity="propensity_score",
    observation=("position", *(f"user-item_affinity_{n}" for n in range(34))), columns=("timestamp",),
)  # fmt: skip
STRANGE = {"outlying-values", "stuck-sensor"}


def read(name: str, **options: Any) -> Dataset:
    return load(DATA / name, **options)


def found(data: Dataset, id: str) -> Finding:
    return next(finding for finding in data.findings if finding.id == id)


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_those_of_the_notes(name: str) -> None:
    data = read(name)
    summary = summarise(data)
    keys = ("transitions", "episodes", "terminated", "truncated", "unfinished", "missing_next_observations")
    assert tuple(summary[key] for key in keys) == COUNTS[name][:6]
    mean = COUNTS[name][6]
    assert summary["returns"]["mean"] == (None if mean is None else pytest.approx(mean, abs=0.06))
    assert not ids(data) & {"shifted-rewards", "shifted-next-observations", "non-finite", *STRANGE}


@pytest.mark.parametrize(("name", "both"), [("expert", 20), ("medium", 10), ("expert_replay", 4)])
def test_swing_up_done_is_also_set_at_time_limits(name: str, both: int) -> None:
    data = read(f"swingup/{name}.h5")
    assert found(data, "done-at-time-limits").count == both
    assert isinstance(data.action_space, spaces.Box)
    assert (data.action_space.low, data.action_space.high) == ((-3.0,), (3.0,))


def test_swing_up_medium_replay_is_the_start_of_expert_replay_d14() -> None:
    part, whole = read("swingup/medium_replay.h5"), read("swingup/expert_replay.h5")
    with pytest.raises(DataRefused, match="52 of 52 validation episodes"):
        require_disjoint(whole, part)
    require_disjoint(whole, read("swingup/medium.h5"))


def test_half_cheetah_holds_an_absolute_position() -> None:
    assert "observation[0]" in found(read("neorl/safety_halfcheetah_train.npz"), "drifting-columns").message
    assert "drifting-columns" not in ids(read("neorl/dmsd_train.npz"))


def test_pendulum_dones_are_time_limits_without_a_true_next_observation() -> None:
    data = read("pendulum/pendulum_replay.npz")
    assert found(data, "ambiguous-done").count == 500
    borrowed = found(data, "next-observation-of-next-episode")
    assert borrowed.count == 500
    assert "499 hold the next episode's first observation, 1 only zeros" in borrowed.message
    assert np.flatnonzero(~data.has_next).tolist() == list(range(198, 99500, 199))


def test_door_actions_leave_the_unit_box_and_ends_give_no_reason() -> None:
    data = read("adroit/door_human.npz")
    assert "-1.279 to 1.366" in found(data, "action-bounds").message
    assert found(data, "missing-next-observations").count == 25
    assert found(data, "unfinished-episodes").count == 25
    assert not (data.terminated | data.truncated).any()


def test_door_is_refused_with_the_unit_bounds_d10() -> None:
    data = read("adroit/door_human.npz", reading=Reading(action_bounds=(-1.0, 1.0)), admit=False)
    assert found(data, "actions-out-of-bounds").count == 5497


def test_point_maze_flags_are_boundaries_of_fragments() -> None:
    data = read("pointmaze/pointmaze-large-stitch-v0-val.npz")
    assert {"layout-inferred", "no-rewards", "unfinished-episodes"} <= ids(data)
    assert set(data.lengths) == {200}
    inside = np.flatnonzero(np.arange(len(data)) % 200 < 199)
    following = np.asarray(data.next_observation)
    np.testing.assert_array_equal(following[inside], np.asarray(data.observation)[inside + 1])


def test_acrobot_empty_actions_are_final_states_and_probabilities_give_propensities() -> None:
    data = read("acrobot/acrobot.csv", schema=ACROBOT)
    assert (len(data), data.episodes, data.action_space) == (9804, 30, spaces.Discrete(3))
    assert data.has_next.all()
    final = found(data, "final-states-read")
    assert (final.count, final.rows) == (30, tuple(int(row) for row in data.episode_start[1:6] - 1))
    assert final.message.startswith("The action is empty in 30 rows of 9,834: such a row holds only")
    assert "propensities-logged" in ids(data)
    table, propensity = data.action_probabilities, data.propensity
    assert table is not None
    assert propensity is not None
    np.testing.assert_array_equal(propensity, table[np.arange(len(data)), data.action])
    assert not ids(data) & {"propensity-disagrees", "action-probabilities", *STRANGE}


@pytest.mark.parametrize("name", ["random_men", "thompson_men"])
def test_open_bandit_is_one_step_with_rare_rewards(name: str) -> None:
    data = read(f"open_bandit/{name}.csv", schema=BANDIT)
    assert (len(data), data.episodes, data.terminated.sum()) == (10000, 10000, 10000)
    assert {"one-step-episodes", "rare-rewards", "propensities-logged"} <= ids(data)
    assert data.action_space == spaces.Discrete(34)
    assert not data.errors
    assert not ids(data) & STRANGE


@pytest.mark.parametrize("shift", [-1, 1])
@pytest.mark.parametrize(
    "name", ["neorl/safety_halfcheetah_train.npz", "swingup/uniform.h5", "pendulum/pendulum_replay.npz"]
)
def test_rewards_shifted_by_one_are_named_d9(name: str, shift: int) -> None:
    data = read(name)
    data = dataclasses.replace(data, reward=np.roll(np.asarray(data.reward), shift))
    raised: list[Finding] = []
    find_shifted_rewards(data, raised)
    assert [finding.id for finding in raised] == ["shifted-rewards"]

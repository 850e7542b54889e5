"""The regime of every log that others published, as its notes describe it."""

import functools
import json
import os
from pathlib import Path

import pytest

from suture.data.formats.schema import Schema
from suture.data.load import load
from suture.diagnosis.diagnose import Diagnosis, diagnose
from suture.diagnosis.drift import drift

DATA = Path(os.environ.get("SUTURE_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the third-party logs are absent (SUTURE_DATA)")

SCHEMAS = {
    "acrobot/acrobot.csv": Schema(
        episode="episode_id", order="transition_number", reward="reward", action=("action",),
        observation=tuple(f"state_feature_{n}" for n in range(6)), action_type="discrete",
        action_probabilities=("all_action_probabilities",),
    ),
} | dict.fromkeys(
    ("open_bandit/random_men.csv", "open_bandit/thompson_men.csv"),
    Schema(
        order="timestamp", action=("item_id",), action_type="discrete", reward="click",
        propensity="propensity_score", columns=("timestamp",),
        observation=("position", *(f"user-item_affinity_{n}" for n in range(34))),
    ),
)  # fmt: skip
# Where more answers are given, the notes allow them: a learning run that is good for most of its length, a
# few demonstrations whose returns differ by 0.45 of their mean.
REGIMES = {
    "swingup/uniform.h5": ("random",),
    "swingup/random.h5": ("random",),
    "swingup/medium_replay.h5": ("mixed",),
    "swingup/expert_replay.h5": ("mixed",),
    "swingup/medium.h5": ("mixed",),
    "swingup/expert.h5": ("imitation",),
    "neorl/dmsd_train.npz": ("mixed",),
    "neorl/safety_halfcheetah_train.npz": ("imitation",),
    "pendulum/pendulum_replay.npz": ("mixed", "imitation"),
    "adroit/door_human.npz": ("imitation", "insufficient", "mixed"),
    "pointmaze/pointmaze-large-stitch-v0-val.npz": ("heterogeneous",),
    "pointmaze/pointmaze-large-stitch-v0.npz": ("heterogeneous",),
    "acrobot/acrobot.csv": ("mixed",),
    "open_bandit/random_men.csv": ("random",),
    "open_bandit/thompson_men.csv": ("imitation", "mixed"),
}


@functools.cache
def told(name: str) -> Diagnosis:
    return diagnose(load(DATA / name, schema=SCHEMAS.get(name)))


@pytest.mark.parametrize("name", REGIMES)
def test_regimes_of_real_logs(name: str) -> None:
    found = told(name)
    assert found.regime.label in REGIMES[name], found.regime
    assert sum(found.regime.probabilities.values()) == pytest.approx(1)
    assert found.recommendation
    json.dumps(found.to_json(), allow_nan=False)


def test_middling_policies_that_earn_alike_are_neither_imitated_nor_filtered_first() -> None:
    """Cloning earns 558 there, implicit Q-learning 611 (benchmarks/RESULTS.md)."""
    found = told("neorl/dmsd_train.npz")
    assert found.regime.probabilities["imitation"] < 0.35
    assert [one.method for one in found.recommendation[:2]] == ["iql", "bc"]


def test_few_demonstrations_are_imitated_as_a_whole() -> None:
    """Cloning earns 92 there, implicit Q-learning 14 (benchmarks/RESULTS.md)."""
    first = told("adroit/door_human.npz").recommendation[0]
    assert first.method == "bc"
    assert "is 2 episodes: too few" in first.evidence


def test_fragments_of_a_maze_ask_for_rewards_and_for_joining() -> None:
    found = told("pointmaze/pointmaze-large-stitch-v0-val.npz")
    assert found.statistics.reach is not None
    assert found.statistics.reach.gain > 0.5
    assert (found.recommendation[0].method, found.recommendation[0].preset) == ("iql", "sparse")
    assert "The log has no rewards" in found.recommendation[0].evidence


def test_tiers_of_one_physics_stand_in_their_order() -> None:
    tiers = ("uniform", "medium_replay", "medium", "expert")
    plans = [told(f"swingup/{tier}.h5").statistics.stitching for tier in tiers]
    achieved = [plan.achieved for plan in plans if plan is not None]
    assert len(achieved) == 4
    assert achieved == sorted(achieved)


def test_tiers_differ_and_a_maze_does_not_differ_from_its_validation() -> None:
    found = drift(load(DATA / "swingup/medium.h5"), load(DATA / "swingup/expert.h5"))
    assert found.changed
    assert "reward" in {one.column for one in found.columns[:3]}
    maze = [load(DATA / f"pointmaze/pointmaze-large-stitch-v0{part}.npz") for part in ("", "-val")]
    assert max(one.distance for one in drift(maze[0], maze[1]).columns) < 0.1

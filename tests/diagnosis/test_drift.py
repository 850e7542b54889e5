"""Comparing logs: what changed is found, what did not is not, and whole episodes are the unit of chance."""

import dataclasses

import numpy as np
import pytest
from making.gridworld import make_log
from making.logs import built, changed, walk_log
from making.sets import dataset_of

from suture.data.dataset import Dataset
from suture.diagnosis.drift import Drift, drift
from suture.errors import RefusedInput


def column(found: Drift, name: str) -> float:
    return next(one.distance for one in found.columns if one.column == name)


def logged(seed: int = 0, episodes: int = 40) -> Dataset:
    return built(walk_log((25,) * episodes, seed=seed))


def test_halves_of_one_log_do_not_differ() -> None:
    whole = logged(episodes=80)
    changes = [
        drift(whole.take_episodes(order[:40]), whole.take_episodes(order[40:]), seed=turn).changed
        for turn, order in enumerate(np.random.default_rng(9).permutation(80) for _ in range(6))
    ]
    assert sum(changes) <= 1


def test_a_log_does_not_differ_from_itself() -> None:
    found = drift(logged(), logged())
    assert not found.changed
    assert max(one.distance for one in found.columns) < 0.02
    assert "No change" in found.verdict
    assert found.shared == 40


def test_episodes_that_both_logs_hold_are_counted() -> None:
    whole = logged(episodes=12)
    found = drift(whole.take_episodes(np.arange(7)), whole.take_episodes(np.arange(5, 12)))
    assert found.shared == 2
    assert "2 of the second log's 7 episodes are in the first too" in found.verdict
    apart = drift(whole.take_episodes(np.arange(6)), whole.take_episodes(np.arange(6, 12)))
    assert apart.shared == 0
    assert "in the first too" not in apart.verdict


def test_a_shifted_observation_is_named_first() -> None:
    one = logged()
    seen = np.array(one.observation)
    seen[:, 1] += 2 * seen[:, 1].std()
    found = drift(one, dataclasses.replace(one, observation=seen))
    assert found.changed
    assert found.columns[0].column == "observation[1]"
    assert found.columns[0].mean_shift == pytest.approx(2, abs=0.05)
    assert [one.column for one in found.columns if one.p_value <= 0.05] == ["observation[1]"]
    assert "observation[1]" in found.verdict


def test_distances_in_closed_form() -> None:
    """Uniform on [0, 1] against [1/4, 5/4]: the distribution functions differ by 1/4 at most."""
    one = dataset_of((20,) * 100)
    grid = np.tile(np.linspace(0, 1, 2000, dtype=np.float32)[:, None], (1, 3))
    one = dataclasses.replace(one, observation=grid)
    found = drift(one, dataclasses.replace(one, observation=grid + np.float32(0.25)))
    assert column(found, "observation[0]") == pytest.approx(0.25, abs=2e-3)
    assert next(c.measure for c in found.columns if c.column == "observation[0]") == "kolmogorov-smirnov"


def test_choices_by_total_variation() -> None:
    one = make_log("random")
    action = np.array(one.action)
    action[action == 3] = 0
    found = drift(one, dataclasses.replace(one, action=action))
    first = found.columns[0]
    assert (first.column, first.measure) == ("action", "total variation")
    assert first.distance == pytest.approx(np.mean(np.asarray(one.action) == 3), abs=1e-9)


def test_what_only_the_combination_shows() -> None:
    """Each column alone is the same; one log has them agree, the other disagree."""
    generator = np.random.default_rng(0)
    one = dataset_of((20,) * 60)
    value = generator.standard_normal((1200, 1)).astype(np.float32)
    noise = 0.2 * generator.standard_normal((1200, 1)).astype(np.float32)
    quiet = {"action": 0 * np.asarray(one.action), "reward": np.zeros(1200, np.float32)}
    agree = dataclasses.replace(one, observation=np.hstack([value, value + noise]), **quiet)
    other = dataclasses.replace(one, observation=np.hstack([value, -value - noise]), **quiet)
    found = drift(agree, other)
    assert found.joint_p_value <= 0.05
    assert found.joint > 0.2
    assert found.verdict.startswith("No single column changed") or found.changed


def test_episodes_that_keep_a_level_are_not_called_a_change() -> None:
    """Every episode has its own constant; rows would say p = 0, episodes rightly do not."""
    generator, called = np.random.default_rng(0), 0
    for turn in range(8):
        logs = []
        for _ in range(2):
            level = np.repeat(generator.standard_normal((20, 3)), 50, axis=0).astype(np.float32)
            logs.append(dataclasses.replace(dataset_of((50,) * 20, seed=turn), observation=level))
        called += drift(logs[0], logs[1], seed=turn).changed
    assert called <= 2


def test_two_recordings_tell_nothing_and_say_so() -> None:
    found = drift(logged(0, 2), logged(1, 2))
    assert not found.changed
    assert "2 and 2 episodes" in found.verdict


def test_different_tasks_are_refused() -> None:
    with pytest.raises(RefusedInput, match=r"observations of walk are .*box\[3\].*box\[4\]"):
        drift(logged(), built(walk_log((25,) * 4, dimensions=4)))
    with pytest.raises(RefusedInput, match="actions"):
        drift(logged(), built(walk_log((25,) * 4, action_dimensions=1)))


def test_without_rewards_in_one_the_rest_is_compared() -> None:
    found = drift(logged(), built(changed(walk_log((25,) * 40), reward=None)))
    assert {one.column for one in found.columns} == {
        "observation[0]", "observation[1]", "observation[2]", "action[0]", "action[1]",
    }  # fmt: skip


def test_images_are_compared_by_their_mean_colours() -> None:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 200, (400, 8, 8, 3)).astype(np.uint8)
    one = dataset_of((20,) * 20, observation=image)
    brighter = image.copy()
    brighter[..., 2] += 50
    found = drift(one, dataclasses.replace(one, observation=brighter))
    assert found.columns[0].column == "observation mean of channel 2"
    assert column(found, "observation mean of channel 0") == pytest.approx(0, abs=1e-12)

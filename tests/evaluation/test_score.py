"""Scores: intervals against tabulated quantiles, D4RL's normalisation, JSON without NaN."""

import dataclasses
import json

import numpy as np
import pytest

from suture.evaluation.score import Evaluation, normalised, reference


def evaluation(returns: list[list[float]], environment: str = "Hopper-v5") -> Evaluation:
    array = np.array(returns)
    return Evaluation(
        environment=environment, seed=0, returns=array, lengths=np.ones(array.shape, int),
        clipped=np.zeros(len(array)),
    )  # fmt: skip


def test_mean_standard_error_and_interval_are_students() -> None:
    one = evaluation([[1.0, 2.0, 3.0, 4.0]])
    assert one.mean[0] == 2.5
    assert one.standard_error[0] == pytest.approx(1.2909944487 / 2, abs=1e-9)
    # 3.182446 is the 97.5 % quantile of Student's t with three degrees of freedom (any printed table)
    half = 3.182446 * 1.2909944487 / 2
    np.testing.assert_allclose(one.interval[0], [2.5 - half, 2.5 + half], atol=1e-6)


def test_members_are_the_sample_of_the_overall_interval() -> None:
    mean, error, half = evaluation([[0.0, 2.0], [2.0, 4.0], [4.0, 6.0]]).overall
    assert (mean, error) == (3.0, pytest.approx(2 / np.sqrt(3)))
    assert half == pytest.approx(4.302653 * 2 / np.sqrt(3), abs=1e-5)


def test_json_says_none_where_nothing_is_defined() -> None:
    written = evaluation([[1.0]], "Unknown-v0").to_json()
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert written["standard_error"] is None
    assert written["per_member"]["interval"] == [[None, None]]
    assert written["per_member"]["score"] is None
    assert written["per_member"]["mean"] == [1.0]
    assert written["starts"] is None


def test_json_keeps_where_episodes_began_but_no_pictures() -> None:
    numbers = {"b": np.array([[1.0], [2.0]]), "a": np.array([3, 4])}
    began = dataclasses.replace(evaluation([[1.0, 2.0]]), starts=numbers).to_json()
    assert began["starts"] == [[3.0, 1.0], [4.0, 2.0]], "leaf after leaf, in the order of paths"
    seen = numbers | {"camera": np.zeros((2, 8, 8, 3), np.uint8)}
    assert dataclasses.replace(evaluation([[1.0, 2.0]]), starts=seen).to_json()["starts"] is None
    unknown = np.array([[np.nan], [1.0]])
    assert dataclasses.replace(evaluation([[1.0, 2.0]]), starts=unknown).to_json()["starts"] is None


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("HalfCheetah-v5", (-280.178953, 12135.0)),
        ("gymnasium_robotics:AdroitHandDoor-v1", (-56.512833, 2880.569309)),
        ("D4RL/door-human-v1", (-56.512833, 2880.569309)),
        ("maze2d-large-v1", (6.7, 273.99)),
        ("kitchen-complete-v0", (0.0, 4.0)),
    ],
)
def test_d4rl_references(name: str, task: tuple[float, float]) -> None:
    assert reference(name) == task
    scores = normalised(np.array(task), name)
    assert scores is not None
    np.testing.assert_allclose(scores, [0.0, 100.0])


@pytest.mark.parametrize(
    "name",
    ["benchmarks/SafetyHalfCheetah-v0", "AdroitHandDoorSparse-v1", "PointMaze_Large-v3", "CartPole-v1"],
)
def test_tasks_that_only_resemble_d4rl_have_no_score(name: str) -> None:
    assert normalised(np.zeros(1), name) is None


def test_the_sample_of_one_member_is_its_episodes() -> None:
    """A user with one seed learns how well this policy is known."""
    one = evaluation([[1.0, 2.0, 3.0, 4.0]])
    assert one.overall == (2.5, one.standard_error[0], pytest.approx(2.5 - one.interval[0, 0]))
    assert one.to_json()["interval"] == pytest.approx(one.interval[0].tolist())

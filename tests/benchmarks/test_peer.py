"""The peer sees the same settled data, its policies are read exactly, and its kept runs are not mixed up."""

import dataclasses
import json
import types
from pathlib import Path
from typing import Any

import _kept
import _peer
import numpy as np
import pytest
import scores

import suture
from suture.data.build import build
from suture.envs.chain import make_stitch_log
from suture.errors import SutureError
from suture.training.outcome import Outcome

RUN = _peer.PeerRun(
    task="maze", environment="suture/StitchMaze-v0", algorithm="bc", steps=10, seed=0, episodes=4,
    expectile=0.7, inverse_temperature=3.0,
)  # fmt: skip


def test_export_keeps_ends_apart_and_gives_the_last_next_observation() -> None:
    data = build(make_stitch_log(20, 0))
    exported = _peer.export(data)
    last = data.episode_start[1:] - 1
    assert 0 < exported["terminated"][last].sum() < 20
    np.testing.assert_array_equal(exported["final_observation"], np.asarray(data.next_observation)[last])
    assert exported["has_final"].all()
    np.testing.assert_array_equal(exported["low"], [-1, -1])
    np.testing.assert_allclose(exported["mean"], np.asarray(data.observation).mean(axis=0), atol=1e-6)


def policy_of(observation: np.ndarray) -> dict[str, Any]:
    """A peer's policy of one hidden unit, with its own answers computed by hand."""
    hidden = np.maximum((observation - 1.0) / 2.0 @ np.array([[1.0], [2.0]]) - 0.5, 0.0)
    return {
        "weight0": np.array([[1.0], [2.0]]), "bias0": np.array([-0.5]),
        "weight1": np.array([[0.3]]), "bias1": np.array([0.1]),
        "mean": np.array([1.0, 1.0]), "scale": np.array([2.0, 2.0]),
        "low": np.array([-3.0]), "high": np.array([1.0]),
        "observation": observation, "action": -1.0 + 2.0 * np.tanh(0.3 * hidden + 0.1),
    }  # fmt: skip


def test_the_peers_policy_is_read_exactly_or_refused() -> None:
    policy = policy_of(np.random.default_rng(0).normal(size=(50, 2)))
    act = _peer.acting(policy)
    np.testing.assert_allclose(act(policy["observation"]), policy["action"], atol=1e-5)
    assert act(np.zeros((3, 4, 2))).shape == (3, 4, 1)
    with pytest.raises(SutureError, match="misread"):
        _peer.acting(policy | {"bias1": np.array([0.2])})


def test_a_kept_run_is_used_only_for_its_own_data_and_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_peer, "RESULTS", tmp_path)
    data, other = build(make_stitch_log(20, 0)), build(make_stitch_log(20, 1))
    kept = {**dataclasses.asdict(RUN), "fingerprint": data.fingerprint, "returns": [1.0, 2.0, 3.0, 4.0]}
    RUN.file.parent.mkdir()
    RUN.file.write_text(json.dumps(kept))
    found = _peer.returns_of(RUN, data, train=False)
    assert found is not None
    assert found["returns"] == [1.0, 2.0, 3.0, 4.0]
    assert _peer.returns_of(RUN, other, train=False) is None
    assert _peer.returns_of(dataclasses.replace(RUN, episodes=5), data, train=False) is None


def test_a_field_that_an_algorithm_got_since_had_its_default(tmp_path: Path) -> None:
    fields = dataclasses.asdict(suture.IQL(expectile=0.8))
    asked = {"algorithm": "iql", "fields": fields, "steps": 10}
    before = {name: value for name, value in fields.items() if name != "dropout"}
    file = tmp_path / "one.json"
    file.write_text(json.dumps(asked | {"fields": before, "returns": [1.0]}))
    assert _kept.kept(file, asked, None) is not None
    for changed in ({"dropout": 0.1}, {"expectile": 0.7}):
        assert _kept.kept(file, asked | {"fields": fields | changed}, None) is None
    file.write_text(json.dumps(asked | {"fields": fields | {"forgotten": 1}, "returns": [1.0]}))
    assert _kept.kept(file, asked, None) is None


def test_a_run_that_was_stopped_leaves_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> Any:
        return types.SimpleNamespace(outcome=Outcome.PREEMPTED)

    monkeypatch.setattr(scores, "RESULTS", tmp_path)
    monkeypatch.setattr(suture, "train", stopped)
    with pytest.raises(SutureError, match="stopped on its way"):
        scores.ours("pendulum", "bc", build(make_stitch_log(20, 0)), scores.Scores())
    assert list(tmp_path.rglob("*.json")) == []


def test_a_side_is_the_mean_over_seeds_and_the_difference_is_in_standard_errors() -> None:
    side = scores.Side.of([[1.0, 3.0], [3.0, 5.0], [5.0, 7.0]])
    assert side.mean == 4.0
    assert side.standard_error == pytest.approx(2 / np.sqrt(3))
    alone = scores.Side.of([[1.0, 3.0]])
    assert alone.standard_error == pytest.approx(1.0)
    score = scores.Score(
        task="", algorithm="bc", steps=1, behaviour=0.0, published=None, ours=side, peer=alone
    )
    assert score.difference == pytest.approx(2.0 / np.hypot(1.0, 2 / np.sqrt(3)))


def test_every_task_names_a_file_of_the_data(data_folder: Path) -> None:
    assert len(scores.TASKS) == 10
    assert [task.path for task in scores.TASKS.values() if not (data_folder / task.path).is_file()] == []

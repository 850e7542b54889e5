"""A table without a schema is refused with a proposal that reads it as it is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from suture.data.build import build
from suture.data.formats import tabular
from suture.data.formats.schema import Schema
from suture.data.log import Log
from suture.errors import SchemaNeeded


def proposed(path: Path, folder: Path) -> tuple[Schema, Log, str]:
    """The proposal, saved as it is, the log read by it, and the message."""
    with pytest.raises(SchemaNeeded) as refusal:
        tabular.read(path)
    saved = folder / "schema.json"
    saved.write_text(json.dumps(refusal.value.proposal))
    return Schema.from_json(refusal.value.proposal), tabular.read(path, schema=saved), str(refusal.value)


def of(tmp_path: Path, columns: dict[str, Any]) -> tuple[Schema, Log, str]:
    pl.DataFrame(columns, strict=False).write_csv(tmp_path / "log.csv")
    return proposed(tmp_path / "log.csv", tmp_path)


def test_acrobot(data_folder: Path, tmp_path: Path) -> None:
    schema, log, said = proposed(data_folder / "acrobot" / "acrobot.csv", tmp_path)
    assert (schema.episode, schema.order, schema.reward) == ("episode_id", "transition_number", "reward")
    assert (schema.action, schema.action_type) == (("action",), "discrete")
    assert schema.observation == tuple(f"state_feature_{n}" for n in range(6))
    assert schema.action_probabilities == ("all_action_probabilities",)
    assert "episode_name" in said
    assert log.final_state is not None
    assert log.final_state.sum() == 30
    data = build(log)
    assert (len(data), data.episodes, int(data.has_next.sum())) == (9804, 30, 9804)
    assert data.action_probabilities is not None
    np.testing.assert_allclose(data.action_probabilities.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["random_men", "thompson_men"])
def test_open_bandit(data_folder: Path, tmp_path: Path, name: str) -> None:
    schema, log, said = proposed(data_folder / "open_bandit" / f"{name}.csv", tmp_path)
    assert (schema.episode, schema.order, schema.reward) == (None, "timestamp", "click")
    assert (schema.action, schema.action_type) == (("item_id",), "discrete")
    assert schema.propensity == "propensity_score"
    assert schema.observation == ("position", *(f"user-item_affinity_{n}" for n in range(34)))
    assert schema.columns == ("timestamp",)
    assert "user_feature_0" in said
    data = build(log)
    assert (len(data), data.episodes, int(data.terminated.sum())) == (10_000, 10_000, 10_000)
    assert (np.diff(data.columns["timestamp"]) >= np.timedelta64(0)).all()


EPISODES = np.repeat(np.arange(20), 15)
STEPS = np.tile(np.arange(15), 20)
NOISE = np.random.default_rng(0).normal(size=(8, 300))


def test_patients(tmp_path: Path) -> None:
    schema, log, _ = of(tmp_path, {
        "patient": [f"P{e:03d}" for e in EPISODES], "day": STEPS, "heart_rate": 70 + NOISE[0],
        "dose": np.abs(NOISE[1]), "outcome": NOISE[2],
    })  # fmt: skip
    assert (schema.episode, schema.order, schema.reward) == ("patient", "day", "outcome")
    assert (schema.observation, schema.action, schema.action_type) == (
        ("heart_rate",),
        ("dose",),
        "continuous",
    )
    assert len(set(np.asarray(log.episode).tolist())) == 20


def test_plain_steps(tmp_path: Path) -> None:
    schema, _, _ = of(tmp_path, {
        "episode_id": EPISODES, "step": STEPS, "obs_0": NOISE[0], "obs_1": NOISE[1], "action_0": NOISE[2],
        "reward": NOISE[3], "done": STEPS == 14,
    })  # fmt: skip
    assert (schema.episode, schema.order, schema.reward, schema.done) == (
        "episode_id",
        "step",
        "reward",
        "done",
    )
    assert (schema.observation, schema.action) == (("obs_0", "obs_1"), ("action_0",))
    assert (schema.terminated, schema.truncated) == (None, None)


def test_many_dimensions_flags_and_next_states(tmp_path: Path) -> None:
    schema, _, said = of(tmp_path, {
        "": np.arange(300), "Trajectory ID": EPISODES, "timestep": STEPS,
        "state_0": NOISE[0], "state_1": NOISE[1],
        "action_0": NOISE[2], "action_1": NOISE[3], "Reward": NOISE[4], "next_state_0": NOISE[5],
        "next_state_1": NOISE[6], "terminated": STEPS == 14, "truncated": STEPS > 20, "comment": ["x"] * 300,
    })  # fmt: skip
    assert (schema.episode, schema.order, schema.reward) == ("Trajectory ID", "timestep", "Reward")
    assert (schema.terminated, schema.truncated, schema.done) == ("terminated", "truncated", None)
    assert (schema.observation, schema.action) == (("state_0", "state_1"), ("action_0", "action_1"))
    assert "comment" in said


def test_driving(tmp_path: Path) -> None:
    times = [f"2024-05-{1 + e:02d} 10:00:{s:02d}" for e, s in zip(EPISODES, STEPS, strict=True)]
    schema, _, _ = of(tmp_path, {
        "trip_id": EPISODES, "timestamp": times, "speed": NOISE[0], "lane_offset": NOISE[1],
        "steering": NOISE[2], "throttle": NOISE[3], "score": NOISE[4],
    })  # fmt: skip
    assert (schema.episode, schema.order, schema.columns) == ("trip_id", "timestamp", ("timestamp",))
    assert (schema.observation, schema.action) == (("speed", "lane_offset"), ("steering", "throttle"))
    assert schema.reward == "score"


def test_wild_names_are_guessed_from_the_values_and_it_says_so(tmp_path: Path) -> None:
    schema, log, said = of(tmp_path, {
        "flurb": EPISODES, "zork": STEPS, "quux": NOISE[0], "blip": NOISE[1], "wibble": NOISE[2],
        "gain": NOISE[3],
    })  # fmt: skip
    assert (schema.episode, schema.order) == ("flurb", "zork")
    assert (schema.observation, schema.action, schema.reward) == (("quux", "blip"), ("wibble",), "gain")
    assert said.count("was guessed to be") == 4
    assert log.reward is not None


def test_choices_by_number_are_discrete_and_measured_doses_are_not(tmp_path: Path) -> None:
    columns = {"episode": EPISODES, "t": STEPS, "obs_0": NOISE[0], "reward": NOISE[1]}
    assert of(tmp_path, {**columns, "action": STEPS % 3})[0].action_type == "discrete"
    assert of(tmp_path, {**columns, "action": STEPS % 3 - 1})[0].action_type == "continuous"
    assert of(tmp_path, {**columns, "action": STEPS * 100})[0].action_type == "continuous"


def test_one_episode_per_file_is_an_episode(tmp_path: Path) -> None:
    schema, log, _ = of(
        tmp_path, {"episode": [0] * 300, "t": np.arange(300), "obs": NOISE[0], "action": NOISE[1]}
    )
    assert schema.episode == "episode"
    assert len(set(np.asarray(log.episode).tolist())) == 1

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
from suture.data.split import split
from suture.errors import ConfigError, SchemaNeeded


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


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("beside", [False, True])
def test_a_schema_that_is_there_is_not_overwritten(
    suffix: str, beside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the working folder nor beside the table; `>` makes an empty file before anything is read."""
    monkeypatch.chdir(tmp_path)
    path = Path(f"logs/pend.{suffix}" if beside else f"pend.{suffix}")
    path.parent.mkdir(exist_ok=True)
    frame = pl.DataFrame(fleet())
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    saved = path.with_name("pend.schema.json")
    for content in ("", "{}"):
        saved.write_text(content)
        with pytest.raises(SchemaNeeded) as refusal:
            tabular.read(path)
        advice = refusal.value.advice
        assert (f"{saved} is there already" in advice) is bool(content)
        assert (f"suture inspect {path} --schema {saved}" in advice) is (bool(content) or not beside)
        assert (f"suture inspect {path} > pend.schema.json" in advice) is (not content)
        assert (f"suture inspect {path} > pend-2.schema.json" in advice) is bool(content)


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


ROBOTS = np.array(["Ann", "Bo", "Cy"])[EPISODES % 3]


def fleet(**more: Any) -> dict[str, Any]:
    return {
        "run": EPISODES, "step": STEPS, "speed": NOISE[0], "action": NOISE[1], "reward": NOISE[2], **more
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "values"),
    [("robot", ROBOTS), ("site name", ROBOTS), ("robot_id", EPISODES % 3 + 7)],
)
def test_whose_episodes_they_are_is_kept_for_splitting(name: str, values: Any, tmp_path: Path) -> None:
    """Three robots of some seven episodes each: nothing to learn from as it is, but to split by."""
    schema, log, said = of(tmp_path, fleet(**{name: values}))
    assert schema.columns == (name,)
    assert schema.observation == ("speed",)
    assert f"entity:{name}" in said
    assert "Left out" not in said
    data = build(log).admit()
    held = split(data, fraction=0.3, by=f"entity:{name}").validation
    assert 0 < held.episodes < data.episodes
    trained = split(data, fraction=0.3, by=f"entity:{name}").train.dataset
    assert not set(held.columns[name].tolist()) & set(trained.columns[name].tolist())


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("robot", np.array(["Ann", "Bo", "Cy"])[STEPS % 3], "changes within episodes"),
        ("robot", np.array([f"R{e}" for e in EPISODES]), "each has one episode"),
        ("robot", np.repeat("Ann", 300), "there is but one"),
        ("robot", np.where(EPISODES == 3, None, ROBOTS), "of some it is not known"),
        ("begun", np.array(["2024-05-01", "2024-05-02"])[EPISODES % 2], "a date is nobody"),
    ],
)
def test_text_that_names_no_entity_is_left_out(name: str, values: Any, why: str, tmp_path: Path) -> None:
    schema, _, said = of(tmp_path, fleet(**{name: values}))
    assert schema.columns == (), why
    assert f"Left out: '{name}'" in said
    assert "entity:" not in said


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


def unread(tmp_path: Path, columns: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The proposal as JSON and the advice, for a table that it may not read."""
    pl.DataFrame(columns, strict=False).write_csv(tmp_path / "log.csv")
    with pytest.raises(SchemaNeeded) as refusal:
        tabular.read(tmp_path / "log.csv")
    return refusal.value.proposal, refusal.value.advice


def test_wild_names_give_episode_and_order_by_their_values_and_nothing_else(tmp_path: Path) -> None:
    columns = {
        "flurb": EPISODES, "zork": STEPS, "quux": NOISE[0], "blip": NOISE[1], "wibble": NOISE[2],
        "gain": NOISE[3],
    }  # fmt: skip
    proposal, said = unread(tmp_path, columns)
    assert (proposal["episode"], proposal["order"]) == ("flurb", "zork")
    assert said.count("was guessed to be") == 2
    assert (proposal["action"], proposal["reward"], proposal["cost"]) == ([], None, None)
    assert "No column was recognised as the action" in said
    assert "No column was recognised as the reward" in said
    with pytest.raises(ConfigError, match=r"Schema\.action names no column"):
        Schema.from_json(proposal)


def test_a_plant(tmp_path: Path) -> None:
    """One clock for all batches, an alarm that comes and goes, a shutdown that ends batches, a cost."""
    times = [f"2024-05-01 {n // 60:02d}:{n % 60:02d}:00" for n in range(300)]
    schema, log, said = of(tmp_path, {
        "timestamp": times, "batch": [f"B{e}" for e in EPISODES], "temperature": 80 + NOISE[0],
        "steam_valve_setpoint": NOISE[1], "coolant valve SP": NOISE[2], "energy_cost": np.abs(NOISE[3]),
        "alarm": (NOISE[4] > 1).astype(int), "emergency_shutdown": ((STEPS == 14) & (EPISODES % 3 == 0)) * 1,
    })  # fmt: skip
    assert (schema.episode, schema.order, schema.columns) == ("batch", "timestamp", ("timestamp",))
    assert schema.action == ("steam_valve_setpoint", "coolant valve SP")
    assert schema.observation == ("temperature", "alarm")
    assert (schema.reward, schema.cost) == (None, "energy_cost")
    assert (schema.terminated, schema.done) == ("emergency_shutdown", None)
    assert "'energy_cost' was taken for a cost by its name: the reward is -energy_cost" in said
    assert log.reward is not None
    np.testing.assert_allclose(log.reward, -np.abs(NOISE[3]), rtol=1e-6)


@pytest.mark.parametrize("first", [0, 1])
def test_a_flag_is_no_episode(tmp_path: Path, first: int) -> None:
    """Neither one that goes to and fro, nor one that is set once, nor one whose name sounds like a label."""
    columns = {"t": np.arange(300), "x": NOISE[0], "action": NOISE[1], "reward": NOISE[2]}
    for name in ("valve_open", "run", "batch"):
        for flag in ((np.arange(300) // 7 + first) % 2, ((np.arange(300) > 200) + first) % 2):
            if name != "valve_open" and np.abs(np.diff(flag)).sum() == 1:
                continue  # two blocks of a column that is named so are two runs
            proposal, said = unread(tmp_path, {name: flag, **columns})
            assert proposal["episode"] is None, (name, flag)
            assert "No column was recognised as the episode" in said


def test_categories_are_labels(tmp_path: Path) -> None:
    table = pl.DataFrame({"site": [f"S{e}" for e in EPISODES], "t": STEPS, "x": NOISE[0], "action": NOISE[1]})
    for kind in (pl.Categorical(), pl.Enum([f"S{n}" for n in range(20)])):
        table.with_columns(pl.col("site").cast(kind)).write_parquet(tmp_path / "log.parquet")
        assert proposed(tmp_path / "log.parquet", tmp_path)[0].episode == "site"


def test_two_shuffled_episodes_are_episodes(tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(30)
    schema, _, _ = of(tmp_path, {"episode": EPISODES[order] % 2, "t": STEPS[order], "obs": NOISE[0][order],
                                 "action": NOISE[1][order]})  # fmt: skip
    assert (schema.episode, schema.order) == ("episode", "t")


def test_levels_that_fill_blocks_are_no_episode(tmp_path: Path) -> None:
    """A set point that is raised step by step, costs and rewards that stay for a while."""
    level = np.repeat([40, 50, 60, 70, 80, 90], 50)
    for name in ("level", "oven_setpoint", "fee", "reward"):
        proposal, _ = unread(tmp_path, {"x": NOISE[0], name: level, "y": NOISE[1]})
        assert proposal["episode"] is None, name


def test_flags_of_ends_are_taken_where_they_stand_on_last_rows_only(tmp_path: Path) -> None:
    columns = {"run": EPISODES, "step": STEPS, "x": NOISE[0], "action": NOISE[1], "reward": NOISE[2]}
    some = (STEPS == 14) & (EPISODES % 4 == 0)
    for name, role in (("failure", "terminated"), ("died", "terminated"), ("pump_failed", "terminated"),
                       ("timeout", "truncated"), ("is_done", "done"), ("signal_7", "done")):  # fmt: skip
        proposal, said = unread(tmp_path, {**columns, name: some * 1})
        assert [r for r in ("terminated", "truncated", "done") if proposal[r]] == [role], name
        assert proposal[role] == name
        assert (f"{name!r} was taken as {role}" in said) == (name not in ("timeout", "is_done"))
        assert name not in proposal["observation"]
    shuffled = np.random.default_rng(2).permutation(300)
    proposal, _ = unread(tmp_path, {n: c[shuffled] for n, c in {**columns, "failure": some * 1}.items()})
    assert proposal["terminated"] == "failure"


def test_a_flag_on_other_rows_is_left_out_or_observed(tmp_path: Path) -> None:
    columns = {"patient": EPISODES, "hour": STEPS, "x": NOISE[0], "dose": NOISE[1]}
    everywhere = (EPISODES % 4 == 0) * 1
    proposal, said = unread(tmp_path, {**columns, "died": everywhere, "alarm": (NOISE[5] > 1) * 1})
    assert [proposal[role] for role in ("terminated", "truncated", "done")] == [None] * 3
    assert proposal["observation"] == ["x", "alarm"], (
        "a fate that is known from the first row is no observation"
    )
    assert "Left out: 'died' (a flag of ends must be 1 on the last row of an episode" in said


def test_flags_alone_divide_the_rows(tmp_path: Path) -> None:
    columns = {"step": STEPS, "obs": NOISE[0], "action": NOISE[1], "reward": NOISE[2]}
    schema, log, _ = of(tmp_path, {**columns, "done": STEPS == 14})
    assert (schema.episode, schema.order, schema.done) == (None, "step", "done")
    assert build(log).lengths.tolist() == [15] * 20
    proposal, said = unread(tmp_path, columns)
    assert proposal["episode"] is None
    assert "'step' begins anew 19 times: add a column that numbers these runs" in said


def test_a_reward_at_the_end_is_a_reward(tmp_path: Path) -> None:
    columns = {"run": EPISODES, "step": STEPS, "x": NOISE[0], "action": NOISE[1]}
    for name in ("reward", "outcome", "click"):
        proposal, _ = unread(tmp_path, {**columns, name: ((STEPS == 14) & (EPISODES % 2 == 0)) * 1})
        assert (proposal["reward"], proposal["done"]) == (name, None)
    proposal, said = unread(tmp_path, {**columns, "outcome": EPISODES % 2})
    assert proposal["reward"] == "outcome"
    assert "'outcome' is the same on all rows of an episode, and would count once for each" in said


@pytest.mark.parametrize(
    "name",
    ["cost", "Energy Cost", "penalty", "heat_loss", "loss", "price", "energy_use", "power_consumption", "kWh",
     "costPerStep"],
)  # fmt: skip
def test_a_name_of_a_cost_is_a_cost(tmp_path: Path, name: str) -> None:
    columns = {"run": EPISODES, "step": STEPS, "x": NOISE[0], "action": NOISE[1]}
    proposal, said = unread(tmp_path, {**columns, name: np.abs(NOISE[2])})
    assert (proposal["reward"], proposal["cost"]) == (None, name)
    assert f"{name!r} was taken for a cost" in said
    proposal, said = unread(tmp_path, {**columns, name: -np.abs(NOISE[2])})
    assert (proposal["reward"], proposal["cost"]) == (name, None)
    assert f"{name!r} is named like a cost but never positive" in said
    proposal, said = unread(tmp_path, {**columns, name: np.abs(NOISE[2]), "profit": NOISE[3]})
    assert (proposal["reward"], proposal["cost"]) == ("profit", None)


def test_of_two_costs_the_clearer_one_is_taken_and_the_other_named(tmp_path: Path) -> None:
    columns = {"run": EPISODES, "step": STEPS, "x": NOISE[0], "action": NOISE[1]}
    proposal, said = unread(tmp_path, {**columns, "price": np.abs(NOISE[2]), "energy_cost": np.abs(NOISE[3])})
    assert proposal["cost"] == "energy_cost"
    assert proposal["observation"] == ["x"]
    assert "Left out: 'price' ('energy_cost' is the cost; put all that counts into one column)" in said


def test_names_with_units_and_dots_and_dates_under_any_name(tmp_path: Path) -> None:
    columns = {"x": NOISE[0], "Feed rate SP [kg/h]": NOISE[1]}
    schema, _, _ = of(tmp_path, {"Batch No.": EPISODES + 1.0, "Elapsed (min)": 5 * STEPS, **columns})
    assert (schema.episode, schema.order) == ("Batch No.", "Elapsed (min)")
    assert schema.action == ("Feed rate SP [kg/h]",)
    charted = [f"2110-03-{1 + e:02d} {s:02d}:00" for e, s in zip(EPISODES, STEPS, strict=True)]
    schema, _, _ = of(tmp_path, {"stay_id": EPISODES, "charted": charted, **columns})
    assert (schema.episode, schema.order, schema.columns) == ("stay_id", "charted", ("charted",))


def test_one_recording_without_a_label_is_named(tmp_path: Path) -> None:
    columns = {"x": NOISE[0], "action": NOISE[1]}
    _, said = unread(tmp_path, {"time": np.round(0.02 * np.arange(300), 3), **columns})
    assert "'time' grows evenly: if the file is one recording, add a column with one label." in said
    _, said = unread(tmp_path, {"time": np.cumsum(1 + np.arange(300) % 7), **columns})
    assert "grows evenly" not in said
    _, said = unread(tmp_path, {"cycle": STEPS, **columns})
    assert "'cycle' begins anew 19 times: add a column that numbers these runs." in said
    _, said = unread(tmp_path, {"cycle": STEPS + EPISODES % 3, **columns})
    assert "begins anew" not in said


def test_a_shop(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    proposal, said = unread(tmp_path, {
        "time": 1_700_000_000 + np.sort(rng.integers(0, 10**6, 300)), "user_id": rng.integers(0, 50, 300),
        "age": rng.integers(18, 80, 300), "recommended_item": np.arange(300) % 40, "clicked": NOISE[0] > 1,
    })  # fmt: skip
    assert (proposal["episode"], proposal["order"], proposal["reward"]) == (None, "time", "clicked")
    assert (proposal["action"], proposal["action_type"]) == (["recommended_item"], "discrete")
    assert proposal["observation"] == ["age"]
    assert "Perhaps 'user_id'? With null every row is a decision of its own (a bandit log)." in said
    assert "proposed as choices (discrete)" in said
    assert "whole numbers from 0 to 39" in said
    assert "subtract" not in said


def test_choices_that_count_from_1_are_said_to(tmp_path: Path) -> None:
    columns = {"run": EPISODES, "step": STEPS, "x": NOISE[0], "action": 1 + np.arange(300) % 5}
    proposal, said = unread(tmp_path, columns)
    assert proposal["action_type"] == "discrete"
    assert "whole numbers from 1 to 5" in said
    assert "Choices count from 0: subtract 1" in said


def test_what_cannot_be_an_observation_is_left_out_with_the_reason(tmp_path: Path) -> None:
    proposal, said = unread(tmp_path, {
        "run": EPISODES, "step": STEPS, "x": NOISE[0], "action": NOISE[1], "reward": NOISE[2],
        "device_id": STEPS % 3, "stamp": 1_700_000_001 + np.arange(300) % 7, "next_x": NOISE[3],
        "gap": [None, *NOISE[4][1:]], "note": ["ok"] * 300, "mixed": ["1.5"] * 299 + ["n.a."],
    })  # fmt: skip
    assert proposal["observation"] == ["x"]
    for reason in (
        "'device_id' (identifiers",
        "'stamp' (whole numbers too large for float32",
        "'gap' (empty cells",
        "'next_x' (the next row",
        "'note' (text",
        "'mixed' (numbers but for 1 cell, the first 'n.a.'",
    ):
        assert f"Left out: {reason}" in said  # fmt: skip


def test_no_column_is_proposed_in_two_roles(tmp_path: Path) -> None:
    proposal, _ = unread(tmp_path, {
        "run": EPISODES, "step": STEPS, "time": STEPS, "x": NOISE[0], "action": NOISE[1], "dose": NOISE[2],
        "reward": NOISE[3], "rew": NOISE[4], "cost": NOISE[5], "done": STEPS == 14, "failed": STEPS == 14,
        "propensity": 0.5 + 0 * NOISE[0],
    })  # fmt: skip
    single = [proposal[role] for role in ("episode", "order", "reward", "cost", "terminated", "truncated",
                                          "done", "propensity")]  # fmt: skip
    named = [name for name in single if name] + proposal["observation"] + proposal["action"]
    assert len(named) == len(set(named))
    assert (proposal["terminated"], proposal["done"], proposal["reward"]) == ("failed", "done", "reward")
    assert not {"rew", "cost"} & set(named), "other outcomes of the step are no observations"


def test_an_order_that_repeats_within_an_episode_is_named(tmp_path: Path) -> None:
    """Two trials of each subject, numbered by a column of their own: neither column labels an episode."""
    columns = {
        "subject": EPISODES // 2,
        "trial": EPISODES % 2,
        "step": STEPS,
        "x": NOISE[0],
        "action": NOISE[1],
    }
    proposal, said = unread(tmp_path, columns)
    assert (proposal["episode"], proposal["order"]) == ("subject", None), "sorting would mix the trials"
    assert "'step' repeats within values of 'subject'" in said


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


def test_what_may_have_been_set_is_named_as_a_possible_action(tmp_path: Path) -> None:
    columns = {
        "run": EPISODES, "step": STEPS, "temperature": NOISE[0], "cooling valve [%]": NOISE[1],
        "stage": np.arange(300) % 3, "sex": EPISODES % 2, "prev_valve": NOISE[2], "reward": NOISE[3],
    }  # fmt: skip
    proposal, said = unread(tmp_path, columns)
    assert proposal["action"] == []
    assert "by their names or their few levels: 'cooling valve [%]', 'stage'. Move" in said
    _, said = unread(tmp_path, {"run": EPISODES, "step": STEPS, "x": NOISE[0], "action": NOISE[1]})
    assert "Possible actions" not in said

"""The grasping benchmark: its intervals, what its rows say, and the commands that do the same."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="mujoco is an extra")
pytest.importorskip("array_record", reason="array-record is an extra")
pytest.importorskip("grain", reason="grain is an extra")

import grasp
from _bench import wilson

import suture
from suture import cli
from suture.envs.grasp.collect import ACTION_SPACE


@pytest.mark.parametrize(("successes", "trials"), [(0, 40), (7, 40), (400, 400), (613, 700)])
def test_at_the_ends_of_an_interval_the_share_is_1_96_deviations_away(successes: int, trials: int) -> None:
    share, ends = successes / trials, wilson(successes, trials)
    assert 0 <= ends[0] <= share <= ends[1] <= 1
    for end in ends:
        assert abs(share - end) == pytest.approx(1.96 * (end * (1 - end) / trials) ** 0.5, abs=1e-9)


def test_a_row_says_what_was_played_and_from_how_much() -> None:
    success, others = [True, False, True, True], [True, False]
    row = grasp.row_of("offline", 3, success, others, [(500, 0.25), (1_000, 0.75)], offline=500, online=0)
    told = row.details
    assert (row.ours, told["success"], told["episodes"], told["logged_shapes"]) == (0.75, 0.75, 4, 0.5)
    assert (told["averaged"], told["updates"], told["curve"]) == (0.5, 1_000, [[500, 0.25], [1_000, 0.75]])
    assert (told["offline_episodes"], told["online_episodes"]) == (500, 0)
    assert grasp.brief(row).details["interval"] == "0.301 to 0.954"


def test_an_update_costs_what_is_counted_by_hand() -> None:
    """Of 8 pixels: four patches of 4x4, of which one is made, which a convolution looks at."""
    layers, (first, second) = [4 * 48 * 32, 4 * 32 * 64, 9 * 64 * 64, 64 * 256], grasp.HIDDEN
    encode, ask = sum(layers), (256 + 3 + 8) * first + first * second + second
    train = 3 * (encode + ask) - layers[0]
    sample = 8 * first + first * second + second
    target = 2 * (encode + ask) + 64 * sample
    found = grasp.multiplications(8)
    assert found["targets"] == target
    assert found["images"] == train + target
    assert found["actions"] == encode + ask + 4 * 256 * sample


def test_the_documentation_s_command_sets_what_the_benchmark_sets(root: Path) -> None:
    text = (root / "docs" / "grasping.md").read_text()
    command = " ".join(text.split("suture train qt_opt")[1].split("suture evaluate")[0].split()) + " "
    settings, ours, usual = grasp.Settings(), grasp.OFFLINE, suture.QTOpt()
    online = " ".join(text.split("suture finetune runs/grasp ")[1].split("```")[0].split()) + " "
    for name in ("discount", "critic_learning_rate"):
        asked = online.split(f"--{name.replace('_', '-')} ")[1].split()[0]
        assert float(asked) == getattr(grasp.ONLINE, name)
    first, last = grasp.SHARES["finetuned"]
    told = f"--updates-per-step {settings.updates_per_step} --share-first {first} --share-last {last} "
    assert f"{told}--at-once {settings.at_once} " in online
    for field in dataclasses.fields(ours):
        value, option = getattr(ours, field.name), f"--{field.name.replace('_', '-')}"
        if value != getattr(usual, field.name):
            found = command.split(f"{option} ")[1].split("--")[0].replace("\\", "").split()
            words = [] if value is True else value if isinstance(value, tuple) else (value,)
            assert [type(word)(told) for word, told in zip(words, found, strict=True)] == list(words), option
    assert f"--steps {settings.updates} " in command
    assert f"--reward-shift {grasp.COST} " in command
    assert f"--reward-shift {grasp.COSTS['finetuned']:g} " in online
    mix = ",".join(f"{name}={share}" for name, share in grasp.MIX.items())
    assert f"suture make grasps logs/grasps --episodes {settings.episodes} --mix {mix} " in text


def test_a_log_is_made_streamed_learned_from_and_what_was_learned_is_played(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands of the documentation, but for sizes and lengths."""
    monkeypatch.chdir(tmp_path)
    shown = (root / "docs" / "grasping.md").read_text().split("```\nsuture make grasps")[1].split("\n```")[0]
    script = re.sub(r"#.*", "", f"suture make grasps{shown}").replace("\\\n", " ")
    shorter = {
        "--episodes 30000": "--episodes 12 --workers 1", "--hidden 256 256": "--hidden 8 --memory-limit 1MB",
        "--batch-size 64": "--batch-size 4 --samples 8 --elites 2",
        "--act-iterations 4": "--act-iterations 1",
        "--steps 20000": "--steps 2", "--steps 15000": "--steps 12",
        "--at-once 100": "--at-once 1 --memory-limit 99MB",
        "--episodes 700": "--episodes 2 --json",
    }  # fmt: skip
    assert [long for long in shorter if long not in script] == [], "what the documentation no longer says"
    for line in script.splitlines():
        for long, short in shorter.items():
            line = line.replace(long, short)
        monkeypatch.setattr(sys, "argv", line.split())
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code, line
    said = capsys.readouterr()
    assert "streaming it" in said.err
    (told,) = (line for line in said.out.splitlines() if line.startswith("{"))
    (shares,) = json.loads(told)["per_member"]["successes"]
    assert len(shares) == 2
    assert suture.open_run("runs/grasp-online").newest.step == 6
    policy, data = suture.open_run("runs/grasp").policy, suture.load("logs/grasps")
    low, high = (np.asarray(bound) for bound in (ACTION_SPACE.low, ACTION_SPACE.high))
    acted = np.asarray(policy.act({name: np.asarray(array[:9]) for name, array in data.observation.items()}))
    assert ((low - 1e-6 <= acted) & (acted <= high + 1e-6)).all()
    chosen = acted[:, 5:]
    assert set(np.unique(chosen)) <= {-1, 1}
    assert ((chosen > 0).sum(1) <= 1).all()


def test_four_stages_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark whole, but for sizes; asked again, it trains and plays nothing."""
    small = {
        "hidden": (8,),
        "batch_size": 4,
        "samples": 8,
        "elites": 2,
        "act_samples": 8,
        "act_iterations": 1,
    }
    stages = {"OFFLINE": grasp.OFFLINE, "CONTROL": grasp.CONTROL, "ONLINE": grasp.ONLINE}
    smaller = {name: dataclasses.replace(one, **small) for name, one in stages.items()}  # type: ignore[arg-type]
    for name, one in smaller.items():
        monkeypatch.setattr(grasp, name, one)
    first = smaller["OFFLINE"]
    learning = {
        "behaviour": (), "offline": (first,), "finetuned": (first, smaller["ONLINE"]),
        "control": (first, smaller["CONTROL"]),
    }  # fmt: skip
    monkeypatch.setattr(grasp, "LEARNING", learning)
    settings = grasp.Settings(
        episodes=12, pixels=8, updates=4, points=2, played=3, at_once=1, seeds=(0,), more=0.1,
        rounds=1, seconds=0.01,
    )  # fmt: skip
    rows, speeds = grasp.measured(settings, tmp_path)
    told = {row.details["stage"]: row.details for row in rows}
    assert list(told) == ["behaviour", "offline", "finetuned", "control"]
    assert {one["episodes"] for one in told.values()} == {3}
    assert [one["online_episodes"] > 0 for one in told.values()] == [False, False, True, False]
    assert told["finetuned"]["updates"] == told["control"]["updates"] > 0
    assert [points for points, _ in told["offline"]["curve"]] == [2, 4]
    online = suture.open_run(tmp_path / "finetuned-0")
    shifts = [online.recipe, suture.open_run(tmp_path / "control-0").recipe]
    assert [one.normaliser.reward_shift for one in shifts] == pytest.approx([0.0, grasp.COST])
    assert [row.limit is not None and row.ours > 0 for row in speeds] == [True] * 4
    monkeypatch.setattr(grasp, "made", pytest.fail)
    assert [row.details for row in grasp.measured(settings, tmp_path)[0]] == list(told.values())

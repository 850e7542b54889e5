"""`suture make grasps`: the same files from the same recipe, whoever makes them and wherever it stops."""

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="mujoco is an extra")
pytest.importorskip("array_record", reason="array-record is an extra")
pytest.importorskip("grain", reason="grain is an extra")

from suture.algorithms.qt_opt import QTOpt
from suture.data.load import load
from suture.envs import gripper
from suture.envs.grasp import log as grasp_log
from suture.envs.grasp.collect import ACTION_SPACE, Recipe, plainly
from suture.envs.grasp.log import make
from suture.envs.grasp.scene import REACH
from suture.envs.grasp.script import random_action
from suture.errors import ConfigError, RunLocked
from suture.storage.lock import Lock

RECIPE = Recipe(pixels=16, seed=3, mix={"scripted": 0.7, "random": 0.3})
COUNT = 36


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("grasps") / "log"
    make(RECIPE, out, episodes=COUNT, workers=1)
    return out


def test_the_same_recipe_gives_the_same_bytes_whatever_the_number_of_workers(
    log: Path, tmp_path: Path
) -> None:
    make(RECIPE, tmp_path / "log", episodes=COUNT, workers=2)
    assert contents(tmp_path / "log") == contents(log)
    other = dataclasses.replace(RECIPE, seed=4)
    make(other, tmp_path / "other", episodes=2, workers=1)
    assert not np.array_equal(load(tmp_path / "other").action[:5], load(log).action[:5])


def test_one_that_was_broken_off_ends_with_the_same_bytes(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*given: Any, **more: Any) -> Iterator[Any]:
        for episode in collect(*given, **more):
            if episode.seed == 20:
                raise KeyboardInterrupt
            yield episode

    collect = grasp_log.collect
    monkeypatch.setattr(grasp_log, "collect", breaks)
    with pytest.raises(KeyboardInterrupt):
        make(RECIPE, tmp_path / "log", episodes=COUNT, workers=1)
    monkeypatch.setattr(grasp_log, "collect", collect)
    assert 0 < load(tmp_path / "log").episodes < COUNT
    make(RECIPE, tmp_path / "log", episodes=COUNT, workers=1, resume=True)
    assert contents(tmp_path / "log") == contents(log)


def test_the_recipe_lies_beside_it_and_says_how_often_it_succeeded(log: Path) -> None:
    told, data = json.loads((log / "recipe.json").read_text()), load(log)
    assert told["recipe"] == dataclasses.asdict(RECIPE)
    assert told["versions"].keys() == {"suture", "edition", "mujoco", "numpy"}
    assert (told["episodes"], told["transitions"]) == (COUNT, len(data)) == (data.episodes, len(data))
    paid = np.add.reduceat(np.asarray(data.reward) == 1, data.episode_start[:-1])
    assert told["success"]["all"] == pytest.approx(paid.mean())
    assert told["success"]["random"] == 0 < told["success"]["scripted"]


def test_a_complete_one_is_only_read_also_while_it_is_written_to(log: Path) -> None:
    before = contents(log)
    with Lock(log / "lock"):
        again = make(RECIPE, log, episodes=COUNT, resume=True)
        with pytest.raises(RunLocked, match="is being written to by"):
            make(RECIPE, log, episodes=COUNT + 1, resume=True)
    np.testing.assert_array_equal(again.action, load(log).action)
    assert contents(log) == before


def test_only_the_same_recipe_goes_on(log: Path, tmp_path: Path) -> None:
    before = contents(log)
    with pytest.raises(ConfigError, match=r"exists already and is never overwritten.*--resume"):
        make(RECIPE, log, episodes=COUNT)
    with pytest.raises(ConfigError, match=r"another recipe: pixels 16, now 24; seed 3, now 5\. The rest"):
        make(dataclasses.replace(RECIPE, pixels=24, seed=5), log, episodes=COUNT, resume=True)
    with pytest.raises(ConfigError, match="has 36 episodes already, more than 35"):
        make(RECIPE, log, episodes=35, resume=True)
    assert contents(log) == before
    (tmp_path / "log").mkdir()
    for name, content in before.items():
        (tmp_path / "log" / name).write_bytes(content)
    told = json.loads(before["recipe.json"])
    told["versions"]["mujoco"] = "1.0"
    (tmp_path / "log" / "recipe.json").write_text(json.dumps(told))
    with pytest.raises(ConfigError, match=r"another version: mujoco 1\.0, now"):
        make(RECIPE, tmp_path / "log", episodes=COUNT, workers=1, resume=True)
    del told["versions"]["edition"], told["versions"]["mujoco"]
    (tmp_path / "log" / "recipe.json").write_text(json.dumps(told))
    with pytest.raises(ConfigError, match=r"another version: edition None, now \d+; mujoco None"):
        make(RECIPE, tmp_path / "log", episodes=COUNT, workers=1, resume=True)
    (tmp_path / "log" / "recipe.json").unlink()
    with pytest.raises(ConfigError, match=r"episodes without recipe\.json"):
        make(RECIPE, tmp_path / "log", episodes=COUNT, workers=1, resume=True)


@pytest.mark.parametrize("absent", ["mujoco", "array_record", "grain"])
def test_what_is_not_installed_is_named_before_a_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(
        ConfigError, match=f"'{absent}' is not installed. Try: pip install mujoco array-record"
    ):
        make(RECIPE, tmp_path / "log", episodes=1)
    assert not (tmp_path / "log").exists()


def test_logged_actions_command_the_same_as_those_that_were_chosen() -> None:
    generator = np.random.default_rng(0)
    low, high = (np.asarray(bound) for bound in (ACTION_SPACE.low, ACTION_SPACE.high))
    ended, turns, told = 0, list[Any](), Counter[tuple[bool, int]]()
    for _ in range(400):
        given = random_action(generator)
        given[3:] += generator.normal(0, 0.4, 5)
        closed = bool(generator.integers(2))
        written = plainly(np.clip(given, -1, 1), generator, closed=closed)
        one, other = gripper.read(given, REACH), gripper.read(written, REACH)
        assert ((low - 1e-6 <= written) & (written <= high + 1e-6)).all()
        assert one.last == other.last
        ended += one.last
        turns.append((written[3:5] - low[3:5]) / (high - low)[3:5])
        if not one.last:
            assert (one.grip or (1 if closed else -1)) == (other.grip or (1 if closed else -1))
            told[closed, other.grip] += 1
            assert one.turn == pytest.approx(other.turn, abs=1e-6)
            np.testing.assert_allclose(one.displacement, other.displacement, atol=1e-7)
    assert ended > 10
    for closed, stays in ((True, 1), (False, -1)):
        said, silent = told[closed, stays], told[closed, 0]
        assert 0.4 < said / (said + silent) < 0.6, "that a hand stays as it is, is said or not"
    held = np.histogram2d(*np.transpose(turns), bins=3, range=[[0, 1], [0, 1]])[0]
    assert (held > 5).all(), "whatever pair of sine and cosine a search asks for, the log has one near it"


def test_qt_opt_takes_the_last_three_numbers_for_one_choice_or_none(log: Path) -> None:
    data = load(log)
    QTOpt(choices=3, no_choice=True).require(data)
    chosen = np.asarray(data.action)[:, -3:] > 0
    assert set(map(tuple, chosen.tolist())) == {
        (False,) * 3, (True, False, False), (False, True, False), (False, False, True)
    }  # fmt: skip

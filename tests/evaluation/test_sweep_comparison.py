"""A swept run, setting by setting and checkpoint by checkpoint."""

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from making.runs import suture
from rich.console import Console

import suture.cli as cli
from suture.data.build import build
from suture.envs.chain import make_stitch_log
from suture.evaluation import sweep as comparison
from suture.evaluation.evaluate import evaluate
from suture.evaluation.kept import kept
from suture.evaluation.score import REFERENCES, Evaluation
from suture.evaluation.statistics import Standing
from suture.report.scores import compared, draw_standings, render, render_standings, setting_name
from suture.training.checkpoint import marked
from suture.training.sweep import Sweep
from suture.training.train import train

pytestmark = pytest.mark.usefixtures("compiled_once")
MAZE = "suture/StitchMaze-v0"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from suture.algorithms.iql import IQL

    data = build(make_stitch_log(20, seed=0)).admit()
    swept = Sweep(IQL(hidden=(8,), batch_size=16), seeds=3, expectile=[0.5, 0.9])
    folder = tmp_path_factory.mktemp("swept") / "run"
    return train(swept, data, out=folder, steps=6, checkpoint_every=2)


def test_settings_hold_their_seeds(run: Any) -> None:
    assert comparison.settings(run) == [({"expectile": 0.5}, [0, 1, 2]), ({"expectile": 0.9}, [3, 4, 5])]


def test_last_best_and_average_are_told_apart(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Returns that are known: member m at step s earns 10 m + s, but the best step of members 0 to 2 is 2."""

    def played(at: Any, environment: str, *, episodes: int, **_: Any) -> Evaluation:
        per_member = 10.0 * np.arange(6) + at.step
        if at.step == 2:
            per_member[:3] += 100
        returns = np.repeat(per_member[:, None], episodes, axis=1)
        return Evaluation(
            environment=environment, seed=0, returns=returns,
            lengths=np.ones_like(returns), clipped=np.zeros(6),
        )  # fmt: skip

    monkeypatch.setattr(comparison, "evaluate", played)
    found, returns = comparison.compare(run, "known", episodes=3)
    assert list(returns) == [2, 4, 6]
    means = {(one.checkpoint, one.setting["expectile"]): one.mean for one in found}
    assert means == pytest.approx(
        {
            ("last", 0.5): 10 + 6, ("last", 0.9): 40 + 6,
            ("best", 0.5): 110 + 2, ("best", 0.9): 40 + 6,
            ("average", 0.5): 10 + 4 + 100 / 3, ("average", 0.9): 40 + 4,
        }
    )  # fmt: skip
    improvement = {(one.checkpoint, one.setting["expectile"]): one.improvement for one in found}
    assert improvement["last", 0.5] is None
    assert improvement["last", 0.9] == 1.0
    assert improvement["best", 0.9] == 0.0


def known(run: Any, monkeypatch: pytest.MonkeyPatch, returns: dict[int, Any]) -> list[Standing]:
    """The standings of known returns: step -> (members, episodes)."""
    monkeypatch.setattr(
        comparison,
        "evaluate",
        lambda at, *_, **__: SimpleNamespace(returns=np.array(returns[at.step], float)),
    )
    return comparison.compare(run, "known")[0]


PEAKS = {2: [[60, 0], [0, 0], [0, 0]], 4: [[20, 20], [30, 10], [20, 20]], 6: [[0, 0], [0, 50], [0, 40]]}


def test_the_best_is_one_checkpoint_for_all_seeds_and_episodes(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeds peak at 2, 6 and 4, single episodes at 2 and 6; together they earn most at 4: 20."""
    found = known(run, monkeypatch, {step: own + own for step, own in PEAKS.items()})
    means = {one.checkpoint: one.mean for one in found if one.setting == {"expectile": 0.5}}
    assert means == pytest.approx({"last": 15, "best": 20, "average": (10 + 20 + 15) / 3})
    steps = {one.checkpoint: one.steps for one in found if one.setting == {"expectile": 0.9}}
    assert steps == {"last": (6,), "best": (4,), "average": (2, 4, 6)}


def test_each_setting_has_its_own_best_and_the_table_says_of_what(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = {2: [[0, 0]] * 3, 4: [[1, 1]] * 3, 6: [[9, 9]] * 3}
    found = known(run, monkeypatch, {step: own + late[step] for step, own in PEAKS.items()})
    assert [one.steps for one in found if one.checkpoint == "best"] == [(4,), (6,)]
    shown = " ".join(printed(render_standings(found, "known")).split())
    assert "best, step 4 expectile 0.5" in shown
    assert "best, step 6 expectile 0.9" in shown
    assert "Best of 3 kept checkpoints, steps 2 to 6: chosen by these returns" in shown
    assert compared([replace(one, steps=(1_000,)) for one in found]) == "1 kept checkpoint, step 1,000"


@pytest.mark.parametrize(
    ("environment", "scores"), [("HalfCheetah-v5", ("50.0", "75.0", "62.5")), ("Pendulum-v1", ())]
)
def test_the_normalised_score_is_shown_where_it_is_defined(environment: str, scores: tuple[str, ...]) -> None:
    low, high = REFERENCES["halfcheetah"]
    returns = np.array([[0.5], [0.75]]) * (high - low) + low + np.array([[-1.0, 1.0]])
    one = Evaluation(environment=environment, seed=0, returns=returns, lengths=np.ones_like(returns),
                     clipped=np.zeros(2), described=({"seed": 0}, {"seed": 1}))  # fmt: skip
    lines = printed(render(one, [{"seed": 0}, {"seed": 1}])).splitlines()
    assert ("D4RL score" in "".join(lines)) == bool(scores)
    rows = [line.split()[-1] for line in lines if line.strip().startswith(("seed", "all members"))]
    assert (tuple(rows) == scores) == bool(scores)


def test_one_episode_has_no_interval() -> None:
    one = Evaluation(environment="x", seed=0, returns=np.array([[2.5]]), lengths=np.ones((1, 1)),
                     clipped=np.zeros(1), described=({"seed": 0},))  # fmt: skip
    shown = printed(render(one, [{"seed": 0}]))
    assert "1 episode for each member" in shown
    (row,) = (line.split() for line in shown.splitlines() if line.strip().startswith("seed 0"))
    assert row == ["seed", "0", "2.50", "-", "-"]


def printed(table: Any) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_say_nothing_of_others(
    seeds: int, run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One seed that beats another one is no probability of 1: it is left out, with the reason."""
    groups = [({"expectile": 0.5}, [*range(seeds)]), ({"expectile": 0.9}, [*range(seeds, 2 * seeds)])]
    returns = np.arange(2 * seeds)[:, None] + np.random.default_rng(0).normal(size=(2 * seeds, 5))
    monkeypatch.setattr(comparison, "settings", lambda _: groups)
    monkeypatch.setattr(comparison, "evaluate", lambda *_, **__: SimpleNamespace(returns=returns))
    found, _ = comparison.compare(run, "known")
    assert all(one.improvement is None and one.mean_interval == (None, None) for one in found)
    shown = printed(render_standings(found, "known"))
    assert "1.00" not in shown
    assert "intervals and P(better) need at least 3" in " ".join(shown.split())
    assert " to " not in shown.split("checkpoint", 1)[1].split("best", 1)[0]
    assert found[0].to_json()["left_out"]
    assert "too few for intervals" in draw_standings(found, "known", algorithm="iql")


def test_the_plot_shows_three_measures_and_tells_checkpoints_apart(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each measure has its panel, and in it a point of each checkpoint; the first setting beats nobody."""
    found = known(run, monkeypatch, {step: own + own[::-1] for step, own in PEAKS.items()})
    drawing = draw_standings(found, "known", algorithm="iql")
    label = (
        r'aria-label="mean: ([^;]*); setting: ([^"]*); what: (\w+)" role="[^"]*" aria-roledescription="point"'
    )
    told = [(float(value), *names) for value, *names in re.findall(label, drawing)]
    expected = [
        (pytest.approx(value), setting_name(one.setting), one.checkpoint)
        for what in ("mean", "interquartile_mean", "improvement") for one in found
        if (value := getattr(one, what)) is not None
    ]  # fmt: skip
    assert told == expected
    assert len(told) == 6 + 6 + 3
    for measure in ("mean undiscounted return", "interquartile mean of it", "P(better)"):
        assert measure in drawing
    alone = draw_standings(
        [one for one in found if one.setting == found[0].setting], "known", algorithm="iql"
    )
    assert "P(better)" not in alone


def test_the_probability_of_improvement_has_an_interval_in_table_and_json(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = known(run, monkeypatch, {step: own + own[::-1] for step, own in PEAKS.items()})
    second = next(one for one in found if one.checkpoint == "last" and one.improvement is not None)
    low, high = second.to_json()["improvement_interval"]
    assert second.improvement is not None
    assert low < second.improvement < high
    assert f"{second.improvement:.4g} ({low:.4g} to {high:.4g})" in printed(render_standings(found, "known"))
    long = [replace(one, setting={"inverse_temperature": 1.5, "actor_learning_rate": 1e-4}) for one in found]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render_standings(long, "known"))
    assert "…" not in console.export_text()


def test_different_settings_are_never_pooled(run: Any) -> None:
    """Members of one setting are; those of another would only widen or shift its mean."""
    returns = np.repeat(np.array([[1.0], [2.0], [3.0], [101.0], [102.0], [103.0]]), 2, axis=1)
    one = Evaluation(environment="known", seed=0, returns=returns, lengths=np.ones_like(returns),
                     clipped=np.zeros(6), described=tuple(run.members))  # fmt: skip
    told = one.to_json()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["mean"], told["interval"]) == (None, [None, None])
    assert [(each["setting"], each["members"], each["mean"]) for each in told["settings"]] == [
        ({"expectile": 0.5}, [0, 1, 2], 2.0), ({"expectile": 0.9}, [3, 4, 5], 102.0)
    ]  # fmt: skip
    shown = printed(render(one, run.members))
    assert "all members" not in shown
    assert "52.00" not in shown
    assert "expectile 0.5: 3 seeds" in shown
    half = 4.302653 / np.sqrt(3)
    assert f"{102 - half:.2f} to {102 + half:.2f}" in shown


def test_a_played_run_knows_its_settings(run: Any) -> None:
    played = evaluate(run, f"suture.envs.chain:{MAZE}", episodes=1)
    assert played.settings == comparison.settings(run)


def test_what_was_found_is_shown_where_the_run_cannot_keep_it(run: Any, tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(run.path, tmp_path / "run", ignore=shutil.ignore_patterns("evaluations"))
    (tmp_path / "run" / "evaluations").write_text("in the way")
    options = ["--env", f"suture.envs.chain:{MAZE}", "--episodes", "1", "--json"]
    assert cli.run(["evaluate", str(tmp_path / "run"), *options]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["episodes"] == 1
    assert "not kept beside the run" in said.err


def test_the_command_prints_the_table_and_draws_the_plot(run: Any, tmp_path: Path) -> None:
    done = suture("evaluate", run.path, "--env", f"suture.envs.chain:{MAZE}", "--episodes", 2,
                  "--compare", "--plot", tmp_path / "settings.svg")  # fmt: skip
    assert done.returncode == 0, done.stderr
    for text in ("last", "best", "average", "expectile 0.9", "P(better)"):
        assert text in done.stdout
    (told,) = kept(run.path)
    best = {step for one in told["standings"] if one["checkpoint"] == "best" for step in one["steps"]}
    assert marked(run.path / "checkpoints") == sorted(best) != []
    drawing = (tmp_path / "settings.svg").read_text()
    assert drawing.startswith("<svg")
    assert "expectile 0.5" in drawing
    assert "<script" not in drawing

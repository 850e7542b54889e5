"""A swept run, setting by setting and checkpoint by checkpoint."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from making.runs import suture
from rich.console import Console

from suture.data.build import build
from suture.envs.chain import make_stitch_log
from suture.evaluation import sweep as comparison
from suture.evaluation.evaluate import evaluate
from suture.evaluation.score import Evaluation
from suture.report.scores import draw_standings, render, render_standings
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


def test_the_command_prints_the_table_and_draws_the_plot(run: Any, tmp_path: Path) -> None:
    done = suture("evaluate", run.path, "--env", f"suture.envs.chain:{MAZE}", "--episodes", 2,
                  "--compare", "--plot", tmp_path / "settings.svg")  # fmt: skip
    assert done.returncode == 0, done.stderr
    for text in ("last", "best", "average", "expectile 0.9", "P(better)"):
        assert text in done.stdout
    drawing = (tmp_path / "settings.svg").read_text()
    assert drawing.startswith("<svg")
    assert "expectile 0.5" in drawing
    assert "<script" not in drawing

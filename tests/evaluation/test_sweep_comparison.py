"""A swept run, setting by setting and checkpoint by checkpoint."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.runs import suture

from suture.data.build import build
from suture.envs.chain import make_stitch_log
from suture.evaluation import sweep as comparison
from suture.evaluation.score import Evaluation
from suture.training.sweep import Sweep
from suture.training.train import train

pytestmark = pytest.mark.usefixtures("compiled_once")
MAZE = "suture/StitchMaze-v0"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from suture.algorithms.iql import IQL

    data = build(make_stitch_log(20, seed=0)).admit()
    swept = Sweep(IQL(hidden=(8,), batch_size=16), seeds=2, expectile=[0.5, 0.9])
    folder = tmp_path_factory.mktemp("swept") / "run"
    return train(swept, data, out=folder, steps=6, checkpoint_every=2)


def test_settings_hold_their_seeds(run: Any) -> None:
    assert comparison.settings(run) == [({"expectile": 0.5}, [0, 1]), ({"expectile": 0.9}, [2, 3])]


def test_last_best_and_average_are_told_apart(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Returns that are known: member m at step s earns 10 m + s, but the best step of member 0 and 1 is 2."""

    def played(at: Any, environment: str, *, episodes: int, **_: Any) -> Evaluation:
        per_member = 10.0 * np.arange(4) + at.step
        if at.step == 2:
            per_member[:2] += 100
        returns = np.repeat(per_member[:, None], episodes, axis=1)
        return Evaluation(
            environment=environment, seed=0, returns=returns,
            lengths=np.ones_like(returns), clipped=np.zeros(4),
        )  # fmt: skip

    monkeypatch.setattr(comparison, "evaluate", played)
    found, returns = comparison.compare(run, "known", episodes=3)
    assert list(returns) == [2, 4, 6]
    means = {(one.checkpoint, one.setting["expectile"]): one.mean for one in found}
    assert means == pytest.approx(
        {
            ("last", 0.5): 5 + 6, ("last", 0.9): 25 + 6,
            ("best", 0.5): 105 + 2, ("best", 0.9): 25 + 6,
            ("average", 0.5): 5 + 4 + 100 / 3, ("average", 0.9): 25 + 4,
        }
    )  # fmt: skip
    improvement = {(one.checkpoint, one.setting["expectile"]): one.improvement for one in found}
    assert improvement["last", 0.5] is None
    assert improvement["last", 0.9] == 1.0
    assert improvement["best", 0.9] == 0.0


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

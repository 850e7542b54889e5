"""The loop: each round is trained on everything so far, keeps what it did, and is taken up where it was."""

import functools
import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from making.point import CORRIDOR, POINT, STEPS, point_log
from making.runs import Stop
from making.tuned import Nudge, break_off

from suture.data.load import load
from suture.errors import RunMismatch
from suture.online import loop as module
from suture.online.collect import named
from suture.online.loop import loop
from suture.online.settings import Rounds
from suture.report.make import make
from suture.training.outcome import Outcome
from suture.training.run import Run
from suture.training.settings import Settings
from suture.training.train import Watch

pytestmark = pytest.mark.usefixtures("compiled_once")
SETTINGS = Settings(steps=20, checkpoint_every=10, log_every=10)


def looped(out: Path, rounds: int = 2, **options: Any) -> tuple[list[module.Round], Outcome]:
    how = Rounds(rounds=rounds, episodes=6, at_once=4)
    return loop(Nudge(), point_log(), POINT, **{"out": out, "rounds": how, "settings": SETTINGS, **options})


def left(folder: Path) -> dict[str, bytes]:
    """All exact files: checkpoints, stores, what each round found."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    exact = [
        path
        for path in paths
        if "checkpoints" in path.parts or "data" in path.parts or path.name == "round.json"
    ]
    return {str(path.relative_to(folder)): path.read_bytes() for path in exact}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "loop"
    assert looped(out)[1] is Outcome.COMPLETED
    return out


def test_each_round_is_trained_on_everything_so_far(whole: Path) -> None:
    logged = point_log()
    rounds = [module.read_round(whole / f"round-{number:02d}") for number in (1, 2)]
    assert [one.transitions for one in rounds if one] == [len(logged), len(logged) + 6 * STEPS]
    stores = [load(whole / f"round-{number:02d}" / "data") for number in (1, 2)]
    for one, store in zip(rounds, stores, strict=True):
        assert one is not None
        assert store.episodes == 6
        np.testing.assert_allclose(store.returns, one.returns, atol=1e-5)
        assert one.mean == pytest.approx(np.mean(one.returns))
    starts = [store.observation[store.episode_start[:-1]] for store in stores]
    assert not np.isin(starts[0], starts[1]).any(), "no episode is played twice"
    split = Run(whole / "round-02" / "run", Nudge).recipe.split
    assert split["train_episodes"] == logged.episodes + 6


def test_a_finished_loop_can_be_lengthened_and_stays_as_it_is(whole: Path, tmp_path: Path) -> None:
    looped(tmp_path / "loop", rounds=1)
    rounds, outcome = looped(tmp_path / "loop", rounds=2, resume=True)
    assert (outcome, [one.round for one in rounds]) == (Outcome.COMPLETED, [1, 2])
    before, lengthened = left(whole), left(tmp_path / "loop")
    assert lengthened.keys() == before.keys()
    assert [name for name, held in before.items() if lengthened[name] != held] == []
    looped(whole, resume=True)
    assert left(whole) == before


@pytest.mark.parametrize(
    "point", ["checkpoint.after_rename", "dataset.before_rename", "dataset.after_sync", "json.before_rename"]
)
def test_a_loop_that_was_broken_off_goes_on_exactly(
    point: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for survived in range(0, 24, 3):
        break_off(monkeypatch, point, survived)
        try:
            looped(tmp_path / "loop", resume=True)
        except Stop:
            continue
        break
    monkeypatch.undo()
    assert looped(tmp_path / "loop", resume=True)[1] is Outcome.COMPLETED
    assert left(tmp_path / "loop") == left(whole)


def test_broken_off_in_training(whole: Path, tmp_path: Path) -> None:
    def stop(step: int) -> None:
        if step >= 12:
            raise Stop

    with pytest.raises(Stop):
        looped(tmp_path / "loop", watch=Watch(progress=stop))
    looped(tmp_path / "loop", resume=True)
    assert left(tmp_path / "loop") == left(whole)


def test_another_loop_is_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(RunMismatch, match="--resume"):
        looped(whole)
    with pytest.raises(RunMismatch, match="another seed"):
        looped(whole, resume=True, seed=1)
    with pytest.raises(RunMismatch, match="was trained on observations"):
        loop(Nudge(), point_log(), CORRIDOR, out=tmp_path / "loop")
    assert not (tmp_path / "loop").exists()


def test_the_report_tells_the_rounds(whole: Path) -> None:
    page = make([whole])
    one = json.loads((whole / "round-02" / "round.json").read_text())
    assert "Did it get better?" in page
    assert f"{one['mean']:.4g}" in page


def test_an_environment_is_named_alike_in_every_process() -> None:
    """What resumes a run compares the name: no address in memory, and arguments count."""
    made = functools.partial(gymnasium.make, "Pendulum-v1", max_episode_steps=5)
    assert named(made) == "function make('Pendulum-v1', max_episode_steps=5)"
    assert named(functools.partial(gymnasium.make, "Pendulum-v1")) != named(made)
    assert named("Pendulum-v1") == "Pendulum-v1"

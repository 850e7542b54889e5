"""What a policy is worth by a log alone: near the truth where that is in the log, refused where not."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making import lqr
from rich.console import Console

from suture.algorithms.bc import BC
from suture.algorithms.iql import IQL
from suture.algorithms.td3 import TD3
from suture.cli import run as command
from suture.data.build import build
from suture.data.formats import native
from suture.envs.tabular import canonical, evaluate, sample_log
from suture.errors import ConfigError, DataRefused, RunMismatch
from suture.evaluation.estimates import Estimate
from suture.evaluation.ope.estimate import FEWEST, _Check, _earned, _Path, _spread, estimate
from suture.evaluation.ope.fqe import Evaluator, Fitted
from suture.report.estimates import render
from suture.spaces import Discrete
from suture.training.run import Run
from suture.training.train import Watch, train

pytestmark = pytest.mark.usefixtures("compiled_once")
SMALL: dict[str, Any] = {"resamples": 3, "steps": 6_000}


@pytest.fixture(scope="module")
def log() -> Any:
    return lqr.log_of(noise=0.3, episodes=200)


@pytest.fixture(scope="module")
def clone(log: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("clone") / "run"
    return train(BC(hidden=(32, 32), learning_rate=3e-3), log, steps=1_500, out=folder)


def test_a_clone_of_the_behaviour_is_worth_what_playing_it_earns(clone: Run, log: Any) -> None:
    (found,) = estimate(clone, log, discount=0.9, **SMALL)
    assert found.refused == ()
    assert found.supported > 0.95
    assert found.earned is not None
    assert found.checked == pytest.approx(found.earned[0], rel=0.1), "tried, though every episode was cut"
    assert found.cut == pytest.approx(0.9**19)
    assert "(14% of it behind cuts" in _caption(found)
    assert found.value is not None
    assert found.interval is not None
    truth = played(clone, 0.9)
    assert found.interval[0] < truth < found.interval[1]
    assert abs(found.value - truth) < 0.15 * abs(truth)


def played(run: Run, discount: float) -> float:
    """Mean discounted return of the stochastic policy over 60 steps, from the log's starts."""
    generator = np.random.default_rng(3)
    state, total = generator.uniform(-0.7, 0.7, (400, 2)), 0.0
    for step in range(60):
        action = run.policy.act(state.astype(np.float32), sample=True, seed=step)
        reward, state = lqr.follow_on(state, action, generator)
        total += discount**step * float(reward.mean())
    return total


def test_a_policy_that_does_what_the_log_never_did_gets_no_number(
    log: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tempted = dataclasses.replace(log, reward=np.asarray(log.action).sum(1).astype(np.float32))
    climber = TD3(hidden=(32, 32), critic_learning_rate=3e-3, actor_learning_rate=3e-3)
    elsewhere = train(climber, tempted, steps=600, out=tmp_path / "run")
    (found,) = estimate(elsewhere, log, **SMALL)
    assert found.supported < 0.5
    assert found.fits == (), "minutes of fits could not change the answer"
    assert (found.value, found.interval, found.standard_error) == (None, None, None)
    assert "vouches" in found.refused[0]
    native.write(log, tmp_path / "log")
    asked = [
        "evaluate",
        str(elsewhere.path),
        "--data",
        str(tmp_path / "log"),
        "--steps",
        "6000",
        "--resamples",
        "2",
    ]
    assert command([*asked, "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert said["estimates"][0]["value"] is None
    assert command(asked) == 2
    assert "No value: The log vouches for" in capsys.readouterr().out.replace("\n", " ")


def test_resamples_draw_each_episode_as_often_as_it_was_chosen(clone: Run, log: Any) -> None:
    evaluator = Evaluator(clone, log)
    rows = evaluator._resampled(np.array([3, 3, 3, 7]))
    counts = np.bincount(log.episode_index[evaluator.stage.rows[np.asarray(rows.starts)]])
    assert set(np.flatnonzero(counts)) == {3, 7}
    assert counts[3] / counts[7] == pytest.approx(3.0, rel=0.01)
    assert len(rows.starts) == evaluator.stage.eligible


def test_a_fit_settles_when_its_answers_stop_moving() -> None:
    answers = iter([0.0, 50.0, 80.0, 95.0, 99.0, 100.0, 100.2, 100.1])
    path = _Path(lambda _: next(answers), 0)
    seen = [path.has_settled(None) for _ in range(8)]  # type: ignore[arg-type]
    assert seen == [False] * 8, "0.2 of 65 before: it still moves"
    still = _Path(lambda _: 5.0, 0)
    assert [still.has_settled(None) for _ in range(6)] == [False] * 5 + [True]  # type: ignore[arg-type]
    slow = _Path(lambda _: 5.0, 7_500)
    assert [slow.has_settled(None) for _ in range(8)] == [False] * 7 + [True]  # type: ignore[arg-type]


def test_a_fit_that_breaks_off_refuses_its_member_alone(
    clone: Run, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Evaluator.fit

    def breaking(self: Evaluator, seeds: Any, **options: Any) -> Fitted:
        fitted = whole(self, seeds, **options | {"steps": 1_000})
        fitted.finite = self.run is not clone or int(seeds[0]) != 1
        return fitted

    monkeypatch.setattr(Evaluator, "fit", breaking)
    (found,) = estimate(clone, log, discount=0.5, **SMALL)
    assert found.value is None
    assert len(found.fits) == 2
    assert any("1 of 3 fits became non-finite" in reason for reason in found.refused)
    assert found.checked is not None


@pytest.mark.parametrize("episodes", [1, FEWEST - 1])
def test_a_log_of_few_episodes_gets_no_number(clone: Run, episodes: int) -> None:
    few = lqr.log_of(noise=0.3, episodes=episodes)
    (found,) = estimate(clone, few, discount=0.9, **SMALL)
    assert (found.value, found.interval, found.fits) == (None, None, ())
    assert f"holds {episodes} episode(s), and {FEWEST} are needed" in found.refused[0]
    assert "Nothing was fitted" in _caption(found)


def test_intervals_of_fewer_episodes_hold_the_truth_too_seldom() -> None:
    """Why there is a least number: what ten resamples' interval of a mean of n returns is worth."""
    generator, rounds = np.random.default_rng(0), 2_000

    def held(episodes: int, returns: Any, truth: float) -> float:
        drawn = generator.integers(episodes, size=(rounds, 10, episodes))
        means = np.take_along_axis(returns(size=(rounds, 1, episodes)), drawn, axis=2).mean(axis=2)
        return float((abs(means.mean(axis=1) - truth) <= _spread(means)[1]).mean())

    assert held(1, generator.normal, 0.0) == 0.0, "every resample is the log"
    for episodes, skewed, normal in ((2, 0.58, 0.62), (5, 0.78, 0.86), (10, 0.86, 0.9), (FEWEST, 0.89, 0.93)):
        assert held(episodes, generator.exponential, 1.0) == pytest.approx(skewed, abs=0.03)
        assert held(episodes, generator.normal, 0.0) == pytest.approx(normal, abs=0.03)


def test_what_was_earned_is_completed_behind_cuts(log: Any) -> None:
    """Rewards of 1 for ever are worth 10 at a discount of 0.9, however early the log was cut."""
    ones = dataclasses.replace(log, reward=np.ones(len(log), np.float32))
    (mean, error), cut = _earned(ones, np.full(log.episodes, 10.0), 0.9)
    assert (mean, error, cut) == pytest.approx((10.0, 0.0, 0.9**19))
    ended = dataclasses.replace(ones, terminated=ones.truncated, truncated=ones.terminated)
    (mean, _), cut = _earned(ended, np.full(log.episodes, 10.0), 0.9)
    assert (mean, cut) == pytest.approx((10 * (1 - 0.9**20), 0.0))


def test_the_check_finds_a_wrong_constant_behind_cuts_and_says_where_it_cannot_look() -> None:
    """An answer that is off by 5 is off by 5 at the last states as well: what is left of it is 1 - cut."""
    for cut in (0.0, 0.5, 0.85):
        wrong = _Check(answer=15.0, earned=(10.0 + 5.0 * cut, 0.0), cut=cut)
        assert "cannot be trusted" in wrong.reasons()[0]
        assert _Check(answer=10.5, earned=(10.0 + 0.5 * cut, 0.0), cut=cut).reasons() == []
    assert "cut so early" in _Check(answer=10.0, earned=(10.0, 0.0), cut=0.95).reasons()[0]
    assert "non-finite" in _Check().reasons()[0]


def test_logs_that_are_cut_early_are_checked_too(
    clone: Run, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a discount of 0.95 episodes of 20 steps show 62 % of a value; one that says double is found."""
    honest = Fitted.values
    monkeypatch.setattr(Fitted, "values", lambda self, *args, **options: 2 * honest(self, *args, **options))
    (found,) = estimate(clone, log, discount=0.95, resamples=2, steps=6_000)
    assert found.value is None
    assert any("cannot be trusted" in reason for reason in found.refused)


def _caption(found: Estimate) -> str:
    """What `suture evaluate --data` prints below its table."""
    console = Console(width=400, file=io.StringIO())
    console.print(render([found], [{"member": 0}], "log"))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_choices_too_and_the_interval_holds_the_exact_value(tmp_path: Path) -> None:
    behaviour = np.array([[0.6, 0.3, 0.1], [0.1, 0.9, 0.0], [0.05, 0.5, 0.45], [0.4, 0.4, 0.2]])
    data = build(sample_log(canonical(), behaviour, episodes=300, horizon=40, seed=0)).admit()
    learner = IQL(hidden=(32,), discount=0.9, actor_learning_rate=0.01)
    run = train(learner, data, steps=1_500, out=tmp_path / "iql", normalise="none")
    steps = list[int]()
    watch = Watch(start=lambda first, whole: steps.extend((first, whole)), progress=steps.append)
    (found,) = estimate(run, data, watch=watch, **SMALL)
    assert steps == [0, 30_000, 6_000, 12_000, 18_000, 24_000, 30_000], "two checks and three fits"
    policy = jax.tree.map(lambda leaf: leaf[0], run.policies.policies)
    chances = jnp.exp(jax.nn.log_softmax(policy(jnp.eye(4)).logits))
    exact = evaluate(canonical(), np.asarray(chances, np.float64))[2]
    assert found.interval is not None
    assert found.interval[0] < exact < found.interval[1]
    assert found.value == pytest.approx(exact, rel=0.1)


def test_a_log_without_the_last_choice_does_not_vouch_for_it(tmp_path: Path) -> None:
    never = np.array([[0.5, 0.5, 0.0]] * 4)
    without = build(sample_log(canonical(), never, episodes=100, horizon=20, seed=0)).admit()
    without = dataclasses.replace(without, action_space=Discrete(2))
    always = np.array([[0.01, 0.01, 0.98]] * 4)
    last = build(sample_log(canonical(), always, episodes=100, horizon=20, seed=0)).admit()
    run = train(BC(hidden=(8,), learning_rate=0.03), last, steps=100, out=tmp_path / "last")
    (found,) = estimate(run, without, **SMALL)
    assert found.supported < 0.1
    assert found.value is None


def test_refusals_say_why(clone: Run, log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="at least 2 resamples"):
        estimate(clone, log, resamples=1)
    other = build(sample_log(canonical(), np.full((4, 3), 1 / 3), episodes=3, horizon=5, seed=0)).admit()
    with pytest.raises(RunMismatch, match="was trained on observations"):
        estimate(clone, other)
    with pytest.raises(DataRefused, match="no rewards"):
        estimate(clone, dataclasses.replace(log, reward=None))
    for discount, few, least in ((0.5, 5_999, "6,000"), (0.999, 20_000, "60,000")):
        with pytest.raises(ConfigError, match=f"allow it {least} or more"):
            estimate(clone, log, discount=discount, steps=few)
    with pytest.raises(ConfigError, match="discount must be"):
        estimate(clone, log, discount=1.0)
    with pytest.raises(ConfigError, match="--env ID"):
        command(["evaluate", str(clone.path)])
    monkeypatch.setattr(Run, "algorithm", IQL(discount=1.0))
    with pytest.raises(ConfigError, match=r"discount of 1, .*--discount"):
        estimate(clone, log)

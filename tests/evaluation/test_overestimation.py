"""Claims beside the truth: what critics are asked, what is played, and which part is outside the log."""

import io
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.point import point_log
from making.runs import suture
from rich.console import Console

from suture.algorithms.bc import BC
from suture.algorithms.brac import BRAC
from suture.algorithms.qlearning import DQN
from suture.algorithms.td3 import TD3
from suture.data.build import build
from suture.data.dataset import Dataset
from suture.envs.tabular import canonical, canonical_behaviour, evaluate, sample_log
from suture.errors import ConfigError, RefusedInput
from suture.evaluation import overestimation
from suture.evaluation.claims import Claim, is_moving, moved
from suture.evaluation.ope import fqe
from suture.evaluation.ope.fqe import Evaluator
from suture.evaluation.overestimation import Study
from suture.report.claims import render
from suture.storage.manifest import read_json
from suture.training.run import open_run

pytestmark = pytest.mark.usefixtures("compiled_once")
ENVIRONMENT = "suture/Canonical-v0"


@pytest.fixture(scope="module")
def data() -> Dataset:
    return build(sample_log(canonical(), canonical_behaviour(), episodes=60, horizon=20, seed=0)).admit()


@pytest.fixture(scope="module")
def played(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Claim]]:
    folder = tmp_path_factory.mktemp("claims")
    study = Study(data=data, out=folder, steps=60, every=30, seeds=2, environment=ENVIRONMENT, episodes=4)
    return folder, study.run([DQN(hidden=(), discount=0.5, critic_learning_rate=0.1, batch_size=32)])


def test_claims_are_the_critics_values_of_the_policys_own_actions(played: tuple[Path, list[Claim]]) -> None:
    """Every episode of the problem starts in its first state."""
    folder, claims = played
    assert [(claim.step, claim.seed) for claim in claims] == [(30, 0), (30, 1), (60, 0), (60, 1)]
    for claim in claims:
        state: Any = open_run(folder / "dqn").at(claim.step).newest.state
        layer = state.critic.net.mlp.layers[0]
        recipe = open_run(folder / "dqn").recipe
        seen = recipe.normaliser.normalise(np.eye(4, dtype=np.float32)[:1])
        table = jnp.einsum("bi,mio->mbo", seen, layer.weight[claim.seed]) + layer.bias[claim.seed]
        assert claim.claim == pytest.approx(float(table.min(0).max()), rel=1e-4)


def test_the_truth_is_what_the_policy_earns(played: tuple[Path, list[Claim]]) -> None:
    """Discounted by 0.5, where the problem's transitions from the start are nearly deterministic."""
    folder, claims = played
    for claim in claims:
        run = open_run(folder / "dqn").at(claim.step)
        actions = run.policies.act(np.tile(np.eye(4, dtype=np.float32)[None], (2, 1, 1)))[claim.seed]
        exact = evaluate(
            type(canonical())(canonical().transition, canonical().reward, 0.5, canonical().start),
            np.eye(3)[actions],
        )[2]
        assert claim.truth == pytest.approx(exact, abs=0.25)
        assert claim.truth_is == "played"


def test_parts_inside_and_outside_the_log_are_told_apart(played: tuple[Path, list[Claim]]) -> None:
    for claim in played[1]:
        assert 0 <= claim.outside_share <= 1
        assert (claim.inside is None) == (claim.outside_share == 1)
        assert (claim.outside is None) == (claim.outside_share == 0)
        assert claim.logged_return is not None
        assert claim.excess == pytest.approx(claim.claim - claim.truth)
        assert not claim.diverged


def test_without_an_environment_the_truth_is_fitted_at_some_checkpoints_in_one_go(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is what a fit of that checkpoint and seed alone finds, in the scale of the run's rewards."""
    made, usual = list[Evaluator](), overestimation.Evaluator
    monkeypatch.setattr(overestimation, "Evaluator", lambda *a, **k: made.append(usual(*a, **k)) or made[-1])
    study = Study(data=data, out=tmp_path, steps=8, every=2, seeds=2, fitted_steps=4_000,
                  fitted_checkpoints=2, options={"reward_scale": 2.0, "reward_shift": -0.5})  # fmt: skip
    claims = study.run([DQN(hidden=(), discount=0.5, critic_learning_rate=0.05, batch_size=32)])
    assert len(made) == 1
    assert {one.truth_is for one in claims} == {"fitted"}
    assert [one.step for one in claims if one.truth is None] == [4, 4, 6, 6]
    starts, run = data.observation[data.episode_start[:-1]], open_run(tmp_path / "dqn")
    truths = {(one.step, one.seed): one.truth for one in claims if one.truth is not None}
    moved = [abs(truths[2, seed] - truths[8, seed]) for seed in (0, 1)]
    assert max(moved) > 0.2, "those of checkpoints can be told apart"
    for (step, seed), truth in truths.items():
        alone = fqe.fit(run.at(step), data, member=seed, seeds=1, steps=4_000)
        assert truth == pytest.approx(float(alone.values(starts).mean()), abs=0.05)


@pytest.mark.parametrize("how", ["breaks off", "runs away"])
def test_a_fit_that_does_not_hold_costs_its_own_truth_alone(
    how: str, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Evaluator.fit

    def fit(self: Evaluator, seeds: Any, **more: Any) -> Any:
        fitted = usual(self, seeds, **more)
        if how == "breaks off":
            fitted.finite = 1 not in seeds
        elif len(seeds) > 1:
            given = fitted.values
            fitted.values = lambda seen: given(seen) * np.array([[1.0], [1e6]])  # type: ignore[method-assign]
        return fitted

    monkeypatch.setattr(Evaluator, "fit", fit)
    study = Study(data=data, out=tmp_path, steps=20, every=20, seeds=2, fitted_steps=100)
    good, bad = study.run([DQN(hidden=(), discount=0.5, batch_size=32)])
    assert good.truth is not None
    assert np.isfinite(good.truth)
    assert bad.truth is bad.excess is None
    assert "(fitted, 1 of 2 seeds)" in shown([good, bad])


@pytest.mark.parametrize(("count", "most", "places"), [
    (10, 3, [0, 4, 9]), (10, 1, [9]), (2, 3, [0, 1]), (1, 3, [0]),
])  # fmt: skip
def test_the_last_checkpoint_is_among_those_that_are_fitted(count: int, most: int, places: list[int]) -> None:
    assert overestimation.spread_over(count, most) == places


def test_chunks_are_put_beside_the_chunks_that_the_log_recorded(tmp_path: Path) -> None:
    """Of two actions: not from an episode's last row; support is asked about the one that is played now."""
    data = point_log(episodes=8)
    study = Study(data=data, out=tmp_path, steps=20, every=20, seeds=2, fitted_steps=20)
    twice = TD3(hidden=(8,), batch_size=16, chunk=2)
    claims = study.run([twice])
    run, scales = open_run(tmp_path / "td3"), open_run(tmp_path / "bc").recipe.normaliser
    pairs = np.flatnonzero(data.bootstrappable & ~np.isin(np.arange(len(data)), data.episode_start[1:] - 1))
    seen = run.recipe.normaliser.normalise(data.observation[pairs])
    unit = np.concatenate([scales.to_unit(data.action[pairs + ahead]) for ahead in (0, 1)], axis=-1)
    for claim in claims:
        state = jax.tree.map(lambda leaf, at=claim.seed: leaf[at], run.newest.state)
        critic: Any = state.critic.net
        assert claim.logged_claim == pytest.approx(float(critic(seen, unit).min(0).mean()), rel=1e-4)
        assert 0 <= claim.outside_share <= 1


def test_values_that_have_not_begun_are_no_divergence(data: Dataset, tmp_path: Path) -> None:
    """Up to the first claim BRAC fits its model of the behaviour, and its metrics hold no values yet."""
    study = Study(data=data, out=tmp_path, steps=60, every=30, seeds=1, environment=ENVIRONMENT, episodes=2)
    method = BRAC(hidden=(), behaviour_hidden=(), penalty="actor", behaviour_steps=30, batch_size=32)
    assert [claim.diverged for claim in study.run([method])] == [False, False]


def test_values_without_a_bound_are_not_said_to_keep_to_one(data: Dataset, tmp_path: Path) -> None:
    """Those of BRAC with a penalty in its rewards: how far a policy is from the behaviour has no limit."""
    study = Study(data=data, out=tmp_path, steps=4, every=4, seeds=1, environment=ENVIRONMENT, episodes=1)
    claims = study.run([BRAC(hidden=(4,), behaviour_hidden=(4,), behaviour_steps=1, batch_size=8)])
    assert [claim.diverged for claim in claims] == [None]
    console = Console(file=io.StringIO(), width=120)
    console.print(render(claims))
    assert "no bound" in console.file.getvalue()  # type: ignore[attr-defined]


def test_methods_without_values_are_refused(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bc learns no action values"):
        Study(data=data, out=tmp_path).run([BC()])
    with pytest.raises(RefusedInput, match="td3 is defined for continuous actions"):
        Study(data=data, out=tmp_path).run([DQN(), TD3()])
    with pytest.raises(ConfigError, match="dqn is compared twice"):
        Study(data=data, out=tmp_path).run([DQN(), DQN()])
    assert not list(tmp_path.iterdir()), "nothing was trained before"


def test_the_command_leaves_the_table_the_plot_and_the_numbers(data: Dataset, tmp_path: Path) -> None:
    from suture.data.formats import native

    native.write(data, tmp_path / "log")
    done = suture(
        "overestimation", tmp_path / "log", "--env", ENVIRONMENT, "--methods", "dqn:hidden=8,4:discount=0.5",
        "sac", "--steps", 4, "--every", 2, "--seeds", 1, "--episodes", 2, "--out", tmp_path / "study",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = read_json(tmp_path / "study" / "dqn-hidden=8,4-discount=0.5" / "config.json")["fields"]
    assert (made["hidden"], made["discount"]) == ([8, 4], 0.5)
    for text in ("claim - truth", "dqn", "0 of 1", "still", "(played)", "entropy_backup=False: sac"):
        assert text in done.stdout
    rows = json.loads((tmp_path / "study" / "overestimation.json").read_text())
    assert {row["method"] for row in rows} == {"dqn:hidden=8,4:discount=0.5", "sac"}
    assert [row["step"] for row in rows] == [2, 4, 2, 4]
    assert {row["values_hold"] for row in rows} == {"rewards"}
    assert (tmp_path / "study" / "overestimation.svg").read_text().startswith("<svg")


def claim(step: int, value: float, truth_is: Any = "played", method: str = "dqn", seed: int = 0) -> Claim:
    return Claim(
        method=method, step=step, seed=seed, claim=value, truth=1.0, truth_is=truth_is, logged_claim=None,
        logged_return=None, inside=None, outside=None, outside_share=1.0, diverged=False,
    )  # fmt: skip


def shown(claims: list[Claim]) -> str:
    console = Console(width=240, record=True, file=io.StringIO())
    console.print(render(claims))
    return console.export_text()


@pytest.mark.parametrize(
    ("last", "said"),
    [(2.0, ""), (2.19, ""), (2.21, "2.21 still moving (+10%)"), (1.0, "1 still moving (-50%)")],
)
def test_a_claim_that_still_moves_is_said_to(last: float, said: str) -> None:
    """It is the mean over seeds that moves: seeds that part from each other are no drift."""
    claims = [
        claim(10, 9.0),
        claim(20, 1.0),
        claim(20, 3.0, seed=1),
        claim(30, last),
        claim(30, last, seed=1),
    ]
    assert said in shown(claims)
    assert ("still moving (" in shown(claims)) == bool(said)


def test_a_claim_that_leaves_all_numbers_moves() -> None:
    assert is_moving(moved([claim(10, 1.0), claim(20, np.inf)], "dqn"))
    assert is_moving(moved([claim(10, 1.0), claim(20, np.nan)], "dqn"))
    assert is_moving(moved([claim(10, 0.0), claim(20, 1.0)], "dqn"))
    assert not is_moving(moved([claim(10, 0.0), claim(20, 0.0)], "dqn"))


def test_the_table_says_whether_the_truth_was_played_or_fitted() -> None:
    assert "1 (played)" in shown([claim(10, 2.0)])
    assert "not known of one checkpoint" in shown([claim(10, 2.0)])
    assert "not known" not in shown([claim(10, 2.0), claim(20, 2.0)])
    assert "--env" not in shown([claim(10, 2.0)])
    fitted = shown([claim(10, 2.0, "fitted")])
    assert "1 (fitted)" in fitted
    assert "Pass --env to play" in " ".join(fitted.split())

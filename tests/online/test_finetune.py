"""Fine-tuning: exact wherever it was broken off, mixed as asked, stopped where it gets bad, and better."""

import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from making.point import CORRIDOR, POINT, STEPS, Point, corridor_log, point_log
from making.runs import Stop
from making.tuned import Nudge, break_off, left, metrics, offline, told, tuned

from suture.algorithms.cql import CQL
from suture.algorithms.iql import IQL
from suture.algorithms.table import ALGORITHMS
from suture.algorithms.td3 import TD3
from suture.data.load import load
from suture.errors import ConfigError, OutOfBudget, RunMismatch, SutureError
from suture.evaluation.evaluate import evaluate
from suture.online.finetune import finetune
from suture.online.settings import PRESETS, Online, Preset, preset_for
from suture.training.outcome import Outcome
from suture.training.run import Run, open_run
from suture.training.sweep import Sweep
from suture.training.train import Watch, train

pytestmark = pytest.mark.usefixtures("compiled_once")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return offline(tmp_path_factory.mktemp("start") / "run")


@pytest.fixture(scope="module")
def whole(start: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fine-tuning that nobody disturbed."""
    return tuned(start, tmp_path_factory.mktemp("whole") / "run").path


class Breaks(Point):
    """The point, which breaks off everything at some step of some episode."""

    left = 0

    def step(self, action: Any) -> Any:
        Breaks.left -= 1
        if Breaks.left == 0:
            raise Stop
        return super().step(action)


def breaking() -> gymnasium.Env[Any, Any]:
    return gymnasium.wrappers.TimeLimit(Breaks(), STEPS)


def check_equal(out: Path, whole: Path) -> None:
    assert left(out) == left(whole)
    assert metrics(out) == [pytest.approx(line, rel=1e-5) for line in metrics(whole)], "sums of other chunks"
    assert not list(out.rglob(".tmp-*"))


def broken_off(start: Run, out: Path, environment: Any = POINT, **options: Any) -> None:
    with pytest.raises(Stop):
        tuned(start, out, environment, **options)


@pytest.mark.parametrize("step", [1, 20, 33])
def test_a_continued_run_equals_the_uninterrupted_one(
    step: int, start: Run, whole: Path, tmp_path: Path
) -> None:
    """Broken off between updates: at the first, right before a checkpoint, and between two."""

    def stop(now: int) -> None:
        if now >= step:
            raise Stop

    broken_off(start, tmp_path / "run", watch=Watch(progress=stop))
    done, said = told(start, tmp_path / "run", resume=True)
    assert done.outcome is Outcome.COMPLETED
    assert f"Continuing from step {(step - 1) // 20 * 20}" in said
    check_equal(done.path, whole)


@pytest.mark.parametrize("steps", [1, 3 * STEPS - 2, 3 * STEPS + 30])
def test_an_interrupted_episode_is_played_again_from_its_start(
    steps: int, start: Run, tmp_path: Path
) -> None:
    Breaks.left = 0
    undisturbed = tuned(start, tmp_path / "whole", breaking).path
    Breaks.left = steps
    broken_off(start, tmp_path / "run", breaking)
    check_equal(tuned(start, tmp_path / "run", breaking, resume=True).path, undisturbed)


POINTS = (
    "round.before_write", "round.after_sync", "round.before_line", "round.after_line", "seal.before_rename",
    "seal.after_rename", "journal.before_rename", "checkpoint.before_rename", "checkpoint.after_rename",
    "remove.before_unlink",
)  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
def test_broken_off_at_a_crash_point_again_and_again(
    point: str, start: Run, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt gets past one crash more than the one before."""
    for survived in range(1, 30, 5):
        break_off(monkeypatch, point, survived)
        try:
            tuned(start, tmp_path / "run", resume=True, keep=2)
            break
        except Stop:
            continue
    monkeypatch.undo()
    done = tuned(start, tmp_path / "run", resume=True, keep=2)
    kept = {name: content for name, content in left(whole).items() if "000000000000" not in name}
    kept = {name: content for name, content in kept.items() if "000000000020" not in name}
    assert left(done.path) == kept


def test_a_signal_while_an_episode_is_played_ends_in_a_checkpoint(
    start: Run, whole: Path, tmp_path: Path
) -> None:
    """The episode is given up at once, nothing of it is kept, and it is played again."""
    played = [0]

    class Signals(Point):
        def step(self, action: Any) -> Any:
            played[0] += 1
            if played[0] == 5 * STEPS + 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().step(action)

    def make() -> gymnasium.Env[Any, Any]:
        return gymnasium.wrappers.TimeLimit(Signals(), STEPS)

    run = tuned(start, tmp_path / "run", make)
    assert run.outcome is Outcome.PREEMPTED
    assert played[0] == 5 * STEPS + 3
    done = tuned(start, tmp_path / "run", make, resume=True)
    name = "manifest.json"  # of the store: it names the function in the place of the environment's id
    ours, theirs = left(done.path), left(whole)
    assert {k: v for k, v in ours.items() if "checkpoints" in k and k in theirs} == {
        k: v for k, v in theirs.items() if "checkpoints" in k
    }
    assert ours["online/rounds.jsonl"] == theirs["online/rounds.jsonl"]
    assert json.loads(ours[f"online/{name}"])["shards"] == json.loads(theirs[f"online/{name}"])["shards"]


def test_what_is_done_when(whole: Path) -> None:
    """Three episodes by the policy as it was; then an episode, and an update for each of its steps."""
    lines = [json.loads(line) for line in (whole / "online" / "rounds.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 0, 0, 0, *range(STEPS, 60, STEPS)]
    assert [line["steps"] for line in lines] == [STEPS * (n + 1) for n in range(len(lines))]
    assert [line["step"] for line in metrics(whole)] == [10, 20, 30, 40, 50, 60]
    assert metrics(whole)[0]["online/steps"] == (3 + 2) * STEPS
    store = load(whole / "online")
    assert store.lengths.tolist() == [STEPS] * len(lines)
    assert store.truncated[store.episode_start[1:] - 1].all()
    assert not store.terminated.any()
    assert np.allclose(store.returns, np.concatenate([line["returns"] for line in lines]), atol=1e-5)
    assert np.array_equal(store.observation[1:STEPS], store.next_observation[: STEPS - 1])


@pytest.mark.parametrize(("ratio", "updates"), [(0.25, 15), (2.0, 120)])
def test_the_update_to_data_ratio_decides_how_many_updates_there_are(
    ratio: float, updates: int, start: Run, whole: Path, tmp_path: Path
) -> None:
    run = tuned(start, tmp_path / "run", updates_per_step=ratio)
    assert run.newest.step == updates
    assert len(load(run.path / "online")) == len(load(whole / "online"))


def test_several_episodes_side_by_side(start: Run, tmp_path: Path) -> None:
    run = tuned(start, tmp_path / "run", at_once=4)
    lines = [json.loads(line) for line in (run.path / "online" / "rounds.jsonl").read_text().splitlines()]
    assert [(line["step"], len(line["returns"])) for line in lines] == [(0, 4), (0, 4), (32, 4)]
    assert run.recipe.finetuned is not None
    store = load(run.path / "online")
    first = store.observation[store.episode_start[:-1]][:, 0]
    assert len(set(first.tolist())) == 12, "each episode starts from its own number"
    alone = tuned(start, tmp_path / "alone", at_once=1)
    theirs = load(alone.path / "online")
    assert np.array_equal(first[:11], theirs.observation[theirs.episode_start[:-1]][:11, 0])


def test_the_share_of_online_rows_rises_as_asked(start: Run, tmp_path: Path) -> None:
    """0.1 to 0.9 over 400 updates: means of 40 batches of 64, within four standard errors."""
    algorithm = Nudge(batch_size=64)
    run = offline(tmp_path / "wide", algorithm)
    fields = {
        "share_first": 0.1,
        "share_last": 0.9,
        "share_over": 400,
        "steps": 480,
        "log_every": 40,
        "at_once": 10,
    }
    lines = metrics(tuned(run, tmp_path / "run", **fields).path)
    found = [line["online/share"] for line in lines]
    middle = np.arange(40, 481, 40) - 20.5
    expected = np.clip(0.1 + 0.8 * middle / 400, 0.1, 0.9)
    bound = 4 * np.sqrt(expected * (1 - expected) / (40 * 64)) + 0.001
    assert (np.abs(found - expected) < bound).all(), (found, expected)


def test_pooled_rows_are_drawn_alike(tmp_path: Path) -> None:
    run = offline(tmp_path / "start", Nudge(batch_size=64))
    lines = metrics(tuned(run, tmp_path / "run", pooled=True, steps=300, log_every=50).path)
    logged = len(point_log())
    for line in lines[1:]:
        least, most = (line["online/steps"] - 50 - STEPS) / logged, line["online/steps"] / logged
        share = line["online/share"] / (1 - line["online/share"])
        assert 0.8 * least < share < 1.25 * most


def test_it_stops_where_the_return_falls_below_the_bound(start: Run, whole: Path, tmp_path: Path) -> None:
    """The bound lies between the best and the worst mean of three: it is passed, once."""
    lines = [json.loads(line) for line in (whole / "online" / "rounds.jsonl").read_text().splitlines()]
    returns = np.array([line["returns"][0] for line in lines])
    means = np.convolve(returns, np.full(3, 1 / 3), mode="valid")
    assert means[0] > means.min() + 0.01
    bound = float(means[0] + means.min()) / 2
    run, said = told(start, tmp_path / "run", least_return=bound)
    at = int(np.argmax(means < bound))
    assert run.outcome is Outcome.UNSAFE
    assert run.outcome.exit_code == 4
    assert Outcome.UNSAFE.value in said
    assert run.newest.step == lines[at + 2]["step"]
    assert len(load(run.path / "online").lengths) == at + 3
    again = tuned(start, tmp_path / "run", least_return=bound, resume=True)
    assert (again.outcome, again.newest.step) == (Outcome.UNSAFE, run.newest.step)
    freed = tuned(start, tmp_path / "run", resume=True)
    assert left(freed.path).items() >= {k: v for k, v in left(whole).items() if "online" in k}.items()


def test_a_starting_policy_below_the_bound_is_not_trained_at_all(start: Run, tmp_path: Path) -> None:
    run = tuned(start, tmp_path / "run", least_return=0.0)
    assert (run.outcome, run.newest.step) == (Outcome.UNSAFE, 0)
    assert len(load(run.path / "online").lengths) == 3


def test_the_outcome_is_an_ordinary_run(start: Run, whole: Path) -> None:
    run = open_run(whole, Nudge)
    assert run.recipe.normaliser.to_json() == start.recipe.normaliser.to_json()
    assert run.at(0).newest.state.gain.tolist() == start.newest.state.gain.tolist()
    assert run.newest.state.gain.tolist() != start.newest.state.gain.tolist()
    assert evaluate(run, POINT, episodes=3).returns.shape == (1, 3)
    assert run.recipe.finetuned is not None
    assert run.recipe.finetuned["environment"] == POINT
    assert run.recipe.finetuned["online"]["steps"] == 60


def test_a_bad_continuous_policy_gets_better(tmp_path: Path) -> None:
    """The log moves the point away from 0; at best an episode earns some -0.25."""
    algorithm = TD3(
        hidden=(16, 16), batch_size=32, discount=0.8, actor_learning_rate=3e-3, critic_learning_rate=3e-3,
        target_rate=0.05,
    )  # fmt: skip
    run = offline(tmp_path / "start", algorithm, steps=300, checkpoint_every=300)
    before = float(evaluate(run, POINT, episodes=30, seed=5).mean[0])
    fields = {"steps": 600, "at_once": 5, "checkpoint_every": 600, "log_every": 600, "window": 10}
    after = float(evaluate(tuned(run, tmp_path / "run", **fields), POINT, episodes=30, seed=5).mean[0])
    assert before < -0.9
    assert after > -0.45, (before, after)


def test_a_bad_choosing_policy_gets_better(tmp_path: Path) -> None:
    """The log never goes to the right, where the end pays 1; a conservative policy does not either."""
    algorithm = CQL(
        hidden=(16,), batch_size=32, discount=0.8, critic_learning_rate=3e-3, target_rate=0.05,
        conservative_weight=1.0,
    )  # fmt: skip
    data = corridor_log()
    run = train(algorithm, data, out=tmp_path / "start", steps=300, checkpoint_every=300)
    before = float(evaluate(run, CORRIDOR, episodes=30, seed=5).mean[0])
    fields = {"steps": 1_000, "at_once": 5, "random_actions": 0.3, "share_first": 0.5}
    freed = dataclasses.replace(algorithm, conservative_weight=0.01)
    better = finetune(run, CORRIDOR, data=data, algorithm=freed, out=tmp_path / "run", **fields)
    played = evaluate(better, CORRIDOR, episodes=30, seed=5)
    assert before < 0.4
    assert played.mean[0] > 0.95, (before, played.mean)
    line = json.loads((better.path / "online" / "rounds.jsonl").read_text().splitlines()[-1])
    assert line["successes"] == [True] * 5


def test_a_learning_rate_that_fell_along_a_cosine_falls_once_more(tmp_path: Path) -> None:
    """It ended at 0, where nothing would be learned."""
    run = offline(tmp_path / "start", IQL(hidden=(8,), batch_size=8), steps=60, checkpoint_every=60)
    more = tuned(run, tmp_path / "run", preset="none")
    before, begun, after = (jax.tree.leaves(one.newest.state.actor) for one in (run, more.at(0), more))
    assert [np.asarray(leaf).tolist() for leaf in begun[:2]] == [leaf.tolist() for leaf in before[:2]]
    assert all(np.abs(one - other).max() > 1e-4 for one, other in zip(after[:2], before[:2], strict=True))


def test_new_weights_where_asked(start: Run, tmp_path: Path) -> None:
    fresh = tuned(start, tmp_path / "fresh", fresh=True, seed=7)
    assert fresh.at(0).newest.state.gain.tolist() != start.newest.state.gain.tolist()
    assert fresh.members == [{"seed": 7}]


def test_rewards_may_be_shifted_otherwise_than_in_the_log_s_training(tmp_path: Path) -> None:
    """From new weights it is then the run of a log that was always shifted so: to the bit."""
    moved = offline(tmp_path / "moved", reward_shift=-0.25, reward_scale=2.0)
    plain = offline(tmp_path / "plain", reward_shift=0.5, reward_scale=2.0)
    one, same = (
        tuned(run, tmp_path / f"{run.path.name}-on", fresh=True, reward_shift=0.5) for run in (moved, plain)
    )
    kept = tuned(moved, tmp_path / "kept", fresh=True)
    assert metrics(one.path) == metrics(same.path)
    assert metrics(kept.path)[-1]["nudge/told"] != metrics(one.path)[-1]["nudge/told"]
    for run, expected in ((one, plain), (kept, moved)):
        assert open_run(run.path, Nudge).recipe.normaliser.to_json() == expected.recipe.normaliser.to_json()
        assert run.recipe.reward_limit == expected.recipe.reward_limit


def refused(kind: type[Exception], match: str, call: Callable[[], Any]) -> None:
    with pytest.raises(kind, match=match):
        call()


def test_what_does_not_fit_is_refused_before_anything_is_played(start: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    several = train(Sweep(Nudge(), seeds=2), point_log(), out=tmp_path / "two", steps=10)
    refused(ConfigError, "members 0 to 1.*--member 0", lambda: tuned(several, out))
    refused(RunMismatch, "fingerprint", lambda: finetune(start, POINT, data=point_log(20), out=out))
    refused(RunMismatch, "was trained on observations", lambda: tuned(start, out, CORRIDOR))
    refused(ConfigError, "no setting 'step'.*Did you mean 'steps'", lambda: tuned(start, out, step=5))
    refused(ConfigError, "is for sac and sac_n, not for nudge", lambda: tuned(start, out, preset="rlpd"))
    refused(ConfigError, "Did you mean 'rlpd'", lambda: tuned(start, out, preset="rlpt"))
    refused(ConfigError, "not at point any more.*--data", lambda: finetune(start, POINT, out=out))
    refused(ConfigError, "run of nudge, not of td3", lambda: tuned(start, out, algorithm=TD3()))
    refused(OutOfBudget, "--memory-limit", lambda: tuned(start, out, memory_limit="1KB"))
    counted = offline(tmp_path / "counted", count_penalty=1.0, count_grid=0.5)
    refused(ConfigError, "count-penalty", lambda: tuned(counted, out))
    for name in ("balance", "hindsight"):
        settings = dataclasses.replace(start.recipe.settings, **{name: 1 if name == "hindsight" else 0.5})
        other = Run(start.path, Nudge)
        other.recipe = dataclasses.replace(start.recipe, settings=settings)
        refused(ConfigError, name, lambda run=other: tuned(run, out))
    assert not (out / "online").exists()


def test_one_of_several_members_is_fine_tuned(tmp_path: Path) -> None:
    several = train(Sweep(Nudge(), seeds=2, rate=[0.05, 0.1]), point_log(), out=tmp_path / "all", steps=10)
    run = tuned(several, tmp_path / "run", member=3)
    assert run.algorithm == Nudge(rate=0.1)
    assert run.members == [{"seed": 1}]
    assert run.at(0).newest.state.gain[0] == several.newest.state.gain[3]


def test_another_fine_tuning_is_refused_with_both_named(start: Run, whole: Path, tmp_path: Path) -> None:
    before = left(whole)
    refused(RunMismatch, "--resume", lambda: tuned(start, whole))
    refused(
        RunMismatch, r"share_first was 0\.5, now 0\.4",
        lambda: tuned(start, whole, resume=True, share_first=0.4),
    )  # fmt: skip
    refused(RunMismatch, "was fine-tuned", lambda: train(Nudge(), point_log(), out=whole, resume=True))
    refused(RunMismatch, "was not fine-tuned", lambda: tuned(start, start.path, resume=True))
    assert left(whole) == before


def test_presets_are_of_fields_that_there_are() -> None:
    for preset in PRESETS.values():
        assert preset.source
        Online(**preset.online)
        for method in preset.methods:
            ALGORITHMS[method](**preset.fields)
    assert preset_for("iql", None).fields == {"actor_schedule": "constant"}
    assert preset_for("iql", "none") == preset_for("td3", None) == Preset()
    assert preset_for("sac_n", "rlpd").online["updates_per_step"] == 20.0


def test_presets_change_fields_and_may_not_change_the_networks(
    start: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = Preset(methods=("nudge",), fields={"rate": 0.5}, online={"pooled": True, "window": 9})
    monkeypatch.setitem(PRESETS, "nudge", preset)
    with pytest.raises(Stop):
        tuned(start, tmp_path / "tuned", watch=Watch(start=stop))
    described: Any = json.loads((tmp_path / "tuned" / "config.json").read_text())
    assert described["fields"]["rate"] == 0.5
    assert described["finetuned"]["online"]["pooled"] is True
    assert described["finetuned"]["online"]["window"] == 3, "what was said goes before a preset"
    monkeypatch.setitem(PRESETS, "nudge", dataclasses.replace(preset, fields={"size": 2}))
    refused(RunMismatch, "do not fit.*gain.*--fresh", lambda: tuned(start, tmp_path / "wide"))
    with pytest.raises(Stop):
        tuned(start, tmp_path / "fresh", fresh=True, watch=Watch(start=stop))


def stop(first: int, steps: int) -> None:
    """Nothing is trained: what is asked about is settled before the first step."""
    raise Stop


def test_a_reward_that_is_not_finite_is_named_and_nothing_of_it_is_kept(start: Run, tmp_path: Path) -> None:
    played = [0]

    class Broken(Point):
        def step(self, action: Any) -> Any:
            seen, reward, *rest = super().step(action)
            played[0] += 1
            return seen, np.nan if played[0] == 5 * STEPS + 2 else reward, *rest

    def make() -> gymnasium.Env[Any, Any]:
        return gymnasium.wrappers.TimeLimit(Broken(), STEPS)

    with pytest.raises(SutureError, match="gave the reward nan in episode 5"):
        tuned(start, tmp_path / "run", make)
    stored = list((tmp_path / "run" / "online").glob("shard-*"))
    lines = (tmp_path / "run" / "online" / "rounds.jsonl").read_text().splitlines()
    assert len(stored) == len(lines) == 5


def test_a_failure_names_rows_of_what_came_since_behind_those_of_the_log(start: Run, tmp_path: Path) -> None:
    """Values are made to break in the third batch; its rows are the log's and, numbered on, online ones."""

    @dataclasses.dataclass(frozen=True)
    class Breaking(Nudge):
        def update(self, state: Any, batch: Any, key: Any) -> Any:
            after, told = super().update(state, batch, key)
            return after, {**told, "value/max_abs": batch.reward.max() + 1e9}

        def value_limit(self, spec: Any) -> float:
            return 1.0

    run = train(Breaking(), point_log(), out=tmp_path / "start", steps=10, on_divergence="continue")
    done = tuned(run, tmp_path / "run", share_first=1.0, share_last=1.0, on_divergence="stop")
    assert done.outcome is Outcome.DIVERGED
    rows = json.loads((done.path / "outcome.json").read_text())["members"][0]["rows"]
    logged = len(point_log())
    assert rows
    assert all(logged <= row < logged + 4 * STEPS for row in rows)

"""Faults of the numbers: D2 (NaN at a row), D3 (values that run away), S13 and S14 (memory)."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.runs import Toy, checkpoints, logged, newest, poisoned, told, train_until, walk
from making.sets import dataset_of

from suture.algorithms.bc import BC
from suture.algorithms.iql import IQL
from suture.algorithms.rebrac import ReBRAC
from suture.errors import ConfigError, OutOfBudget
from suture.training.guard import Guard
from suture.training.outcome import Outcome
from suture.training.program import Chunk, Program, sample_rows
from suture.training.sweep import Sweep
from suture.training.train import train

pytestmark = pytest.mark.usefixtures("compiled_once")
ROW, SMALL = 77, Toy(batch_size=4)
EVERY: dict[str, Any] = {"steps": 120, "checkpoint_every": 50, "log_every": 20, "normalise": "none"}


def first_sampled(row: int, seed: int, batch_size: int, rows: int) -> int:
    """The first step whose batch holds a row."""
    steps = (sample_rows(np.uint32(seed), step, batch_size, rows) for step in range(10_000))
    return next(step for step, batch in enumerate(steps) if row in np.asarray(batch))


def test_scales_that_take_rewards_out_of_float32_are_refused_before_there_is_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"leave float32 .* Lower reward_scale"):
        train(SMALL, walk(), out=tmp_path / "run", reward_scale=3e38, reward_shift=3e38, **EVERY)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_row_with_nan_ends_the_run_at_the_step_that_samples_it(seed: int, tmp_path: Path) -> None:
    """D2: the step, the row and the last good state are exact."""
    data = poisoned(ROW)
    step = first_sampled(ROW, seed, 4, len(data))
    run, said = told(SMALL, data, out=tmp_path / "run", seed=seed, **EVERY)
    assert run.outcome is Outcome.NON_FINITE
    assert f"NON_FINITE at step {step + 1} of member 0: 1 of its 4 rows hold non-finite values" in said
    assert f"dataset rows {ROW}." in said
    outcome = json.loads((run.path / "outcome.json").read_text())
    assert outcome["members"][0]["rows"] == [ROW]
    assert outcome["members"][0]["step"] == step
    name, (state, _) = newest(run.path)
    assert name == f"step-{step:012d}"
    train(SMALL, walk(), out=tmp_path / "clean", seed=seed, **EVERY | {"steps": step})
    assert newest(tmp_path / "clean")[1][0] == state, "the last good state"


def test_a_failed_run_stays_failed_when_it_is_resumed(tmp_path: Path) -> None:
    """D2: resuming finds the failure in the checkpoint; nothing is trained further."""
    data = poisoned(ROW)
    train(SMALL, data, out=tmp_path / "run", **EVERY)
    before = checkpoints(tmp_path / "run")
    run, said = told(SMALL, data, out=tmp_path / "run", resume=True, **EVERY)
    assert run.outcome is Outcome.NON_FINITE
    assert f"dataset rows {ROW}." in said
    assert checkpoints(run.path) == before


def test_a_failing_member_stops_alone_and_the_others_equal_their_single_runs(tmp_path: Path) -> None:
    """D2 in a sweep: members that meet the row later go on until they meet it, others to the end."""
    data, steps = poisoned(ROW), 22
    first = [first_sampled(ROW, seed, 4, len(data)) for seed in range(4)]
    assert min(first) < steps < max(first), "the test needs members of both kinds"
    options = EVERY | {"steps": steps, "checkpoint_every": 5, "log_every": 4}
    run, said = told(SMALL, data, out=tmp_path / "sweep", seeds=4, **options)
    assert run.outcome is Outcome.NON_FINITE
    values = np.asarray(run.newest.state.value)
    for seed, step in enumerate(first):
        assert (f"step {step + 1} of member {seed}" in said) == (step < steps)
        alone = train(SMALL, data, out=tmp_path / f"alone-{seed}", seed=seed, **options)
        np.testing.assert_allclose(values[seed], np.asarray(alone.newest.state.value)[0], rtol=1e-5)
    assert np.isfinite(values).all()


@pytest.mark.parametrize("broken", [12, 20])
def test_a_sweep_with_a_failed_member_resumes_exactly(broken: int, tmp_path: Path) -> None:
    """D2 and S1 together: which members failed is part of the checkpoint."""
    data, options = poisoned(ROW), EVERY | {"steps": 60, "checkpoint_every": 5, "seeds": 3}
    train(SMALL, data, out=tmp_path / "whole", **options)
    train_until(broken, SMALL, data, out=tmp_path / "broken", **options)
    train(SMALL, data, out=tmp_path / "broken", resume=True, **options)
    assert newest(tmp_path / "broken") == newest(tmp_path / "whole")


def test_values_that_run_away_are_divergence_at_the_exact_step(tmp_path: Path) -> None:
    """D3: 1.5 ** n leaves 1000 at the 18th update; the state kept is the one of 17 updates."""
    run, said = told(Toy(growth=1.5), walk(), out=tmp_path / "run", **EVERY)
    assert run.outcome is Outcome.DIVERGED
    assert "DIVERGED at step 18 of member 0" in said
    assert "--on-divergence continue" in said
    np.testing.assert_allclose(np.asarray(run.newest.state.value), [1.5**17], rtol=1e-5)


def test_divergence_may_be_studied(tmp_path: Path) -> None:
    """D3: on_divergence="continue" lets finite values run on; NaN still ends the run."""
    run = train(Toy(growth=1.5), walk(), out=tmp_path / "run", on_divergence="continue", **EVERY)
    assert run.outcome is Outcome.COMPLETED
    assert run.metrics[-1]["value/max_abs"] > 1e15
    run = train(Toy(growth=2.5), walk(), out=tmp_path / "more", on_divergence="continue", **EVERY)
    assert run.outcome is Outcome.NON_FINITE


def test_in_a_sweep_only_the_member_that_diverges_stops(tmp_path: Path) -> None:
    """D3: the others reach the end, and metrics of the stopped one say null rather than numbers."""
    sweep = Sweep(Toy(), growth=[0.5, 1.5, 1.0])
    run, said = told(sweep, walk(), out=tmp_path / "run", **EVERY)
    assert run.outcome is Outcome.DIVERGED
    assert said.count("DIVERGED at step") == 1
    alone = train(Toy(), walk(), out=tmp_path / "alone", **EVERY)
    np.testing.assert_allclose(
        np.asarray(run.newest.state.value)[[0, 2]], np.asarray(alone.newest.state.value)[0], rtol=1e-5
    )
    assert logged(run)[-1] == (120, 2)


def test_the_limit_of_values_follows_rewards_and_discount(tmp_path: Path) -> None:
    """D3: IQL's limit is the largest reward over one minus the discount; a broken learner exceeds it."""
    data = walk()
    limit = float(np.abs(np.asarray(data.reward)).max()) / (1 - 0.99)
    algorithm = IQL(hidden=(8,), batch_size=8, critic_learning_rate=50.0, value_learning_rate=50.0)
    run, said = told(algorithm, data, out=tmp_path / "run", **EVERY)
    assert run.recipe.algorithm.value_limit(run.recipe.spec) == pytest.approx(limit, rel=1e-5)
    assert run.outcome is Outcome.DIVERGED
    assert "DIVERGED at step" in said


def test_a_price_of_leaving_the_log_is_no_divergence(tmp_path: Path) -> None:
    """Small rewards and a dear distance: ReBRAC's values rest at -100 times their limit without the price."""
    data = dataset_of((400,))
    data = dataclasses.replace(data, reward=0 * data.reward, has_next=np.ones(400, bool))
    fast: dict[str, Any] = {
        "hidden": (32,),
        "layer_norm": False,
        "critic_learning_rate": 0.03,
        "discount": 0.9,
    }
    algorithm = ReBRAC(**fast, target_rate=0.1, critic_penalty=100.0)
    run = train(algorithm, data, out=tmp_path / "run", steps=600, checkpoint_every=600, log_every=600)
    assert run.metrics[-1]["value/max_abs"] > 10 * 10, "beyond what rewards alone would explain"
    assert run.outcome is Outcome.COMPLETED
    wild = dataclasses.replace(algorithm, critic_learning_rate=1e4)
    assert train(wild, data, out=tmp_path / "wild", steps=600).outcome is Outcome.DIVERGED


class Flaky:
    """A machine that goes wrong in chosen chunks, and not when they are computed again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[int], bool], what: str = "state"):
        run, settle, self.again = Program.run, Guard.settle, False
        self.struck = list[int]()

        def flaky(program: Program, state: Any, members: Any, rows: Any, start: int, count: int) -> Any:
            state, chunk = run(program, state, members, rows, start, count)
            if self.again or not wrong(start):
                return state, chunk
            self.struck.append(start)
            if what == "state":
                return jax.tree.map(lambda leaf: leaf.at[-1].set(jnp.nan), state), chunk
            metrics = {name: with_last(value, np.inf) for name, value in chunk.metrics.items()}
            return state, Chunk(metrics=metrics, bad_step=with_last(chunk.bad_step, start + count // 2))

        def settling(guard: Guard, *arguments: Any) -> Any:
            self.again = True
            replays = settle(guard, *arguments)
            self.again = False
            return replays

        monkeypatch.setattr("suture.training.loop.CHUNK_SECONDS", 1e9)  # lengths must not depend on the clock
        monkeypatch.setattr(Program, "run", flaky)
        monkeypatch.setattr(Guard, "settle", settling)


def with_last(values: Any, last: float) -> Any:
    """The values of all members, with another one for the last member."""
    return jnp.asarray(values).at[-1].set(last)


@pytest.mark.parametrize("what", ["state", "metrics"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_failure_that_does_not_recur_is_passed_over(
    seeds: int, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit that flips, or a kernel that errs once: the run is the one without it, and is told so once."""
    options = EVERY | {"seeds": seeds}
    clean = train(Toy(), walk(), out=tmp_path / "clean", **options)
    flaky = Flaky(monkeypatch, lambda start: start in (8, 40, 100), what)
    run, said = told(Toy(), walk(), out=tmp_path / "run", **options)
    assert len(flaky.struck) > 1
    assert run.outcome is Outcome.COMPLETED
    assert checkpoints(run.path) == checkpoints(clean.path)
    assert said.count("did not when they were computed again") == 1
    assert f"numbers of member {seeds - 1} went wrong" in said
    count = len(flaky.struck)
    outcome = json.loads((run.path / "outcome.json").read_text())
    assert f"Failures of the machine that were passed over: {count}." in outcome["message"]
    for line, expected in zip(run.metrics, clean.metrics, strict=True):
        assert line["value/max_abs"] == pytest.approx(expected["value/max_abs"], rel=1e-5)
        assert line["toy/seen"] == pytest.approx(expected["toy/seen"], rel=1e-5)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_machine_that_errs_in_three_chunks_in_a_row_is_not_believed(
    seeds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All members end in a good state; neither data nor method is blamed; a sound machine may go on."""
    options = EVERY | {"seeds": seeds}
    with monkeypatch.context() as patched:
        flaky = Flaky(patched, lambda start: start >= 8)
        run, said = told(Toy(), walk(), out=tmp_path / "run", **options)
    assert len(flaky.struck) == 3
    assert run.outcome is Outcome.NON_FINITE
    assert said.count("the hardware is unstable") == 1
    assert "Lower the learning rate" not in said
    assert run.newest.step == flaky.struck[-1] == 40, "no step at which a checkpoint is due anyway"
    train(Toy(), walk(), out=tmp_path / "run", resume=True, **options)
    train(Toy(), walk(), out=tmp_path / "clean", **options)
    assert newest(tmp_path / "run") == newest(tmp_path / "clean")


def test_errors_with_good_chunks_between_them_are_not_in_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = iter(range(1_000))
    flaky = Flaky(monkeypatch, lambda _: next(chunks) % 3 != 2)  # two bad ones, a good one, ...
    run, _ = told(Toy(), walk(), out=tmp_path / "run", **EVERY | {"log_every": 10})
    assert len(flaky.struck) > 3
    assert run.outcome is Outcome.COMPLETED


def test_what_cannot_fit_is_refused_before_anything_begins(tmp_path: Path) -> None:
    """S14: the estimate is named, with what helps; nothing is left behind that looks like a run."""
    with pytest.raises(OutOfBudget, match=r"Raise --memory-limit above [\d,]+") as refused:
        train(Toy(), walk(), out=tmp_path / "run", memory_limit="100", **EVERY)
    assert refused.value.exit_code == 2
    assert not (tmp_path / "run" / "config.json").exists()
    train(Toy(), walk(), out=tmp_path / "run", memory_limit="4KB", **EVERY)


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate 8.00 GiB"), MemoryError()])
def test_out_of_memory_names_the_bytes_and_keeps_the_checkpoints(
    error: MemoryError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S13: the host refuses the rows; what was saved stands."""
    out, data = tmp_path / "run", walk()
    train(BC(hidden=(8,)), data, out=out, **EVERY)
    before = checkpoints(out)

    def refuse(_: Any) -> None:
        raise error

    monkeypatch.setattr("suture.data.stage.Stage.everything", refuse)
    with pytest.raises(OutOfBudget, match=r"take [\d,]+ bytes; stream them with a --memory-limit") as refused:
        train(BC(hidden=(8,)), data, out=out, resume=True, **EVERY)
    assert refused.value.exit_code == 2
    assert str(error) in str(refused.value)
    assert checkpoints(out) == before


def test_device_out_of_memory_is_told_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S14: XLA's refusal, which is another exception; any other error of XLA is no such thing."""

    def refuse(said: str) -> Any:
        def raise_it(*_: Any) -> None:
            raise jax.errors.JaxRuntimeError(said)

        return raise_it

    monkeypatch.setattr("suture.training.loop.Loop.run", refuse("RESOURCE_EXHAUSTED: Out of memory: 8GiB"))
    with pytest.raises(OutOfBudget, match="8GiB"):
        train(Toy(), walk(), out=tmp_path / "one", **EVERY)
    monkeypatch.setattr("suture.training.loop.Loop.run", refuse("INTERNAL: broken"))
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        train(Toy(), walk(), out=tmp_path / "two", **EVERY)


def test_the_poisoned_log_differs_in_one_row_alone() -> None:
    """The tests above stand on this."""
    clean, bad = walk(), poisoned(ROW)
    differ = np.flatnonzero((np.asarray(clean.observation) != np.asarray(bad.observation)).any(axis=1))
    assert differ.tolist() == [ROW]
    assert dataclasses.replace(bad, observation=clean.observation).fingerprint == clean.fingerprint

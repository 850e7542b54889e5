"""Runs that would end before their policy learns anything are refused; long preparations are said."""

from pathlib import Path
from typing import Any

import pytest
from making.runs import saved_walk, told, walk

import suture.cli as cli
from suture.algorithms.bc import BC
from suture.algorithms.bear import BEAR
from suture.algorithms.brac import BRAC
from suture.algorithms.cql import CQL
from suture.algorithms.table import ALGORITHMS
from suture.config import fields_of
from suture.errors import ConfigError
from suture.training.preparation import begun, fitting_updates, require_learning
from suture.training.train import train


def said(algorithm: Any, steps: int, *, adopted: bool = False) -> str:
    """What people are told of a run of so many steps."""
    lines = list[str]()
    require_learning(algorithm, steps, adopted=adopted, say=lines.append)
    return "".join(lines)


def test_a_run_that_only_fits_the_behaviour_is_refused_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="its policy would learn nothing"):
        train(BRAC(), walk(), steps=10_000, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_ends_with_exit_code_2(tmp_path: Path) -> None:
    log = saved_walk(tmp_path / "log.npz")
    with pytest.raises(ConfigError, match="behaviour_steps = 10,000") as refusal:
        cli.run(["train", "brac", str(log), "--steps", "10000", "--out", str(tmp_path / "run")])
    assert refusal.value.exit_code == 2


def test_one_step_more_is_a_run_and_people_are_told() -> None:
    assert "100% of the 10,001 updates only prepare" in said(BRAC(), 10_001)
    assert "warm_up = 1,000" in said(BRAC(), 10_001)


def test_a_given_behaviour_needs_no_steps() -> None:
    assert said(BRAC(warm_up=0), 1, adopted=True) == ""
    assert "(warm_up = 1,000)" in said(BRAC(), 1_500, adopted=True)


@pytest.mark.parametrize("algorithm", [BEAR(warm_up=50), CQL(bc_steps=50)])
def test_more_than_half_is_said(algorithm: Any) -> None:
    assert said(algorithm, 100) == ""
    assert "51% of the 99 updates only prepare" in said(algorithm, 99)
    assert "100% of the 20 updates" in said(algorithm, 20), "said, and not refused"


def test_training_says_it(tmp_path: Path) -> None:
    small = BEAR(hidden=(4,), behaviour_hidden=(4,), batch_size=8)
    _, text = told(small, walk(), steps=2, out=tmp_path / "run")
    assert "bear: 100% of the 2 updates only prepare (warm_up = 4,000)" in text


def test_methods_without_preparation_need_none() -> None:
    assert said(BC(), 1) == ""


def test_default_runs_are_mostly_learning_and_fields_exist() -> None:
    for kind in ALGORITHMS.values():
        assert said(kind(), 30_000) == ""
        assert set(kind.preparation) <= set(fields_of(kind))
        counts = {"warm_up", "bc_steps", "behaviour_steps"} & set(fields_of(kind))
        assert counts == set(kind.preparation), "a field that counts such updates is declared"


def test_metrics_of_what_has_not_begun_are_not_shown() -> None:
    metrics = {"behaviour/loss": 1.0, "critic/loss": 0.0}
    fitting = fitting_updates(BRAC(behaviour_steps=5), adopted=False)
    assert begun(metrics, 5, fitting) == {"behaviour/loss": 1.0}
    assert begun(metrics, 6, fitting) == metrics
    assert fitting_updates(BRAC(behaviour_steps=5), adopted=True) == 0
    assert begun(metrics, 1, fitting_updates(BEAR(), adopted=False)) == metrics

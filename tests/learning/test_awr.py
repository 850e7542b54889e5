"""AWR improves on a log of a linear system by one step; with exact advantages by more."""

from pathlib import Path
from typing import Any

import pytest
from making.lqr import DISCOUNT, log_of, share_of_the_gain

from suture.algorithms.awr import AWR
from suture.training.train import train


@pytest.mark.parametrize(("advantages", "least"), [("td_lambda", 0.25), ("exact", 0.4)])
def test_it_gains_a_part_of_what_the_log_holds(advantages: Any, least: float, tmp_path: Path) -> None:
    """Of what the best policy gains over the behaviour; a clone of the log gains a tenth."""
    algorithm = AWR(
        hidden=(32, 32), batch_size=128, discount=DISCOUNT, target_rate=0.05, advantages=advantages,
        value_learning_rate=3e-3, critic_learning_rate=3e-3, actor_learning_rate=3e-3,
    )  # fmt: skip
    run = train(algorithm, log_of(noise=0.4), steps=1_500, out=tmp_path / "run")
    assert share_of_the_gain(run.policy.act) > least

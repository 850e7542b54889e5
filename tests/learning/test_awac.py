"""AWAC and CRR improve on a log of a linear system, and on one of the canonical problem."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.canonical import worth
from making.logs import built
from making.lqr import DISCOUNT, log_of, share_of_the_gain

from suture.algorithms.awac import AWAC
from suture.algorithms.crr import CRR
from suture.envs.tabular import canonical, canonical_behaviour, sample_log
from suture.training.train import train

SMALL: dict[str, Any] = {
    "hidden": (32, 32), "batch_size": 128, "target_rate": 0.05, "critic_learning_rate": 3e-3,
    "actor_learning_rate": 3e-3,
}  # fmt: skip


@pytest.mark.parametrize("kind", [AWAC, CRR])
def test_it_gains_what_a_log_of_continuous_actions_holds(kind: Any, tmp_path: Path) -> None:
    """Of what the best policy gains over the behaviour, two thirds; a clone of the log gains a tenth."""
    algorithm = kind(**SMALL, temperature=0.1, discount=DISCOUNT)
    run = train(algorithm, log_of(noise=0.4), steps=1_500, out=tmp_path / "run")
    assert share_of_the_gain(run.policy.act) > 2 / 3


def test_it_gains_what_a_log_of_choices_holds(tmp_path: Path) -> None:
    """The canonical problem: the behaviour is worth 0.88, one step of improvement 4.5, and the best 5.84."""
    data = built(sample_log(canonical(), canonical_behaviour(), episodes=40, horizon=50, seed=0))
    algorithm = AWAC(**SMALL, temperature=0.05, max_weight=1e3, discount=0.9)
    run = train(algorithm, data, steps=2_000, out=tmp_path / "run")
    chosen = np.eye(3)[run.policy.act(np.eye(4, dtype=np.float32))]
    assert worth(chosen) > 5

"""Methods of every kind of state go on in an environment, and learn from what they play there.

BC, IQL, TD3, ReBRAC, CQL and Cal-QL do so in the other tests of this folder.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from making.point import CORRIDOR, POINT, corridor_log, point_log

from suture.algorithms.table import ALGORITHMS
from suture.config import fields_of
from suture.online.finetune import finetune
from suture.training.outcome import Outcome
from suture.training.train import train

NARROW: dict[str, Any] = {
    "hidden": (4,), "behaviour_hidden": (4,), "latent": 2, "samples": 6, "flow_steps": 2, "batch_size": 4,
    "behaviour_steps": 1, "warm_up": 0, "window_length": 2,
}  # fmt: skip


@pytest.mark.parametrize("name", ["awac", "awr", "bcq", "brac", "dqn", "fql", "qt_opt", "sac"])
def test_it_goes_on_online(name: str, tmp_path: Path) -> None:
    kind: Any = ALGORITHMS[name]
    algorithm = kind(**{field: value for field, value in NARROW.items() if field in fields_of(kind)})
    choices = "continuous" not in kind.actions
    data, environment = (corridor_log(8), CORRIDOR) if choices else (point_log(8), POINT)
    start = train(algorithm, data, out=tmp_path / "start", steps=2)
    done = finetune(
        start, environment, data=data, out=tmp_path / "on", steps=8, updates_per_step=0.25, at_once=1,
        window=1, preset="none", share_first=0.5, share_last=1.0,
    )  # fmt: skip
    assert done.outcome is Outcome.COMPLETED
    assert done.newest.step == 2, "updates online"
    before, after = (jax.tree.leaves(run.policies.policies) for run in (start, done))
    assert any(not np.array_equal(one, two) for one, two in zip(before, after, strict=True))

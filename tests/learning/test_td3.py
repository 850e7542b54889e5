"""TD3+BC and ReBRAC improve on a log of a linear system; TD3 believes in actions that nobody took."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest
from making.canonical import solve
from making.lqr import DISCOUNT, log_of, share_of_the_gain

from suture.algorithms.base import Batch, Spec
from suture.algorithms.rebrac import ReBRAC
from suture.algorithms.td3 import TD3
from suture.algorithms.td3_bc import TD3BC
from suture.spaces import Box
from suture.training.train import train

SMALL: dict[str, Any] = {
    "hidden": (32, 32), "batch_size": 128, "discount": DISCOUNT, "target_rate": 0.05,
    "critic_learning_rate": 3e-3, "actor_learning_rate": 3e-3,
}  # fmt: skip


@pytest.mark.parametrize(("algorithm", "least"), [(TD3BC(**SMALL), 0.5), (ReBRAC(**SMALL), 0.8)])
def test_it_gains_what_the_log_holds(algorithm: Any, least: float, tmp_path: Path) -> None:
    """Of what the best policy gains over the behaviour; a clone of the log gains a tenth."""
    run = train(algorithm, log_of(noise=0.4), steps=1_500, out=tmp_path / "run")
    assert share_of_the_gain(run.policy.act) > least


def test_td3_believes_in_what_nobody_did_and_td3_bc_stays() -> None:
    """One state that returns to itself; logged actions from -0.7 to -0.3 pay 1 + a, at most 1.4 in all.

    The critic goes on rising beyond them, and TD3 to the end of the range, where it claims far more.
    """
    action, seen = jnp.linspace(-0.7, -0.3, 64)[:, None], jnp.ones((64, 1))
    batch = Batch(
        observation=seen, action=action, reward=1 + action[:, 0], discount=jnp.ones(64), next_observation=seen
    )
    spec = Spec(observation=Box((1,)), action=Box((1,), low=(-1.0,), high=(1.0,)))
    small: dict[str, Any] = {"hidden": (32, 32), "discount": 0.5, "target_rate": 0.05}

    def action_and_claim(algorithm: Any) -> tuple[float, float]:
        state = solve(algorithm, batch=batch, spec=spec, steps=1_500, rates=(3e-3,))
        chosen = algorithm.policy(state)(seen).mode()
        return float(chosen[0, 0]), float(algorithm.pessimistic(state.critic.net(seen, chosen))[0])

    naive, kept = action_and_claim(TD3(**small)), action_and_claim(TD3BC(**small, alpha=0.3))
    assert naive[0] > 0.9
    assert naive[1] > 1.6
    assert -0.5 < kept[0] < -0.25
    assert kept[1] < 1.4

"""A bandit whose log covers a corner of the actions: rewards rise towards its edge, and nobody knows beyond.

The naive method climbs on, out of the log; the pessimistic ones stop where the log ends, and still improve on
the behaviour. A penalty of the wrong sign, a maximum for a minimum or slopes of the wrong networks leave.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from making.runs import walk

from suture.algorithms.base import Batch, Spec
from suture.algorithms.cql import CQL, CalQL
from suture.algorithms.edac import EDAC, SACN
from suture.algorithms.sac import SAC
from suture.keys import key_for
from suture.spaces import Array, Box
from suture.training.outcome import Outcome
from suture.training.train import train

ROWS, LOW, HIGH = 64, -0.6, 0.3
FIELDS: dict[str, Any] = {
    "hidden": (32, 32), "critic_learning_rate": 2e-3, "actor_learning_rate": 2e-3,
    "temperature_learning_rate": 1e-2, "initial_temperature": 0.1,
}  # fmt: skip


def logged(dimensions: int) -> Batch:
    """Actions from a box; the reward is their mean; every row is a true end."""
    action = np.random.default_rng(0).uniform(LOW, HIGH, (ROWS, dimensions))
    reward, seen = jnp.asarray(action.mean(1), jnp.float32), jnp.ones((ROWS, 1))
    return Batch(
        observation=seen, next_observation=seen, action=jnp.asarray(action, jnp.float32), reward=reward,
        discount=jnp.zeros(ROWS), return_to_go=reward,
    )  # fmt: skip


def learned(
    algorithm: Any, dimensions: int = 1, seeds: int = 1, steps: int = 500
) -> tuple[Array, Array, Any]:
    """Actions of the policies (seeds, dimensions), their values by the critics (seeds,), the last metrics."""
    space, batch = Box((dimensions,), low=(-1.0,) * dimensions, high=(1.0,) * dimensions), logged(dimensions)
    configured = dataclasses.replace(algorithm, target_entropy=-2.0 * dimensions)
    seen = jnp.ones((1, 1))

    @jax.jit
    def learn(seed: Any) -> Any:
        def body(state: Any, step: Any) -> Any:
            return configured.update(state, batch, key_for(seed, "update", step))

        state = configured.init(Spec(observation=Box((1,)), action=space), key_for(seed, "init"))
        state, metrics = jax.lax.scan(body, state, jnp.arange(steps))
        action = configured.policy(state)(seen).mode()
        worth = configured.pessimistic(configured.critic(state)(seen, action))
        return action[0], worth[0], jax.tree.map(lambda metric: metric[-1], metrics)

    return jax.tree.map(lambda *each: np.stack(each), *(learn(seed) for seed in range(seeds)))


def test_the_naive_method_leaves_the_log_and_expects_more_than_it_ever_paid() -> None:
    action, worth, _ = learned(SAC(**FIELDS))
    assert action[0] > 0.8
    assert worth > HIGH + 0.03


def test_cql_improves_on_the_behaviour_within_the_log() -> None:
    action, worth, metrics = learned(CQL(**FIELDS, conservative_weight=0.1, samples=3))
    assert (LOW + HIGH) / 2 + 0.2 < action[0] < HIGH + 0.05
    assert abs(worth - action[0]) < 0.15
    assert metrics["conservative/gap"] > 1


def test_cal_ql_does_not_push_values_as_far_below_the_recorded_returns_as_cql() -> None:
    fields: dict[str, Any] = {**FIELDS, "conservative_weight": 5.0, "samples": 3}
    behaviour = float(np.mean(np.asarray(logged(1).reward)))
    (_, low, _), (action, calibrated, _) = (learned(kind(**fields), seeds=2) for kind in (CQL, CalQL))
    assert calibrated.min() > behaviour + 0.03
    assert calibrated.mean() > low.mean() + 0.2
    assert LOW < action.min() <= action.max() < HIGH + 0.05


def test_more_critics_claim_less_of_what_the_log_does_not_show() -> None:
    """The minimum of 50 lies below that of 2; of as many in agreement, or of their mean, it would not."""
    (_, few, _), (_, many, _) = (learned(SACN(**FIELDS, critics=count), seeds=4) for count in (2, 50))
    assert (many < few + 0.01).all()
    assert many.mean() < few.mean() - 0.05


def test_diverse_critics_stay_within_the_log_where_as_many_others_do_not() -> None:
    """Six seeds each, and each is better than the behaviour, whose mean action is -0.15."""
    plain = SACN(**FIELDS, critics=10)
    diverse = EDAC(**FIELDS, critics=10, diversity_weight=0.1)
    (astray, _, _), (kept, worth, _) = (learned(kind, 2, seeds=6, steps=1_000) for kind in (plain, diverse))
    assert (astray.max(1) > 0.9).sum() >= 5
    assert LOW < kept.min() <= kept.max() < HIGH + 0.05
    assert kept.mean(1).min() > (LOW + HIGH) / 2 + 0.02
    assert (np.abs(worth - kept.mean(1)) < 0.15).all()


def test_recorded_returns_reach_cal_ql() -> None:
    """The column is made on the host, with the method's own discount."""
    run = train(CalQL(hidden=(8,), samples=2, discount=0.5, batch_size=8), walk(), steps=8)
    assert run.outcome is Outcome.COMPLETED

"""What must not matter, or must matter in a known way, to one update of every method of continuous actions.

The gradients of one real update (`making/steps.py`) are compared with those of a changed log or state. Values
begin near `AT`, so that the policy's are positive and their mean size is their mean. The relations are exact,
but for what these methods are by definition:

- a constant more in every reward makes Q larger, and with it the divisor of TD3+BC, ReBRAC, FQL and IQL's
  ddpg_bc: ascent weighs less beside cloning, by exactly the factor by which the mean value grew;
- another unit of reward leaves CQL's proposals as likely as they were (`(Q - log density) / T` adds rewards
  and nats, whatever T is): without its penalty the relation is exact, and for its penalty there is none;
- at discount 0 that penalty still asks the policy at the next observation for proposals;
- values that are probabilities (QT-Opt, cross_entropy) have no other origin and no other unit.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from making.steps import VALUES, Step, agree, changed, drawn, last, networks, numbers, raised, same, times

from suture.algorithms.awac import AWAC
from suture.algorithms.awr import AWR
from suture.algorithms.base import Trainable
from suture.algorithms.bcq import BCQ
from suture.algorithms.bear import BEAR
from suture.algorithms.brac import BRAC
from suture.algorithms.cql import CQL, CalQL
from suture.algorithms.crr import CRR
from suture.algorithms.edac import EDAC, SACN
from suture.algorithms.fql import FQL
from suture.algorithms.ifql import IFQL
from suture.algorithms.iql import IQL
from suture.algorithms.multiplier import Multiplier
from suture.algorithms.qt_opt import QTOpt
from suture.algorithms.rebrac import ReBRAC
from suture.algorithms.sac import SAC
from suture.algorithms.td3 import TD3
from suture.algorithms.td3_bc import TD3BC
from suture.spaces import Array
from suture.testing.contract import ROWS

RATE = 0.25
SMALL: dict[str, Any] = {"hidden": (6,), "discount": 0.75, "target_rate": RATE}
TWIN: dict[str, Any] = SMALL | {"actor_every": 1}
CLONED: dict[str, Any] = SMALL | {"behaviour_hidden": (6,), "warm_up": 0, "divergence_samples": 2}
AT, MORE, UNIT = 8.0, 4.0, 0.5
"""What values begin at, by how much they grow, and another unit of reward."""
MOVES = {
    "critic": {"critic"}, "value": {"value"}, "temperature": {"temperature"}, "multiplier": {"multiplier"},
    "behaviour": {"behaviour", "model"}, "actor": {"actor", "perturbation", "flow"}, "flow": {"flow"},
    "factor": {"factor"},
}  # fmt: skip
"""Which networks a learning rate is for."""


class Case(NamedTuple):
    """A method, and what is known about one update of it.

    reads: each network that learns, and the networks that its gradient depends on.
    units: fields in powers of the unit of reward.   climbs: that power of the policy's loss.
    balance: where ascent is divided by the mean value: a field, its power of that value, and the policy's
        gradient's, that make up for the division.
    penalty: the field that is 0 where proposals must not count.
    """

    algorithm: Any
    reads: dict[str, str]
    units: dict[str, int] = {}  # noqa: RUF012
    climbs: int = 0
    balance: tuple[str, int, int] | None = None
    penalty: str | None = None


OWN, SLOW = "critic target_critic actor", "critic target_critic target_actor"
TWINS, WEIGHTED = {"critic": SLOW, "actor": "actor critic"}, {"critic": OWN, "actor": "actor critic"}
ENTROPY = {"actor": "actor critic temperature", "temperature": "actor"}
SOFT, CONSERVATIVE = ENTROPY | {"critic": OWN + " temperature"}, ENTROPY | {"critic": OWN}
CALIBRATED = ENTROPY | {"critic": OWN + " factor", "factor": "critic actor"}
IMPLICIT = {"value": "value target_critic", "critic": "critic value"}
RETURNS = {"value": "value target_value", "actor": "actor value target_value"}
EXACT = {"value": "value target_value", "critic": "critic target_value", "actor": "actor value critic"}
FLOW = {"critic": OWN, "flow": "flow", "actor": "actor critic flow"}
PAID_ONCE = {"critic": OWN, "actor": "actor critic model temperature", "temperature": "actor model"}
PAID_ALWAYS = {"critic": OWN + " model", "actor": "actor critic model"}
NEARBY = {
    "model": "model", "critic": SLOW, "actor": "actor critic model multiplier", "multiplier": "actor model",
}  # fmt: skip
PROPOSED = {
    "behaviour": "behaviour", "critic": "critic target_critic behaviour target_perturbation",
    "perturbation": "perturbation critic behaviour",
}  # fmt: skip
SEARCH = {"critic": "critic targets[0] targets[1]"}
PRICED = {"temperature": 1}
CASES = {
    "td3": Case(TD3(**TWIN, n_step=3, chunk=2), TWINS, climbs=1),
    "td3_bc": Case(TD3BC(**TWIN), TWINS, balance=("alpha", 1, 0)),
    "rebrac": Case(
        ReBRAC(**TWIN, n_step=3, chunk=2, actor_penalty=0.1, critic_penalty=0.3), TWINS,
        {"critic_penalty": 1}, balance=("actor_penalty", -1, -1),
    ),
    "sac": Case(SAC(**SMALL, n_step=3), SOFT, climbs=1),
    "sac_n": Case(SACN(**SMALL, critics=3), SOFT, climbs=1),
    "edac": Case(EDAC(**SMALL, critics=3), SOFT, {"diversity_weight": 2}, climbs=1),
    "cql": Case(CQL(**SMALL, samples=2), CONSERVATIVE, climbs=1, penalty="conservative_weight"),
    "cal_ql": Case(
        CalQL(**SMALL, samples=2, max_target_backup=True, target_gap=0.5), CALIBRATED, climbs=1,
        penalty="conservative_weight",
    ),
    "awac": Case(AWAC(**SMALL), WEIGHTED, PRICED),
    "awac softmax": Case(AWAC(**SMALL, weights="softmax"), WEIGHTED, PRICED),
    "crr": Case(CRR(**SMALL, advantage="max"), WEIGHTED, PRICED),
    "crr binary": Case(CRR(**SMALL, weights="binary"), WEIGHTED),
    "awr": Case(AWR(**SMALL, window_length=3), RETURNS),
    "awr exact": Case(AWR(**SMALL, window_length=3, advantages="exact", whitened=False), EXACT, PRICED),
    "iql": Case(
        IQL(**SMALL, actor_schedule="constant", n_step=3),
        IMPLICIT | {"actor": "actor value target_critic"}, {"inverse_temperature": -1},
    ),
    "iql ddpg_bc": Case(
        IQL(**SMALL, actor_schedule="constant", extraction="ddpg_bc", bc_weight=0.1),
        IMPLICIT | {"actor": "actor target_critic"}, balance=("bc_weight", -1, -1),
    ),
    "brac actor": Case(
        BRAC(**CLONED, behaviour_steps=0, penalty="actor", divergence="mmd", target_divergence=0.1),
        PAID_ONCE, climbs=1,
    ),
    "brac reward": Case(BRAC(**CLONED, behaviour_steps=0), PAID_ALWAYS, PRICED, climbs=1),
    "bear": Case(BEAR(**CLONED, target_samples=3), NEARBY, climbs=1),
    "bcq": Case(BCQ(**SMALL, behaviour_hidden=(6,), target_samples=3, perturbation=0.3), PROPOSED, climbs=1),
    "fql": Case(FQL(**SMALL, flow_steps=2, bc_weight=0.1), FLOW, balance=("bc_weight", -1, -1)),
    "fql plain": Case(
        FQL(**SMALL, flow_steps=2, normalise_q=False, chunk=2), FLOW, {"bc_weight": 1}, climbs=1
    ),
    "ifql": Case(IFQL(**SMALL, flow_steps=2), IMPLICIT | {"flow": "flow"}),
    "qt_opt": Case(QTOpt(**SMALL, critics=2, samples=6, elites=2), SEARCH),
    "qt_opt entropy": Case(QTOpt(**SMALL, samples=6, elites=2, loss="cross_entropy"), SEARCH),
}  # fmt: skip
REWARDED = [name for name in CASES if name != "qt_opt entropy"]
DRAWLESS = {"awr", "awr exact", "iql", "iql ddpg_bc"}


class Updates(Step):
    """The update of a case."""

    def __init__(self, name: str):
        self.case = case = CASES[name]
        self.origin = AT if name in REWARDED else 0.0
        named = {*case.units, *(case.balance or ())[:1], *([case.penalty] if case.penalty else ())}
        super().__init__(case.algorithm, {str(field) for field in named})

    def worth(self, more: float = 0.0) -> tuple[Any, dict[str, Any]]:
        """State and log where all is worth `more`: every reward is `(1 - discount) * more` larger.

        The last reward before a true end holds what would have been paid for ever after.
        """
        more, columns = self.origin + more, dict(self.columns)
        columns["reward"] += more * (1 - self.case.algorithm.discount * columns["discount"])
        if "return_to_go" in columns:
            columns["return_to_go"] += more
        return changed(self.first, lambda name, net: raised(net, more) if name in VALUES else net), columns

    def gradients(self, *given: Any, penalised: bool = True, **fields: Any) -> dict[str, Any]:
        """Of each network that learns; without the penalty, of all but its factor."""
        silent = {self.case.penalty: 0.0} if self.case.penalty and not penalised else {}
        found = super().gradients(*given, **fields | silent)
        return {name: found[name] for name in self.case.reads if penalised or name != "factor"}


@functools.cache
def updates(name: str) -> Updates:
    return Updates(name)


@pytest.mark.parametrize("name", REWARDED)
def test_a_constant_more_in_every_reward_is_its_sum_over_time_more_in_every_value(name: str) -> None:
    one, balance = updates(name), CASES[name].balance
    start, more = one.worth(), one.worth(MORE)
    expected = one.gradients(*start)
    if balance is None:
        agree(one.gradients(*more), expected)
        return
    field, power, of_gradient = balance
    growth = one.after(*more)[1]["actor/value"] / one.after(*start)[1]["actor/value"]
    assert growth > 1.2
    found = one.gradients(*more, **{field: one.fields[field] * growth**power})
    agree(found, expected | {"actor": times(growth**of_gradient, expected["actor"])})
    with pytest.raises(AssertionError, match="actor"):
        agree(one.gradients(*more), expected)


@pytest.mark.parametrize("name", REWARDED)
def test_another_unit_of_reward_changes_gradients_by_its_powers(name: str) -> None:
    """The last layer is in it; the squared error, and so all gradients before that layer, in its square."""
    one, case = updates(name), CASES[name]
    state, columns = one.worth()

    def in_unit(part: str, net: Any) -> Any:
        if isinstance(net, Multiplier):
            return Multiplier(net.log + np.log(UNIT))
        return eqx.tree_at(last, net, times(UNIT, last(net))) if part in VALUES else net

    def expected(part: str, gradient: Any) -> Any:
        if part in VALUES:
            return eqx.tree_at(last, times(UNIT**2, gradient), times(UNIT, last(gradient)))
        return times(UNIT**case.climbs if part in ("actor", "perturbation") else 1.0, gradient)

    other = {name: UNIT * columns[name] for name in ("reward", "return_to_go") if name in columns}
    fields = {field: one.fields[field] * UNIT**power for field, power in case.units.items()}
    found = one.gradients(changed(state, in_unit), columns | other, penalised=False, **fields)
    before = one.gradients(state, columns, penalised=False)
    agree(found, {part: expected(part, gradient) for part, gradient in before.items()})


@pytest.mark.parametrize("name", CASES)
def test_without_a_future_values_are_of_rewards_and_nothing_that_follows_matters(name: str) -> None:
    one = updates(name)
    state, columns = one.worth()
    other = columns | {column: 1.0 - columns[column] for column in columns if column.startswith("next_")}
    two = (one.gradients(state, seen, penalised=False) for seen in (columns, other))
    assert not same(*two)
    two = (one.gradients(state, seen, penalised=False, discount=0.0) for seen in (columns, other))
    assert same(*two)
    critic = networks(state).get("critic")
    if critic is not None and name in REWARDED:
        bandit = dataclasses.replace(one.algorithm, discount=0.0).batch(dict(columns))
        if bandit.known is not None:
            bandit = jax.tree.map(lambda column: column[:, 0], bandit)
        q = critic.net(bandit.observation, bandit.action)
        loss = float(len(q) * jnp.square(bandit.reward - q).mean())
        assert one.after(state, columns, discount=0.0)[1]["critic/loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_rows_twice_or_in_another_order_make_the_same_step(name: str) -> None:
    one, order = updates(name), np.random.default_rng(0).permutation(ROWS)
    state, columns = one.worth()
    expected = one.gradients(state, columns)
    for rows in (order, order.repeat(2)):
        other = {part: column[rows] for part, column in columns.items()}
        agree(one.gradients(state, other), expected)


@pytest.mark.parametrize("name", CASES)
def test_a_seed_makes_the_same_step_and_another_one_other_draws(name: str) -> None:
    one = updates(name)
    start = one.worth()
    expected = one.after(*start)
    assert same(one.after(*start), expected)
    assert same(one.after(*start, seed=1)[0], expected[0]) == (name in DRAWLESS)


@pytest.mark.parametrize("name", CASES)
def test_each_gradient_depends_on_the_networks_that_its_loss_reads_and_on_no_other(name: str) -> None:
    one, case = updates(name), CASES[name]
    state, columns = one.worth()
    expected = one.gradients(state, columns)
    depend: dict[str, set[str]] = {part: set() for part in case.reads}
    for moved in networks(state):
        other = changed(state, lambda part, net: drawn(part, net, 1) if part == moved else net)  # noqa: B023
        for part, gradient in one.gradients(other, columns).items():
            if not same(gradient, expected[part]):
                depend[part].add(moved)
    assert depend == {part: set(names.split()) for part, names in case.reads.items()}


@pytest.mark.parametrize("name", CASES)
def test_each_rate_moves_its_own_networks_and_what_follows_them(name: str) -> None:
    """Targets have no rate: they go theirs of the way to the network that just moved, and by no gradient."""
    one, learning = updates(name), CASES[name].reads.keys()
    state, columns = one.worth()
    sources = {target: target.removeprefix("target_") for target in networks(state) if "target_" in target}
    sources |= {target: "critic" for target in networks(state) if target == "targets[0]"}
    still, moves = bare(one.after(state, columns)[0]), set[str]()
    for rate in one.rates:
        moving: dict[str, Any] = {rate: 0.1}
        after = bare(one.after(state, columns, **moving)[0])
        own = MOVES[rate.removesuffix("_learning_rate")] & learning
        followed = {target for target, source in sources.items() if source in own}
        assert {part for part in after if not same(after[part], still[part])} == own | followed
        for target in followed:
            old, new = numbers(networks(state)[target]), numbers(after[sources[target]])
            np.testing.assert_allclose(numbers(after[target]), old + RATE * (new - old), atol=1e-5)
        moves |= own
    assert moves == learning


def bare(state: Any) -> dict[str, Any]:
    """The networks of a state, without optimisers."""
    return {n: part.net if isinstance(part, Trainable) else part for n, part in networks(state).items()}


def test_probabilities_answer_to_rewards_in_proportion_until_they_are_full() -> None:
    """QT-Opt with cross_entropy: the error of the logit is the target's, which ends at 1."""
    one = updates("qt_opt entropy")
    reward = 0.05 * (1 + one.columns["reward"])

    def gradient(more: float) -> Array:
        return numbers(one.gradients(one.first, one.columns | {"reward": reward + more}))

    none, some, twice = (gradient(more) for more in (0.0, 0.05, 0.1))
    assert np.abs(some - none).max() > 1e-3
    np.testing.assert_allclose(twice - some, some - none, atol=1e-6)
    assert same(gradient(2.0), gradient(3.0))

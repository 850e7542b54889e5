"""The exact toolbox against the reference, and its operators' properties on random problems."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making.canonical import read_oracle

from suture.errors import ConfigError
from suture.spaces import Array
from suture.theory import tabular as exact
from suture.theory.pessimism import conservative_optimum

MDP, BEHAVIOUR = exact.canonical(), exact.canonical_behaviour()
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    return read_oracle()


def close(found: Any, right: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(found, np.array(right), rtol=0, atol=tolerance)


def test_the_problem_is_the_reference_s(oracle: dict[str, Any]) -> None:
    for found, name in ((MDP.transition, "P"), (MDP.reward, "R"), (BEHAVIOUR, "beta"), (MDP.start, "rho")):
        close(found, oracle[name], 1e-15)
    assert MDP.discount == oracle["gamma"]


def test_behaviour_and_its_occupancy(oracle: dict[str, Any]) -> None:
    quality, value, start = exact.evaluate(MDP, BEHAVIOUR)
    close(quality, oracle["behaviour"]["Q"])
    close(value, oracle["behaviour"]["V"])
    close(start, oracle["behaviour"]["J"])
    close(exact.occupancy(MDP, BEHAVIOUR).sum(axis=1), oracle["behaviour"]["d"])


def test_best_of_all_and_best_in_the_support(oracle: dict[str, Any]) -> None:
    quality, _ = exact.fixed_point(MDP, lambda q: q.max(axis=1))
    close(quality, oracle["optimal"]["Q"])
    quality, value = exact.fixed_point(MDP, exact.best_in_support(BEHAVIOUR))
    close(quality, oracle["in_support_optimal"]["Q"])
    close(value[0], oracle["in_support_optimal"]["J"])
    close(exact.greedy(quality, BEHAVIOUR > 0), oracle["in_support_pi"]["pi"])
    one_step = exact.greedy(exact.evaluate(MDP, BEHAVIOUR)[0], BEHAVIOUR > 0)
    close(one_step, oracle["one_step_greedy"]["pi"])
    close(exact.value_of(MDP, one_step), oracle["one_step_greedy"]["J"])


@pytest.mark.parametrize("level", [0.5, 0.7, 0.9, 0.99])
def test_expectile_values(oracle: dict[str, Any], level: float) -> None:
    right = oracle[f"iql_tau{level:g}"]
    quality, value = exact.fixed_point(MDP, exact.expectile_values(BEHAVIOUR, level))
    close(quality, right["Q"])
    close(value, right["V"])
    for inverse in (3, 10):
        policy = exact.soft_policy(quality - value[:, None], BEHAVIOUR, 1 / inverse)
        close(exact.value_of(MDP, policy), right[f"J_awr_inv{inverse}"])


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_soft_values_and_their_kin(oracle: dict[str, Any], temperature: float) -> None:
    right = oracle[f"soft_xql_bracv_lam{temperature:g}"]
    quality, value = exact.fixed_point(MDP, lambda q: exact.soft_value(q, BEHAVIOUR, temperature))
    close(value, right["V"])
    close(exact.soft_policy(quality, BEHAVIOUR, temperature), right["pi"])
    policy, quality = exact.penalised_policy(MDP, BEHAVIOUR, temperature)
    close(policy, oracle[f"bracp_awac_lam{temperature:g}"]["pi"])
    close(quality, oracle[f"bracp_awac_lam{temperature:g}"]["Q"])
    one_step = exact.soft_policy(exact.evaluate(MDP, BEHAVIOUR)[0], BEHAVIOUR, temperature)
    close(one_step, oracle[f"awr_onestep_alpha{temperature:g}"]["pi"])


def test_values_of_a_mask(oracle: dict[str, Any]) -> None:
    allowed = BEHAVIOUR / BEHAVIOUR.max(axis=1, keepdims=True) > 0.3
    close(allowed, oracle["bcq_thr0.3"]["mask"], 0)
    close(exact.optimal(MDP, allowed)[0], oracle["bcq_thr0.3"]["Q"])


@pytest.mark.parametrize("weight", [0.1, 0.5])
def test_conservative_values(oracle: dict[str, Any], weight: float) -> None:
    behaviour = 0.9 * BEHAVIOUR + 0.1 / 3
    quality = conservative_optimum(MDP, behaviour, weight)
    close(quality, oracle[f"cqlH_dqn_alpha{weight:g}_half"]["Q"], 1e-7)
    soft = np.exp(quality) / np.exp(quality).sum(axis=1, keepdims=True)
    residual = quality - MDP.backup(quality.max(axis=1)) + weight * (soft / behaviour - 1)
    assert np.abs(residual).max() < 1e-10


def drawn(seed: int) -> tuple[exact.TabularMDP, Array, np.random.Generator]:
    return next(iter(exact.problems(seed, 1)))


def backups(behaviour: Array) -> dict[str, exact.Backup]:
    return {
        "maximum": lambda q: q.max(axis=1), "support": exact.best_in_support(behaviour),
        "mean": lambda q: (behaviour * q).sum(axis=1),
        "expectile": exact.expectile_values(behaviour, 0.8),
        "soft": lambda q: exact.soft_value(q, behaviour, 0.3),
    }  # fmt: skip


@given(seeds)
def test_every_backup_contracts_keeps_order_and_moves_with_constants(seed: int) -> None:
    mdp, behaviour, generator = drawn(seed)
    one, two = generator.normal(size=(2, *mdp.reward.shape))
    for name, backup in backups(behaviour).items():
        before, after = np.abs(one - two).max(), mdp.backup(backup(one)) - mdp.backup(backup(two))
        assert np.abs(after).max() <= mdp.discount * before + 1e-12, name
        assert (backup(np.maximum(one, two)) >= backup(one) - 1e-12).all(), name
        close(backup(one + 3.0), backup(one) + 3.0, 1e-10)


@given(seeds)
def test_in_support_backups_do_not_read_what_was_never_logged(seed: int) -> None:
    _, behaviour, generator = drawn(seed)
    one = generator.normal(size=behaviour.shape)
    two = np.where(behaviour > 0, one, 1e9)
    for name, backup in backups(behaviour).items():
        if name != "maximum":
            close(backup(one), backup(two), 0)


@given(seeds, st.floats(0.02, 0.98))
def test_expectiles_solve_their_condition_and_grow_with_the_level(seed: int, level: float) -> None:
    generator = np.random.default_rng(seed)
    values, share = generator.normal(size=6), generator.dirichlet(np.ones(6))
    found = float(exact.expectile(values, share, level))
    above, below = np.maximum(values - found, 0) @ share, np.maximum(found - values, 0) @ share
    assert level * above == pytest.approx((1 - level) * below, abs=1e-12)
    assert found <= exact.expectile(values, share, min(level + 0.01, 0.99)) + 1e-12
    close(found, -exact.expectile(-values, share, 1 - level), 1e-12)


@given(seeds)
def test_occupancies_flow_and_give_the_value(seed: int) -> None:
    mdp, policy, _ = drawn(seed)
    visits = exact.occupancy(mdp, policy)
    flow = (1 - mdp.discount) * mdp.start + mdp.discount * np.einsum("sa,sat->t", visits, mdp.transition)
    close(visits.sum(axis=1), flow, 1e-12)
    assert visits.sum() == pytest.approx(1.0)
    assert (visits * mdp.reward).sum() / (1 - mdp.discount) == pytest.approx(exact.value_of(mdp, policy))


@given(seeds)
def test_the_lemmas_are_identities(seed: int) -> None:
    mdp, behaviour, generator = drawn(seed)
    policy = exact.random_policy(generator, mdp)
    gain = exact.value_of(mdp, policy) - exact.value_of(mdp, behaviour)
    assert exact.advantage_gain(mdp, policy, behaviour) == pytest.approx(gain, abs=1e-10)
    other = exact.random_mdp(generator, states=mdp.states, actions=mdp.actions)
    model = exact.TabularMDP(other.transition, other.reward, mdp.discount, mdp.start)
    gap = exact.value_of(mdp, policy) - exact.value_of(model, policy)
    assert exact.simulation_gap(mdp, model, policy) == pytest.approx(gap, abs=1e-10)


def test_the_certainty_equivalent_of_all_transitions_is_the_problem() -> None:
    counts = 1_000 * BEHAVIOUR[..., None] * MDP.transition
    model = exact.certainty_equivalent(MDP, counts, counts.sum(axis=2) * MDP.reward, unseen=-7.0)
    logged = BEHAVIOUR > 0
    close(model.transition[logged], MDP.transition[logged], 1e-12)
    close(model.reward[logged], MDP.reward[logged], 1e-12)
    assert model.reward[1, 2] == -7.0
    assert model.transition[1, 2, 1] == 1.0


def test_divergences() -> None:
    one, two = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[0.25, 0.75], [0.0, 1.0]])
    found = exact.divergence_of(one, two)
    assert found[0] == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3))
    assert found[1] == np.inf
    close(exact.divergence_of(one, one), [0, 0], 0)


def test_soft_values_of_two_points_and_their_limits() -> None:
    q, even = np.array([0.0, 1.0]), np.array([0.5, 0.5])
    assert exact.soft_value(q, even, 1.0) == pytest.approx(0.62011, abs=1e-5)
    assert exact.soft_value(q, even, 1e-4) == pytest.approx(1.0, abs=1e-3)
    assert exact.soft_value(1e6 * q, even, 1.0) == pytest.approx(1e6, rel=1e-6)


def test_what_has_no_answer_is_refused() -> None:
    with pytest.raises(ConfigError, match="lies in"):
        exact.expectile(np.zeros(2), np.array([0.5, 0.5]), 1.0)
    with pytest.raises(ConfigError, match="no contraction"):
        exact.fixed_point(MDP, lambda q: 2 * q.max(axis=1) + 1, most=50)

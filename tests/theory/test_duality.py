"""KL-constrained control: primal and dual to 1e-6, against another solver and the reference's rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from suture.errors import ConfigError
from suture.spaces import Array
from suture.theory.duality import Surrogate, best_within, solve
from suture.theory.tabular import canonical, canonical_behaviour, divergence_of, problems, value_of

CANONICAL = Surrogate.of(canonical(), canonical_behaviour())
# The reference gives its answers without its problem. This one has the same: fitted to the rows below and to
# the radius 2.7946 by least squares with a dual written anew; any solver must now find them in it.
WITNESS = Surrogate(
    behaviour=np.array([
        [0.24992166, 0.59828403, 0.04316417, 0.10863014], [0.04687261, 0.04775394, 0.62315805, 0.2822154],
        [0.10410194, 0.05579053, 0.57463656, 0.26547096],
    ]),
    advantage=np.array([
        [2.3270349, -0.73678976, 0.00070217, -1.29611528], [0.22817093, 0.23972266, 0.17542813, -0.46582193],
        [1.7646932, 0.22028146, -0.39916399, 0.12572604],
    ]),
    states=np.array([0.08811723, 0.78195725, 0.12992552]),
)  # fmt: skip
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(("radius", "multiplier", "value"), [
    (0.001, 12.2675, 0.024229), (0.05, 1.8634, 0.180484), (0.2, 0.8568, 0.361704), (0.5, 0.3674, 0.534683),
])  # fmt: skip
def test_the_reference_s_rows(radius: float, multiplier: float, value: float) -> None:
    found = solve(WITNESS, radius)
    assert found.multiplier == pytest.approx(multiplier, abs=6e-5)
    assert found.primal == pytest.approx(value, abs=1e-6)
    assert found.dual == pytest.approx(value, abs=1e-6)
    assert found.divergence == pytest.approx(radius, abs=1e-9)
    assert found.active


def test_the_constraint_binds_up_to_the_behaviours_surprise_at_the_best_action() -> None:
    assert pytest.approx(2.7946, abs=1e-5) == WITNESS.loose
    before, after = solve(WITNESS, WITNESS.loose - 1e-4), solve(WITNESS, WITNESS.loose + 1e-9)
    assert (before.active, after.active) == (True, False)
    assert before.multiplier > 0.0 == after.multiplier
    assert after.divergence == pytest.approx(WITNESS.loose)
    best = WITNESS.states @ WITNESS.advantage.max(axis=1)
    assert after.primal == pytest.approx(best) == after.dual
    assert before.primal < best


def by_another_solver(problem: Surrogate, radius: float) -> float:
    """The primal by sequential quadratic programming over the supported probabilities themselves."""
    logged = problem.behaviour > 0
    shape = problem.behaviour.shape

    def full(x: Array) -> Array:
        table = np.zeros(shape)
        table[logged] = x
        return table

    found = minimize(
        lambda x: -(problem.states @ (full(x) * problem.advantage).sum(axis=1)),
        problem.behaviour[logged], bounds=[(1e-12, 1.0)] * int(logged.sum()), method="SLSQP",
        constraints=[
            {"type": "eq", "fun": lambda x: full(x).sum(axis=1) - 1},
            {"type": "ineq", "fun": lambda x: radius - problem.divergence(full(x))},
        ],
        options={"ftol": 1e-12, "maxiter": 500},
    )  # fmt: skip
    return -float(found.fun)


@pytest.mark.parametrize("radius", [0.01, 0.2, 1.0])
def test_another_solver_finds_the_same_optimum(radius: float) -> None:
    for problem in (CANONICAL, WITNESS):
        assert solve(problem, radius).primal == pytest.approx(by_another_solver(problem, radius), abs=1e-6)


@given(seeds, st.floats(1e-6, 0.999))
def test_primal_and_dual_meet_and_the_multiplier_complements(seed: int, share: float) -> None:
    mdp, behaviour, generator = next(iter(problems(seed, 1)))
    problem = Surrogate.of(mdp, behaviour)
    radius = share * problem.loose
    found = solve(problem, radius)
    assert found.primal == pytest.approx(found.dual, abs=1e-6)
    assert found.divergence <= radius + 1e-9
    assert found.multiplier * (radius - found.divergence) == pytest.approx(0.0, abs=1e-6)
    if problem.loose > 0:
        others = [problem.dual(found.multiplier * factor, radius) for factor in (0.5, 0.99, 1.01, 2.0)]
        assert min(others) >= found.dual - 1e-12
    weight = generator.random(behaviour.shape) * behaviour
    policy = weight / weight.sum(axis=1, keepdims=True)
    if problem.divergence(policy) <= radius:
        assert problem.objective(policy) <= found.primal + 1e-9


@given(seeds)
def test_the_weights_of_awr_come_out_of_the_dual(seed: int) -> None:
    mdp, behaviour, _ = next(iter(problems(seed, 1, unsupported=0.0)))
    problem = Surrogate.of(mdp, behaviour)
    found = solve(problem, problem.loose / 5)
    weights = np.exp(problem.advantage / found.multiplier)
    policy = behaviour * weights / (behaviour * weights).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.policy, policy, atol=1e-9)


def test_radius_zero_is_the_behaviour_and_less_is_refused() -> None:
    found = solve(CANONICAL, 0.0)
    np.testing.assert_array_equal(found.policy, CANONICAL.behaviour)
    assert found.multiplier == np.inf
    assert found.primal == pytest.approx(0.0, abs=1e-12)
    for radius in (-0.1, np.nan):
        with pytest.raises(ConfigError, match="at least 0"):
            solve(CANONICAL, radius)


def test_the_true_optimum_keeps_the_constraint_and_no_random_policy_within_beats_it() -> None:
    mdp, behaviour, radius = canonical(), canonical_behaviour(), 0.2
    policy = best_within(mdp, behaviour, radius)
    assert CANONICAL.divergence(policy) <= radius + 1e-6
    best = value_of(mdp, policy)
    assert best > value_of(mdp, solve(CANONICAL, radius).policy) + 0.1
    generator = np.random.default_rng(0)
    for _ in range(300):
        tilt = policy * np.exp(generator.normal(scale=0.3, size=policy.shape))
        other = tilt / tilt.sum(axis=1, keepdims=True)
        low, high = 0.0, 1.0  # mixed with the behaviour until it is allowed
        for _ in range(30):
            middle = (low + high) / 2
            mixed = middle * other + (1 - middle) * behaviour
            inside = CANONICAL.states @ divergence_of(mixed, behaviour) <= radius
            low, high = (middle, high) if inside else (low, middle)
        assert value_of(mdp, low * other + (1 - low) * behaviour) <= best + 1e-6

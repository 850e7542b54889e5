"""The reference's figures, one by one: counter-examples exceed the lecture's bounds by what they must."""

import functools
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.data.returns import effective_horizon
from suture.errors import ConfigError
from suture.theory import amplification as growth
from suture.theory import bounds, constraints, curve, expectiles, foundations, mmd, stitching
from suture.theory import tabular as exact
from suture.theory.table import CLAIMS

CHECKS = {one.check.__name__: one.check for one in CLAIMS}


@functools.cache
def numbers_of(check: str) -> Mapping[str, float]:
    return CHECKS[check]().numbers


def number(check: str, name: str) -> float:
    return numbers_of(check)[name]


def test_horizons() -> None:
    assert [effective_horizon(discount) for discount in (0.0, 0.9, 0.99)] == pytest.approx([1, 10, 100])
    for discount in (1.0, -0.1, float("nan")):
        with pytest.raises(ConfigError, match="discount"):
            effective_horizon(discount)


def test_6_2_queried_errors_reach_9_and_deployed_ones_10() -> None:
    assert bounds.amplified(1.0, 0.9, 3_000)[-1] == pytest.approx(9.0)
    assert bounds.amplified(1.0, 0.9, 3_000, where="fitted")[-1] == pytest.approx(10.0)
    assert number("bound_for_queried_errors", "one state") == pytest.approx(9.0)
    assert number("bound_for_queried_errors", "deployed") == pytest.approx(10.0)


@pytest.mark.parametrize(("discount", "error", "actual", "lecture"), [
    (0.5, 1.0, 2.0, 1.0), (0.9, 1.0, 10.0, 9.0), (0.99, 0.1, 10.0, 9.9),
])  # fmt: skip
def test_6_2_fitting_errors_exceed_the_bound(
    discount: float, error: float, actual: float, lecture: float
) -> None:
    check = "bound_fails_for_fitting_errors"
    assert (discount, error) in bounds.FITTED_CASES
    assert number(check, f"gamma {discount:g}") == pytest.approx(actual)
    assert number(check, f"gamma {discount:g}, lecture") == pytest.approx(lecture)


@given(st.floats(0.0, 0.95), st.floats(0.0, 5.0), st.integers(0, 40))
def test_6_2_amplified_errors_have_their_closed_form(discount: float, error: float, backups: int) -> None:
    fitted = error * (1 - discount ** np.arange(backups + 1)) * effective_horizon(discount)
    queried = discount * fitted
    np.testing.assert_allclose(bounds.amplified(error, discount, backups), queried, atol=1e-9)
    np.testing.assert_allclose(bounds.amplified(error, discount, backups, where="fitted"), fitted, atol=1e-9)


def test_6_2_feedback_and_the_sign_of_the_maximum() -> None:
    check = "blow_up_needs_feedback"
    assert number(check, "gamma 0.9, gain 2") == pytest.approx(2.1e9, rel=0.02)
    assert number(check, "gamma 0.4, gain 2") == pytest.approx(1.5e-12, rel=0.03)
    assert bounds.expected_maximum(10) == pytest.approx(1.53875, abs=1e-5)
    assert bounds.expected_maximum(2) == pytest.approx(1 / np.sqrt(np.pi), abs=1e-6)
    assert number("maximum_gives_the_sign", "limit at gamma 0.99") == pytest.approx(152.8, rel=5e-3)
    np.testing.assert_allclose(bounds.residual_gradient(), [4.5, 5.12, 4.88], atol=5e-3)


@given(st.floats(0.0, 0.99), st.floats(0.0, 4.0), st.integers(0, 60))
def test_6_2_a_weight_that_feeds_itself(discount: float, gain: float, backups: int) -> None:
    errors = curve.fed_back(1e-3, discount, gain, backups)
    np.testing.assert_allclose(errors, 1e-3 * (discount * gain) ** np.arange(backups + 1), rtol=1e-9)


def test_6_2_the_curve_of_over_estimation() -> None:
    """The reference: naive 30.7 at k = 1 to 523 at 200, worth -24.2; all constrained ones at or below 0."""
    claimed, worth = curve.over_backups(curve.NAIVE, 7)
    assert claimed[[0, 9, 49, 199]] == pytest.approx([26.0, 208.4, 479.3, 519.3], abs=0.1)
    np.testing.assert_allclose(worth, -24.2)
    for method in curve.CONSTRAINED:
        claimed, worth = curve.over_backups(method, 7)
        assert claimed.max() <= 0, method.name
        assert worth.min() > -1, method.name
    for gain, end in ((1.2, 4.8e3), (2.0, 1.13e48), (1.0, 7e-13)):
        assert number("curve_on_one_log", f"gain {gain:g}") == pytest.approx(end, rel=0.02)


def test_8_2_fitted_evaluation_grows_by_the_factor() -> None:
    for share, gain in ((0.9, 3.0), (0.5, 1.1), (0.0, 2.0)):
        for problem in growth.cases(share):
            errors = growth.evaluated(*problem, gain, 30)
            assert errors[1:] / errors[:-1] == pytest.approx(growth.growth_factor(0.9, share, gain))


def test_7_3_what_a_policy_outside_claims() -> None:
    check = "less_overestimation_is_not_shown"
    assert number(check, "over-claim / B, MMD, once") == pytest.approx(0.9 * 0.54, abs=5e-3)
    assert number(check, "over-claim / B, MMD") > 0.8
    assert number(check, "over-claim / B, KL") == 0.0


def test_8_2_counter_examples() -> None:
    first, second = growth.COUNTEREXAMPLES
    assert (first.error, second.error) == pytest.approx((0.9, 49.5))
    assert growth.lecture_bound(0.9, 0.01, 1.0, 1.0) == pytest.approx(0.009)
    assert growth.lecture_bound(0.99, 0.1, 1.0, 50.0) == pytest.approx(0.099)
    assert growth.lecture_bound(0.9, 0.0, 0.999, 1.0) == pytest.approx(0.0009)
    assert first.error / growth.lecture_bound(0.9, 0.01, 1.0, 1.0) == pytest.approx(100)
    assert second.error / growth.lecture_bound(0.99, 0.1, 1.0, 50.0) == pytest.approx(500)
    assert first.error <= growth.one_step_bound(0.9, 0.01, 1.0) + 1e-12


@given(st.floats(0.1, 0.99), st.floats(0.0, 0.999))
def test_8_2_the_recursion_converges_for_every_share(discount: float, share: float) -> None:
    backups = int(60 / (1 - discount))
    end = growth.iterated(discount, share, 1.0, backups, first=100.0)[-1]
    assert end == pytest.approx(discount * (1 - share) / (1 - discount), rel=1e-6, abs=1e-9)
    assert growth.evaluation_limit(discount, share, 1.0) <= discount + 1e-12


@pytest.mark.parametrize(("share", "gain"), [(0.9, 2.11), (0.5, 1.22), (0.0, 1.11)])
def test_8_2_gains_from_which_errors_grow(share: float, gain: float) -> None:
    assert growth.critical_gain(0.9, share) == pytest.approx(gain, abs=5e-3)
    assert growth.growth_factor(0.9, share, gain + 0.01) > 1 > growth.growth_factor(0.9, share, gain - 0.01)
    assert growth.growth_factor(0.9, 0.9, 3.0) ** 100 == pytest.approx(2.2e3, rel=0.01)


def test_1_claims_of_a_frozen_answer() -> None:
    assert foundations.frozen_claim(10.0) == pytest.approx((9.0, -1.6517), abs=1e-4)
    assert foundations.frozen_claim(50.0) == pytest.approx((45.0, -3.7086), abs=1e-4)


def test_5_stitching() -> None:
    check = "one_step_methods_do_not_recombine"
    assert number(check, "expectile 0.9") == pytest.approx(1.0)
    assert number(check, "expectile 0.95") == pytest.approx(9.9)
    assert stitching.switching_level(0.01) == pytest.approx(0.9175, abs=5e-5)
    assert stitching.switching_level(0.05) == pytest.approx(0.681, abs=5e-5)
    parts = stitching.regime_values((0, 50), (50, 0))
    assert parts["best logged from the start"] == 0.0
    assert parts["dynamic programming"] > 2 * max(parts["cloning"] - 0.01, parts["filtered cloning"]) > 0


def test_7_1_penalties() -> None:
    check = "shaping_is_not_the_actor_penalty"
    rows = ((0.1, 5.76314, 5.68790), (0.5, 1.93091, 1.91985), (1.0, 1.34132, 1.34115))
    for temperature, actor, value in rows:
        assert number(check, f"p, {temperature:g}") == pytest.approx(actor, abs=1e-5)
        assert number(check, f"v, {temperature:g}") == pytest.approx(value, abs=1e-5)
    assert constraints.gaussian_divergence(0, 1e-6, 0, 1) == pytest.approx(13.3, abs=0.02)


def test_7_1_both_penalties_agree_where_futures_are_alike() -> None:
    """One state with a choice, at gamma 0.9: the same policy, with neither gamma = 0 nor no choice."""
    one = next(iter(constraints.same_future()))
    actor, _ = exact.penalised_policy(*one, 0.5)
    quality, _ = exact.fixed_point(one[0], lambda q: exact.soft_value(q, one[1], 0.5))
    np.testing.assert_allclose(actor, [[0.1192, 0.8808]], atol=5e-5)
    np.testing.assert_allclose(exact.soft_policy(quality, one[1], 0.5), actor, atol=1e-12)
    assert max(constraints.penalties_ahead(*one)) < 1e-12
    moved, spread = constraints.penalties_ahead(exact.canonical(), exact.canonical_behaviour())
    assert moved > 0.01
    assert spread > 0.01


def test_2_ratios_do_not_grow_where_policies_differ_in_a_first_state_alone() -> None:
    assert number("evaluation_is_costly", "radius, first state differs") == pytest.approx(1.0)
    assert number("evaluation_is_costly", "E rho^2, first state differs") == pytest.approx(0.81 / 0.5 + 0.02)
    assert number("evaluation_is_costly", "least radius") > 1


def test_7_conservative_pairs_with_less_than_the_behaviour_need_not_lie_above() -> None:
    check = "conservative_values_are_lower_bounds"
    assert number(check, "misjudged") == 0.0
    assert number(check, "of these below Q") > 0.5 * number(check, "pairs with pi < beta")


def test_7_2_awr() -> None:
    check = "returns_seek_risk"
    assert number(check, "by advantages") == pytest.approx(0.7311, abs=5e-5)
    assert number(check, "by returns") == pytest.approx(0.0905, abs=5e-5)
    assert number("temperature_is_the_multiplier", "alpha = eta") < 1e-8
    assert number("temperature_is_the_multiplier", "alpha = 1 / eta") > 0.1


@pytest.mark.parametrize("width", [0.5, 4.0])
def test_7_3_random_frequencies_have_the_mean_of_the_kernel(width: float) -> None:
    wave, apart = mmd.frequencies(40_000, width, np.random.default_rng(0)), 0.8
    kernel = float(mmd.gaussian_kernel(width)(np.array(apart)))
    assert np.cos(wave * apart).mean() == pytest.approx(kernel, abs=0.015)


def test_7_3_discrepancies() -> None:
    """U[-1.15, 1.15] by quadrature; the reference's 0.0500 and 0.0000 are estimates."""
    closed = mmd.squared_mmd_of_normals(0, 1, 0.7, 1.5, 1.0)
    assert closed == pytest.approx(0.08795, abs=1e-5)
    assert mmd.squared_mmd_of_normals(0, 1, 0.7, 1.5, 20.0) == pytest.approx(0.02146, abs=1e-5)
    assert mmd.squared_mmd_of_normals(0, 1, 0.7, 1.5, 400.0) == pytest.approx(0.001217, abs=1e-6)
    check = "discrepancy_admits_what_is_outside"
    assert number(check, "U 1.15, width 1") == pytest.approx(0.0557, abs=1e-4)
    assert number(check, "N 0.05, width 1") == pytest.approx(0.227, abs=5e-4)
    assert number(check, "N 0.05, width 20") == pytest.approx(0.014, abs=5e-4)
    assert number(check, "U 2.17, width 20") == pytest.approx(0.05, abs=1e-4)
    assert number(check, "share outside") == pytest.approx(0.54, abs=1e-3)
    assert number("constrained_not_minimised", "noise floor, n = 5") == pytest.approx(0.067, abs=2e-3)
    assert number("features_converge_and_are_blind", "slope") == pytest.approx(-0.5, abs=0.05)


def test_7_4_what_is_left_of_bootstrapping_error() -> None:
    check = "what_bootstrapping_error_is_left"
    assert number(check, "0.9-expectile of 32") == pytest.approx(0.85, abs=0.01)
    assert number(check, "maximum of 32") == pytest.approx(2.08, abs=0.02)
    assert number("which_network_is_a_target", "two stages") == pytest.approx(0.9)
    assert number("which_network_is_a_target", "one stage") == pytest.approx(4.5)


def test_7_pessimism() -> None:
    check = "pessimism_is_a_third_principle"
    assert number(check, "greedy in support") == pytest.approx(0.5, abs=1e-3)
    assert number(check, "lower bounds") == pytest.approx(0.6, abs=1e-3)
    check = "too_much_pessimism_is_cloning"
    assert number(check, "weight 0.1") == pytest.approx(11.10809, abs=1e-5)
    assert number(check, "weight 0.5") == pytest.approx(0.0, abs=1e-9)


def test_8_3_closed_forms() -> None:
    two = [expectiles.expectile_of_two(0.01, level) for level in (0.7, 0.9, 0.99, 0.999)]
    assert two == pytest.approx([0.0230, 0.0833, 0.5, 0.9098], abs=5e-5)
    uniform = [expectiles.expectile_of_uniform(level) for level in (0.7, 0.9, 0.99)]
    assert uniform == pytest.approx([0.60436, 0.75, 0.90867], abs=1e-5)
    normal = [expectiles.expectile_of_normal(level) for level in (0.7, 0.9, 0.99)]
    assert normal == pytest.approx([0.33712, 0.86159, 1.71744], abs=1e-5)

"""Claims and truths of a method whose values, policy and divergence are known, on an exact problem."""

import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from making.known import BEHAVIOUR, DISCOUNT, POLICY, SCALE, SHIFT, Known, runs_away, scaled

from suture.data.build import build
from suture.envs.tabular import canonical, evaluate, make_canonical, sample_log
from suture.evaluation.claims import Claim
from suture.evaluation.overestimation import Study

pytestmark = pytest.mark.usefixtures("compiled_once")
STEPS, EPISODES, EXCESS, SEEDS = (75, 150), 120, 1.5, 4


def limited() -> TimeLimit:
    """The problem, ended where next to nothing is left of a discounted sum."""
    return TimeLimit(make_canonical(), 8)


@pytest.fixture(scope="module")
def claims(tmp_path_factory: pytest.TempPathFactory) -> list[Claim]:
    """Rewards are doubled and shifted by -3; the discount is 0.5 and every episode starts in state 0."""
    data = build(sample_log(canonical(), BEHAVIOUR, episodes=80, horizon=25, seed=0)).admit()
    study = Study(
        data=data, out=tmp_path_factory.mktemp("known"), steps=STEPS[1], every=STEPS[0], seeds=SEEDS,
        environment=limited, episodes=EPISODES,
        options={"reward_scale": SCALE, "reward_shift": SHIFT},
    )  # fmt: skip
    return study.run([Known(discount=DISCOUNT, batch_size=8, excess=EXCESS)])


def sure(values: np.ndarray, weights: np.ndarray, count: int) -> float:
    """Four standard errors of a mean of `count` draws."""
    mean = (values * weights).sum()
    return 4 * float(np.sqrt((weights * (values - mean) ** 2).sum() / count))


def test_claim_and_truth_are_of_the_stochastic_policy_with_scaled_and_shifted_rewards(
    claims: list[Claim],
) -> None:
    quality, _, exact = evaluate(scaled(), POLICY)
    greedy = evaluate(scaled(), np.eye(3)[POLICY.argmax(1)])[2]
    unshifted = exact - SHIFT / (1 - DISCOUNT)
    drawn, played = sure(quality[0], POLICY[0], EPISODES), 0.25
    assert min(abs(greedy - exact), abs(unshifted - exact), EXCESS) > 2 * played  # they can be told apart
    for claim in claims:
        assert claim.truth == pytest.approx(exact, abs=played)
        assert claim.claim == pytest.approx(exact + EXCESS, abs=drawn)
        assert claim.excess == pytest.approx(EXCESS, abs=played + drawn)
        assert claim.truth_is == "played"


def test_the_one_pair_that_is_in_no_log_is_outside(claims: list[Claim]) -> None:
    """Action 2 in state 1: the policy takes it in half of its visits, and its value is known."""
    quality = evaluate(scaled(), POLICY)[0] + EXCESS
    for claim in claims:
        assert claim.outside == pytest.approx(quality[1, 2], abs=1e-4)
        assert claim.inside is not None
        assert 0.05 < claim.outside_share < 0.5
        logged = np.delete(quality.ravel(), 1 * 3 + 2)
        assert logged.min() < claim.inside < logged.max()
        assert claim.inside != pytest.approx(quality[1, 2], abs=0.5)


def test_logged_actions_are_valued_and_what_they_earned_is_in_the_same_scale(claims: list[Claim]) -> None:
    """The log visits states as its behaviour does; what it earned is the behaviour's value there."""
    through = np.einsum("sa,sat->st", BEHAVIOUR, canonical().transition)
    visits = np.linalg.matrix_power(through, 100)[0]
    pairs = visits[:, None] * BEHAVIOUR
    claimed = float((pairs * evaluate(scaled(), POLICY)[0]).sum()) + EXCESS
    earned = float((pairs * evaluate(scaled(), BEHAVIOUR)[0]).sum())
    for claim in claims:
        assert claim.logged_claim == pytest.approx(claimed, abs=0.3)
        assert claim.logged_return == pytest.approx(earned, abs=0.3)


def test_divergence_is_told_of_the_seed_and_from_the_step_that_shows_it(claims: list[Claim]) -> None:
    away = [runs_away(seed) for seed in range(SEEDS)]
    assert set(away) == {True, False}
    told = {(claim.step, claim.seed): claim.diverged for claim in claims}
    assert told == {(step, seed): away[seed] and step == STEPS[1] for step in STEPS for seed in range(SEEDS)}

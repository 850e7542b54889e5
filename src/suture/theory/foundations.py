"""Sections 1 to 3: the gap between on-line and off-line, what a log is, and what its support says."""

import math

import numpy as np

from suture.envs.finite import TabularMDP
from suture.spaces import Array
from suture.theory.claim import Claim, Found, claim
from suture.theory.curve import fed_back
from suture.theory.tabular import (
    canonical,
    canonical_behaviour,
    fixed_point,
    greedy,
    occupancy,
    optimal,
    problems,
    value_of,
)  # fmt: skip


def frozen_claim(unseen: float) -> tuple[float, float]:
    """Value iteration over all actions on the canonical problem's log: what it claims, and what it earns.

    unseen: what the critic answers for the pair that was never logged; here its true reward is -2.
    """
    reward = canonical().reward.copy()
    reward[1, 2] = -2.0
    mdp = TabularMDP(canonical().transition, reward, 0.9, canonical().start)
    answers = np.where(canonical_behaviour() > 0, 0.0, unseen)

    def extrapolate(quality: Array) -> Array:
        return np.where(canonical_behaviour() > 0, quality, answers)

    quality, value = fixed_point(mdp, lambda q: extrapolate(q).max(axis=1))
    return float(mdp.start @ value), value_of(mdp, greedy(extrapolate(quality)))


def online_success_offline_failure() -> Found:
    """The same rule learns where it may act and fails where it may not.

    Statement: Value iteration that may try every pair reaches Q*. On a log, the pair that was never tried
    keeps the value that the critic happens to extrapolate, and the greedy policy goes there: the canonical
    problem claims 9.0 (45.0) where an unseen pair is answered by 10 (50), and earns -1.65 (-3.71).
    Conditions: The gap between benchmarks and the field is a matter of experience; this is one mechanism.
    Proof: Interaction removes the fixed answer at the first visit, by the contraction of T. Without it the
    answer is a boundary condition of the fixed point, so V = gamma * 10 one step before it.
    """
    first, second = frozen_claim(10.0), frozen_claim(50.0)
    expected = ((9.0, -1.6517), (45.0, -3.7086))
    agrees = all(np.allclose(a, b, atol=1e-4) for a, b in zip((first, second), expected, strict=True))
    return Found(
        agrees=agrees, figure=f"off-line claim {first[0]:.1f}, worth {first[1]:.2f}",
        numbers={
            "claim at 10": first[0], "worth at 10": first[1], "claim at 50": second[0],
            "worth at 50": second[1],
        },
    )  # fmt: skip


def correlation_factor(chain: Array, values: Array) -> float:
    """How many steps of a stationary Markov chain (S, S) say as much of a mean as one independent draw.

    `1 + 2 sum_k corr_k` of the values (S,), exactly, by the fundamental matrix.
    """
    states = len(chain)
    ones = np.ones((states, states)) / states
    stationary = np.linalg.solve((np.eye(states) - chain + ones).T, np.full(states, 1 / states))
    centred = values - stationary @ values
    fundamental = np.linalg.inv(np.eye(states) - chain + np.outer(np.ones(states), stationary))
    asymptotic = 2 * (stationary * centred) @ (fundamental @ centred) - stationary @ centred**2
    return float(asymptotic / (stationary @ centred**2))


def logged_steps_are_not_independent() -> Found:
    """Steps of one episode repeat each other.

    Statement: The mean over n steps of a trajectory has variance `(1 + 2 sum_k corr_k) s^2 / n`: that many
    steps are worth one independent draw. In a corridor of ten places walked at random it is about 40.
    Conditions: Independent are episodes, not steps; in a bandit the factor is 1.
    Proof: Sum the covariances of all pairs of steps; the geometric series is the fundamental matrix.
    Source: Kemeny & Snell 1960, theorem 4.6.1.
    """
    walk = np.zeros((10, 10))
    for place in range(10):
        walk[place, max(place - 1, 0)] += 0.5
        walk[place, min(place + 1, 9)] += 0.5
    corridor = correlation_factor(walk, np.arange(10.0))
    worst = 0.0
    for mdp, behaviour, generator in problems(20, 20):
        chain = np.einsum("sa,sat->st", behaviour, mdp.transition)
        values, steps = generator.normal(size=mdp.states), 4_000
        worst = max(worst, abs(_variance_of_mean(chain, values, steps) - correlation_factor(chain, values)))
    bandit = correlation_factor(np.full((3, 3), 1 / 3), np.array([0.0, 1.0, 5.0]))
    return Found(
        agrees=worst < 0.02 and corridor > 10 and abs(bandit - 1) < 1e-9,
        figure=f"{corridor:.1f} steps of a corridor are worth 1 independent draw",
        numbers={"corridor": corridor, "bandit": bandit, "largest gap to the finite sum": worst},
    )


def _variance_of_mean(chain: Array, values: Array, steps: int) -> float:
    """`steps` times the variance of a stationary chain's mean, in units of the variance of one draw."""
    stationary = np.linalg.matrix_power(chain, 10_000)[0]
    centred = values - stationary @ values
    ahead, total, spread = centred.copy(), 0.0, stationary @ centred**2
    for lag in range(1, 400):
        ahead = chain @ ahead
        total += 2 * (1 - lag / steps) * ((stationary * centred) @ ahead)
    return float(1 + total / spread)


def evaluation_is_costly() -> Found:
    """Without new episodes the cost of evaluation grows geometrically with the horizon.

    Statement: The importance ratio of H steps has mean 1 and second moment `1' M^H`, where
    `M = sum_a pi^2 / beta P`: it grows like powers of the spectral radius of M, and the share of episodes
    that count, 1 / E rho^2, falls as fast. The radius is at least 1, and above 1 if the policies differ in a
    state that recurs under pi. Where they differ in states alone that are left for good it need not be: in a
    first state that is never seen again the ratio costs `sum_a pi^2 / beta` once, however long the episode.
    Conditions: For unweighted importance sampling; a fitted evaluation (`suture evaluate --data`) trades the
    variance for a bias. The policy takes only what the behaviour takes. Episodes do not end before H.
    Proof: `E rho_H^2 = sum over paths of P(path) prod (pi/beta)^2`; by Cauchy's inequality row s of M sums to
    `sum_a pi^2 / beta >= 1`, with equality only where pi = beta. A class of states that recur under pi is an
    irreducible block of M, whose radius is above the least of its row sums unless all are equal.
    Source: Precup et al. 2000; the bound by Cauchy is elementary.
    """
    least, worst, off = np.inf, 0.0, 0.0
    for mdp, behaviour, generator in problems(21, 20, unsupported=0.0):
        weight = generator.random(behaviour.shape) * behaviour
        policy = weight / weight.sum(axis=1, keepdims=True)
        first, _ = _moments(mdp, policy, behaviour, 20)
        radius = _radius(mdp, policy, behaviour)
        late, later = (_moments(mdp, policy, behaviour, steps)[1] for steps in (60, 61))
        worst, off = max(worst, abs(first - 1)), max(off, abs(later / late / radius - 1))
        least = min(least, radius)
    left = TabularMDP(np.tile(np.eye(2)[1], (2, 2, 1)), np.zeros((2, 2)), 0.9, np.eye(2)[0])
    even, turned = np.full((2, 2), 0.5), np.array([[0.9, 0.1], [0.5, 0.5]])
    once = [_moments(left, turned, even, steps)[1] for steps in (1, 20)]
    flat = _radius(left, turned, even)
    mdp, behaviour = canonical(), canonical_behaviour()
    best = np.eye(3)[optimal(mdp, allowed=behaviour > 0)[1]]
    _, second = _moments(mdp, best, behaviour, 20)
    return Found(
        agrees=max(worst, off) < 1e-6 < least - 1 and np.allclose((flat, *once), (1, 1.64, 1.64)),
        figure=f"20 steps: 1 episode in {second:.3g} counts; {once[1]:.2f} if only a first state differs",
        numbers={"E rho^2 of the best policy, 20 steps": second, "E rho - 1": worst, "least radius": least,
                 "growth of a step / radius - 1": off, "radius, first state differs": flat,
                 "E rho^2, first state differs": once[1]},
    )  # fmt: skip


def _radius(mdp: TabularMDP, policy: Array, behaviour: Array) -> float:
    """The spectral radius of `M = sum_a pi^2 / beta P`."""
    through = np.einsum("sa,sat->st", policy**2 / behaviour, mdp.transition)
    return float(np.abs(np.linalg.eigvals(through)).max())


def _moments(mdp: TabularMDP, policy: Array, behaviour: Array, steps: int) -> tuple[float, float]:
    """First and second moment of the importance ratio after some steps."""
    ratio = np.where(behaviour > 0, policy / np.where(behaviour > 0, behaviour, 1.0), 0.0)
    found = list[float]()
    for power in (1, 2):
        through = np.einsum("sa,sat->st", behaviour * ratio**power, mdp.transition)
        found.append(float(mdp.start @ np.linalg.matrix_power(through, steps) @ np.ones(mdp.states)))
    return found[0], found[1]


def descent_regularises_regression_not_bootstrapping() -> Found:
    """What descent does for regression it does not do for temporal differences.

    Statement: Gradient descent from 0 on an over-parameterised linear regression ends at the interpolating
    weights of least norm. The same features with a bootstrapped target may diverge: one logged transition
    from feature 1 to feature 2 has one weight for one row, and each backup multiplies it by 2 gamma.
    Conditions: Linear features; for deep networks the first half is experience, not theorem.
    Proof: Descent stays in the row space, where the interpolating point is unique. Fitting
    `w = gamma 2 w` to convergence gives `w <- 2 gamma w`, above 1 for gamma > 1/2.
    Source: Tsitsiklis & Van Roy 1997, section IX, for the two-state example.
    """
    generator = np.random.default_rng(22)
    features, target = generator.normal(size=(6, 30)), generator.normal(size=6)
    weights, rate = np.zeros(30), 1 / np.linalg.eigvalsh(features @ features.T)[-1]
    for _ in range(4_000):
        weights -= rate * features.T @ (features @ weights - target)
    off = float(np.abs(weights - np.linalg.pinv(features) @ target).max())
    bootstrapped = fed_back(1.0, 0.9, 2.0, 30)
    growth = float(bootstrapped[-1] / bootstrapped[-2])
    return Found(
        agrees=off < 1e-6 and growth > 1,
        figure=f"regression: least norm to {off:.0e}; bootstrapping: x{growth:.1f} a backup",
        numbers={"distance from the least norm": off, "growth of the bootstrapped weight": growth},
    )


def value_is_occupancy_times_reward() -> Found:
    """J as a value of first states and as an average over visits.

    Statement: `J(pi) = E_{s0} V^pi(s0) = E_{d^pi} r / (1 - gamma)`, with the discounted occupancy d^pi.
    Conditions: gamma < 1.
    Proof: `V = (I - gamma P)^-1 r`, and `d = (1 - gamma) rho (I - gamma P)^-1`: the same product.
    """
    worst = 0.0
    for mdp, behaviour, _ in problems(30, 30):
        by_visits = float((occupancy(mdp, behaviour) * mdp.reward).sum() / (1 - mdp.discount))
        worst = max(worst, abs(value_of(mdp, behaviour) - by_visits))
    return Found(
        agrees=worst < 1e-10, figure=f"largest difference {worst:.0e}", numbers={"largest difference": worst}
    )


def logged_visits(mdp: TabularMDP, behaviour: Array, steps: int, weight: float = 1.0) -> Array:
    """How a log of episodes of some length visits pairs, (S, A), step t weighted by `weight ** t`."""
    through = np.einsum("sa,sat->st", behaviour, mdp.transition)
    total, now = np.zeros(mdp.states), mdp.start
    for step in range(steps):
        total, now = total + weight**step * now, now @ through
    return (total / total.sum())[:, None] * behaviour


def logs_are_not_discounted() -> Found:
    """A log holds undiscounted steps.

    Statement: The rows of a log are distributed as the undiscounted visits of its episodes. Weighted by
    gamma^t they are d^beta up to gamma^T; unweighted they are not: the mean reward over the rows, divided by
    1 - gamma, is not J(beta).
    Conditions: True as written where each row is drawn with weight gamma^t, or where the start is stationary.
    Proof: Row t of an episode is drawn with probability proportional to 1, and d^beta asks for gamma^t.
    """
    mdp, behaviour = canonical(), canonical_behaviour()
    true = occupancy(mdp, behaviour)
    rows, weighted = logged_visits(mdp, behaviour, 100), logged_visits(mdp, behaviour, 400, mdp.discount)
    distance, mended = (float(np.abs(one - true).sum() / 2) for one in (rows, weighted))
    naive = float((rows * mdp.reward).sum() / (1 - mdp.discount))
    return Found(
        agrees=distance > 0.02 and mended < 1e-12,
        figure=f"total variation {distance:.3f}; {naive:.3f} for J = {value_of(mdp, behaviour):.3f}",
        numbers={"total variation": distance, "after weighting": mended, "J from unweighted rows": naive,
                 "J": value_of(mdp, behaviour)},
    )  # fmt: skip


def one_behaviour_for_a_mixture() -> Found:
    """A log of several policies has one behaviour in each state, but not along a trajectory.

    Statement: The rows of a mixture of policies have a Markov marginal beta, and one-step methods may use it.
    The law of its trajectories is not that of beta: importance weights by beta are biased, here 2.0 for 1.0.
    Conditions: True as written for logs of one policy, and for what looks at single rows.
    Proof: Half of the episodes take action 0 twice, half action 1. Under beta = 1/2 the weight of (0, 0) for
    the policy "always 0" is 4, and half of the episodes have it: 4 / 2 = 2, where its return is 1.
    """
    episodes = (((0, 0), 0.5, 1.0), ((1, 1), 0.5, 0.0))
    estimate = sum(
        share * earned * math.prod(1 / 0.5 if action == 0 else 0.0 for action in actions)
        for actions, share, earned in episodes
    )
    return Found(
        agrees=abs(estimate - 2.0) < 1e-12, figure=f"importance sampling {estimate:.1f}, truth 1.0",
        numbers={"estimate": estimate, "truth": 1.0},
    )  # fmt: skip


def support_of_a_finite_log() -> Found:
    """What a finite log lacks is not what the behaviour lacks.

    Statement: The pairs of a log of N rows miss a mass `sum_p p (1 - p)^N` of the behaviour itself. The share
    of pairs seen once (Good and Turing) estimates it from above, with the mean of N - 1 rows. For continuous
    actions the set of logged pairs has probability 0: there a density or a distance must take its place.
    Conditions: True as written for finite problems as N grows.
    Proof: A pair of probability p is absent with (1 - p)^N and seen once with N p (1 - p)^(N - 1).
    Source: Good 1953.
    """
    visits = occupancy(canonical(), canonical_behaviour()).ravel()
    generator, rounds, worst = np.random.default_rng(32), 4_000, 0.0
    numbers: dict[str, float] = {}
    for rows in (20, 100):
        missing = float((visits * (1 - visits) ** rows).sum())
        once = float((visits * (1 - visits) ** (rows - 1)).sum())
        counts = generator.multinomial(rows, visits, rounds)
        worst = max(worst, abs((counts == 1).sum(1).mean() / rows - once),
                    abs((visits * (counts == 0)).sum(1).mean() - missing))  # fmt: skip
        numbers |= {f"missing mass at N={rows}": missing, f"Good-Turing at N={rows}": once}
    logged, fresh = generator.random(100_000), generator.random(1_000)
    numbers["continuous: fresh samples in the log"] = float(np.isin(fresh, logged).mean())
    return Found(
        agrees=worst < 0.01 and numbers["continuous: fresh samples in the log"] == 0.0,
        figure="missing mass {:.4f} at N=20, {:.5f} at 100".format(*list(numbers.values())[::2][:2]),
        numbers=numbers,
    )


CLAIMS: tuple[Claim, ...] = (
    claim("1", "what succeeds on-line is brittle off-line", "only empirical",
          online_success_offline_failure, "1-gap"),
    claim("2", "logged trajectories are not independent draws", "holds",
          logged_steps_are_not_independent, "2-iid"),
    claim("2", "evaluation is costly", "holds with conditions", evaluation_is_costly, "2-evaluation"),
    claim("2", "over-parameterised networks generalise by descent's implicit regularisation",
          "only empirical", descent_regularises_regression_not_bootstrapping, "2-regularisation"),
    claim("3", "J(pi) = E V^pi(s0)", "holds", value_is_occupancy_times_reward, "3-mdp", "3.1-return"),
    claim("3.1", "D ~ d^beta, the discounted occupancy", "holds with conditions", logs_are_not_discounted,
          "3.1-data"),
    claim("3.1", "the log has one behaviour policy beta", "holds with conditions",
          one_behaviour_for_a_mixture, "3.1-behaviour"),
    claim("3.2", "supp(D) is the set of logged pairs; what is outside is out of distribution",
          "holds with conditions", support_of_a_finite_log, "3.2-support", "3.2-ood"),
)  # fmt: skip

"""Section 6.1 and the goal of 3.1: what no log can tell, and what coverage of one policy buys."""

import dataclasses

import numpy as np

from suture.envs.finite import TabularMDP
from suture.spaces import Array
from suture.theory.claim import Claim, Found, claim
from suture.theory.tabular import (
    advantage_gain,
    evaluate,
    fixed_point,
    greedy,
    occupancy,
    optimal,
    problems,
    random_policy,
    simulation_gap,
    value_of,
)


def twin(mdp: TabularMDP, behaviour: Array, reward: float = 1.0) -> TabularMDP:
    """A problem that no log of the behaviour can tell from this one: unlogged pairs pay `reward` more."""
    return dataclasses.replace(mdp, reward=mdp.reward + np.where(behaviour > 0, 0.0, reward))


def two_point_error(discount: float) -> float:
    """The least worst-case error of any estimate of V* where an unlogged pair may pay 0 or 1 for ever."""
    return 0.5 / (1 - discount)


def unlogged_pairs_are_extrapolated() -> Found:
    """Of a pair outside the log nothing is known, and of pairs inside only what leads nowhere else.

    Statement: Two problems that agree on supp(D) have the same log and may differ outside by any amount that
    the rewards allow: every estimate of Q^pi there errs by at least half of that range on one of them.
    Q^pi of a logged pair is known where the whole future of pi stays in the log, and not otherwise.
    Conditions: Without assumptions on the function class, which is what generalisation adds.
    Proof: The estimate is the same number for both problems; the larger of its two distances is at least half
    of theirs. Q^pi depends on (s', a') for every pair that pi visits.
    Source: Le Cam's two-point method.
    """
    inside, outside, least = 0.0, 0.0, np.inf
    for mdp, behaviour, generator in problems(61, 40, unsupported=0.5):
        other, logged = twin(mdp, behaviour), behaviour > 0
        weight = generator.random(behaviour.shape) * logged
        within = weight / weight.sum(axis=1, keepdims=True)
        gap = np.abs(evaluate(mdp, within)[0] - evaluate(other, within)[0])
        inside = max(inside, float(gap[logged].max()))
        if not logged.all():
            least = min(least, float(gap[~logged].min()))
            leaving = random_policy(generator, mdp)
            gap = np.abs(evaluate(mdp, leaving)[0] - evaluate(other, leaving)[0])
            outside = max(outside, float(gap[logged].max()))
    return Found(
        agrees=inside < 1e-10 and least >= 1 - 1e-9 and outside > 1,
        figure=f"error at least {least / 2:.2f} of a range of {least:.2f}",
        numbers={"difference outside": least, "inside, policy that stays": inside,
                 "inside, policy that leaves": outside},
    )  # fmt: skip


def near_optimal_needs_coverage() -> Found:
    """The goal is out of reach in general; within reach is the best policy that the log covers.

    Statement: Any method that maps a log to a claim of V* errs by at least 1 / (2 (1 - gamma)) on one of two
    problems with the same log, whose unlogged action pays 0 or 1. With pessimism, where
    |(T' - T) V'| <= Gamma for the fitted T' and its value V', the policy found falls short of any policy pi*
    by at most `2 / (1 - gamma) E_{d^pi*} Gamma`: only the coverage of pi* counts.
    Conditions: A valid Gamma; rewards in [0, 1].
    Proof: Two points as in 6.1. Upper bound: subtracting Gamma makes V' <= V^pi'; telescoping the Bellman
    error of V' along pi* costs at most 2 Gamma at each step.
    Source: Jin et al. 2021 (arXiv:2012.15085), theorem 4.2; Rashidinejad et al. 2021 (arXiv:2103.12021).
    """
    worst, lost, plain = 0.0, 0.0, 0.0
    for mdp, _, generator in problems(62, 40):
        mdp = dataclasses.replace(mdp, reward=generator.random(mdp.reward.shape))
        noise = generator.dirichlet(np.ones(mdp.states), mdp.reward.shape)
        known, best = generator.random((*mdp.reward.shape, 1)), np.eye(mdp.actions)[optimal(mdp)[1]]
        for covered in (False, True):
            known = np.maximum(known, best[..., None] * covered)
            model = dataclasses.replace(mdp, transition=known * mdp.transition + (1 - known) * noise)
            off = np.abs(model.transition - mdp.transition).sum(axis=2)
            price = mdp.discount * off / 2 / (1 - mdp.discount)
            short, greedily = (
                value_of(mdp, best) - value_of(mdp, pessimistic_policy(model, cost))
                for cost in (price, np.zeros_like(price))
            )
            if covered:
                lost, plain = max(lost, short), max(plain, greedily)
            else:
                allowed = 2 / (1 - mdp.discount) * (occupancy(mdp, best) * price).sum()
                worst = max(worst, short / allowed)
    pair = TabularMDP(np.ones((1, 2, 1)), np.zeros((1, 2)), 0.9, np.ones(1))
    values = [optimal(one)[2] for one in (pair, twin(pair, np.array([[1.0, 0.0]])))]
    least = float(np.ptp(values) / 2)
    return Found(
        agrees=worst <= 1 and lost < 1e-9 < plain and abs(least - two_point_error(0.9)) < 1e-9,
        figure=f"no method errs by less than {least:.1f} at gamma 0.9; where pi* is covered pessimism loses "
        f"{abs(lost):.0f}, the plain maximum {plain:.2f}",
        numbers={"least worst error": least, "shortfall / bound, largest": worst,
                 "pi* covered: pessimism loses": lost, "pi* covered: maximum loses": plain},
    )  # fmt: skip


def pessimistic_policy(model: TabularMDP, price: Array) -> Array:
    """Value iteration in a model with every pair's uncertainty (S, A) taken off, clipped at 0; greedy."""
    lower = dataclasses.replace(model, reward=model.reward - price)
    quality, _ = fixed_point(lower, lambda q: np.maximum(q, 0.0).max(axis=1))
    return greedy(quality)


def simulation_lemma() -> Found:
    """What a wrong model costs, exactly.

    Statement: `J - J' = E_{d'} [r - r' + gamma (P - P') V^pi] / (1 - gamma)`, with the occupancy d' of pi in
    the model and V^pi of the problem. So a model's reward less `gamma |(P - P') V^pi|` understates J.
    Conditions: None but gamma < 1. It is what model-based methods (MOPO, COMBO) stand on.
    Proof: Telescope V^pi of the problem along trajectories of the model.
    Source: Kearns & Singh 2002; Yu et al. 2020 (arXiv:2005.13239), lemma 4.1.
    """
    worst, above = 0.0, 0
    for mdp, policy, generator in problems(63, 50):
        noise = generator.dirichlet(np.ones(mdp.states), mdp.reward.shape)
        model = dataclasses.replace(mdp, transition=0.8 * mdp.transition + 0.2 * noise)
        value = evaluate(mdp, policy)[1]
        worst = max(worst, abs(value_of(mdp, policy) - value_of(model, policy)
                               - simulation_gap(mdp, model, policy)))  # fmt: skip
        penalty = np.abs(mdp.backup(value) - model.backup(value))
        penalised = dataclasses.replace(model, reward=model.reward - penalty)
        above += value_of(penalised, policy) > value_of(mdp, policy) + 1e-9
    return Found(
        agrees=worst < 1e-10 and not above, figure=f"identity to {worst:.0e}; never overstated in 50",
        numbers={"identity": worst, "overstated": float(above)},
    )  # fmt: skip


def performance_difference_lemma() -> Found:
    """The exact gain of one policy over another.

    Statement: `J(pi) - J(beta) = E_{d^pi} A^beta / (1 - gamma)`: the visits are those of the new policy.
    Conditions: gamma < 1. Surrogates put d^beta in its place, which is right to first order only.
    Proof: Telescope V^beta along trajectories of pi.
    Source: Kakade & Langford 2002, lemma 6.1.
    """
    worst, replaced = 0.0, 0.0
    for mdp, behaviour, generator in problems(64, 50, unsupported=0.0):
        policy = random_policy(generator, mdp)
        true = value_of(mdp, policy) - value_of(mdp, behaviour)
        worst = max(worst, abs(true - advantage_gain(mdp, policy, behaviour)))
        quality, value, _ = evaluate(mdp, behaviour)
        states = occupancy(mdp, behaviour).sum(axis=1)
        surrogate = (states[:, None] * policy * (quality - value[:, None])).sum() / (1 - mdp.discount)
        replaced = max(replaced, abs(true - surrogate))
    return Found(
        agrees=worst < 1e-10 and replaced > 1e-3,
        figure=f"identity to {worst:.0e}; with d^beta it is off by up to {replaced:.2f}",
        numbers={"identity": worst, "with d^beta": replaced},
    )


CLAIMS: tuple[Claim, ...] = (
    claim("3.1", "a near-optimal policy can be learned from a fixed log", "holds with conditions",
          near_optimal_needs_coverage, "3.1-goal", "2-counterfactual"),
    claim("6.1", "Q^pi(s, a) outside supp(D) is extrapolation and may be arbitrarily wrong", "holds",
          unlogged_pairs_are_extrapolated, "6.1-query"),
    claim("6.1", "beside the lecture: what a wrong model costs (simulation lemma)", "holds",
          simulation_lemma),
    claim("8.1", "beside the lecture: the gain over the behaviour (performance-difference lemma)", "holds",
          performance_difference_lemma),
)  # fmt: skip

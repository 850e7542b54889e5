"""Section 7.2: advantage-weighted regression and what its weights are."""

import numpy as np

from suture.spaces import Array
from suture.theory.claim import Claim, Found, claim
from suture.theory.duality import Surrogate, solve
from suture.theory.tabular import canonical, canonical_behaviour, evaluate, problems, soft_policy, value_of


def temperature_is_the_multiplier() -> Found:
    """The temperature of the weights.

    Statement: alpha = eta, not 1 / eta: a large multiplier keeps the policy near beta, as a large temperature
    does. The maximiser of the Lagrangian is beta exp(A / eta) / Z.
    Conditions: None; 1 / eta agrees at eta = 1 alone.
    Proof: d/dpi of E_pi A - eta KL gives A = eta (log pi/beta + 1) + nu.
    """
    generator, right, wrong = np.random.default_rng(74), 0.0, 0.0
    from suture.theory.constraints import ascend

    for multiplier in (0.3, 0.7, 2.0):
        behaviour, advantage = generator.dirichlet(np.ones(4)), generator.normal(size=4)
        best = ascend(1.0, advantage, behaviour, multiplier)
        right = max(right, float(np.abs(best - soft_policy(advantage, behaviour, multiplier)).max()))
        wrong = max(wrong, float(np.abs(best - soft_policy(advantage, behaviour, 1 / multiplier)).max()))
    return Found(
        agrees=right < 1e-8 and wrong > 0.1,
        figure=f"alpha = eta: off by {right:.0e}; 1/eta: {wrong:.2f}",
        numbers={"alpha = eta": right, "alpha = 1 / eta": wrong},
    )


def weights_from_the_dual() -> Found:
    """The weights, recovered from the constrained problem.

    Statement: At the optimum of the surrogate `eta* log(pi / beta) = A - nu(s)`: the policy is the behaviour
    weighted by exp(A / eta*), with Z(s) = exp(nu(s) / eta*).
    Conditions: The surrogate of section 8.1, which has d^beta and A_beta, and its own eta*.
    Proof: Stationarity in pi(a|s) under sum_a pi = 1.
    Source: Peng et al. 2019 (arXiv:1910.00177), eq. 35-37.
    """
    worst = 0.0
    for mdp, behaviour, _ in problems(75, 20):
        problem = Surrogate.of(mdp, behaviour)
        if problem.loose == 0:
            continue
        found, logged = solve(problem, problem.loose / 4), behaviour > 0
        ratio = np.where(logged, found.policy / np.where(logged, behaviour, 1.0), 1.0)
        left = problem.advantage - found.multiplier * np.log(ratio)
        spread = np.where(logged, left, -np.inf).max(axis=1) - np.where(logged, left, np.inf).min(axis=1)
        worst = max(worst, float(spread.max()))
    return Found(
        agrees=worst < 1e-6, figure=f"A - eta log(pi/beta) is constant in each state to {worst:.0e}",
        numbers={"spread within a state": worst},
    )  # fmt: skip


def shared_policy(weights: Array, behaviour: Array) -> Array:
    """The one policy (A,) for all states of greatest weighted likelihood.   weights, behaviour: (S, A)."""
    mass = (weights * behaviour).sum(axis=0)
    return mass / mass.sum()


def normaliser_matters_for_shared_policies() -> Found:
    """Leaving out Z(s).

    Statement: In a table each state has its own policy and a factor 1 / Z(s) changes nothing. A policy that
    shares parameters over states weighs states by Z(s) when it is left out; with Q in place of A by
    Z(s) exp(V(s) / alpha), which lets states of high value drown the others.
    Conditions: State-wise policies, or weights divided by Z(s).
    Proof: The weighted likelihood of state s is Z(s) times a cross-entropy to pi*(.|s).
    """
    behaviour = np.array([[0.9, 0.1], [0.5, 0.5]])
    quality = np.array([[0.0, 3.0], [5.0, 4.0]])
    value = (behaviour * quality).sum(axis=1, keepdims=True)
    plain = np.exp(quality - value)
    normal = (behaviour * plain).sum(axis=1, keepdims=True)
    mended, without, raw = (
        float(shared_policy(weights, behaviour)[1]) for weights in (plain / normal, plain, np.exp(quality))
    )
    tables = [soft_policy(one, behaviour, 1.0) for one in (quality, quality - value)]
    same = float(np.abs(tables[0] - tables[1]).max())
    return Found(
        agrees=same < 1e-12 and abs(mended - without) > 0.05 and abs(without - raw) > 0.05,
        figure=f"P(action 1) {mended:.3f} with Z(s), {without:.3f} without, {raw:.3f} with Q; tables: equal",
        numbers={"with Z": mended, "without Z": without, "Q for A": raw, "tables": same},
    )


def returns_seek_risk() -> Found:
    """What AWR's published form weighs by.

    Statement: AWR weighs by returns, not by Q: E exp(G / alpha) >= exp(E G / alpha), so luck is rewarded. One
    arm pays 1, the other 2.5 or -1.5: exact advantages take the first with 0.731 at alpha = 0.5, returns with
    0.090. And it is one step of improvement over the mixture behaviour: on the canonical problem 5.076 at
    alpha = 0.1, where the log supports 5.843.
    Conditions: Advantages of an exact critic; one improvement step. The published form whitens advantages and
    clips the weights at 20 besides.
    Proof: Jensen; then section 5.1.
    Source: Peng et al. 2019 (arXiv:1910.00177), algorithm 1.
    """
    behaviour, heat = np.array([0.5, 0.5]), 0.5
    exact = float(soft_policy(np.array([1.0, 0.5]), behaviour, heat)[0])
    lucky = np.exp(np.array([2.5, -1.5]) / heat).mean()
    sampled = float(np.exp(1 / heat) / (np.exp(1 / heat) + lucky))
    mdp, logged = canonical(), canonical_behaviour()
    one_step = value_of(mdp, soft_policy(evaluate(mdp, logged)[0], logged, 0.1))
    return Found(
        agrees=abs(exact - 0.7311) < 5e-5 and abs(sampled - 0.0905) < 5e-5 and one_step < 5.843,
        figure=f"safe arm {exact:.3f} by advantages, {sampled:.3f} by returns; one step J {one_step:.3f}",
        numbers={"by advantages": exact, "by returns": sampled, "one step, alpha 0.1": one_step},
    )


CLAIMS: tuple[Claim, ...] = (
    claim("7.2", "pi* is beta exp(A_beta / alpha), from the Lagrangian of J", "holds with conditions",
          weights_from_the_dual, "7.2-optimum", "7.2-lagrangian"),
    claim("7.2", "alpha = 1 / eta", "false", temperature_is_the_multiplier, "7.2-optimum"),
    claim("7.2", "cloning with weights exp(A / alpha), without Z(s)", "holds with conditions",
          normaliser_matters_for_shared_policies, "7.2-weights"),
    claim("7.2", "this is AWR", "holds with conditions", returns_seek_risk, "7.2-awr"),
)  # fmt: skip

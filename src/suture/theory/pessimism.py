"""Section 7: the two principles, and the third that the lecture leaves out."""

import numpy as np

from suture.envs.finite import TabularMDP
from suture.spaces import Array
from suture.theory.claim import Claim, Found, claim
from suture.theory.tabular import (
    best_in_support,
    canonical,
    canonical_behaviour,
    evaluate,
    fixed_point,
    greedy,
    problems,
    random_policy,
    value_of,
)

ARMS, GOOD, OTHERS = 50, 0.6, 0.5


def lucky_arms(rounds: int = 400) -> dict[str, float]:
    """A log of one good arm, pulled 100 times, and 49 others, pulled once each: what choices from it earn.

    Arms pay 1 with probability 0.6 (the first) or 0.5. Means over logs.
    """
    generator = np.random.default_rng(71)
    pulls = np.array([100] + [1] * (ARMS - 1))
    means = np.array([GOOD] + [OTHERS] * (ARMS - 1))
    seen = generator.binomial(pulls, means, (rounds, ARMS)) / pulls
    bounds = seen - np.sqrt(np.log(ARMS * 20) / (2 * pulls))
    ties = generator.random(seen.shape) * 1e-9
    earned = {name: float(means[(table + ties).argmax(axis=1)].mean())
              for name, table in (("greedy in support", seen), ("lower bounds", bounds))}  # fmt: skip
    return {**earned, "behaviour": float(pulls @ means / pulls.sum())}


def pessimism_is_a_third_principle() -> Found:
    """Neither near the data nor within it is enough.

    Statement: Methods also lower the value of what is uncertain (CQL, EDAC, LCB, MOPO), or condition on
    returns, reweight, or plan. The second principle alone, in finite data, can be worse than the behaviour:
    of fifty logged arms the best-looking was lucky. 0.500 by the maximum in the support, 0.567 by the
    behaviour, 0.600 by lower confidence bounds.
    Conditions: The two principles describe the methods of this lecture but CQL, which COG uses.
    Proof: The largest of 49 single pulls is 1 almost surely; its mean is 0.5. Hoeffding's bound takes more
    from one pull than from a hundred.
    Source: Jin et al. 2021 (arXiv:2012.15085); Rashidinejad et al. 2021 (arXiv:2103.12021).
    """
    earned = lucky_arms()
    return Found(
        agrees=earned["greedy in support"] < earned["behaviour"] < earned["lower bounds"],
        figure=f"in-support maximum {earned['greedy in support']:.3f}, behaviour {earned['behaviour']:.3f}, "
        f"lower bounds {earned['lower bounds']:.3f}",
        numbers=earned,
    )


def in_support_optimum() -> Found:
    """What the second principle finds, with exact values.

    Statement: The maximum over actions of the support is a gamma-contraction; its fixed point is the value of
    the best policy that takes logged actions, at most V* and at least V^beta. IQL for tau -> 1, XQL for
    lambda -> 0 and BCQ for a small threshold go there.
    Conditions: Exact values; a finite log decides the support by luck (the claim above).
    Proof: As for T, over fewer actions; the greedy policy attains it.
    """
    worst, disordered = 0.0, 0
    for mdp, behaviour, _ in problems(89, 30):
        quality, value = fixed_point(mdp, best_in_support(behaviour))
        worst = max(worst, float(np.abs(evaluate(mdp, greedy(quality, behaviour > 0))[1] - value).max()))
        best = fixed_point(mdp, lambda q: q.max(axis=1))[1]
        disordered += bool((value > best + 1e-9).any() or (value < evaluate(mdp, behaviour)[1] - 1e-9).any())
    mdp, behaviour = canonical(), canonical_behaviour()
    start = float(fixed_point(mdp, best_in_support(behaviour))[1][0])
    return Found(
        agrees=worst < 1e-9 and not disordered and abs(start - 5.84339) < 1e-5,
        figure=f"canonical: {value_of(mdp, behaviour):.3f} (behaviour) < {start:.3f} < 11.108 (all actions)",
        numbers={"in support": start, "its policy's value differs by": worst},
    )


def conservative_evaluation(mdp: TabularMDP, policy: Array, behaviour: Array, weight: float) -> Array:
    """Q (S, A) of CQL for a given policy: the fixed point of `T^pi Q - weight (pi / beta - 1)`."""
    quality = np.zeros(mdp.reward.shape)
    for _ in range(2_000):
        after = mdp.backup((policy * quality).sum(axis=1)) - weight * (policy / behaviour - 1)
        if np.abs(after - quality).max() < 1e-13 * max(1.0, np.abs(after).max()):
            break
        quality = after
    return quality


def conservative_values_are_lower_bounds() -> Found:
    """What CQL's penalty does to values.

    Statement: CQL's evaluation rests at `V' = V^pi - alpha (I - gamma P^pi)^-1 E_pi [pi / beta - 1]`, and the
    last mean is chi^2(pi || beta) >= 0: V' <= V^pi in every state. Q' is no lower bound at single pairs: it
    lies above Q^pi exactly where `alpha (1 - pi / beta) > gamma P (V^pi - V')`. In one backup from the same
    V these are the pairs with pi < beta; at rest only those of them that outweigh what later states lose.
    Conditions: Exact values and a behaviour that covers pi. With approximation, values in the log may rise.
    Proof: Put the penalty into the Bellman equation as a reward and solve; at a pair
    `Q' - Q^pi = alpha (1 - pi / beta) + gamma P (V' - V^pi)`.
    Source: Kumar et al. 2020 (arXiv:2006.04779), theorem 3.2.
    """
    worst, above, pairs, odd, sunk, low = 0.0, 0, 0.0, 0, 0, 0
    for mdp, behaviour, generator in problems(90, 20, unsupported=0.0):
        policy = random_policy(generator, mdp)
        found = (policy * conservative_evaluation(mdp, policy, behaviour, 0.5)).sum(axis=1)
        spread = (policy * (policy / behaviour - 1)).sum(axis=1)
        through = np.einsum("sa,sat->st", policy, mdp.transition)
        value = evaluate(mdp, policy)[1]
        formula = value - 0.5 * np.linalg.solve(np.eye(mdp.states) - mdp.discount * through, spread)
        worst = max(worst, float((np.abs(found - formula) / np.maximum(1, np.abs(formula))).max()))
        above += bool((found > value + 1e-9).any())
        for other in (policy, 0.99 * behaviour + 0.01 * policy):
            lowered, (plain, own, _) = (
                conservative_evaluation(mdp, other, behaviour, 0.5),
                evaluate(mdp, other),
            )
            lost = mdp.discount * mdp.transition @ (own - (other * lowered).sum(axis=1))
            rise, said = lowered - plain, 0.5 * (1 - other / behaviour) - lost
            odd += int(((rise > 0) != (said > 0))[np.abs(said) > 1e-9].sum())
            pairs, below = max(pairs, float(rise.max())), other < behaviour
            sunk, low = sunk + int((rise < -1e-9)[below].sum()), low + int(below.sum())
    return Found(
        agrees=worst < 1e-9 and not above and pairs > 0 and not odd and sunk > 0,
        figure=f"formula to {worst:.0e}; V' never above V, Q' above Q by up to {pairs:.4f}; "
        f"of {low} pairs with pi < beta {sunk} lie below",
        numbers={"formula": worst, "states above": float(above), "pair above by": pairs,
                 "pairs with pi < beta": float(low), "of these below Q": float(sunk),
                 "misjudged": float(odd)},
    )  # fmt: skip


def conservative_optimum(mdp: TabularMDP, behaviour: Array, weight: float, tolerance: float = 1e-12) -> Array:
    """Q (S, A) where Q-learning with CQL(H) rests: `Q = T Q - weight (softmax(Q) / beta - 1)`.

    behaviour: positive throughout, as an action that was never taken has no finite rest. In each state the
    condition is the gradient of a convex function, solved by Newton's method.
    """
    quality = np.zeros(mdp.reward.shape)
    for _ in range(10_000):
        target = mdp.backup(quality.max(axis=1))
        after = _lowered(target, behaviour, weight, quality)
        if np.abs(after - quality).max() < tolerance:
            return after
        quality = after
    return quality


def _lowered(target: Array, behaviour: Array, weight: float, first: Array) -> Array:
    quality = first
    for _ in range(60):
        soft = np.exp(quality - quality.max(axis=1, keepdims=True))
        soft = soft / soft.sum(axis=1, keepdims=True)
        left = behaviour * (quality - target) + weight * (soft - behaviour)
        curve = weight * (
            np.einsum("sa,ab->sab", soft, np.eye(soft.shape[1])) - soft[:, :, None] * soft[:, None]
        )
        curve = curve + np.einsum("sa,ab->sab", behaviour, np.eye(soft.shape[1]))
        step = np.linalg.solve(curve, left[..., None])[..., 0]
        quality = quality - np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-14:
            break
    return quality


def too_much_pessimism_is_cloning() -> Found:
    """The weight of the penalty.

    Statement: With a small weight CQL(H) keeps the order of values (canonical problem, every pair covered: J
    = 11.108 at 0.1); with a larger one it falls back to what the log does most (J = 0 at 0.5).
    Conditions: The weight is in reward units: half of the published one, whose squared error has no half.
    Proof: As alpha grows, softmax(Q) -> beta, whose greedy action is the behaviour's mode.
    Source: Kumar et al. 2020 (arXiv:2006.04779).
    """
    mdp, behaviour = canonical(), 0.9 * canonical_behaviour() + 0.1 / 3
    earned = [value_of(mdp, greedy(conservative_optimum(mdp, behaviour, weight))) for weight in (0.1, 0.5)]
    return Found(
        agrees=abs(earned[0] - 11.10809) < 1e-5 and abs(earned[1]) < 1e-9,
        figure=f"J {earned[0]:.3f} at weight 0.1, {earned[1]:.1f} at 0.5",
        numbers={"weight 0.1": earned[0], "weight 0.5": earned[1]},
    )  # fmt: skip


CLAIMS: tuple[Claim, ...] = (
    claim("7", "all modern techniques pursue one of two principles", "false", pessimism_is_a_third_principle,
          "7-principles"),
    claim("7", "the second: never bootstrap outside the support", "holds with conditions",
          in_support_optimum, "7-principles"),
    claim("7", "beside the lecture: CQL's values are lower bounds", "holds",
          conservative_values_are_lower_bounds),
    claim("7", "beside the lecture: too much pessimism is cloning", "holds", too_much_pessimism_is_cloning),
)  # fmt: skip

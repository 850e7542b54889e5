"""Sections 7.4 and 8.3: expectiles, and what implicit Q-learning does with them."""

import math

import numpy as np

from suture.envs.finite import TabularMDP
from suture.spaces import Array
from suture.theory.claim import Claim, Curve, Found, Plot, claim
from suture.theory.stitching import chain
from suture.theory.tabular import (
    best_in_support,
    canonical,
    canonical_behaviour,
    evaluate,
    expectile,
    expectile_values,
    fixed_point,
    greedy,
    implicit_policy,
    problems,
    soft_policy,
    value_of,
)

LEVELS = (0.7, 0.9, 0.99)


def expectile_of_two(probability: float, level: float) -> float:
    """Of 1 with some probability and 0 else: `tau p / (tau p + (1 - tau)(1 - p))`."""
    return level * probability / (level * probability + (1 - level) * (1 - probability))


def expectile_of_uniform(level: float) -> float:
    """Of the uniform distribution on [0, 1]: `sqrt(tau) / (sqrt(tau) + sqrt(1 - tau))`."""
    return math.sqrt(level) / (math.sqrt(level) + math.sqrt(1 - level))


def expectile_of_normal(level: float) -> float:
    """Of the standard normal, by bisection of its first-order condition."""
    low, high = -9.0, 9.0
    for _ in range(100):
        v = (low + high) / 2
        tail = 0.5 * math.erfc(v / math.sqrt(2))
        above = math.exp(-v * v / 2) / math.sqrt(2 * math.pi) - v * tail
        low, high = (v, high) if level * above > (1 - level) * (above + v) else (low, v)
    return (low + high) / 2


def expectile_loss(value: float, values: Array, probability: Array, level: float) -> float:
    """`E |level - 1(Q <= v)| (Q - v)^2`, the lecture's loss."""
    return float(probability @ (np.where(values <= value, 1 - level, level) * (values - value) ** 2))


def expectile_is_the_minimiser() -> Found:
    """The expectile.

    Statement: The loss is strictly convex in v with the expectile as its one minimiser, which solves
    `tau E (Q - v)+ = (1 - tau) E (v - Q)+`. At tau = 0.5 it is the mean. Ties Q = v do not matter. With the
    sign of the error turned round it is the expectile of 1 - tau.
    Conditions: a ~ beta with finite second moment.
    Proof: The derivative is -2 (tau E (Q - v)+ - (1 - tau) E (v - Q)+), which grows strictly.
    Source: Newey & Powell 1987.
    """
    worst, generator, grid = 0.0, np.random.default_rng(80), np.linspace(-1e-3, 1e-3, 5)
    for _ in range(40):
        values, share, level = generator.normal(size=5), generator.dirichlet(np.ones(5)), generator.random()
        centre = float(expectile(values, share, level))
        losses = [expectile_loss(centre + step, values, share, level) for step in grid.tolist()]
        worst = max(worst, losses[2] - min(losses))
    pair, mirrored = np.array([0.0, 1.0]), np.array([0.5, 0.5])
    right, wrong = (float(expectile(pair, mirrored, level)) for level in (0.9, 0.1))
    numbers = {f"two points, p = 0.01, {t:g}": expectile_of_two(0.01, t) for t in (*LEVELS, 0.999)}
    numbers |= {f"uniform, {t:g}": expectile_of_uniform(t) for t in LEVELS}
    numbers |= {f"normal, {t:g}": expectile_of_normal(t) for t in LEVELS}
    return Found(
        agrees=worst <= 0 and math.isclose(right, 0.9) and math.isclose(wrong, 0.1),
        figure=f"normal, 0.9: {numbers['normal, 0.9']:.4f}; a sign slip gives {wrong:.1f} for {right:.1f}",
        numbers=numbers,
    )


def optimistic_within_the_envelope() -> Found:
    """Between the mean and the best logged action.

    Statement: `E_beta Q <= e_tau <= max over the support of Q` for tau >= 0.5; it grows with tau to the
    maximum. The distance to it falls like (1 - tau) / p with the probability p of the best action: to reach
    half of the way takes tau >= 1 - p.
    Conditions: Exact Q. With a level fixed, rare good actions are not found.
    Proof: e_tau is a mean under weights tau and 1 - tau; for two points see the closed form.
    """
    outside, numbers = 0.0, dict[str, float]()
    for mdp, behaviour, generator in problems(86, 60):
        quality, level = generator.normal(size=mdp.reward.shape), float(generator.uniform(0.5, 1))
        found = expectile(quality, behaviour, level)
        below = (behaviour * quality).sum(axis=1) - found
        above = found - best_in_support(behaviour)(quality)
        outside = max(outside, float(below.max()), float(above.max()))
    best = fixed_point(canonical(), best_in_support(canonical_behaviour()))[1]
    for level in (*LEVELS, 0.999):
        value = fixed_point(canonical(), expectile_values(canonical_behaviour(), level))[1]
        numbers[f"largest gap of V, {level:g}"] = float((best - value).max())
    half = expectile_of_two(0.01, 0.99)
    gaps = list(numbers.values())
    return Found(
        agrees=outside < 1e-9 and math.isclose(half, 0.5) and gaps[2] / gaps[3] > 5,
        figure="gap to the best {:.2f}, {:.2f}, {:.3f}, {:.4f} at 0.7, 0.9, 0.99, 0.999".format(*gaps),
        numbers={**numbers, "p = 0.01, tau = 0.99": half}, plot=_plot(),
    )  # fmt: skip


def _plot() -> Plot:
    """The value of the canonical start over the level, beside what is best in the support."""
    levels = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
    behaviour = canonical_behaviour()
    values = tuple(float(fixed_point(canonical(), expectile_values(behaviour, t))[1][0]) for t in levels)
    best = float(fixed_point(canonical(), best_in_support(behaviour))[1][0])
    return Plot(
        title="Value of the canonical start by expectile (8.3)", x="expectile", y="discounted value",
        curves=(Curve(name="expectile value", x=levels, y=values),
                Curve(name="best in support", x=(0.5, 0.999), y=(best, best), what="truth")),
    )  # fmt: skip


def expectile_backup_contracts() -> Found:
    """The expectile in place of the maximum.

    Statement: `T_tau Q = r + gamma P e_tau(Q)` is a gamma-contraction; V_tau grows with tau from V^beta at
    0.5 towards the best value in the support, and is the value of the policy `beta |tau - 1(Q <= V)|`,
    normalised: not that of the policy that is extracted.
    Conditions: Expectile over a' ~ beta at a given s'; exact Q.
    Proof: Expectiles are monotone, move with constants and are 1-Lipschitz in the largest norm.
    Source: Kostrikov et al. 2021 (arXiv:2110.06169), lemma 1 and theorem 3.
    """
    ratio, implied, falls = 0.0, 0.0, 0
    for mdp, behaviour, generator in problems(87, 12):
        one, two = generator.normal(size=(2, *mdp.reward.shape))
        backup = expectile_values(behaviour, 0.9)
        moved = np.abs(mdp.backup(backup(one)) - mdp.backup(backup(two))).max()
        ratio = max(ratio, float(moved / np.abs(one - two).max()))
        before = np.full(mdp.states, -np.inf)
        for level in (0.5, 0.7, 0.9):
            quality, value = fixed_point(mdp, expectile_values(behaviour, level))
            falls += bool((value < before - 1e-9).any())
            before = value
            mean = evaluate(mdp, implicit_policy(quality, behaviour, level))[1]
            implied = max(implied, float(np.abs(mean - value).max()))
    return Found(
        agrees=ratio <= 0.9 + 1e-12 and implied < 1e-9 and not falls,
        figure=f"largest ratio {ratio:.3f}; value of the implied policy to {implied:.0e}",
        numbers={"largest ratio": ratio, "implied policy": implied},
    )


def which_network_is_a_target() -> Found:
    """The two losses of IQL.

    Statement: The published method regresses V on the smaller of two target critics and Q on
    r + gamma V with the newest V: the lag is on Q, not on V as printed. The fixed point is the same.
    L_Q averages over s' first: luck of the dynamics is no choice. An expectile over targets r + gamma V(s')
    would take it for one: 4.5 for an action that is worth 0.9.
    Conditions: Any lag; two stages, expectile over actions alone.
    Proof: At a fixed point the copies agree. One action, 1 in 10 leads to 10, gamma = 0.9.
    Source: Kostrikov et al. 2021 (arXiv:2110.06169), section 4.3 and its code.
    """
    mdp, backup = canonical(), expectile_values(canonical_behaviour(), 0.9)
    exact = fixed_point(mdp, backup)[1]
    lagged = {"lag on Q": np.zeros(4), "lag on V": np.zeros(4)}
    slow_q, slow_v = np.zeros((4, 3)), np.zeros(4)
    for _ in range(3_000):
        lagged["lag on Q"] = backup(slow_q)
        slow_q += 0.1 * (mdp.backup(lagged["lag on Q"]) - slow_q)
        lagged["lag on V"] = backup(mdp.backup(slow_v))
        slow_v += 0.1 * (lagged["lag on V"] - slow_v)
    worst = max(float(np.abs(value - exact).max()) for value in lagged.values())
    luck = np.array([10.0, 0.0]), np.array([0.1, 0.9])
    two_stage, one_stage = 0.9 * luck[0] @ luck[1], 0.9 * float(expectile(*luck, 0.9))
    return Found(
        agrees=worst < 1e-8 and math.isclose(two_stage, 0.9) and math.isclose(one_stage, 4.5),
        figure=f"the same fixed point to {worst:.0e}; luck counts {two_stage:.1f}, not {one_stage:.1f}",
        numbers={"difference": worst, "two stages": float(two_stage), "one stage": one_stage},
    )


def what_bootstrapping_error_is_left() -> Found:
    """No query outside the logged actions, and yet errors.

    Statement: The target asks for no unlogged action. Left are states without an action (the value of the
    state before is gamma times whatever V answers there), the optimism of finite samples (the 0.9-expectile
    of 32 actions that were tried once, each right on average, is 0.85 deviations too high, the maximum 2.07),
    and function approximation.
    Conditions: "Eliminates" holds for actions outside the support, with exact fits, in the limit of data.
    Proof: A dangling state keeps its first value for ever. E e_tau(sample) >= e_tau(E sample), by convexity
    for tau >= 0.5.
    """
    draws = np.random.default_rng(88).normal(size=(4_000, 32))
    even = np.full(32, 1 / 32)
    numbers = {
        "0.9-expectile of 32": float(expectile(draws, even, 0.9).mean()),
        "maximum of 32": float(draws.max(axis=1).mean()),
        "mean of 32": float(draws.mean()),
    }
    dangling = TabularMDP(np.ones((1, 1, 1)), np.zeros((1, 1)), 0.9, np.ones(1))
    numbers["before a dangling state that answers 10"] = float(dangling.backup(np.array([10.0]))[0, 0])
    return Found(
        agrees=abs(numbers["0.9-expectile of 32"] - 0.85) < 0.02
        and abs(numbers["maximum of 32"] - 2.07) < 0.03,
        figure=f"32 actions tried once: +{numbers['0.9-expectile of 32']:.2f} deviations; a dangling state: "
        f"gamma times anything",
        numbers=numbers,
    )


def extraction_is_stochastic() -> Found:
    """The policy that is extracted.

    Statement: The weighted regression gives `beta exp(A / lambda) / Z`, a stochastic policy; it is greedy
    only as lambda goes to 0. Greedy in Q_tau need not be best in the support either: on the canonical problem
    it is worth 4.5 up to tau = 0.9 and 5.843 at 0.99. A Gaussian around two modes has its mean between them.
    Conditions: Greedy-in-support is another extraction (`extraction="greedy"`).
    Proof: By the closed form of the weighted likelihood; the rest by enumeration.
    """
    mdp, behaviour, numbers = canonical(), canonical_behaviour(), dict[str, float]()
    for level in (0.7, 0.9, 0.99):
        quality, value = fixed_point(mdp, expectile_values(behaviour, level))
        policy = soft_policy(quality - value[:, None], behaviour, 1 / 3)
        entropy = -(policy * np.log(np.where(policy > 0, policy, 1))).sum(axis=1)
        numbers[f"entropy, {level:g}"] = float(entropy.max())
        numbers[f"extracted J, {level:g}"] = value_of(mdp, policy)
        numbers[f"greedy J, {level:g}"] = value_of(mdp, greedy(quality, behaviour > 0))
    modes = np.array([-1.0, 1.0])
    numbers["distance of a Gaussian's mean from the modes"] = float(np.abs(modes - modes.mean()).min())
    best = value_of(mdp, greedy(fixed_point(mdp, best_in_support(behaviour))[0], behaviour > 0))
    return Found(
        agrees=numbers["entropy, 0.9"] > 0.1 and numbers["greedy J, 0.9"] < best - 1,
        figure=f"entropy {numbers['entropy, 0.9']:.2f}; greedy in Q_0.9 {numbers['greedy J, 0.9']:.3f} "
        f"< {best:.3f}",
        numbers={**numbers, "best in support": best},
    )


def rare_actions_need_high_levels() -> Found:
    """What the level costs when good actions are rare.

    Statement: With one good action in a hundred, V of the state is 10 e_tau: 0.83 at tau = 0.9, 5.0 at 0.99.
    Conditions: The level is chosen by the rarity that is to be found, at the price of luck in small samples.
    Proof: The closed form of two points.
    """
    mdp, behaviour = chain(0.01)
    found = [float(fixed_point(mdp, expectile_values(behaviour, t))[1][1]) for t in (0.9, 0.99)]
    right = [10 * expectile_of_two(0.01, t) for t in (0.9, 0.99)]
    return Found(
        agrees=np.allclose(found, right), figure=f"{found[0]:.2f} and {found[1]:.2f} of 10",
        numbers={"tau 0.9": found[0], "tau 0.99": found[1]},
    )  # fmt: skip


CLAIMS: tuple[Claim, ...] = (
    claim("7.4", "V = Expectile_tau(Q) replaces the maximum", "holds", expectile_backup_contracts,
          "7.4-value"),
    claim("7.4", "L_Q with a target network of V", "holds with conditions", which_network_is_a_target,
          "7.4-loss"),
    claim("7.4", "the target never leaves the logged actions: bootstrapping error is eliminated",
          "holds with conditions", what_bootstrapping_error_is_left, "7.4-eliminated"),
    claim("7.4", "a deterministic greedy-in-support policy is extracted", "false", extraction_is_stochastic,
          "7.4-extraction"),
    claim("8.3", "the expectile minimises E |tau - 1(Q <= v)| (Q - v)^2", "holds",
          expectile_is_the_minimiser, "8.3-loss"),
    claim("8.3", "tau > 0.5 is optimistic within the support's envelope", "holds",
          optimistic_within_the_envelope, "8.3-optimistic"),
    claim("8.3", "and thereby finds the best logged action", "holds with conditions",
          rare_actions_need_high_levels, "8.3-optimistic"),
)  # fmt: skip

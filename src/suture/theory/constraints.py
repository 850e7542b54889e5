"""Sections 7.1, 7.1.1 and 7.1.2: constraints, a penalty in the actor, a penalty in the reward."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from suture.envs.finite import TabularMDP
from suture.spaces import Array
from suture.theory.claim import Claim, Found, claim
from suture.theory.duality import Surrogate, solve
from suture.theory.tabular import (
    canonical,
    canonical_behaviour,
    divergence_of,
    evaluate,
    fixed_point,
    penalised_policy,
    problems,
    random_policy,
    soft_policy,
    soft_value,
    value_of,
)


def one_multiplier_is_not_one_per_state() -> Found:
    """A constraint in every state has a multiplier for every state.

    Statement: `KL(pi(.|s) || beta(.|s)) <= eps for all s` has one multiplier lambda(s) per state. A single
    one enforces the average over d^beta, and exceeds eps in some states while it wastes it in others.
    Conditions: One lambda is right for the averaged constraint, as in section 8.1.
    Proof: The state-wise problem separates; lambda(s) depends on the spread of A(s, .) and on beta(.|s).
    """
    problem, radius = Surrogate.of(canonical(), canonical_behaviour()), 0.1
    alone = [
        solve(Surrogate(problem.advantage[[s]], problem.behaviour[[s]], np.ones(1)), radius).multiplier
        for s in range(4)
    ]
    single = solve(problem, radius)
    each = divergence_of(single.policy, problem.behaviour)
    over = int((each > radius + 1e-9).sum())
    return Found(
        agrees=over > 0 and max(alone) > 1.2 * min(alone),
        figure=f"lambda(s) {min(alone):.2f} to {max(alone):.2f}; one lambda: {over} of 4 states over, "
        f"up to {each.max():.2f} for 0.1",
        numbers={"least lambda(s)": min(alone), "largest lambda(s)": max(alone), "single": single.multiplier,
                 "largest KL": float(each.max()), "states over": float(over)},
    )  # fmt: skip


def ascend(slope: float, quality: Array, behaviour: Array, temperature: float, steps: int = 600) -> Array:
    """Policy (A,) after exponentiated gradient ascent of `slope E_pi Q - temperature KL(pi || beta)`."""
    policy = np.full(len(behaviour), 1 / len(behaviour))
    for _ in range(steps):
        gradient = slope * quality - temperature * np.log(policy / behaviour)
        policy = policy * np.exp(0.2 / temperature * (gradient - policy @ gradient))
        policy = policy / policy.sum()
    return policy


def printed_actor_objective_is_cloning() -> Found:
    """The objective as printed has no policy in its first term.

    Statement: In `E_{d^beta} Q(s, a) - lambda E KL(pi || beta)` the pair (s, a) comes from the log: the first
    term is a constant, and the maximiser is beta, whatever Q and lambda. With a ~ pi it is beta exp(Q /
    lambda).
    Conditions: Right with E_{s ~ d^beta, a ~ pi(.|s)}.
    Proof: The gradient of the first term with respect to pi is 0; KL >= 0 with equality at beta.
    """
    printed, mended = 0.0, 0.0
    generator = np.random.default_rng(71)
    for _ in range(10):
        behaviour, quality = generator.dirichlet(np.ones(4)), generator.normal(size=4)
        found = ascend(0.0, quality, behaviour, 0.7)
        printed = max(printed, float(divergence_of(found, behaviour)))
        found = ascend(1.0, quality, behaviour, 0.7)
        mended = max(mended, float(np.abs(found - soft_policy(quality, behaviour, 0.7)).max()))
    return Found(
        agrees=printed < 1e-6 and mended < 1e-6,
        figure=f"as printed: KL to beta {printed:.0e}; mended: {mended:.0e} from beta exp(Q / lambda)",
        numbers={"KL to beta": printed, "mended, distance": mended},
    )


def gaussian_divergence(mean: float, deviation: float, other_mean: float, other: float) -> float:
    """KL(N(mean, deviation^2) || N(other_mean, other^2))."""
    ratio = deviation / other
    return -math.log(ratio) + (ratio**2 + ((mean - other_mean) / other) ** 2 - 1) / 2


def densities_of_the_behaviour_are_needed() -> Found:
    """What a penalty costs to compute.

    Statement: The gradient needs log beta at the policy's own samples, a model of the behaviour, besides log
    pi; a wrong model is followed. KL(pi || beta) is infinite where pi leaves the support and for a
    deterministic pi: 13.3 at a deviation of 1e-6 beside a standard normal, and without bound.
    Conditions: Densities of both, and a policy with entropy.
    Proof: KL = E_pi log pi - E_pi log beta; the first term is minus an entropy.
    """
    narrow = gaussian_divergence(0.0, 1e-6, 0.0, 1.0)
    grid = np.linspace(-8, 8, 4_001)
    one, two = (
        np.exp(-(((grid - m) / d) ** 2) / 2) / d / np.sqrt(2 * np.pi) for m, d in ((0.3, 0.7), (0, 1))
    )
    summed = float(np.trapezoid(one * np.log(one / two), grid))
    outside = float(divergence_of(np.array([0.9, 0.1]), np.array([1.0, 0.0])))
    return Found(
        agrees=math.isinf(outside) and abs(summed - gaussian_divergence(0.3, 0.7, 0, 1)) < 1e-6,
        figure=f"KL {narrow:.1f} at a deviation of 1e-6; infinite outside the support",
        numbers={"deviation 1e-6": narrow, "closed form": gaussian_divergence(0.3, 0.7, 0, 1),
                 "by quadrature": summed},
    )  # fmt: skip


def shaped(reward: Array, policy: Array, behaviour: Array, temperature: float) -> Array:
    """`r - temperature log(pi / beta)`."""
    return reward - temperature * np.log(policy / behaviour)


def maximum_of_shaped_rewards_chases_its_tail() -> Found:
    """Standard Q-learning on a reward that depends on the policy.

    Statement: r_lambda pays most for the action that pi avoids (it goes to infinity as pi(a|s) -> 0), so a
    hard maximum prefers that one: greedy iteration alternates 0, 1, 0, 1 and its value has no bound. The soft
    maximum `V = lambda log E_beta e^{Q / lambda}` is the right backup, and does penalise future divergence.
    Conditions: Soft (or expected) backups in place of the maximum.
    Proof: max_pi E_pi [Q - lambda log pi/beta] = lambda log E_beta e^{Q / lambda}, at pi = beta e^{Q/lambda}
    / Z.
    Source: Donsker & Varadhan; Wu et al. 2019 (arXiv:1911.11361), the value penalty.
    """
    reward, behaviour, least = np.array([0.0, 1.0]), np.array([0.5, 0.5]), 0.01
    policy, chosen, claimed = np.array([least, 1 - least]), list[int](), 0.0
    for _ in range(4):
        values = shaped(reward, policy, behaviour, 1.0)
        chosen.append(int(values.argmax()))
        claimed = max(claimed, float(values.max()))
        policy = np.where(np.arange(2) == chosen[-1], 1 - least, least)
    soft = float(soft_value(reward, behaviour, 1.0))
    return Found(
        agrees=chosen == [0, 1, 0, 1] and claimed > 3 * soft,
        figure=f"greedy choices {', '.join(map(str, chosen))}; claims {claimed:.2f}, soft optimum {soft:.4f}",
        numbers={"hard maximum": claimed, "soft optimum": soft},
    )


def soft_backups_solve_the_shaped_problem() -> Found:
    """Reward shaping done right.

    Statement: The fixed point of `V = lambda log E_beta exp((r + gamma P V) / lambda)` is the best value of
    the shaped problem, `max_pi E sum gamma^t (r - lambda log pi/beta)`, attained by pi = beta e^{(Q - V) /
    lambda}. BRAC with the penalty in the value, XQL and KL-regularised control share it.
    Conditions: lambda > 0; the behaviour covers what pi takes.
    Proof: The backup is the maximum over pi of the penalised backup, and a gamma-contraction.
    Source: Todorov 2007; Garg et al. 2023 (arXiv:2301.02328).
    """
    worst, better = 0.0, 0
    for mdp, behaviour, generator in problems(72, 20):
        quality, value = fixed_point(mdp, lambda q, beta=behaviour: soft_value(q, beta, 0.5))
        tilt = soft_policy(quality, behaviour, 0.5)
        worst = max(worst, float(np.abs(penalised_value(mdp, tilt, behaviour, 0.5) - value).max()))
        weight = random_policy(generator, mdp) * (behaviour > 0)
        other = weight / weight.sum(axis=1, keepdims=True)
        better += bool((penalised_value(mdp, other, behaviour, 0.5) > value + 1e-9).any())
    return Found(
        agrees=worst < 1e-9 and better == 0, figure=f"value of its own policy to {worst:.0e}; none better",
        numbers={"difference": worst, "policies that are better": float(better)},
    )  # fmt: skip


def penalised_value(mdp: TabularMDP, policy: Array, behaviour: Array, temperature: float) -> Array:
    """V (S,) of the sum of `r - temperature KL(pi || beta)` over future states."""
    price = temperature * divergence_of(policy, behaviour)
    return evaluate(dataclasses.replace(mdp, reward=mdp.reward - price[:, None]), policy)[1]


def shaping_is_not_the_actor_penalty() -> Found:
    """7.1.1 and 7.1.2 are two methods.

    Statement: The penalty in the actor alone (BRAC-p, AWAC) rests at `pi = beta e^{Q^pi / lambda}` with plain
    values, the penalty in the value (BRAC-v, XQL) at the soft optimum. The rest of the second is one of the
    first if and only if in each state all actions of the support lead to the same future penalty: with
    gamma = 0, with one state, or where actions do not change what follows. In general it is not. The second
    is best for penalised returns; the first may earn more reward.
    Conditions: "Alternatively" is right as another method, not as the same one.
    Proof: Let U be the discounted sum of lambda KL along pi of the second. Its values are
    `Q = Q^pi - gamma P U`, and beta e^{Q / lambda} and beta e^{Q^pi / lambda} are the same after
    normalisation if and only if gamma P U is constant over the support of each state.
    """
    mdp, behaviour, numbers = canonical(), canonical_behaviour(), dict[str, float]()
    for temperature in (0.1, 0.5, 1.0):
        actor, _ = penalised_policy(mdp, behaviour, temperature)
        quality, _ = fixed_point(mdp, lambda q, at=temperature: soft_value(q, behaviour, at))
        value = soft_policy(quality, behaviour, temperature)
        numbers |= {f"p, {temperature:g}": value_of(mdp, actor), f"v, {temperature:g}": value_of(mdp, value)}
        numbers[f"total variation, {temperature:g}"] = float(np.abs(actor - value).sum(axis=1).max() / 2)
        for name, policy in (("p", actor), ("v", value)):
            penalised = float(mdp.start @ penalised_value(mdp, policy, behaviour, temperature))
            numbers[f"{name} penalised, {temperature:g}"] = penalised
    differ = [penalties_ahead(other, logged) for other, logged, _ in problems(74, 20, unsupported=0.0)]
    alike = [penalties_ahead(one, logged) for one, logged in same_future()]
    ordered = all(numbers[f"v penalised, {t:g}"] >= numbers[f"p penalised, {t:g}"] for t in (0.1, 0.5, 1.0))
    same, least = max(map(max, alike)), min(map(min, differ))
    return Found(
        agrees=same < 1e-9 and least > 1e-6 and ordered and numbers["total variation, 0.1"] > 0.05,
        figure=f"J {numbers['p, 0.1']:.4f} and {numbers['v, 0.1']:.4f} at lambda 0.1; the same where actions "
        "do not change future penalties",
        numbers={**numbers, "futures alike, difference": same, "futures that differ, least": least},
    )


def penalties_ahead(mdp: TabularMDP, behaviour: Array, temperature: float = 0.5) -> tuple[float, float]:
    """At the soft optimum: how far its policy is from `beta e^{Q^pi / lambda}`, how far penalties differ.

    The second is the largest range of the future penalties gamma P U over the supported actions of a state.
    """
    quality, _ = fixed_point(mdp, lambda q: soft_value(q, behaviour, temperature))
    policy = soft_policy(quality, behaviour, temperature)
    plain, value, _ = evaluate(mdp, policy)
    ahead = mdp.discount * mdp.transition @ (value - penalised_value(mdp, policy, behaviour, temperature))
    inside = behaviour > 0
    highest, lowest = (np.where(inside, ahead, out) for out in (-np.inf, np.inf))
    moved = np.abs(soft_policy(plain, behaviour, temperature) - policy).max()
    return float(moved), float((highest.max(axis=1) - lowest.min(axis=1)).max())


def same_future() -> Iterator[tuple[TabularMDP, Array]]:
    """Problems in which actions do not change what follows: one state, no future, one row for all actions."""
    yield TabularMDP(np.ones((1, 2, 1)), np.array([[0.0, 1.0]]), 0.9, np.ones(1)), np.full((1, 2), 0.5)
    yield dataclasses.replace(canonical(), discount=0.0), canonical_behaviour()
    for mdp, behaviour, _ in problems(75, 10):
        yield dataclasses.replace(mdp, transition=mdp.transition[:, :1].repeat(mdp.actions, 1)), behaviour


def both_penalties_double_the_temperature() -> Found:
    """Doing both at the same step.

    Statement: With r_lambda as the reward of the step and lambda KL in the actor too, the rest is
    `pi = beta exp(Q / (2 lambda)) / Z`: twice the temperature.
    Conditions: The penalty of the present step belongs in one place; future ones in the value.
    Proof: log pi/beta = (Q - lambda log pi/beta) / lambda + constant; solve for log pi/beta.
    """
    worst, generator = 0.0, np.random.default_rng(73)
    for _ in range(20):
        behaviour, quality = generator.dirichlet(np.ones(4)), generator.normal(size=4)
        policy = behaviour
        for _ in range(400):
            wanted = soft_policy(shaped(quality, policy, behaviour, 0.5), behaviour, 0.5)
            policy = np.sqrt(policy * wanted)
            policy = policy / policy.sum()
        worst = max(worst, float(np.abs(policy - soft_policy(quality, behaviour, 1.0)).max()))
    return Found(
        agrees=worst < 1e-9, figure=f"the policy of 2 lambda to {worst:.0e}", numbers={"difference": worst}
    )


CLAIMS: tuple[Claim, ...] = (
    claim("7.1", "KL <= eps in every state, by one multiplier lambda", "holds with conditions",
          one_multiplier_is_not_one_per_state, "7.1-constraint"),
    claim("7.1.1", "L_actor = E_{d^beta} Q(s,a) - lambda E KL(pi || beta)", "false",
          printed_actor_objective_is_cloning, "7.1.1-actor"),
    claim("7.1.1", "only the log-density of the policy is needed", "holds with conditions",
          densities_of_the_behaviour_are_needed, "7.1.1-density"),
    claim("7.1.2", "standard Q-learning on r - lambda log pi/beta penalises future divergence", "false",
          maximum_of_shaped_rewards_chases_its_tail, "7.1.2-reward", "7.1.2-standard"),
    claim("7.1.2", "the same with soft backups", "holds", soft_backups_solve_the_shaped_problem,
          "7.1.2-reward"),
    claim("7.1.2", "reward shaping is an alternative form of 7.1.1", "false",
          shaping_is_not_the_actor_penalty, "7.1.2-alternative"),
    claim("7.1.2", "beside the lecture: doing both doubles the temperature", "holds",
          both_penalties_double_the_temperature),
)  # fmt: skip

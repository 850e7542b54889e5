"""Section 8.1: the duality of KL-constrained control, solved to the last digits.

The surrogate: maximise `E_{s ~ d} E_{a ~ pi} A(s, a)` subject to `E_{s ~ d} KL(pi || beta) <= radius`, with d
the visits of the behaviour and A its advantages. The true objective has the visits of pi instead.
"""

import dataclasses

import numpy as np

from suture.envs.finite import TabularMDP
from suture.errors import ConfigError
from suture.spaces import Array
from suture.theory.claim import Claim, Curve, Found, Plot, claim
from suture.theory.tabular import (
    canonical,
    canonical_behaviour,
    divergence_of,
    evaluate,
    occupancy,
    problems,
    soft_policy,
    soft_value,
    value_of,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Surrogate:
    """The constrained problem.   advantage, behaviour: (S, A).   states: probabilities, (S,)."""

    advantage: Array
    behaviour: Array
    states: Array

    @staticmethod
    def of(mdp: TabularMDP, behaviour: Array) -> "Surrogate":
        """The problem in which d and A are those of a behaviour policy."""
        quality, value, _ = evaluate(mdp, behaviour)
        return Surrogate(quality - value[:, None], behaviour, occupancy(mdp, behaviour).sum(axis=1))

    def objective(self, policy: Array) -> float:
        """E_d E_pi A; pairs outside the behaviour's support count only where pi takes them."""
        return float(self.states @ np.where(policy > 0, policy * self.advantage, 0.0).sum(axis=1))

    def divergence(self, policy: Array) -> float:
        """E_d KL(pi || beta)."""
        return float(self.states @ divergence_of(policy, self.behaviour))

    def policy(self, multiplier: float) -> Array:
        """`beta exp(A / eta) / Z(s)`, the maximiser of the Lagrangian, (S, A); eta > 0, may be inf."""
        if multiplier == np.inf:
            return self.behaviour
        return soft_policy(self.advantage, self.behaviour, multiplier)

    def dual(self, multiplier: float, radius: float) -> float:
        """`g(eta) = eta radius + eta E_d log E_beta exp(A / eta)`: convex, above every feasible objective."""
        return float(
            multiplier * radius + self.states @ soft_value(self.advantage, self.behaviour, multiplier)
        )

    @property
    def unconstrained(self) -> Array:
        """The behaviour kept to its best actions, (S, A): the nearest policy of the largest objective."""
        best = np.where(self.behaviour > 0, self.advantage, -np.inf).max(axis=1, keepdims=True)
        kept = np.where(self.advantage >= best - 1e-12, self.behaviour, 0.0)
        return kept / kept.sum(axis=1, keepdims=True)

    @property
    def loose(self) -> float:
        """The radius from which the constraint does not bind: `E_d [-log beta(argmax A)]`."""
        return self.divergence(self.unconstrained)


@dataclasses.dataclass(frozen=True, eq=False)
class Solution:
    """The optimum.

    multiplier: eta, inf at radius 0 and 0 where the constraint does not bind.   primal, dual: both values.
    policy: (S, A).   divergence: E_d KL(policy || beta).   active: whether the constraint binds.
    """

    multiplier: float
    primal: float
    dual: float
    policy: Array
    divergence: float
    active: bool


def solve(problem: Surrogate, radius: float) -> Solution:
    """Primal, dual and multiplier, by bisection of `E_d KL(pi_eta || beta) = radius`, which falls in eta.

    Raises ConfigError where the radius is negative or no number.
    """
    if not radius >= 0:
        raise ConfigError(f"A bound on a divergence is at least 0; found {radius:g}.")
    if radius >= problem.loose:
        policy = problem.unconstrained
        value = problem.objective(policy)
        return Solution(0.0, value, value, policy, problem.divergence(policy), False)
    if radius == 0:
        return Solution(np.inf, 0.0 + problem.objective(problem.behaviour), 0.0, problem.behaviour, 0.0, True)
    low, high = -30.0, 30.0  # of log eta in units of the advantages' range
    usual = np.log(np.ptp(problem.advantage[problem.behaviour > 0]))
    for _ in range(55):
        middle = (low + high) / 2
        inside = problem.divergence(problem.policy(float(np.exp(usual + middle)))) <= radius
        low, high = (low, middle) if inside else (middle, high)
    multiplier = float(np.exp(usual + high))
    policy = problem.policy(multiplier)
    return Solution(
        multiplier, problem.objective(policy), problem.dual(multiplier, radius), policy,
        problem.divergence(policy), True,
    )  # fmt: skip


def best_within(mdp: TabularMDP, behaviour: Array, radius: float, rounds: int = 100) -> Array:
    """A stationary policy (S, A) of the true problem: max J(pi) with E_{d^beta} KL(pi || beta) <= radius.

    At it `pi = beta exp(w(s) Q^pi / eta)` with `w = d^pi / d^beta`: its own values and visits, not beta's.
    """
    policy, states = behaviour, occupancy(mdp, behaviour).sum(axis=1)
    for _ in range(rounds):
        quality, value, _ = evaluate(mdp, policy)
        ratio = occupancy(mdp, policy).sum(axis=1) / states
        local = Surrogate(ratio[:, None] * (quality - value[:, None]), behaviour, states)
        wanted = solve(local, radius).policy
        if np.abs(wanted - policy).max() < 1e-9:
            break
        policy = 0.5 * policy + 0.5 * wanted
    return policy


RADII = (0.001, 0.05, 0.2, 0.5)


def strong_duality() -> Found:
    """Primal and dual meet.

    Statement: For radius > 0 the primal value is the least of `g(eta) = eta radius + eta E_s log E_beta
    e^{A/eta}` over eta >= 0. The minimiser eta* is the multiplier: KL = radius where eta* > 0, and eta* = 0
    exactly from the radius `E_s [-log beta(argmax A)]` on. Exchanging max and min is allowed.
    Conditions: radius > 0 (Slater: beta itself is strictly inside); a ~ pi in the first term, which the
    lecture leaves at E_{d^beta}; a further multiplier nu(s) for sum_a pi(a | s) = 1.
    Proof: Concave objective, convex constraint, a strictly feasible point. The inner maximum at fixed eta is
    the tilted behaviour (Donsker and Varadhan); dg/deta = radius - KL.
    Source: Peters et al. 2010; Peng et al. 2019 (arXiv:1910.00177), appendix A.
    """
    problem = Surrogate.of(canonical(), canonical_behaviour())
    gap, feasible, numbers = 0.0, 0.0, dict[str, float]()
    for radius in RADII:
        found = solve(problem, radius)
        gap = max(gap, abs(found.primal - found.dual))
        feasible = max(feasible, abs(found.divergence - radius))
        numbers |= {f"eta at {radius:g}": found.multiplier, f"value at {radius:g}": found.primal}
    for mdp, behaviour, _ in problems(81, 20):
        other = Surrogate.of(mdp, behaviour)
        if other.loose > 0:
            found = solve(other, other.loose / 3)
            gap = max(gap, abs(found.primal - found.dual))
    numbers |= {"largest gap": gap, "does not bind from": problem.loose}
    return Found(
        agrees=gap < 1e-6 and feasible < 1e-6 and not solve(problem, problem.loose + 1e-9).active,
        figure=f"gap {gap:.0e}; eta* = {numbers['eta at 0.05']:.4f} at 0.05; loose from {problem.loose:.3f}",
        numbers=numbers, plot=_plot(problem),
    )  # fmt: skip


def _plot(problem: Surrogate) -> Plot:
    """The dual over the multiplier for two radii, with the primal value that it touches."""
    multipliers = np.geomspace(0.05, 5, 60)
    curves = list[Curve]()
    for radius in (0.05, 0.2):
        x, best = tuple(map(float, multipliers)), solve(problem, radius).primal
        dual = tuple(problem.dual(multiplier, radius) for multiplier in x)
        curves.append(Curve(name=f"dual, bound {radius:g}", x=x, y=dual))
        curves.append(Curve(name=f"primal, bound {radius:g}", x=(x[0], x[-1]), y=(best, best), what="truth"))
    return Plot(title="Dual and primal of KL-constrained control (8.1)", curves=tuple(curves),
                x="multiplier eta", y="gain of the surrogate")  # fmt: skip


def lagrangian_needs_actions_of_the_policy() -> Found:
    """The printed Lagrangian averages Q over the data.

    Statement: With (s, a) from d^beta the first term of `E [Q_beta - eta log pi/beta] + eta radius` does not
    depend on pi, and the second is eta KL(beta || pi), which is largest where pi avoids what beta does: there
    is no maximum. With a ~ pi the maximum is at the tilted behaviour; Q in place of A changes nothing there.
    Conditions: None; this is a slip of the subscript.
    Proof: -E_beta log(pi / beta) = KL(beta || pi) goes to infinity as pi(a) -> 0. V(s) is lost in Z(s).
    """
    grown, behaviour = list[float](), np.array([0.5, 0.5])
    for avoided in (1e-2, 1e-4, 1e-8):
        policy = np.array([avoided, 1 - avoided])
        grown.append(float(-(behaviour * np.log(policy / behaviour)).sum()))
    same = 0.0
    for mdp, logged, _ in problems(85, 20):
        tilt = Surrogate.of(mdp, logged).policy(0.5)
        same = max(same, float(np.abs(soft_policy(evaluate(mdp, logged)[0], logged, 0.5) - tilt).max()))
    return Found(
        agrees=same < 1e-12 and grown[2] > 2 * grown[1] - 1 > grown[0],
        figure=f"as printed it grows: {grown[0]:.1f}, {grown[1]:.1f}, {grown[2]:.1f} as pi(a) falls",
        numbers={"Q for A": same, "pi(a) = 0.01": grown[0], "pi(a) = 1e-8": grown[2]},
    )


def surrogate_falls_short() -> Found:
    """The surrogate is not J.

    Statement: `pi* = beta exp(A_beta / eta) / Z` maximises the surrogate, in which visits and values are
    those of beta. The stationary point of J has those of pi: `beta exp(d^pi Q^pi / (d^beta eta)) / Z`; it is
    worth more within the same constraint.
    Conditions: True as written for gamma = 0, and to first order in the radius.
    Proof: The performance-difference lemma puts d^pi where the surrogate has d^beta; differentiate J.
    """
    mdp, behaviour = canonical(), canonical_behaviour()
    problem, numbers, gaps = Surrogate.of(mdp, behaviour), dict[str, float](), list[float]()
    for radius in RADII[1:]:
        policy = best_within(mdp, behaviour, radius)
        one, two = value_of(mdp, solve(problem, radius).policy), value_of(mdp, policy)
        numbers |= {f"surrogate at {radius:g}": one, f"true at {radius:g}": two}
        gaps.append(two - one if problem.divergence(policy) <= radius + 1e-6 else -1.0)
    return Found(
        agrees=min(gaps) > 0, numbers=numbers,
        figure="J {:.3f} < {:.3f} at 0.05, {:.3f} < {:.3f} at 0.2, {:.3f} < {:.3f} at 0.5".format(
            *numbers.values()),
    )  # fmt: skip


CLAIMS: tuple[Claim, ...] = (
    claim("8.1", "max J s.t. E KL <= eps: max and min may be exchanged", "holds with conditions",
          strong_duality, "8.1-primal", "8.1-swap"),
    claim("8.1", "the Lagrangian E_{d^beta} [Q - eta log pi/beta] + eta eps", "false",
          lagrangian_needs_actions_of_the_policy, "8.1-lagrangian"),
    claim("8.1", "its optimum is that of J", "false", surrogate_falls_short, "8.1-primal", "7.2-lagrangian"),
)  # fmt: skip

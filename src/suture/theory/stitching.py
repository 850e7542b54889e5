"""Sections 4, 5 and 9: regimes of data, recombination, and what COG and QT-Opt reported."""

import math

import numpy as np

from suture.envs.finite import TabularMDP
from suture.spaces import Array
from suture.theory.claim import Claim, Found, claim
from suture.theory.tabular import (
    best_in_support,
    evaluate,
    expectile_values,
    fixed_point,
    greedy,
    value_of,
)

DISCOUNT = 0.99
CORRIDOR = 3


def crossing() -> TabularMDP:
    """Two corridors of three steps cross; then one action reaches the goal (1), the other a dead end (0).

    States 0 to 2 lead from the start, 3 to 5 from elsewhere, 6 is the crossing. Action 0 goes on; in a
    corridor action 1 leaves, which ends with 0. Each episode begins at state 0.
    """
    states = 2 * CORRIDOR + 1
    transition, reward = np.zeros((states, 2, states)), np.zeros((states, 2))
    for place in range(states - 1):
        transition[place, 0, states - 1 if (place + 1) % CORRIDOR == 0 else place + 1] = 1.0
    reward[states - 1, 0] = 1.0
    return TabularMDP(transition, reward, DISCOUNT, np.eye(states)[0])


def clone(visits: Array) -> Array:
    """The behaviour that counts (S, A) show; uniform where nothing was seen."""
    total = visits.sum(axis=1, keepdims=True)
    return np.where(total > 0, visits / np.maximum(total, 1), 1 / visits.shape[1])


def regime_values(from_start: tuple[float, float], elsewhere: tuple[float, float]) -> dict[str, float]:
    """What methods make of a log of the crossing.

    Each pair: episodes that turn to the goal and to the dead end, by where they begin. Filtered cloning keeps
    the episodes that succeed, wherever they begin.
    """
    mdp, visits, kept = crossing(), np.zeros((7, 2)), np.zeros((7, 2))
    for first, counts in ((0, from_start), (CORRIDOR, elsewhere)):
        for action, count in enumerate(counts):
            for table in (visits, kept) if action == 0 else (visits,):
                table[first : first + CORRIDOR, 0] += count
                table[6, action] += count
    support = np.where(visits > 0, 1.0, 0.0)
    support[support.sum(axis=1) == 0] = 1.0
    quality, _ = fixed_point(mdp, best_in_support(support))
    return {
        "best logged from the start": DISCOUNT**CORRIDOR if from_start[0] else 0.0,
        "cloning": value_of(mdp, clone(visits)), "filtered cloning": value_of(mdp, clone(kept)),
        "dynamic programming": value_of(mdp, greedy(quality, support > 0)),
    }  # fmt: skip


def three_regimes_ask_for_different_methods() -> Found:
    """Imitation, filtering and dynamic programming each are enough for one regime.

    Statement: On one crossing: a log of successes is worth the same to cloning and to dynamic programming; of
    good and bad episodes from the same start, filtered cloning regains all and cloning a share; of halves
    that begin elsewhere, no logged episode from the start succeeds, filtering loses the way to the crossing,
    and dynamic programming alone reaches the goal.
    Conditions: The lecture gives names without criteria; criteria are return dispersion and stitching gain
    (`suture inspect --deep`), always given the first states of deployment.
    Proof: By enumeration.
    """
    imitation = regime_values((100, 0), (0, 0))
    mixed = regime_values((20, 80), (0, 0))
    parts = regime_values((0, 50), (50, 0))
    best = DISCOUNT**CORRIDOR
    agrees = (
        math.isclose(imitation["cloning"], best) and math.isclose(mixed["filtered cloning"], best)
        and mixed["cloning"] < 0.25 * best and parts["filtered cloning"] < parts["cloning"] < 0.6 * best
        and parts["best logged from the start"] == 0 and math.isclose(parts["dynamic programming"], best)
    )  # fmt: skip
    named = {"imitation": imitation, "mixed": mixed, "heterogeneous": parts}
    cells = [f"{name} {one['cloning']:.2f}/{one['filtered cloning']:.2f}/{one['dynamic programming']:.2f}"
             for name, one in named.items()]  # fmt: skip
    return Found(
        agrees=agrees, figure="cloning/filtered/DP: " + ", ".join(cells),
        numbers={f"{name}, {what}": value for name, one in named.items() for what, value in one.items()},
    )  # fmt: skip


def halves(to_junction: int, from_junction: int) -> tuple[TabularMDP, Array]:
    """Half-trajectories: the first kind ends badly after the junction, the second begins there and succeeds.

    State 0 leads to the junction 1, where action 0 pays 1 and action 1 nothing. Problem and behaviour.
    """
    transition, reward = np.zeros((2, 2, 2)), np.array([[0.0, 0.0], [1.0, 0.0]])
    transition[0, :, 1] = 1.0
    share = from_junction / (to_junction + from_junction)
    behaviour = np.array([[1.0, 0.0], [share, 1 - share]])
    return TabularMDP(transition, reward, DISCOUNT, np.array([1.0, 0.0])), behaviour


def recombination_beats_imitation() -> Found:
    """Dynamic programming composes what no single episode shows.

    Statement: Of n1 halves that reach a junction and then fail, and n2 that begin there and succeed, the best
    logged return from the start is 0, cloning earns gamma n2 / (n1 + n2), in-support dynamic programming
    gamma, and IQL's value is gamma e_tau. With K junctions cloning earns the product, 2^-K for equal shares.
    Conditions: The pieces share states; the states are observed. Cloning stitches too, by accident, where the
    behaviour after the junction is good already.
    Proof: Backups carry the reward over the junction, whose value does not depend on how it was reached.
    """
    worst, generator = 0.0, np.random.default_rng(51)
    for _ in range(20):
        first, second = (int(count) for count in generator.integers(1, 100, 2))
        level, share = float(generator.uniform(0.5, 0.99)), second / (first + second)
        mdp, behaviour = halves(first, second)
        expected = DISCOUNT * level * share / (level * share + (1 - level) * (1 - share))
        best = fixed_point(mdp, best_in_support(behaviour))[1][0]
        found = (
            value_of(mdp, behaviour) - DISCOUNT * share, best - DISCOUNT,
            fixed_point(mdp, expectile_values(behaviour, level))[1][0] - expected,
        )  # fmt: skip
        worst = max(worst, *(abs(float(one)) for one in found))
    return Found(
        agrees=worst < 1e-9,
        figure=f"n1 = 9 n2: best logged 0, cloning {DISCOUNT / 10:.3f}, DP {DISCOUNT}",
        numbers={"largest difference": worst, "cloning, five junctions": 0.5**5},
    )


def chain(rare: float) -> tuple[TabularMDP, Array]:
    """First 1 at once, or go on; then 10 by an action of probability `rare`, or nothing. With behaviour."""
    transition, reward = np.zeros((2, 2, 2)), np.array([[1.0, 0.0], [0.0, 10.0]])
    transition[0, 1, 1] = 1.0
    behaviour = np.array([[0.5, 0.5], [1 - rare, rare]])
    return TabularMDP(transition, reward, DISCOUNT, np.array([1.0, 0.0])), behaviour


def switching_level(rare: float) -> float:
    """The expectile from which going on looks better than 1: where 0.99 e_tau = 1."""
    wanted = 1 / (10 * DISCOUNT)
    odds = wanted / (1 - wanted) * (1 - rare) / rare
    return odds / (1 + odds)


def one_step_methods_do_not_recombine() -> Found:
    """One improvement over the behaviour looks one step ahead.

    Statement: Where a first action leads to a state in which the behaviour rarely does right, AWR and
    other one-step methods value it by the behaviour: they earn 1.0 where the log supports 9.9. IQL goes on
    from the expectile 0.9175 on where 1 in 100 takes the good action, and from 0.681 on where 1 in 20 does.
    Conditions: Multi-step backups with a level that the rarity asks for.
    Proof: e_tau of {0, 10; p} is 10 tau p / (tau p + (1 - tau)(1 - p)); solve 0.99 e_tau = 1.
    Source: Brandfonbrener et al. 2021 (arXiv:2106.08909) for one-step methods.
    """
    mdp, behaviour = chain(0.01)
    one_step = greedy(evaluate(mdp, behaviour)[0])
    numbers = {"one-step": value_of(mdp, one_step)}
    for level in (0.9, 0.95):
        quality, _ = fixed_point(mdp, expectile_values(behaviour, level))
        numbers[f"expectile {level:g}"] = value_of(mdp, greedy(quality))
    numbers |= {f"switches, p = {rare:g}": switching_level(rare) for rare in (0.01, 0.05)}
    expected = (1.0, 1.0, 9.9, 0.9175, 0.681)
    return Found(
        agrees=np.allclose(list(numbers.values()), expected, atol=5e-4),
        figure=f"one-step {numbers['one-step']:.1f}, multi-step {numbers['expectile 0.95']:.1f}",
        numbers=numbers,
    )


SKILLS = 5


def skills(fragments: tuple[tuple[int, int], ...], count: int = SKILLS) -> tuple[TabularMDP, Array]:
    """A task of some skills in a row, reward 1 after the last; logged are runs from one state to another.

    Action 0 does the next skill, action 1 stays. The problem and the share of logged actions, (S, A).
    """
    transition, reward = np.zeros((count, 2, count)), np.zeros((count, 2))
    transition[:, 1] = np.eye(count)
    for state in range(count - 1):
        transition[state, 0, state + 1] = 1.0
    reward[count - 1, 0] = 1.0
    behaviour = np.tile([0.0, 1.0], (count, 1))
    for first, last in fragments:
        behaviour[first:last] = 0.5
    return TabularMDP(transition, reward, DISCOUNT, np.eye(count)[0]), behaviour


def backups_carry_sparse_rewards() -> Found:
    """How far a sparse reward travels.

    Statement: After k backups exactly the states within k skills of the reward know of it. Fragments of two
    skills each that overlap in one state compose the five-step plan: the start is worth gamma^4 after five
    backups, though no fragment holds more than two. One junction without overlap, and it is worth 0.
    Conditions: The fragments meet in states that the method recognises as the same.
    Proof: V_k(s) = gamma^(d - 1) for distance d <= k and 0 beyond, by induction.
    Source: Singh et al. 2020 (arXiv:2010.14500), for the experiment.
    """
    joined, behaviour = skills(((0, 2), (2, 4), (4, 5)))
    value, known = np.zeros(SKILLS), list[int]()
    for _ in range(SKILLS):
        value = best_in_support(behaviour)(joined.backup(value))
        known.append(int((value > 0).sum()))
    broken, gap = skills(((0, 2), (3, 5)))
    start = float(fixed_point(broken, best_in_support(gap))[1][0])
    return Found(
        agrees=known == [1, 2, 3, 4, 5] and math.isclose(value[0], DISCOUNT**4) and start == 0.0,
        figure=f"the start is worth {value[0]:.3f} after 5 backups, {start:.0f} with a gap in the log",
        numbers={"start, overlapping fragments": float(value[0]), "start, with a gap": start},
    )


def facts_of_cog() -> Found:
    """What COG's task was.

    Statement: COG reports a robot arm with a drawer and an object: the hardest task composes four skills
    (pick, place an obstacle, open the drawer, grasp) with a sparse reward, by CQL on prior and task data.
    There is no door, no key and no exit in it. What the example is for is right: dynamic programming composes
    four skills, five or nine from a log of overlapping pairs.
    Conditions: The facts are from the paper's abstract and its repository.
    Proof: By running in-support value iteration on the composition of each length.
    Source: Singh et al. 2020 (arXiv:2010.14500).
    """
    worth = dict[str, float]()
    for count in (4, 5, 9):
        pairs = tuple((first, min(first + 2, count)) for first in range(0, count, 2))
        mdp, behaviour = skills(pairs, count)
        worth[f"start, {count} skills"] = float(fixed_point(mdp, best_in_support(behaviour))[1][0])
    return Found(
        agrees=np.allclose(list(worth.values()), [DISCOUNT**3, DISCOUNT**4, DISCOUNT**8]),
        figure="four skills reported, five told; both compose", numbers=worth,
    )  # fmt: skip


def trials_to_separate(one: float, other: float, error: float = 1.96) -> int:
    """Grasps in each arm from which the 95 % intervals of two success rates differ."""
    spread = one * (1 - one) + other * (1 - other)
    return math.ceil(error**2 * spread / (one - other) ** 2)


def figures_of_qt_opt() -> Found:
    """What the table says and what it does not.

    Statement: 580,000 logged grasps give 87 % and 28,000 more (4.6 % of all) give 96 %: failures fall from
    13 % to 4 %, 3.25 times. The rows sum to 100 %, and 72 grasps in each arm tell the two rates apart.
    Conditions: Reported results (arXiv:1806.10293). The log mixes scripted and learned grasps, QT-Opt has no
    means against actions outside the log, and the 28,000 were collected by the policy itself.
    Proof: Arithmetic on the reported figures, nothing is run; the normal interval of a difference of two
    proportions.
    Source: Kalashnikov et al. 2018 (arXiv:1806.10293).
    """
    rows = ((0.87, 0.13), (0.96, 0.04))
    share, fewer = 28 / (580 + 28), rows[0][1] / rows[1][1]
    trials = trials_to_separate(0.87, 0.96)
    return Found(
        agrees=all(math.isclose(sum(row), 1) for row in rows) and math.isclose(fewer, 3.25),
        figure=f"4.6 % more grasps, {fewer:.2f} times fewer failures; {trials} grasps tell them apart",
        numbers={
            "share of new grasps": share,
            "failures, ratio": fewer,
            "grasps to tell apart": float(trials),
        },
    )


CLAIMS: tuple[Claim, ...] = (
    claim("4", "three regimes of data, each with its own challenge", "holds with conditions",
          three_regimes_ask_for_different_methods, "4-regimes"),
    claim("5.1", "off-line RL recombines by dynamic programming; it is not imitation", "holds",
          recombination_beats_imitation, "5.1-recombination"),
    claim("5.1", "every method named here does so", "false", one_step_methods_do_not_recombine,
          "5.1-recombination"),
    claim("5.2", "COG: block, drawer, key, door, exit; five steps", "false", facts_of_cog, "5.2-cog"),
    claim("5.3", "QT-Opt: 87 % from 580k logged grasps, 96 % with 28k more", "only empirical",
          figures_of_qt_opt, "5.3-table"),
    claim("9.1", "COG's five-step plan from blocked-drawer and blocked-door logs", "false", facts_of_cog,
          "9.1-five"),
    claim("9.1", "backups propagate sparse success signals through the states", "holds with conditions",
          backups_carry_sparse_rewards, "9.1-propagation"),
    claim("9.2", "QT-Opt: 580k episodes off-line to 87 %, then a small on-line phase to 96 %",
          "only empirical", figures_of_qt_opt, "9.2-figures"),
)  # fmt: skip

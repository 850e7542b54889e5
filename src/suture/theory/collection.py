"""Sections 2, 3 and 9.2: what data cover, who collects them, and a system of collectors and updaters."""

import itertools

import numpy as np

from suture.envs.finite import TabularMDP
from suture.spaces import Array
from suture.theory.claim import Claim, Found, claim
from suture.theory.tabular import (
    canonical,
    canonical_behaviour,
    evaluate,
    greedy,
    occupancy,
    optimal,
    problems,
    random_policy,
    value_of,
)


def missing(visits: Array, asked: Array, rows: int) -> float:
    """Share of the pairs that are asked for, (S, A), of which a log of some rows of `visits` holds none."""
    return float((asked * (1 - visits) ** rows).sum())


def lock(length: int) -> TabularMDP:
    """A combination lock: one action goes on (and stays in the last state), the other starts anew."""
    transition = np.zeros((length, 2, length))
    transition[:, 1, 0] = 1.0
    transition[np.arange(length), 0, np.minimum(np.arange(length) + 1, length - 1)] = 1.0
    return TabularMDP(transition, np.zeros((length, 2)), 0.99, np.eye(length)[0])


def more_rows_are_not_more_coverage() -> Found:
    """Dense coverage comes from the policy that logs, not from the number of rows.

    Statement: Of N independent rows the mass that is missing for inputs of the same distribution,
    `sum p (1 - p)^N`, goes to 0: supervised learning asks for no other inputs. A policy asks for its own: the
    mass that it visits and the behaviour never takes stays missing for every N. And a behaviour that takes
    every action may need 2^H rows, as a uniform one does before a lock of H steps with two actions.
    Conditions: Rows drawn from d^beta; a finite problem.
    Proof: (1 - p)^N is 1 for p = 0. H right actions in a row have probability 2^-H.
    """
    own, other = 0.0, np.inf
    for mdp, behaviour, _ in problems(24, 40, unsupported=0.5):
        best = np.eye(mdp.actions)[optimal(mdp)[1]]
        visits, asked = occupancy(mdp, behaviour), occupancy(mdp, best)
        own = max(own, missing(visits, visits, 10**7))
        if (best * (behaviour == 0)).any():
            other = min(other, missing(visits, asked, 10**7))
    rates = [float(occupancy(lock(length), np.full((length, 2), 0.5))[-1].sum()) for length in (9, 10, 11)]
    factor = rates[0] / rates[1]
    return Found(
        agrees=own < 1e-6 and other > 1e-3 and abs(factor - 2) < 0.1 and rates[2] < rates[1],
        figure=f"10^7 rows miss {own:.0e} of the behaviour's pairs, {other:.3f} or more of another's; "
        f"each step of a lock asks for {factor:.2f} times the rows",
        numbers={"missing, its own": own, "missing, another policy": other, "rows of a lock, a step": factor},
    )


def old_data_need_another_target() -> Found:
    """On-policy, off-policy, off-line.

    Statement: Rows of beta with the logged next action (on-policy learning) give Q^beta; they give Q^pi only
    while pi collects. With a' ~ pi in the target the same rows give Q^pi, whatever beta, which is why old
    experience can be used again. Where states share one weight the answer depends on beta even so. Off-line
    is this without new rows: exact only where pi's whole future is logged (6.1).
    Conditions: Exact tables, and a behaviour that takes every action.
    Proof: A table is fitted pair by pair, so the weights d^beta drop out; with shared weights they do not.
    """
    off, stale, shared = 0.0, np.inf, 0.0
    for mdp, behaviour, generator in problems(33, 20, unsupported=0.0):
        policy = random_policy(generator, mdp)
        table = np.eye(mdp.states * mdp.actions)
        right = evaluate(mdp, policy)[0]
        kept, moved = (
            fitted(mdp, table, behaviour, target).reshape(right.shape) for target in (behaviour, policy)
        )
        off = max(off, float(np.abs(moved - right).max()))
        stale = min(stale, float(np.abs(kept - right).max()))
        one = np.tile(np.eye(mdp.actions), (mdp.states, 1))
        answers = [fitted(mdp, one, logger, policy) for logger in (behaviour, policy)]
        shared = max(shared, float(np.abs(answers[0] - answers[1]).max()))
    return Found(
        agrees=off < 1e-9 and stale > 1e-2 and shared > 0.1,
        figure=f"a' ~ pi: Q^pi to {off:.0e} from any log; logged a': off by {stale:.2f} or more; "
        f"shared weights: the logs differ by up to {shared:.2f}",
        numbers={"target of pi": off, "target of the log, least": stale, "shared weights": shared},
    )


def fitted(mdp: TabularMDP, features: Array, logger: Array, policy: Array) -> Array:
    """Q (S A,) where least squares over the rows of a log, by temporal differences, come to rest.

    features: (S A, d).   logger: the policy (S, A) whose visits weigh the rows.   policy: of the next action.
    """
    weight = occupancy(mdp, logger).ravel()[:, None] * features
    through = np.einsum("sat,tb->satb", mdp.transition, policy).reshape(len(features), -1)
    system = weight.T @ (features - mdp.discount * through @ features)
    return features @ np.linalg.lstsq(system, weight.T @ mdp.reward.ravel(), rcond=None)[0]


def misprinted_variable() -> Found:
    """Sigma under "argmax" is a misprint for pi.

    Statement: Printed are `argmax_sigma J(pi)` (3.1) and `max_sigma E Q s.t. MMD(pi, beta) <= delta` (7.3).
    What stands behind does not contain sigma: every sigma is a maximiser, and pi is left open. Meant is
    the maximum over pi; that of J over all deterministic policies is the value of the one greedy in Q*.
    Conditions: Over stationary policies; the maximum over stochastic ones is the same.
    Proof: A function that does not depend on sigma is constant in it. Second part: the policy improvement
    theorem.
    """
    worst, short = 0.0, np.inf
    for mdp, behaviour, _ in problems(34, 10):
        choices = itertools.product(range(mdp.actions), repeat=mdp.states)
        every = [
            value_of(mdp, np.eye(mdp.actions)[list(chosen)]) for chosen in itertools.islice(choices, 4_096)
        ]
        worst = max(worst, abs(max(every) - value_of(mdp, greedy(optimal(mdp)[0]))))
        short = min(short, max(every) - value_of(mdp, behaviour))
    return Found(
        agrees=worst < 1e-9 and short > 1e-3,
        figure=f"over pi: the greedy policy's value to {worst:.0e}; as printed any pi will do, "
        f"{short:.2f} or more below",
        numbers={"best of all policies - greedy in Q*": worst, "least that a given pi falls short": short},
    )


def asynchronous(
    mdp: TabularMDP, buffer: Array, *, collect: bool, rounds: int = 3_000, lag: int = 5
) -> Array:
    """Q (S, A) of updaters that label a few pairs of the buffer at a time, by a copy of Q some rounds old.

    buffer: (S, A) which pairs it holds; the others answer 10.   collect: the greedy policy plays meanwhile,
    and what it takes enters the buffer.
    """
    generator, buffer = np.random.default_rng(92), buffer.copy()
    history, place = [np.where(buffer, 0.0, 10.0)], int(mdp.start.argmax())
    for _ in range(rounds):
        quality, old = history[-1].copy(), history[-min(len(history), int(generator.integers(1, lag + 1)))]
        drawn = buffer & (generator.random(buffer.shape) < 0.3)
        quality[drawn] = mdp.backup(old.max(axis=1))[drawn]
        if collect:
            action = int(quality[place].argmax())
            buffer[place, action] = True
            place = int(generator.choice(mdp.states, p=mdp.transition[place, action]))
        history = [*history[-lag:], quality]
    return history[-1]


def updaters_may_lag_but_not_invent() -> Found:
    """QT-Opt's system: live collection, a buffer, and updaters that label what is in it.

    Statement: Updaters that compute `r + gamma max Q` for a few stored pairs at a time, by a copy of Q that
    is some rounds old, end at the same Q as exact backups of the buffer: at Q* where it holds every pair. Of
    a pair that it lacks they keep whatever the network answers: on the canonical problem the first state is
    then valued at 9.0, and the greedy policy earns -1.65. Live collection mends that, as the policy goes
    where the answer is too high: at the end it earns what it claims. Where an answer is too low the policy
    stays away, and nothing is mended.
    Conditions: Every stored pair is labelled again and again, and copies are at most some rounds old; exact
    regression. With networks the last part is experience.
    Proof: Asynchronous backups of a contraction in the largest norm converge, with bounded delays.
    Source: Bertsekas & Tsitsiklis 1989, section 6.2; Kalashnikov et al. 2018 (arXiv:1806.10293), the system.
    """
    worst = 0.0
    for mdp, _, _ in problems(93, 5):
        found = asynchronous(mdp, np.ones(mdp.reward.shape, bool), collect=False)
        worst = max(worst, float(np.abs(found - optimal(mdp)[0]).max()))
    reward = canonical().reward.copy()
    reward[1, 2] = -2.0
    mdp = TabularMDP(canonical().transition, reward, 0.9, canonical().start)
    logged = canonical_behaviour() > 0
    ends = [asynchronous(mdp, logged, collect=live) for live in (False, True)]
    claimed, live = (float(mdp.start @ end.max(axis=1)) for end in ends)
    earned = [value_of(mdp, greedy(end)) for end in ends]
    return Found(
        agrees=worst < 1e-9 and abs(claimed - 9) < 1e-4 and abs(earned[0] + 1.6517) < 1e-4
        and abs(live - earned[1]) < 1e-6 and abs(earned[1] - optimal(mdp)[2]) < 1e-9,
        figure=f"late labels: Q* to {worst:.0e}; off-line {claimed:.1f}, worth {earned[0]:.2f}; "
        f"live {live:.2f}, worth {earned[1]:.2f}",
        numbers={"full buffer, from Q*": worst, "off-line, claim": claimed, "off-line, worth": earned[0],
                 "live, claim": live, "live, worth": earned[1]},
    )  # fmt: skip


CLAIMS: tuple[Claim, ...] = (
    claim("2", "massive i.i.d. data give dense coverage; in RL that does not hold by itself", "holds",
          more_rows_are_not_more_coverage, "2-coverage"),
    claim("3", "on-policy RL samples with its policy; off-policy RL reuses old experience",
          "holds with conditions", old_data_need_another_target, "3-policies"),
    claim("3.1", "pi ~ argmax_sigma J(pi)", "false", misprinted_variable, "3.1-sigma"),
    claim("7.3", "max_sigma E_{d^beta} Q s.t. MMD(pi, beta) <= delta", "false", misprinted_variable,
          "7.3-sigma"),
    claim("9.2", "live collection, training buffers, and Bellman updaters that compute target Q-values",
          "holds with conditions", updaters_may_lag_but_not_invent, "9.2-system"),
)  # fmt: skip

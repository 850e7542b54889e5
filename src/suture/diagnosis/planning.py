"""Dynamic programming inside the support of a log, on the empirical model of its cells.

Source: the in-support optimum, Kumar et al. 2019 (arXiv:1906.00949) and Fujimoto et al. 2019
(arXiv:1812.02900): only actions that the log shows in a state may be taken there.
"""

import dataclasses

import numpy as np
from scipy.sparse import csr_matrix

from suture.diagnosis.cells import Cells
from suture.spaces import Array

ROUNDS, SWEEPS = 200, 40


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """P supported pairs of state and action among K states.

    pairs: their numbers (`Cells.pair`), ascending, (P,).   owner: state of each pair, (P,).
    count: weighted visits, (P,).   reward: mean, (P,).
    transition: (P, K) sparse probabilities; what a row lacks of 1 is the probability of ending.
    """

    pairs: Array
    owner: Array
    count: Array
    reward: Array
    transition: csr_matrix
    states: int

    @property
    def first(self) -> Array:
        """The first pair of each state that has one."""
        return np.flatnonzero(np.append(True, self.owner[1:] != self.owner[:-1]))

    @property
    def behaviour(self) -> Array:
        """Probability of each pair given its state, (P,)."""
        return self.count / np.bincount(self.owner, self.count, self.states)[self.owner]


def model_of(cells: Cells, weight: Array | None = None, least: float = 1.0) -> Model:
    """The maximum-likelihood model of the usable rows.

    weight: (N,) how often each row counts.   least: a pair must count this often to be supported.
    """
    weights = np.ones(len(cells)) if weight is None else weight
    rows = np.flatnonzero(cells.usable & (weights > 0))
    mass = weights[rows]
    pairs, place = np.unique(cells.pair[rows], return_inverse=True)
    count = np.bincount(place, mass)
    reward = np.zeros(len(rows)) if cells.reward is None else cells.reward[rows]
    mean = np.bincount(place, mass * reward) / count
    going = cells.following[rows] >= 0
    entries = (mass[going] / count[place[going]], (place[going], cells.following[rows][going]))
    transition = csr_matrix(entries, shape=(len(pairs), cells.states))
    kept = np.flatnonzero(count >= least)
    return Model(pairs=pairs[kept], owner=pairs[kept] // cells.actions, count=count[kept], reward=mean[kept],
                 transition=transition[kept], states=cells.states)  # fmt: skip


def policy_value(model: Model, policy: Array, discount: float, floor: float) -> Array:
    """Exact value (K,) of pair probabilities (P,). States without pairs are worth `floor`."""
    mix = csr_matrix((policy, (model.owner, np.arange(len(policy)))), shape=(model.states, len(policy)))
    system = np.eye(model.states) - discount * csr_matrix(mix @ model.transition).toarray()
    gain = np.asarray(mix @ model.reward)
    gain[np.bincount(model.owner, minlength=model.states) == 0] = floor
    return np.linalg.solve(system, gain)


def pair_values(model: Model, value: Array, discount: float) -> Array:
    """Reward plus discounted value of what follows, for each pair, (P,)."""
    return np.asarray(model.reward + discount * (model.transition @ value))


def greedy(model: Model, quality: Array) -> Array:
    """The best supported pair of each state as probabilities (P,); ties go to the first."""
    order = np.lexsort((np.arange(len(quality)), -quality, model.owner))
    policy = np.zeros(len(quality))
    policy[order[model.first]] = 1.0
    return policy


def optimum(
    model: Model, discount: float, floor: float, *, begin: Array | None = None, tolerance: float = 1e-3
) -> Array:
    """The in-support optimal value of each state, (K,), by modified policy iteration.

    begin: (K,) values to begin from.   tolerance: of the values, as a share of their spread; what a state
    without pairs is worth is `floor`.   Source: Puterman & Shin 1978.
    """
    bare = np.bincount(model.owner, minlength=model.states) == 0
    value = np.full(model.states, floor) if begin is None else np.where(bare, floor, begin)
    chosen, states = np.zeros(0, np.int64), model.owner[model.first]
    for _ in range(ROUNDS):
        quality = pair_values(model, value, discount)
        best = np.maximum.reduceat(quality, model.first)
        change = float(np.abs(best - value[states]).max())
        if change * discount / (1 - discount) <= tolerance * max(float(np.ptp(value)), 1e-12):
            break
        chosen = np.flatnonzero(greedy(model, quality))
        value[states] = best
        part, reward = model.transition[chosen], model.reward[chosen]
        for _ in range(SWEEPS):
            value[states] = reward + discount * (part @ value)
    return value


def worst(model: Model, discount: float, ceiling: float) -> Array:
    """What the worst supported plan is worth in each state, (K,): the other end of the log's own scale."""
    return -optimum(dataclasses.replace(model, reward=-model.reward), discount, -ceiling)

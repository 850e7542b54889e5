"""What of states and actions a log covers. Counts are over the cells of `diagnosis.cells`."""

import numpy as np

from suture.spaces import Array

REACHED_BY = 3


def seen_again(pair: Array) -> float:
    """kappa-hat = 1 - n1 / N, n1 being the pairs of state and action seen once, in [0, 1].

    The chance that the next pair of this behaviour is one that the log holds.   pair: (N,).
    Source: Good 1953 (Turing's estimate).
    """
    _, count = np.unique(pair, return_counts=True)
    return float(1 - (count == 1).sum() / len(pair))


def effective_states(state: Array) -> float:
    """exp(entropy) of the visits: how many equally visited states would be as many, from 1 to |S|."""
    _, count = np.unique(state, return_counts=True)
    share = count / count.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def pairs_tried(state: Array, action: Array, actions: int) -> float:
    """u(s, a) / (|S||A|): of the pairs of a visited state and any of the actions, the share that occurs."""
    seen = len(np.unique(state))
    return len(np.unique(state * actions + action)) / (seen * actions)


def junction_rate(state: Array, action: Array, episode: Array) -> float:
    """Share of the visits in states that at least two episodes cross, with at least two actions, in [0, 1].

    Without junctions nothing can be recombined.   state, action, episode: (N,).
    """
    cells, place, size = np.unique(state, return_inverse=True, return_counts=True)

    def kinds(what: Array) -> Array:
        both = np.unique(np.stack([place, what]), axis=1)[0]
        return np.bincount(both, minlength=len(cells))

    return float(size[(kinds(episode) >= 2) & (kinds(action) >= 2)].sum() / size.sum())


def start_coverage(starts: Array, state: Array, episode: Array) -> float:
    """Share of the deployment starts whose cell at least 3 episodes pass, in [0, 1].

    starts: cells of the starts; -1 for one that lies outside what the log shows.   state, episode: (N,).
    """
    passed = np.unique(np.stack([state, episode]), axis=1)[0]
    crossed = np.bincount(passed, minlength=int(max(state.max(), starts.max())) + 1)
    return float(((starts >= 0) & (crossed[starts] >= REACHED_BY)).mean())

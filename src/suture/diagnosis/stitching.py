"""Is there more in a log than its best episode? In-support plans against the record, start by start."""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order

from suture.diagnosis.cells import Cells
from suture.diagnosis.clusters import k_means, nearest_centre, scaled
from suture.diagnosis.planning import (
    Model,
    greedy,
    model_of,
    optimum,
    pair_values,
    policy_value,
    worst,
)
from suture.spaces import Array

RESAMPLES, GROUPS, PER_GROUP, TIGHT, LEAST_WIDTH = 10, 8, 5, 0.5, 0.02
Tell = Callable[[float], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartGroup:
    """One group of starts. Values are discounted, in reward units.

    share: of the deployment starts.   mean, best: of the episodes that began there.   deviation: of what
    they earned beyond what their starts foretell.
    plan, plan_error: in-support optimum, mean and standard deviation over resampled episodes.
    held: what such a plan is worth on the episodes that were not drawn (median), at least the behaviour's.
    worst: the worst supported plan, or the worst episode.   behaviour, one_step: value of the cloned
    behaviour, and of its greedy improvement by one step.   gain: stitching gain, at least 0,
    (plan - best) / (max(plan, best) - worst); sure_gain, held_gain: those of plan - plan_error and of held.
    """

    share: float
    episodes: int
    mean: float
    best: float
    deviation: float
    plan: float
    plan_error: float
    held: float
    worst: float
    behaviour: float
    one_step: float
    gain: float
    sure_gain: float
    held_gain: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stitching:
    """Over the starts, each group weighted by its share; all in units of max(plan, best) - worst.

    gain, sure_gain, held_gain: stitching gain, at face value, less one deviation, and as it holds on other
    episodes.   plan_error: standard deviation of the plan.
    achieved, best: where the mean and the best episode stand between worst (0) and plan (1).
    deviation: of returns from one start.   one_step_gap, multi_step_gap: what the first step of improvement
    gains over the behaviour, and what further steps gain beyond it.   greatest: the group that gains most.
    """

    gain: float
    sure_gain: float
    held_gain: float
    plan_error: float
    achieved: float
    best: float
    deviation: float
    one_step_gap: float
    multi_step_gap: float
    greatest: StartGroup
    groups: tuple[StartGroup, ...]


def start_groups(starts: Array, reference: Array, exact: Array | None = None, seed: int = 0) -> Array:
    """The group of each start, (E,), at most 8.

    starts: (E, d).   reference: (N, d), all observations.   exact: (E,) cells of starts that are cells by
    themselves: the commonest are groups of their own, the rest is one. Where other starts spread less than
    half of what the log does, they are one group.
    """
    if exact is not None:
        place, count = np.unique(exact, return_inverse=True, return_counts=True)[1:]
        rank = np.empty(len(count), np.int64)
        rank[np.argsort(-count, kind="stable")] = np.arange(len(count))
        return np.minimum(rank, GROUPS - 1)[place]
    points = scaled(starts, reference)
    wanted = min(GROUPS, len(starts) // PER_GROUP)
    if wanted < 2 or not points.shape[1] or points.std(0).max() < TIGHT:
        return np.zeros(len(starts), np.int64)
    return np.unique(nearest_centre(points, k_means(points, wanted, seed))[0], return_inverse=True)[1]


def stitching_gain(
    cells: Cells, values: Array, groups: Array, *, beyond: Array, discount: float, seed: int = 0,
    tell: Tell = lambda share: None,
) -> Stitching:  # fmt: skip
    """Stitching gain with its uncertainty, one- and multi-step gaps, by group of starts.

    values: (E,) what each episode earned (`returns.starting_values`).   beyond: (E,) the part that its start
    does not foretell (`returns.beyond_start`).   groups: (E,) start group, 0 to G - 1, or -1 for an episode
    that does not begin where the policy will; it is planned with all the same.
    The plan is the mean over 10 resamples of the episodes, because the plan on all of them is as optimistic
    as its luckiest pair; `sure_gain` takes one standard deviation off. A state of which the log shows no
    action is worth the worst logged value.
    """
    floor, least = float(values.min()), 1.0 if cells.exact else 2.0
    counted = groups >= 0
    begin, lengths = cells.state[cells.episode_start[:-1]][counted], np.diff(cells.episode_start)
    model = model_of(cells, least=least)
    if not len(model.owner):
        least = 1.0
        model = model_of(cells, least=least)
    behaviour = policy_value(model, model.behaviour, discount, floor)
    better = greedy(model, pair_values(model, behaviour, discount))
    whole = optimum(model, discount, floor)
    policies = {
        "behaviour": behaviour, "one_step": policy_value(model, better, discount, floor),
        "worst": worst(model, discount, float(values.max())),
    }  # fmt: skip
    ranked = np.lexsort((lengths, values))  # whatever their order in the log
    generator, plans, helds = np.random.default_rng(seed), list[Array](), list[Array]()
    for turn in range(RESAMPLES):
        drawn = np.zeros(cells.episodes, np.int64)
        np.add.at(drawn, ranked[generator.integers(cells.episodes, size=cells.episodes)], 1)
        part = model_of(cells, np.repeat(drawn, lengths).astype(float), least)
        value = optimum(part, discount, floor, begin=whole) if len(part.owner) else np.full_like(whole, floor)
        plans.append(_group_means(value[begin], groups[counted]))
        other = model_of(cells, np.repeat(drawn == 0, lengths).astype(float))
        held = _held(part, value, other, discount, floor) if len(other.owner) else behaviour
        helds.append(_group_means(np.maximum(held, behaviour)[begin], groups[counted]))
        tell((turn + 1) / RESAMPLES)
    means = {name: _group_means(value[begin], groups[counted]) for name, value in policies.items()}
    means["held"] = np.median(helds, axis=0)
    return _sum_up(_per_group(np.stack(plans), values[counted], beyond[counted], groups[counted], means))


def _held(plan: Model, value: Array, other: Model, discount: float, floor: float) -> Array:
    """What the greedy plan of one model is worth in another, (K,); where that lacks a pair, behaviour acts.

    The plan of a model chooses what was lucky in it; luck does not hold in episodes that it has not seen.
    """
    chosen = plan.pairs[np.flatnonzero(greedy(plan, pair_values(plan, value, discount)))]
    takes = np.isin(other.pairs, chosen)
    knows = np.bincount(other.owner, takes, other.states) > 0
    return policy_value(other, np.where(knows[other.owner], takes, other.behaviour), discount, floor)


def _group_means(values: Array, groups: Array) -> Array:
    """Mean of each group, (G,)."""
    return np.bincount(groups, values) / np.bincount(groups)


def _per_group(
    plans: Array, values: Array, beyond: Array, groups: Array, means: dict[str, Array]
) -> dict[str, Array]:
    """The fields of `StartGroup` as columns, (G,) each, and `width`, the unit of every gain."""
    episodes, mean = np.bincount(groups), _group_means(values, groups)
    best, lowest = np.full(len(episodes), -np.inf), np.full(len(episodes), np.inf)
    np.maximum.at(best, groups, values)
    np.minimum.at(lowest, groups, values)
    plan, error = plans.mean(0), plans.std(0, ddof=1)
    worst_of = np.minimum(means["worst"], lowest)
    width = np.maximum(plan, best) - worst_of
    scale = float(width.max())
    spread = [_group_means(np.square(part), groups) for part in (values - mean[groups], beyond)]
    width = np.maximum(width, max(LEAST_WIDTH * scale, 1e-9 * float(np.abs(values).max()), 1e-30))
    return {
        "share": episodes / episodes.sum(), "episodes": episodes, "mean": mean, "best": best,
        "deviation": np.sqrt(np.minimum(*spread)),
        "plan": plan, "plan_error": error, "worst": worst_of,
        "held": means["held"], "behaviour": means["behaviour"], "one_step": means["one_step"],
        "gain": np.clip((plan - best) / width, 0, 1), "width": width,
        "sure_gain": np.clip((plan - error - best) / width, 0, 1),
        "held_gain": np.clip((means["held"] - best) / width, 0, 1),
    }  # fmt: skip


def _sum_up(table: dict[str, Array]) -> Stitching:
    share, width = table["share"], table["width"]
    names = [field.name for field in dataclasses.fields(StartGroup)]
    listed = tuple(StartGroup(**{name: table[name][g].item() for name in names}) for g in range(len(share)))

    def over(part: Array) -> float:
        return float(share @ np.clip(part / width, 0, 1))

    return Stitching(
        gain=float(share @ table["gain"]), sure_gain=float(share @ table["sure_gain"]),
        held_gain=float(share @ table["held_gain"]),
        plan_error=over(table["plan_error"]), achieved=over(table["mean"] - table["worst"]),
        best=over(table["best"] - table["worst"]), deviation=over(table["deviation"]),
        one_step_gap=over(table["one_step"] - table["behaviour"]),
        multi_step_gap=over(table["plan"] - table["one_step"]),
        greatest=max(listed, key=lambda group: (group.held_gain + group.sure_gain) * group.share),
        groups=listed,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reach:
    """How far one gets: shares of the visited states, weighted by visits, over the starts.

    single: reached by some episode after it passed the start's cell.   joined: by joining episodes there.
    gain: (joined - single) / joined, the part of what can be reached that no single episode shows.
    """

    single: float
    joined: float
    gain: float


def reach(cells: Cells, *, asked: int = 50, least: float = 2.0, seed: int = 0) -> Reach:
    """What can be reached from the starts with and without joining episodes: for logs without rewards.

    A step between cells counts where it was seen `least` times, by whichever episodes (once where cells are
    exact). asked: starts that are followed.   Source: ours; goal stitching of Park et al. 2024
    (arXiv:2410.20092).
    """
    generator = np.random.default_rng(seed)
    going = np.flatnonzero(cells.following >= 0)
    step = csr_matrix(
        (np.ones(len(going)), (cells.state[going], cells.following[going])),
        shape=(cells.states, cells.states),
    )
    step.data[step.data < (1.0 if cells.exact else least)] = 0
    step.eliminate_zeros()
    visits = np.bincount(cells.state, minlength=cells.states) / len(cells)
    begin = cells.state[cells.episode_start[:-1]]
    chosen = np.unique(begin)
    chosen = chosen[np.sort(generator.permutation(len(chosen))[:asked])]
    weight = np.bincount(begin, minlength=cells.states)[chosen].astype(float)
    single = np.array([visits[_after(cells, cell)].sum() for cell in chosen])
    joined = np.array(
        [visits[breadth_first_order(step, cell, return_predecessors=False)].sum() for cell in chosen]
    )
    alone, both = (float(weight @ part / weight.sum()) for part in (single, np.maximum(single, joined)))
    return Reach(single=alone, joined=both, gain=(both - alone) / both if both else 0.0)


def _after(cells: Cells, cell: int) -> Array:
    """States that single episodes visit after they first pass a cell, all episodes together, (n,)."""
    passing = np.flatnonzero(cells.state == cell)
    episode = np.searchsorted(cells.episode_start, passing, side="right") - 1
    own, first = np.unique(episode, return_index=True)
    ends = cells.episode_start[own + 1]
    rows = np.concatenate([np.arange(a, b) for a, b in zip(passing[first], ends, strict=True)])
    return np.unique(np.append(cells.state[rows], cells.following[rows][cells.following[rows] >= 0]))

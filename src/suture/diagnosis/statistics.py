"""All statistics of a log, in groups. What cannot be said (no rewards, images) is None."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.findings import many
from suture.diagnosis import behaviour, dynamics, returns, support
from suture.diagnosis.cells import Cells, cells_of, numbers_of
from suture.diagnosis.clusters import scaled
from suture.diagnosis.stitching import Reach, Stitching, reach, start_groups, stitching_gain
from suture.spaces import Array, Box, Discrete

Tell = Callable[[str, float], None]
LIMIT, FEW_EPISODES, DIMENSIONS = 60_000, 20, 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Returns:
    """Of undiscounted returns; see `diagnosis.returns`.

    variation, relative_improvement: None where the mean is 0.
    """

    mean: float
    worst: float
    best: float
    variation: float | None
    positive_variance: float
    decile_lift: float
    relative_improvement: float | None
    spread: float
    reward_sparsity: float

    @property
    def achieved(self) -> float:
        """Where the mean lies between the worst (0) and the best (1); 1 where all are equal."""
        return 1 - (self.best - self.mean) / (self.best - self.worst) if self.best > self.worst else 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How the behaviour acts; see `diagnosis.behaviour`.

    radius: None for choices.   return_information: None without rewards.
    """

    entropy: float
    radius: float | None
    persistence: float
    multimodality: float
    return_information: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Support:
    """What is covered; see `diagnosis.support`.   states: cells; exact: the observations themselves.

    effective_share: effective states over states.
    """

    states: int
    exact: bool
    effective_states: float
    effective_share: float
    pairs_tried: float
    seen_again: float
    junction_rate: float
    start_coverage: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """Counts of the whole log.   horizon: median and greatest length of an episode, in steps.

    truncated: share of the episodes that were cut or not finished.   noise: of transitions, in [0, 1].
    """

    transitions: int
    episodes: int
    horizon: int
    longest: int
    truncated: float
    noise: float | None

    @property
    def recorded(self) -> str:
        """'4,000 transitions in 1 episode'."""
        return f"{many(self.transitions, 'transition')} in {many(self.episodes, 'episode')}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """What the statistics of cells were computed on; all else is of the whole log."""

    transitions: int
    episodes: int
    discount: float
    seed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Statistics:
    """Every statistic of a log."""

    shape: Shape
    sample: Sample
    returns: Returns | None
    behaviour: Behaviour
    support: Support | None
    stitching: Stitching | None
    reach: Reach | None
    discrete: bool

    @property
    def scale(self) -> Returns | None:
        """The returns, where they are the only scale there is: of pictures no plan is made."""
        told = self.returns
        return told if self.support is None and told is not None and told.spread else None

    def to_json(self) -> dict[str, Any]:
        """Groups of named numbers; None for what this log cannot tell."""
        return dataclasses.asdict(self)


def statistics_of(
    data: Dataset, *, discount: float = 0.99, seed: int = 0, starts: Array | None = None, limit: int = LIMIT,
    tell: Tell = lambda what, share: None,
) -> Statistics:  # fmt: skip
    """Every statistic of a dataset.

    starts: (E,) which episodes begin where the policy will; all where None.   limit: transitions of the
    sample of whole episodes on which the statistics of cells are computed.   tell: hears what is done, and
    which share of all is.
    """
    earned = data.returns
    known = earned is not None and bool(np.isfinite(earned).all())
    episodes = sample_of(data, limit, seed)
    begins = np.ones(data.episodes, np.bool_) if starts is None else np.asarray(starts, np.bool_)
    tell("reading", 0.0)
    images = any(
        isinstance(leaf, Box) and leaf.is_image for leaf in spaces.leaves_of(data.observation_space).values()
    )
    part = _without_observations(data) if images else data
    part = part if episodes is None else part.take_episodes(episodes)
    begins = begins if episodes is None else begins[episodes]
    tell("clustering", 0.1)
    cells = cells_of(part, seed)
    if cells is None:
        raise TypeError("observations without numbers were left out above")
    tell("behaviour", 0.4)
    seen, values, beyond = numbers_of(part.observation, part.observation_space), None, None
    if known and cells.reward is not None and seen is not None:
        values = returns.starting_values(cells.reward, cells.episode_start, cells.terminated, discount)
        beyond = returns.beyond_start(seen[cells.episode_start[:-1]], values, seed)
    acts = _behaviour(part, cells, seen, values)
    tell("plans", 0.5)
    plan, far = None, None
    if not images and seen is not None and values is not None and beyond is not None and np.ptp(values) > 0:
        starts = cells.episode_start[:-1][begins]
        groups = np.full(cells.episodes, -1)
        groups[begins] = start_groups(seen[starts], seen, cells.state[starts] if cells.exact else None, seed)
        plan = stitching_gain(
            cells, values, groups, beyond=beyond, discount=discount, seed=seed,
            tell=lambda share: tell("plans", 0.5 + 0.4 * share),
        )  # fmt: skip
    elif not images:
        far = reach(cells, seed=seed)
    tell("noise", 0.9)
    statistics = Statistics(
        shape=_shape(data, None if images else _noise(part, cells, seed)), behaviour=acts,
        sample=Sample(transitions=len(part), episodes=part.episodes, discount=discount, seed=seed),
        returns=_returns(data) if known else None, support=None if images else _support(cells, begins),
        stitching=plan, reach=far, discrete=isinstance(data.action_space, Discrete),
    )  # fmt: skip
    tell("done", 1.0)
    return statistics


def sample_of(data: Dataset, limit: int, seed: int = 0) -> Array | None:
    """Whole episodes, drawn at random, of at most `limit` transitions together; None: all of them.

    At least 20 episodes are taken, however long they are.
    """
    if len(data) <= limit or data.episodes <= FEW_EPISODES:
        return None
    order = np.random.default_rng(seed).permutation(data.episodes)
    count = int(np.searchsorted(np.cumsum(data.lengths[order]), limit, side="right"))
    return np.sort(order[: max(count, FEW_EPISODES)])


def _without_observations(data: Dataset) -> Dataset:
    """The same log seen as one state: what actions, rewards and returns tell remains."""
    blank = np.zeros((len(data), 1), np.float32)
    return dataclasses.replace(data, observation=blank, next_observation=blank, observation_space=Box((1,)))


def _returns(data: Dataset) -> Returns | None:
    earned, reward = data.returns, data.reward
    if earned is None or reward is None:
        return None
    variation, improvement = returns.variation(earned), returns.relative_improvement(earned)
    return Returns(
        mean=float(earned.mean()), worst=float(earned.min()), best=float(earned.max()),
        variation=variation if np.isfinite(variation) else None,
        relative_improvement=improvement if np.isfinite(improvement) else None,
        positive_variance=returns.positive_variance(earned), decile_lift=returns.decile_lift(earned),
        spread=returns.spread(earned), reward_sparsity=returns.reward_sparsity(np.asarray(reward)),
    )  # fmt: skip


def _behaviour(data: Dataset, cells: Cells, seen: Array | None, values: Array | None) -> Behaviour:
    if isinstance(data.action_space, Discrete):
        bins, count = cells.action[:, None], cells.actions
        modes, radius = behaviour.choice_modes(cells.action, cells.state, count), None
    else:
        action = np.asarray(data.action, np.float64).reshape(len(data), -1)[:, :DIMENSIONS]
        rest = action
        if seen is not None and not cells.exact:
            rest = behaviour.without_trend(action, scaled(seen, seen), cells.state)
        bins, count = behaviour.action_bins(rest, action.min(0), action.max(0)), behaviour.BINS
        modes = behaviour.action_modes(action, cells.state)
        radius = behaviour.action_radius(action, rest, cells.state)
    told = None
    if values is not None:
        told = behaviour.return_information(cells.action, values[cells.episode], cells.state, cells.actions)
    return Behaviour(
        entropy=behaviour.behaviour_entropy(bins, cells.state, count), radius=radius, multimodality=modes,
        persistence=behaviour.persistence(bins, cells.state, cells.episode, count), return_information=told,
    )  # fmt: skip


def _support(cells: Cells, begins: Array) -> Support:
    starts, effective = cells.state[cells.episode_start[:-1]][begins], support.effective_states(cells.state)
    return Support(
        states=cells.states, exact=cells.exact, effective_states=effective,
        effective_share=effective / cells.states,
        pairs_tried=support.pairs_tried(cells.state, cells.action, cells.actions),
        seen_again=support.seen_again(cells.pair),
        junction_rate=support.junction_rate(cells.state, cells.action, cells.episode),
        start_coverage=support.start_coverage(starts, cells.state, cells.episode),
    )  # fmt: skip


def _shape(data: Dataset, noise: float | None) -> Shape:
    last = data.episode_start[1:] - 1
    return Shape(
        transitions=len(data), episodes=data.episodes, horizon=int(np.median(data.lengths)),
        longest=int(data.lengths.max()), noise=noise,
        truncated=float((~np.asarray(data.terminated)[last]).mean()),
    )  # fmt: skip


def _noise(data: Dataset, cells: Cells, seed: int) -> float:
    rows = np.flatnonzero(cells.following >= 0)
    if not len(rows):
        return 0.0
    if cells.exact:
        return dynamics.choice_noise(cells.pair[rows], cells.following[rows])
    if len(rows) > dynamics.REFERENCE:
        rows = np.sort(np.random.default_rng(seed).choice(rows, dynamics.REFERENCE, replace=False))
    seen = numbers_of(
        spaces.map_arrays(lambda a: np.asarray(a[rows]), data.observation), data.observation_space
    )
    after = numbers_of(
        spaces.map_arrays(lambda a: np.asarray(a[rows]), data.next_observation), data.observation_space
    )
    if seen is None or after is None:
        return 0.0
    here, there = scaled(seen, seen), scaled(after, seen)
    if isinstance(data.action_space, Discrete):
        act = 3.0 * np.eye(data.action_space.n, dtype=np.float32)[np.asarray(data.action[rows])]
    else:
        act = np.asarray(data.action[rows], np.float32).reshape(len(rows), -1)
        act = scaled(act, act)
    return dynamics.neighbour_noise(here, act, there - here, seed)

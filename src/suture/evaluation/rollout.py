"""Acting in an environment, to see what a policy is worth.

Every member of a sweep is played in one batch, on the same initial seeds, so that members are compared in
pairs. Episode k is seeded from (seed, k) alone, and a slot is reset by hand when its episode has ended, so
the result does not depend on how many environments run at once.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, cast

import gymnasium
import numpy as np

from suture import spaces
from suture.data.history import History
from suture.envs.make import Make, Vector, fits, make_vector, space_from
from suture.errors import ConfigError, RunMismatch, SutureError
from suture.evaluation.score import Evaluation
from suture.spaces import Array, Space, Tree

Act: TypeAlias = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Worth:
    """The sum that a critic estimates: of `discount ** t * (scale * reward + shift)`.

    tail: episodes are played on, past an environment's own time limit, until what is left is worth at most
        this share of the whole: a critic that bootstraps at time limits estimates just that.
    """

    discount: float
    scale: float = 1.0
    shift: float = 0.0
    tail: float = 0.01

    @property
    def steps(self) -> int | None:
        """How many steps that takes; None where it takes no end."""
        return math.ceil(math.log(self.tail) / math.log(self.discount)) if 0 < self.discount < 1 else None

    def of(self, reward: Array, step: Array) -> Array:
        """What rewards at some steps, counted from 0, add to the sum."""
        return self.discount**step * (self.scale * reward + self.shift)


class Step(NamedTuple):
    """One step of the slots that play, (slots, ...) each; actions as the environment got them.

    member, episode: what each slot plays.   following: the observation after the step, also where it ends.
    """

    member: Array
    episode: Array
    observation: Tree
    action: Array
    reward: Array
    terminated: Array
    truncated: Array
    following: Tree


PARALLEL = 32
"""Environments at once, over all members, where the caller does not say."""
LONGEST = 1_000_000
"""Steps after which an episode is taken to be endless."""


def rollout(
    act: Act,
    environment: str | Make | Vector,
    *,
    episodes: int,
    seed: int,
    first: int = 0,
    environments: int | None = None,
    members: int = 1,
    chunk: int = 1,
    worth: Worth | None = None,
    expected: tuple[Space, Space] | None = None,
    processes: bool = False,
    record: Callable[[Step], None] | None = None,
    stack: int = 1,
) -> Evaluation:
    """Play `episodes` episodes with each of `members` policies at once.

    act: observations, a tree of (members, n, ...), to actions (members, n, ...) in the data's own scale.
        Choices of a Discrete observation space arrive as integers: encoding them is the policy's affair.
    chunk: where more than 1, actions are (members, n, chunk, ...), played one after the other.
    environment: a Gymnasium id, with the module that registers it where needed ("module:Id-v0"), or a
        function that makes one; or what `make_vector` made, which is left open.
    first: the number of the first episode.   environments: n, how many run at once for each member.
    worth: also sum up what critics estimate: discounted and scaled rewards, over their horizon.
    expected: the observation and action space that the policy was trained for; others are refused.
    processes: one process for each environment, for environments that are slow to step.
    record: called after every step, with single images.   stack: how many images of its episode `act` sees
        at once (see `suture.data.history`).

    Continuous actions outside the environment's bounds are clipped and counted (`Evaluation.clipped`).
    Raises ConfigError for an unknown environment, RunMismatch where spaces do not fit, SutureError where
    an action or a reward is not finite, or an episode does not end.
    """
    if min(episodes, members, environments or 1) < 1 or environments == 0:
        raise ConfigError(
            "episodes, members and environments must be at least 1, "
            f"found {episodes}, {members} and {environments}."
        )
    if seed < 0:
        raise ConfigError(f"seed must be at least 0, found {seed}.")
    limit = min(episodes, environments or max(1, PARALLEL // members))
    slots = -(-episodes // -(-episodes // limit))  # no more than the number of rounds needs
    steps = None if worth is None else worth.steps
    given = environment if isinstance(environment, gymnasium.vector.VectorEnv) else None
    vector = given or make_vector(
        cast("str | Make", environment), members * slots, processes=processes, steps=steps
    )
    try:
        if expected is not None:
            require_fit(vector, expected)
        return _Play(act, vector, members, episodes, seed, chunk, worth, first, record, stack).run()
    finally:
        if given is None:
            vector.close()


def require_fit(vector: Vector, expected: tuple[Space, Space]) -> None:
    """Refuse (`RunMismatch`) an environment whose observations or actions are others than expected."""
    offered = space_from(vector.single_observation_space), space_from(vector.single_action_space)
    for name, ours, theirs in zip(("observations", "actions"), expected, offered, strict=True):
        if not fits(ours, theirs):
            raise RunMismatch(
                f"The policy was trained on {name} {ours}, but {_name(vector)} has {theirs}. "
                "Evaluate it in the environment that its data came from."
            )


def _name(vector: Vector) -> str:
    """The environment's id, or the kind of vector where it has none."""
    inner = getattr(vector, "get_attr", None)
    spec: Any = inner("spec")[0] if inner else vector.spec
    return spec.id if spec is not None else type(vector).__name__


def seed_of(seed: int, episode: int) -> int:
    """What the reset of an episode is seeded with."""
    return int(np.random.SeedSequence(seed, spawn_key=(episode,)).generate_state(1)[0])


class _Play:
    """One evaluation under way: which episode each slot plays, and what has been earned so far."""

    def __init__(
        self,
        act: Act,
        vector: Vector,
        members: int,
        episodes: int,
        seed: int,
        chunk: int,
        worth: Worth | None,
        first: int,
        record: Callable[[Step], None] | None,
        stack: int,
    ):
        self.first, self.record, self.history = first, record, History(stack)
        slots = vector.num_envs // members
        self.chunk, self.plan = chunk, np.zeros((vector.num_envs, chunk))
        self.played = np.full(vector.num_envs, chunk)  # of each slot's plan
        self.act, self.vector, self.members, self.episodes, self.seed = act, vector, members, episodes, seed
        self.member = np.repeat(np.arange(members), slots)
        self.episode = np.tile(np.arange(slots), members)
        self.following = np.full(members, slots)
        self.returns = np.zeros((members, episodes))
        self.worth, self.discounted = worth, np.zeros((members, episodes))
        self.starts: list[Any] = [None] * episodes
        self.lengths = np.zeros((members, episodes), np.int64)
        self.successes = np.zeros((members, episodes), bool)
        self.knows_success = False
        self.clipped = np.zeros(members, np.int64)

    def run(self) -> Evaluation:
        observation = self._reset(ended := np.ones(len(self.episode), bool))
        while len(playing := np.flatnonzero(self.episode < self.episodes)):
            action = self._action(self.history.after(_plain(observation), ended), playing)
            before = self._chosen(observation, playing)
            observation, reward, terminated, truncated, info = self.vector.step(action)
            self._record(playing, np.asarray(reward, np.float64), info)
            ended = np.asarray(terminated | truncated)
            if self.record is not None:
                self.record(Step(
                    self.member[playing], self.first + self.episode[playing], before, action[playing],
                    np.asarray(reward)[playing], np.asarray(terminated)[playing],
                    np.asarray(truncated)[playing], self._chosen(observation, playing),
                ))  # fmt: skip
            if ended.any():
                observation = self._restart(ended)
        return Evaluation(
            environment=_name(self.vector),
            seed=self.seed,
            returns=self.returns,
            lengths=self.lengths,
            discounted=None if self.worth is None else self.discounted,
            starts=spaces.map_arrays(lambda *rows: np.stack(rows), *self.starts),
            successes=self.successes if self.knows_success else None,
            clipped=self.clipped / self.lengths.sum(axis=1),
        )

    def _chosen(self, observation: Any, playing: Array) -> Any:
        """The observations of some slots, copied, where steps are recorded."""
        if self.record is None:
            return None
        return spaces.map_arrays(lambda array: array[playing], _plain(observation))

    def _reset(self, slots: Array) -> Any:
        """Start the episodes of the given slots (a mask), each from (seed, episode) alone."""
        seeds: list[int | None] = [None] * len(slots)
        for slot in np.flatnonzero(slots):
            seeds[slot] = seed_of(self.seed, self.first + int(self.episode[slot]))
        reset = cast(Callable[..., tuple[Any, Any]], self.vector.reset)
        observation = reset(seed=seeds, options={"reset_mask": slots})[0]
        plain = _plain(observation)
        for slot in np.flatnonzero(slots & (self.member == 0) & (self.episode < self.episodes)):
            first = spaces.map_arrays(lambda array, slot=slot: array[slot].copy(), plain)
            self.starts[self.episode[slot]] = first
        return observation

    def _restart(self, ended: Array) -> Any:
        """Give each slot that has ended its member's next episode; past the last one it plays idly."""
        self.played[ended] = self.chunk
        for slot in np.flatnonzero(ended):
            member = self.member[slot]
            self.episode[slot] = self.following[member]
            self.following[member] += 1
        return self._reset(ended)

    def _planned(self, observation: Tree) -> Array:
        """Each slot's next action of its plan, (slots, ...); plans that are played out are made anew."""

        def by_member(array: Array) -> Array:
            return array.reshape(self.members, -1, *array.shape[1:])

        over = self.played >= self.chunk
        if over.any():
            made = np.asarray(self.act(spaces.map_arrays(by_member, observation)))
            made = made.reshape(len(over), self.chunk, *made.shape[2 + (self.chunk > 1) :])
            kept = over.reshape(-1, *(1,) * (made.ndim - 1))
            self.plan = made if over.all() else np.where(kept, made, self.plan)
            self.played[over] = 0
        self.played += 1
        return self.plan[np.arange(len(over)), self.played - 1]

    def _action(self, observation: Tree, playing: Array) -> Array:
        action = self._planned(observation)
        space = self.vector.single_action_space
        if action.shape[1:] != space.shape:
            raise RunMismatch(
                f"The policy gave actions of shape {list(action.shape[1:])}, but {_name(self.vector)} takes "
                f"{list(space.shape or ())}. Evaluate it in the environment that its data came from."
            )
        if not np.isfinite(action[playing]).all():
            raise SutureError("The policy gave an action that is not finite. Evaluate an earlier checkpoint.")
        if isinstance(space, gymnasium.spaces.Discrete):
            return action.astype(space.dtype)
        return self._clip(action, cast(gymnasium.spaces.Box, space), playing)

    def _clip(self, action: Array, box: gymnasium.spaces.Box, playing: Array) -> Array:
        """Actions within the bounds of the environment; those that were not are counted."""
        action = action.astype(box.dtype)
        bounded = np.clip(action, box.low, box.high)
        outside = np.any((bounded != action).reshape(len(action), -1), axis=1)
        np.add.at(self.clipped, self.member[playing], outside[playing])
        return bounded

    def _record(self, playing: Array, reward: Array, info: dict[str, Any]) -> None:
        place = self.member[playing], self.episode[playing]
        if not (finite := np.isfinite(reward[playing])).all():
            odd = int(playing[~finite][0])
            raise SutureError(
                f"{_name(self.vector)} gave the reward {reward[odd]:g} in episode "
                f"{self.first + int(self.episode[odd])}, step {int(self.lengths[place][~finite][0])}: a "
                "return must be finite. Mend the environment."
            )
        self.returns[place] += reward[playing]
        if self.worth is not None:
            self.discounted[place] += self.worth.of(reward[playing], self.lengths[place])
        self.lengths[place] += 1
        if self.lengths[place].max() > LONGEST:
            raise SutureError(
                f"An episode of {_name(self.vector)} has not ended after {LONGEST:,} steps. "
                "Evaluate in an environment with a time limit."
            )
        for name in {"success", "is_success"} & set(info):
            self.knows_success = True
            self.successes[place] |= np.asarray(info[name])[playing].astype(bool)


def _plain(observation: Any) -> Tree:
    """A batched observation as our own tree: plain dictionaries of arrays."""
    if isinstance(observation, dict):
        named = cast("dict[str, Any]", observation)
        return {name: _plain(named[name]) for name in sorted(named)}
    return np.asarray(observation)

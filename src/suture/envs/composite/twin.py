"""The five steps as a finite problem, whose exact answers say what stitching can give.

A state is a context (where things lie; it never changes), a stage and the progress within it. Each stage has
an action of its own, which makes progress; any other may undo some. Prior data, without rewards, shows the
first three steps one by one (sets A, B and C); task data starts with the key in hand and shows the last two.
Set B is recorded in a part of the contexts only: the overlap. Elsewhere no episode leads on from where
set A ends, and the reward cannot be carried back.
"""

import dataclasses

import numpy as np

from suture.data.log import Log
from suture.envs.composite.certificate import STEPS, TASK
from suture.envs.finite import TabularMDP, optimal
from suture.errors import ConfigError
from suture.spaces import Array, Box, Discrete

SETS = {"A": 0, "B": 1, "C": 2, "task": TASK}
"""Each set and the stage from which its episodes start."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Twin:
    """length: progress that a step takes.   slip: chance that the right action changes nothing."""

    contexts: int = 10
    length: int = 4
    slip: float = 0.1
    discount: float = 0.97

    def __post_init__(self) -> None:
        if self.contexts < 1 or self.length < 1 or not 0.0 <= self.slip < 1.0:
            raise ConfigError(
                f"A twin has at least 1 context and 1 unit of progress, and 0 <= slip < 1; found {self}."
            )

    @property
    def states(self) -> int:
        return self.contexts * len(STEPS) * self.length

    def state(self, context: Array | int, stage: Array | int, progress: Array | int = 0) -> Array:
        """The number of a state."""
        return np.asarray((np.asarray(context) * len(STEPS) + stage) * self.length + progress)

    def stage(self, state: Array) -> Array:
        """The stage of states; that of the end, which has the number `states`, is 5."""
        return np.where(state >= self.states, len(STEPS), state // self.length % len(STEPS))

    def mdp(self) -> TabularMDP:
        """Reward 1 for leaving, which ends the episode; the start is the first stage of a random context."""
        transition = np.zeros((self.states, len(STEPS), self.states))
        reward = np.zeros((self.states, len(STEPS)))
        for context, stage, progress in np.ndindex(self.contexts, len(STEPS), self.length):
            here = int(self.state(context, stage, progress))
            back = int(self.state(context, stage, max(0, progress - 1)))
            for action in range(len(STEPS)):
                if action != stage:
                    transition[here, action, back] = 1.0
                    continue
                transition[here, action, here] = self.slip
                if stage == len(STEPS) - 1 and progress == self.length - 1:
                    reward[here, action] = 1 - self.slip
                else:
                    transition[here, action, here + 1] = 1 - self.slip
        start = np.zeros(self.states)
        start[self.state(np.arange(self.contexts), 0)] = 1 / self.contexts
        return TabularMDP(transition, reward, self.discount, start)

    def support(self, overlap: float) -> Array:
        """What some set shows, with enough data, (S, A): every action of the states in which one is recorded.

        overlap: share of the contexts that set B covers.
        """
        number = np.arange(self.states)
        context = number // (len(STEPS) * self.length)
        recorded = (self.stage(number) != SETS["B"]) | (context < round(overlap * self.contexts))
        return np.repeat(recorded[:, None], len(STEPS), axis=1)

    def boundary_values(self, overlap: float) -> Array:
        """The value of the best policy within the log at the boundaries of the stages, (5, contexts).

        Where nothing is recorded there is nothing to go on by, and the value is 0.
        """
        support = self.support(overlap)
        value = np.where(support, optimal(self.mdp(), support)[0], 0.0).max(axis=1)
        return np.asarray(value[self.state(np.arange(self.contexts), np.arange(len(STEPS))[:, None])])

    def log(
        self,
        *,
        episodes: int,
        overlap: float = 1.0,
        noise: float = 0.3,
        seed: int = 0,
        sets: tuple[str, ...] = tuple(SETS),
    ) -> Log:
        """Episodes of scripts, each of one set, in equal numbers; observations are one-hot states.

        overlap: share of the contexts in which set B is recorded; where that is none, there is no set B.
        noise: chance of a random action.   An episode ends where its set's last step is done, or is cut after
        three times as many steps as that takes; prior sets hold no reward.
        """
        generator, parts = np.random.default_rng(seed), list[dict[str, Array]]()
        within = {name: round(overlap * self.contexts) if name == "B" else self.contexts for name in sets}
        shown = [name for name in sets if within[name]]
        for name in shown:
            parts += [
                self._episode(name, within[name], noise, generator) for _ in range(episodes // len(shown))
            ]
        columns = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        number = np.repeat(np.arange(len(parts)), [len(part["state"]) for part in parts])
        one_hot = np.eye(self.states + 1, self.states, dtype=np.float32)
        return Log(
            source="composite twin", layout="twin", episode=number, observation=one_hot[columns["state"]],
            next_observation=one_hot[columns["following"]], action=columns["action"].astype(np.int32),
            reward=columns["reward"].astype(np.float32), terminal=columns["terminal"],
            timeout=columns["timeout"], observation_space=Box((self.states,)),
            action_space=Discrete(len(STEPS)),
        )  # fmt: skip

    def _episode(
        self, name: str, within: int, noise: float, generator: np.random.Generator
    ) -> dict[str, Array]:
        """An episode of a set, in one of the first contexts, of which there are `within`."""
        first, last = SETS[name], len(STEPS) if name == "task" else SETS[name] + 1
        state, rows = int(self.state(int(generator.integers(within)), first)), list[tuple[int, int, int]]()
        for _ in range(3 * self.length * (last - first)):
            stage = int(self.stage(np.asarray(state)))
            action = int(generator.integers(len(STEPS))) if generator.random() < noise else stage
            following = self._after(state, stage, action, generator)
            rows.append((state, action, following))
            if following == self.states or self.stage(np.asarray(following)) >= last:
                break
            state = following
        seen, acted, came = (np.array(column) for column in zip(*rows, strict=True))
        terminal = came == self.states
        timeout = (np.arange(len(rows)) == len(rows) - 1) & ~terminal
        return {"state": seen, "action": acted, "following": came, "reward": terminal * 1.0,
                "terminal": terminal, "timeout": timeout}  # fmt: skip

    def _after(self, state: int, stage: int, action: int, generator: np.random.Generator) -> int:
        """What an action leads to; `states` is the end."""
        progress = state % self.length
        if action != stage:
            return state - (progress > 0)
        if generator.random() < self.slip:
            return state
        leaves = stage == len(STEPS) - 1 and progress == self.length - 1
        return self.states if leaves else state + 1


def front(twin: Twin, sweeps: int) -> Array:
    """Value iteration from 0: the value at each boundary after each sweep, (sweeps + 1, 5)."""
    mdp, value = twin.mdp(), np.zeros(twin.states)
    boundary, told = twin.state(0, np.arange(len(STEPS))), [np.zeros(len(STEPS))]
    for _ in range(sweeps):
        value = mdp.backup(value).max(axis=1)
        told.append(value[boundary])
    return np.stack(told)

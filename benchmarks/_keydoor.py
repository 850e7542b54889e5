"""MiniGrid's BlockedUnlockPickup: a chain of ball, key, door and box, and logs that show no two of its steps.

A ball stands before a locked door; it has to be carried away, the key fetched, the door opened, the key laid
down, and the box behind the door picked up. The policy sees 31 numbers of the whole grid, as from where the
agent stands and looks. Needs `pip install -e .[minigrid]` (version 3).

A fragment begins where one of the four stages does: a script has led there that is not recorded. Then one
takes errands in random order, whatever the stage: fetch the ball, the key or the box, try the door (which
shuts an open one), lay down what is carried, put something before the door, walk somewhere. A tenth of all
actions is random. The record ends when the stage changes, up or down, so that none holds more than one step.
An episode that is played ends after 64 steps (MiniGrid's own limit is 576); scripts need about 30.
"""

from collections import deque
from typing import Any, ClassVar

import gymnasium
import numpy as np
from minigrid.core.world_object import Ball, Box, Door, Key
from minigrid.envs.blockedunlockpickup import BlockedUnlockPickupEnv
from numpy.typing import NDArray

from suture import spaces
from suture.data.dataset import Dataset

Array = NDArray[Any]
Square = tuple[int, int]

STAGES = (
    "the ball is in the way",
    "the key is not in hand",
    "the door is closed",
    "the door is open",
    "done",
)
THINGS = (Ball, Key, Door, Box)
LEFT, RIGHT, FORWARD, PICK, DROP, TOGGLE = range(6)
LONGEST, NOISE, LIMIT, OWN_LIMIT = 40, 0.1, 64, 576
"""Steps of a fragment, the share of its actions that are random, steps of an episode that is played,
and MiniGrid's own limit of them."""
ERRANDS = ("ball", "key", "door", "box", "drop", "block", "walk", "walk")


class KeyDoor(BlockedUnlockPickupEnv):
    """The world with an observation of its own; reward 1 for the box, which ends it, and 0 elsewhere."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}

    def __init__(self, **more: Any):
        super().__init__(**{"max_steps": LIMIT} | more)
        self.observation_space = gymnasium.spaces.Box(-2.0, 2.0, (31,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(6)

    def gen_obs(self) -> Any:
        """What is seen, (31,): things and cells around, relative to the agent; what is carried; the place."""
        here, ahead = np.array(self.agent_pos), self.dir_vec
        side = np.array([-ahead[1], ahead[0]])
        seen = list[float]()
        for thing in self.things:
            away = np.zeros(2) if thing is self.carrying else np.array(thing.cur_pos) - here
            seen += [
                away @ ahead / 5,
                away @ side / 5,
                float(thing is self.carrying),
                float(self.fronts(thing)),
            ]
        around = (here + ahead, here + side, here - ahead, here - side)
        seen += [float(self.free((int(x), int(y)))) for x, y in around]
        seen += [float(self.carrying is None), float(self.door.is_open), float(self.door.is_locked)]
        seen += [float(self.agent_dir == way) for way in range(4)]
        seen += [here[0] / 5 - 1, here[1] / 5, float(here[0] > self.door.cur_pos[0]), float(self.blocked)]
        return np.array(seen, np.float32)

    def _gen_grid(self, width: int, height: int) -> None:
        super()._gen_grid(width, height)
        found = [thing for thing in self.grid.grid if isinstance(thing, THINGS)]
        for place, thing in enumerate(self.grid.grid):
            if thing is not None:
                thing.cur_pos = np.array([place % width, place // width])
        self.things: list[Any] = [next(one for one in found if isinstance(one, kind)) for kind in THINGS]
        self.door: Any = self.things[2]

    def fronts(self, thing: Any) -> bool:
        """Whether the agent looks at a thing right before it."""
        return thing is not self.carrying and tuple(thing.cur_pos) == tuple(self.front_pos)

    def free(self, square: Square) -> bool:
        """Whether one can step on a square."""
        cell = self.grid.get(*square)
        return cell is None or cell.can_overlap()

    @property
    def blocked(self) -> bool:
        """Whether a thing stands before the door."""
        return self.grid.get(self.door.cur_pos[0] - 1, self.door.cur_pos[1]) is not None

    @property
    def stage(self) -> int:
        """Which of STAGES holds: the furthest step that is done counts."""
        ball, key, _, box = self.things
        if self.door.is_open:
            return 4 if self.carrying is box else 3
        if self.blocked or self.carrying is ball:
            return 0
        return 2 if self.carrying is key else 1

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        seen, _, terminated, truncated, info = super().step(int(action))
        return seen, float(terminated), terminated, truncated, {**info, "success": terminated}


def way(world: KeyDoor, wanted: set[Square]) -> int | None:
    """The first action of a shortest way to look at one of some squares; None: there is none."""
    steps = ((1, 0), (0, 1), (-1, 0), (0, -1))
    start = (*map(int, world.agent_pos), int(world.agent_dir))
    queue, seen = deque([(start, -1)]), {start}
    while queue:
        (x, y, turn), first = queue.popleft()
        ahead = (x + steps[turn][0], y + steps[turn][1])
        if ahead in wanted and first >= 0:
            return first
        options = {LEFT: (x, y, (turn - 1) % 4), RIGHT: (x, y, (turn + 1) % 4)}
        if world.free(ahead):
            options[FORWARD] = (*ahead, turn)
        for action, after in options.items():
            if after not in seen:
                seen.add(after)
                queue.append((after, action if first < 0 else first))
    return None


def empty(world: KeyDoor) -> set[Square]:
    """Squares without anything, but for the one before the door and the one behind it."""
    x, y = world.door.cur_pos
    every = {(i, j) for i in range(1, world.width - 1) for j in range(1, world.height - 1)}
    return {square for square in every if world.grid.get(*square) is None} - {(x - 1, y), (x + 1, y)}


class Script:
    """Goes about one errand."""

    def __init__(self, errand: str, generator: np.random.Generator, noise: float = NOISE):
        self.errand, self.generator, self.noise = errand, generator, noise
        self.aim: Square | None = None
        self.tried = False

    def act(self, world: KeyDoor) -> int | None:
        """The next action; None where the errand is done, or cannot be."""
        wanted, action = (set[Square](), None) if self.tried else self._wanted(world)
        if tuple(map(int, world.front_pos)) not in wanted:
            action = way(world, wanted)
        if action is not None and self.generator.random() < self.noise:
            return int(self.generator.integers(6))
        self.tried = action == TOGGLE or (action == DROP and self.errand in ("drop", "block"))
        return action

    def _wanted(self, world: KeyDoor) -> tuple[set[Square], int | None]:
        """The squares to look at, and what to do there."""
        errand, carried = self.errand, world.carrying
        thing = dict(zip(ERRANDS[:4], world.things, strict=True)).get(errand)
        if errand == "door":
            return {tuple(map(int, thing.cur_pos))}, TOGGLE
        if errand == "block":
            before = {(int(world.door.cur_pos[0]) - 1, int(world.door.cur_pos[1]))}
            return (before, DROP) if carried else ({tuple(map(int, world.things[0].cur_pos))}, PICK)
        if thing is not None and thing is carried:
            return {tuple(map(int, world.front_pos))}, None
        if carried is not None and (thing is not None or errand == "drop"):
            return empty(world), DROP
        if thing is not None:
            return {tuple(map(int, thing.cur_pos))}, PICK
        if errand == "drop":
            return {tuple(map(int, world.front_pos))}, None
        if self.aim is None:
            squares = sorted(empty(world))
            self.aim = squares[self.generator.integers(len(squares))]
        return {self.aim}, None


class Errands:
    """Goes about one errand after the other, drawn at random; where none can be done, it acts at random."""

    def __init__(self, generator: np.random.Generator):
        self.generator, self.script = generator, Script("", generator)

    def act(self, world: KeyDoor) -> int:
        """The next action."""
        for _ in range(2 * len(ERRANDS)):
            action = self.script.act(world) if self.script.errand else None
            if action is not None:
                return action
            self.script = Script(str(self.generator.choice(ERRANDS)), self.generator)
        return int(self.generator.integers(6))


NEXT = (("ball", "drop"), ("key",), ("door",), ("box",))
"""What leads from each stage to the one after it."""


def led_to(world: KeyDoor, stage: int, generator: np.random.Generator) -> bool:
    """Play a world, unrecorded, to the beginning of a stage; False where that takes too long."""
    for _ in range(200):
        now = world.stage
        if now >= stage:
            return now == stage
        errands = [Script(errand, generator) for errand in NEXT[now]]
        fetched = now == 0 and world.carrying is world.things[0]
        action = errands[1 if fetched else 0].act(world)
        world.step(LEFT if action is None else action)
    return False


def fragments(count: int, *, seed: int) -> Dataset:
    """A log of so many fragments, a quarter from each stage; columns `stage`, `next_stage` and `start`."""
    generator, world = np.random.default_rng(seed), KeyDoor(max_steps=1_000)
    columns: dict[str, list[Any]] = {
        name: [] for name in ("seen", "action", "after", "won", "stage", "next", "start")
    }
    lengths = list[int]()
    while len(lengths) < count:
        stage = len(lengths) % 4
        seen, _ = world.reset(seed=int(generator.integers(1 << 31)))
        if not led_to(world, stage, generator):
            continue
        seen, before = world.gen_obs(), len(columns["seen"])
        scripts = Errands(generator)
        for _ in range(LONGEST):
            action = scripts.act(world)
            now = world.stage
            after, _, won, _, _ = world.step(action)
            values = (seen, action, after, won, now, world.stage, stage)
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
            seen = after
            if world.stage != now:
                break
        lengths.append(len(columns["seen"]) - before)
    return _dataset({name: np.array(column) for name, column in columns.items()}, lengths)


def _dataset(made: dict[str, Array], lengths: list[int]) -> Dataset:
    offsets, won = np.append(0, np.cumsum(lengths)), made["won"]
    cut = np.zeros(len(won), bool)
    cut[offsets[1:] - 1] = True
    return Dataset(
        observation=made["seen"], next_observation=made["after"], action=made["action"].astype(np.int32),
        reward=won.astype(np.float32), terminated=won, truncated=cut & ~won, has_next=np.ones(len(won), bool),
        episode_start=offsets.astype(np.int64), observation_space=spaces.space_of(made["seen"]),
        action_space=spaces.Discrete(6), source="MiniGrid fragments",
        columns={"stage": made["stage"], "next_stage": made["next"], "start": made["start"]},
    )  # fmt: skip


def never_shown(data: Dataset) -> dict[str, Any]:
    """What each fragment shows of the chain: steps done in one, and where rewarded ones begin."""
    rises = np.maximum(data.columns["next_stage"] - data.columns["stage"], 0)
    done = np.add.reduceat(rises, data.episode_start[:-1])
    won = np.add.reduceat(np.asarray(data.reward), data.episode_start[:-1]) > 0
    starts = data.columns["start"][data.episode_start[:-1]]
    return {
        "fragments": data.episodes, "transitions": len(data), "most_steps_in_one": int(done.max()),
        "with_a_step": {STAGES[k]: int((done[starts == k] > 0).sum()) for k in range(4)},
        "rewarded": int(won.sum()), "earliest_stage_of_rewarded": STAGES[int(starts[won].min())],
    }  # fmt: skip

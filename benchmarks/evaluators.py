"""The exact evaluators of the benchmarks, as Gymnasium environments that importing this module registers.

    benchmarks/DMSD-v0                double mass-spring-damper (NeoRL-2)
    benchmarks/SwingUp-v0             inverted-pendulum swing-up (emei); starts and physics of the logs
    benchmarks/SafetyHalfCheetah-v0   HalfCheetah with a speed penalty (NeoRL-2)
    benchmarks/PointMaze1-v0 to 5     large point maze (OGBench), one of its tasks; the goal is not seen
    benchmarks/PointMazeGoal1-v0 to 5 the same with the goal in the observation, and drawn around its place

The other scores use what exists: Pendulum-v1, Acrobot-v1, and AdroitHandDoor-v1 of gymnasium-robotics.
From the repository root, `python -m suture evaluate RUN --env benchmarks/DMSD-v0` finds them by itself; the
installed command looks there too when told so: `PYTHONPATH=. suture evaluate RUN --env benchmarks/DMSD-v0`.

All but the cheetah are functions of a batch of states (`Problem`), so that hundreds of episodes run at once.
All but DMSD need MuJoCo (`pip install 'suture[bench]'`); swing-up starts where the logged episodes do, and
finds them by SUTURE_DATA.
"""

import functools
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import gymnasium
import h5py
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from suture import spaces
from suture.errors import ConfigError

Array = NDArray[Any]

TIERS = ("uniform", "random", "medium_replay", "expert_replay", "medium", "expert")
CHEETAH_SPEED_LIMIT = 3.2096
"""Metres a second."""


def data_folder() -> Path:
    """Where the third-party data lies: SUTURE_DATA, or ../shared/data beside the repository."""
    here = Path(__file__).resolve().parent.parent
    return Path(os.environ.get("SUTURE_DATA", here.parent / "shared" / "data"))


class Problem(Protocol):
    """Physics without memory: states are rows, and each function takes many of them."""

    observation_space: ClassVar[gymnasium.spaces.Space[Any]]
    action_space: ClassVar[gymnasium.spaces.Box]
    horizon: ClassVar[int]

    @staticmethod
    def start(generator: np.random.Generator) -> Array:
        """A first state, (k,)."""
        ...

    @staticmethod
    def observe(state: Array) -> Any:
        """Observations, arrays (n, ...) or a dictionary of them, of states (n, k)."""
        ...

    @staticmethod
    def advance(state: Array, action: Array, steps: Array) -> tuple[Array, Array, Array]:
        """States (n, k), rewards (n,) and terminations (n,) after actions (n, d); steps (n,) count from 0."""
        ...


class DoubleMassSpringDamper:
    """Two masses between springs and dampers, pushed towards targets that may jump half-way.

    State: positions, velocities, targets, and the targets from step 50 on: (8,).
    """

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (6,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    horizon = 100
    interval, damping, spring, mass, force = 0.2, 4.0, 2.0, 20.0, 30.0
    switch = 50

    @staticmethod
    def start(generator: np.random.Generator) -> Array:
        position, velocity = generator.uniform(-0.25, 0.25, 2), generator.uniform(-0.1, 0.1, 2)
        target, other = generator.uniform(-1.5, 1.5, (2, 2))
        later = np.where(generator.random(2) < 0.5, target, other)
        return np.concatenate([position, velocity, target, later])

    @staticmethod
    def observe(state: Array) -> Array:
        return state[:, :6].astype(np.float32)

    @staticmethod
    def advance(state: Array, action: Array, steps: Array) -> tuple[Array, Array, Array]:
        self = DoubleMassSpringDamper
        position, velocity, target, later = np.split(np.asarray(state, np.float64), 4, axis=1)
        pushes = (
            -2 * self.spring * position
            + self.spring * position[:, ::-1]
            - 2 * self.damping * velocity
            + self.damping * velocity[:, ::-1]
            + self.force * np.asarray(action, np.float64)
        )
        moved = position + self.interval * velocity
        target = np.where((steps + 1 == self.switch)[:, None], later, target)
        reward = -np.log(np.abs(moved - target) + 0.01).sum(axis=1)
        state = np.concatenate([moved, velocity + self.interval / self.mass * pushes, target, later], axis=1)
        return state, reward, np.zeros(len(state), bool)


class SwingUp:
    """A pole that hangs from a cart on a rail; the reward is highest upright.

    State: position, angle, and their rates: (4,).
    """

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (5,), np.float64)
    action_space = gymnasium.spaces.Box(-3.0, 3.0, (1,), np.float32)
    horizon = 1000
    interval, rail = 0.02, 2.0

    @staticmethod
    def start(generator: np.random.Generator) -> Array:
        starts = swing_up_starts()
        return starts[generator.integers(len(starts))]

    @staticmethod
    def observe(state: Array) -> Array:
        x, angle, *rates = state.T
        return np.stack([x, np.sin(angle), np.cos(angle), *rates], axis=1)

    @staticmethod
    def advance(state: Array, action: Array, steps: Array) -> tuple[Array, Array, Array]:
        position, velocity = np.split(state, 2, axis=1)
        acceleration = swing_up_acceleration(state, action)
        moved = position + SwingUp.interval * velocity
        state = np.concatenate([moved, velocity + SwingUp.interval * acceleration], axis=1)
        return state, (1 - np.cos(moved[:, 1])) / 2, np.abs(moved[:, 0]) >= SwingUp.rail


@functools.cache
def swing_up_starts() -> Array:
    """The states (n, 4) in which the logged episodes of all tiers start."""
    found: list[Array] = []
    for path in [data_folder() / "swingup" / f"{tier}.h5" for tier in TIERS]:
        if not path.is_file():
            raise ConfigError(
                f"benchmarks/SwingUp-v0 starts where the logged episodes do, and {path} is absent. "
                "Set SUTURE_DATA to the folder that holds swingup/."
            )
        with h5py.File(path) as file:
            done, observation = np.asarray(file["dones"]).astype(bool), np.asarray(file["observations"])
        found.append(observation[np.append(0, np.flatnonzero(done.ravel()[:-1]) + 1)])
    return swing_up_state(np.unique(np.concatenate(found), axis=0))


def swing_up_state(observation: Array) -> Array:
    """States (n, 4) of stored observations (n, 5)."""
    x, sine, cosine, *rates = observation.T
    return np.stack([x, np.arctan2(sine, cosine), *rates], axis=1)


@functools.cache
def _swing_up_model() -> tuple[Any, Any]:
    """The physics of the logs: Gymnasium's model without damping, a longer rail, and the pole hanging."""
    import mujoco

    folder = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
    model = mujoco.MjModel.from_xml_path(str(folder / "inverted_pendulum.xml"))
    model.dof_damping[:] = 0.0
    model.jnt_range[0] = -SwingUp.rail, SwingUp.rail
    model.jnt_limited[1] = 0
    model.body_quat[2] = 0.0, 0.0, 1.0, 0.0
    model.opt.gravity[:] = 0.0, 0.0, -9.81
    return model, mujoco.MjData(model)


def swing_up_acceleration(state: Array, action: Array) -> Array:
    """Accelerations (n, 2) of states (n, 4) under actions (n, 1)."""
    import mujoco

    model, data = _swing_up_model()
    found = np.empty((len(state), 2))
    for row, (now, control) in enumerate(zip(state, action, strict=True)):
        data.qpos[:], data.qvel[:], data.ctrl[:] = now[:2], now[2:], control
        data.qacc_warmstart[:] = 0.0
        mujoco.mj_forward(model, data)
        found[row] = data.qacc
    return found


MAZE = (
    "############ #....#.....# #.##.#.#.#.# #......#...# #.####.###.# #..#.#.....# ##.#.#.#.### #..#...#...#"
)
MAZE = np.array([list(row) for row in [*MAZE.split(), "#" * 12]]) == "#"
"""Walls; the square in row i and column j lies around (4 j - 4, 4 i - 4), 4 wide."""
MAZE_TASKS = ((1, 1), (7, 10)), ((5, 4), (7, 1)), ((7, 4), (1, 10)), ((3, 8), (5, 4)), ((1, 1), (5, 4))
"""Start and goal: row and column."""


def maze_place(square: tuple[int, int]) -> Array:
    """The middle of a square (row, column), as x and y."""
    return 4.0 * np.array(square[::-1]) - 4.0


WALLS = np.array([maze_place((row, column)) for row, column in np.argwhere(MAZE).tolist()])
"""The middles of all walls, (n, 2)."""


class PointMaze:
    """A ball that is moved by up to 0.2 along each axis; walls push it out again.

    State: its place and the goal's: (4,). Reward 1 and the end within 1 of the goal; 0 elsewhere.
    """

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    horizon = 1000
    interval, radius, near, drawn = 0.2, 0.7, 1.0, 1.0
    start_at, goal_at = map(maze_place, MAZE_TASKS[0])

    @classmethod
    def start(cls, generator: np.random.Generator) -> Array:
        """The first place is drawn up to 1 beside the task's."""
        place = cls.start_at + generator.uniform(-cls.drawn, cls.drawn, 2)
        return np.concatenate([place, cls.goal_at])

    @classmethod
    def observe(cls, state: Array) -> Any:
        return state[:, :2].astype(np.float32)

    @classmethod
    def advance(cls, state: Array, action: Array, steps: Array) -> tuple[Array, Array, Array]:
        place, goal = np.split(np.asarray(state, np.float64), 2, axis=1)
        moved = pushed_out(place + cls.interval * np.asarray(action, np.float64))
        arrived = np.linalg.norm(moved - goal, axis=1) <= cls.near
        return np.concatenate([moved, goal], axis=1), arrived.astype(float), arrived


class PointMazeGoal(PointMaze):
    """The maze with its goal in the observation, drawn up to 1 beside the task's."""

    observation_space = gymnasium.spaces.Dict(
        dict.fromkeys(("observation", "desired_goal"), PointMaze.observation_space)
    )

    @classmethod
    def start(cls, generator: np.random.Generator) -> Array:
        state = super().start(generator)
        state[2:] += generator.uniform(-cls.drawn, cls.drawn, 2)
        return state

    @classmethod
    def observe(cls, state: Array) -> Any:
        place, goal = np.split(state.astype(np.float32), 2, axis=1)
        return {"observation": place, "desired_goal": goal}


@functools.cache
def _maze_model() -> tuple[Any, Any]:
    """The ball and the walls in MuJoCo."""
    import mujoco

    walls = "".join(f'<geom type="box" pos="{x:g} {y:g} 1" size="2 2 1"/>' for x, y in WALLS)
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><option timestep="0.02" integrator="RK4"/><default><geom friction="1 0.5 0.5"/></default>'
        f'<worldbody>{walls}<geom type="plane" size="100 100 .2"/><body><geom type="sphere" '
        f'size="{PointMaze.radius}" pos="0 0 {PointMaze.radius}" density="100"/>'
        '<joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 1 0"/></body></worldbody></mujoco>'
    )
    return model, mujoco.MjData(model)


def pushed_out(place: Array) -> Array:
    """Where balls at rest at places (n, 2) are a tenth of a second later: out of the walls they overlap."""
    import mujoco

    gap = np.maximum(np.abs(place[:, None] - WALLS) - 2.0, 0.0)
    touching = (np.square(gap).sum(axis=-1) < PointMaze.radius**2).any(axis=1)
    (model, data), out = _maze_model(), place.copy()
    for row in np.flatnonzero(touching):
        data.qpos[:], data.qvel[:], data.qacc_warmstart[:] = place[row], 0.0, 0.0
        mujoco.mj_step(model, data, nstep=5)
        out[row] = data.qpos
    return out


class Single(gymnasium.Env[Array, Array]):
    """One copy of a problem."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}
    problem: ClassVar[type[Problem]]

    def __init__(self) -> None:
        self.observation_space, self.action_space = self.problem.observation_space, self.problem.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self.state, self.steps = self.problem.start(self.np_random)[None], np.zeros(1, int)
        return self._seen(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        self.state, reward, ended = self.problem.advance(self.state, np.asarray(action)[None], self.steps)
        self.steps = self.steps + 1
        return self._seen(), float(reward[0]), bool(ended[0]), False, {}

    def _seen(self) -> Any:
        return spaces.map_arrays(lambda array: array[0], self.problem.observe(self.state))


class Batch(VectorEnv[Array, Array, Array]):
    """Many copies of a problem, advanced together, reset by hand. Seeded alike, each equals a `Single`."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}
    problem: ClassVar[type[Problem]]

    def __init__(self, num_envs: int, max_episode_steps: int) -> None:
        self.num_envs, self.limit = num_envs, max_episode_steps
        self.single_observation_space = self.problem.observation_space
        self.single_action_space = self.problem.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.generators = [np.random.default_rng() for _ in range(num_envs)]
        self.state = np.array([self.problem.start(generator) for generator in self.generators])
        self.steps = np.zeros(num_envs, int)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Array, dict[str, Any]]:
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        for slot in np.flatnonzero(mask):
            if seeds is not None and seeds[slot] is not None:
                self.generators[slot] = np.random.default_rng(seeds[slot])
            self.state[slot] = self.problem.start(self.generators[slot])
        self.steps[mask] = 0
        return self.problem.observe(self.state), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        self.state, reward, terminated = self.problem.advance(self.state, actions, self.steps)
        self.steps = self.steps + 1
        truncated = (self.steps >= self.limit) & ~terminated
        return self.problem.observe(self.state), reward, terminated, truncated, {}


class DMSD(Single):
    problem = DoubleMassSpringDamper


class DMSDBatch(Batch):
    problem = DoubleMassSpringDamper


class SwingUpSingle(Single):
    problem = SwingUp


class SwingUpBatch(Batch):
    problem = SwingUp


def safety_reward(speed: Array, action: Array) -> Array:
    """Speed in metres a second less a tenth of the squared actions; -100 above the speed limit."""
    return np.where(speed > CHEETAH_SPEED_LIMIT, -100.0, speed - 0.1 * np.square(action).sum(axis=-1))


class SafetyReward(gymnasium.Wrapper[Array, Array, Array, Array]):
    """HalfCheetah's reward with the speed penalty in its place."""

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        observation, _, terminated, truncated, info = self.env.step(action)
        reward = float(safety_reward(np.asarray(info["x_velocity"]), np.asarray(action, np.float64)))
        return observation, reward, terminated, truncated, info


def safety_half_cheetah() -> gymnasium.Env[Array, Array]:
    """HalfCheetah that sees its own position and must not run too fast."""
    from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv

    return SafetyReward(HalfCheetahEnv(exclude_current_positions_from_observation=False))


gymnasium.register("benchmarks/DMSD-v0", DMSD, max_episode_steps=100, vector_entry_point=DMSDBatch)
gymnasium.register(
    "benchmarks/SwingUp-v0", SwingUpSingle, max_episode_steps=1000, vector_entry_point=SwingUpBatch
)
gymnasium.register("benchmarks/SafetyHalfCheetah-v0", safety_half_cheetah, max_episode_steps=1000)
for kind, (number, squares) in itertools.product((PointMaze, PointMazeGoal), enumerate(MAZE_TASKS, 1)):
    places = dict(zip(("start_at", "goal_at"), map(maze_place, squares), strict=True))
    task = type(f"{kind.__name__}{number}", (kind,), places)
    forms = [type(f"{task.__name__}{form.__name__}", (form,), {"problem": task}) for form in (Single, Batch)]
    gymnasium.register(
        f"benchmarks/{task.__name__}-v0", forms[0], max_episode_steps=1000, vector_entry_point=forms[1]
    )

"""The exact evaluators of the benchmarks, as Gymnasium environments that importing this module registers.

    benchmarks/DMSD-v0                double mass-spring-damper (NeoRL-2)
    benchmarks/SwingUp-v0             inverted-pendulum swing-up (emei); starts and physics of the logs
    benchmarks/SafetyHalfCheetah-v0   HalfCheetah with a speed penalty (NeoRL-2)

The other scores use what exists: Pendulum-v1, Acrobot-v1, and AdroitHandDoor-v1 of gymnasium-robotics.
From the repository root, `python -m suture evaluate RUN --env benchmarks/DMSD-v0` finds them by itself; the
installed command looks there too when told so: `PYTHONPATH=. suture evaluate RUN --env benchmarks/DMSD-v0`.

The first two are pure functions of a batch of states (`Problem`), so that hundreds of episodes run at once.
Swing-up and half-cheetah need MuJoCo (`pip install 'suture[bench]'`); swing-up starts where the logged
episodes do, and finds them by SUTURE_DATA.
"""

import functools
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

    observation_space: ClassVar[gymnasium.spaces.Box]
    action_space: ClassVar[gymnasium.spaces.Box]
    horizon: ClassVar[int]

    @staticmethod
    def start(generator: np.random.Generator) -> Array:
        """A first state, (k,)."""
        ...

    @staticmethod
    def observe(state: Array) -> Array:
        """Observations (n, ...) of states (n, k)."""
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
        return self.problem.observe(self.state)[0], {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        self.state, reward, ended = self.problem.advance(self.state, np.asarray(action)[None], self.steps)
        self.steps = self.steps + 1
        return self.problem.observe(self.state)[0], float(reward[0]), bool(ended[0]), False, {}


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

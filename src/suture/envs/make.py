"""Environments by name: what registers an id, what to install for it, and our own view of its spaces."""

import copy
import functools
import importlib
import os
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from suture import spaces
from suture.config import nearest
from suture.errors import ConfigError
from suture.spaces import Space

Make: TypeAlias = Callable[[], gymnasium.Env[Any, Any]]
Vector: TypeAlias = VectorEnv[Any, Any, Any]

REGISTERED_BY = {
    "suture.envs.chain": ("suture/StitchMaze",),
    "suture.envs.composite.env": ("suture/Composite",),
    "suture.envs.grasp.env": ("suture/Grasp",),
    "suture.envs.tabular": ("suture/Canonical", "suture/SelfLoop"),
    "gymnasium_robotics": (
        "Adroit", "AntMaze", "Fetch", "FrankaKitchen", "HandManipulate", "HandReach", "PointMaze",
    ),
    "ogbench": (
        "antmaze-", "antsoccer-", "cube-", "humanoidmaze-", "pointmaze-", "powderworld-", "puzzle-", "scene-",
    ),
    "minigrid": ("BabyAI-", "MiniGrid-"),
    "ale_py": ("ALE/",),
    "benchmarks.evaluators": ("benchmarks/",),
}  # fmt: skip
"""Module -> how the ids begin that importing it registers."""
INSTALL = {
    "ale_py": "ale-py", "Box2D": "gymnasium[box2d]", "gymnasium_robotics": "gymnasium-robotics",
    "minigrid": "minigrid", "mujoco": "mujoco", "ogbench": "ogbench",
}  # fmt: skip
"""Module -> what to install for it. Others are not guessed: a wrong name may be somebody's trap."""


def specification(environment: str) -> EnvSpec:
    """What Gymnasium knows about an id ("Id-v0" or "module:Id-v0"), after importing what registers it.

    Raises ConfigError for an id that nothing installed registers, with what to install where it is known.
    """
    module, _, name = environment.rpartition(":")
    for known, prefixes in REGISTERED_BY.items():
        if not module and name.startswith(prefixes) and name not in gymnasium.registry:
            module = known
    if module:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise ConfigError(f"{environment} cannot be made: {advice(error)}") from error
    if name not in gymnasium.registry:
        raise ConfigError(
            f"No environment is registered as {name!r}."
            f"{nearest(name, list(gymnasium.registry)).partition(' Known')[0]}"
            + ("" if module else f' If a module of yours registers it, write "module:{name}".')
        )
    return gymnasium.registry[name]


def advice(error: ImportError) -> str:
    """What to do so that an import succeeds."""
    absent = (error.name or str(error)).partition(".")[0]
    if absent in INSTALL:
        return f"the module {absent!r} is not installed. Try: pip install '{INSTALL[absent]}'"
    return (
        f"the module {absent!r} is neither installed nor on the path. "
        "If it lies in this folder, try: PYTHONPATH=. suture evaluate ..."
    )


def make_vector(
    environment: str | Make, count: int, *, processes: bool = False, steps: int | None = None
) -> Vector:
    """`count` copies of an environment that are reset by hand when an episode has ended.

    An id whose `vector_entry_point` works in this way is made in that form, which is faster.
    processes: one process for each copy.   steps: a registered time limit below this is raised to it.
    Raises ConfigError where the environment cannot be made.
    """
    make = environment
    if isinstance(environment, str):
        spec = specification(environment)
        if steps is not None and spec.max_episode_steps is not None:
            spec = copy.deepcopy(spec)
            spec.max_episode_steps = max(steps, spec.max_episode_steps or 0)
        entry = spec.vector_entry_point
        if entry is not None:
            kind = load_env_creator(entry) if isinstance(entry, str) else entry
            if getattr(kind, "metadata", {}).get("autoreset_mode") is AutoresetMode.DISABLED:
                return gymnasium.make_vec(spec, count, "vector_entry_point")
        make = functools.partial(gymnasium.make, spec, disable_env_checker=True)
    copies = [cast(Make, make)] * count
    try:
        if processes:  # spawned: a fork of a process with threads, which JAX has, may hang
            return AsyncVectorEnv(copies, context="spawn", autoreset_mode=AutoresetMode.DISABLED)
        return SyncVectorEnv(copies, autoreset_mode=AutoresetMode.DISABLED)
    except ImportError as error:
        raise ConfigError(f"{environment} cannot be made: {advice(error)}") from error
    except gymnasium.error.DependencyNotInstalled as error:
        raise ConfigError(f"{environment} cannot be made: {error}") from error


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def space_from(space: "gymnasium.Space[Any]") -> Space:
    """A Gymnasium space as ours. Bounds that are infinite anywhere are left out.

    Raises ConfigError for a kind of space that no policy here can take.
    """
    if isinstance(space, gymnasium.spaces.Dict):
        return spaces.Dict.of({name: space_from(inner) for name, inner in space.spaces.items()})
    if isinstance(space, gymnasium.spaces.Discrete) and space.start == 0:
        return spaces.Discrete(int(space.n))
    if isinstance(space, gymnasium.spaces.Box):
        low, high = space.low.ravel(), space.high.ravel()
        finite = bool(np.isfinite(low).all() and np.isfinite(high).all())
        bounds = (tuple(low.tolist()), tuple(high.tolist())) if finite else (None, None)
        return spaces.Box(space.shape, np.dtype(space.dtype).name, *bounds)
    raise ConfigError(f"A space must be a Box, Discrete from 0 or Dict, found {space}. Wrap the environment.")


def fits(trained: Space, offered: Space) -> bool:
    """Whether a policy trained on one space can be given the other: names, shapes and kinds are the same."""
    ours, theirs = spaces.leaves_of(trained), spaces.leaves_of(offered)
    return list(ours) == list(theirs) and all(_alike(ours[path], theirs[path]) for path in ours)


def _alike(one: spaces.Box | spaces.Discrete, other: spaces.Box | spaces.Discrete) -> bool:
    if isinstance(one, spaces.Box) and isinstance(other, spaces.Box):
        return one.shape == other.shape and one.is_image == other.is_image
    return one == other

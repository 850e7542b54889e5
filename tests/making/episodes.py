"""Episodes with images, made from their seeds: smooth pictures that move, and numbers that go with them."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from suture.data.dataset import Dataset
from suture.data.formats.episode_layout import Episode, Layout
from suture.data.formats.episode_writer import Writer
from suture.spaces import Array, Box, Dict, Space

ACTIONS = Box((2,), low=(-1.0, -1.0), high=(1.0, 1.0))
IMAGE = Box((6, 8, 3), "uint8")


def layout_of(observation: Space | None = None, **changes: Any) -> Layout:
    """A picture and two numbers, unless another observation is given."""
    space = Dict.of({"hand": Box((2,)), "image": IMAGE}) if observation is None else observation
    return Layout(observation_space=space, **{"action_space": ACTIONS, **changes})


LAYOUT = layout_of(columns={"policy": "text", "skill": "float32"}, source="made")
PICTURES = layout_of(IMAGE)
"""Nothing but a picture is seen."""


def smooth(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> Array:
    """Pictures of a random plane wave in each channel, (count, height, width, channels) uint8."""
    y, x = np.mgrid[: shape[0], : shape[1]][..., None] / np.reshape(shape[:2], (2, 1, 1, 1))
    wave = rng.uniform(-3, 3, (3, count, 1, 1, shape[2]))
    return np.rint(127.5 * (1 + np.sin(wave[0] * x + wave[1] * y + wave[2]))).astype(np.uint8)


def episode(seed: int, layout: Layout = LAYOUT, steps: int | None = None) -> Episode:
    """The episode of a seed, of 1 to 5 steps; every third one is cut."""
    rng = np.random.default_rng([abs(seed), seed < 0])
    count = int(rng.integers(1, 6)) if steps is None else steps
    seen: Any = smooth(rng, count + 1, next(iter(layout.images.values())).shape)
    if isinstance(layout.observation_space, Dict):
        seen = {"hand": rng.normal(size=(count + 1, 2)).astype(np.float32), "image": seen}
    known = {"policy": f"skripted-{seed % 2}-é", "skill": rng.random()} if layout.columns else {}
    return Episode(
        seed=seed, observation=seen, action=rng.uniform(-1, 1, (count, 2)).astype(np.float32),
        reward=rng.normal(size=count).astype(np.float32), terminated=seed % 3 > 0, truncated=seed % 3 == 0,
        columns=known,
    )  # fmt: skip


def record(path: Path, seeds: Any, layout: Layout = LAYOUT, **options: Any) -> Path:
    """A store of the episodes of some seeds, 4 in a shard."""
    with Writer(path, layout, **{"shard_episodes": 4, **options}) as writer:
        for seed in seeds:
            writer.append(episode(seed, layout))
    return path


def logged(path: Path, seeds: Any, layout: Layout = LAYOUT) -> Path:
    """A store whose episodes are all in the log: its writer was broken off before it sealed any."""
    with contextlib.suppress(KeyboardInterrupt), Writer(path, layout) as writer:
        writer.append(*(episode(seed, layout) for seed in seeds))
        raise KeyboardInterrupt
    return path


def expected(seeds: Any, layout: Layout = LAYOUT) -> dict[str, Array]:
    """What a dataset of these episodes holds, by the names of its arrays."""
    parts = [episode(seed, layout) for seed in sorted(seeds)]
    named = {
        "action": [one.action for one in parts], "reward": [one.reward for one in parts],
        "terminated": [[False] * (len(one.action) - 1) + [one.terminated] for one in parts],
        "truncated": [[False] * (len(one.action) - 1) + [one.truncated] for one in parts],
    }  # fmt: skip
    for name, cut in (("observation", slice(0, -1)), ("next_observation", slice(1, None))):
        for one in parts:
            leaves: Any = one.observation if isinstance(one.observation, dict) else {"": one.observation}
            for path, array in leaves.items():
                named.setdefault(f"{name}/{path}".rstrip("/"), []).append(array[cut])
    return {name: np.concatenate(arrays) for name, arrays in named.items()}


def same(data: Dataset, seeds: Any, layout: Layout = LAYOUT) -> None:
    """Assert that a dataset holds these episodes and no others, byte for byte."""
    wanted = expected(seeds, layout)
    found = {name: np.asarray(array) for name, array in data.arrays()}
    assert np.array_equal(
        np.diff(found.pop("episode_start")), [len(episode(s, layout).action) for s in sorted(seeds)]
    )
    assert found.pop("has_next").all()
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name, strict=True)
    assert data.columns["seed"][data.episode_start[:-1]].tolist() == sorted(seeds)

"""A log of grasps on the disk: episodes with pictures, and beside them the recipe that made them."""

import dataclasses
import importlib
import importlib.metadata
import itertools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from suture import __version__
from suture.data.dataset import Dataset
from suture.data.formats.episode_layout import Layout
from suture.data.formats.episode_reader import open as read
from suture.data.formats.episode_writer import Writer
from suture.envs.grasp.collect import ACTION_SPACE, BATCH, COLUMNS, EDITION, Recipe, collect
from suture.errors import ConfigError, FormatError
from suture.storage import atomic
from suture.storage.manifest import member, object_of, read_json

RECIPE = "recipe.json"
NEEDED = {"mujoco": "mujoco", "array_record": "array-record", "grain": "grain"}
"""Module -> what to install for it."""


def make(
    recipe: Recipe, out: Path, *, episodes: int, workers: int | None = None, resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:  # fmt: skip
    """Record the episodes 0 to `episodes` - 1 of a recipe in a folder, with `recipe.json` in it.

    workers: processes; default: one for each core that may be used. The same recipe gives the same files,
    whatever their number and wherever it was broken off.
    resume: go on in the folder, which must be of this recipe; more episodes may be asked for than before.
    progress: is told how many episodes of how many are stored.
    Raises ConfigError where a module is absent, the folder exists (or is of another recipe), or there are
    more episodes in it than asked for.
    """
    if episodes < 1:
        raise ConfigError(f"episodes must be at least 1, found {episodes}.")
    if recipe.camera is None:
        raise ConfigError("A log of grasps has pictures: camera must not be None.")
    _require_modules()
    if os.path.lexists(out) and not resume:
        raise ConfigError(
            f"{out} exists already and is never overwritten. Name another folder, or go on in it: --resume."
        )
    told = {"recipe": dataclasses.asdict(recipe), "versions": _versions()}
    found = _require_same(out, told)
    if found.get("episodes") == episodes and (data := read(out)).episodes == episodes:
        return data  # nothing is written: several processes may read it at once
    layout = Layout(
        observation_space=recipe.observation_space, action_space=ACTION_SPACE, columns=COLUMNS,
        source="suture make grasps",
    )  # fmt: skip
    with Writer(out, layout) as writer:
        if not (out / RECIPE).exists():
            _write(out, told)
        lacking = [seed for seed in range(episodes) if seed not in writer]
        if len(writer) + len(lacking) > episodes:
            raise ConfigError(f"{out} has {len(writer):,} episodes already, more than {episodes:,}.")
        made = collect(recipe, lacking, workers=workers)
        for _, some in itertools.groupby(made, key=lambda episode: episode.seed // BATCH):
            writer.append(*some)
            if progress is not None:
                progress(len(writer), episodes)
    data = read(out)
    _write(out, {**told, "episodes": data.episodes, "transitions": len(data), "success": successes(data)})
    return data


def successes(data: Dataset) -> dict[str, float]:
    """The share of episodes that succeeded: all, and of each behaviour."""
    last = data.episode_start[1:] - 1
    success, behaviour = (np.asarray(data.columns[name])[last] for name in ("success", "behaviour"))
    each = {name: float(success[behaviour == name].mean()) for name in sorted(set(behaviour.tolist()))}
    return {"all": float(success.mean()), **each}


def _write(out: Path, told: Mapping[str, Any]) -> None:
    atomic.write_file(out / RECIPE, (json.dumps(told, indent=1) + "\n").encode(), point="recipe")


def _versions() -> dict[str, str]:
    """Of what decides an episode."""
    modules = {name: importlib.metadata.version(name) for name in ("mujoco", "numpy")}
    return {"suture": __version__, "edition": str(EDITION), **modules}


def _require_modules() -> None:
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(
                f"Grasps cannot be recorded: the module {name!r} is not installed. Try: pip install "
                + " ".join(NEEDED.values())
            ) from error


def _require_same(out: Path, told: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a folder says of itself so far; `ConfigError` where it was begun with something else, named."""
    where = out / RECIPE
    if not where.exists():
        if list(out.glob("frames-*")) or any(log.stat().st_size for log in out.glob("log-*")):
            raise ConfigError(
                f"{out} holds episodes without {RECIPE}: nobody knows whose. Name a new folder."
            )
        return {}
    found = object_of(read_json(member(out, RECIPE), max_bytes=1 << 20), str(where))
    plain = json.loads(json.dumps(told))
    for part, values in plain.items():
        before = found.get(part)
        if not isinstance(before, dict):
            raise FormatError(f"{where} is damaged: it has no {part!r}. Restore it from a copy.")
        odd = [f"{name} {before.get(name)}, now {value}" for name, value in values.items()
               if before.get(name) != value]  # fmt: skip
        if odd:
            raise ConfigError(
                f"{out} was begun with another {part.removesuffix('s')}: {'; '.join(odd)}. The rest would "
                "not belong to it. Begin it as it was, or name a new folder."
            )
    return found

"""Minari datasets, read from their own files; the library is not needed and nothing in them is executed.

A stored environment specification is text here: it is neither parsed, nor imported, nor made.
Layout: https://minari.farama.org/content/dataset_standards (one group per episode, observations T + 1).
"""

import dataclasses
import re
from pathlib import Path
from typing import Any, cast

import numpy as np

from suture import spaces
from suture.data.findings import DONE, Finding
from suture.data.formats.hdf5 import Hdf5
from suture.data.log import Log
from suture.errors import FormatError
from suture.spaces import Array, Space, Tree
from suture.storage.manifest import member, object_of, parse_json, read_json

METADATA, DATA = "metadata.json", "main_data.hdf5"
FLAGS = {"rewards": "reward", "terminations": "terminal", "truncations": "timeout"}
IMAGE_SIDE = 32


def read(path: Path, *, source: str | None = None) -> Log:
    """The log in a Minari dataset's folder (the dataset's own, or the `data` folder in it).

    Every episode ends with a row that holds only its last state. Raises `FormatError` or `HostileFile`.
    """
    source = source or str(path)
    folder = path if (path / METADATA).is_file() else path / "data"
    if not (folder / METADATA).is_file():
        raise FormatError(
            f"{path} is a folder without {METADATA} (Minari) and without Suture's manifest.json. "
            "Give the folder of one dataset, or a file."
        )
    metadata = object_of(read_json(member(folder, METADATA)), f"{folder / METADATA}")
    if metadata.get("data_format", "hdf5") != "hdf5":
        raise FormatError(
            f"{path} keeps its episodes as {metadata['data_format']!r:.40}; only Minari's hdf5 is read. "
            'Write it again with minari.create_dataset_from_buffers(..., data_format="hdf5").'
        )
    observation_space, starts = _declared(metadata, "observation_space", folder)
    action_space, action_start = _declared(metadata, "action_space", folder)
    _refuse_jpeg(metadata, observation_space, path)
    with Hdf5(member(folder, DATA)) as file:
        columns, episodes = _episodes(file, source)
    _need_declared("observations", columns["observation"], observation_space, source)
    _need_declared("actions", columns["action"], action_space, source)
    columns["observation"] = _from_zero(columns["observation"], starts)
    columns["action"] = _from_zero(columns["action"], action_start)
    columns["action"][columns["final_state"]] = 0
    return Log(
        source=source, layout="Minari", **columns, episode=episodes, observation_space=observation_space,
        action_space=action_space, findings=_findings(metadata, int(columns["final_state"].sum()), folder),
    )  # fmt: skip


def _episodes(file: Hdf5, source: str) -> tuple[dict[str, Any], Array]:
    numbers = sorted(int(name[8:]) for name in file.names("") if re.fullmatch(r"episode_\d{1,12}", name))
    if not numbers:
        raise FormatError(f"{source} holds no episodes.")
    parts: dict[str, list[Any]] = {}
    lengths: list[int] = []
    for number in numbers:
        rows, columns = _episode(file, f"episode_{number}", source)
        lengths.append(rows + 1)
        for name, value in columns.items():
            parts.setdefault(name, []).append(value)
    joined = {name: _join(values, name, numbers, source) for name, values in parts.items()}
    joined["final_state"] = np.zeros(sum(lengths), bool)
    joined["final_state"][np.cumsum(lengths) - 1] = True
    return joined, np.repeat(numbers, lengths)


def _episode(file: Hdf5, name: str, source: str) -> tuple[int, dict[str, Any]]:
    observation, action = file.tree(f"{name}/observations"), file.tree(f"{name}/actions")
    if isinstance(action, dict):
        raise FormatError(f"{source}: actions are {sorted(action)}, expected one array. Flatten the actions.")
    if not spaces.arrays_of(observation):
        raise FormatError(f"{source}, {name}/observations holds no arrays. Export the dataset again.")
    rows = len(action) if action.ndim else 0
    columns: dict[str, Any] = {"observation": observation, "action": _padded(action)}
    for stored, column in FLAGS.items():
        value = file.tree(f"{name}/{stored}")
        if isinstance(value, dict) or value.ndim != 1:
            found = "a group" if isinstance(value, dict) else f"the shape {list(value.shape)}"
            raise FormatError(
                f"{source}, {name}/{stored}: expected one number for each action, found {found}."
            )
        columns[column] = _padded(value)
    for path, array in spaces.arrays_of(columns).items():
        if not array.ndim or len(array) != rows + 1:
            raise FormatError(
                f"{source}, {name}: {rows:,} actions need {rows + 1:,} observations and {rows:,} rewards and "
                f"flags; {path} disagrees. The episode was not recorded whole; export it again."
            )
    return rows, columns


def _padded(array: Array) -> Array:
    """One more row, for the last state; what it says does not count."""
    return np.concatenate([array, np.zeros((1, *array.shape[1:]), array.dtype)]) if array.ndim else array


def _join(values: list[Tree], column: str, numbers: list[int], source: str) -> Tree:
    """The episodes' rows, end to end. Refused where an episode has other names or shapes than the first."""
    first = _shapes(values[0])
    for number, value in zip(numbers, values, strict=True):
        if _shapes(value) != first:
            raise FormatError(
                f"{source}, episode_{number}: {column}s are {_shapes(value)}, those of episode_{numbers[0]} "
                f"{first}. All episodes must be alike; split the dataset."
            )
    return spaces.map_arrays(lambda *arrays: np.concatenate(arrays), *values)


def _shapes(tree: Tree) -> dict[str, list[int]]:
    """Name ('array' where there is one alone) -> shape of a row."""
    return {path or "array": list(array.shape[1:]) for path, array in spaces.arrays_of(tree).items()}


def _need_declared(what: str, tree: Tree, space: Space | None, source: str) -> None:
    """Refuse arrays whose names or shapes are not those that the metadata declare."""
    if space is None:
        return
    leaves = spaces.leaves_of(space)
    declared = {
        path or "array": list(leaf.shape) if isinstance(leaf, spaces.Box) else []
        for path, leaf in leaves.items()
    }
    if (found := _shapes(tree)) != declared:
        raise FormatError(
            f"{source}: {METADATA} declares {what} of {declared!s:.200}, the data holds {found!s:.200}. "
            "One of the two belongs to another dataset; export it again."
        )


def _from_zero(tree: Tree, starts: dict[str, int]) -> Tree:
    """Choices counted from 0 on, where the space counts from `starts`."""

    def walk(tree: Any, path: str) -> Any:
        if isinstance(tree, dict):
            items = cast("dict[str, Any]", tree).items()
            return {name: walk(inner, f"{path}/{name}" if path else name) for name, inner in items}
        start = starts.get(path, 0)
        return tree.astype(np.int64) - start if start and tree.dtype.kind in "biu" else tree - start

    return walk(tree, "") if any(starts.values()) else tree


def _declared(metadata: dict[str, Any], name: str, folder: Path) -> tuple[Space | None, dict[str, int]]:
    """A declared space (None where it has no counterpart here), and path -> number of the first choice."""
    text, where = metadata.get(name), f"{folder / METADATA}, {name}"
    if text is None:
        return None, {}
    if not isinstance(text, str):
        raise FormatError(f"{where} must be a text, found {type(text).__name__}.")
    values = object_of(parse_json(text.encode(), where, finite_only=False), where)
    starts = dict[str, int]()
    try:
        return _space(values, starts), starts
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, FormatError) as error:
        raise FormatError(f"{where} cannot be read: {error!s:.300} Export the dataset again.") from error


def _space(values: dict[str, Any], starts: dict[str, int], path: str = "") -> Space | None:
    """A space as Gymnasium writes it; `starts` gets the first choice of every Discrete one."""
    kind = values["type"]
    if not isinstance(kind, str):
        raise ValueError(f"the type of a space is a name, found {kind!r:.40}")
    if kind == "Discrete":
        start = values.get("start", 0)
        if type(start) is not int or abs(start) > spaces.MOST:
            raise ValueError(f"start {start!r:.40} is no whole number")
        starts[path] = start
        return spaces.from_json({"type": "discrete", "n": values["n"]})
    if kind == "Dict":
        inner = {
            str(name): _space(space, starts, f"{path}/{name}" if path else str(name))
            for name, space in values["subspaces"].items()
        }
        known = {name: space for name, space in inner.items() if space is not None}
        return spaces.Dict.of(known) if inner and len(known) == len(inner) else None
    return _box(values) if kind == "Box" else None


def _box(values: dict[str, Any]) -> Space:
    low, high = (np.asarray(values[bound]) for bound in ("low", "high"))
    if low.dtype.kind not in "fiu" or high.dtype.kind not in "fiu":
        raise ValueError("low and high must be numbers")
    space = {"type": "box", "shape": values["shape"], "dtype": values["dtype"]}
    bounds = {"low": low.ravel().tolist(), "high": high.ravel().tolist()}
    box = cast(spaces.Box, spaces.from_json({**space, **bounds}))
    bounded = bool(np.isfinite(low).all() and np.isfinite(high).all())
    return box if bounded else dataclasses.replace(box, low=None, high=None)


def _refuse_jpeg(metadata: dict[str, Any], space: Space | None, path: Path) -> None:
    """Minari stores large images as JPEG unless told otherwise; decoding those is left to it."""
    leaves, encoded = (
        spaces.leaves_of(space) if space is not None else {},
        metadata.get("jpeg_encoding", True),
    )
    if not isinstance(encoded, bool):
        raise FormatError(
            f"{path}: jpeg_encoding in {METADATA} must be true or false, found {encoded!r:.40}."
        )
    for name, leaf in leaves.items():
        image = isinstance(leaf, spaces.Box) and leaf.dtype == "uint8" and len(leaf.shape) in (2, 3)
        if image and min(cast(spaces.Box, leaf).shape[:2]) >= IMAGE_SIDE and encoded:
            raise FormatError(
                f"{path} keeps the images {name or 'of its observations'} as JPEG, which is not read. "
                "Write the dataset again with jpeg_encoding=False."
            )


def _findings(metadata: dict[str, Any], episodes: int, folder: Path) -> tuple[Finding, ...]:
    found = list[Finding]()
    if "env_spec" in metadata:
        message = (
            "The dataset describes the environment that it came from. The description was not executed; "
            f"{DONE.lower()} To evaluate in it, name it: --env ID."
        )
        found.append(Finding(id="environment-not-run", severity="info", count=1, message=message))
    total = metadata.get("total_episodes", episodes)
    if type(total) is not int:
        raise FormatError(
            f"{folder / METADATA}: total_episodes must be a whole number, found {total!r:.40}. "
            "Export the dataset again."
        )
    if total != episodes:
        message = (
            f"{METADATA} counts {total:,} episodes, the file holds {episodes:,}: the dataset was cut short, "
            "or joined by hand. What is there is used. Export the dataset again, or correct the count."
        )
        found.append(
            Finding(id="episodes-differ", severity="warning", count=abs(total - episodes), message=message)
        )
    return tuple(found)

"""Minari datasets, read from their own files; the library is not needed and nothing in them is executed.

A stored environment specification is text here: it is neither parsed, nor imported, nor made.
Layout: https://minari.farama.org/content/dataset_standards (one group per episode, observations T + 1).
"""

import re
from pathlib import Path
from typing import Any, cast

import numpy as np

from suture import spaces
from suture.data.findings import Finding
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
    observation_space, start = _declared(metadata, "observation_space", folder)
    action_space, start = _declared(metadata, "action_space", folder)
    _refuse_jpeg(metadata, observation_space, path)
    with Hdf5(member(folder, DATA)) as file:
        columns, episodes = _episodes(file, source)
    if start:
        columns["action"] = np.where(columns["final_state"], 0, columns["action"] - start)
    findings = (_environment(),) if "env_spec" in metadata else ()
    return Log(
        source=source, layout="Minari", **columns, episode=episodes,
        observation_space=observation_space, action_space=action_space, findings=findings,
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
    joined = {name: _join(values) for name, values in parts.items()}
    joined["final_state"] = np.zeros(sum(lengths), bool)
    joined["final_state"][np.cumsum(lengths) - 1] = True
    return joined, np.repeat(numbers, lengths)


def _episode(file: Hdf5, name: str, source: str) -> tuple[int, dict[str, Any]]:
    observation, action = file.tree(f"{name}/observations"), file.tree(f"{name}/actions")
    if isinstance(action, dict):
        raise FormatError(f"{source}: actions are {sorted(action)}, expected one array. Flatten the actions.")
    rows = len(action) if action.ndim else 0
    columns: dict[str, Any] = {"observation": observation, "action": _padded(action)}
    for stored, column in FLAGS.items():
        columns[column] = _padded(cast(Array, file.tree(f"{name}/{stored}")))
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


def _join(values: list[Tree]) -> Tree:
    return spaces.map_arrays(lambda *arrays: np.concatenate(arrays), *values)


def _declared(metadata: dict[str, Any], name: str, folder: Path) -> tuple[Space | None, int]:
    """A declared space (None where it has no counterpart here), and the number of its first choice."""
    text, where = metadata.get(name), f"{folder / METADATA}, {name}"
    if text is None:
        return None, 0
    if not isinstance(text, str):
        raise FormatError(f"{where} must be a text, found {type(text).__name__}.")
    values = object_of(parse_json(text.encode(), where, finite_only=False), where)
    try:
        return _space(values), int(values.get("start", 0)) if values.get("type") == "Discrete" else 0
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"{where} is not readable: {error!r}.") from error


def _space(values: dict[str, Any]) -> Space | None:
    if values["type"] == "Discrete":
        return spaces.Discrete(int(values["n"]))
    if values["type"] == "Dict":
        inner = {str(name): _space(space) for name, space in values["subspaces"].items()}
        known = {name: space for name, space in inner.items() if space is not None}
        return spaces.Dict.of(known) if len(known) == len(inner) else None
    if values["type"] != "Box":
        return None
    low, high = (np.asarray(values[bound], np.float64).ravel() for bound in ("low", "high"))
    bounded = bool(np.isfinite(low).all() and np.isfinite(high).all())
    box = {"type": "box", "shape": values["shape"], "dtype": values["dtype"]}
    limits = {"low": low.tolist() if bounded else None, "high": high.tolist() if bounded else None}
    return spaces.from_json({**box, **limits})


def _refuse_jpeg(metadata: dict[str, Any], space: Space | None, path: Path) -> None:
    """Minari stores large images as JPEG unless told otherwise; decoding those is left to it."""
    leaves = spaces.leaves_of(space) if space is not None else {}
    for name, leaf in leaves.items():
        image = isinstance(leaf, spaces.Box) and leaf.dtype == "uint8" and len(leaf.shape) in (2, 3)
        if (
            image
            and min(cast(spaces.Box, leaf).shape[:2]) >= IMAGE_SIDE
            and metadata.get("jpeg_encoding", True)
        ):
            raise FormatError(
                f"{path} keeps the images {name or 'of its observations'} as JPEG, which is not read. "
                "Write the dataset again with jpeg_encoding=False."
            )


def _environment() -> Finding:
    return Finding(
        id="environment-not-run", severity="info", count=1,
        message="The dataset describes the environment that it came from. The description was not executed.",
    )  # fmt: skip

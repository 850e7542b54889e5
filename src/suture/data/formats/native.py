"""Our own store: a folder of safetensors shards and a manifest, memory-mapped, appendable.

    NAME/manifest.json           what the dataset is; rows, bytes and SHA-256 of every shard; its own SHA-256
    NAME/shard-000000.safetensors    every settled column of whole episodes

The manifest is written last and replaced as a whole, so that an append that was cut short leaves the
dataset as it was. A store of one shard opens as views of the file and costs no memory; several shards are
joined on opening, which costs one copy. A shard holds about `SHARD_BYTES`.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.findings import Finding, option, share
from suture.data.fingerprints import hash_episodes
from suture.errors import FormatError
from suture.spaces import Array
from suture.storage import atomic, tensors
from suture.storage.lock import Lock
from suture.storage.manifest import digest, entry_of, kind_of, member, object_of, read_json, verify

FORMAT = 1
KIND = "suture-dataset"
MANIFEST = "manifest.json"
SHARD_BYTES = 1 << 30
MAX_MANIFEST = 64 << 20
FLAGS = ("terminated", "truncated", "has_next")


def is_store(path: Path) -> bool:
    """Whether `path` is a folder that `write` made. Raises `FormatError` where its manifest is damaged."""
    return kind_of(path, max_bytes=MAX_MANIFEST) == KIND


def write(
    dataset: Dataset, out: Path, *, beside: Mapping[str, bytes] | None = None, shard_bytes: int = SHARD_BYTES
) -> None:
    """Write a dataset as a new folder, whole or not at all. Raises `StorageError` where `out` exists.

    beside: further files of the folder, by name.
    """
    shards: list[dict[str, Any]] = []
    files: dict[str, atomic.Content] = {
        _shard_name(number): _writer(part, _shard_name(number), shards)
        for number, part in enumerate(_parts(dataset, shard_bytes))
    }

    def manifest(file: BinaryIO) -> None:
        file.write(_encode(_describe(dataset, shards)))

    atomic.make_folder(out.absolute().parent)
    atomic.write_folder(out, {**files, **(beside or {}), MANIFEST: manifest}, point="dataset")


def append(
    dataset: Dataset, out: Path, *, drop_duplicates: bool = False, shard_bytes: int = SHARD_BYTES
) -> int:
    """Add a dataset's episodes to a store, with the same spaces and columns, whole or not at all.

    Episodes that the store holds already are refused (`FormatError`), or left out with `drop_duplicates`.
    Returns how many were added.
    """
    with Lock(out / "lock"):
        atomic.sweep_temporary(out)
        stored = _manifest(out)
        shards = _shards_of(stored, out)
        described = _describe(dataset, [])
        for name in ("observation_space", "action_space", "arrays", "columns", "names"):
            if described[name] != stored.get(name, {}):
                raise FormatError(
                    f"{out} cannot take the episodes of {dataset.source}: its {name.replace('_', ' ')} is "
                    f"{stored.get(name)!s:.200}, theirs "
                    f"{described[name]!s:.200}. Write them to a store of their own."
                )
        held = _held(dataset, out, stored, shards, shard_bytes)
        if held.any() and not drop_duplicates:
            raise FormatError(_held_already(dataset, out, int(held.sum())))
        dataset = dataset.take_episodes(np.flatnonzero(~held)) if held.any() else dataset
        if not dataset.episodes:
            return 0
        for part in _parts(dataset, shard_bytes):
            number = 1 + max((int(shard["file"][6:12]) for shard in shards), default=-1)
            shards.append(write_shard(part, out, number, point="append"))
        merged = {**stored, "shards": shards, "findings": stored["findings"] + _appended(dataset)}
        atomic.write_file(out / MANIFEST, _encode(merged), point="append.manifest")
        return dataset.episodes


def write_shard(part: Dataset, out: Path, number: int, *, point: str) -> dict[str, Any]:
    """Write whole episodes as a shard of a folder; returns its entry, by which `seal` makes it count.

    point: prefix of the crash points.
    """
    name, data = _shard_name(number), tensors.save(_arrays(part))
    atomic.write_file(out / name, data, point=point)
    return _entry(part, name, data)


def seal(part: Dataset, out: Path, shards: list[dict[str, Any]]) -> None:
    """Make a folder the store of these shards, and of no others.   part: any of its episodes."""
    atomic.write_file(out / MANIFEST, _encode(_describe(part, shards)), point="seal")


def _held(
    dataset: Dataset, out: Path, stored: dict[str, Any], shards: list[dict[str, Any]], shard_bytes: int
) -> Array:
    """Which episodes of a dataset a store holds already, by their fingerprints, (E,).

    Where every episode is one decision (a bandit log), equal ones are no sign of a copy: there a shard
    counts as held where all its rows are, in their order.
    """
    kept = (_dataset(out, stored, _open_shard(out, shard, stored)) for shard in shards)
    if dataset.episodes == len(dataset):
        there = np.concatenate([hash_episodes(_as_one(part)) for part in kept])
        parts = [(part, hash_episodes(_as_one(part))) for part in _parts(dataset, shard_bytes)]
        return np.concatenate([np.full(part.episodes, np.isin(hashes, there)[0]) for part, hashes in parts])
    hashes = [hash_episodes(_decoded(part)) for part in _parts(dataset, shard_bytes)]
    return np.isin(np.concatenate(hashes), np.concatenate([hash_episodes(part) for part in kept]))


def _decoded(part: Dataset) -> Dataset:
    """With images as arrays, whose hashes can be compared with those of stored arrays."""
    trees = {name: getattr(part, name) for name in ("observation", "next_observation")}
    return dataclasses.replace(part, **{k: spaces.map_arrays(np.asarray, v) for k, v in trees.items()})


def _as_one(part: Dataset) -> Dataset:
    """All rows as one episode."""
    return dataclasses.replace(part, episode_start=np.array([0, len(part)]))


def _held_already(dataset: Dataset, out: Path, count: int) -> str:
    return (
        f"{out} holds {share(count, dataset.episodes)} episodes of {dataset.source} already, equal in every "
        f"observation, action and reward; nothing was appended. Pass {option('drop_duplicates', True)} to "
        "append the others alone, as often as you like, or name another folder."
    )


def open(path: Path, *, skip_bad: bool = False) -> Dataset:
    """The dataset in a store, memory-mapped and read-only.

    Every shard's size and SHA-256 are compared with the manifest, whatever its size: half a second for each
    10**9 bytes (2.1 GB/s on one core with SHA instructions).
    skip_bad: leave bad shards out, with a finding that names them, instead of refusing the store.
    """
    manifest = _manifest(path)
    shards = _shards_of(manifest, path)
    good: list[dict[str, Array]] = []
    reasons: list[str] = []
    lost = 0
    for shard in shards:
        bad: list[str] = []
        try:
            tensors.require_header(member(path, shard["file"]))
            bad = verify(path, {shard["file"]: shard})
            if not bad:
                good.append(_open_shard(path, shard, manifest))
        except FormatError as error:
            bad = [str(error)]
        reasons += bad
        lost += shard["rows"] if bad else 0
    listed = "".join(f"\n  {reason}" for reason in reasons)
    if reasons and not (skip_bad and good):
        advice = (
            f"Restore it from its source, or leave the bad shards out: {option('skip_bad', True)}."
            if good
            else "Nothing of it is whole."
        )
        raise FormatError(f"{path} is damaged. {advice}{listed}")
    dataset = _dataset(path, manifest, _joined(good))
    if not reasons:
        return dataset
    skipped = Finding(
        id="shards-skipped", severity="warning", count=lost,
        message=f"{len(reasons)} of {len(shards)} shards were left out, {lost:,} transitions. Restore them "
        f"from a copy, or convert the source again:{listed}",
    )  # fmt: skip
    return dataclasses.replace(dataset, findings=(*dataset.findings, skipped))


def _shard_name(number: int) -> str:
    return f"shard-{number:06d}.safetensors"


def _encode(manifest: Mapping[str, Any]) -> bytes:
    return (json.dumps({**manifest, "sha256": digest(manifest)}, indent=1, allow_nan=False) + "\n").encode()


def _parts(dataset: Dataset, shard_bytes: int) -> Iterator[Dataset]:
    """The dataset in parts of whole episodes, each of about `shard_bytes`, as views."""
    total = sum(array.nbytes for _, array in dataset.arrays())
    rows = max(1, int(shard_bytes * len(dataset) / max(total, 1)))
    start = dataset.episode_start
    first = 0
    while first < dataset.episodes:
        last = max(first + 1, int(np.searchsorted(start, start[first] + rows, side="right")) - 1)
        yield _slice(dataset, first, last)
        first = last


def _slice(dataset: Dataset, first: int, last: int) -> Dataset:
    begin, end = (int(dataset.episode_start[episode]) for episode in (first, last))

    def cut(tree: Any) -> Any:
        return None if tree is None else spaces.map_arrays(lambda array: array[begin:end], tree)

    rows = {
        name: cut(getattr(dataset, name))
        for name in (
            "observation", "action", "reward", "next_observation", *FLAGS, "propensity",
            "action_probabilities",
        )
    }  # fmt: skip
    columns = {name: column[begin:end] for name, column in dataset.columns.items()}
    offsets = dataset.episode_start[first : last + 1] - begin
    return dataclasses.replace(dataset, **rows, columns=columns, episode_start=offsets)


def _writer(part: Dataset, name: str, shards: list[dict[str, Any]]) -> Callable[[BinaryIO], None]:
    def writer(file: BinaryIO) -> None:
        data = tensors.save(_arrays(part))
        file.write(data)
        shards.append(_entry(part, name, data))

    return writer


def _entry(part: Dataset, name: str, data: bytes) -> dict[str, Any]:
    return {"file": name, "rows": len(part), "episodes": part.episodes, **entry_of(data)}


def _arrays(dataset: Dataset) -> dict[str, Array]:
    """Every array of a shard, by name; extra columns as what safetensors can hold."""
    arrays = dict(dataset.arrays())
    for name, column in dataset.columns.items():
        if column.dtype.kind == "M":
            column = column.astype("datetime64[us]").view(np.int64)
        elif column.dtype.kind == "U":
            text = np.char.encode(column, "utf-8")
            width = max(1, text.dtype.itemsize)
            column = text.astype(f"S{width}").view(np.uint8).reshape(len(text), width)
        arrays[f"columns/{name}"] = column
    return arrays


def _describe(dataset: Dataset, shards: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "kind": KIND, "format": FORMAT, "source": dataset.source, "layout": dataset.layout,
        "observation_space": spaces.to_json(dataset.observation_space),
        "action_space": spaces.to_json(dataset.action_space),
        "arrays": sorted(name for name, _ in dataset.arrays()),
        "columns": {name: column.dtype.kind for name, column in sorted(dataset.columns.items())},
        "names": {path: list(columns) for path, columns in dataset.names.items()}, "schema": dataset.schema,
        "findings": [finding.to_json() for finding in dataset.findings],
        "shards": shards,
    }  # fmt: skip


def _appended(dataset: Dataset) -> list[dict[str, Any]]:
    """Findings of appended episodes; their row numbers count within what was appended and are left out."""
    return [
        {
            **finding.to_json(),
            "rows": [],
            "message": f"In what was appended from {dataset.source}: {finding.message}",
        }
        for finding in dataset.findings
    ]


def _manifest(path: Path) -> dict[str, Any]:
    where = path / MANIFEST
    manifest = object_of(read_json(member(path, MANIFEST), max_bytes=MAX_MANIFEST), str(where))
    if manifest.get("kind") != KIND:
        raise FormatError(f"{where} does not describe a dataset of Suture.")
    if manifest.get("format") != FORMAT:
        raise FormatError(
            f"{where} has format {manifest.get('format')!r:.20}, this version of Suture reads {FORMAT}. "
            "Upgrade Suture, or convert the source again."
        )
    if manifest.pop("sha256", None) not in (None, digest(manifest)):  # None: stores of before it was kept
        raise FormatError(
            f"{where} is corrupted: its SHA-256 is not the one in it. Convert the source again."
        )
    kinds = {"arrays": list, "columns": dict, "findings": list, "shards": list}
    for name, kind in kinds.items():
        if not isinstance(manifest.get(name), kind):
            raise FormatError(f"{where}: {name!r} is damaged or absent. Convert the source again.")
    return manifest


def _shards_of(manifest: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    where = f"{path / MANIFEST}, shards"
    shards = [object_of(shard, where) for shard in manifest["shards"]]
    for number, shard in enumerate(shards):
        counts = (shard.get("rows"), shard.get("bytes"))
        named = isinstance(shard.get("file"), str) and shard["file"][6:12].isdecimal()
        if not named or any(type(count) is not int or count < 0 for count in counts):
            raise FormatError(f"{where}: entry {number} is damaged: {shard!r:.200}")
    if not shards:
        raise FormatError(f"{where}: there are none.")
    return shards


def _open_shard(path: Path, shard: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Array]:
    """The arrays of one shard, their names and lengths compared with the manifest."""
    arrays, where = tensors.open_tensors(path / shard["file"]), path / shard["file"]
    expected = {*manifest["arrays"], *(f"columns/{name}" for name in manifest["columns"])}
    if set(arrays) != expected:
        raise FormatError(
            f"{where} holds other arrays than its manifest says: {sorted(set(arrays) ^ expected)}."
        )
    start = arrays["episode_start"]
    for name, array in arrays.items():
        if array.ndim == 0 or (name != "episode_start" and len(array) != shard["rows"]):
            raise FormatError(f"{where}: {name!r} has shape {array.shape}, expected {shard['rows']:,} rows.")
    if (
        start.ndim != 1
        or len(start) < 2
        or start[0] != 0
        or start[-1] != shard["rows"]
        or (np.diff(start) < 1).any()
    ):
        raise FormatError(f"{where}: the offsets of its episodes are not those of {shard['rows']:,} rows.")
    return arrays


def _joined(shards: list[dict[str, Array]]) -> dict[str, Array]:
    if len(shards) == 1:
        return shards[0]
    rows = np.cumsum([0, *(int(shard["episode_start"][-1]) for shard in shards)])
    parts = [shard["episode_start"][:-1] + offset for shard, offset in zip(shards, rows, strict=False)]
    joined = {
        name: _stacked([shard[name] for shard in shards]) for name in shards[0] if name != "episode_start"
    }
    return {**joined, "episode_start": np.concatenate([*parts, rows[-1:]])}


def _stacked(arrays: list[Array]) -> Array:
    """Concatenated rows; texts of different widths are padded to the widest."""
    if arrays[0].dtype == np.uint8 and len({array.shape[1:] for array in arrays}) > 1:
        width = max(array.shape[1] for array in arrays)
        arrays = [np.pad(array, ((0, 0), (0, width - array.shape[1]))) for array in arrays]
    return np.concatenate(arrays)


def _dataset(path: Path, manifest: dict[str, Any], arrays: dict[str, Array]) -> Dataset:
    kinds = {f"columns/{name}": kind for name, kind in manifest["columns"].items()}
    trees: dict[str, Any] = {"reward": None}
    trees |= spaces.tree_of({name: array for name, array in arrays.items() if name not in kinds}, str(path))
    try:
        columns = {name.partition("/")[2]: _column(arrays[name], kind) for name, kind in kinds.items()}
        return Dataset(
            **trees, columns=columns, source=str(manifest["source"]), layout=str(manifest["layout"]),
            observation_space=spaces.from_json(manifest["observation_space"]),
            action_space=spaces.from_json(manifest["action_space"]),
            names={name: tuple(map(str, listed)) for name, listed in manifest.get("names", {}).items()},
            schema=manifest.get("schema"),
            findings=tuple(
                dataclasses.replace(Finding(**finding), rows=tuple(finding["rows"]))
                for finding in manifest["findings"]
            ),
        )  # fmt: skip
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path / MANIFEST} is damaged: {error}. Convert the source again.") from error


def _column(array: Array, kind: str) -> Array:
    if kind == "M":
        return array.view("datetime64[us]")
    if kind == "U":
        return np.char.decode(array.view(f"S{array.shape[1]}")[:, 0], "utf-8")
    return array

"""Checkpoints: whole and verified, or not there.

`checkpoints/step-000000004000/` holds `state.safetensors` (arrays by their path in the state) and
`manifest.json` (format, what the state belongs to, size and SHA-256 of each file and of itself). Nothing
in it depends on the time or the machine, so equal runs leave equal bytes.
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from suture.errors import CheckpointCorrupt, FormatError, RunMismatch, StorageError
from suture.storage import atomic, manifest, tensors
from suture.training.program import State

FORMAT = 1
PREFIX = "step-"
NAME = re.compile(rf"{PREFIX}[0-9]{{12,}}")
MARKED = "best.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity:
    """What a state belongs to: it can only be loaded into the same."""

    algorithm: str
    members: int
    spec: str

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A loaded checkpoint.   skipped: why newer ones were passed over."""

    step: int
    state: State
    failures: tuple[dict[str, Any], ...]
    skipped: tuple[str, ...]


def folder_of(folder: Path, step: int) -> Path:
    """The folder of the checkpoint after `step` updates."""
    return folder / f"{PREFIX}{step:012d}"


def steps_in(folder: Path) -> list[int]:
    """The steps of the checkpoints in a folder, ascending: by name alone, never by time."""
    names = (entry.name for entry in folder.iterdir()) if folder.is_dir() else ()
    return sorted(int(name.removeprefix(PREFIX)) for name in names if NAME.fullmatch(name))


def _named(state: State) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in leaves}


def save(
    folder: Path, step: int, state: State, identity: Identity, failures: tuple[dict[str, Any], ...] = ()
) -> None:
    """Write the checkpoint after `step` updates, or nothing (`StorageError`). One that exists is kept."""
    target = folder_of(folder, step)
    if target.exists():
        return
    data = tensors.save({name: np.asarray(leaf) for name, leaf in _named(state).items()})
    header = {
        "format": FORMAT,
        **identity.to_json(),
        "step": step,
        "failures": list(failures),
        "files": {"state.safetensors": manifest.entry_of(data)},
    }
    text = json.dumps(header | {"sha256": manifest.digest(header)}, indent=1, sort_keys=True).encode()
    files = {"state.safetensors": data, "manifest.json": text}
    atomic.write_folder(target, files, point="checkpoint")


def mark(folder: Path, steps: Sequence[int], of: str) -> None:
    """Keep the checkpoints of these steps, the best known, from `retain`; earlier marks are replaced.

    of: where they were found to be the best.
    """
    text = json.dumps({"steps": sorted(set(steps)), "of": of}, indent=1) + "\n"
    atomic.write_file(folder / MARKED, text.encode(), point="json")


def marked(folder: Path) -> list[int]:
    """The steps that are marked as the best known. Raises `StorageError` where the mark cannot be read."""
    path = folder / MARKED
    if not path.is_file():
        return []
    try:
        steps = manifest.object_of(manifest.read_json(path), str(path))["steps"]
        return [int(step) for step in steps]
    except (FormatError, KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f"{path}, which names the best checkpoints, cannot be read ({error}). Remove it, or write it "
            "anew by suture evaluate --compare."
        ) from error


def retain(folder: Path, keep: int) -> None:
    """Remove the oldest checkpoints beyond the newest `keep`, but those that are marked as the best known."""
    best = marked(folder)
    for step in steps_in(folder)[:-keep]:
        if step not in best:
            atomic.remove_folder(folder_of(folder, step))


def weights(folder: Path, step: int) -> dict[str, Any]:
    """Step and SHA-256 of the state of one checkpoint, by its manifest."""
    path = folder_of(folder, step) / "manifest.json"
    header = manifest.object_of(manifest.read_json(path), str(path))
    return {"step": step, "sha256": header["files"]["state.safetensors"]["sha256"]}


def load_newest(folder: Path, template: State, identity: Identity) -> Checkpoint | None:
    """The newest whole checkpoint, or None where there is none at all.

    template: a state of the expected structure (shapes and dtypes are all that is used).
    Raises `RunMismatch` for a state of something else, `CheckpointCorrupt` where none is whole.
    """
    skipped: list[str] = []
    for step in reversed(steps_in(folder)):
        try:
            state, failures = _load(folder_of(folder, step), step, template, identity)
        except FormatError as error:
            skipped.append(f"{folder_of(folder, step).name}: {error}")
        else:
            return Checkpoint(step=step, state=state, failures=failures, skipped=tuple(skipped))
    if skipped:
        listed = "\n".join(f"  {reason}" for reason in skipped)
        raise CheckpointCorrupt(
            f"No checkpoint in {folder} is whole:\n{listed}\n"
            "Restore one from a copy, or train anew into another folder."
        )
    return None


def load(folder: Path, step: int, template: State, identity: Identity) -> Checkpoint:
    """The checkpoint of one step. Raises `RunMismatch` or `FormatError` where it cannot be used."""
    state, failures = _load(folder_of(folder, step), step, template, identity)
    return Checkpoint(step=step, state=state, failures=failures, skipped=())


def _load(path: Path, step: int, template: State, identity: Identity) -> tuple[State, tuple[Any, ...]]:
    header = manifest.object_of(
        manifest.read_json(manifest.member(path, "manifest.json")), f"{path} manifest"
    )
    if header.pop("sha256", None) != manifest.digest(header):
        raise FormatError("manifest.json is corrupted: its SHA-256 is not the one in it.")
    if header.get("format") != FORMAT:
        raise RunMismatch(
            f"{path} has checkpoint format {header.get('format')!r}; this version reads format {FORMAT}. "
            "Use the version of Suture that wrote it."
        )
    for name, expected in identity.to_json().items():
        if header.get(name) != expected:
            raise RunMismatch(f"{path} belongs to {name} {header.get(name)!r}, expected {expected!r}.")
    reasons = manifest.verify(path, manifest.object_of(header.get("files"), f"{path} manifest, files"))
    if header.get("step") != step:
        reasons.append(f"its manifest is for step {header.get('step')!r}.")
    if "state.safetensors" not in header["files"]:
        reasons.append("its manifest does not list state.safetensors.")
    if reasons:
        raise FormatError(" ".join(reasons))
    arrays = tensors.open_tensors(manifest.member(path, "state.safetensors"))
    return _restore(arrays, template, path), tuple(header.get("failures", ()))


def fitted(state: State, template: State, source: Path) -> State:
    """A copy of a state in the structure of another run's, whose static parts (schedules) may differ.

    Raises `RunMismatch` where its arrays are others.   source: the run that it is of.
    """
    return _restore(_named(state), template, source)


def _restore(arrays: dict[str, Any], template: State, path: Path) -> State:
    expected = _named(template)
    if arrays.keys() != expected.keys():
        odd = sorted(arrays.keys() ^ expected.keys())[:3]
        raise RunMismatch(f"{path} holds other arrays than this run's state, such as {', '.join(odd)}.")
    for name, leaf in expected.items():
        if (arrays[name].shape, arrays[name].dtype) != (leaf.shape, leaf.dtype):
            raise RunMismatch(
                f"{path}, array {name}: {arrays[name].dtype}{list(arrays[name].shape)}, "
                f"expected {leaf.dtype}{list(leaf.shape)}."
            )
    structure = jax.tree.structure(template)
    return jax.tree.unflatten(structure, [jnp.array(arrays[name]) for name in expected])

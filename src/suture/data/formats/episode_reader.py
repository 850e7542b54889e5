"""A store of episodes with images as a dataset, whose images are read by Grain when a row is asked for.

Opening reads no image, so that a store may be larger than the memory.
"""

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.findings import Finding, option
from suture.data.formats import array_record
from suture.data.formats.episode_layout import Layout, at, texts
from suture.data.formats.episode_store import (
    Logged,
    Shard,
    frames_name,
    joined,
    log_name,
    read_log,
    read_manifest,
    read_steps,
)
from suture.data.frames import Frames
from suture.errors import FormatError
from suture.spaces import Array
from suture.storage.manifest import verify

AT_ONCE = 256
"""Pictures that a thread reads and decodes in one go."""


def open(path: Path, *, skip_bad: bool = False) -> Dataset:
    """The dataset in a store; episodes come in the order of their seeds, whenever they were recorded.

    Every file's size and SHA-256 are compared with the manifest, and pictures once more when they are read.
    skip_bad: leave bad shards out, with a finding that names them, instead of refusing the store.
    """
    layout, shards, logged = _told(path)
    tables, files = list[dict[str, Array]](), dict[Path, int]()
    reasons, lost = list[str](), 0
    for number, shard in enumerate(shards):
        try:
            tables.append(_shard(path, number, shard, layout))
            files[path / frames_name(number)] = _pictures(shard, layout)
        except FormatError as error:
            reasons.append(str(error))
            lost += shard.rows
    reasons += logged.damaged
    tables += [steps.table for steps in logged.episodes]
    if reasons and not (skip_bad and tables):
        listed = "".join(f"\n  {reason}" for reason in reasons)
        advice = "Nothing of it is whole."
        if tables:
            advice = f"Restore it from its source, or leave the bad parts out: {option('skip_bad', True)}."
        raise FormatError(f"{path} is damaged. {advice}{listed}")
    if not tables:
        raise FormatError(f"{path} holds no episodes yet. Record some first.")
    findings = _findings(path, len(shards), reasons, lost, logged.torn)
    records = _Records(path / log_name(len(shards)), files, logged)
    return _dataset(path, layout, joined(layout, tables), records, findings)


def _told(path: Path) -> tuple[Layout, list[Shard], Logged]:
    """The manifest and the log that goes with it: a writer may seal the log in between."""
    while True:
        layout, shards = read_manifest(path)
        logged = read_log(path, len(shards), layout)
        if read_manifest(path)[1] == shards:
            return layout, shards, logged


def _pictures(shard: Shard, layout: Layout) -> int:
    return (shard.rows + shard.episodes) * len(layout.images)


def _shard(path: Path, number: int, shard: Shard, layout: Layout) -> dict[str, Array]:
    """The table of steps of a shard, all of which is whole. `FormatError` where it is not."""
    frames = frames_name(number)
    if bad := verify(path, {frames: shard.frames}):
        raise FormatError(bad[0])
    array_record.check(path / frames, _pictures(shard, layout), layout.most_bytes)
    return read_steps(path, number, shard, layout)


def _findings(path: Path, log: int, reasons: list[str], lost: int, torn: int) -> tuple[Finding, ...]:
    found = list[Finding]()
    if reasons:
        listed = "".join(f"\n  {reason}" for reason in reasons)
        message = (
            f"Parts were left out, {lost:,} transitions in sealed shards. Restore them from a copy, or "
            f"record them anew:{listed}"
        )
        found.append(Finding(id="shards-skipped", severity="warning", count=lost, message=message))
    if torn:
        message = (
            f"{path / log_name(log)} ends with {torn:,} bytes of an episode that was not written to its end. "
            "It was never acknowledged, and is left out. Record it anew if you want it; else nothing need be "
            "done."
        )
        found.append(Finding(id="torn-end", severity="info", count=1, message=message))
    return tuple(found)


def _dataset(
    path: Path, layout: Layout, table: dict[str, Array], records: "_Records", findings: tuple[Finding, ...]
) -> Dataset:
    begins = table["step"] == 0
    seeds, rows = table["seed"][begins], len(begins)
    if len(np.unique(seeds)) < len(seeds):
        raise FormatError(f"{path} is damaged: an episode stands in two of its shards. Record it anew.")
    frame = np.arange(rows) + np.cumsum(begins) - 1  # an episode has one more picture than steps
    named = dict[str, Any]()
    for leaf in spaces.leaves_of(layout.observation_space):
        now, after = (table[at(name, leaf)] for name in ("observation", "next_observation"))
        if leaf in layout.images:
            hashes = np.zeros(rows + len(seeds), np.uint64)
            hashes[frame], hashes[frame + 1] = now, after
            stored = _Pictures(layout, leaf, records, hashes)
            now, after = Frames(stored, frame), Frames(stored, frame + 1)
        named |= {at("observation", leaf): now, at("next_observation", leaf): after}
    data = Dataset(
        **spaces.tree_of(named, str(path)), action=table["action"], reward=table["reward"],
        terminated=table["terminated"], truncated=table["truncated"],
        has_next=np.ones(rows, np.bool_), episode_start=np.append(np.flatnonzero(begins), rows),
        observation_space=layout.observation_space, action_space=layout.action_space,
        source=str(path), layout="episodes", findings=findings,
        columns={"seed": table["seed"], **_columns(layout, table)},
    )  # fmt: skip
    order = np.argsort(seeds)
    return data if (np.diff(order) == 1).all() else data.take_episodes(order)


def _columns(layout: Layout, table: dict[str, Array]) -> dict[str, Array]:
    found = {name: table[f"columns/{name}"] for name in layout.columns}
    for name, kind in layout.columns.items():
        if kind == "text":
            found[name] = texts(found[name])
    return found


class _Records:
    """The encoded pictures of a store by their number: those of its shards, then those of its log."""

    def __init__(self, log: Path, files: dict[Path, int], logged: Logged):
        self._log, self._files, self.sealed = log, files, sum(files.values())
        self._tail = [picture for steps in logged.episodes for picture in steps.pictures]

    @functools.cached_property
    def source(self) -> array_record.Source:
        """Opened when the first picture is read: Grain takes its time to load."""
        return array_record.Source(list(self._files), list(self._files.values()))

    def read(self, numbers: Array) -> list[bytes]:
        """The records of ascending or unordered numbers."""
        inside = numbers < self.sealed
        found = iter(self.source.read(numbers[inside].tolist()) if inside.any() else [])
        return [
            next(found) if sealed else self._tail[number - self.sealed].tobytes()
            for number, sealed in zip(numbers.tolist(), inside.tolist(), strict=True)
        ]

    def path_of(self, number: int) -> Path:
        """The file of a record."""
        return self.source.path_of(number) if number < self.sealed else self._log


class _Pictures:
    """The images of one leaf of the observations (`frames.Pictures`)."""

    def __init__(self, layout: Layout, leaf: str, records: _Records, hashes: Array):
        self.shape, self.hashes = layout.images[leaf].shape, hashes
        self._codec, self._records = layout.codec, records
        self._leaf, self._leaves = list(layout.images).index(leaf), len(layout.images)

    def read(self, index: Array, out: Array) -> None:
        """In blocks, by as many threads as there are cores."""

        def block(start: int) -> None:
            numbers = index[start : start + AT_ONCE] * self._leaves + self._leaf
            for place, content in enumerate(self._records.read(numbers), start):
                try:
                    out[place] = self._codec.decode(content, self.shape)
                except FormatError as error:
                    where = self._records.path_of(int(numbers[place - start]))
                    raise type(error)(f"{where}: of a picture, {error}. Restore the file.") from error

        starts = range(0, len(index), AT_ONCE)
        if len(starts) < 2:
            for start in starts:
                block(start)
            return
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for _ in pool.map(block, starts):
                pass

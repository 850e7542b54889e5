"""The writer of a store of episodes with images: an episode counts as soon as `append` returns.

Episodes go to an append log. When there are enough of them they are sealed: their pictures become an
ArrayRecord file, their steps a Parquet file, and then the manifest is replaced, which makes the shard count
and the log void. Wherever it is killed, only an episode that was not acknowledged is lost.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from suture.data.formats import array_record
from suture.data.formats.episode_layout import Episode, Layout, Steps
from suture.data.formats.episode_store import (
    MANIFEST,
    Shard,
    frames_name,
    joined,
    log_name,
    read_log,
    read_manifest,
    read_steps,
    steps_name,
    write_manifest,
    write_steps,
)
from suture.errors import FormatError, StorageError
from suture.storage import atomic, records
from suture.storage.lock import Lock
from suture.storage.manifest import manifest_of

SHARD_EPISODES, SHARD_BYTES = 1024, 1 << 30


class Writer:
    """Write episodes to a folder, which is made, or gone on with where it is a store of the same layout.

        with Writer(path, layout) as writer:
            for seed in range(1000):
                if seed not in writer:
                    writer.append(play(seed))

    shard_episodes, shard_bytes: the log is sealed when it has so many episodes, or bytes.
    skip_bad: leave what is damaged in the log out, instead of refusing to go on.
    Leaving the block seals the rest; an exception leaves it in the log, where it is safe as well. One process
    writes at a time (`RunLocked`).
    """

    def __init__(
        self, path: Path | str, layout: Layout, *, shard_episodes: int = SHARD_EPISODES,
        shard_bytes: int = SHARD_BYTES, skip_bad: bool = False,
    ):  # fmt: skip
        self.path, self.layout = Path(path), layout
        self._limits, self._skip_bad = (shard_episodes, shard_bytes), skip_bad
        self._shards, self._seeds, self._logged = list[Shard](), set[int](), set[int]()
        self._end, self._known = 0, True

    def __enter__(self) -> "Writer":
        atomic.make_folder(self.path.absolute())
        self._lock = Lock(self.path / "lock").__enter__()
        try:
            self._open()
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.seal()
        finally:
            self._lock.__exit__(kind, error, trace)

    def __contains__(self, seed: int) -> bool:
        """Whether the episode of a seed is stored."""
        return seed in self._seeds

    def __len__(self) -> int:
        """Episodes that are stored."""
        return len(self._seeds)

    def append(self, *episodes: Episode | bytes) -> int:
        """Store episodes, or what `Layout.pack` made of them; they are on the disk when this returns.

        Those whose seed is stored already are left out. Returns how many were not.
        Raises `DataRefused` for an episode that does not fit the layout (`FormatError` for such bytes),
        before any is written, and `StorageError`; what was stored before is stored still.
        """
        self._require_known()
        packed = [one if isinstance(one, bytes) else self.layout.pack(one) for one in episodes]
        seeds = [_seed(self.layout.unpack(np.frombuffer(one, np.uint8), "an episode")) for one in packed]
        new = {seed: one for seed, one in zip(seeds, packed, strict=True) if seed not in self._seeds}
        if not new:
            return 0
        log = self.path / log_name(len(self._shards))
        atomic.crash_point("episode.before_append")
        records.append(log, list(new.values()))
        atomic.crash_point("episode.after_append")
        self._seeds |= new.keys()
        self._logged, self._end = self._logged | new.keys(), log.stat().st_size
        if len(self._logged) >= self._limits[0] or self._end >= self._limits[1]:
            self.seal()
        return len(new)

    def seal(self) -> None:
        """Turn the log into a shard. Raises `StorageError`; then the episodes are stored still."""
        self._require_known()
        number = len(self._shards)
        episodes = read_log(self.path, number, self.layout).episodes
        seeds = {_seed(one) for one in episodes}  # also of an append that failed when all was written
        if lost := self._logged - seeds:
            raise FormatError(
                f"{self.path / log_name(number)} was damaged since it was written: {len(lost):,} of "
                f"{len(self._logged):,} episodes cannot be read. Restore it, or open the store with "
                "skip_bad=True and record them anew."
            )
        if not episodes:
            return
        self._seeds |= seeds
        table, steps, frames = (
            joined(self.layout, [one.table for one in episodes]), steps_name(number), frames_name(number)
        )  # fmt: skip
        pictures = sum(len(one.pictures) for one in episodes)
        atomic.make_file(
            self.path / frames,
            lambda place: array_record.write(place, _contents(episodes)),
            point="seal.frames",
        )
        array_record.check(self.path / frames, pictures, self.layout.most_bytes)
        atomic.write_file(self.path / steps, write_steps(self.layout, table), point="seal.steps")
        stored = manifest_of(self.path, [steps, frames])
        shard = Shard(len(episodes), len(table["seed"]), stored[steps], stored[frames])
        self._publish([*self._shards, shard], point="seal.manifest")

    def _publish(self, shards: list[Shard], *, point: str) -> None:
        """Make the store these shards and an empty log. Where that fails, nothing more is written."""
        self._known = False
        atomic.write_file(self.path / MANIFEST, write_manifest(self.layout, shards), point=point)
        self._shards = shards
        self._begin()
        self._known = True

    def _require_known(self) -> None:
        """Refuse to go on where the disk failed so late that either manifest may stand."""
        if not self._known:
            raise StorageError(
                f"{self.path}: sealing a shard failed at its very end. All episodes are stored; to record "
                "more, leave this writer and open it anew."
            )

    def _begin(self) -> None:
        """An empty log for the next shard; those of the sealed ones are void."""
        atomic.write_file(self.path / log_name(len(self._shards)), b"", point="log")
        self._logged, self._end = set[int](), 0
        for log in self.path.glob("log-*"):
            if log.name < log_name(len(self._shards)):
                log.unlink(missing_ok=True)

    def _open(self) -> None:
        atomic.sweep_temporary(self.path)
        if not (self.path / MANIFEST).exists():
            others = sorted(entry.name for entry in self.path.iterdir() if entry.name != "lock")
            if others:
                raise FormatError(f"{self.path} holds other files ({others[0]}). Name a new folder.")
            self._publish([], point="store")
            return
        found, self._shards = read_manifest(self.path)
        if found != self.layout:
            ours, theirs = self.layout.to_json(), found.to_json()
            odd = [f"{name} {theirs[name]!s:.200}, now {ours[name]!s:.200}" for name in ours
                   if ours[name] != theirs[name]]  # fmt: skip
            raise FormatError(
                f"{self.path} was begun with another layout: {'; '.join(odd)}. Name a new folder."
            )
        for number, shard in enumerate(self._shards):
            self._seeds |= set(read_steps(self.path, number, shard, self.layout)["seed"].tolist())
        log = self.path / log_name(len(self._shards))
        if not log.exists():
            self._begin()
        logged = read_log(self.path, len(self._shards), self.layout)
        if logged.damaged and not self._skip_bad:
            listed = "".join(f"\n  {reason}" for reason in logged.damaged)
            raise FormatError(
                f"{self.path} is damaged. Restore it, or record what is lost anew: skip_bad=True.{listed}"
            )
        if logged.torn:
            os.truncate(log, logged.end)
        self._logged, self._end = {_seed(episode) for episode in logged.episodes}, logged.end
        self._seeds |= self._logged


def _contents(episodes: Sequence[Steps]) -> Iterator[bytes]:
    return (picture.tobytes() for episode in episodes for picture in episode.pictures)


def _seed(steps: Steps) -> int:
    return int(steps.table["seed"][0])

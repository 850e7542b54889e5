"""A store of episodes with images: how fast it is written and read, and what the original's size would need.

    python benchmarks/image_store.py [--quick] [--episodes N] [--json FILE]

Episodes are generated: smooth random pictures that move (those of 472 pixels with a camera's noise, so that
they are as large as JPEGs of one). Writing is packing, appending with fsync and sealing; reading is random
transitions, two pictures each, through Grain. On a shared machine the wall clock says little: `CPU ms` is
what one episode, or one transition, costs a core. Training is `suture train` on a store that its
--memory-limit does not hold, broken off, resumed, and compared with a run that was not.
"""

import dataclasses
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from _bench import Options, Row, show, write_rows

import suture
from suture.data.dataset import Dataset
from suture.data.formats.episode_layout import Episode, Layout
from suture.data.formats.episode_writer import Writer
from suture.data.formats.pictures import Codec
from suture.spaces import Array, Box, Dict

GRASPS = 580_000
"""Episodes that QT-Opt was trained on offline (arXiv:1806.10293)."""
COARSE, NOISE = 9, 3.0
CPU_MS = 0.2
"""What a transition may cost: 10,000 of them a second on two cores."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Writing, reading and training from a store of episodes with images."""

    episodes: int = 20_000
    """With pictures of 64 pixels; 400 with --quick."""
    large: int = 300
    """With JPEGs of 472 pixels; 40 with --quick."""
    steps: int = 60
    """Updates of the run that is trained from the store; 20 with --quick."""
    memory_limit: str = "400MB"
    """Of that run; 20MB with --quick."""


def layout_of(pixels: int, codec: Any) -> Layout:
    space = Dict.of({"hand": Box((3,)), "image": Box((pixels, pixels, 3), "uint8")})
    actions = Box((8,), low=(-1.0,) * 8, high=(1.0,) * 8)
    return Layout(observation_space=space, action_space=actions, codec=Codec(codec))


def pictures(rng: np.random.Generator, count: int, pixels: int) -> Array:
    """A smooth random picture that moves, (count, pixels, pixels, 3)."""
    colours = rng.uniform(0, 255, (COARSE, COARSE, 3)).astype(np.float32)
    place = np.linspace(0, COARSE - 1.001, pixels)
    cell, share = place.astype(int), (place % 1).astype(np.float32)[:, None, None]
    rows = colours[cell] * (1 - share) + colours[cell + 1] * share
    share = share.reshape(1, pixels, 1)
    picture = rows[:, cell] * (1 - share) + rows[:, cell + 1] * share
    if pixels > 128:
        picture += rng.normal(0, NOISE, picture.shape).astype(np.float32)
    picture = picture.clip(0, 255).astype(np.uint8)
    return np.stack([np.roll(picture, (3 * step, 2 * step), (0, 1)) for step in range(count)])


def episode(seed: int, pixels: int) -> Episode:
    """The episode of a seed, of 6 to 10 steps."""
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(6, 11))
    seen = {"hand": rng.random((steps + 1, 3)), "image": pictures(rng, steps + 1, pixels)}
    return Episode(
        seed=seed, observation=seen, action=rng.uniform(-1, 1, (steps, 8)),
        reward=np.eye(steps)[-1] * (seed % 2), terminated=True, truncated=False,
    )  # fmt: skip


def packed(seeds: range, layout: Layout) -> tuple[list[bytes], float]:
    """Episodes as records, and the CPU seconds of packing them (not of generating them)."""
    pixels, used, records = layout.images["image"].shape[0], 0.0, list[bytes]()
    for seed in seeds:
        one, began = episode(seed, pixels), time.process_time()
        records.append(layout.pack(one))
        used += time.process_time() - began
    return records, used


def made(count: int, layout: Layout, at_once: int = 20) -> Iterator[tuple[list[bytes], float]]:
    """All episodes, packed by as many processes as there are cores; few are ahead of the writer."""
    jobs: list[range | None] = [range(at, min(at + at_once, count)) for at in range(0, count, at_once)]
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(packed, job, layout) for job in jobs[: 2 * cores] if job]
        for job in [*jobs[2 * cores :], *([None] * len(waiting))]:
            yield waiting.pop(0).result()
            if job is not None:
                waiting.append(pool.submit(packed, job, layout))


def write(path: Path, count: int, layout: Layout) -> tuple[Row, float]:
    """One row: writing a store. Also the bytes that an episode takes."""
    used = elapsed = 0.0
    with Writer(path, layout) as writer:
        for records, cpu in made(count, layout):
            began, began_cpu = time.perf_counter(), time.process_time()
            writer.append(*records)
            elapsed += time.perf_counter() - began
            used += cpu + time.process_time() - began_cpu
        began, began_cpu = time.perf_counter(), time.process_time()
        writer.seal()
        elapsed += time.perf_counter() - began
        used += time.process_time() - began_cpu
    size = sum(file.stat().st_size for file in path.iterdir()) / count
    details = {"CPU_ms": f"{1e3 * used / count:.2f}", "of": "episode", "KB_an_episode": f"{size / 1e3:,.1f}"}
    return Row(method="write", ours=count / elapsed, details=details), size


def opened(path: Path) -> tuple[Dataset, Row]:
    """One row: opening a store, every byte of it compared with its checksum."""
    began, began_cpu = time.perf_counter(), time.process_time()
    data = suture.load(path)
    elapsed, used = time.perf_counter() - began, time.process_time() - began_cpu
    details = {"CPU_ms": f"{1e3 * used / data.episodes:.3f}", "of": "episode"}
    return data, Row(method="open, all checked", ours=data.episodes / elapsed, details=details)


def images_of(data: Dataset) -> list[Any]:
    """The pictures before and after each step, unread."""
    trees: list[Any] = [data.observation, data.next_observation]
    return [tree["image"] for tree in trees]


def read(data: Dataset, transitions: int, at_once: int = 1024) -> Row:
    """One row: random transitions, both of their pictures decoded."""
    rng, done = np.random.default_rng(0), 0
    np.asarray(images_of(data)[0][:1])  # loads Grain
    began, began_cpu = time.perf_counter(), time.process_time()
    while done < transitions:
        rows = rng.integers(len(data), size=min(at_once, transitions))
        for images in images_of(data):
            np.asarray(images[rows])
        done += len(rows)
    elapsed, used = time.perf_counter() - began, time.process_time() - began_cpu
    details = {"CPU_ms": f"{1e3 * used / done:.3f}", "of": "transition"}
    return Row(method="read at random", ours=done / elapsed, details=details)


def train(store: Path, out: Path, settings: Settings, *, kill: bool = False) -> None:
    """Train on a store under the memory limit, in a process of its own, which goes on where one was killed.

    kill: as soon as there is a checkpoint.
    """
    command = [
        sys.executable, "-m", "suture", "train", "iql", str(store), "--out", str(out), "--hidden", "32",
        "--steps", str(settings.steps), "--checkpoint-every", "10", "--log-every", "10", "--batch-size", "64",
        "--memory-limit", settings.memory_limit, "--resume",
    ]  # fmt: skip
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while kill and child.poll() is None and not list((out / "checkpoints").glob("step-*")):
        time.sleep(0.01)
    if kill:
        child.kill()
    said = child.communicate()[1]
    if child.returncode != (-signal.SIGKILL if kill else 0) or "streaming it" not in said:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}, unexpectedly:\n{said}")


def trained(data: Dataset, store: Path, folder: Path, settings: Settings) -> tuple[Row, list[str]]:
    """One row: a run from the store. Also what it held, and whether a killed and resumed run is equal."""
    began = time.perf_counter()
    train(store, folder / "whole", settings)
    elapsed = time.perf_counter() - began
    memory = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    train(store, folder / "killed", settings, kill=True)
    train(store, folder / "killed", settings)
    states = [
        max((folder / run / "checkpoints").glob("step-*")).joinpath("state.safetensors").read_bytes()
        for run in ("whole", "killed")
    ]
    size = sum(images.nbytes for images in images_of(data))
    equal = "the same, bit for bit" if states[0] == states[1] else "NOT the same"
    said = [
        f"Trained from {size / 1e9:.2f} GB of pictures under a limit of {settings.memory_limit}: no process "
        f"held more than {memory / 1e9:.2f} GB, JAX and the compilation of the program included.",
        f"A run that was killed after its first checkpoint, and resumed, ended with {equal}.",
    ]
    details = {"of": "update"}
    row = Row(method="train, from start to end", ours=settings.steps / elapsed, details=details)
    return row, said


def needs(data: Dataset, rows: list[Row], size: float) -> list[str]:
    """What the original's episodes need in this format, by what was measured."""
    steps = len(data) / data.episodes
    columns = sum(array.nbytes for name, array in data.arrays() if "image" not in name)
    kept = columns / len(data) + 4 * 8  # a place and a hash of the pictures before and after each step
    writing, opening, reading = (float(row.details["CPU_ms"]) for row in rows)
    return [
        f"{GRASPS:,} such episodes ({GRASPS * steps / 1e6:.1f} million transitions) need "
        f"{GRASPS * size / 1e12:.2f} TB of disk, {GRASPS * steps * kept / 1e9:.1f} GB of memory when open.",
        f"They take {GRASPS * writing / 3.6e6:.1f} core-hours to write and {GRASPS * opening / 6e4:.0f} "
        f"core-minutes to check when opened; a core reads {1e3 / reading:,.0f} transitions a second.",
    ]


def main(settings: Settings) -> None:
    """Measure and print."""
    if settings.quick:
        settings = dataclasses.replace(settings, episodes=400, large=40, steps=20, memory_limit="20MB")
    told = list[Row]()
    with tempfile.TemporaryDirectory(prefix="suture-store-") as name:
        for pixels, codec, count in ((64, "png", settings.episodes), (472, "jpeg", settings.large)):
            written, size = write(Path(name) / codec, count, layout_of(pixels, codec))
            data, opening = opened(Path(name) / codec)
            rows = [written, opening, read(data, 2 * count)]
            if codec == "png":
                row, notes = trained(data, Path(name) / codec, Path(name), settings)
                rows.append(row)
                notes.append(f"Goal: {CPU_MS} CPU ms a transition, which is 10,000 a second on two cores.")
            else:
                notes = needs(data, rows, size)
            show(f"{count:,} episodes of {pixels}-pixel pictures, {codec}", "1/s", rows, notes)
            told += [dataclasses.replace(row, details={**row.details, "pixels": pixels}) for row in rows]
    write_rows(settings.json, told)


if __name__ == "__main__":
    main(tyro.cli(Settings))

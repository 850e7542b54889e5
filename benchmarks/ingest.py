"""How fast does each reader turn a file into a settled dataset, and in how much memory?

    python benchmarks/ingest.py [--quick] [--rows N] [--csv-rows N] [--json FILE]

Files are made on the fly, in a temporary folder: 17 observations, 6 actions, episodes of 1,000 steps. Ours is
`suture.load`: reading, guarding, the gate with all findings, one float32 dataset. The peer is the format's
own library reading the same file into arrays with no check at all: what a reader can reach at best.

The second table reads one large CSV in a process of its own and states the most memory that process held; the
benchmark fails where it leaves the bound (`--bytes-per-row`, and 100 MB for libraries and buffers).
"""

import dataclasses
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars
import tyro
from _bench import Options, Row, alternate, show, write_rows
from safetensors.numpy import load_file

import suture
from suture.data.formats import native
from suture.errors import SchemaNeeded

OBSERVATIONS, ACTIONS, LENGTH = 17, 6, 1000
NARROW_OBSERVATIONS, NARROW_ACTIONS = 4, 1
LIBRARIES = 100e6
"""Bytes that the reader's libraries and buffers hold, however long the file."""
Columns = dict[str, np.ndarray[Any, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ingest(Options):
    """Rows a second of every reader, and the memory that a large CSV takes."""

    rows: int = 1_000_000
    """Rows of each format's file; at most 100,000 with --quick."""
    csv_rows: int = 10_000_000
    """Rows of the large CSV (4 observations, 1 action); at most 500,000 with --quick."""
    bytes_per_row: float = 200.0
    """Memory bound of the large CSV, beside LIBRARIES and above what an idle process holds."""


def columns_of(rows: int, observations: int = OBSERVATIONS, actions: int = ACTIONS, seed: int = 0) -> Columns:
    """A random walk in D4RL's columns, every episode cut by the time limit."""
    generator = np.random.default_rng(seed)
    observation = generator.standard_normal((rows, observations), np.float32)
    last = np.arange(rows) % LENGTH == LENGTH - 1
    last[-1] = True
    following = np.concatenate([observation[1:], observation[-1:]])
    following[last] += 0.1
    return {
        "observations": observation,
        "actions": generator.uniform(-1, 1, (rows, actions)).astype(np.float32),
        "rewards": generator.standard_normal(rows, np.float32),
        "next_observations": following,
        "terminals": np.zeros(rows, bool),
        "timeouts": last,
    }


def table_of(columns: Columns, first_row: int = 0) -> polars.DataFrame:
    """The same log as a table with plain column names."""
    row = first_row + np.arange(len(columns["rewards"]))
    named = {"episode_id": row // LENGTH, "step": row % LENGTH}
    for name, prefix in (("observations", "obs"), ("actions", "action")):
        named |= {f"{prefix}_{i}": column for i, column in enumerate(columns[name].T)}
    return polars.DataFrame({**named, "reward": columns["rewards"], "truncated": columns["timeouts"]})


def write_minari(columns: Columns, folder: Path) -> Path:
    """A Minari dataset of the same episodes (each with one observation more than actions)."""
    import gymnasium
    import minari

    buffers = [
        minari.data_collector.EpisodeBuffer(
            observations=np.concatenate(
                [columns["observations"][one], columns["next_observations"][one][-1:]]
            ),
            actions=columns["actions"][one],
            rewards=columns["rewards"][one],
            terminations=columns["terminals"][one],
            truncations=columns["timeouts"][one],
        )
        for one in (slice(at, at + LENGTH) for at in range(0, len(columns["rewards"]), LENGTH))
    ]
    path = folder / "minari"
    path.mkdir()
    storage = minari.dataset.minari_storage.MinariStorage.new(
        path / "data",
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATIONS,), np.float32),
        action_space=gymnasium.spaces.Box(-1, 1, (ACTIONS,), np.float32),
        env_spec=None,
        data_format="hdf5",
    )
    storage.update_episodes(buffers)
    storage.update_metadata({"dataset_id": "ingest/walk-v0", "minari_version": minari.__version__})
    return path


def write_files(columns: Columns, folder: Path) -> dict[str, Path]:
    """The same log in every format. name -> path."""
    paths = {name: folder / f"log.{name}" for name in ("hdf5", "npz", "csv", "parquet")}
    with h5py.File(paths["hdf5"], "w") as file:
        for name, column in columns.items():
            file[name] = column
    np.savez(paths["npz"], allow_pickle=False, **columns)
    table_of(columns).write_csv(paths["csv"])
    table_of(columns).write_parquet(paths["parquet"])
    paths["minari"] = write_minari(columns, folder)
    paths["native"] = folder / "native"
    native.write(suture.load(paths["hdf5"]), paths["native"])
    return paths


def schema_for(path: Path) -> Path | None:
    """The schema that Suture proposes for a table, saved; None for a file that needs none."""
    if path.suffix not in (".csv", ".parquet"):
        return None
    schema = path.with_suffix(path.suffix + ".schema.json")
    try:
        suture.load(path)
    except SchemaNeeded as needed:
        schema.write_text(json.dumps(needed.proposal), encoding="utf-8")
    return schema


def touch(arrays: dict[str, Any]) -> None:
    """Read every element, so that a memory map is not a mere promise."""
    for array in arrays.values():
        np.max(array)


def read_ours(path: Path, schema: Path | None) -> Any:
    dataset = suture.load(path) if schema is None else suture.load(path, schema=schema)
    touch(dict(dataset.arrays()))
    return dataset


def read_hdf5(path: Path) -> None:
    with h5py.File(path) as file:
        touch({name: file[name][()] for name in file})


def read_npz(path: Path) -> None:
    with np.load(path, allow_pickle=False) as file:
        touch(dict(file))


def read_table(path: Path) -> None:
    frame = polars.read_csv(path) if path.suffix == ".csv" else polars.read_parquet(path)
    touch({"table": frame.select(polars.all().cast(polars.Float32)).to_numpy()})


def read_minari(path: Path) -> None:
    import minari

    for episode in minari.MinariDataset(path / "data").iterate_episodes():
        touch({"observations": episode.observations, "actions": episode.actions})


def read_native(path: Path) -> None:
    for shard in sorted(path.glob("*.safetensors")):
        touch(load_file(shard))


PEERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "hdf5": ("h5py", read_hdf5),
    "npz": ("numpy", read_npz),
    "csv": ("polars", read_table),
    "parquet": ("polars", read_table),
    "minari": ("minari", read_minari),
    "native": ("safetensors", read_native),
}


def measure_readers(rows: int, rounds: int, folder: Path) -> list[Row]:
    """One line per format: ours beside the format's own library."""
    results: list[Row] = []
    for name, path in write_files(columns_of(rows), folder).items():
        library, read = PEERS[name]
        schema = schema_for(path)

        def rate(work: Callable[[], Any]) -> float:
            began = time.perf_counter()
            work()
            return rows / (time.perf_counter() - began)

        contestants = {
            "ours": lambda path=path, schema=schema: rate(lambda: read_ours(path, schema)),
            "peer": lambda path=path, read=read: rate(lambda: read(path)),
        }
        results.append(Row.of(name, alternate(contestants, rounds=rounds), rows=f"{rows:,}", library=library))
    return results


def write_large_csv(path: Path, rows: int, block: int = 500_000) -> None:
    """A CSV of any length, written in blocks."""
    with path.open("wb") as file:
        for start in range(0, rows, block):
            columns = columns_of(min(block, rows - start), NARROW_OBSERVATIONS, NARROW_ACTIONS, seed=start)
            table_of(columns, start).write_csv(file, include_header=start == 0)


def peak_bytes() -> int:
    """The most memory that this process has held.

    On Linux from /proc: getrusage starts from what the parent held when it made this process.
    """
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def read_in_this_process(path: Path, schema: Path) -> None:
    """What the child does: print the rows, seconds and memory of one load as JSON."""
    idle, began = peak_bytes(), time.perf_counter()
    dataset = suture.load(path, schema=schema)
    seconds = time.perf_counter() - began
    print(json.dumps({"rows": len(dataset), "seconds": seconds, "bytes": peak_bytes() - idle}))


def measure_large_csv(rows: int, bytes_per_row: float, folder: Path) -> Row:
    """One line: a large CSV read in a process of its own, with its peak memory."""
    path, small = folder / "large.csv", folder / "small.csv"
    write_large_csv(path, rows)
    write_large_csv(small, 2 * LENGTH)
    schema = schema_for(small)
    child = subprocess.run(
        [sys.executable, __file__, "--read", str(path), str(schema)],
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(child.stdout.splitlines()[-1])
    if found["rows"] != rows:
        raise SystemExit(f"The large CSV has {rows:,} rows, and {found['rows']:,} were read.")
    used = max(0.0, found["bytes"] - LIBRARIES) / rows
    return Row(
        method=f"csv, {rows:,} rows",
        ours=rows / found["seconds"],
        details={
            "file_MB": round(path.stat().st_size / 1e6),
            "peak_MB": round(found["bytes"] / 1e6),
            "bytes_per_row": round(used),
            "bound": round(bytes_per_row),
            "within": "yes" if used <= bytes_per_row else "NO",
        },
    )


def main(options: Ingest) -> None:
    """Measure, print, and fail where the large CSV leaves its memory bound."""
    rows, large = options.rows, options.csv_rows
    if options.quick:
        rows, large = min(rows, 100_000), min(large, 500_000)
    with tempfile.TemporaryDirectory(prefix="suture-ingest-") as name:
        readers = measure_readers(rows, 3 if options.quick else 5, Path(name))
    show(
        "Readers: file to settled dataset, beside the format's own library without any check",
        "rows/s",
        readers,
    )
    with tempfile.TemporaryDirectory(prefix="suture-ingest-") as name:
        memory = measure_large_csv(large, options.bytes_per_row, Path(name))
    show("A large CSV in a process of its own", "rows/s", [memory])
    write_rows(options.json, [*readers, memory])
    if memory.details["within"] != "yes":
        raise SystemExit("The large CSV took more memory than its bound.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        read_in_this_process(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main(tyro.cli(Ingest, description=__doc__))

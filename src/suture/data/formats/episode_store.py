"""A store of episodes with images: a folder that grows episode by episode, and is read row by row.

    NAME/manifest.json               layout; of each sealed shard its counts and SHA-256; its own SHA-256
    NAME/steps-000000.parquet        all that is not an image, one row a step
    NAME/frames-000000.array_record  each episode's pictures in turn: before every step, and after the last
    NAME/log-000001                  the episodes since the last shard was sealed, as they came

Files are named by the number of their shard, never by what a manifest says. `episode_writer` writes a store,
`episode_reader` opens it as a dataset.
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl

from suture.data.formats import tabular
from suture.data.formats.episode_layout import FORMAT, KIND, TEXT_BYTES, Layout, Steps, texts
from suture.errors import FormatError
from suture.spaces import Array
from suture.storage import records
from suture.storage.manifest import Entry, digest, member, object_of, read_json, verify

MANIFEST = "manifest.json"
MAX_MANIFEST = 64 << 20


class Shard(NamedTuple):
    """What the manifest says of a sealed shard."""

    episodes: int
    rows: int
    steps: Entry
    frames: Entry


class Logged(NamedTuple):
    """The whole episodes of an append log, the bytes up to the end of the last one, and those after it."""

    episodes: list[Steps]
    end: int
    torn: int
    damaged: list[str]


def steps_name(number: int) -> str:
    """The file of a shard's steps."""
    return f"steps-{number:06d}.parquet"


def frames_name(number: int) -> str:
    """The file of a shard's pictures."""
    return f"frames-{number:06d}.array_record"


def log_name(number: int) -> str:
    """The append log of the episodes that will be a shard."""
    return f"log-{number:06d}"


def write_manifest(layout: Layout, shards: Sequence[Shard]) -> bytes:
    """The content of `manifest.json`."""
    listed = [shard._asdict() for shard in shards]
    values = {"kind": KIND, "format": FORMAT, **layout.to_json(), "shards": listed}
    return (json.dumps({**values, "sha256": digest(values)}, indent=1, allow_nan=False) + "\n").encode()


def read_manifest(path: Path) -> tuple[Layout, list[Shard]]:
    """The layout and the sealed shards of a store."""
    where = str(path / MANIFEST)
    manifest = object_of(read_json(member(path, MANIFEST), max_bytes=MAX_MANIFEST), where)
    if manifest.get("kind") != KIND or manifest.get("format") != FORMAT:
        raise FormatError(
            f"{where} is of kind {manifest.get('kind')!r:.40}, format {manifest.get('format')!r:.20}; this "
            f"version of Suture reads {KIND!r}, format {FORMAT}. Upgrade Suture, or record the episodes anew."
        )
    if manifest.pop("sha256", None) != digest(manifest):
        raise FormatError(f"{where} is corrupted: its SHA-256 is not the one in it. Restore it from a copy.")
    shards, listed = list[Shard](), manifest.get("shards")
    if not isinstance(listed, list):
        raise FormatError(f"{where}: 'shards' is damaged or absent. Restore it from a copy.")
    for number, values in enumerate(cast("list[Any]", listed)):
        shard = object_of(values, f"{where}, shard {number}")
        counts = [shard.get("episodes"), shard.get("rows")]
        if shard.keys() != set(Shard._fields) or any(type(n) is not int or n < 1 for n in counts):
            raise FormatError(f"{where}: shard {number} is damaged: {shard!r:.200}")
        shards.append(Shard(**shard))
    return Layout.from_json(manifest, where), shards


def write_steps(layout: Layout, table: Mapping[str, Array]) -> bytes:
    """The Parquet file of a table of steps: a column for each number, and each text."""
    columns, content = dict[str, Any](), io.BytesIO()
    for name, place, element in layout.wide:
        array = table[place]
        if layout.table[place].text:
            columns[name] = texts(array).tolist()
        else:
            columns[name] = np.ascontiguousarray(array.reshape(len(array), -1)[:, element])
    pl.DataFrame(columns).write_parquet(content)
    return content.getvalue()


def read_steps(path: Path, number: int, shard: Shard, layout: Layout) -> dict[str, Array]:
    """The table of steps of a shard, compared with its layout. `FormatError` where it is damaged."""
    where = path / steps_name(number)
    if bad := verify(path, {where.name: shard.steps}):
        raise FormatError(bad[0])
    table = dict[str, Array]()
    try:
        frame = tabular.scan(where)[0].collect()
        if frame.columns != [name for name, _, _ in layout.wide]:
            raise FormatError(f"{where} holds other columns than the store's layout.")
        for place, column in layout.table.items():
            names = [name for name, its, _ in layout.wide if its == place]
            flat = np.stack([_plain(frame[name], text=column.text) for name in names], axis=1)
            table[place] = flat.reshape(len(flat), *column.shape)
    except (pl.exceptions.PolarsError, ValueError, TypeError) as error:
        raise FormatError(f"{where} is damaged: {str(error).splitlines()[0]:.200}.") from error
    layout.require(table, str(where))
    found = (len(table["seed"]), int((table["step"] == 0).sum()))
    if found != (shard.rows, shard.episodes):
        raise FormatError(
            f"{where} holds {found[0]:,} rows of {found[1]:,} episodes, its manifest says {shard.rows:,} of "
            f"{shard.episodes:,}."
        )
    return table


def read_log(path: Path, number: int, layout: Layout) -> Logged:
    """The episodes of the append log, each once; none where there is no log."""
    where = member(path, log_name(number))
    if not where.exists():
        return Logged([], 0, 0, [])
    found, episodes = records.read(where), dict[int, Steps]()
    for record in found.records:
        steps = layout.unpack(record, str(where))
        episodes.setdefault(int(steps.table["seed"][0]), steps)
    return Logged(list(episodes.values()), found.end, found.torn, found.damaged)


def joined(layout: Layout, tables: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Tables of steps, one after the other."""
    return {name: np.concatenate([table[name] for table in tables]) for name in layout.table}


def _plain(series: pl.Series, *, text: bool) -> Array:
    """A column as numbers, (rows,), or as bytes of text, (rows, TEXT_BYTES)."""
    if series.null_count():
        raise ValueError(f"column {series.name!r} has empty cells")
    if not text:
        return series.to_numpy()
    if series.dtype != pl.String or (series.str.len_bytes().max() or 0) > TEXT_BYTES:  # type: ignore[operator]
        raise ValueError(f"column {series.name!r} holds no short texts")
    encoded = np.array([value.encode() for value in series.to_list()], f"S{TEXT_BYTES}")
    return encoded.view(np.uint8).reshape(-1, TEXT_BYTES)

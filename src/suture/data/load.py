"""From a path to a dataset: read, settled by the gate, admitted."""

import dataclasses
from pathlib import Path

from suture.data.build import build, examine
from suture.data.dataset import Dataset
from suture.data.formats import native, read
from suture.data.formats.episode_layout import KIND
from suture.data.formats.schema import Schema
from suture.data.log import Reading
from suture.errors import FormatError
from suture.storage.manifest import kind_of

READING = Reading()


def load(
    path: str | Path,
    *,
    schema: str | Path | Schema | None = None,
    reading: Reading = READING,
    admit: bool = True,
) -> Dataset:
    """The dataset in a file, a Minari folder, or a folder that `suture convert` or `suture make` wrote.

    schema: what the columns of a CSV or Parquet file mean, or the file that says so.
    reading: what you know about the log where its evidence is ambiguous or absent.
    admit: refuse what makes training wrong (`DataRefused`); False hands out the dataset with its findings.
    A folder that Suture wrote is compared with its checksums, every byte of it. It was settled when it was
    written, so that of `reading` only `skip_bad` may be given. A converted one is memory-mapped; of episodes
    with images the images stay where they are until they are asked for.
    """
    path = Path(path)
    kind = kind_of(path, max_bytes=native.MAX_MANIFEST)
    if kind in (native.KIND, KIND):
        if dataclasses.replace(reading, skip_bad=False) != READING:
            raise FormatError(f"{path} was settled when it was written; write it again from its source.")
        opened = _open(path, kind, skip_bad=reading.skip_bad)
        data = dataclasses.replace(opened, source=str(path))
    elif reading.skip_bad:
        raise FormatError(f"{path} has no shards to leave out; skip_bad is for folders that Suture wrote.")
    else:
        schema = Path(schema) if isinstance(schema, str) else schema
        data = build(read.read(path, schema=schema), reading)
    return data.admit() if admit else data


def _open(path: Path, kind: str, *, skip_bad: bool) -> Dataset:
    """A folder that Suture wrote. What was found in a converted one is stored with it."""
    if kind == native.KIND:
        return native.open(path, skip_bad=skip_bad)
    from suture.data.formats import episode_reader  # slow to import, as the readers of `read` are

    data = episode_reader.open(path, skip_bad=skip_bad)
    return examine(data, READING, list(data.findings))

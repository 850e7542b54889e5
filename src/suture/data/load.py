"""From a path to a dataset: read, settled by the gate, admitted."""

import dataclasses
from pathlib import Path

from suture.data.build import build
from suture.data.dataset import Dataset
from suture.data.formats import native, read
from suture.data.formats.schema import Schema
from suture.data.log import Reading
from suture.errors import FormatError

READING = Reading()


def load(
    path: str | Path,
    *,
    schema: str | Path | Schema | None = None,
    reading: Reading = READING,
    admit: bool = True,
) -> Dataset:
    """The dataset in a file, a Minari folder, or a folder that `suture convert` wrote.

    schema: what the columns of a CSV or Parquet file mean, or the file that says so.
    reading: what you know about the log where its evidence is ambiguous or absent.
    admit: refuse what makes training wrong (`DataRefused`); False hands out the dataset with its findings.
    A converted folder is memory-mapped, and every byte of it is compared with its checksum. It was settled
    when it was written, so that of `reading` only `skip_bad` may be given.
    """
    path = Path(path)
    if native.is_store(path):
        if dataclasses.replace(reading, skip_bad=False) != READING:
            raise FormatError(
                f"{path} was settled when it was converted; convert the source again to reread it."
            )
        data = native.open(path, skip_bad=reading.skip_bad)
    elif reading.skip_bad:
        raise FormatError(
            f"{path} has no shards to leave out; skip_bad is for folders that `suture convert` wrote."
        )
    else:
        schema = Path(schema) if isinstance(schema, str) else schema
        data = build(read.read(path, schema=schema), reading)
    return data.admit() if admit else data

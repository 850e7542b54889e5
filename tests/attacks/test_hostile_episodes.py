"""ArrayRecord and Parquet files of a store that ask for more than they hold, or are not what was written."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from making.episodes import PICTURES, record

import suture
from suture.data.formats import array_record
from suture.data.formats.episode_store import frames_name, steps_name
from suture.errors import FormatError, HostileFile
from suture.storage import manifest

RECORDS = [bytes([n]) * (40 * n) for n in range(60)]
MOST = 40 * 59


def written(path: Path, records: list[bytes] = RECORDS, options: str = array_record.OPTIONS) -> Path:
    writer = ArrayRecordWriter(str(path), options)
    for one in records:
        writer.write(one)
    writer.close()
    return path


def test_honest_files_pass_and_are_read(tmp_path: Path) -> None:
    """Of any size: records that span blocks, none of any bytes, several files one after the other."""
    sizes = ([0, 1, 40], [65536, 3, 200_000, 65447], [700] * 400)
    rng, paths, contents = np.random.default_rng(0), list[Path](), list[bytes]()
    for number, lengths in enumerate(sizes):
        records = [rng.bytes(length) for length in lengths]
        array_record.write(tmp_path / str(number), records)
        array_record.check(tmp_path / str(number), len(records), max(lengths))
        paths.append(tmp_path / str(number))
        contents += records
    source = array_record.Source(paths, [len(lengths) for lengths in sizes])
    order = rng.permutation(len(contents)).tolist()
    assert source.read(order) == [contents[place] for place in order]
    assert [source.path_of(place).name for place in (0, 2, 3, 6, 7)] == ["0", "0", "1", "1", "2"]


@pytest.mark.parametrize("options", ["group_size:1", "group_size:1,zstd:3", "group_size:7,uncompressed"])
def test_d21_compressed_and_grouped_records_are_refused_unread(tmp_path: Path, options: str) -> None:
    with pytest.raises(HostileFile, match="not as Suture writes it"):
        array_record.check(written(tmp_path / "f", options=options), len(RECORDS), MOST)


def test_d21_other_counts_and_larger_records_are_refused_unread(tmp_path: Path) -> None:
    path = written(tmp_path / "f")
    array_record.check(path, len(RECORDS), MOST)
    for count, most in ((len(RECORDS) + 1, MOST), (len(RECORDS) - 1, MOST), (len(RECORDS), MOST // 2)):
        with pytest.raises(HostileFile):
            array_record.check(path, count, most)


def test_d21_a_record_that_holds_a_bomb_is_no_way_in(tmp_path: Path) -> None:
    """A compressed chunk hidden in the bytes of an honest record: the index must not lead there."""
    bomb = written(tmp_path / "bomb", [bytes(200_000)], "group_size:1,zstd:3").read_bytes()[64:1000]
    records = [*RECORDS, b"x" * 30 + bomb]
    path = written(tmp_path / "f", records)
    content = bytearray(path.read_bytes())
    array_record.check(path, len(records), MOST)
    first, hidden = content.index(RECORDS[59]) - 45, content.index(bomb[:60])
    place = index_entry(content, first)
    content[place : place + 3] = varint(hidden)
    path.write_bytes(content)
    with pytest.raises(HostileFile, match="is compressed"):
        array_record.check(path, len(records), MOST)


def test_d21_a_chunk_that_says_it_is_compressed_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "f")
    content = bytearray(path.read_bytes())
    place = content.index(RECORDS[59]) - 4  # before the record: no compression, then its size in three bytes
    assert content[place] == 0
    content[place] = ord("z")
    path.write_bytes(content)
    with pytest.raises(HostileFile, match="is compressed"):
        array_record.check(path, len(RECORDS), MOST)


def test_d21_an_index_that_a_library_would_divide_otherwise_is_refused(tmp_path: Path) -> None:
    """Two entries of different lengths change their sizes: the entries are the same bytes, end to end."""
    path = written(tmp_path / "f")
    content = bytearray(path.read_bytes())
    first = content.index(b"group_size") - 10 - len(RECORDS)  # after the sizes: the record of the options
    last = first + len(RECORDS) - 1
    assert content[first] < content[last] < 16
    content[first], content[last] = content[last], content[first]
    path.write_bytes(content)
    with pytest.raises(HostileFile, match="of another form"):
        array_record.check(path, len(RECORDS), MOST)


def varint(number: int) -> bytes:
    """As three bytes of seven bits, the lowest first."""
    assert 1 << 14 <= number < 1 << 21
    return bytes([number & 127 | 128, number >> 7 & 127 | 128, number >> 14])


def index_entry(content: bytearray, near: int) -> int:
    """Where in the index the place of a chunk stands that begins at most 10 bytes before `near`."""
    for place in range(near - 10, near + 10):
        if (found := content.find(b"\x08" + varint(place) + b"\x10")) >= 0:
            return found + 1
    raise AssertionError("no entry of the index leads there")


@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 16, 3 << 16, (1 << 17) - 1])
def test_d17_cut_and_empty_files_are_refused(tmp_path: Path, size: int) -> None:
    path = written(tmp_path / "f", [bytes(3000)] * 100)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(HostileFile, match="cut off"):
        array_record.check(path, 100, 3000)


def test_d18_any_flipped_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    """Of the index and of the file's end: whatever still passes has the records where they were."""
    path = written(tmp_path / "f")
    whole = path.read_bytes()
    start = whole.index(b"group_size") - 80
    refused = 0
    for place in [*range(start, start + 600, 11), *range(len(whole) - (1 << 16), len(whole) - 65300, 11)]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            array_record.check(path, len(RECORDS), MOST)
        except HostileFile:
            refused += 1
    assert refused > 30


def resealed(store: Path, name: str) -> None:
    """Give a changed file of the first shard a checksum that fits."""
    path = store / "manifest.json"
    values = json.loads(path.read_text())
    kind = "steps" if name.startswith("steps") else "frames"
    values["shards"][0][kind] = manifest.manifest_of(store, [name])[name]
    del values["sha256"]
    path.write_text(json.dumps({**values, "sha256": manifest.digest(values)}))


HOSTILE: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str]] = {
    "null": (lambda f: f.with_columns(reward=pl.lit(None, pl.Float32)), "empty cells"),
    "text": (lambda f: f.with_columns(reward=pl.lit("a" * 100)), "not of the store's layout"),
    "nested": (lambda f: f.with_columns(reward=pl.concat_list("reward")), "damaged|layout"),
    "columns": (lambda f: f.with_columns(more=pl.lit(1)), "other columns"),
    "step": (lambda f: f.with_columns(step=pl.col("step").replace(1, 7)), "not whole episodes"),
    "seed": (lambda f: f.with_columns(seed=pl.lit(1, pl.Int64)), "not whole episodes"),
    "flags": (lambda f: f.with_columns(terminated=pl.lit(True)), "end twice, or before"),
    "rows": (lambda f: f.head(3), "holds|episodes"),
    "none": (lambda f: f.clear(), "0 rows"),
    "float64": (lambda f: f.with_columns(reward=pl.col("reward").cast(pl.Float64)), "layout (reward)"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_d21_steps_that_are_not_what_the_layout_says_are_refused(tmp_path: Path, name: str) -> None:
    change, said = HOSTILE[name]
    store = record(tmp_path / "store", range(4), PICTURES)
    path = store / steps_name(0)
    change(pl.read_parquet(path)).write_parquet(path)
    resealed(store, path.name)
    with pytest.raises(FormatError, match=said.replace("(", r"\(").replace(")", r"\)")):
        suture.load(store)


def test_d21_pictures_that_unpack_to_more_than_they_are_to_be_are_refused(tmp_path: Path) -> None:
    store = record(tmp_path / "store", range(4), PICTURES)
    data = suture.load(store)
    count = len(data) + data.episodes
    bomb = array_record_of_bombs(store / frames_name(0), count)
    resealed(store, bomb.name)
    with pytest.raises(FormatError, match=rf"{frames_name(0)}: of a picture, it is no PNG of \[6, 8, 3\]"):
        np.asarray(suture.load(store).observation)


def array_record_of_bombs(path: Path, count: int) -> Path:
    path.unlink()
    return written(path, [b"\x89PNG\r\n\x1a\n" + bytes(200)] * count)


def test_d19_a_store_is_read_without_a_pickle(tmp_path: Path) -> None:
    """A pickle where the steps should be is refused unread, and where a picture should be too."""
    canary = tmp_path / "canary"
    pickled = b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR."
    store = record(tmp_path / "store", range(4), PICTURES)
    data = suture.load(store)
    frames = store / frames_name(0)
    frames.unlink()
    written(frames, [pickled] * (len(data) + data.episodes))
    resealed(store, frames.name)
    with pytest.raises(FormatError, match="no PNG of"):
        np.asarray(suture.load(store).observation)
    (store / steps_name(0)).write_bytes(pickled)
    resealed(store, steps_name(0))
    with pytest.raises(FormatError):
        suture.load(store)
    assert not canary.exists()

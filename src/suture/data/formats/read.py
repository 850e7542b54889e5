"""Any log file, by what it holds: the first bytes decide, then the name."""

import importlib
import re
import zipfile
from pathlib import Path
from typing import Any, Literal, TypeAlias

from suture.data.formats import guard
from suture.data.formats.schema import Schema
from suture.data.log import Log
from suture.errors import FormatError, HostileFile

Kind: TypeAlias = Literal["hdf5", "npz", "parquet", "csv"]
SUPPORTED = (
    "HDF5 (D4RL names), NPZ (NeoRL, OGBench, plain names), a Minari folder, CSV or Parquet with a schema, "
    "or a folder that `suture convert` wrote"
)
PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill", ".ckpt"}
TEXT_PICKLE = re.compile(rb"\A(?:\([dl]p\d|[\]\})]q[\x00-\x08]|c[\w.]+\n\w+\n[(p])")
COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


def read(path: Path, *, schema: Path | Schema | None = None) -> Log:
    """The log in a file or a Minari folder, as the file says it; the gate judges it afterwards.

    schema: what the columns of a table mean (CSV, Parquet), or the file that says so.
    Raises `FormatError`, `HostileFile`, or `SchemaNeeded` for a table without a schema.
    """
    if path.is_dir():
        return _reader("minari").read(path)
    kind = kind_of(path)
    if kind in ("csv", "parquet"):
        return _reader("tabular").read(path, schema=schema)
    if schema is not None:
        raise FormatError(f"{path} names its columns itself; a schema is for CSV and Parquet only.")
    return _reader(kind).read(path)


def is_table(path: Path) -> bool:
    """Whether it is read by a schema."""
    return path.is_file() and kind_of(path) in ("csv", "parquet")


def _reader(name: str) -> Any:
    """A reader's module, loaded when first needed: the libraries of the formats are slow to import."""
    return importlib.import_module(f"suture.data.formats.{name}")


def kind_of(path: Path) -> Kind:
    """The format of a file, by its first bytes and then by its name. Refuses pickles unread."""
    guard.local_file(path)
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        _refuse_zipped_pickle(path)
        return "npz"
    if head.startswith(b"PAR1"):
        return "parquet"
    if re.match(rb"\x80[\x00-\x05]", head) or path.suffix.lower() in PICKLES or TEXT_PICKLE.match(head):
        raise _pickle(path)
    for magic, name in COMPRESSED.items():
        if head.startswith(magic):
            raise FormatError(f"{path} is compressed with {name}. Decompress it first.")
    suffix = path.suffix.lower()
    if suffix in (".h5", ".hdf5", ".npz", ".parquet"):
        raise FormatError(
            f"{path} is no {suffix} file, or is damaged: it has {guard.local_file(path):,} bytes and begins "
            f"with {head[:8]!r}. Restore it from its source."
        )
    if head and b"\0" not in head and not re.search(rb"[\x01-\x08\x0e-\x1f]", head):
        return "csv"
    if not head:
        raise FormatError(f"{path} is empty: it holds no byte. Restore it from its source.")
    raise FormatError(f"{path} is in no known format (it begins with {head[:8]!r}). Supported: {SUPPORTED}.")


def _pickle(path: Path) -> HostileFile:
    return HostileFile(
        f"{path} is a pickle (or a checkpoint made of pickles), which can run code when read. It was not "
        f"opened. Export the arrays from the program that wrote it. Supported: {SUPPORTED}."
    )


def _refuse_zipped_pickle(path: Path) -> None:
    """torch.save writes zips that hold `NAME/data.pkl`; its members are named in the file's directory."""
    guard.check_directory(path)
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return  # the NPZ reader says what is wrong
    if any(name.endswith((".pkl", ".pickle")) for name in names):
        raise _pickle(path)

"""What a folder should hold (sizes and SHA-256), and the bounded reading of every JSON file."""

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

from suture.errors import FormatError, HostileFile

MAX_JSON_BYTES = 4 << 20
MAX_JSON_DEPTH = 32
BLOCK = 1 << 20


class Entry(TypedDict):
    """Size in bytes and SHA-256 (hexadecimal) of one file."""

    bytes: int
    sha256: str


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def entry_of(data: bytes) -> Entry:
    """The manifest entry of content that is not yet on the disk."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def digest(values: Mapping[str, Any]) -> str:
    """SHA-256 of what a manifest says: a flipped bit in it must not pass for another content."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def manifest_of(folder: Path, names: Iterable[str] | None = None) -> dict[str, Entry]:
    """Name -> size and SHA-256 of the given files of a folder (of all of them by default)."""
    chosen = sorted(entry.name for entry in folder.iterdir()) if names is None else list(names)
    return {
        name: {"bytes": size_of(member(folder, name)), "sha256": sha256_file(folder / name)}
        for name in chosen
    }


def verify(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Why a folder is not what its manifest says: one sentence for each bad file, none where all is well."""
    reasons: list[str] = []
    for name, entry in manifest.items():
        try:
            expected = _entry(name, entry)
            path = member(folder, name)
            found = size_of(path)
        except FormatError as error:
            reasons.append(str(error))
            continue
        if found != expected["bytes"]:
            reasons.append(f"{name} has {found:,} bytes, its manifest says {expected['bytes']:,}.")
        elif sha256_file(path) != expected["sha256"]:
            reasons.append(f"{name} is corrupted: its SHA-256 is not the one in its manifest.")
    return reasons


def member(folder: Path, name: str) -> Path:
    """The path of a folder's own file. `HostileFile` where the name leads elsewhere or is a link."""
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise HostileFile(f"{folder}: {name!r} is not a plain file name. Do not use this folder.")
    path = folder / name
    if path.is_symlink():
        raise HostileFile(f"{path} is a symbolic link; a file of this folder must be a file. Copy it here.")
    return path


def size_of(path: Path) -> int:
    """Bytes of a regular file. `FormatError` where there is none, or something else (a pipe, a folder)."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {os.strerror(error.errno or 0)}.") from error
    if not stat.S_ISREG(found.st_mode):
        raise FormatError(f"{path} is not a regular file.")
    return found.st_size


def read_json(path: Path, *, max_bytes: int = MAX_JSON_BYTES, max_depth: int = MAX_JSON_DEPTH) -> Any:
    """The content of a JSON file of bounded size. See `parse_json` for what it raises."""
    size = size_of(path)
    if size > max_bytes:
        raise HostileFile(f"{path} has {size:,} bytes; a file of this kind has at most {max_bytes:,}.")
    with path.open("rb") as file:
        return parse_json(file.read(size), str(path), max_depth=max_depth)


def parse_json(data: bytes, where: str, *, max_depth: int = MAX_JSON_DEPTH, finite_only: bool = True) -> Any:
    """Strict JSON: UTF-8, bounded depth, finite numbers, no name twice in an object.

    where: named in the errors.   finite_only: False lets Infinity and NaN pass (bounds of a space).
    Raises `FormatError`, and `HostileFile` for too deep a nesting.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the name {twice!r} occurs twice in one object")
        return values

    def finite(text: str) -> float:
        number = float(text)
        if finite_only and not math.isfinite(number):
            raise ValueError(f"the number {text:.20} is not finite")
        return number

    try:
        value = json.loads(data.decode(), object_pairs_hook=unique, parse_float=finite, parse_constant=finite)
        if _deeper(value, max_depth):
            raise RecursionError
    except (RecursionError, MemoryError) as error:
        raise HostileFile(
            f"{where} nests deeper than {max_depth} levels, which no such file does."
        ) from error
    except ValueError as error:
        raise FormatError(f"{where} is not valid JSON: {error}.") from error
    return value


def kind_of(folder: Path, *, max_bytes: int = MAX_JSON_BYTES) -> str | None:
    """What `manifest.json` says that a folder is; None without one. `FormatError` where it is damaged."""
    path = folder / "manifest.json"
    manifest = read_json(path, max_bytes=max_bytes) if path.is_file() else None
    kind = cast("dict[str, Any]", manifest).get("kind") if isinstance(manifest, dict) else None
    return kind if isinstance(kind, str) else None


def object_of(value: Any, where: str) -> dict[str, Any]:
    """`value`, checked to be a JSON object."""
    if not isinstance(value, dict):
        raise FormatError(f"{where} must hold a JSON object, found {type(value).__name__}.")
    return cast("dict[str, Any]", value)


def _deeper(value: Any, limit: int) -> bool:
    level = _inner(value)
    for _ in range(limit - 1):
        level = [inner for outer in level for inner in _inner(outer)]
    return any(isinstance(item, dict | list) for item in level)


def _inner(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(cast("dict[str, Any]", value).values())
    return cast("list[Any]", value) if isinstance(value, list) else []


def _entry(name: str, entry: Any) -> Entry:
    values = object_of(entry, f"The manifest's entry {name!r}")
    size, digest = values.get("bytes"), values.get("sha256")
    if type(size) is not int or not isinstance(digest, str):
        raise FormatError(f"The manifest's entry {name!r} must hold bytes and sha256, found {entry!r:.100}.")
    return {"bytes": size, "sha256": digest}

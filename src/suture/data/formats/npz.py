"""NPZ files: NeoRL's, OGBench's and plain names (`formats/names.py` has the table)."""

from pathlib import Path
from typing import Any, cast

from suture.data.formats.guard import Npz
from suture.data.formats.names import log_of
from suture.data.log import Log
from suture.errors import HostileFile
from suture.spaces import Array, Tree

MAX_DEPTH = 8


def read(path: Path, *, source: str | None = None) -> Log:
    """The log in an NPZ file. A name with slashes (`observations/camera`) is an entry of a dictionary.

    source: the path to show to people, by default `path`.   Raises `FormatError` or `HostileFile`.
    """
    source = source or str(path)
    with Npz(path) as file:

        def tree(name: str) -> Tree:
            if name in file.members:
                return file.read(name)
            found: dict[str, Any] = {}
            for member in file.members:
                if member.startswith(f"{name}/"):
                    _insert(found, member.removeprefix(f"{name}/").split("/"), file.read(member), source)
            return found

        return log_of(source, {name.split("/")[0] for name in file.members}, tree, hdf5=False)


def _insert(tree: dict[str, Any], parts: list[str], array: Array, source: str) -> None:
    if len(parts) > MAX_DEPTH:
        raise HostileFile(f"{source}, {'/'.join(parts)!r:.200} nests deeper than {MAX_DEPTH} names.")
    for part in parts[:-1]:
        inner: Any = tree.setdefault(part, {})
        if not isinstance(inner, dict):
            raise HostileFile(f"{source}, {'/'.join(parts)!r}: {part!r} is an array as well as a group.")
        tree = cast("dict[str, Any]", inner)
    tree[parts[-1]] = array

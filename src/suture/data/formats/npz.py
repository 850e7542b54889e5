"""NPZ files: NeoRL's, OGBench's and plain names (`formats/names.py` has the table)."""

from pathlib import Path

from suture import spaces
from suture.data.formats.guard import Npz
from suture.data.formats.names import log_of
from suture.data.log import Log
from suture.errors import HostileFile
from suture.spaces import Tree

MAX_DEPTH = 8


def read(path: Path, *, source: str | None = None) -> Log:
    """The log in an NPZ file. A name with slashes (`observations/camera`) is an entry of a dictionary.

    source: the path to show to people, by default `path`.   Raises `FormatError` or `HostileFile`.
    """
    source = source or str(path)
    with Npz(path) as file:

        def tree(name: str) -> Tree:
            members = [member for member in file.members if f"{member}/".startswith(f"{name}/")]
            if deep := [member for member in members if member.count("/") > MAX_DEPTH]:
                raise HostileFile(f"{source}, {deep[0]!r:.200} nests deeper than {MAX_DEPTH} names.")
            return spaces.tree_of({member: file.read(member) for member in members}, source)[name]

        return log_of(source, {name.split("/")[0] for name in file.members}, tree, hdf5=False)

"""Results that take minutes or hours to make, kept as one small JSON file each in results/, and made once."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from suture.algorithms.table import algorithm_named
from suture.storage import atomic

RESULTS = Path(__file__).resolve().parent / "results"


def kept(
    file: Path, asked: dict[str, Any], make: Callable[[], dict[str, Any]] | None, *, again: bool = False
) -> dict[str, Any] | None:
    """What the file holds, if it answers to what is asked; else what `make` returns, which it then holds.

    asked: everything that the result depends on. A file that belongs to other data or settings is not used.
    make: None where nothing is to be made: then the answer may be None.   again: make it in any case.
    """
    asked = json.loads(json.dumps(asked))
    if file.is_file() and not again:
        found = json.loads(file.read_text(encoding="utf-8"))
        if all(_same(found, asked, name) for name in asked):
            return found
    if make is None:
        return None
    result = asked | make()
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_file(file, (json.dumps(result) + "\n").encode(), point="result")
    return result


def _same(found: dict[str, Any], asked: dict[str, Any], name: str) -> bool:
    """Whether a result was made with what is asked; a field that its algorithm got since had its default."""
    if name != "fields" or name not in found:
        return found.get(name) == asked[name]
    usual = dataclasses.asdict(algorithm_named(asked["algorithm"])())
    return json.loads(json.dumps(usual)) | found[name] == asked[name]

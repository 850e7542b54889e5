"""Evaluations of a run, kept beside it, so that a report can show what was found.

run/evaluations/NAME.json: one object each, with `kind` (played, estimated or compared), `step`, `time` and
what the evaluation says.
"""

import json
import re
import time
from pathlib import Path
from typing import Any, Literal

from suture.storage import atomic, manifest

Kind = Literal["played", "estimated", "compared"]


def keep(run: Path, kind: Kind, of: str, step: int, found: dict[str, Any]) -> Path:
    """Write what was found; a later evaluation of the same kind, thing and step takes its place.

    of: the environment or the log.   found: JSON-able.
    """
    name = re.sub(r"[^A-Za-z0-9]+", "-", of.rpartition("/")[2]).strip("-").lower()[:60] or "unnamed"
    path = run / "evaluations" / f"{kind}-{name}-{step}.json"
    atomic.make_folder(path.parent)
    told = {"kind": kind, "of": of, "step": step, "time": time.strftime("%Y-%m-%d %H:%M"), **found}
    atomic.write_file(path, (json.dumps(told, indent=1) + "\n").encode(), point="evaluation")
    return path


def kept(run: Path) -> list[dict[str, Any]]:
    """What is kept of a run's evaluations, oldest first."""
    found = [
        manifest.object_of(manifest.read_json(path), str(path)) for path in run.glob("evaluations/*.json")
    ]
    return sorted(found, key=lambda one: (one.get("time", ""), one.get("step", 0)))

"""Which name in a file is which column of a log: one table for HDF5 and NPZ, and what a layout implies."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from suture.data.findings import Finding
from suture.data.log import Log
from suture.errors import FormatError
from suture.spaces import Array, Tree, arrays_of

SPELLINGS: dict[str, tuple[str, ...]] = {
    "observation": ("observations", "observation", "obs", "states", "state"),
    "action": ("actions", "action", "acts", "act"),
    "reward": ("rewards", "reward", "rews", "rew"),
    "next_observation": (
        "next_observations", "next_observation", "next_obs", "obs_next", "observations_next",
        "new_observations", "next_states", "next_state",
    ),
    "terminal": ("terminals", "terminal", "terminated", "terminations", "termination"),
    "timeout": ("timeouts", "timeout", "truncated", "truncations", "truncation", "truncates"),
    "done": ("dones", "done"),
    "boundary": ("episode_end", "episode_ends"),
    "episode": ("episode_ids", "episode_id", "episodes", "episode"),
    "propensity": ("propensities", "propensity", "propensity_score"),
    "action_probabilities": ("action_probabilities", "all_action_probabilities"),
}  # fmt: skip
TREES = ("observation", "next_observation")
TABLES = (*TREES, "action", "action_probabilities")
OGBENCH = {"observations", "actions", "terminals"}
NEORL = {"obs", "action", "next_obs", "reward", "done"}
D4RL = {"observations", "actions", "rewards"}


def assign(names: Iterable[str], where: str) -> tuple[dict[str, str], list[str]]:
    """Column -> the name in the file that holds it, and the names that no column claims.

    names: the names at the top of the file.   Of two spellings of one column the first in the table
    counts; the other is left over. Raises `FormatError` where observations or actions are missing.
    """
    present = sorted(names)
    chosen = {
        column: next(spelling for spelling in spellings if spelling in present)
        for column, spellings in SPELLINGS.items()
        if any(spelling in present for spelling in spellings)
    }
    for column in ("observation", "action"):
        if column not in chosen:
            raise FormatError(
                f"{where} holds no {column}: expected an array named {', '.join(SPELLINGS[column])}; "
                f"found {', '.join(present[:20]) or 'nothing'}. Rename the array, or export a table."
            )
    return chosen, [name for name in present if name not in chosen.values()]


def log_of(source: str, names: Iterable[str], read: Callable[[str], Tree], *, hdf5: bool) -> Log:
    """The log in a file of named arrays.

    source: the path as the user gave it.   names: the names at the top of the file.
    read: the array, or the tree of arrays, under a name.
    """
    chosen, ignored = assign(names, source)
    found = {column: read(name) for column, name in chosen.items()}
    for column, name in chosen.items():
        if not arrays_of(found[column]):
            raise FormatError(f"{source}: the group {name!r} holds no arrays of {column}s.")
        if any(array.ndim == 0 for array in arrays_of(found[column]).values()):
            raise FormatError(f"{source}: {name!r} holds a single number, expected one row per step.")
    columns: dict[str, Any] = {
        column: value if column in TREES else _array(source, chosen[column], column, value)
        for column, value in found.items()
    }
    findings: list[Finding] = []
    if ignored:
        findings.append(_ignored(ignored))
    layout = _layout(set(chosen.values()), hdf5=hdf5)
    if set(chosen.values()) == OGBENCH and _ends_with_states(columns["terminal"]):
        layout = "OGBench"
        columns["final_state"] = columns.pop("terminal").astype(bool)
        findings.append(_ogbench(int(columns["final_state"].sum())))
    return Log(source=source, layout=layout, findings=tuple(findings), **columns)


def _array(source: str, name: str, column: str, value: Tree) -> Array:
    if isinstance(value, dict):
        raise FormatError(f"{source}: {name!r} is a group, expected one array of {column}s.")
    if column not in TABLES and value.ndim == 2 and value.shape[1] == 1:
        value = value[:, 0]
    if column not in TABLES and value.ndim != 1:
        raise FormatError(
            f"{source}: {name!r} has shape {value.shape}, expected one number per row, (rows,) or (rows, 1)."
        )
    return value


def _layout(used: set[str], *, hdf5: bool) -> str:
    if used >= NEORL:
        return "NeoRL"
    return "D4RL" if hdf5 and used >= D4RL else "plain names"


def _ends_with_states(terminal: Array) -> bool:
    return bool(len(terminal)) and bool(terminal[-1]) and not bool(np.all(terminal))


def _ignored(names: list[str]) -> Finding:
    listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return Finding(
        id="keys-ignored", severity="info", count=len(names),
        message=f"{len(names)} names in the file are no column of a log and were not read: {listed}. Rename "
        "those that are.",
    )  # fmt: skip


def _ogbench(count: int) -> Finding:
    return Finding(
        id="layout-inferred", severity="info", count=count,
        message="Read as OGBench's layout, because there are terminals but neither rewards, next "
        f"observations nor timeouts: each of the {count:,} terminals marks the last state of a fragment, "
        "whose action leads nowhere; it is a boundary and no termination. Add timeouts if this is wrong.",
    )  # fmt: skip

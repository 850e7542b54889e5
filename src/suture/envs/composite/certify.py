"""The certificates of a log of the composite task, from what its rows say and nothing else."""

import dataclasses
import hashlib
from typing import Any

import numpy as np

from suture.data.dataset import Dataset
from suture.envs.composite.certificate import (
    NEEDED,
    SKILLS,
    NeverShown,
    Stitched,
    never_shown,
    stitched,
)
from suture.envs.composite.states import cells, stages, steps_done
from suture.spaces import Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Certificate:
    """What a log shows of the whole task.

    without: the share of the whole task's starts that still have a path where a needed set is left out.
    success: share of each skill's episodes that reach its end.
    fingerprint, columns: SHA-256 of the log, and of the columns beside it (its sets among them).
    """

    never_shown: NeverShown
    stitched: Stitched
    without: dict[str, float]
    success: dict[str, float]
    fingerprint: str
    columns: str

    @property
    def holds(self) -> bool:
        """Never shown, can be stitched, and not without any of the needed sets."""
        return self.never_shown.holds and self.stitched.holds and not any(self.without.values())

    def to_json(self) -> dict[str, Any]:
        """As JSON-able values, with the verdicts."""
        return {
            "holds": self.holds, "never_shown": self.never_shown.to_json(),
            "stitched": self.stitched.to_json(), "without": self.without, "success": self.success,
            "fingerprint": self.fingerprint, "columns": self.columns,
        }  # fmt: skip


def certify(data: Dataset) -> Certificate:
    """Scan a log.   Stages and cells are read from the states; of pictures, from those kept beside them."""
    episode, first = data.episode_index, data.episode_start[:-1]
    reward = np.zeros(len(data)) if data.reward is None else np.asarray(data.reward)
    sets = np.asarray(data.columns["set"])
    states = states_of(data)
    (before, after), (here, there) = (np.split(each, 2) for each in (stages(states), _numbers(cells(states))))
    done, done_after = np.split(steps_done(states), 2)
    there = np.where(data.has_next & ~data.terminated, there, -1)
    start = np.zeros(len(data), bool)
    start[first[before[first] == 0]] = True

    def joined(rows: Array) -> Stitched:
        return stitched(*(column[rows] for column in (episode, here, there, start, reward)))

    best, of = np.maximum.reduceat(after, first), sets[first]
    known = [name for name in SKILLS if (of == name).any()]
    return Certificate(
        never_shown=never_shown(episode, before, after, reward, sets, ~done & done_after),
        stitched=joined(np.arange(len(data))),
        without={name: joined(sets != name).share for name in known if name in NEEDED},
        success={name: float((best[of == name] >= SKILLS[name][1]).mean()) for name in known},
        fingerprint=data.fingerprint,
        columns=_digest(data.columns),
    )  # fmt: skip


def states_of(data: Dataset) -> Array:
    """The states before each transition, and after them, (2 N, 16)."""
    if "state" in data.columns:
        return np.concatenate([data.columns["state"], data.columns["next_state"]])
    return np.concatenate([np.asarray(data.observation), np.asarray(data.next_observation)])


def _numbers(rows: Array) -> Array:
    """A number for each row (n, k), (n,): the same for equal rows."""
    return np.unique(rows, axis=0, return_inverse=True)[1].ravel()


def _digest(columns: dict[str, Array]) -> str:
    """SHA-256 of columns, by name; of texts, whatever their width."""
    digest = hashlib.sha256()
    for name, column in sorted(columns.items()):
        digest.update(f"{name}:{column.shape};".encode())
        content = "\n".join(column.tolist()).encode() if column.dtype.kind == "U" else column.tobytes()
        digest.update(content)
    return digest.hexdigest()

"""What a file says, before the gate decides what it means.

Readers (`data/formats/`) fill a `Log` and judge nothing; `data/build.py` turns it into a `Dataset`.
Arrays keep the dtype of the file and share one leading dimension, the rows, in the file's order.
"""

import dataclasses
from typing import Any, Literal, TypeAlias

from suture.data import bounds
from suture.data.bounds import Bounds
from suture.data.findings import Finding
from suture.data.places import Names, Places
from suture.errors import ConfigError
from suture.spaces import Array, Space, Tree

Ends: TypeAlias = Literal["termination", "time-limit"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Log:
    """The columns of a file. None: the file does not say.

    source: the path as the user gave it.   layout: name of the recognised layout, for people.
    terminal: the environment ended here.   timeout: the recording was cut here.
    done: an episode ended here, for a reason that the file does not give.
    boundary: a recording's last row, which says nothing about why (`episode_end`).
    final_state: rows that hold only the state after the last action; they become next observations.
    episode: any label per row that is constant within an episode and rows of which are contiguous.
    gap: rows after which steps are missing, (rows,): the next row is not what followed. It counts where the
        file records no next observations of its own.
    propensity: probability (density) of the logged action under the behaviour policy, (rows,).
    action_probabilities: the behaviour policy's whole distribution, (rows, n).
    columns: further columns by name (time, entity ...), for splitting.
    names: the file's names of the columns of `observation`, `action` and `reward`, where it has any.
    places: where each row stands in the file, where a person can look it up.
    schema: what the columns of a table mean, as JSON.
    """

    source: str
    layout: str
    observation: Tree
    action: Array
    reward: Array | None = None
    next_observation: Tree | None = None
    terminal: Array | None = None
    timeout: Array | None = None
    done: Array | None = None
    boundary: Array | None = None
    final_state: Array | None = None
    episode: Array | None = None
    gap: Array | None = None
    propensity: Array | None = None
    action_probabilities: Array | None = None
    columns: dict[str, Array] = dataclasses.field(default_factory=dict[str, Array])
    observation_space: Space | None = None
    action_space: Space | None = None
    findings: tuple[Finding, ...] = ()
    names: Names = dataclasses.field(default_factory=dict[str, tuple[str, ...]])
    places: Places | None = None
    schema: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """What the user says about a log where its evidence is ambiguous or absent. None: go by the evidence.

    ends: what an ambiguous end (`done`, `boundary`, a label that changes) means; "time-limit" also rereads
        `terminal` where all of them lie at one length.
    episode_length: the time limit: episodes are divided where they reach it, and truncated there.
    action_bounds: (low, high) of every action dimension, or one such pair for each, ((0, 100), (0, 1)); or
        "observed" to accept the observed range.
    discrete: whether actions are choices.
    drop_duplicates: leave repeated episodes out.
    skip_bad: of a folder that `suture convert` wrote, leave damaged shards out; a finding names them.
    """

    ends: Ends | None = None
    episode_length: int | None = None
    action_bounds: Bounds | Literal["observed"] | None = None
    discrete: bool | None = None
    drop_duplicates: bool = False
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if self.episode_length is not None and self.episode_length < 1:
            raise ConfigError(f"episode_length must be at least 1, found {self.episode_length}.")
        if self.action_bounds not in (None, "observed"):
            bounds.check(self.action_bounds, "action_bounds")

"""Where episodes begin and end in the rows of a log."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from suture.data.findings import DONE, Finding, at, many, option, share
from suture.data.log import Log, Reading
from suture.data.values import as_flags, refuse
from suture.spaces import Array

FLAGS = ("terminal", "timeout", "done", "boundary")
Rows = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Episodes:
    """The transitions of a log (N of its rows) in E episodes.

    rows: the log's row of each transition, (N,).   start: offsets into the transitions, (E + 1,).
    final: the log's row that holds only the state after an episode's last action, or -1, (E,).
    """

    rows: Rows
    start: Rows
    final: Rows

    def __len__(self) -> int:
        return len(self.final)

    @property
    def last(self) -> Rows:
        """The last transition of each episode, (E,)."""
        return self.start[1:] - 1

    @property
    def lengths(self) -> Rows:
        return np.diff(self.start)

    def at_end(self, name: str, column: Array | None, rows: int) -> NDArray[np.bool_]:
        """Whether a flag is set at the end of each episode: on its last transition or final state, (E,)."""
        flags = as_flags(name, column, rows)
        return flags[self.rows[self.last]] | ((self.final >= 0) & flags[self.final])

    def numbered(self, finding: Finding) -> Finding:
        """A finding on rows of the log, with those of their transitions (a final state's is the last one)."""
        rows = np.maximum(np.searchsorted(self.rows, finding.rows, side="right") - 1, 0)
        return dataclasses.replace(finding, rows=tuple(map(int, rows)))

    def place(self, transition: int) -> str:
        """'episode 3, step 17'."""
        episode = int(np.searchsorted(self.start, transition, side="right")) - 1
        return f"episode {episode:,}, step {transition - int(self.start[episode]):,}"


def find_episodes(log: Log, reading: Reading, found: list[Finding]) -> Episodes:
    """Split a log's rows at its flags, labels, final states and the length that the reading gives."""
    rows = len(log.action)
    final = as_flags("final_state", log.final_state, rows)
    flags = [as_flags(name, getattr(log, name), rows) for name in FLAGS]
    begins = np.zeros(rows, np.bool_)
    begins[0] = True
    begins[1:] = (np.logical_or.reduce(flags)[:-1] & ~final[1:]) | final[:-1]
    if log.episode is not None:
        changes = _label_changes(log.episode, found)
        _find_ends_inside(log, begins[1:] & ~changes, changes, reading, found)
        begins[1:] |= changes
    elif reading.episode_length is None and not (begins[1:].any() or final[-1] or any(f[-1] for f in flags)):
        raise refuse("no-ends", _no_ends(log, rows))
    if reading.episode_length is not None:
        starts = np.flatnonzero(begins)
        step = np.arange(rows) - np.repeat(starts, np.diff(np.append(starts, rows)))
        begins |= (step % min(reading.episode_length, rows) == 0) & ~final
    return _gather(begins, final)


def _gather(begins: Array, final: Array) -> Episodes:
    starts = np.flatnonzero(begins)
    transitions = np.add.reduceat((~final).astype(np.int64), starts)
    if not transitions.all():
        empty = np.flatnonzero(transitions == 0)
        listed = ", ".join(map(str, empty[:5]))
        raise refuse(
            "empty-episodes",
            f"{len(empty):,} of {len(starts):,} episodes hold a final state and no transition, first: "
            f"episode {listed}. An episode needs at least one action. Remove these rows.",
        )
    ends = np.append(starts[1:], len(begins)) - 1
    offsets = np.concatenate([[0], np.cumsum(transitions)]).astype(np.int64)
    return Episodes(np.flatnonzero(~final), offsets, np.where(final[ends], ends, -1))


def _label_changes(labels: Array, found: list[Finding]) -> Array:
    """Where the episode label changes from one row to the next, (rows - 1,)."""
    changes = np.asarray(labels[1:] != labels[:-1])
    runs = np.append(True, changes)
    repeated = int(runs.sum()) - len(np.unique(labels[runs]))
    if repeated:
        message = (
            f"{repeated:,} episodes are resumed after rows of other episodes: rows of one episode must be "
            "contiguous and in time order. Sort the log by episode and step."
        )
        found.append(at("interleaved-episodes", "error", np.flatnonzero(changes)[:repeated] + 1, message))
    return changes


def _find_ends_inside(
    log: Log, inside: Array, changes: Array, reading: Reading, found: list[Finding]
) -> None:
    """Ends that are flagged where the label of the episode goes on, (rows - 1,): is it an end or an alarm?

    An error, unless the reading says what ends mean: what follows would count as an episode of its own.
    """
    rows = np.flatnonzero(inside)
    if not len(rows):
        return
    flags = {name: as_flags(name, getattr(log, name), len(log.action))[rows] for name in FLAGS}
    named = " and ".join(repr(_column_of(name, log)) for name, flag in flags.items() if flag.any())
    runs = np.append(0, np.cumsum(changes))
    within = share(len(np.unique(runs[rows])), int(runs[-1]) + 1)
    message = (
        f"{named or 'a final state'} marks {many(len(rows), 'row')} as ends inside episodes whose label "
        f"goes on, in {within} episodes, first at row {rows[0]:,}. "
    )
    if reading.ends is not None:
        said = f"{message}The episodes are divided there, as asked. {DONE}"
        found.append(at("end-within-episode", "warning", rows, said))
        return
    termination, limit = option("ends", "termination"), "time-limit"
    message += (
        "Divided there, an episode becomes several, and values are learned as if nothing followed. An "
        "alarm or a state that passes is no end: leave its column out of the schema (or the file). Where "
        f"episodes do end there, mend the labels, or pass {termination}, or {limit}, to divide them."
    )
    found.append(at("end-within-episode", "error", rows, message))


def _column_of(flag: str, log: Log) -> str:
    """The table's name of a flag, or what it is here."""
    roles = {"terminal": "terminated", "timeout": "truncated"}
    named = (log.schema or {}).get(roles.get(flag, flag)) or flag
    return str(named["column"] if isinstance(named, dict) else named)


def _no_ends(log: Log, rows: int) -> str:
    silent = [name for name in FLAGS if getattr(log, name) is not None]
    said = f"{', '.join(silent)} is never set" if silent else "there is no column of ends or episode labels"
    return (
        f"{log.source} does not say where its {rows:,} rows are divided into episodes: {said}. Pass "
        f"{option('episode_length', 'STEPS')}: the time limit, or {rows} where it is one recording."
    )

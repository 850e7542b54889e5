"""The gate: one place that decides what a log means. Everything after it reads settled columns only.

Decided here, once: where episodes begin and end, termination against truncation, which next observations
are known, what an action is, and the dtype of every column. What makes training wrong is a finding of
severity "error", which `Dataset.admit` refuses; a log from which no dataset can be formed is refused here.
"""

import dataclasses
from typing import Any

import numpy as np

from suture import spaces
from suture.data.actions import settle_actions
from suture.data.alignment import find_shifted_rewards
from suture.data.checks import find_columns, find_propensities, find_repeats, find_rewards
from suture.data.dataset import Dataset
from suture.data.endings import settle_endings
from suture.data.episodes import Episodes, find_episodes
from suture.data.findings import Finding, at, share_of
from suture.data.following import follow, pick
from suture.data.log import Log, Reading
from suture.data.outlying import find_hung, find_outlying
from suture.data.values import (
    find_non_finite,
    need_numbers,
    observation_space,
    refuse,
    settle_tree,
    to_float32,
)
from suture.spaces import Array, Discrete, Tree

READING = Reading()


def build(log: Log, reading: Reading = READING) -> Dataset:
    """The dataset of a log, with all that was found on it. Raises `DataRefused` where none can be formed."""
    log = _align(log)
    found = list(log.findings)
    episodes = find_episodes(log, reading, found)
    rows = settle_tree("observation", log.observation, log.observation_space, found)
    given = log.next_observation
    if given is not None:
        given = settle_tree("next_observation", given, log.observation_space, found)
        _need_alike(rows, given)
    found = [episodes.numbered(finding) for finding in found]
    following = follow(rows, given, episodes, found, gap=log.gap)
    terminated, truncated = settle_endings(log, episodes, following.borrowed, reading, found)
    _note_missing(following.has_next, _at_last(terminated, episodes), found)
    action, action_space = settle_actions(
        log.action[episodes.rows], log.action_space, _choices(log), episodes, reading, found, log.names
    )
    propensity, table = _behaviour(log, action, action_space, episodes, found)
    data = Dataset(
        observation=pick(rows, episodes.rows), next_observation=following.next_observation, action=action,
        reward=_number_column("reward", log.reward, episodes, found),
        terminated=_at_last(terminated, episodes), truncated=_at_last(truncated, episodes),
        has_next=following.has_next, episode_start=episodes.start,
        observation_space=observation_space(rows, log.observation_space), action_space=action_space,
        source=log.source, layout=log.layout,
        propensity=propensity, action_probabilities=table,
        columns={name: column[episodes.rows] for name, column in log.columns.items()},
        names=log.names, schema=log.schema,
        places=None if log.places is None else log.places.take(episodes.rows),
    )  # fmt: skip
    return examine(data, reading, found)


def examine(data: Dataset, reading: Reading, found: list[Finding]) -> Dataset:
    """Look at the settled columns. Statistics are skipped where values are not finite."""
    names = data.names
    for path, array in spaces.arrays_of(data.observation, "observation").items():
        find_non_finite(path, array, found, names=names)
    for path, array in spaces.arrays_of(data.next_observation, "next_observation").items():
        find_non_finite(path, array, found, where=data.has_next, names=names)
    for name, column in (("action", data.action), ("reward", data.reward)):
        if column is not None:
            find_non_finite(name, column, found, names=names)
    finite, places = not any(finding.id in ("non-finite", "overflow") for finding in found), data.places
    if finite:
        data = find_repeats(data, drop=reading.drop_duplicates, found=found)
    # From here on rows are numbered without the episodes that were dropped.
    later = list[Finding]()
    if finite:
        find_rewards(data, later)
        find_columns(data, later)
        find_outlying(data, later, actions=any(finding.id == "action-bounds-read" for finding in found))
        find_hung(data, later)
        if not any(finding.severity == "error" for finding in (*found, *later)):
            find_shifted_rewards(data, later)
    find_propensities(data, later)
    everything = [f.located(places) for f in found] + [f.located(data.places) for f in later]
    gravest = {"error": 0, "warning": 1, "info": 2}
    return dataclasses.replace(data, findings=tuple(sorted(everything, key=lambda f: gravest[f.severity])))


def _need_alike(observation: Tree, following: Tree) -> None:
    """Refuse next observations that are no observations: other names, shapes or dtypes."""
    ours, theirs = (
        {path or "array": f"{a.dtype}{list(a.shape[1:])}" for path, a in spaces.arrays_of(tree).items()}
        for tree in (observation, following)
    )
    if ours != theirs:
        raise refuse(
            "next-observation-shape",
            f"A row's next observation is {_listed(theirs)}, its observation {_listed(ours)}: they must be "
            "alike. Mend the export, or leave next observations out: within episodes the next row has them.",
        )


def _listed(kinds: dict[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in kinds.items())


def _choices(log: Log) -> int | None:
    """Over how many choices the behaviour policy's distribution is logged; None without one."""
    table = log.action_probabilities
    if table is None:
        return None
    need_numbers("action_probabilities", table)
    if table.ndim != 2 or not table.shape[1]:
        raise refuse(
            "action-probabilities-shape",
            "Column action_probabilities must hold one probability for each choice, (rows, choices); found "
            f"the shape {list(table.shape)}. Where it holds the probability of the action taken, name it "
            "propensities.",
        )
    return table.shape[1]


def _note_missing(has_next: Array, terminated: Array, found: list[Finding]) -> None:
    """Rows without a next observation: those that lose by it, or else that none does."""
    lost, ended = ~has_next & ~terminated, int((~has_next & terminated).sum())
    if lost.any():
        others = f" (nor have {ended:,} that terminated, which need none)" if ended else ""
        message = (
            f"{share_of(lost)} transitions have no next observation{others}. Imitation uses them; they are "
            "not bootstrapped from. Add the last observations where they were recorded; otherwise nothing "
            "need be done."
        )
        found.append(at("missing-next-observations", "info", lost, message))
    elif ended:
        message = (
            f"{share_of(~has_next)} transitions have no next observation, all of them where the environment "
            "ended: nothing follows there, and nothing need be done."
        )
        found.append(at("missing-next-observations", "info", ~has_next, message))


def _align(log: Log) -> Log:
    """A log whose columns all have one length; T + 1 observations of T actions become pairs."""
    need_numbers("action", log.action)
    rows, lengths = len(log.action), _lengths(log)
    seen = {count for name, count in lengths.items() if name.startswith("observation")}
    if rows == 0:
        raise refuse("no-rows", f"{log.source} holds no transitions: there are no actions in it.")
    if len(seen) == 1 and (extra := seen.pop() - rows) > 0 and log.next_observation is None:
        log = _pair(log, rows, extra)
        lengths = _lengths(log)
    wrong = {name: count for name, count in lengths.items() if count != rows}
    if wrong:
        listed = ", ".join(f"{name} {count:,}" for name, count in wrong.items())
        raise refuse(
            "lengths-differ",
            f"Columns of {log.source} differ in length: action has {rows:,} rows, {listed}. Every column "
            "needs one row per action; observations may have one more per episode (its final state).",
        )
    return log


def _lengths(log: Log) -> dict[str, int]:
    """Name -> rows of every column."""
    skipped = ("findings", "columns", "observation_space", "action_space", "names", "places", "schema")
    trees: dict[str, Any] = {
        field.name: getattr(log, field.name) for field in dataclasses.fields(log) if field.name not in skipped
    }
    arrays: dict[str, Any] = {
        path: array
        for name, tree in trees.items()
        if tree is not None and not isinstance(tree, str)
        for path, array in spaces.arrays_of(tree, name).items()
    }
    return {name: len(array) for name, array in (arrays | log.columns).items()}


def _pair(log: Log, rows: int, extra: int) -> Log:
    """Observations s0 … sT of actions a0 … aT-1, end to end, as observation and next observation."""
    silent = dataclasses.replace(log, observation=np.zeros((rows, 1)))
    if any(count != rows for count in _lengths(silent).values()):
        return log
    if extra == 1 and not any(
        _is_set(getattr(log, name)) for name in ("terminal", "timeout", "done", "boundary")
    ):
        silent = dataclasses.replace(
            silent, episode=np.zeros(rows, np.int8) if log.episode is None else log.episode
        )
    episodes = find_episodes(silent, Reading(), [])
    if len(episodes) != extra:
        return log
    now = np.arange(rows) + np.repeat(np.arange(extra), episodes.lengths)
    return dataclasses.replace(
        log,
        observation=pick(log.observation, now),
        next_observation=pick(log.observation, now + 1),
        episode=silent.episode,
    )


def _is_set(column: Array | None) -> bool:
    return column is not None and bool((column > 0).any())


def _at_last(flags: Array, episodes: Episodes) -> Array:
    """A flag per episode as a flag per transition, on the last one, (N,)."""
    settled = np.zeros(len(episodes.rows), np.bool_)
    settled[episodes.last] = flags
    return settled


def _number_column(name: str, column: Array | None, episodes: Episodes, found: list[Finding]) -> Array | None:
    """A column of one number per transition as float32, (N,)."""
    if column is None:
        return None
    need_numbers(name, column)
    flat = column.reshape(len(column), -1)
    if flat.shape[1] != 1:
        shape = list(column.shape)
        raise refuse(f"{name}-shape", f"Column {name} must hold one number a row, found the shape {shape}.")
    return to_float32(name, flat[episodes.rows, 0], found)


def _behaviour(
    log: Log, action: Array, space: spaces.Space, episodes: Episodes, found: list[Finding]
) -> tuple[Array | None, Array | None]:
    """Propensity and action probabilities; the former is looked up in the latter where it is absent."""
    propensity, table = (
        _number_column("propensity", log.propensity, episodes, found),
        log.action_probabilities,
    )
    if table is not None:
        if not isinstance(space, Discrete) or table.shape[1] < space.n:
            raise refuse(
                "action-probabilities-shape",
                f"Column action_probabilities is a distribution over {table.shape[1]:,} choices, but actions "
                f"are {space}. Leave the column out, or log actions as choices from 0 to "
                f"{table.shape[1] - 1:,}.",
            )
        table = table[episodes.rows].astype(np.float32)
        if propensity is None:
            propensity = np.take_along_axis(table, action[:, None].astype(np.int64), 1)[:, 0]
    return propensity, table

"""A schema for a table that has none, from its names and from what its columns look like.

It is a proposal: `suture` never reads a table by it until a person has saved it.
"""

import json
import re
from collections.abc import Iterable

import polars as pl

from suture.data.formats.schema import Schema
from suture.errors import FormatError

SAMPLE = 20_000
MOST_CHOICES = 256
NAMES: dict[str, str] = {
    "action_probabilities": r"(all_)?action_(probabilities|probability|probs?)(_\d+)?",
    "propensity": r"propensit(y|ies)(_score)?|pscore|"
    r"(behaviou?r|logging|action)_(prob|probability|propensity)",
    "episode": r"(episode|trajectory|traj|rollout|trial|run|trip|session|patient|subject|stay|encounter)"
    r"(_?(id|ids|index|number|no|nr|num))?|(icu)?stay_?id|hadm_?id|ep",
    "order": r"(time_?)?steps?(_?(id|index|number|no))?|transition(_(number|id|index))?|t|time|"
    r"time_?stamp|date(_?time)?|day|hour|week|month|minute|frame(_(id|index|number))?|tick|seq(uence)?(_(no|number))?",
    "reward": r"rewards?|rew|r|outcome|click(s|ed)?|score|rating|return|payoff|"
    r"revenue|profit|conversion|utility",
    "terminated": r"(is_)?(terminated|terminals?|terminations?)",
    "truncated": r"(is_)?(truncated|truncations?|timeouts?|time_limit)",
    "done": r"(is_)?(dones?|episode_ends?|episode_done|last|finished|final)",
    "action": r"(actions?|act|a|u|controls?|command|cmd|input|torque)([_\[(.]*\d*[\])]*)([_.][a-z]+)?|"
    r"dos(e|age)|treatments?|intervention|decision|item(_id)?|arm(_id)?|steer(ing)?|throttle|brake|setpoint",
    "next": r"next_.*|.*_next",
}  # fmt: skip
OBSERVATION = (
    r"(obs|observations?|states?|s|x|features?|context|state_feature)([_\[(.]*\d+[\])]*)([_.].*)?"
    r"|(obs|state)[_.].*"
)
PRIORITY = ("id", "number", "step", "index")


def propose(table: pl.LazyFrame) -> tuple[Schema, list[str]]:
    """A schema that reads this table, and notes on what was guessed or left out."""
    head = table.head(SAMPLE).collect()
    if head.width < 2 or not head.height:
        raise FormatError(
            f"A log needs observations and actions; this table has {head.width} columns, {head.height} rows."
        )
    notes: list[str] = []
    roles = _by_name(head)
    numeric = [name for name in head.columns if _numeric(head[name]) and not _counter(head[name], name)]
    used = {name for names in roles.values() for name in names}
    free = [name for name in numeric if name not in used]
    roles["episode"] = roles["episode"] or ([] if roles["propensity"] else _looks_grouped(head, notes, used))
    free = [name for name in free if name not in roles["episode"]]
    order = _order(head, roles, free, notes)
    free = [name for name in free if name != order]
    _guess(roles, free, notes)
    declared = [name for name in free if re.fullmatch(OBSERVATION, name.lower())]
    observation = declared or [name for name in free if not name.lower().endswith("_id")]
    observation = [name for name in observation if head[name].null_count() == 0] or observation
    if not observation:
        observation = [name for name in (order,) if name and _numeric(head[name])]
        notes.append("No column is left for the observation; check which one describes the situation.")
    _note_left_out(head, {*observation, *(name for names in roles.values() for name in names), order}, notes)
    return _schema(head, roles, order, observation), notes


def describe(source: str, schema: Schema, notes: list[str]) -> str:
    """The message for a person: what was proposed, what was guessed, and what to do."""
    text = json.dumps(schema.to_json(), indent=2)
    listed = "".join(f"\n- {note}" for note in notes)
    return (
        f"{source} is a table, and what its columns mean must be said by a schema. This one fits what they "
        f"look like:\n{text}{listed}\nCheck it, save it as schema.json, and pass --schema schema.json."
    )


def _by_name(head: pl.DataFrame) -> dict[str, list[str]]:
    """Role -> the columns whose names say so; each column has one role, in the order of `NAMES`."""
    roles: dict[str, list[str]] = {role: [] for role in NAMES}
    for name in head.columns:
        plain = re.sub(r"[\s\-]+", "_", name.strip().lower())
        role = next((role for role, pattern in NAMES.items() if re.fullmatch(pattern, plain)), None)
        fits = role in ("episode", "order", "action_probabilities", "next") or _numeric(head[name])
        if role is not None and fits:
            roles[role].append(name)
    repeated = [name for name in roles["episode"] if head[name].n_unique() < head.height]
    roles["episode"] = _best(repeated)
    for role in ("reward", "terminated", "truncated", "done", "propensity"):
        roles[role] = roles[role][:1]
    actions = roles["action"]
    roles["action"] = [a for a in actions if re.match(r"act|a\b|a_?\d", a.lower())] or actions
    return roles


def _best(names: list[str]) -> list[str]:
    """One of several: the one that names an identifier or a number."""
    return sorted(names, key=lambda name: not name.lower().endswith(PRIORITY))[:1]


def _numeric(series: pl.Series) -> bool:
    return series.dtype.is_numeric() or series.dtype == pl.Boolean


def _counter(series: pl.Series, name: str) -> bool:
    """The unnamed row numbers that table programs write."""
    unnamed = not name.strip() or re.fullmatch(r"unnamed.*|index|row(_?(id|number))?", name.lower())
    return bool(unnamed) and series.dtype.is_integer() and series.n_unique() == len(series)


def _looks_grouped(head: pl.DataFrame, notes: list[str], used: Iterable[str]) -> list[str]:
    """A column of labels each of which fills one block of rows, where no name says which is the episode."""
    for name in head.columns:
        series = head[name]
        if (
            name in used
            or not (series.dtype.is_integer() or series.dtype == pl.String)
            or series.null_count()
        ):
            continue
        labels = series.n_unique()
        if 1 < labels <= head.height // 2 and len(series.rle()) == labels:
            notes.append(
                f"{name!r} was guessed to be the episode: each of its values fills one block of rows."
            )
            return [name]
    return []


def _order(head: pl.DataFrame, roles: dict[str, list[str]], free: list[str], notes: list[str]) -> str | None:
    """The column that grows within each episode: by name, otherwise by its values."""
    named = [n for n in roles["order"] if _numeric(head[n]) or _is_time(head[n])]
    roles["order"] = []
    if named:
        return sorted(named, key=lambda name: not _grows(head, name, roles["episode"]))[0]
    if not roles["episode"]:
        return None
    for name in free:
        if head[name].dtype.is_integer() and _grows(head, name, roles["episode"]):
            notes.append(f"{name!r} was guessed to be the order: it grows within each episode.")
            return name
    return None


def _is_time(series: pl.Series) -> bool:
    if series.dtype.is_temporal():
        return True
    if series.dtype != pl.String:
        return False
    try:
        return series.head(100).str.to_datetime(strict=False).null_count() == 0
    except pl.exceptions.PolarsError:
        return False


def _grows(head: pl.DataFrame, name: str, episode: list[str]) -> bool:
    step = pl.col(name).cast(pl.Float64, strict=False).diff()
    within = step.over(episode[0]) if episode else step
    return bool(head.select((within.drop_nulls() > 0).all()).item()) if _numeric(head[name]) else True


def _guess(roles: dict[str, list[str]], free: list[str], notes: list[str]) -> None:
    """Last resort for a missing reward and a missing action: the last free columns of numbers."""
    if not roles["action"] and not roles["reward"] and len(free) > 2:
        roles["reward"] = [free.pop()]
        notes.append(f"{roles['reward'][0]!r} was guessed to be the reward from its place; no name says so.")
    if not roles["action"]:
        if not free:
            raise FormatError("No column of numbers is left for the action. Write a schema by hand.")
        roles["action"] = [free.pop()]
        notes.append(f"{roles['action'][0]!r} was guessed to be the action from its place; no name says so.")


def _note_left_out(head: pl.DataFrame, used: set[str | None], notes: list[str]) -> None:
    left = [name for name in head.columns if name not in used]
    texts = [name for name in left if not _numeric(head[name])]
    if texts:
        notes.append(
            f"Left out, because they hold text: {', '.join(texts)}. Encode them as numbers to use them."
        )
    others = [name for name in left if _numeric(head[name])]
    if others:
        notes.append(
            f"Left out: {', '.join(repr(name) if name else 'a column without name' for name in others)}."
        )


def _schema(
    head: pl.DataFrame, roles: dict[str, list[str]], order: str | None, observation: list[str]
) -> Schema:
    def one(role: str) -> str | None:
        return roles[role][0] if roles[role] else None

    action = roles["action"]
    discrete = len(action) == 1 and _choices(head[action[0]])
    time = (order,) if order and not head[order].dtype.is_numeric() else ()
    return Schema(
        episode=one("episode"), order=order, observation=tuple(observation), action=tuple(action),
        action_type="discrete" if discrete else "continuous", reward=one("reward"),
        terminated=one("terminated"), truncated=one("truncated"), done=one("done"),
        propensity=one("propensity"), action_probabilities=tuple(roles["action_probabilities"]), columns=time,
    )  # fmt: skip


def _choices(series: pl.Series) -> bool:
    """Whether the numbers are a few whole ones from 0 on, and so most likely name choices."""
    values = series.drop_nulls().unique().cast(pl.Float64)
    whole = bool(((values >= 0) & (values % 1 == 0)).all())
    return whole and len(values) <= MOST_CHOICES and bool((values < 4 * MOST_CHOICES).all())

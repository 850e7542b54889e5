"""A schema for a table that has none, from its names and from what its columns look like.

It is a proposal: `suture` never reads a table by it until a person has saved it. A column is given a role
where its name and its values agree; where they do not, the role stays empty and a note says what to fill in.
"""

import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import polars as pl

from suture.config import fields_of
from suture.data.findings import many
from suture.data.formats import evidence, roles
from suture.data.formats.draft import Draft
from suture.data.formats.schema import FLAGS, Schema
from suture.data.formats.structure import find_episode, find_flags, find_order
from suture.data.values import EXACT_INTEGERS
from suture.errors import FormatError

SAMPLE = 10_000
MOST_NAMED = 12


def propose(table: pl.LazyFrame, source: str) -> tuple[dict[str, Any], list[str]]:
    """A schema as JSON, and notes on what was guessed, left out, or is to be filled in.

    It reads the table, unless an empty list stands for actions (or observations) that were not recognised.
    """
    kinds = table.collect_schema()
    named = [name for name, kind in kinds.items() if isinstance(kind, pl.Categorical | pl.Enum)]
    head = table.head(SAMPLE).with_columns(pl.col(named).cast(pl.String)).collect()
    if head.width < 2 or not head.height:
        raise FormatError(
            f"{source}: a log needs observations and actions; this table has {head.width} columns, "
            f"{head.height} rows."
        )
    draft = Draft(head)
    _rows(draft)
    _behaviour(draft)
    find_episode(draft)
    find_order(draft)
    find_flags(draft)
    _reward(draft)
    _action(draft)
    _entities(draft)
    _observation(draft)
    _note_actuators(draft)
    _note_rest(draft)
    return _schema(draft), draft.notes


def describe(source: str, notes: list[str]) -> str:
    """The message for a person, beside the proposal: what was guessed, and what to do."""
    listed = "".join(f"\n- {note}" for note in notes)
    named, name = shlex.quote(source), f"{Path(source).stem}.schema.json"
    there = next((p for p in (Path(name), Path(source).with_name(name)) if _is_filled(p)), None)
    if there is None:
        do = "Save it, check it, and pass it on:"
    else:
        do = (
            f"{there} is there already; to read the table by it:\n"
            f"  suture inspect {named} --schema {shlex.quote(str(there))}\n"
            "To save this proposal beside it, take another name, for > overwrites:"
        )
        numbered = (f"{Path(source).stem}-{n}.schema.json" for n in itertools.count(2))
        name = next(free for free in numbered if not _is_filled(Path(free)))
    saved = shlex.quote(name)
    return (
        f"{source} is a table: a schema must say what its columns mean. The one proposed fits what they look "
        f"like.{listed}\n{do}\n  suture inspect {named} > {saved}\n  suture inspect {named} --schema {saved}"
    )


def _is_filled(path: Path) -> bool:
    """Whether there is such a file with anything in it: `>` makes an empty one before the command begins."""
    return path.is_file() and path.stat().st_size > 0


def _rows(draft: Draft) -> None:
    """Leave out the row numbers that table programs write."""
    for name in draft.named("row"):
        if name in draft.numbers and draft.head[name].n_unique() == draft.head.height:
            draft.leave(name, "row numbers")


def _behaviour(draft: Draft) -> None:
    """What is logged of the policy that acted."""
    for name in draft.named("propensity")[:1]:
        draft.use(name, "propensity")
    for name in draft.named("action_probabilities"):
        draft.use(name, "action_probabilities")


def _reward(draft: Draft) -> None:
    """What is to become large (by name) or small (by name); nothing where no name says so."""
    named = [name for name in draft.named("reward") if name in draft.numbers]
    named = named or [name for name in draft.free_numbers() if roles.hints(name, "reward")]
    costs = {name: rank for name in draft.free_numbers() if (rank := roles.cost_rank(name)) is not None}
    chosen = (named or sorted(costs, key=costs.__getitem__) or [None])[0]
    if chosen is None:
        draft.note(
            "No column was recognised as the reward. Name the column that a policy is to make large "
            "under reward, or small under cost; without both only imitation is possible."
        )
        return
    if named:
        draft.use(chosen, "reward")
    else:
        _cost(draft, chosen)
    for name in (*named, *costs):
        if name in draft.free() and (name in named or roles.words(name) & roles.OUTCOMES or not named):
            draft.leave(name, f"{chosen!r} is the {draft.used[chosen]}; put all that counts into one column")
    if draft.label is not None and evidence.constant_within(draft.numbers[chosen], draft.label):
        draft.note(
            f"{chosen!r} is the same on all rows of an episode, and would count once for each. If it is "
            "the outcome of the whole, set it to 0 on all rows but the last."
        )


def _cost(draft: Draft, name: str) -> None:
    values = draft.numbers[name].drop_nulls()
    if len(values) and bool((values <= 0).all()) and bool((values < 0).any()):
        draft.use(name, "reward")
        draft.note(
            f"{name!r} is named like a cost but never positive, so it was proposed as the reward as it "
            "is: large is good. If the most negative values are the good ones, move it to cost."
        )
        return
    draft.use(name, "cost")
    draft.note(
        f"{name!r} was taken for a cost by its name: the reward is -{name}, so that a policy makes it "
        "small. If large values are good, move it to reward."
    )


def _action(draft: Draft) -> None:
    """What was decided, by name; an empty list where no name says so."""
    named = [name for name in draft.named("action") if name in draft.numbers]
    named = [name for name in named if re.fullmatch(roles.PLAIN_ACTION, roles.plain(name))] or named
    if not named:
        named = [name for name in draft.free_numbers() if roles.hints(name, "action")]
        if named:
            listed = ", ".join(map(repr, named))
            draft.note(f"Taken as actions by their names: {listed}. Take out what nobody chose.")
    if not named and (
        chosen := next((name for name in draft.free() if _are_texts_chosen(draft, name)), None)
    ):
        named, draft.choices = [chosen], sorted(draft.head[chosen].drop_nulls().unique())
        draft.note(
            f"{chosen!r} holds texts and was taken as the action by its name: action_values lists them in "
            "the order of the choices 0, 1, 2 …. Add those that the first rows do not show."
        )
    if not named:
        draft.note(
            "No column was recognised as the action. Put what was decided at each step into the empty list "
            "under action, and take it out of observation."
        )
    for name in named:
        draft.use(name, "action")


def _are_texts_chosen(draft: Draft, name: str) -> bool:
    """Whether a column of few texts has a name for what is decided."""
    cells = draft.head[name]
    few = 2 <= cells.drop_nulls().n_unique() <= evidence.FEW
    if cells.dtype != pl.String or name in draft.numbers or not few:
        return False
    found = roles.words(name)
    return draft.meaning[name] == "action" or bool(found & roles.CHOSEN and not found & roles.EARLIER)


def _entities(draft: Draft) -> None:
    """Whose episodes they are (patients, robots): text or identifiers that several whole episodes share."""
    if draft.label is None:
        return
    for name in draft.free():
        values = draft.head[name]
        text = values.dtype == pl.String and evidence.moments(values) is None
        unclear = draft.meaning[name] in ("action", "next") or values.null_count()
        if (text if name not in draft.numbers else roles.is_identifier(name)) and not unclear:
            several = values.n_unique() < draft.label.n_unique()
            if several and evidence.constant_within(values, draft.label):
                draft.use(name, "columns")
    found = draft.used_as("columns")
    if found:
        draft.note(
            f"Kept under columns: {', '.join(map(repr, found))}. Several episodes share a value, so that "
            f"suture train … --validation 0.1 --split-by {shlex.quote(f'entity:{found[0]}')} keeps whole "
            "ones out of training. To learn from them, encode them as numbers."
        )


def _observation(draft: Draft) -> None:
    """What is left of the numbers, without what only tells rows apart."""
    for name in draft.free():
        values = draft.numbers.get(name)
        if draft.meaning[name] == "next":
            draft.leave(name, "the next row holds the next observation")
        elif values is None:
            draft.leave(name, _text(draft, name))
        elif draft.meaning[name] == "order":
            draft.leave(name, "it counts steps or time")
        elif draft.meaning[name] == "episode" or roles.is_identifier(name):
            draft.leave(name, "identifiers: they tell rows apart and describe no situation")
        elif values.null_count():
            draft.leave(name, "empty cells: fill them to use it")
        elif draft.is_whole(name) and float(values.abs().max() or 0) > EXACT_INTEGERS:  # pyright: ignore
            draft.leave(name, "whole numbers too large for float32: subtract an offset to use it")
    free = draft.free()
    declared = [name for name in free if re.fullmatch(roles.OBSERVATION, roles.plain(name))]
    for name in declared or free:
        draft.use(name, "observation")
    for name in draft.free():
        draft.leave(name, "other columns are named as observations")
    if not free:
        draft.note(
            "No column is left for the observation. Put what describes the situation at each step into "
            "the empty list."
        )


def _note_actuators(draft: Draft) -> None:
    """Columns among the observations that may have been set: by their names, or by few levels."""
    likely = [
        name
        for name in draft.used_as("observation")
        if not re.fullmatch(roles.OBSERVATION, roles.plain(name))
        and (roles.is_actuator(name) or evidence.has_levels(draft.numbers[name], draft.label))
    ]
    if likely:
        listed = ", ".join(map(repr, likely[:MOST_NAMED])) + (" …" if len(likely) > MOST_NAMED else "")
        draft.note(
            f"Possible actions among the observations, by their names or their few levels: {listed}. Move "
            "what was set or decided at each step from observation to action; what was only measured stays."
        )


def _text(draft: Draft, name: str) -> str:
    """Why a column of text cannot be used: one of words, or of numbers with exceptions."""
    cells = draft.head[name].drop_nulls()
    odd = cells.filter(evidence.words(cells)) if cells.dtype == pl.String else cells
    if not 0 < 2 * len(odd) <= len(cells):
        return "text: encode it as numbers to use it"
    first = int((evidence.words(draft.head[name]) & draft.head[name].is_not_null()).arg_max() or 0)
    return (
        f"numbers but for {many(len(odd), 'cell')}, the first {odd[0]!r:.40} in row {first + 1:,} after the "
        "header: mend to use it"
    )


def _note_rest(draft: Draft) -> None:
    """What a person must know about what is not in the schema."""
    flags = [name for role in (*FLAGS, "reason") for name in draft.used_as(role)]
    if draft.label is None and draft.used_as("propensity"):
        draft.note("Every row is read as one decision with its own outcome (a bandit log).")
    elif draft.label is None and flags:
        draft.note("No column labels the episodes: the flags divide the rows as they stand in the file.")
    elif draft.label is None:
        ids = [name for name in draft.head.columns if roles.is_identifier(name) and name not in draft.used]
        repeated = [name for name in ids if 1 < draft.head[name].n_unique() < draft.head.height]
        perhaps = f" Perhaps {' or '.join(map(repr, repeated[:3]))}?" if repeated else ""
        for name in draft.used_as("order"):
            moment = evidence.moments(draft.head[name])
            if moment is not None and evidence.even(moment, None):
                perhaps += (
                    f" {name!r} grows evenly: if the file is one recording, add a column with one label."
                )
        runs = {
            name: begins
            for name, values in draft.numbers.items()
            if draft.used.get(name, "observation") == "observation"
            and (begins := evidence.begins_anew(values))
        }
        for name, begins in runs.items():
            perhaps = f" {name!r} begins anew {begins:,} times: add a column that numbers these runs."
        draft.note(
            "No column was recognised as the episode. Name the one whose value is the same for all steps "
            f"of a run, a batch or a patient.{perhaps} With null every row is a decision of its own (a "
            "bandit log)."
        )
    for why, names in draft.left.items():
        listed = ", ".join(repr(name) if name.strip() else "a column without a name" for name in names)
        draft.note(f"Left out: {listed} ({why}).")


def _schema(draft: Draft) -> dict[str, Any]:
    def one(role: str) -> str | None:
        return next(iter(draft.used_as(role)), None)

    action, order = draft.used_as("action"), one("order")
    named = len(action) == 1 and bool(roles.words(action[0]) & roles.CHOICE)
    discrete = bool(draft.choices) or (
        len(action) == 1 and evidence.are_choices(draft.numbers[action[0]], named=named)
    )
    if discrete and not draft.choices:
        least, most = (float(getattr(draft.numbers[action[0]], end)()) for end in ("min", "max"))
        count = f" Choices count from 0: subtract {least:.0f}, or 0 is a choice never taken." if least else ""
        draft.note(
            f"{action[0]!r} holds whole numbers from {least:.0f} to {most:.0f}, so it was proposed as "
            f'choices (discrete).{count} If they are amounts, set action_type to "continuous".'
        )
    defaults = {name: field.default for name, field in fields_of(Schema).items()}
    return defaults | {
        **{role: one(role) for role in ("episode", "order", "reward", "cost", *FLAGS, "propensity")},
        **draft.reasons,
        "observation": draft.used_as("observation"), "action": action,
        "action_type": "discrete" if discrete else "continuous", "action_values": draft.choices,
        "action_probabilities": draft.used_as("action_probabilities"),
        "columns": [*([order] if order and order not in draft.numbers else []), *draft.used_as("columns")],
    }  # fmt: skip

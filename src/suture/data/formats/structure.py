"""How the rows of a table are divided and ordered, for a proposal: episodes, steps, flags of ends."""

import polars as pl

from suture.data.formats import evidence, roles
from suture.data.formats.draft import Draft
from suture.data.formats.schema import FLAGS

NO_REASON = "no name says why they ended (where it was a failure or a goal, move it to terminated)"


def find_episode(draft: Draft) -> None:
    """A column of labels: by name, otherwise one whose values fill one block of rows each."""
    named = [name for name in draft.named("episode") if _is_label(draft, name)]
    if named:
        chosen = max(named, key=lambda name: (_contiguous(draft, name), draft.head[name].n_unique()))
    elif draft.used_as("propensity"):
        return
    else:
        scored = {name: _label_score(draft, name) for name in draft.free()}
        chosen = max(scored, key=scored.__getitem__, default=None)
        if chosen is None or not scored[chosen]:
            return
        draft.note(f"{chosen!r} was guessed to be the episode: each of its values fills one block of rows.")
    draft.use(chosen, "episode")
    draft.label = draft.head[chosen]


def _is_label(draft: Draft, name: str) -> bool:
    """Whether a column labels groups of rows: no measured numbers, no flag that goes to and fro."""
    series = draft.head[name]
    if series.null_count() or series.n_unique() == draft.head.height:
        return False
    if series.dtype.is_float() and not draft.is_whole(name):
        return False
    if series.n_unique() > 2 or _contiguous(draft, name):
        return True
    steps = [draft.numbers[name] for name in draft.named("order") if name in draft.numbers]
    return any(evidence.unique_within(step, series) and step.n_unique() < len(step) for step in steps)


def _contiguous(draft: Draft, name: str) -> bool:
    return evidence.blocks(draft.head[name]) == draft.head[name].n_unique()


def _label_score(draft: Draft, name: str) -> int:
    """How well the values of a column whose name says nothing look like labels; 0 for not at all."""
    series = draft.head[name]
    if _says_other(draft, name):
        return 0
    if not (series.dtype.is_integer() or series.dtype == pl.String) or series.null_count():
        return 0
    if not 3 <= series.n_unique() <= draft.head.height // 2 or not _contiguous(draft, name):
        return 0
    if any(
        evidence.restarts(draft.numbers[other], series) for other in draft.free_numbers() if other != name
    ):
        return 3
    if series.dtype == pl.String:
        return 2
    return int(evidence.counts(draft.numbers[name]) or roles.is_identifier(name))


def _says_other(draft: Draft, name: str) -> bool:
    """Whether a column's name says that it is something else than a label or a flag."""
    known = draft.meaning[name] is not None or roles.cost_rank(name) is not None
    return known or roles.hints(name, "action") or roles.hints(name, "reward")


def find_order(draft: Draft) -> None:
    """The column that grows within each episode: by name, otherwise by its values."""
    label = draft.label
    moments = {n: found for n in draft.free() if (found := evidence.moments(draft.head[n])) is not None}
    disorder = {name: evidence.disorder(values, label) for name, values in moments.items()}
    for name in (n for n, found in disorder.items() if found > 1 and roles.may_be_temperature(n)):
        if label is None or not evidence.paced(moments[name], label):
            draft.meaning[name] = None
    named = {n: (disorder[n], 0) for n in moments if draft.meaning[n] == "order"}
    told = [n for n in moments if roles.hints(n, "order") or n not in draft.numbers]
    hinted = {n: (0, 1) for n in told if disorder[n] == 0}
    # Without episodes rows are decisions of their own: what falls is no time of theirs.
    most = 2 if label is not None else 1
    fit = {n: rank for n, rank in {**hinted, **named}.items() if rank[0] <= most or _is_time(draft, n)}
    if fit:
        chosen = min(fit, key=fit.__getitem__)
        draft.use(chosen, "order")
        if label is not None and disorder[chosen] > 0 and not evidence.unique_within(moments[chosen], label):
            draft.note(_repeats(chosen, label.name))
        return
    if label is None:
        return
    free = {n: draft.numbers[n] for n in draft.free_numbers() if not draft.numbers[n].null_count()}
    clocks = [n for n, values in free.items() if disorder[n] in (0, 2) and evidence.paced(values, label)]
    growing = [n for n in free if disorder[n] == 0 and (draft.is_whole(n) or _restarts(draft, n, clocks))]
    if growing:
        chosen = max(growing, key=lambda name: evidence.even(draft.numbers[name], label))
        draft.use(chosen, "order")
        draft.note(f"{chosen!r} was guessed to be the order: it grows within each episode.")
        return
    for name in named:
        draft.note(_repeats(name, label.name))
    perhaps = f" Perhaps {' or '.join(map(repr, clocks))}, which grows evenly if sorted?" if clocks else ""
    draft.note(f"No column gives the order of steps: rows are taken as they stand in the file.{perhaps}")


def _restarts(draft: Draft, name: str, clocks: list[str]) -> bool:
    return name in clocks and draft.label is not None and evidence.restarts(draft.numbers[name], draft.label)


def _is_time(draft: Draft, name: str) -> bool:
    return draft.label is None and name not in draft.numbers


def _repeats(name: str, label: str) -> str:
    return (
        f"{name!r} repeats within values of {label!r}. If two columns together label an episode (a patient "
        "and a visit, say), join them into one and name that one as episode."
    )


def find_flags(draft: Draft) -> None:
    """Flags that are set on the last row of an episode only; their names say why it ended."""
    for name in draft.free_numbers():
        values, meaning = draft.numbers[name].fill_null(0), roles.flag(name)
        if not evidence.is_flag(values):
            continue
        if meaning is None and (_says_other(draft, name) or not _ends_blocks(draft, values)):
            continue
        role, known = meaning or "done", draft.label is not None
        taken = draft.used_as(role)
        plain = roles.is_flag(name)
        if _inside(draft, values) if known else not (plain or _ends_blocks(draft, values)):
            draft.leave(name, "a flag of ends must be 1 on the last row of an episode and 0 elsewhere")
        elif taken:
            draft.leave(name, f"{taken[0]!r} is {role} already; join several flags into one column")
        else:
            draft.use(name, role)
            if not plain:
                why = "its name says that the environment ended" if role == "terminated" else NO_REASON
                draft.note(
                    f"{name!r} was taken as {role}: it is set on last rows of episodes only, and {why}."
                )
    _find_reasons(draft)
    _order_between_flags(draft)


def _find_reasons(draft: Draft) -> None:
    """A column of a few texts that says on last rows why episodes ended, by its name and what it holds."""
    for name in draft.free():
        cells = draft.head[name]
        if cells.dtype != pl.String or name in draft.numbers or not roles.words(name) & roles.REASONS:
            continue
        values = sorted(cells.drop_nulls().unique())
        taken = {role for role in FLAGS if draft.used_as(role)}
        said = {value: role for value in values if (role := roles.why_ended(value)) not in (None, *taken)}
        if not said or len(values) > evidence.MOST_REASONS:
            continue
        flags = cells.is_in(list(said)).fill_null(value=False).cast(pl.Float64)
        if _inside(draft, flags) or float(flags.sum()) > len(flags) / 2:
            draft.leave(name, "it says why episodes ended on other rows than their last; clear those")
            continue
        draft.use(name, "reason")
        draft.numbers[name] = flags
        draft.reasons = {
            str(role): {"column": name, "is": [value for value in values if said.get(value) == role]}
            for role in dict.fromkeys(said.values())
        }
        listed = "; ".join(
            f"{role} where it is {_listed(each['is'])}" for role, each in draft.reasons.items()
        )
        others = [value for value in values if value not in said]
        neither = f" Add those of {_listed(others)} that end episodes." if others else ""
        draft.note(f"{name!r} seems to say why episodes ended: {listed}.{neither} Mend the lists.")
        return


def _listed(values: list[str]) -> str:
    return ", ".join(map(repr, values))


def _inside(draft: Draft, values: pl.Series) -> bool:
    """Whether a flag is set on a row that is not the last of its episode."""
    order = draft.used_as("order")
    moment = evidence.moments(draft.head[order[0]]) if order else None
    return draft.label is not None and evidence.set_inside(values, draft.label, moment)


def _ends_blocks(draft: Draft, values: pl.Series) -> bool:
    """Whether a flag is set several times, not mostly, and always where an episode or the order ends."""
    if not 2 <= float(values.sum()) <= len(values) / 2:
        return False
    if draft.label is not None:
        return not _inside(draft, values)
    steps = [draft.numbers[name] for name in draft.named("order") if name in draft.numbers]
    return any(evidence.restarts(step, evidence.pieces([values])) for step in steps)


def _order_between_flags(draft: Draft) -> None:
    """Where flags alone divide the rows: a step number or a clock that begins anew after each."""
    flags = [draft.numbers[name] for role in (*FLAGS, "reason") for name in draft.used_as(role)]
    if draft.label is not None or draft.used_as("order") or not flags:
        return
    between = evidence.pieces(flags)
    for name in draft.named("order"):
        if name in draft.numbers and evidence.grows(draft.numbers[name], between):
            draft.use(name, "order")
            return
    for name in draft.free_numbers():
        values = draft.numbers[name]
        if not values.null_count() and evidence.restarts(values, between) and evidence.paced(values, between):
            draft.use(name, "order")
            draft.note(f"{name!r} was guessed to be the order: it grows evenly between the ends of episodes.")
            return

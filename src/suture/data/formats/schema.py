"""What the columns of a table mean: a frozen dataclass that is saved as JSON and edited by hand."""

import dataclasses
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from suture import config
from suture.config import bounded
from suture.data import bounds
from suture.errors import ConfigError
from suture.storage.atomic import write_file

FLAGS = ("terminated", "truncated", "done")
ROLES = ("episode", "observation", "action", "reward", "cost", *FLAGS, "propensity", "action_probabilities")


@dataclasses.dataclass(frozen=True)
class Reason:
    """A flag that is set where a column holds one of some values: why the episode ended."""

    column: str
    values: tuple[Any, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schema:
    """Columns of a table, by name. None or an empty list: the table has no such column.

    format: version of this schema's form.
    episode: label of the episode. None: the flags below divide the rows; where no flag is named either,
        every row is an episode of one step, as in bandit logs.
    order: step number or time within the episode. None: the order of the file.
    observation, action: one column per dimension. action_type: "discrete" actions are one column of
        integers from 0. A row whose action is empty holds the episode's final state.
    reward: what the policy is to make large.   cost: what it is to make small: its reward is -cost. At most
        one of the two; without both, only imitation is possible.
    terminated, truncated, done: flags, 1 (or true) on the last row of an episode and 0 elsewhere: the
        environment ended here; the recording was cut here; the episode ended for a reason that is not said.
        A column that says why is named with the values that mean so, {"column": "why", "is": ["fell"]}.
    action_values: what a column of discrete actions holds for the choices 0, 1, 2 ...; empty: their numbers.
    propensity: probability of the logged action under the policy that acted.
    action_probabilities: the whole distribution: one column of bracketed lists, or one column per action.
    columns: further columns to keep for splitting (an entity, a time).
    action_bounds: the lowest and the highest value that every action dimension may take, [low, high]; or a
        list of one such pair for each, [[0, 100], [0, 1]].

    A column has one role, but that those in `columns`, and the order, may be observations as well. Raises
    `ConfigError` for anything else.
    """

    format: int = bounded(config.FORMAT, at_least=1, at_most=config.FORMAT)
    episode: str | None = None
    order: str | None = None
    observation: tuple[str, ...] = ()
    action: tuple[str, ...] = ()
    action_type: Literal["continuous", "discrete"] = "continuous"
    action_values: tuple[Any, ...] = ()
    reward: str | None = None
    cost: str | None = None
    terminated: Any = None
    truncated: Any = None
    done: Any = None
    propensity: str | None = None
    action_probabilities: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    action_bounds: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        config.check(self)
        if not self.observation or not self.action:
            missing = "observation" if not self.observation else "action"
            raise ConfigError(
                f"Schema.{missing} names no column: its list needs at least one column of the table."
            )
        if self.action_type == "discrete" and len(self.action) > 1:
            raise ConfigError(f"Schema.action must be one column where actions are discrete: {self.action}.")
        _check_values(self)
        self._check_roles()
        self._check_bounds()

    def _check_bounds(self) -> None:
        if self.action_bounds is None:
            return
        bounds.check(self.action_bounds, "Schema.action_bounds")
        bounds.arrays(self.action_bounds, len(self.action), "Schema.action_bounds")
        if self.action_type == "discrete":
            raise ConfigError(
                "Schema.action_bounds is for continuous actions; remove it or change action_type."
            )

    def _check_roles(self) -> None:
        """Refuse a column that is to be two things, or one thing twice."""
        if self.reward is not None and self.cost is not None:
            raise ConfigError(
                f"Schema names a reward ({self.reward!r}) and a cost ({self.cost!r}): at most one of them. "
                "Put their difference into one column, or set one of the two to null."
            )
        roles: dict[str, str] = {}
        for role in ROLES:
            named = getattr(self, role)
            if role in self.reasons:
                named = self.reasons[role].column
            for column in (named,) if isinstance(named, str) else named or ():
                if column in roles and not {role, roles[column]} <= set(self.reasons):
                    twice = f"{role} twice" if roles[column] == role else f"{roles[column]} and as {role}"
                    raise ConfigError(
                        f"Schema names the column {column!r} as {twice}. A column has one role; take it out "
                        "of one list."
                    )
                roles[column] = role
        if self.order is not None and roles.get(self.order, "observation") != "observation":
            raise ConfigError(
                f"Schema names the column {self.order!r} as order and as {roles[self.order]}. The order may "
                "be an observation, but nothing else."
            )

    @staticmethod
    def from_json(values: Mapping[str, Any], where: str = "The schema") -> "Schema":
        """The schema that `to_json` wrote. An unknown or misspelt key is refused."""
        try:
            _check_types(values)
            return config.from_json(Schema, values)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error

    def to_json(self) -> dict[str, Any]:
        return config.to_json(self)

    def save(self, path: Path) -> None:
        """Write the schema for a person to check and edit."""
        write_file(path, (json.dumps(self.to_json(), indent=2) + "\n").encode(), point="schema")

    @property
    def reasons(self) -> dict[str, Reason]:
        """The flags that are read from a column which says why an episode ended, by their roles."""
        found = {role: getattr(self, role) for role in FLAGS}
        return {
            role: Reason(each["column"], tuple(each["is"]))
            for role, each in found.items()
            if isinstance(each, dict)
        }

    @property
    def numbers(self) -> tuple[str, ...]:
        """Every column that must hold numbers, once each."""
        probabilities = self.action_probabilities if len(self.action_probabilities) > 1 else ()
        flags = (getattr(self, role) for role in FLAGS if role not in self.reasons)
        single = (self.reward, self.cost, *flags, self.propensity)
        action = () if self.action_values else self.action
        named = (*self.observation, *action, *probabilities, *(name for name in single if name))
        return tuple(dict.fromkeys(named))

    @property
    def keys(self) -> tuple[str, ...]:
        """Every column that is kept as it is: episode, order, and those for splitting."""
        return tuple(dict.fromkeys(name for name in (self.episode, self.order, *self.columns) if name))


LISTS = ("observation", "action", "action_probabilities", "columns")
NAMES = ("episode", "order", "reward", "cost", "propensity")


def _check_types(values: Mapping[str, Any]) -> None:
    """Refuse one name where a list of them belongs, and a list where one name does, with an example."""
    for role in (*LISTS, *NAMES):
        value = values.get(role)
        is_list = isinstance(value, list) and all(isinstance(name, str) for name in cast("list[Any]", value))
        if role in LISTS and role in values and not is_list:
            example = json.dumps([value] if isinstance(value, str) else ["first", "second"])
            raise ConfigError(
                f"{role} must be a JSON list of names of columns, such as {example}; found {_json(value)}."
            )
        if role in NAMES and value is not None and not isinstance(value, str):
            example = json.dumps(value[0] if is_list and value else role)
            raise ConfigError(
                f"{role} must be the name of one column, such as {example}, or null; found {_json(value)}."
            )
    if not isinstance(values.get("action_values", []), list):
        raise ConfigError(
            "action_values must be a JSON list of what the action's column holds for the choices 0, 1, 2 …, "
            f'such as ["left", "right"]; found {_json(values["action_values"])}.'
        )
    stated = values.get("action_bounds")
    if stated is not None and not isinstance(stated, list):
        raise ConfigError(
            "action_bounds must be a JSON list, [low, high], or one such list for each dimension, [[0, 100], "
            f"[0, 1]]; found {_json(stated)}."
        )


def _check_values(schema: Schema) -> None:
    """Refuse a flag that is neither a name nor {"column": ..., "is": [...]}, and values that say nothing."""
    for role in FLAGS:
        flag: Any = getattr(schema, role)
        if flag is None or isinstance(flag, str):
            continue
        is_reason = isinstance(flag, dict) and set(cast("dict[Any, Any]", flag)) == {"column", "is"}
        if (
            not is_reason
            or not isinstance(flag["column"], str)
            or not _are_values(flag["is"])
            or not flag["is"]
        ):
            raise ConfigError(
                f'{role} must be the name of one column, such as "{role}", or null, or a column and what it '
                f'holds where so it is, such as {{"column": "why", "is": ["fell"]}}; found {_json(flag)}.'
            )
    for role, other in itertools.combinations(schema.reasons, 2):
        one, two = schema.reasons[role], schema.reasons[other]
        if one.column == two.column and (both := [value for value in one.values if value in two.values]):
            raise ConfigError(
                f"{one.column!r} cannot be {role} and {other} where it is {both[0]!r}. Leave it to one."
            )
    values = schema.action_values
    if values and (
        schema.action_type != "discrete" or not _are_values(values) or len(set(values)) < len(values)
    ):
        raise ConfigError(
            'Schema.action_values must be different texts or numbers, with action_type "discrete": what the '
            f"column holds for the choices 0, 1, 2 …; found {_json(list(values))}."
        )


def _are_values(values: Any) -> bool:
    """Whether these are texts or numbers, as a column may hold them."""
    return isinstance(values, list | tuple) and all(
        isinstance(value, str | int | float) for value in cast("list[Any]", values)
    )


def _json(value: Any) -> str:
    return f"{json.dumps(value, default=str):.60}"

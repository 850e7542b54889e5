"""What the columns of a table mean: a frozen dataclass that is saved as JSON and edited by hand."""

import dataclasses
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
    reward: str | None = None
    cost: str | None = None
    terminated: str | None = None
    truncated: str | None = None
    done: str | None = None
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
            for column in (named,) if isinstance(named, str) else named or ():
                if column in roles:
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
    def numbers(self) -> tuple[str, ...]:
        """Every column that must hold numbers, once each."""
        probabilities = self.action_probabilities if len(self.action_probabilities) > 1 else ()
        single = (self.reward, self.cost, self.terminated, self.truncated, self.done, self.propensity)
        named = (*self.observation, *self.action, *probabilities, *(name for name in single if name))
        return tuple(dict.fromkeys(named))

    @property
    def keys(self) -> tuple[str, ...]:
        """Every column that is kept as it is: episode, order, and those for splitting."""
        return tuple(dict.fromkeys(name for name in (self.episode, self.order, *self.columns) if name))


LISTS = ("observation", "action", "action_probabilities", "columns")
NAMES = ("episode", "order", "reward", "cost", *FLAGS, "propensity")


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
    stated = values.get("action_bounds")
    if stated is not None and not isinstance(stated, list):
        raise ConfigError(
            "action_bounds must be a JSON list, [low, high], or one such list for each dimension, [[0, 100], "
            f"[0, 1]]; found {_json(stated)}."
        )


def _json(value: Any) -> str:
    return f"{json.dumps(value, default=str):.60}"

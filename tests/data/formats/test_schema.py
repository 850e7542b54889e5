"""A schema gives a column one role."""

import dataclasses
import re
from typing import Any

import pytest

from suture.data.formats.schema import ROLES, Schema
from suture.errors import ConfigError

SCHEMA = Schema(episode="e", order="t", observation=("x", "y"), action=("u",), reward="r")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"action": ("u", "x")}, "'x' as observation and as action"),
        ({"observation": ("x", "r")}, "'r' as observation and as reward"),
        ({"observation": ("x", "e")}, "'e' as episode and as observation"),
        ({"observation": ("x", "y", "x")}, "'x' as observation twice"),
        ({"action": ("u", "r")}, "'r' as action and as reward"),
        ({"terminated": "y"}, "'y' as observation and as terminated"),
        ({"done": "u"}, "'u' as action and as done"),
        ({"terminated": "f", "done": "f"}, "'f' as terminated and as done"),
        ({"reward": None, "cost": "x"}, "'x' as observation and as cost"),
        ({"propensity": "u"}, "'u' as action and as propensity"),
        ({"action_probabilities": ("p", "y")}, "'y' as observation and as action_probabilities"),
        ({"order": "u"}, "'u' as order and as action"),
        ({"order": "e"}, "'e' as order and as episode"),
    ],
)  # fmt: skip
def test_a_column_in_two_roles_is_refused_with_both(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"names the column {said}")):
        dataclasses.replace(SCHEMA, **change)


def test_the_order_and_what_is_kept_for_splitting_may_be_observed() -> None:
    schema = dataclasses.replace(SCHEMA, observation=("x", "y", "t"), columns=("x", "t", "e"))
    assert schema.numbers == ("x", "y", "t", "u", "r")
    assert schema.keys == ("e", "t", "x")


def test_a_reward_and_a_cost_are_refused_together() -> None:
    with pytest.raises(ConfigError, match=r"a reward \('r'\) and a cost \('c'\): at most one"):
        dataclasses.replace(SCHEMA, cost="c")
    assert dataclasses.replace(SCHEMA, reward=None, cost="c").numbers[-1] == "c"
    assert dataclasses.replace(SCHEMA, reward=None).reward is None


def test_every_field_of_columns_has_a_role() -> None:
    """A field that is added and forgotten here could name the column of another."""
    others = {"format", "order", "action_type", "action_values", "columns", "action_bounds"}
    assert {field.name for field in dataclasses.fields(Schema)} - others == set(ROLES)

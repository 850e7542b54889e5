"""Settings of a run that would do nothing are refused before anything is read."""

from typing import Any

import pytest

from suture.errors import ConfigError
from suture.training.settings import Settings


@pytest.mark.parametrize("by", ["entity:patient", "time:hour", "entity:nope", "nonsense"])
def test_a_rule_of_splitting_without_a_share_to_split_is_refused(by: str) -> None:
    with pytest.raises(ConfigError, match=f"split_by='{by}' divides nothing: validation is 0"):
        Settings(split_by=by)


@pytest.mark.parametrize(
    "fields", [{}, {"validation": 0.1}, {"validation": 0.1, "split_by": "entity:patient"}]
)
def test_a_share_may_be_split_by_any_rule(fields: dict[str, Any]) -> None:
    assert Settings(**fields).split_by == fields.get("split_by", "episode")

"""Findings tell both kinds of users what to pass."""

import pytest
import tyro

from suture.cli.options import ReadingOptions, prepared
from suture.data.findings import option
from suture.data.log import Reading


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ends", "time-limit", '--ends time-limit (in Python: Reading(ends="time-limit"))'),
        ("episode_length", 5, "--episode-length 5 (in Python: Reading(episode_length=5))"),
        ("discrete", False, "--discrete False (in Python: Reading(discrete=False))"),
        ("drop_duplicates", True, "--drop-duplicates (in Python: Reading(drop_duplicates=True))"),
        ("action_bounds", (-2, 2), "--action-bounds -2 2 (in Python: Reading(action_bounds=(-2, 2)))"),
        (
            "action_bounds",
            "observed",
            '--action-bounds observed (in Python: Reading(action_bounds="observed"))',
        ),
        (
            "action_bounds",
            ((0, 100), (-1.5, 1)),
            "--action-bounds 0:100 -1.5:1 (in Python: Reading(action_bounds=((0, 100), (-1.5, 1))))",
        ),
    ],
)
def test_an_option_works_as_it_is_said(name: str, value: object, said: str) -> None:
    assert option(name, value) == said
    typed = said.partition(" (in Python")[0].split()
    assert tyro.cli(ReadingOptions, args=prepared(typed)).reading == Reading(**{name: value})  # type: ignore[arg-type]


def test_capitals_stand_for_what_is_to_be_filled_in() -> None:
    said = "--action-bounds LOW HIGH (in Python: Reading(action_bounds=(LOW, HIGH)))"
    assert option("action_bounds", ("LOW", "HIGH")) == said

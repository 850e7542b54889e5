"""What `suture inspect` shows: exact keys, and a table that fits a terminal."""

import io
import json

import numpy as np
from making.logs import built, changed, walk_log
from rich.console import Console

from suture.data.summary import summarise
from suture.report.inspection import render

KEYS = {
    "transitions", "episodes", "terminated", "truncated", "unfinished", "missing_next_observations",
    "observation_space", "action_space", "returns", "findings",
}  # fmt: skip


def test_the_summary_has_the_promised_keys() -> None:
    log = walk_log((5, 4, 6))
    timeout = np.zeros(15)
    timeout[4] = 1
    terminal = np.array(log.terminal) & (np.arange(15) < 14) & ~(timeout > 0)
    summary = summarise(built(changed(log, terminal=terminal, timeout=timeout)))
    assert set(summary) == KEYS
    counts = {
        key: summary[key] for key in ("transitions", "episodes", "terminated", "truncated", "unfinished")
    }
    assert counts == {"transitions": 15, "episodes": 3, "terminated": 1, "truncated": 1, "unfinished": 1}
    returns = np.add.reduceat(np.array(log.reward), [0, 5, 9])
    assert np.allclose([summary["returns"][k] for k in ("min", "mean", "max")],
                       [returns.min(), returns.mean(), returns.max()])  # fmt: skip
    for finding in summary["findings"]:
        assert set(finding) == {"id", "severity", "count", "rows", "message"}
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_without_rewards_there_are_no_returns() -> None:
    summary = summarise(built(changed(walk_log(), reward=None)))
    assert summary["returns"] == {"min": None, "mean": None, "max": None}


def test_the_table_fits_eighty_columns_and_prints_what_files_say_as_it_is() -> None:
    log = changed(walk_log((40, 30)), source="[bold]odd[/bold] \x1b[2Jname.npz")
    action = np.array(log.action)
    action[3] = 5
    summary = summarise(built(changed(log, action=action)))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render(summary, log.source))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "[bold]odd[/bold] \ufffd[2Jname.npz" in text
    assert "actions-out-of-bounds" in text
    assert "Not fit for training" in text
    assert "missing next observations" in text

"""What a person sees while training, at a terminal and without, and what a preset says of itself."""

import re
from pathlib import Path
from typing import Any

import pytest
from making.runs import saved_walk

import suture.cli as cli
from suture.algorithms.presets import described
from suture.cli.progress import Bar


def test_without_a_terminal_a_line_is_printed_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("suture.cli.progress.time.monotonic", lambda: now[0])
    with Bar("iql") as watch:
        watch.start(1_000, 9_000)
        for step, seconds in ((2_000, 10), (3_000, 29), (5_000, 40), (6_000, 60), (7_000, 70), (9_000, 75)):
            now[0] = 100.0 + seconds
            watch.progress(step)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "iql: step 5,000 of 9,000, 100 updates/s, 40 s left.",
        "iql: step 7,000 of 9,000, 86 updates/s, 23 s left.",
    ]


def test_a_terminal_shows_a_bar_with_speed_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setattr("rich.console.monotonic", lambda: now[0])
    with Bar("iql") as watch:
        watch.start(1_000, 9_000)
        for step in (2_000, 3_000, 5_000):
            now[0] = 100.0 + (step - 1_000) / 100
            watch.progress(step)
    shown = " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err).split())
    assert shown.endswith("5000/9000 100 updates/s 0:00:40")


def test_a_preset_says_what_it_set_and_whose_it_is(tmp_path: Path, capsys: Any) -> None:
    log = saved_walk(tmp_path / "walk.npz")
    arguments = ["--preset", "dexterous", "--dropout", "0.2", "--steps", "1", "--hidden", "8"]
    assert cli.run(["train", "bc", str(log), "--out", str(tmp_path / "run"), *arguments]) == 0
    said = capsys.readouterr().err.splitlines()[0]
    assert said.startswith(
        "Preset dexterous of bc: nothing; dropout 0.2 as you said. Source: Kostrikov et al."
    )


def test_a_preset_names_fields_and_settings() -> None:
    said = described("iql", "sparse", {"expectile": 0.9, "inverse_temperature": 3.0})
    assert said.startswith(
        "Preset sparse of iql: expectile 0.9, reward_shift -1; inverse_temperature 3 as you"
    )
    assert said.endswith("Source: Kostrikov et al. 2021 (arXiv:2110.06169).")
    assert described("bc", "generic", {}) == "Preset generic of bc: the method's own defaults."

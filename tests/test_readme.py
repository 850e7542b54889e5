"""The README's snippets, taken from it and run as they stand, but for the length of training."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest
from making.logs import walk_log

import suture
from suture import cli
from suture.algorithms.table import ALGORITHMS

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
SHORTER = {"steps=100_000": "steps=20", "--steps 100000": "--steps 20"}
"""All that is replaced in the snippets: they are to run in seconds."""


def shorter(snippet: str) -> str:
    long = [text for text in SHORTER if text in snippet]
    assert len(long) == 1, f"the length of training is written otherwise in:\n{snippet}"
    return snippet.replace(long[0], SHORTER[long[0]])


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def block(title: str, kind: str = "") -> str:
    """The first block of code in a section, in a language."""
    return section(title).split(f"\n```{kind}\n")[1].split("\n```")[0] + "\n"


def shell(script: str) -> "subprocess.CompletedProcess[str]":
    """Run in a shell that finds `suture`."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return subprocess.run(
        ["/bin/sh", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
        check=False,
    )


def write_csv(path: Path) -> None:
    log, lengths = walk_log((20,) * 30), np.full(30, 20)
    columns = {f"sensor_{n}": log.observation[:, n] for n in range(3)} | {
        f"action_{n}": log.action[:, n] for n in range(2)
    }
    episode, step = np.repeat(np.arange(30), lengths), np.tile(np.arange(20), 30)
    pl.DataFrame({"episode": episode, "step": step, **columns, "reward": log.reward}).write_csv(path)


def test_the_lines_of_python_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    snippet = block("Five lines of Python", "python")
    assert len([line for line in snippet.splitlines() if line]) == 5
    path, out = (Path(re.findall(pattern, snippet)[0]) for pattern in (r'load\("(.+?)"', r'out="(.+?)"'))
    path.parent.mkdir()
    log = walk_log((20,) * 30)
    with h5py.File(path, "w") as file:
        for name in ("observation", "action", "reward", "next_observation", "terminal"):
            file[f"{name}s"] = getattr(log, name)
    Path("snippet.py").write_text(shorter(snippet))
    observation = log.observation[0].astype(np.float32)
    names = runpy.run_path("snippet.py", {"observation": observation})
    run = suture.open_run(out)
    assert (run.algorithm.expectile, len(run), run.metrics[-1]["step"]) == (0.8, 4, 20)
    np.testing.assert_array_equal(names["action"], run.member(0).act(observation))
    assert not np.allclose(names["action"], run.member(1).act(observation))


def test_a_csv_of_one_s_own_is_trained_on_with_the_commands_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(Path("logs.csv"))
    proposing, looking, training = block("Your own CSV").splitlines()
    asked = shell(proposing)
    assert asked.returncode == 2, "there is no schema yet"
    assert "a schema must say what its columns mean" in asked.stderr
    proposed = Path("logs.schema.json").read_text()
    assert json.loads(proposed)["action"] == ["action_0", "action_1"]
    in_a_script = re.findall(r"`(suture inspect logs\.csv > [^`]*)`", section("Your own CSV"))
    script = "\n".join(("set -e", *in_a_script, looking, shorter(training), "echo done"))
    done = shell(script)
    assert done.returncode == 0, done.stderr
    assert len(in_a_script) == 1
    assert Path("logs.schema.json").read_text() == proposed
    assert "600" in done.stdout, "the transitions"
    assert done.stdout.endswith("runs/first\ndone\n")
    assert suture.open_run("runs/first").metrics[-1]["step"] == 20


def test_the_table_of_commands_names_all_of_them() -> None:
    named = set(re.findall(r"^\| `suture (\w+)", section("Commands"), re.MULTILINE))
    assert named == set(cli.COMMANDS)


def test_the_number_of_algorithms_is_true() -> None:
    (number,) = re.findall(r"^\| offline algorithms \| (\d+): ", README, re.MULTILINE)
    assert int(number) == len(ALGORITHMS)

"""What a command says of input that it refuses, and what it does instead where one asks for it."""

import errno
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.command import Command
from making.logs import built, walk_log
from making.runs import saved_walk

import suture.cli as cli
from suture.data.formats import native


def test_d17_d18_a_damaged_store_is_refused_or_read_in_part(command: Command, tmp_path: Path) -> None:
    store = tmp_path / "store"
    native.write(built(walk_log((5, 4, 6))), store, shard_bytes=1)
    shard = store / "shard-000001.safetensors"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    code, out, err = command("train", "bc", store, "--out", tmp_path / "run")
    assert (code, out) == (2, "")
    assert f"{shard.name} is corrupted" in err
    assert "--skip-bad" in err
    assert not (tmp_path / "run").exists()
    code, out, _ = command("inspect", store, "--skip-bad", "--json")
    assert (code, json.loads(out)["transitions"]) == (0, 11)
    assert shard.name in json.loads(out)["findings"][-1]["message"]


def check_error(code: int, out: str, err: str) -> dict[str, Any]:
    """Exit code 2, the message for people, and one object that says the same and no more."""
    told = json.loads(out)
    assert list(told) == ["error"]
    error = told["error"]
    assert (code, error["exit_code"]) == (2, 2)
    assert err.endswith(f"suture: {error['message']}\n")
    return error


def test_inspect_tells_a_refusal_as_json(command: Command, tmp_path: Path) -> None:
    (tmp_path / "log.npz").write_bytes(b"PK")
    error = check_error(*command("inspect", "--json", tmp_path / "log.npz"))
    assert error["type"] == "FormatError"
    assert str(tmp_path / "log.npz") in error["message"]
    error = check_error(*command("inspect", tmp_path / "absent.npz", "--json"))
    assert "absent.npz" in error["message"]
    (tmp_path / "log.csv").write_text("a,b\n1,2\n")
    error = check_error(*command("inspect", tmp_path / "log.csv", "--json"))
    assert error["type"] == "SchemaNeeded"
    assert error["proposal"]["format"] == 1


def test_evaluate_tells_a_refusal_as_json(command: Command, root: Path, tmp_path: Path) -> None:
    """What the gate finds in a log is told in full."""
    error = check_error(*command("evaluate", tmp_path, "--env", "CartPole-v1", "--json"))
    assert error["type"] == "RunMismatch"
    assert "is not a run folder" in error["message"]
    run, log = root / "tests/fixtures/0.1.0/bc", saved_walk(tmp_path / "bad.npz", scale=np.nan)
    error = check_error(*command("evaluate", run, "--data", log, "--json"))
    assert error["type"] == "DataRefused"
    assert {"id", "severity", "count", "rows", "message"} == error["findings"][0].keys()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("inspect", "log.npz", "--bogus"), "Unrecognized options: --bogus"),
        (("evaluate", "--env", "x"), "RUN"), (("inspect",), "DATA"),
        (("overestimation", "run", "--episodes", "many"), "'many' is no whole number"),
        (("make", "composite", "out", "--observation", "sound"), "sound"),
        (("train", "bc", "log.npz", "--bogus"), "Unrecognized options: --bogus"),
        (("finetune", "tests/fixtures/0.1.0/bc", "--env", "x", "--bogus"), "Unrecognized options: --bogus"),
    ],
)  # fmt: skip
def test_words_that_no_command_takes_are_told_as_json(
    command: Command, words: tuple[str, ...], said: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In plain words: people get a frame around them where nobody asked for JSON."""
    monkeypatch.chdir(root)
    error = check_error(*command(*words, "--json"))
    assert error["type"] == "ConfigError"
    assert said in error["message"]
    assert re.fullmatch(r"[\w -~]+ --help\.", error["message"])
    assert "----" not in error["message"]
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert err.count("\n") > 3
    assert not err.startswith("suture:")


def test_what_nobody_foresaw_is_told_as_json_beside_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise RuntimeError("the simulator blew up")

    monkeypatch.setattr(cli, "run", fail)
    monkeypatch.setattr(sys, "argv", ["suture", "evaluate", "run", "--json"])
    with pytest.raises(RuntimeError, match="blew up"):
        cli.main()
    error = {"type": "RuntimeError", "message": "the simulator blew up", "exit_code": 1}
    assert json.loads(capsys.readouterr().out) == {"error": error}


def test_a_standard_output_that_is_full_is_one_message(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    code, _, err = command("inspect", saved_walk(tmp_path / "log.npz"), "--json")
    assert (code, err) == (2, "suture: the system: No space left on device.\n")


def test_without_json_nothing_is_said_on_standard_output(command: Command, tmp_path: Path) -> None:
    code, out, err = command("inspect", tmp_path / "absent.npz")
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("name", ["inspect", "evaluate"])
def test_the_help_says_so(name: str, command: Command) -> None:
    code, out, _ = command(name, "--help")
    assert code == 0
    assert '{"error": {"type", "message"' in re.sub(r"[│\s]+", " ", out)

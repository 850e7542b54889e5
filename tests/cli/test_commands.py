"""The commands, from a log on the disk to a score: what they print, the keys of their JSON, exit codes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from making.command import Command
from making.runs import checkpoints, newest, poisoned, saved_walk, walk

from suture.algorithms.bc import BC
from suture.data.formats import native
from suture.data.summary import summarise
from suture.errors import DataRefused
from suture.training.run import Run
from suture.training.train import train

INSPECT = {
    "transitions", "episodes", "terminated", "truncated", "unfinished", "missing_next_observations",
    "observation_space", "action_space", "returns", "findings",
}  # fmt: skip
EVALUATE = {
    "environment", "seed", "members", "episodes", "mean", "standard_error", "interval", "settings",
    "per_member", "starts",
}  # fmt: skip


class Still(gymnasium.Env[Any, Any]):
    """An environment of the walk's spaces: three steps, each rewarded by the first action."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self.np_random.normal(size=3).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return self.np_random.normal(size=3).astype(np.float32), float(action[0]), self.steps == 3, False, {}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return saved_walk(tmp_path / "walk.npz")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    train(BC(hidden=(8,)), walk(), out=out, steps=20, checkpoint_every=10)
    return out


@pytest.fixture
def environment() -> Any:
    gymnasium.register("Still-v0", Still)
    yield "Still-v0"
    del gymnasium.registry["Still-v0"]


def test_inspect_prints_a_table_or_one_object(command: Command, log: Path) -> None:
    code, out, _ = command("inspect", log)
    assert code == 0
    assert "186" in out
    assert "Fit for training." in out
    code, out, _ = command("inspect", log, "--json")
    assert code == 0
    summary = json.loads(out)
    assert summary.keys() == INSPECT
    assert summary["returns"].keys() == {"min", "mean", "max"}
    assert all(f.keys() == {"id", "severity", "count", "rows", "message"} for f in summary["findings"])
    assert summary["transitions"] == 186


def test_inspect_of_a_log_that_is_unfit_says_all_and_returns_2(command: Command, log: Path) -> None:
    with np.load(log) as file:
        columns = dict(file)
    columns["rewards"][5] = np.nan
    np.savez(log, **columns)
    code, out, _ = command("inspect", log, "--json")
    assert code == 2
    assert any(f["severity"] == "error" for f in json.loads(out)["findings"])
    code, _, err = command("train", "bc", log)
    assert code == DataRefused.exit_code == 2
    assert "non-finite" in err


def test_convert_stores_appends_and_refuses_what_is_in_the_way(
    command: Command, log: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    code, out, _ = command("convert", log, store)
    assert (code, "186 transitions in 18 episodes" in out) == (0, True)
    code, out, _ = command("inspect", store, "--json")
    assert json.loads(out)["transitions"] == 186
    assert command("convert", saved_walk(tmp_path / "more.npz", seed=1), store)[0] == 0
    assert len(native.open(store)) == 372
    code, _, err = command("convert", log, store)
    assert (code, err.count("\n")) == (2, 1)
    assert "holds 18 of 18 (100 %) episodes" in err
    assert "--drop-duplicates" in err
    for source in (log, tmp_path / "other"):
        if source != log:
            assert command("convert", log, source)[0] == 0
        code, out, _ = command("convert", source, store, "--drop-duplicates")
        assert (code, "0 of them were appended" in out) == (0, True)
    assert len(native.open(store)) == 372
    (tmp_path / "folder").mkdir()
    for taken in (log, tmp_path / "folder"):
        code, _, err = command("convert", log, taken)
        assert code == 2
        assert f"{taken} exists already" in err


def test_an_interrupted_conversion_leaves_nothing(
    command: Command, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C2: at any operation of the disk there is a whole store or none; the same command then succeeds."""
    from suture.storage import atomic

    for n in range(0, 12, 3):
        store, seen = tmp_path / f"store-{n}", list[str]()

        def interrupt(operation: str, path: Path, n: int = n, seen: list[str] = seen) -> None:
            seen.append(operation)
            if len(seen) == n + 1:
                raise KeyboardInterrupt

        monkeypatch.setattr(atomic, "watcher", interrupt)
        code, _, err = command("convert", log, store)
        monkeypatch.setattr(atomic, "watcher", None)
        if len(seen) <= n:
            break
        assert (code, err) == (130, "suture: interrupted.\n")
        assert not store.exists() or len(native.open(store)) == 186
        shutil.rmtree(store, ignore_errors=True)
        assert not list(tmp_path.glob(".tmp-*"))
        assert command("convert", log, store)[0] == 0


def test_train_resume_and_evaluate(command: Command, log: Path, tmp_path: Path, environment: str) -> None:
    out = tmp_path / "run"
    arguments = ["train", "bc", log, "--steps", 20, "--checkpoint-every", 10, "--hidden", 8, "--out", out]
    code, printed, err = command(*arguments)
    assert (code, printed.strip()) == (0, str(out))
    assert "All steps are done." in err
    names = {path.name for path in out.iterdir()}
    assert names == {"checkpoints", "config.json", "dataset.json", "inspection.json", "lock", "metrics.jsonl",
                     "outcome.json", "versions.json"}  # fmt: skip
    line = json.loads((out / "metrics.jsonl").read_text().splitlines()[0])
    assert list(line)[:4] == ["step", "member", "seconds", "updates_per_second"]
    code, _, err = command(*arguments)
    assert code == 2
    assert "--resume" in err
    code, _, err = command(*arguments, "--resume")
    assert (code, "Continuing from step 20." in err) == (0, True)
    code, printed, _ = command("evaluate", out, "--env", environment, "--episodes", 4, "--json")
    assert code == 0
    result = json.loads(printed)
    assert result.keys() == EVALUATE
    assert len(result["starts"]) == 4
    low, high = result["interval"]
    assert low < result["mean"] < high, "one seed: over its episodes"
    assert result["standard_error"] > 0
    code, printed, _ = command("evaluate", out, "--env", environment, "--episodes", 4)
    assert code == 0
    assert f"{result['mean']:.2f}" in printed


def test_all_members_are_evaluated_and_their_interval_is_printed(
    command: Command, tmp_path: Path, environment: str
) -> None:
    train(BC(hidden=(8,)), walk(), out=tmp_path / "run", steps=20, seeds=3)
    _, printed, _ = command("evaluate", tmp_path / "run", "--env", environment, "--episodes", 4, "--json")
    result = json.loads(printed)
    assert len(result["per_member"]["mean"]) == 3
    _, printed, _ = command("evaluate", tmp_path / "run", "--env", environment, "--episodes", 4)
    low, high = result["interval"]
    assert f"{low:.2f} to {high:.2f}" in printed
    assert f"The log's mean episode: {summarise(walk())['returns']['mean']:.2f}." in printed


@pytest.mark.parametrize(
    ("id", "said"),
    [
        ("CartPole-v1", "The policy was trained on observations"),
        ("Pendulum-v1", "The policy was trained on actions"),
        ("NoSuch-v0", "NoSuch"),
        ("no_module:X-v0", "no_module"),
    ],
)
def test_an_environment_that_does_not_fit_is_refused(
    id: str, said: str, command: Command, trained: Path
) -> None:
    code, out, err = command("evaluate", trained, "--env", id, "--episodes", 2)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_evaluate_says_which_checkpoint_it_passed_over(
    command: Command, trained: Path, tmp_path: Path, environment: str
) -> None:
    """S5: the policy of the checkpoint before is played, and people are told."""
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    (run / "checkpoints" / newest(run)[0] / "state.safetensors").write_bytes(b"cut")
    code, _, err = command("evaluate", run, "--env", environment, "--episodes", 2)
    assert code == 0
    assert "Passed over a checkpoint that is not whole: step-000000000020" in err
    shutil.rmtree(run / "checkpoints")
    code, _, err = command("evaluate", run, "--env", environment)
    assert code == 2
    assert "has no checkpoint yet" in err


def test_nan_ends_with_3(
    command: Command, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D2 on the command line (the log is poisoned behind the gate)."""
    monkeypatch.setattr("suture.data.load.load", lambda *_, **__: poisoned(77))
    out = tmp_path / "run"
    code, _, err = command(
        "train", "bc", log, "--hidden", 8, "--steps", 20, "--normalise", "none", "--out", out
    )
    assert code == 3
    assert "NON_FINITE at step" in err
    assert "dataset rows 77." in err
    assert len(checkpoints(out)) == 1


@pytest.mark.parametrize("arguments", [["inspect"], ["train", "bc"], ["convert"]], ids=lambda a: a[0])
def test_paths_that_are_no_logs_are_refused_in_one_line(
    arguments: list[str], command: Command, tmp_path: Path
) -> None:
    (tmp_path / "empty.npz").touch()
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "text.csv").write_text("nonsense")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "manifest.json").write_text("{}")
    for name in ("absent", "empty.npz", "empty", "folder", "link", "pipe", "store"):
        extra = [tmp_path / "out"] if arguments == ["convert"] else []
        code, out, err = command(*arguments, tmp_path / name, *extra)
        assert (code, out) == (2, ""), name
        assert err.startswith("suture: "), name
        assert err.count("\n") == 1, name
        assert name in err


def test_a_file_that_may_not_be_read_is_refused(
    command: Command, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions do not bind the superuser, so the refusal is made here."""

    def refuse(self: Path, *_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    code, _, err = command("inspect", log)
    assert (code, err) == (2, f"suture: {log}: Permission denied.\n")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", "{", "not valid JSON"),
        ("config.json", "[]", "must hold a JSON object"),
        ("config.json", '{"format": 2}', "format 2"),
        ("config.json", '{"format": 1}', "KeyError: 'algorithm'"),
        ("config.json", '{"format": 1, "algorithm": "bc", "fields": []}', "has no attribute 'items'"),
        (
            "dataset.json",
            '{"format": 1, "source": "", "fingerprint": "", "observation_space": "x"}',
            "damaged",
        ),
        ("dataset.json", None, "cannot be read"),
    ],
)
def test_a_damaged_run_folder_is_refused(
    name: str, content: str | None, said: str, command: Command, trained: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    (run / name).unlink()
    if content is not None:
        (run / name).write_text(content)
    code, _, err = command("evaluate", run, "--env", "CartPole-v1")
    assert (code, err.count("\n")) == (2, 1)
    assert said in err


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("metrics.jsonl", '{"step": 1', "metrics.jsonl, line 1 is not valid JSON"),
        ("metrics.jsonl", "3", "line 1 must hold a JSON object, found int. Resume the run"),
        ("inspection.json", '{"returns": 3}', "is not what suture inspect says"),
        ("inspection.json", "[]", "must hold a JSON object"),
    ],
)
def test_a_report_of_a_damaged_run_is_refused(
    name: str, content: str, said: str, command: Command, trained: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    (run / name).write_text(f"{content}\n")
    code, _, err = command("report", run, "--out", tmp_path / "page.html")
    assert (code, err.count("\n")) == (2, 1)
    assert said in err


@pytest.mark.parametrize("path", ["absent", "folder", "file"])
def test_what_is_no_run_folder_is_refused(path: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    code, _, err = command("evaluate", tmp_path / path, "--env", "CartPole-v1")
    assert code == 2
    assert "is not a run folder: it has no config.json" in err


def test_a_run_cannot_be_put_where_a_file_is(command: Command, log: Path) -> None:
    code, _, err = command("train", "bc", log, "--out", log)
    assert code == 2
    assert f"{log} is a file" in err


TABLE = "episode,t,x,y,action,reward\n" + "".join(
    f"{e},{t},{0.1 * t + e:.2f},{(t * 7 + e) % 5},{(t * 0.37 + e) % 1 - 0.5:.3f},{t % 3}\n"
    for e in range(4) for t in range(10)
)  # fmt: skip


def test_a_proposed_schema_works_as_it_is(command: Command, tmp_path: Path) -> None:
    table = tmp_path / "log.csv"
    table.write_text(TABLE)
    check_proposal(command, table, tmp_path / "schema.json", transitions=40)


@pytest.mark.parametrize(
    ("name", "transitions"),
    [("acrobot/acrobot.csv", 9_804), ("open_bandit/random_men.csv", 10_000)],
)
def test_a_proposed_schema_of_a_real_table_works_as_it_is(
    name: str, transitions: int, command: Command, data_folder: Path, tmp_path: Path
) -> None:
    check_proposal(command, data_folder / name, tmp_path / "schema.json", transitions=transitions)


def check_proposal(command: Command, table: Path, schema: Path, *, transitions: int) -> None:
    """Standard output alone is the schema: `suture inspect LOG > schema.json`."""
    code, out, err = command("inspect", table)
    assert code == 2
    assert "schema" in err
    schema.write_text(out)
    code, out, _ = command("inspect", table, "--schema", schema, "--json")
    assert code == 0
    assert json.loads(out)["transitions"] == transitions


def test_inspect_loads_no_jax_and_no_reader_that_it_does_not_need(log: Path) -> None:
    """It answers at once: JAX, polars and h5py stay out of an NPZ file's inspection."""
    script = (
        "import sys, suture.cli\n"
        f"code = suture.cli.run(['inspect', {str(log)!r}])\n"
        "print(code, sorted({'jax', 'polars', 'h5py', 'equinox', 'gymnasium'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize(
    "name",
    ["neorl/safety_halfcheetah_train.npz", "pointmaze/pointmaze-large-stitch-v0.npz", "acrobot/acrobot.csv",
     "swingup/expert.h5"],
)  # fmt: skip
def test_inspect_takes_less_than_two_seconds(name: str, data_folder: Path) -> None:
    """The costliest real log of each kind: processor time, little changed by other work."""
    before = os.times()
    arguments = [sys.executable, "-m", "suture", "inspect", str(data_folder / name)]
    subprocess.run(arguments, capture_output=True, check=False)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert 0.1 < spent < 2


def test_the_reader_of_our_output_may_go(log: Path) -> None:
    """`suture inspect LOG | head -1` ends without a complaint."""
    done = subprocess.run(
        f"{sys.executable} -m suture inspect {log} --json | true",
        shell=True,
        capture_output=True,
        check=False,
    )
    assert done.stderr == b""


def test_a_run_is_readable_while_it_is_written(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    (run / "outcome.json").unlink()
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 21, "mem')
    assert Run(run).outcome is None
    assert Run(run).metrics[-1]["step"] == 20
    assert "None" in repr(Run(run))

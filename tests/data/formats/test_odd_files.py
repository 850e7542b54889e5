"""Files with a part missing or of another type or shape: one line that says so, and never a traceback."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import suture.cli as cli
from suture.data.dataset import Dataset
from suture.data.load import load
from suture.errors import RefusedInput

ROWS, LENGTHS = 40, (5, 4, 3)
BOX = {"type": "Box", "dtype": "float32", "shape": [3], "low": [-1.0] * 3, "high": [1.0] * 3}
CHOICE = {"type": "Discrete", "dtype": "int64", "n": 4, "start": 0}
Edit = Callable[[h5py.File], None]

pytestmark = pytest.mark.filterwarnings("error")


def refusal(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `suture inspect` says; it must be one line and exit code 2."""
    with pytest.raises(RefusedInput) as refused:
        load(path, admit=False)
    assert refused.value.exit_code == 2
    with pytest.raises(RefusedInput):
        cli.run(["inspect", str(path)])
    assert capsys.readouterr().out == ""
    said = str(refused.value)
    assert "\n" not in said
    assert said.endswith((".", ")"))
    return said


def saved(path: Path, columns: dict[str, Any]) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **columns)
    else:
        with h5py.File(path, "w") as file:
            for name, value in columns.items():
                file[name] = value
    return path


def columns(*, choices: bool, **changes: Any) -> dict[str, Any]:
    rng, ends = np.random.default_rng(0), np.arange(ROWS) % 10 == 9
    observation = rng.normal(size=(ROWS, 3))
    action = np.arange(ROWS) % 4 if choices else rng.uniform(-1, 1, (ROWS, 2))
    values = {
        "observations": observation, "actions": action, "rewards": rng.normal(size=ROWS),
        "next_observations": np.roll(observation, -1, 0), "terminals": ends,
    }  # fmt: skip
    return values | changes


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize(
    ("choices", "changes", "said"),
    [
        (True, {"action_probabilities": np.full(ROWS, 0.25)}, r"\(rows, choices\); found the shape \[40\]"),
        (True, {"action_probabilities": np.zeros((ROWS, 0))}, r"found the shape \[40, 0\]"),
        (True, {"action_probabilities": np.zeros((ROWS, 4, 4))}, r"found the shape \[40, 4, 4\]"),
        (False, {"action_probabilities": np.full((ROWS, 4), 0.25)}, "over 4 choices, but actions"),
        (True, {"next_observations": np.zeros((ROWS, 2))}, r"float32\[2\], its observation array"),
        (True, {"next_observations": np.zeros(ROWS)}, r"float32\[1\], its observation"),
        (True, {"observations": np.zeros((ROWS, 0))}, r"one number a row, found the shape \[40, 0\]"),
        (True, {"observations": np.zeros((ROWS, 4, 4, 3), np.uint8),
                "next_observations": np.zeros((ROWS, 4, 4, 3))}, r"float32\[4, 4, 3\], .* array uint8"),
        (True, {"observations/x": np.zeros((ROWS, 3))}, r"its observation x float32\[3\]"),
        (False, {"actions": np.zeros((ROWS, 0))}, r"found the shape \[40, 0\]"),
        (False, {"actions": np.zeros((ROWS, 2, 2))}, r"found the shape \[40, 2, 2\]"),
        (False, {"actions": np.zeros((0, 2))}, "no transitions"),
        (False, {"rewards": np.zeros(ROWS - 1)}, "differ in length"),
        (False, {"terminals": np.zeros((ROWS, 2))}, r"'terminals' has shape \(40, 2\)"),
    ],
)  # fmt: skip
def test_columns_of_an_odd_shape_are_refused(
    suffix: str, choices: bool, changes: dict[str, Any], said: str, tmp_path: Path, capsys: Any
) -> None:
    values = columns(choices=choices, **changes)
    if "observations/x" in changes:
        del values["observations"]
    path = saved(tmp_path / f"log{suffix}", values)
    with pytest.raises(RefusedInput, match=said):
        load(path)
    refusal(path, capsys)


def test_numbers_at_the_end_of_what_float32_holds_warn_nobody(tmp_path: Path) -> None:
    """The file's own faults are findings; NumPy's warnings about them are noise."""
    far = np.where(np.arange(ROWS) % 2, 3e38, -3e38)
    assert len(load(saved(tmp_path / "far.npz", columns(choices=False, actions=far)), admit=False)) == ROWS
    table = np.full((ROWS, 4), np.inf)
    odd = load(saved(tmp_path / "inf.npz", columns(choices=True, action_probabilities=table)), admit=False)
    assert "action-probabilities" in {finding.id for finding in odd.findings}


def minari(folder: Path, *, edit: Edit | None = None, action: dict[str, Any] = BOX, **metadata: Any) -> Path:
    """A dataset as Minari writes it. edit: what befalls its file; metadata: other values, `...` for none."""
    folder.mkdir()
    spaces = {"observation_space": json.dumps(BOX), "action_space": json.dumps(action)}
    written = {"data_format": "hdf5", "total_episodes": 3, **spaces, **metadata}
    kept = {name: value for name, value in written.items() if value is not ...}
    (folder / "metadata.json").write_text(json.dumps(kept))
    rng = np.random.default_rng(0)
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        for number, length in enumerate(LENGTHS):
            group = file.create_group(f"episode_{number}")
            group["observations"] = rng.uniform(-1, 1, (length + 1, 3)).astype(np.float32)
            group["actions"] = rng.uniform(-1, 1, (length, 3)) if action == BOX else np.arange(length) % 4
            group["rewards"] = rng.normal(size=length)
            group["terminations"] = np.arange(length) == length - 1
            group["truncations"] = np.zeros(length, bool)
        if edit is not None:
            edit(file)
    return folder


def put(name: str, value: Any, *, everywhere: bool = False) -> Edit:
    """Replace (None: remove) an array of episode 1, or of every episode, of which it has the first rows."""

    def edit(file: h5py.File) -> None:
        for number in range(len(LENGTHS)) if everywhere else (1,):
            del file[f"episode_{number}/{name}"]
            if isinstance(value, str):
                file[f"episode_{number}/{name}/{value}"] = np.zeros((LENGTHS[number] + 1, 3))
            elif value is not None:
                file[f"episode_{number}/{name}"] = value[: LENGTHS[number] + (name == "observations")]

    return edit


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("observation_space", 3, "must be a text, found int"),
        ("observation_space", "", "not valid JSON"),
        ("observation_space", "[]", "must hold a JSON object, found list"),
        ("action_space", "{}", "cannot be read: 'type'"),
        ("data_format", 3, "keeps its episodes as 3"),
        ("jpeg_encoding", "false", "must be true or false, found 'false'"),
        ("total_episodes", "3", "must be a whole number, found '3'"),
    ],
)
def test_metadata_of_another_type_are_refused(
    name: str, value: Any, said: str, tmp_path: Path, capsys: Any
) -> None:
    assert said in refusal(minari(tmp_path / "log", **{name: value}), capsys)


@pytest.mark.parametrize("name", ["observation_space", "action_space"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"type": 3}, "the type of a space is a name, found 3"),
        ({"type": "Dict"}, "'subspaces'"),
        ({"type": "Dict", "subspaces": 3}, "cannot be read"),
        ({"dtype": "object"}, "object"),
        ({"shape": None}, "cannot be read"),
        ({"shape": [-3]}, "-3 where a whole number from 0"),
        ({"shape": [10**30]}, "where a whole number from 0"),
        ({"shape": [2**30, 2**30]}, "shape"),
        ({"shape": [4]}, "bounds that do not fit the shape [4]"),
        ({"low": [-1.0] * 2}, "bounds that do not fit the shape [3]"),
        ({"low": None}, "low and high must be numbers"),
        ({"low": ["a"] * 3}, "low and high must be numbers"),
        ({"low": [2.0] * 3}, "a lower bound above the upper one"),
        ({"shape": [2], "low": [0.0] * 2, "high": [1.0] * 2}, "the data holds {'array': [3]}"),
    ],
)  # fmt: skip
def test_odd_boxes_are_refused(
    name: str, changes: dict[str, Any], said: str, tmp_path: Path, capsys: Any
) -> None:
    metadata = {name: json.dumps({**BOX, **changes})}
    assert said in refusal(minari(tmp_path / "log", **metadata), capsys)


@pytest.mark.parametrize(
    "changes",
    [{"n": 0}, {"n": -3}, {"n": 3.7}, {"n": "4"}, {"n": True}, {"n": 10**30}, {"n": 1e300}, {"n": None},
     {"start": 0.5}, {"start": "0"}, {"start": 10**30}, {"start": None}],
    ids=str,
)  # fmt: skip
def test_odd_choices_are_refused(changes: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
    space = json.dumps({**CHOICE, **changes})
    assert "action_space cannot be read" in refusal(
        minari(tmp_path / "log", action=CHOICE, action_space=space), capsys
    )


def test_a_great_number_of_choices_takes_no_memory(tmp_path: Path) -> None:
    """Which choices were never taken is told without a list of them all: 2^31 would take 16 GB."""
    space = json.dumps({**CHOICE, "n": 2**31 - 1})
    data = load(minari(tmp_path / "log", action=CHOICE, action_space=space))
    (never,) = (finding for finding in data.findings if finding.id == "choices-never-taken")
    assert "2,147,483,643 of 2,147,483,647 choices were never taken: 4, 5, 6, 7, 8 …" in never.message


def test_an_array_that_was_declared_without_a_shape_is_named(tmp_path: Path, capsys: Any) -> None:
    path = saved(tmp_path / "log.h5", columns(choices=True, rewards=h5py.Empty("f4")))
    assert "'rewards' was declared without a shape" in refusal(path, capsys)


@pytest.mark.parametrize("name", ["observations", "actions", "rewards", "terminations", "truncations"])
def test_a_missing_array_is_named_with_its_episode(name: str, tmp_path: Path, capsys: Any) -> None:
    said = refusal(minari(tmp_path / "log", edit=put(name, None)), capsys)
    assert f"main_data.hdf5, 'episode_1/{name}' is damaged or absent" in said


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("observations", np.float32(1), None),
        ("observations", np.zeros(5), "episode_1: observations are {'array': []}, those of episode_0"),
        ("observations", np.zeros((5, 2)), "those of episode_0 {'array': [3]}"),
        ("observations", np.zeros((4, 3)), "4 actions need 5 observations"),
        ("observations", np.zeros((0, 3)), "4 actions need 5 observations"),
        ("observations", "camera", "episode_1: observations are {'camera': [3]}"),
        ("observations", np.array([b"a"] * 5), "expected numbers"),
        ("actions", np.zeros((4, 3), complex), "expected numbers"),
        ("actions", np.zeros((4, 2)), "episode_1: actions are {'array': [2]}"),
        ("actions", np.zeros((0, 3)), "0 actions need 1 observations"),
        ("actions", "torque", "Flatten the actions"),
        ("rewards", np.zeros((4, 1)), "rewards: expected one number for each action, found the shape [4, 1]"),
        ("rewards", np.zeros(3), "reward disagrees"),
        ("rewards", "sum", "rewards: expected one number for each action, found a group"),
        ("terminations", np.zeros((4, 0)), "terminations: expected one number for each action"),
        ("truncations", np.array([b"n"] * 4), "expected numbers"),
    ],
    ids=lambda value: str(getattr(value, "shape", value)),
)  # fmt: skip
def test_an_odd_array_is_named_with_its_episode(
    name: str, value: Any, said: str | None, tmp_path: Path, capsys: Any
) -> None:
    edit = put(name, value) if said else scalar
    found = refusal(minari(tmp_path / "log", edit=edit), capsys)
    assert "episode_1" in found or said == "Flatten the actions"
    assert (said or "disagrees") in found


def scalar(file: h5py.File) -> None:
    del file["episode_1/observations"]
    file["episode_1/observations"] = np.float32(1)


@pytest.mark.parametrize(
    ("action", "said"),
    [(np.zeros((5, 2)), "of {'array': [3]}, the data holds {'array': [2]}"),
     (np.zeros((5, 0)), "{'array': [0]}"), (np.zeros(5), "the data holds {'array': []}")],
)  # fmt: skip
def test_data_of_another_space_than_declared_are_refused(
    action: Any, said: str, tmp_path: Path, capsys: Any
) -> None:
    edit = put("actions", action, everywhere=True)
    assert said in refusal(minari(tmp_path / "log", edit=edit), capsys)


@pytest.mark.parametrize("space", [..., json.dumps(BOX)])
def test_groups_without_arrays_are_refused(space: Any, tmp_path: Path, capsys: Any) -> None:
    def edit(file: h5py.File) -> None:
        for number in range(len(LENGTHS)):
            del file[f"episode_{number}/observations"]
            file.create_group(f"episode_{number}/observations")

    said = refusal(minari(tmp_path / "log", edit=edit, observation_space=space), capsys)
    assert "episode_0/observations holds no arrays" in said


def emptied(file: h5py.File, *numbers: int) -> None:
    for number in numbers:
        del file[f"episode_{number}"]
        group = file.create_group(f"episode_{number}")
        group["observations"], group["actions"] = np.zeros((1, 3), np.float32), np.zeros((0, 3))
        group["rewards"], group["terminations"], group["truncations"] = np.zeros((3, 0))


def test_episodes_without_a_step_are_refused(tmp_path: Path, capsys: Any) -> None:
    said = refusal(minari(tmp_path / "one", edit=lambda file: emptied(file, 1)), capsys)
    assert "1 of 3 episodes hold a final state and no transition, first: episode 1" in said
    said = refusal(minari(tmp_path / "all", edit=lambda file: emptied(file, 0, 1, 2)), capsys)
    assert "3 of 3 episodes" in said


def test_no_episodes_an_array_for_an_episode_and_no_file_are_refused(tmp_path: Path, capsys: Any) -> None:
    def none(file: h5py.File) -> None:
        file.clear()

    def array(file: h5py.File) -> None:
        del file["episode_1"]
        file["episode_1"] = np.zeros(3)

    assert "holds no episodes" in refusal(minari(tmp_path / "none", edit=none), capsys)
    assert "'episode_1' is an array, expected a group" in refusal(
        minari(tmp_path / "array", edit=array), capsys
    )
    (minari(tmp_path / "gone") / "main_data.hdf5").unlink()
    assert "main_data.hdf5 cannot be read: No such file" in refusal(tmp_path / "gone", capsys)


def read(path: Path) -> Dataset:
    return load(path)


def test_what_minari_leaves_out_or_writes_in_another_dtype_is_read(tmp_path: Path) -> None:
    """The tests above stand on this: the file that they edit is whole."""
    assert len(read(minari(tmp_path / "whole"))) == sum(LENGTHS)
    absent: Any = dict.fromkeys(("observation_space", "action_space", "data_format", "total_episodes"), ...)
    data = read(minari(tmp_path / "bare", **absent))
    assert data.fingerprint == read(tmp_path / "whole").fingerprint
    others = {"rewards": np.ones(5, bool), "terminations": np.zeros(5), "actions": np.ones((5, 3), int)}
    for name, value in others.items():
        edit = put(name, value, everywhere=True)
        assert len(read(minari(tmp_path / name, edit=edit))) == sum(LENGTHS)


def test_a_count_of_episodes_that_disagrees_is_a_warning(tmp_path: Path) -> None:
    """A dataset that was cut short is said to be so."""
    data = read(minari(tmp_path / "log", total_episodes=5))
    (differ,) = (finding for finding in data.findings if finding.id == "episodes-differ")
    assert (differ.severity, differ.count) == ("warning", 2)
    assert "counts 5 episodes, the file holds 3" in differ.message


@pytest.mark.parametrize("nested", [False, True])
def test_choices_that_are_not_counted_from_zero_are_shifted(nested: bool, tmp_path: Path) -> None:
    space = {**CHOICE, "start": 2}
    declared = {"type": "Dict", "subspaces": {"mode": space}} if nested else space

    def edit(file: h5py.File) -> None:
        for number, length in enumerate(LENGTHS):
            del file[f"episode_{number}/observations"]
            name = f"episode_{number}/observations/mode" if nested else f"episode_{number}/observations"
            file[name] = np.arange(length + 1) % 4 + 2
            file[f"episode_{number}/actions"][:] += 2

    texts = {"observation_space": json.dumps(declared), "action_space": json.dumps(space)}
    data = read(minari(tmp_path / "log", action=CHOICE, edit=edit, **texts))
    mode: Any = data.observation["mode"] if isinstance(data.observation, dict) else data.observation
    for column in (mode, data.action):
        np.testing.assert_array_equal(column, np.concatenate([np.arange(n) % 4 for n in LENGTHS]))

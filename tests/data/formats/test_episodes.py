"""The store of episodes with images: what is written is read, damage is named, and the rest can be used."""

import contextlib
import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making.damage import damage
from making.episodes import ACTIONS, IMAGE, LAYOUT, PICTURES, episode, layout_of, logged, record, same

import suture
from suture import spaces
from suture.data.formats import episode_reader, native
from suture.data.formats.episode_layout import Episode, Layout
from suture.data.formats.episode_store import frames_name, log_name, steps_name
from suture.data.formats.episode_writer import Writer
from suture.data.formats.pictures import Codec
from suture.data.frames import Frames
from suture.data.split import split
from suture.errors import ConfigError, DataRefused, FormatError, HostileFile, RunLocked, StorageError
from suture.spaces import Box, Dict, Discrete
from suture.storage import manifest
from suture.testing.disk import fail_io, record_io


@pytest.mark.parametrize("layout", [LAYOUT, PICTURES], ids=["mixed", "pictures"])
def test_what_is_recorded_is_read_in_the_order_of_seeds(tmp_path: Path, layout: Layout) -> None:
    seeds = [7, 3, -2, 11, 0, 5, 2**62, 8, 1, 4]
    data = suture.load(record(tmp_path / "store", seeds, layout))
    same(data, seeds, layout)
    assert {path.name for path in (tmp_path / "store").iterdir()} == {
        "lock", "manifest.json", log_name(3), *map(steps_name, range(3)), *map(frames_name, range(3)),
    }  # fmt: skip
    if layout is LAYOUT:
        first = data.columns["policy"][data.episode_start[:-1]].tolist()
        assert first == [f"skripted-{seed % 2}-é" for seed in sorted(seeds)]


GREY = Box((6, 8, 1), "uint8")
leaf = st.one_of(
    st.builds(lambda shape: Box(shape, "uint8"), st.tuples(*[st.integers(1, 5)] * 3)),
    st.builds(Box, st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple)),
    st.builds(Discrete, st.integers(1, 9)),
)
observation = st.dictionaries(st.sampled_from(["a", "b/c", "b/d", "é .0"]), leaf, min_size=1)


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *folders, name = path.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = value
    return tree


def space_of(tree: dict[str, Any]) -> Dict:
    return Dict.of({name: space_of(leaf) if isinstance(leaf, dict) else leaf for name, leaf in tree.items()})


def drawn(rng: np.random.Generator, leaf: Any, rows: int) -> Any:
    if isinstance(leaf, dict):
        return {name: drawn(rng, inner, rows) for name, inner in leaf.items()}
    if isinstance(leaf, Discrete):
        return rng.integers(leaf.n, size=rows)
    shape = (rows, *leaf.shape)
    return (
        rng.integers(256, size=shape).astype(np.uint8)
        if leaf.is_image
        else rng.normal(size=shape).astype(np.float32)
    )


@settings(max_examples=8)
@given(
    observation.filter(lambda leaves: any(isinstance(x, Box) and x.is_image for x in leaves.values())),
    st.one_of(st.builds(Discrete, st.integers(1, 5)), st.builds(lambda n: Box((n,)), st.integers(1, 3))),
    st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(1, 4), st.integers(0, 2**32),
)  # fmt: skip
def test_rows_of_any_layout_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    leaves: Any,
    action: Any,
    lengths: list[int],
    shard: int,
    seed: int,
) -> None:
    rng, tree, path = np.random.default_rng(seed), nested(leaves), tmp_path_factory.mktemp("store") / "s"
    layout = Layout(observation_space=space_of(tree), action_space=action)
    episodes = [
        Episode(seed=number, observation=drawn(rng, tree, steps + 1), action=drawn(rng, action, steps),
                reward=rng.normal(size=steps), terminated=False, truncated=False)
        for number, steps in enumerate(lengths)
    ]  # fmt: skip
    with contextlib.suppress(KeyboardInterrupt), Writer(path, layout, shard_episodes=shard) as writer:
        for first in range(0, len(episodes), 2):
            writer.append(*episodes[first : first + 2])
        raise KeyboardInterrupt  # what is not sealed is read from the log
    data = episode_reader.open(path)
    assert data.observation_space == layout.observation_space
    for name, cut in (("observation", slice(0, -1)), ("next_observation", slice(1, None))):
        found = spaces.arrays_of(getattr(data, name))
        for place, array in found.items():
            wanted = np.concatenate([spaces.arrays_of(one.observation)[place][cut] for one in episodes])
            np.testing.assert_array_equal(np.asarray(array), wanted)
    np.testing.assert_array_equal(data.action, np.concatenate([one.action for one in episodes]))
    np.testing.assert_array_equal(
        data.reward, np.concatenate([one.reward for one in episodes]).astype(np.float32)
    )


def test_images_are_read_when_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading, splitting and fingerprints decode none; a row decodes one."""
    decoded = list[int]()
    plain = Codec.decode
    monkeypatch.setattr(
        Codec, "decode", lambda codec, content, shape: decoded.append(1) or plain(codec, content, shape)
    )
    data = suture.load(record(tmp_path / "store", range(9)))
    frames = data.observation["image"]  # type: ignore[index,call-overload]
    assert isinstance(frames, Frames)
    assert (frames.shape, frames.dtype, frames.nbytes) == ((len(data), 6, 8, 3), np.uint8, len(data) * 144)
    kept = split(data, fraction=0.3).train.dataset
    assert kept.fingerprint != data.fingerprint
    after = data.next_observation["image"].hashes  # type: ignore[index,call-overload]
    assert len(np.unique([*frames.hashes, *after])) == len(data) + data.episodes
    np.testing.assert_array_equal(np.delete(after, data.episode_start[1:] - 1),
                                  np.delete(frames.hashes, data.episode_start[:-1]))  # fmt: skip
    assert not decoded
    last = frames[-1]
    assert len(decoded) == 1
    np.testing.assert_array_equal(last, np.asarray(frames)[-1])
    mask = np.arange(len(frames)) % 2 == 0
    np.testing.assert_array_equal(np.asarray(frames[mask][1:]), np.asarray(frames)[mask][1:])
    np.testing.assert_array_equal(frames[:, 2], np.asarray(frames)[:, 2])


def test_inspect_answers_without_what_reads_pictures(tmp_path: Path) -> None:
    code = (
        "import sys; from suture.cli import run; assert run(['inspect', sys.argv[1], '--json']) == 0; "
        "print(sorted({'jax', 'grain', 'array_record', 'simplejpeg'} & {*sys.modules}))"
    )
    command = [sys.executable, "-c", code, str(record(tmp_path / "store", range(5)))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary, loaded = done.stdout.splitlines()
    assert json.loads(summary)["episodes"] == 5
    assert loaded == "[]"


def test_more_pictures_than_one_block_come_in_their_order(tmp_path: Path) -> None:
    frames = suture.load(
        logged(record(tmp_path / "store", range(4), PICTURES), range(4, 130), PICTURES)
    ).observation
    assert len(frames) > episode_reader.AT_ONCE
    order = np.random.default_rng(0).permutation(len(frames))
    np.testing.assert_array_equal(np.asarray(frames[order]), np.asarray(frames)[order])  # type: ignore[index]


def test_a_jpeg_store_is_close_and_smaller(tmp_path: Path) -> None:
    big = Box((64, 64, 3), "uint8")
    stores = {name: layout_of(big, codec=Codec(name)) for name in ("png", "jpeg")}
    sizes, read = dict[str, int](), dict[str, Any]()
    for name, layout in stores.items():
        path = record(tmp_path / name, range(3), layout)
        sizes[name] = sum(file.stat().st_size for file in path.glob("frames-*"))
        read[name] = np.asarray(suture.load(path).observation).astype(int)
    assert sizes["jpeg"] <= sizes["png"] / 2
    assert 0 < np.abs(read["jpeg"] - read["png"]).mean() < 2


def test_the_writer_goes_on_and_knows_what_is_there(tmp_path: Path) -> None:
    store = record(tmp_path / "store", range(6))
    with Writer(store, LAYOUT, shard_episodes=4) as writer:
        assert [seed for seed in range(9) if seed in writer] == [0, 1, 2, 3, 4, 5]
        assert writer.append(episode(2), episode(8), LAYOUT.pack(episode(7)), episode(8)) == 2
        assert len(writer) == 8
        with pytest.raises(RunLocked), Writer(store, LAYOUT):
            pass
        same(suture.load(store), [0, 1, 2, 3, 4, 5, 7, 8])  # while it is open, from the log
    same(suture.load(store), [0, 1, 2, 3, 4, 5, 7, 8])
    with Writer(store, LAYOUT) as writer:
        assert writer.append(episode(7)) == 0
    assert (store / steps_name(2)).exists()
    assert not (store / steps_name(3)).exists()


def test_the_data_do_not_depend_on_when_an_episode_came(tmp_path: Path) -> None:
    one = record(tmp_path / "one", range(9), shard_episodes=100)
    other = record(tmp_path / "other", [8, 1, 5], shard_episodes=2)
    record(other, [0, 2, 3, 4, 6, 7], shard_episodes=5)
    assert suture.load(one).fingerprint == suture.load(other).fingerprint


def test_an_exception_leaves_what_was_appended_in_the_log(tmp_path: Path) -> None:
    record(tmp_path / "store", range(4))
    same(suture.load(logged(tmp_path / "store", [4, 5])), range(6))
    assert (tmp_path / "store" / log_name(1)).stat().st_size > 0
    with Writer(tmp_path / "store", LAYOUT) as writer:
        writer.append(episode(6))
    same(suture.load(tmp_path / "store"), range(7))
    assert (tmp_path / "store" / log_name(2)).stat().st_size == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reward": np.full(3, np.nan)}, "reward holds NaN"), ({"reward": np.zeros(4)}, "reward is float64"),
        ({"action": np.full((3, 2), 1.5)}, "leave their bounds by up to 0.5"),
        ({"action": np.zeros((3, 1))}, "action is float64"), ({"action": np.zeros((0, 2))}, "it has 0 steps"),
        ({"terminated": True, "truncated": True}, "both terminated and truncated"),
        ({"observation": {"image": np.zeros((4, 6, 8, 3), np.uint8)}}, "it observes"),
        ({"observation": {"image": np.zeros((4, 6, 8, 3)), "hand": np.zeros((4, 2))}}, "image is float64"),
        ({"observation": {"image": np.zeros((3, 6, 8, 3), "u1"), "hand": np.zeros((4, 2))}}, "expected 4 of"),
        ({"seed": 2.5}, "a seed must be"), ({"seed": 2**63}, "a seed must be"),
        ({"columns": {"policy": "a"}}, "its columns are"),
        ({"columns": {"policy": "a" * 65, "skill": 1.0}}, "of 64 bytes at most"),
        ({"columns": {"policy": "a", "skill": "b"}}, "expected one number"),
    ],
)  # fmt: skip
def test_d1_d10_an_episode_that_does_not_fit_is_refused_and_none_is_written(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    wrong = dataclasses.replace(episode(1, steps=3), terminated=True, truncated=False)
    with Writer(tmp_path / "store", LAYOUT) as writer:
        with pytest.raises(DataRefused, match=said):
            writer.append(episode(0), dataclasses.replace(wrong, **change))
        assert len(writer) == 0
        assert writer.append(episode(0), wrong) == 2
    assert len(suture.load(tmp_path / "store").episode_start) == 3


def test_d11_actions_within_rounding_are_set_to_their_bounds(tmp_path: Path) -> None:
    with Writer(tmp_path / "store", LAYOUT) as writer:
        writer.append(dataclasses.replace(episode(0, steps=1), action=np.array([[1 + 1e-6, -1 - 1e-6]])))
    assert suture.load(tmp_path / "store").action.tolist() == [[1, -1]]


@pytest.mark.parametrize(
    ("observation", "changes", "said"),
    [
        (Box((3,)), {}, "with an image"), (Box((2, 0, 3), "uint8"), {}, "A picture must have 1"),
        (Box((9000, 9000, 3), "uint8"), {}, "A picture must have 1"),
        (Dict.of({"image": IMAGE, "bits": Box((4,), "uint8")}), {}, "float32 and choices"),
        (Dict.of({"image": IMAGE, "n": Box(())}), {}, "float32 and choices"),
        (Box((4, 4, 4), "uint8"), {"codec": Codec("jpeg")}, "1 or 3 channels"),
        (IMAGE, {"columns": {"seed": "int64"}}, "not seed"),
        (IMAGE, {"columns": {"x": "object"}}, "'x' of another kind"),
        (Dict.of({"image": IMAGE, "n": Box((5000,))}), {}, "at most 4,096"),
    ],
)  # fmt: skip
def test_a_layout_that_cannot_be_stored_is_refused(
    observation: Any, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        layout_of(observation, **changes)


def test_another_layout_is_refused_by_what_differs(tmp_path: Path) -> None:
    store = record(tmp_path / "store", range(2), PICTURES)
    other = dataclasses.replace(PICTURES, codec=Codec("jpeg"))
    with pytest.raises(FormatError, match=r"codec \{'name': 'png', .* now \{'name': 'jpeg'"):
        Writer(store, other).__enter__()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").touch()
    with pytest.raises(FormatError, match=r"holds other files \(mine.txt\)"):
        Writer(tmp_path / "notes", PICTURES).__enter__()
    same(suture.load(store), range(2), PICTURES)


@pytest.mark.parametrize("how", ["missing", "cut", "flipped", "link"])
@pytest.mark.parametrize("name", [steps_name(1), frames_name(1)])
def test_d17_d18_a_bad_shard_is_named_and_the_rest_is_used_on_request(
    tmp_path: Path, name: str, how: str
) -> None:
    store = record(tmp_path / "store", range(10))
    damage(store / name, how)
    with pytest.raises(FormatError, match=rf"is damaged.*--skip-bad(.|\n)*{name}"):
        suture.load(store)
    data = suture.load(store, reading=suture.Reading(skip_bad=True))
    same(data, [0, 1, 2, 3, 8, 9])
    found = next(finding for finding in data.findings if finding.id == "shards-skipped")
    assert name in found.message
    assert found.count == sum(len(episode(seed).action) for seed in range(4, 8))


def test_d18_where_nothing_is_whole_nothing_is_opened(tmp_path: Path) -> None:
    store = record(tmp_path / "store", range(3))
    damage(store / frames_name(0), "cut")
    with pytest.raises(FormatError, match="Nothing of it is whole"):
        suture.load(store, reading=suture.Reading(skip_bad=True))
    with Writer(tmp_path / "empty", LAYOUT), pytest.raises(FormatError, match="holds no episodes yet"):
        suture.load(tmp_path / "empty")


def test_d18_a_picture_that_changes_after_opening_is_named(tmp_path: Path) -> None:
    """ArrayRecord's own checksum, where a disk forgets what it said when it was asked first."""
    store = record(tmp_path / "store", range(8), PICTURES)
    data = suture.load(store)
    damage(store / frames_name(1), "flipped")
    boundary = int(data.episode_start[4])
    np.asarray(data.observation[:boundary])  # type: ignore[index]
    with pytest.raises(FormatError, match=rf"records of {frames_name(1)} cannot be read.*checksum|hash"):
        np.asarray(data.observation[boundary:])  # type: ignore[index]
    os.truncate(store / frames_name(0), 1 << 16)
    with pytest.raises(FormatError, match=frames_name(0)):
        np.asarray(suture.load(store, reading=suture.Reading(skip_bad=True)).observation)


def test_a_torn_end_costs_the_last_episode_alone_and_is_told(tmp_path: Path) -> None:
    log = logged(tmp_path / "store", range(2)) / log_name(0)
    start = log.stat().st_size
    whole = (logged(tmp_path / "store", [2]) / log_name(0)).read_bytes()
    for cut in (start + 1, start + 23, start + 24, start + 300, len(whole) - 1):
        log.write_bytes(whole[:cut])
        data = suture.load(tmp_path / "store")
        same(data, [0, 1])
        (told,) = (finding.message for finding in data.findings if finding.id == "torn-end")
        assert told.startswith(f"{log} ends with {cut - start:,} bytes")
    with Writer(tmp_path / "store", LAYOUT) as writer:
        assert [seed for seed in range(4) if seed in writer] == [0, 1]
        assert log.stat().st_size == start
        writer.append(episode(2), episode(3))
    data = suture.load(tmp_path / "store")
    same(data, range(4))
    assert "torn-end" not in {finding.id for finding in data.findings}


def test_d18_damage_in_the_log_is_named_and_the_rest_is_used_on_request(tmp_path: Path) -> None:
    store = logged(tmp_path / "store", range(3))
    log = store / log_name(0)
    content = bytearray(log.read_bytes())
    content[100] ^= 1
    log.write_bytes(content)
    with pytest.raises(FormatError, match=f"{log_name(0)} is corrupted from byte 0 to"):
        suture.load(store)
    same(suture.load(store, reading=suture.Reading(skip_bad=True)), [1, 2])
    with pytest.raises(FormatError, match="corrupted from byte 0"):
        Writer(store, LAYOUT).__enter__()
    with Writer(store, LAYOUT, skip_bad=True) as writer:
        assert 0 not in writer
        writer.append(episode(0))
    same(suture.load(store), range(3))


def resealed(store: Path, **changes: Any) -> None:
    """Change what a manifest says, with a checksum that fits."""
    path = store / "manifest.json"
    values = json.loads(path.read_text()) | changes
    del values["sha256"]
    path.write_text(json.dumps({**values, "sha256": manifest.digest(values)}))


def test_d22_a_manifest_names_no_files(tmp_path: Path) -> None:
    """Files are named by number; one that a manifest names elsewhere is refused, and links are."""
    store, other = record(tmp_path / "store", range(4)), record(tmp_path / "other", range(4, 8))
    shard = json.loads((store / "manifest.json").read_text())["shards"][0]
    for odd in ({"file": "../other/frames-000000.array_record"}, {"rows": "../x"}, {"rows": -1}):
        resealed(store, shards=[{**shard, **odd}])
        with pytest.raises(FormatError, match="shard 0 is damaged"):
            suture.load(store)
    resealed(store, shards=[shard])
    same(suture.load(store), range(4))
    (store / log_name(1)).unlink()
    (store / log_name(1)).symlink_to(other / log_name(1))
    with pytest.raises(HostileFile, match="symbolic link"):
        suture.load(store)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format 2"), ({"shards": None}, "'shards' is damaged"), ({"shards": [1]}, "JSON obj"),
        ({"observation_space": {"type": "box"}}, "not readable"), ({"codec": {"name": "gif"}}, "codec must"),
        ({"columns": {"skill": "float32"}}, "other columns"), ({"columns": []}, "describes no episodes"),
        ({"action_space": {"type": "discrete", "n": 3}}, "other columns"),
        ({"action_space": spaces.to_json(Box((2_000_000_000,)))}, "at most 4,096; found 2,000,000,0"),
        ({"observation_space": spaces.to_json(Box((12_000, 12_000, 3), "uint8"))}, "A picture must have"),
        ({"observation_space": spaces.to_json(Dict.of({"hand": Box((2,)), "image": GREY}))}, "no PNG of"),
    ],
)  # fmt: skip
def test_a_changed_manifest_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    store = record(tmp_path / "store", range(3))
    resealed(store, **change)
    with pytest.raises(FormatError, match=said):
        np.asarray(suture.load(store).observation["image"])  # type: ignore[index,call-overload]


def test_a_manifest_that_lost_a_bit_is_refused(tmp_path: Path) -> None:
    store = record(tmp_path / "store", range(3))
    text = (store / "manifest.json").read_text()
    (store / "manifest.json").write_text(text.replace("-1.0", "-1.5", 1))
    with pytest.raises(FormatError, match="is corrupted: its SHA-256"):
        suture.load(store)


def test_an_episode_in_two_shards_is_refused(tmp_path: Path) -> None:
    store, other = record(tmp_path / "store", range(3)), record(tmp_path / "other", [2, 3])
    shards = [json.loads((path / "manifest.json").read_text())["shards"][0] for path in (store, other)]
    for name in (steps_name, frames_name):
        (other / name(0)).rename(store / name(1))
    (store / log_name(1)).unlink()
    resealed(store, shards=shards)
    with pytest.raises(FormatError, match="stands in two of its shards"):
        suture.load(store)


def attempt(store: Path, seeds: Any, acknowledged: list[int]) -> None:
    """Record two episodes a shard, and note those that are acknowledged."""
    with Writer(store, LAYOUT, shard_episodes=2) as writer:
        assert all(seed in writer for seed in acknowledged)
        for seed in seeds:
            writer.append(episode(seed))
            acknowledged.append(seed)


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of fsyncs would take a busy disk half a minute; where they stand is watched all the same."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.usefixtures("quick_disk")
def test_s3_s4_every_operation_that_fails_leaves_what_was_acknowledged(tmp_path: Path) -> None:
    """A disk that refuses once, at each operation of a whole recording; it goes on afterwards."""
    with record_io() as operations:
        attempt(tmp_path / "whole", range(2), [])
    fingerprint = suture.load(tmp_path / "whole").fingerprint
    assert len(operations) == 35
    for n in range(len(operations)):
        store, acknowledged = tmp_path / f"store-{n}", list[int]()
        with fail_io(n, errno.ENOSPC), pytest.raises(StorageError):
            attempt(store, range(2), acknowledged)
        attempt(store, range(2), acknowledged)
        assert suture.load(store).fingerprint == fingerprint


def test_what_was_converted_before_is_known_again(tmp_path: Path) -> None:
    """D13: a converted folder holds arrays, a store hashes; both must tell equal episodes."""
    data = suture.load(record(tmp_path / "store", range(6)))
    native.write(data, tmp_path / "converted")
    converted = suture.load(tmp_path / "converted")
    np.testing.assert_array_equal(converted.observation["image"], data.observation["image"])  # type: ignore[index,call-overload]
    with pytest.raises(FormatError, match="holds 6 of 6"):
        native.append(data, tmp_path / "converted")


def test_what_the_gate_finds_is_found_when_it_is_opened(tmp_path: Path) -> None:
    with Writer(tmp_path / "store", LAYOUT) as writer:
        for seed in range(4):
            writer.append(dataclasses.replace(episode(5, steps=3), seed=seed))
    data = suture.load(tmp_path / "store")
    found = {finding.id: finding.count for finding in data.findings}
    assert found["duplicate-episodes"] == 3
    assert data.action_space == ACTIONS

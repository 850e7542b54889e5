"""Logs of the five-step task: what they show, what they never show, and that they can be made again."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from making.composite import one_place

from suture.data.build import build
from suture.data.dataset import Dataset
from suture.data.formats import native
from suture.envs.composite.layout import DRAWER, shown
from suture.errors import ConfigError
from suture.storage import atomic

pytest.importorskip("mujoco", reason="mujoco is an extra")

import suture.envs.composite.collect as collect_module
from suture.envs.composite.certificate import NEEDED, STEPS
from suture.envs.composite.certify import certify
from suture.envs.composite.collect import SETS, Recipe, collect, make
from suture.envs.composite.env import Composite, View
from suture.envs.composite.scene import Scene
from suture.envs.composite.scripts import EXACT, Drift, Script
from suture.envs.composite.states import STATE, cells, stages

RECIPE = Recipe(episodes=300, seed=2)


@pytest.fixture(scope="module")
def log() -> Dataset:
    return build(collect(RECIPE, workers=1)).admit()


@pytest.fixture(scope="module")
def joined() -> Dataset:
    with one_place():
        return build(collect(dataclasses.replace(RECIPE, episodes=100), workers=1)).admit()


def of(log: Dataset, name: str) -> np.ndarray:
    return np.asarray(log.columns["set"] == name)


def places(log: Dataset, name: str) -> np.ndarray:
    """The drawer's place in [0, 1] at each row of a set."""
    y = np.asarray(log.observation)[of(log, name), STATE.index("drawer y")]
    return (y - DRAWER[0]) / (DRAWER[1] - DRAWER[0])


def test_the_certificates_hold(log: Dataset, joined: Dataset) -> None:
    assert certify(log).never_shown.holds
    proof = certify(joined)
    assert proof.never_shown.longest == 2
    assert proof.holds
    shown = [joined.columns["set"][joined.episode_start[one]] for one in proof.stitched.episodes]
    assert shown == ["A", "B", "C", "task"], "each skill is taken from its own set"
    assert proof.stitched.share > 0.8
    assert proof.stitched.starts == (joined.columns["stage"][joined.episode_start[:-1]] == 0).sum()


def test_each_skill_is_needed(joined: Dataset) -> None:
    """Undirected noise, and scripts that err, make up for none of them; B twice does."""
    assert certify(joined).without == {"A": 0.0, "B": 0.0, "C": 0.0, "task": 0.0}
    sets = joined.columns["set"]
    twice = np.where((sets == "B") & (joined.episode_index % 2 == 0), "noise", sets)
    leaky = certify(dataclasses.replace(joined, columns=joined.columns | {"set": twice}))
    assert leaky.without["B"] > 0
    assert leaky.never_shown.leaks["noise: open the drawer"] > 3
    assert not leaky.holds
    proof = certify(joined)
    assert proof.holds
    assert not dataclasses.replace(proof, without=leaky.without).holds, "a path without B is enough"


def test_a_log_of_the_task_alone_has_no_start_of_the_whole(joined: Dataset) -> None:
    task = joined.take_episodes(np.flatnonzero(of(joined, "task")[joined.episode_start[:-1]]))
    proof = certify(task)
    assert (proof.stitched.starts, proof.stitched.share, proof.without) == (0, 0.0, {"task": 0.0})
    assert proof.never_shown.holds


@pytest.mark.parametrize("how", ["has_next", "terminated"])
def test_no_path_goes_on_from_where_nothing_follows(joined: Dataset, how: str) -> None:
    opens = of(joined, "B") & (joined.columns["next_stage"] == 2)
    torn = {"has_next": joined.has_next & ~opens, "terminated": joined.terminated | opens}
    assert certify(dataclasses.replace(joined, **{how: torn[how]})).stitched.share == 0.0


def test_certificates_go_by_the_states_and_not_by_what_the_generator_wrote(joined: Dataset) -> None:
    rows = len(joined)
    lies = {"stage": np.zeros(rows, int), "next_stage": np.full(rows, 5)}
    told = certify(dataclasses.replace(joined, columns=joined.columns | lies))
    proof = certify(joined)
    assert (told.never_shown, told.stitched) == (proof.never_shown, proof.stitched)
    assert told.columns != proof.columns
    seen = np.array(joined.next_observation)
    seen[joined.columns["next_stage"] == 2, STATE.index("drawer")] = 0.0
    shut = certify(dataclasses.replace(joined, next_observation=seen))
    assert shut.stitched.share == 0.0
    assert shut.success["B"] == 0.0


def test_what_is_read_from_a_state_is_what_the_scene_says(log: Dataset) -> None:
    """Also where keys are dropped and caught: the noise of those who hold it."""
    np.testing.assert_array_equal(stages(np.asarray(log.observation)), log.columns["stage"])
    np.testing.assert_array_equal(stages(np.asarray(log.next_observation)), log.columns["next_stage"])
    env, seen = Composite(layouts="any"), list[tuple[int, int]]()
    generator = np.random.default_rng(0)
    for number in range(20):
        env.reset(seed=number, options={"stage": 2 + number % 3})
        script, drift = Script(2 + number % 3, EXACT, generator), Drift(generator)
        for step in range(60):
            state, _, ended, _, info = env.step((script if step % 40 < 25 else drift).act(env.scene))
            seen.append((int(stages(state)), info["stage"]))
            if ended:
                break
    read, said = np.array(seen).T
    np.testing.assert_array_equal(read, said)
    assert (np.diff(said) < 0).sum() > 10, "things were let go"


def test_each_number_of_a_state_tells_cells_apart(log: Dataset) -> None:
    first = log.episode_start[:-1][of(log, "task")[log.episode_start[:-1]]][0]
    start = np.asarray(log.observation)[[first]]
    place = [0.06] * 3
    for number, far in enumerate([*place, 0.6, 0.02, *place, 0.06, 0.02, *place, 0.08, 0.6, 1.0]):
        moved = start.copy()
        moved[0, number] += far
        assert (cells(moved) != cells(start)).any(), STATE[number]
    carried = start.copy()
    carried[0, [STATE.index("hand x"), STATE.index("key x")]] += 0.06
    assert (cells(carried) != cells(start)).sum() == 1, "the key counts from the hand that holds it"


def test_scripts_succeed_in_about_half_of_their_episodes(log: Dataset) -> None:
    for name, share in certify(log).success.items():
        assert 0.25 < share < 0.75, name


def test_sets_show_their_own_step_and_no_other(log: Dataset) -> None:
    before, after = np.asarray(log.columns["stage"]), np.asarray(log.columns["next_stage"])
    rising = after > before
    assert not rising[of(log, "blocked") | of(log, "noise")].any()
    for name, (first, last) in NEEDED.items():
        assert set(before[of(log, name) & rising].tolist()) == set(range(first, last)), name
    ends = np.r_[log.episode_start[1:] - 1]
    starts = before[log.episode_start[:-1]]
    fell = after < np.repeat(starts, log.lengths)
    assert set(np.flatnonzero(fell)) <= set(ends), "an episode is cut where it falls below its start"


@pytest.mark.parametrize("name", ["A", "noise"])
def test_an_episode_ends_before_it_shows_what_is_another_set_s(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever acts: here somebody who can do every step, and goes on."""
    view, starts = View(Scene(), "state"), list[int]()

    def skilled(_: str, generator: np.random.Generator) -> list[Script]:
        first = view.scene.stage
        return [Script(step, EXACT, generator) for step in range(first, len(STEPS))]

    monkeypatch.setattr(collect_module, "_actors", skilled)
    monkeypatch.setattr(collect_module, "LIMITS", {"A": 60, "noise": 60})
    for number in range(6):
        stage = collect_module.episode_of(view, name, number, RECIPE)["stage"]
        starts.append(len(stage))
        assert stage.max() <= stage[0] + (name == "A")
    assert max(starts) > 5


def test_reward_is_the_task_s_alone(log: Dataset) -> None:
    assert log.reward is not None
    assert log.reward[of(log, "task")].sum() > 5
    assert not log.reward[~of(log, "task")].any()
    np.testing.assert_array_equal(log.reward > 0, log.terminated)


def test_no_log_shows_what_is_held_out(log: Dataset) -> None:
    assert all(shown(round(float(place), 5)) for name in SETS for place in places(log, name))


def test_overlap_is_where_set_b_is_recorded() -> None:
    half = build(collect(dataclasses.replace(RECIPE, episodes=100, overlap=0.5), workers=1)).admit()
    assert places(half, "B").max() < 0.5
    assert places(half, "A").max() > 0.5
    none = build(collect(dataclasses.replace(RECIPE, episodes=100, overlap=0.0), workers=1)).admit()
    assert not of(none, "B").any()


def test_epsilon_is_the_share_of_actions_that_are_drawn_at_random() -> None:
    def first(epsilon: float) -> np.ndarray:
        data = build(collect(dataclasses.replace(RECIPE, episodes=300, epsilon=epsilon), workers=1)).admit()
        return np.asarray(data.action[data.episode_start[:-1]])

    scripted, mixed, random = first(0.0), first(0.25), first(1.0)
    kept = (scripted == mixed).all(1).mean()
    assert 0.68 < kept < 0.82
    assert not (scripted == random).all(1).any()
    np.testing.assert_allclose(np.quantile(random, [0.1, 0.5, 0.9]), [-0.8, 0.0, 0.8], atol=0.06)


def test_a_log_is_the_same_however_many_processes_make_it() -> None:
    recipe = dataclasses.replace(RECIPE, episodes=60)
    one, two = (build(collect(recipe, workers=workers)).fingerprint for workers in (1, 2))
    assert one == two
    assert one != build(collect(dataclasses.replace(recipe, seed=3), workers=1)).fingerprint


def test_pictures_are_of_the_same_episodes(tmp_path: Path) -> None:
    recipe, told = dataclasses.replace(RECIPE, episodes=20, observation="image"), list[tuple[int, int]]()
    data, proof = make(recipe, tmp_path / "log", workers=1, progress=lambda *made: told.append(made))
    state = build(collect(dataclasses.replace(recipe, observation="state"), workers=1))
    np.testing.assert_array_equal(data.observation["hand"], state.observation[:, :5])
    assert data.observation["image"].shape[1:] == (64, 64, 3)
    assert proof.never_shown == certify(state).never_shown
    assert proof.success == certify(state).success
    assert told[-1] == (20, 20)
    kept = json.loads((tmp_path / "log" / "certificate.json").read_text())
    assert kept["never_shown"] == proof.never_shown.to_json()
    assert kept["fingerprint"] == data.fingerprint
    with pytest.raises(ConfigError, match="never overwritten"):
        make(recipe, tmp_path / "log")


def test_a_store_is_never_there_without_its_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every operation on the disk, at any of which a process may be killed."""
    out, seen = tmp_path / "log", list[tuple[bool, bool]]()

    def watch(*_: object) -> None:
        seen.append((out.exists(), (out / "certificate.json").exists()))

    monkeypatch.setattr(atomic, "watcher", watch)
    data, proof = make(dataclasses.replace(RECIPE, episodes=14), out, workers=1)
    seen.append((out.exists(), (out / "certificate.json").exists()))
    assert set(seen) == {(False, False), (True, True)}
    stored = native.open(out)
    assert certify(stored) == proof
    assert stored.fingerprint == data.fingerprint


@pytest.mark.parametrize("sets", [SETS, ("A", "C", "task"), ("noise",)])
@pytest.mark.parametrize("episodes", [14, 101, 500])
def test_a_log_has_as_many_episodes_as_were_asked_for(sets: tuple[str, ...], episodes: int) -> None:
    for overlap in (0.0, 1.0):
        counts = Recipe(episodes=episodes, sets=sets, overlap=overlap).counts
        assert sum(counts.values()) == episodes
        assert set(counts) == set(sets) - {"D"} - ({"B"} if overlap == 0 else set())
        assert min(counts.values()) >= 1
    assert Recipe(episodes=500).counts["A"] == 2 * Recipe(episodes=500).counts["noise"] == 100


@pytest.mark.parametrize("workers", [0, -2])
def test_a_number_of_processes_that_is_none_is_refused(workers: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"at least 1, found {workers}"):
        make(RECIPE, tmp_path / "log", workers=workers)


def test_a_log_is_made_with_as_many_processes_as_there_are_cores_to_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pinned to one core it makes none, however many the machine has."""
    asked = list[int]()

    class Pool(ThreadPoolExecutor):
        def __init__(self, count: int, **_: object):
            asked.append(count)
            super().__init__(1)

    monkeypatch.setattr(collect_module, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(collect_module, "BATCH", 1)
    for cores in ({0}, {0, 1, 2}):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: cores)
        collect(dataclasses.replace(RECIPE, episodes=30))
    assert asked == [3]


@pytest.mark.parametrize("wrong", [
    {"overlap": 1.5}, {"epsilon": -0.1}, {"sets": ("A", "Z")}, {"episodes": 3}, {"seed": -1},
    {"labels": "some"}, {"sets": ("B",), "overlap": 0.0}, {"sets": ("D",)},
])  # fmt: skip
def test_recipes_that_make_no_log_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="found"):
        dataclasses.replace(RECIPE, **wrong)  # type: ignore[arg-type]

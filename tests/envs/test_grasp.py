"""The bin: its physics by hand, what its pictures show, and what is rewarded."""

import dataclasses

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from suture.envs import gripper
from suture.envs.grasp.objects import DENSITY, FRICTION, KINDS, SHAPES, Thing, draw
from suture.envs.make import make_vector, specification
from suture.errors import ConfigError

pytest.importorskip("mujoco", reason="mujoco is an extra")

from suture.envs.grasp.env import GRASP, GRASP_HELD_OUT, HORIZON, MOUNTS, PENALTY, Grasp, View
from suture.envs.grasp.scene import HALF, LIFTED, LOW, REACH, Scene
from suture.envs.grasp.script import EXACT, Habit, Script, random_action

GREEN = (0.1, 0.9, 0.1)
CUBE = Thing("box", (("box", (0.015, 0.015, 0.015), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0)),), 500.0, 1.0, GREEN)
STILL = np.zeros(3)


def with_cube(scene: Scene, *, x: float = 0.0, y: float = 0.0, yaw: float = 0.0) -> None:
    """One cube of 3 cm at a place, the open hand over the bin's middle."""
    scene.fill([CUBE], np.random.default_rng(0))
    scene.hand.place(np.array([0.0, 0.0, 0.15]), yaw, opening=gripper.OPEN, closed=False)
    scene.data.qpos[6:] = [x, y, 0.015, 1.0, 0.0, 0.0, 0.0]
    scene.data.qvel[:] = 0.0
    scene.refresh()


def go(scene: Scene, place: tuple[float, float, float]) -> None:
    """Move the open hand somewhere, at its yaw."""
    for _ in range(4):
        scene.act(gripper.Command(np.clip(scene.hand.local(np.array(place)), -0.07, 0.07), 0.0, 0, False))


def grip(scene: Scene, *, close: bool = True, up: float = 0.0) -> None:
    scene.act(gripper.Command(np.array([0.0, 0.0, up]), 0.0, 1 if close else -1, False))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


@given(seed=st.integers(0, 10_000))
def test_what_is_held_out_is_in_no_training_bin(seed: int) -> None:
    generator = np.random.default_rng(seed)
    shown, kept = draw(generator, "train"), draw(generator, "held-out")
    assert {thing.shape for thing in shown} <= {"box", "cylinder", "ellipsoid"}
    assert {thing.shape for thing in kept} <= {"capsule", "T", "dumbbell"}
    assert {part[0] for thing in shown for part in thing.parts}.isdisjoint({"capsule", "sphere"})
    assert all(len(thing.parts) == 1 for thing in shown), "nothing composite"
    assert 3 <= len(shown) <= 6
    for thing in shown + kept:
        assert DENSITY[0] <= thing.density <= DENSITY[1]
        assert FRICTION[0] <= thing.friction <= FRICTION[1]


def test_every_shape_occurs_and_no_two_objects_are_alike() -> None:
    generator = np.random.default_rng(0)
    things = [thing for _ in range(30) for thing in draw(generator, "any")]
    assert {thing.shape for thing in things} == set(SHAPES) == {*KINDS["train"], *KINDS["held-out"]}
    assert len({thing.parts for thing in things}) == len({thing.colour for thing in things}) == len(things)
    with pytest.raises(ConfigError, match="train, held-out, any, found 'new'"):
        draw(generator, "new")  # type: ignore[arg-type]


def test_objects_come_to_rest_in_the_bin_some_upon_others(scene: Scene) -> None:
    piled = 0
    for seed in range(25):
        generator = np.random.default_rng(seed)
        scene.fill(draw(generator, "any"), generator)
        before = scene.places.copy()
        assert (np.abs(before[:, :2]) < HALF + 0.02).all()
        assert (before[:, 2] > 0.005).all(), "on the floor, not in it"
        piled += bool((before[:, 2] > 0.035).any())
        scene.act(gripper.Command(STILL, 0.0, 0, False))
        assert np.abs(scene.places - before).max() < 0.01
    assert piled


@pytest.mark.parametrize("yaw", [0.0, 1.0])
def test_the_hand_moves_along_its_own_axes_and_stays_in_the_bin(scene: Scene, yaw: float) -> None:
    with_cube(scene, y=-0.1, yaw=yaw)
    scene.act(gripper.Command(np.array([0.05, 0.0, -0.02]), 0.3, 0, False))
    there = [0.05 * np.cos(yaw), 0.05 * np.sin(yaw), 0.13]
    np.testing.assert_allclose(scene.hand.position, there, atol=4e-3)
    assert scene.hand.yaw == pytest.approx(yaw + 0.3, abs=0.03)
    for _ in range(3):
        scene.act(gripper.Command(np.array([0.0, 0.0, -0.07]), 0.0, 0, False))
    assert scene.hand.position[2] == pytest.approx(LOW[2], abs=1e-3)
    for _ in range(5):
        scene.act(gripper.Command(np.array([-0.07, 0.0, 0.0]), 0.0, 0, False))
    assert np.abs(scene.hand.position[:2]).max() < HALF


@pytest.mark.parametrize(("beside", "caught"), [(0.0, True), (0.008, True), (0.045, False), (0.06, False)])
def test_a_grasp_beside_the_object_fails(scene: Scene, beside: float, caught: bool) -> None:
    """Fingers that close 4.5 cm beside a cube of 3 cm, which they would pass, have nothing between them."""
    with_cube(scene, x=0.02, y=-0.01, yaw=0.0)
    go(scene, (0.02, -0.01 + beside, 0.02))
    grip(scene, up=0.07)
    scene.act(gripper.Command(np.array([0.0, 0.0, 0.07]), 0.0, 0, False))
    assert bool(scene.lifted.any()) is caught
    assert scene.hand.opening == pytest.approx(0.015 if caught else 0.0, abs=2e-3)


def test_fingers_that_come_down_on_an_object_do_not_go_through_it(scene: Scene) -> None:
    """A jam: one finger stands on the cube, which stands on the floor, and the hand stays above both."""
    with_cube(scene, x=0.045)
    go(scene, (0.0, 0.0, float(LOW[2])))
    assert scene.hand.position[2] - 0.014 == pytest.approx(0.03, abs=2e-3)
    assert scene.places[0, 2] == pytest.approx(0.015, abs=1e-3)


def test_what_is_let_go_falls(scene: Scene) -> None:
    with_cube(scene)
    go(scene, (0.0, 0.0, 0.02))
    grip(scene, up=0.07)
    scene.act(gripper.Command(np.array([0.0, 0.0, 0.07]), 0.0, 0, False))
    assert scene.lifted.all()
    grip(scene, close=False)
    scene.act(gripper.Command(STILL, 0.0, 0, False))
    assert scene.places[0, 2] < 0.04


def ready(height: float) -> Grasp:
    """An environment whose hand holds the cube at a height."""
    env = Grasp(camera=None)
    env.reset(seed=0)
    with_cube(env.scene)
    go(env.scene, (0.0, 0.0, 0.02))
    grip(env.scene)
    for _ in range(3):
        up = np.array([0.0, 0.0, min(height - env.scene.hand.position[2], 0.07)])
        env.scene.act(gripper.Command(up, 0.0, 0, False))
    assert env.scene.hand.position[2] == pytest.approx(height, abs=5e-3)
    return env


def test_broad_fingers_hold_what_lies_beside_their_middle(scene: Scene) -> None:
    with_cube(scene, y=0.026)
    go(scene, (0.0, 0.0, 0.02))
    grip(scene)
    for _ in range(2):
        grip(scene, up=0.07)
    assert scene.lifted.all(), scene.places


@pytest.mark.parametrize(("height", "reward"), [(0.16, 1.0), (0.135, 1.0), (0.11, 0.0), (0.02, 0.0)])
def test_only_an_object_above_twelve_centimetres_is_rewarded(height: float, reward: float) -> None:
    env = ready(height)
    _, got, ended, _, info = env.step(gripper.write(STILL, 0.0, 0, REACH, last=True))
    assert ended
    assert (got, info["success"]) == (reward, reward == 1.0), (env.scene.places, LIFTED)


def test_lifting_alone_is_not_rewarded_nor_is_what_falls_while_it_is_judged() -> None:
    env = ready(0.16)
    _, got, ended, _, info = env.step(gripper.write(STILL, 0.0, 0, REACH))
    assert (got, ended, info["success"]) == (-PENALTY, False, False)
    env.scene.data.qpos[6:9] = 0.1, 0.1, 0.15  # in the air, beside the hand
    env.scene.refresh()
    assert env.scene.lifted.all()
    _, got, ended, _, info = env.step(gripper.write(STILL, 0.0, 0, REACH, last=True))
    assert (got, ended, info["success"]) == (0.0, True, False)


@pytest.mark.parametrize("objects", ["train", "held-out"])
def test_the_script_without_errors_grasps_and_a_sloppy_one_often_does_not(objects: str) -> None:
    assert success(EXACT, objects) >= 0.9
    assert 0.1 <= success(Habit(aim=0.03, turn=0.5, retry=0.0), objects) <= 0.6


def success(habit: Habit, objects: str, episodes: int = 20) -> float:
    env, rewards = Grasp(objects, camera=None), list[float]()  # type: ignore[arg-type]
    for seed in range(episodes):
        env.reset(seed=seed)
        script, ended, steps = Script(habit, np.random.default_rng(seed)), False, 0
        while not ended and steps < HORIZON:
            _, reward, ended, _, _ = env.step(script.act(env.scene))
            steps += 1
        rewards.append(max(reward, 0.0))
    return float(np.mean(rewards))


def test_a_share_of_the_actions_is_random_where_the_habit_says_so(scene: Scene) -> None:
    with_cube(scene)
    exact = [Script(EXACT, np.random.default_rng(seed)).act(scene) for seed in range(300)]
    mixed = [Script(Habit(random=0.3), np.random.default_rng(seed)).act(scene) for seed in range(300)]
    np.testing.assert_array_equal(exact, [exact[0]] * 300)
    assert np.mean([not np.array_equal(one, exact[0]) for one in mixed]) == pytest.approx(0.3, abs=0.08)
    tries = np.stack([random_action(np.random.default_rng(seed)) for seed in range(1000)])
    assert (tries[:, 5:] > 0).mean(axis=0) == pytest.approx([0.2] * 3, abs=0.04), "each choice is shown"
    assert (tries[:, 5:] > 0).sum(axis=1).max() == 1
    assert np.abs(tries[:, :3].mean(axis=0)).max() < 0.1


def test_an_unsteady_script_aims_anew_at_each_step_and_a_steady_one_keeps_its_error(scene: Scene) -> None:
    with_cube(scene)
    for waver, aims in ((0.0, 1), (1.0, 5)):
        script = Script(Habit(aim=0.01, waver=waver), np.random.default_rng(0))
        assert len({tuple(script._goal(scene).place) for _ in range(5)}) == aims


@pytest.mark.parametrize(("doubt", "grip"), [(0.0, 1), (1.0, 0)])
def test_one_that_doubts_goes_up_again_from_what_is_under_its_fingers(
    scene: Scene, doubt: float, grip: int
) -> None:
    """A finger stands on the cube: it is held up some 3 cm above where it wants to close."""
    *_, (before, command) = onto_the_cube(scene, Habit(doubt=doubt))
    assert 0.03 < before < 0.06
    assert command.grip == grip


def test_one_that_is_stubborn_pushes_on(scene: Scene) -> None:
    *_, (before, command) = acts = onto_the_cube(scene, Habit(stubborn=1.0))
    assert len(acts) == HORIZON
    assert 0.03 < before < 0.06
    assert (command.grip, command.last) == (0, False)
    assert command.displacement[2] < -0.005


@pytest.mark.parametrize("low", [0.0, 1.0])
def test_one_that_goes_low_does_not_rise_to_go_sideways(scene: Scene, low: float) -> None:
    """The hand stands on the floor, 5 cm beside where it is to close."""
    with_cube(scene)
    go(scene, (0.05, 0.0, 0.02))
    drawn = [Script(Habit(low=low), np.random.default_rng(seed)).act(scene) for seed in range(50)]
    moves = np.stack([gripper.read(action, REACH).displacement for action in drawn])
    assert np.hypot(moves[:, 0], moves[:, 1]).min() > 0.02
    if low:
        assert moves[:, 2].max() <= 0
        assert moves[:, 2].mean() == pytest.approx(-REACH.displacement / 2, abs=0.01)
    else:
        assert moves[:, 2].min() > 0.03


def onto_the_cube(scene: Scene, habit: Habit) -> list[tuple[float, gripper.Command]]:
    """A finger comes down on the cube. The hand's height and the command, until one leads up."""
    with_cube(scene)
    script, acts = Script(habit, np.random.default_rng(0)), list[tuple[float, gripper.Command]]()
    while len(acts) < HORIZON:
        plan_ = script._goal(scene)
        script._plan = dataclasses.replace(plan_, place=np.array([0.045, 0.0, plan_.place[2]]))
        before, command = float(scene.hand.position[2]), gripper.read(script.act(scene), REACH)
        scene.act(command)
        acts.append((before, command))
        if command.displacement[2] > 0.005 and before < 0.08:
            break
    return acts


@pytest.mark.parametrize(("haste", "ends"), [(0.0, 0), (1.0, 1)])
def test_a_hasty_script_terminates_once_its_hand_is_high_enough_whatever_it_holds(
    scene: Scene, haste: float, ends: int
) -> None:
    """The cube is held 2.5 cm below the hand, and so below the height that counts."""
    with_cube(scene)
    go(scene, (0.0, 0.0, 0.04))
    grip(scene)
    go(scene, (0.0, 0.0, LIFTED + 0.012))
    assert scene.hand.position[2] > LIFTED
    assert 0.05 < scene.places[0, 2] < LIFTED
    action = Script(Habit(haste=haste), np.random.default_rng(0)).act(scene)
    assert gripper.read(action, REACH).last == ends


def test_uneven_lifts_fall_short_by_the_share_that_is_said(scene: Scene) -> None:
    with_cube(scene)
    go(scene, (0.0, 0.0, 0.02))
    lifts = [
        gripper.read(Script(Habit(uneven=0.6), np.random.default_rng(seed)).act(scene), REACH).displacement[2]
        for seed in range(200)
    ]
    assert min(lifts) >= 0.4 * REACH.displacement
    assert max(lifts) <= REACH.displacement
    assert np.mean(lifts) == pytest.approx(0.7 * REACH.displacement, rel=0.05)


@pytest.mark.parametrize("yaw", [0.0, 0.7, -1.3])
def test_the_crop_follows_the_hand_and_shows_the_object_where_it_is(scene: Scene, yaw: float) -> None:
    """48 pixels are 27 cm of the floor; a green cube is 9 cm to the hand's right and 5 cm ahead of it."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    with_cube(scene, x=0.09 * cosine - 0.05 * sine, y=0.09 * sine + 0.05 * cosine, yaw=yaw)
    picture = View(scene, "crop", pixels=48).picture().astype(int)
    green = (picture[..., 1] > 2 * picture[..., 0]) & (picture[..., 1] > 2 * picture[..., 2])
    rows, columns = np.nonzero(green)
    assert rows.mean() == pytest.approx(23.5 - 0.05 * 48 / 0.27, abs=1.0)
    assert columns.mean() == pytest.approx(23.5 + 0.09 * 48 / 0.27, abs=1.0)
    assert green.sum() == pytest.approx((0.03 * 48 / 0.27 * 0.5 / 0.47) ** 2, rel=0.35), "its top is nearer"
    scene.data.qpos[6:8] *= -1
    scene.refresh()
    moved = View(scene, "crop", pixels=48).picture().astype(int)
    changed = np.abs(moved - picture).max(axis=-1) > 30
    assert changed[green].all(), "there is the floor now"


def test_the_crop_shows_the_fingers_and_not_the_palm(scene: Scene) -> None:
    with_cube(scene, x=0.1)
    picture = View(scene, "crop", pixels=64).picture().astype(int)
    blue = picture[..., 2] > 2 * picture[..., 0]
    assert blue[:, :32].any()
    assert blue[:, 32:].any(), "a finger on each side"
    assert not blue[:, 28:36].any(), "nothing between them"
    dark = picture.sum(axis=-1) < 200
    assert not dark[28:36, 28:36].any(), "and no palm above"


@pytest.mark.parametrize("camera", sorted(MOUNTS))
def test_every_camera_sees_the_object_and_how_far_it_is(scene: Scene, camera: str) -> None:
    with_cube(scene, y=0.01)
    go(scene, (0.0, -0.05, 0.1))
    seen = View(scene, camera, pixels=64, depth=True).picture().astype(int)  # type: ignore[arg-type]
    green = (seen[..., 1] > 2 * seen[..., 0]) & (seen[..., 1] > 2 * seen[..., 2])
    assert green.sum() >= 12
    scene.data.qpos[6:9] = 0.0, 5.0, 0.015
    scene.refresh()
    empty = View(scene, camera, pixels=64, depth=True).picture().astype(int)  # type: ignore[arg-type]
    assert (seen[green, 3] < empty[green, 3]).mean() > 0.9, "the cube is nearer than the floor behind it"


def test_the_contract_of_gymnasium_is_kept() -> None:
    env = gymnasium.make(specification(GRASP), pixels=16, depth=True, render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=True)
    seen, _ = env.reset(seed=1)
    assert seen in env.observation_space
    assert seen["image"].shape == (16, 16, 4)
    assert np.asarray(env.render()).shape == (256, 256, 3)


def test_an_episode_is_cut_after_twenty_steps_that_cost_a_little() -> None:
    env = gymnasium.make(specification(GRASP_HELD_OUT), camera=None)
    env.reset(seed=0)
    shapes = {thing.shape for thing in env.unwrapped.scene.things}  # type: ignore[attr-defined]
    assert shapes <= set(KINDS["held-out"])
    rewards, ended, truncated = list[float](), False, False
    while not (ended or truncated):
        _, reward, ended, truncated, info = env.step(gripper.write(STILL, 0.0, 0, REACH).astype(np.float32))
        rewards.append(float(reward))
    assert (len(rewards), ended, info["success"]) == (HORIZON, False, False)
    assert rewards == [-PENALTY] * HORIZON


def test_episodes_depend_on_their_seed_alone() -> None:
    actions = [random_action(np.random.default_rng(seed)) for seed in range(12)]
    one, other = Grasp(pixels=16), Grasp(pixels=16)
    other.reset(seed=5)
    other.step(actions[0])
    seen = [
        [env.reset(seed=9)[0]["image"], *(env.step(action)[0]["image"] for action in actions)]
        for env in (one, other)
    ]
    np.testing.assert_array_equal(*seen)
    assert not np.array_equal(seen[0][0], one.reset(seed=10)[0]["image"])


def test_copies_in_processes_of_their_own_play_the_same_episodes() -> None:
    vector = make_vector(GRASP, 2, processes=True)
    try:
        seen, _ = vector.reset(seed=3)
        seen, *_ = vector.step(np.stack([random_action(np.random.default_rng(n)) for n in range(2)]))
    finally:
        vector.close()
    for number in range(2):
        env = Grasp()
        env.reset(seed=3 + number)
        alone, *_ = env.step(random_action(np.random.default_rng(number)))
        np.testing.assert_array_equal(alone["image"], seen["image"][number])
        np.testing.assert_array_equal(alone["hand"], seen["hand"][number])


def test_what_is_no_camera_is_refused() -> None:
    with pytest.raises(ConfigError, match="one of crop, overhead, wrist, shoulder, found 'top'"):
        Grasp(camera="top")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="pixels must be from 8 to 1024, found 4"):
        Grasp(pixels=4)

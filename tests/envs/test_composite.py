"""The five-step task in MuJoCo: its physics by hand, its stages, and that it can be solved."""

import math

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.envs import gripper
from suture.envs.composite import layout, starts
from suture.envs.composite.certificate import STEPS
from suture.envs.make import specification
from suture.errors import ConfigError

pytest.importorskip("mujoco", reason="mujoco is an extra")

from suture.envs.composite.env import (
    ABOVE,
    FIELD,
    FLAGS,
    HORIZON,
    PIXELS,
    REACH,
    STATE,
    Composite,
    command_of,
    state_of,
)
from suture.envs.composite.scene import FRONT, OPENED, WALL, Scene
from suture.envs.composite.scripts import EXACT, Script


def move(x: float, y: float, z: float, grip: int = 0) -> gripper.Command:
    return gripper.Command(np.array([x, y, z]), 0.0, grip, False)


@pytest.fixture(scope="module")
def room() -> Scene:
    return Scene()


def begin(room: Scene, stage: int, seed: int = 0, layouts: layout.Layouts = "any") -> np.random.Generator:
    generator = np.random.default_rng(seed)
    starts.begin(room, layout.draw(generator, layouts), stage, generator)
    return generator


@given(values=st.lists(st.floats(-1, 1), min_size=3, max_size=3), turn=st.floats(-0.6, 0.6),
       grip=st.sampled_from([1, -1, 0]), last=st.booleans())  # fmt: skip
def test_an_action_that_is_written_is_read_as_it_was(
    values: list[float], turn: float, grip: int, last: bool
) -> None:
    there = REACH.displacement * np.array(values)
    read = gripper.read(gripper.write(there, turn, grip, REACH, last=last), REACH)
    np.testing.assert_allclose(read.displacement, there, atol=1e-12)
    assert read.turn == pytest.approx(turn, abs=1e-12)
    assert (read.grip, read.last) == (grip, last)


@given(seed=st.integers(0, 1_000))
def test_held_out_layouts_are_far_from_all_that_logs_show(seed: int) -> None:
    generator = np.random.default_rng(seed)
    shown, kept = (layout.draw(generator, kind) for kind in ("train", "held-out"))
    assert layout.shown(shown.drawer)
    assert layout.shown(shown.door)
    assert abs(shown.drawer_y - kept.drawer_y) > 0.0179
    assert abs(shown.door_x - kept.door_x) > 0.0139


def test_layouts_fill_all_of_their_places_and_a_share_of_them_the_lower_part() -> None:
    generator = np.random.default_rng(0)
    places = np.array([layout.draw(generator, "train").drawer for _ in range(400)])
    assert abs((places < 0.3).mean() - 0.5) < 0.1
    assert {round(10 * float(place)) for place in places} == {0, 1, 2, 3, 7, 8, 9, 10}
    few = [layout.draw(generator, "train", share=0.75).drawer for _ in range(200)]
    assert max(few) < 0.85
    assert np.mean(np.array(few) < 0.3) == pytest.approx(2 / 3, abs=0.1)


@pytest.mark.parametrize("stage", range(len(STEPS)))
def test_an_episode_starts_at_the_stage_that_was_asked_for(room: Scene, stage: int) -> None:
    for seed in range(10):
        begin(room, stage, seed)
        assert room.stage == stage
        assert room.held == ("key" if stage >= 3 else None), "only the key opens the lock"
        room.act(move(0.0, 0.0, 0.0, grip=0))
        assert room.stage == stage, "and it stays there where nothing is done"


@pytest.mark.parametrize("layouts", ["held-out", "train"])
def test_exact_scripts_solve_the_whole_task(room: Scene, layouts: layout.Layouts) -> None:
    """Each script knows one step; by turns, as the stage says, they do all five."""
    lengths = list[int]()
    for seed in range(40):
        generator = begin(room, 0, seed, layouts)
        scripts = [Script(step, EXACT, generator) for step in range(len(STEPS))]
        stages = [0]
        while stages[-1] < len(STEPS) and len(stages) <= HORIZON:
            room.act(command_of(room, scripts[stages[-1]].act(room)))
            stages.append(room.stage)
        assert list(dict.fromkeys(stages)) == list(range(len(STEPS) + 1)), "all steps, in their order"
        lengths.append(len(stages) - 1)
    assert 43 <= np.mean(lengths) <= 47, "as the twin's 44, and the documentation"


def test_the_block_keeps_the_drawer_shut_until_it_is_away(room: Scene) -> None:
    for stage, opened in ((0, False), (1, True)):
        begin(room, stage)
        room.hand.place(room.handle, 0.0, opening=gripper.OPEN, closed=False)
        room.act(move(0.0, 0.0, 0.0, grip=1))
        assert room.held == "handle"
        for _ in range(8):
            room.act(move(0.06, 0.0, 0.0))
        assert (room.pulled > OPENED) is opened, room.pulled


def test_the_key_moves_with_the_drawer_and_cannot_be_reached_while_it_is_shut(room: Scene) -> None:
    begin(room, 1)
    room.hand.place(np.array([-0.1, room.key[1], 0.03]), 0.0, opening=gripper.OPEN, closed=False)
    for _ in range(6):
        room.act(move(-0.06, 0.0, -0.02))
    room.act(move(0.0, 0.0, 0.0, grip=1))
    assert room.held != "key"
    begin(room, 1)
    before = room.key[0]
    room.hand.place(room.handle, 0.0, opening=gripper.OPEN, closed=False)
    for grip in (1, 0, 0, 0, 0):
        room.act(move(0.06, 0.0, 0.0, grip=grip))
    assert room.key[0] - before == pytest.approx(room.pulled, abs=2e-3)
    assert room.pulled > OPENED


def test_what_is_let_go_falls_and_lies_still(room: Scene) -> None:
    begin(room, 3)
    for grip in (-1, *[0] * 12):
        room.act(move(0.0, 0.0, 0.0, grip=grip))
    assert room.held is None
    assert room.stage == 2, "the drawer is open"
    low = room.key.copy()
    assert low[2] == pytest.approx(0.01, abs=2e-3)
    room.act(move(0.06, 0.0, 0.0))
    np.testing.assert_allclose(room.key, low, atol=1e-3)


@pytest.mark.parametrize(("stage", "out"), [(2, False), (4, True)])
def test_only_an_unlocked_door_lets_the_hand_out(room: Scene, stage: int, out: bool) -> None:
    begin(room, stage)
    room.hand.place(np.array([room.door_x, 0.1, 0.09]), 0.0, opening=gripper.OPEN, closed=False)
    room.release()
    for _ in range(10):
        room.act(move(0.0, 0.06, 0.0))
    assert (room.stage == len(STEPS)) is out
    assert (room.door > 0.3) is out
    assert out or room.hand.position[1] < WALL


def test_the_lock_wants_the_key(room: Scene) -> None:
    for stage, unlocked in ((2, False), (3, True)):
        begin(room, stage)
        for _ in range(25):
            room.act(move(*np.clip(room.lock - room.hand.position, -0.06, 0.06)))
        assert room.unlocked is unlocked


def test_episodes_depend_on_their_seed_alone() -> None:
    actions = np.random.default_rng(1).uniform(-1, 1, (30, 8))
    one, other = Composite(), Composite()
    for _ in range(2):
        other.reset(seed=5, options={"stage": 4})
        other.step(actions[0])
    seen = [[env.reset(seed=9)[0], *(env.step(action)[0] for action in actions)] for env in (one, other)]
    np.testing.assert_array_equal(*seen)
    assert not np.array_equal(seen[0][0], one.reset(seed=10)[0])


def test_the_environment_keeps_gymnasium_s_contract_and_says_what_is_done() -> None:
    env = gymnasium.make(specification("suture/Composite-v0"))
    seen, info = env.reset(seed=0, options={"stage": 2, "layouts": "train"})
    assert seen in env.observation_space
    assert seen.shape == (len(STATE),)
    assert [info[flag] for flag in FLAGS] == [True, True, False, False, False]
    assert not info["success"]
    ended = truncated = False
    steps = 0
    while not (ended or truncated):
        _, reward, ended, truncated, info = env.step(np.zeros(8, np.float32))
        steps += 1
        assert reward == 0.0
    assert (steps, truncated) == (HORIZON, True)
    with pytest.raises(ConfigError, match="train, held-out, any, found 'all'"):
        Composite(layouts="all")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="stage 0 to 4, found 5"):
        env.reset(options={"stage": 5})


def test_leaving_is_rewarded_once_and_ends_the_episode() -> None:
    env, rewards, ended = Composite(stage=4), list[float](), False
    env.reset(seed=0)
    script = Script(4, EXACT, np.random.default_rng(0))
    while not ended:
        _, reward, ended, _, info = env.step(script.act(env.scene))
        rewards.append(reward)
    assert info["success"]
    assert sum(rewards) == rewards[-1] == 1.0


def test_a_place_in_the_picture_is_a_displacement_of_the_hand() -> None:
    """The block's red pixels, from the middle, in the hand's own axes, however it is turned."""
    env, apart = Composite("image"), list[float]()
    for seed in range(8):
        seen, _ = env.reset(seed=seed)
        assert seen in env.observation_space
        hand, scale = env.scene.hand, PIXELS / 2 / math.tan(math.radians(FIELD) / 2)
        x, y, _ = np.array(env.scene.block) - hand.position
        cosine, sine = math.cos(hand.yaw), math.sin(hand.yaw)
        across, ahead = cosine * x + sine * y, cosine * y - sine * x
        picture = seen["image"].astype(int)
        rows, columns = np.nonzero((picture[..., 0] > 100) & (picture[..., 1] < 60) & (picture[..., 2] < 60))
        if len(rows) > 8:
            found = np.array([columns.mean() - PIXELS / 2, PIXELS / 2 - rows.mean()])
            apart.append(float(np.abs(found - scale * np.array([across, ahead]) / (ABOVE - 0.02)).max()))
    assert len(apart) >= 4
    assert max(apart) < 4, "pixels: the sides of a block lean outwards"


def test_the_lamp_and_a_picture_for_people_show_the_door_unlocked() -> None:
    env = Composite("image")
    env.reset(seed=3, options={"stage": 4})
    near = env.scene.hand.position.copy()
    env.reset(seed=3, options={"stage": 2})
    env.scene.hand.place(near, 0.0, opening=gripper.OPEN, closed=False)

    def lit() -> int:
        picture = env.view.see()["image"].astype(int)
        return int(((picture[..., 1] > 150) & (picture[..., 0] < 60)).sum())

    before = lit()
    env.scene.unlock()
    assert lit() > before
    assert env.render().shape == (256, 256, 3)


def test_the_state_says_what_a_policy_must_know(room: Scene) -> None:
    begin(room, 2)
    state = dict(zip(STATE, state_of(room).tolist(), strict=True))
    assert state["drawer"] == pytest.approx(room.pulled)
    assert state["key x"] == pytest.approx(room.key[0])
    assert FRONT - 0.1 < state["key x"] < 0

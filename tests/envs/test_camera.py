"""The ray-cast camera against geometry by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.envs.camera import AMBIENT, BACKGROUND, Camera, Standing, looking

mujoco = pytest.importorskip("mujoco", reason="mujoco is an extra")
SCENE = """
<mujoco><worldbody>
  <geom name="floor" type="plane" size="20 20 .1" rgba="0 1 0 1"/>
  <geom name="ball" type="sphere" size=".5" pos="0 0 1" rgba="1 0 0 1"/>
  <geom name="veil" type="box" size=".1 .1 .1" pos="0 0 2.5" rgba="0 0 1 1" group="3"/>
</worldbody></mujoco>
"""


@pytest.fixture(scope="module")
def scene() -> tuple[object, object]:
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def test_distances_are_those_of_geometry(scene: tuple[object, object]) -> None:
    """From 4 m above the ball's middle: the middle ray meets the ball at 3.5 m, or the veil at 2.4 m."""
    camera, place = Camera(pixels=65, field=60.0, far=10.0), np.array([0.0, 0.0, 5.0])
    down = looking(place, np.array([0.0, 0.0, 1.0]), up=(0.0, 1.0, 0.0))
    _, distance = camera.see(*scene, place, down, hidden=(3,))
    assert distance[32, 32] == pytest.approx(3.5, abs=1e-6)
    corner = camera.rays[0]
    assert distance[0, 0] == pytest.approx(5.0 / -corner[2], abs=1e-6), "the floor"
    _, veiled = camera.see(*scene, place, down)
    assert veiled[32, 32] == pytest.approx(2.4, abs=1e-6)


def test_the_ball_covers_as_many_pixels_as_its_cone(scene: tuple[object, object]) -> None:
    camera, place = Camera(pixels=128, field=60.0), np.array([0.0, 0.0, 5.0])
    down = looking(place, np.array([0.0, 0.0, 1.0]), up=(0.0, 1.0, 0.0))
    picture, _ = camera.see(*scene, place, down, hidden=(3,))
    red = (picture[..., 0] > 60) & (picture[..., 1] == 0)
    radius = np.tan(np.arcsin(0.5 / 4)) / np.tan(np.radians(30)) * 64
    assert red.sum() == pytest.approx(np.pi * radius**2, rel=0.03)


def test_colours_sides_and_the_sky(scene: tuple[object, object]) -> None:
    camera, place = Camera(pixels=64, far=10.0), np.array([0.0, -4.0, 1.0])
    picture, _ = camera.see(*scene, place, looking(place, np.array([0.0, 0.0, 1.0])), hidden=(3,))
    assert tuple(picture[0, 0]) == tuple((255 * np.array(BACKGROUND)).astype(np.uint8))
    assert picture[-1, 32, 1] > 100
    assert picture[-1, 32, 0] == 0
    assert picture[27, 32, 0] > picture[37, 32, 0], "it is lit from above"
    assert picture[37, 32, 0] >= int(255 * AMBIENT) - 1
    assert picture[32, 36, 0] > picture[32, 28, 0], "and from the right"


def test_the_picture_is_not_mirrored() -> None:
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><geom type="sphere" size=".2" pos="1 0 2" rgba="1 0 0 1"/></worldbody></mujoco>'
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    place = np.array([0.0, -4.0, 1.0])
    picture, _ = Camera(pixels=64).see(model, data, place, looking(place, np.array([0.0, 0.0, 1.0])))
    rows, columns = np.nonzero((picture[..., 1] == 0) & (picture[..., 0] > 50))
    assert columns.mean() > 40, "x grows to the right"
    assert rows.mean() < 24, "z grows upwards"


def test_the_same_scene_gives_the_same_pixels(scene: tuple[object, object]) -> None:
    place = np.array([1.0, -2.0, 3.0])
    seen = [Camera().see(*scene, place, looking(place, np.zeros(3)))[0] for _ in range(2)]
    np.testing.assert_array_equal(*seen)


TURNING = """
<mujoco><worldbody>
  <geom type="plane" size="20 20 .1" rgba="0 1 0 1"/>
  <geom type="box" size=".2 .2 .6" pos="0 -1 .6" rgba=".5 .5 .5 1"/>
  <body pos="0 0 .6"><joint type="ball"/><geom type="box" size="1 .05 .2" rgba="1 0 0 1" mass="1"/></body>
  <body pos="-1.5 0 1">
    <joint type="slide" axis="1 0 0"/><geom type="capsule" size=".1 .4" rgba="0 0 1 1"/>
  </body>
</worldbody></mujoco>
"""


@given(turn=st.lists(st.floats(-1, 1), min_size=4, max_size=4), place=st.floats(-4, 4))
def test_a_standing_camera_sees_what_casting_every_ray_sees(turn: list[float], place: float) -> None:
    """However things are turned, hidden, or half out of the picture."""
    model = mujoco.MjModel.from_xml_string(TURNING)
    data = mujoco.MjData(model)
    eye = np.array([0.3, -3.0, 1.5])
    camera, rotation = Camera(pixels=24), looking(eye, np.array([0.0, 0.0, 0.6]))
    standing = Standing(camera, eye, rotation)
    mujoco.mj_forward(model, data)
    standing.stand(model, data)
    data.qpos[:] = [*(turn if np.linalg.norm(turn) > 0.1 else (1, 0, 0, 0)), place]
    mujoco.mj_forward(model, data)
    np.testing.assert_array_equal(standing.see(model, data), camera.see(model, data, eye, rotation)[0])


def test_what_reaches_from_before_to_behind_the_camera_is_seen() -> None:
    model = mujoco.MjModel.from_xml_string(TURNING)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    eye = np.array([0.0, 0.3, 0.6])
    rotation = looking(eye, np.array([3.0, 0.3, 0.6]))
    standing = Standing(Camera(pixels=24), eye, rotation)
    standing.stand(model, data)
    picture = standing.see(model, data)
    assert (picture[..., 0] > picture[..., 1]).any(), "the red bar is in sight"
    np.testing.assert_array_equal(picture, Camera(pixels=24).see(model, data, eye, rotation)[0])

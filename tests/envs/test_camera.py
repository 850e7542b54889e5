"""The ray-cast camera against geometry by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.envs.camera import AMBIENT, BACKGROUND, Camera, carried, looking

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


@given(yaw=st.floats(-3, 3), x=st.floats(-2, 2), y=st.floats(-2, 2))
def test_a_camera_that_is_carried_sees_what_goes_with_it_where_it_was(yaw: float, x: float, y: float) -> None:
    """However far it is carried and turned; what is ahead (y) is up, what is to the right (x) right."""
    at, ahead = np.array([x, y, 0.0]), np.array([-math.sin(yaw), math.cos(yaw), 0.0])
    right = np.array([ahead[1], -ahead[0], 0.0])
    for eye in ((0.0, 0.0, 0.6), (0.0, -0.5, 0.4)):
        place, rotation = carried(at, yaw, eye)
        np.testing.assert_allclose(place, at + eye[1] * ahead + [0, 0, eye[2]], atol=1e-9)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        across, up, behind = (at + 0.1 * ahead + 0.05 * right - place) @ rotation
        assert across == pytest.approx(0.05)
        assert up > 0
        assert behind < 0
        assert (at - place) @ rotation == pytest.approx([0, 0, -math.hypot(*eye)], abs=1e-9)

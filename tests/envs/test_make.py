"""Environments by name: ours register themselves, absent extras say what to install, spaces are ours."""

import gymnasium
import numpy as np
import pytest

from suture import spaces
from suture.envs import make
from suture.errors import ConfigError


def test_our_environments_register_themselves() -> None:
    assert make.specification("suture/StitchMaze-v0").id == "suture/StitchMaze-v0"


def test_an_absent_extra_names_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "REGISTERED_BY", {"no_such_robotics": ("NoSuch",)})
    monkeypatch.setattr(make, "INSTALL", {"no_such_robotics": "no-such-robotics"})
    with pytest.raises(ConfigError, match="pip install 'no-such-robotics'"):
        make.specification("NoSuchHand-v1")


def test_an_absent_module_of_the_users_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'no_such_module' is neither .*PYTHONPATH=\."):
        make.specification("no_such_module:Thing-v0")


def test_a_missing_dependency_of_an_environment_names_the_install_line() -> None:
    def needs_box() -> gymnasium.Env[object, object]:
        raise ModuleNotFoundError("No module named 'Box2D'", name="Box2D")

    with pytest.raises(ConfigError, match=r"pip install 'gymnasium\[box2d\]'"):
        make.make_vector(needs_box, 1)


def test_an_unknown_id_gets_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"'CartPoll-v1'\. Did you mean 'CartPole-v1'\?"):
        make.specification("CartPoll-v1")


def test_spaces_and_what_fits() -> None:
    box = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
    assert make.space_from(box) == spaces.Box((3,), "float64")
    image = gymnasium.spaces.Dict({"camera": gymnasium.spaces.Box(0, 255, (4, 4, 3), np.uint8)})
    ours = make.space_from(image)
    assert make.fits(ours, spaces.Dict.of({"camera": spaces.Box((4, 4, 3), "uint8")}))
    assert not make.fits(ours, spaces.Dict.of({"camera": spaces.Box((4, 4, 3), "float32")}))
    assert not make.fits(ours, spaces.Dict.of({"wrist": spaces.Box((4, 4, 3), "uint8")}))
    assert not make.fits(spaces.Discrete(3), spaces.Discrete(4))
    assert make.fits(spaces.Box((3,), "float32"), spaces.Box((3,), "float64"))


def test_choices_that_do_not_count_from_zero_are_refused() -> None:
    assert make.space_from(gymnasium.spaces.Discrete(3)) == spaces.Discrete(3)
    with pytest.raises(ConfigError, match="Discrete from 0"):
        make.space_from(gymnasium.spaces.Discrete(3, start=1))

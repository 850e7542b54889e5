"""Random crops: what moves and how far, whatever the size of a batch; runs with them are as exact as ever."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making.episodes import PICTURES, record
from making.runs import Toy, checkpoints, told, train_until, walk

from suture.algorithms.base import Batch
from suture.data.load import load
from suture.errors import ConfigError
from suture.keys import key_for
from suture.spaces import Box, Dict
from suture.training.crop import cropped, shifted, shifts
from suture.training.train import train

CAMERA = Box((6, 8, 3), "uint8")
SEEN = Dict.of({"front": CAMERA, "hand": Box((2,)), "side": Box((9, 7, 1), "uint8")})


@given(st.integers(0, 2**31 - 1), st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 9))
def test_a_row_moves_alike_in_a_batch_of_any_size(seed: int, step: int, count: int, pixels: int) -> None:
    key = key_for(seed, "crop", step)
    many = np.asarray(shifts(key, 64, pixels))
    np.testing.assert_array_equal(np.asarray(shifts(key, count, pixels)), many[:count])
    assert np.abs(many).max() <= pixels


def test_every_shift_is_drawn_and_each_row_and_step_has_its_own() -> None:
    drawn = [np.asarray(shifts(key_for(0, "crop", step), 500, 2)) for step in range(2)]
    assert len({tuple(shift) for shift in drawn[0].tolist()}) == 25
    assert (drawn[0] != drawn[1]).any(1).mean() > 0.9


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([(), (3,)]), st.integers(1, 3))
def test_an_image_is_cut_out_of_itself_with_its_border_repeated(
    seed: int, pixels: int, window: tuple[int, ...], channels: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(256, size=(4, *window, 6, 8, channels)).astype(np.uint8)
    shift = rng.integers(-pixels, pixels + 1, (4, 2))
    border = [(0, 0)] * (1 + len(window)) + [(pixels, pixels)] * 2 + [(0, 0)]
    padded = np.pad(image, border, mode="edge")
    found = np.asarray(shifted(jnp.asarray(image), jnp.asarray(shift)))
    assert found.dtype == np.uint8
    for row, (down, right) in enumerate(shift + pixels):
        np.testing.assert_array_equal(found[row], padded[row, ..., down : down + 6, right : right + 8, :])


def test_images_of_an_observation_move_together_and_nothing_else_moves() -> None:
    rng = np.random.default_rng(0)

    def observed() -> dict[str, Any]:
        return {
            "front": rng.integers(256, size=(5, 6, 8, 3)).astype(np.uint8),
            "hand": rng.normal(size=(5, 2)).astype(np.float32),
            "side": rng.integers(256, size=(5, 9, 7, 1)).astype(np.uint8),
        }

    batch = Batch(observation=observed(), next_observation=observed(), action=jnp.zeros((5, 2)))
    after: Any = cropped(batch, SEEN, 2, key := key_for(3, "crop", 7))
    own = [np.asarray(shifts(jax.random.fold_in(key, which), 5, 2)) for which in (0, 1)]
    assert (own[0] != own[1]).any()
    for before, moved, shift in (
        (batch.observation, after.observation, own[0]),
        (batch.next_observation, after.next_observation, own[1]),
    ):
        plain: Any = before
        np.testing.assert_array_equal(moved["hand"], plain["hand"])
        for name in ("front", "side"):
            np.testing.assert_array_equal(moved[name], shifted(jnp.asarray(plain[name]), jnp.asarray(shift)))
    without = cropped(Batch(observation=observed(), action=jnp.zeros((5, 2))), SEEN, 2, key)
    assert without.next_observation is None


OPTIONS: dict[str, Any] = {"steps": 30, "checkpoint_every": 10, "log_every": 10, "random_crop": 2}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 80 transitions with pictures of 6 x 8."""
    return record(tmp_path_factory.mktemp("store") / "store", range(28), PICTURES)


@pytest.mark.usefixtures("compiled_once")
def test_streamed_and_resumed_runs_see_the_same_crops(store: Path, tmp_path: Path) -> None:
    data = load(store)
    resident = train(Toy(), data, out=tmp_path / "whole", **OPTIONS)
    plain, _ = told(Toy(), data, out=tmp_path / "plain", **OPTIONS | {"random_crop": 0})
    assert np.asarray(plain.newest.state.value) != np.asarray(resident.newest.state.value)
    streamed, said = told(Toy(), data, out=tmp_path / "streamed", memory_limit="16000", **OPTIONS)
    assert "streaming it" in said
    assert np.asarray(streamed.newest.state.value) == np.asarray(resident.newest.state.value)
    train_until(15, Toy(), data, out=tmp_path / "broken", **OPTIONS)
    train(Toy(), data, out=tmp_path / "broken", resume=True, **OPTIONS)
    assert checkpoints(tmp_path / "broken") == checkpoints(tmp_path / "whole")


def test_crops_without_images_or_of_half_an_image_are_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no part of the observation is one .*found box\[3\] float32"):
        train(Toy(), walk(), out=tmp_path / "run", **OPTIONS)
    with pytest.raises(ConfigError, match="half or more of the 6 that the smallest one has"):
        told(Toy(), load(store), out=tmp_path / "run", **OPTIONS | {"random_crop": 3})

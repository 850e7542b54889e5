"""Pictures of an episode on a report: whose, which steps, and that colours are what was seen."""

import base64
import dataclasses
import struct
import zlib

import numpy as np
from making.sets import dataset_of

from suture.report.logs import log_story
from suture.report.page import page
from suture.report.pictures import WIDTH, strip_of
from suture.spaces import Array


def pixels_of(file: bytes) -> Array:
    width, height = struct.unpack(">2I", file[16:24])
    size = struct.unpack(">I", file[33:37])[0]
    rows = np.frombuffer(zlib.decompress(file[41 : 41 + size]), np.uint8).reshape(height, 1 + 3 * width)
    return rows[:, 1:].reshape(height, width, 3)


def test_the_best_episode_is_shown_from_its_first_step_to_its_last() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (60, 8, 8, 3)).astype(np.uint8)
    data = dataset_of((20,) * 3, observation=picture)
    reward = np.zeros(60, np.float32)
    reward[30] = 1
    data = dataclasses.replace(data, reward=reward)
    strip = strip_of(data, whose="Of the log")
    assert strip is not None
    assert strip.caption == "Of the log: episode 1, return 1."
    assert [one.caption for one in strip.pictures] == [f"Step {n} of 20" for n in (1, 6, 11, 15, 20)]
    for row, one in zip((20, 25, 30, 34, 39), strip.pictures, strict=True):
        shown = pixels_of(one.png)
        assert shown.shape == (WIDTH, WIDTH, 3)
        np.testing.assert_array_equal(shown[:: WIDTH // 8, :: WIDTH // 8], picture[row])
    written = page("log", [log_story(data, "log", None)])
    assert written.count(base64.b64encode(strip.pictures[2].png).decode()) == 1


def test_grey_and_deep_pictures_are_shown_and_numbers_are_not() -> None:
    grey = np.arange(40, dtype=np.uint8).reshape(10, 2, 2, 1)
    deep = np.concatenate([grey, grey + 1, grey + 2, grey + 3], axis=-1)
    for seen in (grey, deep):
        strip = strip_of(dataset_of((10,), observation=seen), whose="Of the log")
        assert strip is not None
        first = pixels_of(strip.pictures[0].png)[0, 0]
        assert first.tolist() == ([0, 0, 0] if seen is grey else [0, 1, 2])
    assert strip_of(dataset_of((10,)), whose="Of the log") is None

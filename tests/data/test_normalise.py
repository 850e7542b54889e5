"""Normalisers: fitted to the training part alone, exact in JSON, inverse to themselves."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from making.sets import dataset_of

from suture import spaces
from suture.data.normalise import Affine, Normaliser
from suture.data.split import TrainPart, split
from suture.errors import ConfigError, FormatError

floats = st.floats(-100, 100, width=32)


def test_only_the_training_part_is_seen_d15() -> None:
    data = dataset_of((4, 4))
    for wrong in (data, split(data, fraction=0.5).validation):
        with pytest.raises(ConfigError, match=r"split\(data\)\.train"):
            Normaliser.fit(wrong)  # type: ignore[arg-type]


def test_the_validation_part_does_not_matter_d15() -> None:
    data = dataset_of((4,) * 10)
    parts = split(data, fraction=0.5)
    before = Normaliser.fit(parts.train).to_json()
    np.asarray(parts.validation.observation)[:] = 1e6
    assert Normaliser.fit(parts.train).to_json() == before


def test_a_constant_column_is_only_centred_d15(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suture.data.normalise.CHUNK_BYTES", 8 * 3 * 7)
    data = dataset_of((50,))
    np.asarray(data.observation)[:, 1] = np.float32(0.1)
    affine = Normaliser.fit(TrainPart(data)).observation[""]
    assert affine.scale[1] == 1.0
    assert affine.shift[1] == np.float32(0.1)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (30, 4), elements=floats))
def test_normalise_round_trips(rows: Any) -> None:
    normaliser = Normaliser.fit(TrainPart(dataset_of((30,), observation=rows)))
    back = normaliser.denormalise(normaliser.normalise(rows))
    np.testing.assert_allclose(back, rows, atol=1e-3)
    np.testing.assert_allclose(normaliser.normalise(rows[0]), normaliser.normalise(rows)[0])


def test_moments_over_chunks_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suture.data.normalise.CHUNK_BYTES", 8 * 3 * 7)
    rows = (np.random.default_rng(0).normal(size=(100, 3)) * [1, 10, 100] + [0, 50, 1000]).astype(np.float32)
    affine = Normaliser.fit(TrainPart(dataset_of((100,), observation=rows)), epsilon=0.5).observation[""]
    np.testing.assert_allclose(affine.shift, rows.mean(0, np.float64), rtol=1e-6)
    np.testing.assert_allclose(affine.scale, rows.std(0, dtype=np.float64) + 0.5, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, 2, elements=st.floats(-2, 4, width=32)))
def test_actions_round_trip_within_the_bounds(action: Any) -> None:
    normaliser = Normaliser.fit(TrainPart(dataset_of((3,))))
    unit = normaliser.to_unit(action)
    assert np.all(np.abs(unit) <= 1)
    np.testing.assert_allclose(normaliser.from_unit(unit), action, atol=1e-6)


def test_actions_beyond_the_unit_are_clipped_d10() -> None:
    normaliser = Normaliser.fit(TrainPart(dataset_of((3,))))
    assert normaliser.from_unit(np.array([-7.0, 7.0], np.float32)).tolist() == [-2.0, 4.0]


def test_images_and_choices_pass_unchanged() -> None:
    rng = np.random.default_rng(0)
    tree = {
        "camera": rng.integers(0, 255, (9, 4, 4, 3)).astype(np.uint8),
        "arm": {"joint": rng.normal(5, 2, (9, 2)).astype(np.float32)},
    }
    data = dataset_of((9,), observation=tree)
    seen = Normaliser.fit(TrainPart(data)).normalise(tree)
    assert seen["camera"] is tree["camera"]
    assert abs(float(seen["arm"]["joint"].mean())) < 1e-5
    assert spaces.arrays_of(seen).keys() == {"camera", "arm/joint"}


@settings(max_examples=25, deadline=None)
@given(arrays(np.float32, (20, 3), elements=floats), st.sampled_from(["none", "return-range", "standardise"]))
def test_json_round_trip_is_exact(rows: Any, rule: Any) -> None:
    train = TrainPart(dataset_of((8, 12), observation={"a": rows}))
    normaliser = Normaliser.fit(train, reward=rule, reward_scale=0.3)
    back = Normaliser.from_json(json.loads(json.dumps(normaliser.to_json())))
    assert back.to_json() == normaliser.to_json()
    np.testing.assert_array_equal(back.normalise({"a": rows})["a"], normaliser.normalise({"a": rows})["a"])


@pytest.mark.parametrize("broken", [{}, {"observation": 3}, [], {"observation": {"": {"shift": [0.0]}}}])
def test_other_json_is_refused(broken: Any) -> None:
    with pytest.raises(FormatError):
        Normaliser.from_json(broken)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_would_break_is_refused(scale: float) -> None:
    with pytest.raises(FormatError):
        Affine(np.zeros(1, np.float32), np.array([scale], np.float32))


def test_reward_rules() -> None:
    data = dataset_of((6, 5, 9))
    train, reward = TrainPart(data), np.asarray(data.reward)
    returns = np.asarray(data.returns)
    ranged = Normaliser.fit(train, reward="return-range").scale_reward(reward)
    assert np.isclose(np.ptp(np.add.reduceat(ranged, data.episode_start[:-1])), 1000, rtol=1e-5)
    assert np.isclose(ranged[0] / reward[0], 1000 / np.ptp(returns))
    standard = Normaliser.fit(train, reward="standardise", reward_shift=2.0).scale_reward(reward)
    assert np.isclose(standard.mean(), 2.0, atol=1e-5)
    assert np.isclose(standard.std(), 1.0, atol=1e-5)
    plain = Normaliser.fit(train, reward_scale=2.0, reward_shift=-1.0).scale_reward(reward)
    np.testing.assert_allclose(plain, 2 * reward - 1, rtol=1e-6)

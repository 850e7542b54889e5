"""Splits: disjoint, complete, reproducible, and by whole episodes, entities or times."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making.sets import dataset_of

from suture.data.fingerprints import hash_episodes, hash_rows, repeats
from suture.data.split import Split, require_disjoint, split
from suture.errors import ConfigError, DataRefused

lengths = st.lists(st.integers(1, 6), min_size=1, max_size=12).map(tuple)


@settings(max_examples=40, deadline=None)
@given(lengths, st.floats(0.0, 0.95), st.integers(0, 99))
def test_a_split_is_disjoint_and_covers(lengths: tuple[int, ...], fraction: float, seed: int) -> None:
    data = dataset_of(lengths)
    parts = split(data, fraction=fraction, seed=seed)
    both = np.concatenate([hash_episodes(parts.train.dataset), hash_episodes(parts.validation)])
    assert sorted(both) == sorted(hash_episodes(data))
    assert parts.train.dataset.episodes > 0
    assert (parts.validation.episodes > 0) == (fraction > 0 and len(lengths) > 1)


def test_the_seed_decides() -> None:
    data = dataset_of((2,) * 50)
    chosen = [_validation(split(data, fraction=0.3, seed=seed)) for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 15


def test_identical_episodes_stay_on_one_side_d14() -> None:
    data = dataset_of((3,) * 10)
    double = data.take_episodes(np.tile(np.arange(10), 3))
    for seed in range(10):
        parts = split(double, fraction=0.3, seed=seed)
        assert parts.validation.episodes == 9
        require_disjoint(parts.train.dataset, parts.validation)


def test_entities_stay_whole() -> None:
    data = dataset_of((2,) * 12)
    patient = np.repeat(np.array(["a", "b", "c", "d"]), 6)
    data = dataclasses.replace(data, columns={"patient": patient})
    parts = split(data, fraction=0.25, by="entity:patient")
    held = set(parts.validation.columns["patient"])
    assert len(held) == 1
    assert held.isdisjoint(parts.train.dataset.columns["patient"])


def test_an_entity_that_changes_within_an_episode_is_refused() -> None:
    data = dataclasses.replace(dataset_of((2, 2)), columns={"patient": np.array([1, 1, 1, 2])})
    with pytest.raises(ConfigError, match="first episode 1"):
        split(data, by="entity:patient")


def test_entities_that_share_an_episode_cannot_be_divided_d14() -> None:
    data = dataset_of((3, 3, 3)).take_episodes(np.array([0, 1, 0, 2]))
    data = dataclasses.replace(data, columns={"robot": np.repeat([1, 1, 2, 2], 3)})
    with pytest.raises(DataRefused, match="drop_duplicates"):
        split(data, fraction=0.5, by="entity:robot")


def test_the_latest_episodes_validate() -> None:
    data = dataset_of((2,) * 10)
    hour = np.repeat(np.array([5, 1, 9, 3, 7, 2, 8, 4, 6, 0]), 2)
    parts = split(dataclasses.replace(data, columns={"hour": hour}), fraction=0.2, by="time:hour")
    assert set(parts.validation.columns["hour"]) == {8, 9}


@pytest.mark.parametrize("by", ["patient", "entity:nobody", "time:", "episode:x"])
def test_an_unknown_way_to_split_is_refused(by: str) -> None:
    with pytest.raises(ConfigError):
        split(dataset_of((2, 2)), by=by)


def test_without_a_fraction_nothing_is_copied() -> None:
    data = dataset_of((2, 2))
    assert split(data, fraction=0).train.dataset is data


def test_repeats_marks_all_copies_but_the_first() -> None:
    rows = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [1.0, 2.0]], np.float32)
    assert repeats(hash_rows(rows)).tolist() == [False, False, True, True]


def test_hashes_tell_columns_rows_and_orders_apart() -> None:
    one, two = np.random.default_rng(0).normal(size=(2, 8, 5))
    assert len(set(hash_rows(one, two)) | set(hash_rows(two, one)) | set(hash_rows(one))) == 3 * 8
    grid = np.stack(np.meshgrid(*[np.arange(64.0)] * 3), -1).reshape(-1, 3)
    assert len(np.unique(hash_rows(grid))) == 64**3


def test_an_episode_is_its_transitions_in_their_order() -> None:
    data = dataset_of((2, 2, 1))
    rows = np.arange(1, 11, dtype=np.uint64)[[0, 1, 1, 0, 0]]
    assert len(set(hash_episodes(data, rows).tolist())) == 3


def test_two_logs_with_a_common_episode_are_refused_d14() -> None:
    data = dataset_of((3, 4, 5))
    with pytest.raises(DataRefused, match="1 of 2 validation episodes") as refused:
        require_disjoint(data.take_episodes(np.array([0, 1])), data.take_episodes(np.array([1, 2])))
    assert refused.value.findings[0].rows == (0,)


def _validation(parts: Split) -> list[int]:
    return hash_episodes(parts.validation).tolist()

"""A few wild values are named, whatever they are; rare rewards, heavy tails and limits of time are not."""

from typing import Any

import numpy as np
import pytest

from suture.data.build import build
from suture.data.dataset import Dataset
from suture.data.findings import Finding
from suture.data.log import Log

ROWS, LENGTH = 2000, 50
RNG = np.random.default_rng(0)
OBSERVATION = RNG.normal(1, 0.1, (ROWS, 3))
ACTION, REWARD = RNG.uniform(3, 5, (ROWS, 2)), RNG.normal(size=ROWS)
LAST = np.arange(ROWS) % LENGTH == LENGTH - 1


def put(values: Any, rows: Any, value: Any, column: int = 1) -> Any:
    changed = np.array(values)
    changed[rows if changed.ndim == 1 else (rows, column)] = value
    return changed


def settled(**columns: Any) -> Dataset:
    fixed = {
        "observation": OBSERVATION,
        "action": ACTION,
        "reward": REWARD,
        "episode": np.arange(ROWS) // LENGTH,
    }
    return build(Log(source="here", layout="made", **{**fixed, **columns}))


def found(id: str, **columns: Any) -> list[Finding]:
    return [finding for finding in settled(**columns).findings if finding.id == id]


def test_a_wild_value_is_named_with_its_column_its_row_and_what_is_usual() -> None:
    names = {"observation": ("speed", "load", "heat"), "reward": ("profit",)}
    (wild,) = found("outlying-values", observation=put(OBSERVATION, [70, 900], [1e9, 1e9]), names=names)
    assert (wild.severity, wild.rows, wild.count) == ("warning", (70, 900), 2)
    assert wild.message.startswith(
        "'load' lies far from all its other values in 2 rows, first 1e+09 in row 70;"
    )
    low, high = np.quantile(OBSERVATION[:, 1], [0.01, 0.99])
    assert f"is from {low:.2g}" in wild.message
    assert f"to {high:.2g}" in wild.message
    assert (
        f"Its deviation is 3.16e+07, without them {np.delete(OBSERVATION[:, 1], [70, 900]).std():.3g}"
        in wild.message
    )
    (paid,) = found("outlying-values", reward=put(REWARD, 333, -1e6), names=names)
    assert paid.rows == (333,)
    assert paid.message.startswith("'profit' lies far")


def test_marks_for_what_was_not_measured_are_named_however_many() -> None:
    rows = RNG.choice(ROWS, 15, replace=False)
    (marked,) = found("outlying-values", observation=put(OBSERVATION, rows, -999))
    assert marked.rows == tuple(sorted(rows.tolist())[:5])
    assert marked.count == 15


def test_actions_are_looked_at_where_nothing_states_their_bounds() -> None:
    """One that is small beside what is usual is no outlier by its size."""
    wild = put(1e5 + ACTION, 40, 9.7e4)
    (finding,) = found("outlying-values", action=wild)
    assert finding.message.startswith("action[1] lies far")


def test_of_many_columns_five_are_named() -> None:
    wild = np.concatenate([OBSERVATION] * 3, axis=1)
    wild[70] = 1e9
    messages = [finding.message for finding in found("outlying-values", observation=wild)]
    assert len(messages) == 5
    assert all("So it is with 4 other columns." in message for message in messages)


SPARSE = np.where(RNG.random(ROWS) < 0.005, 1.0, 0.0)
TAILS = {
    "cauchy": RNG.standard_cauchy(ROWS), "lognormal": np.exp(3 * RNG.normal(size=ROWS)),
    "counts": RNG.poisson(0.01, ROWS) * 7.0,
    "in steps": put(OBSERVATION[:, 1], np.arange(13), 3.0 ** np.arange(13)),
    "two levels": np.where(np.arange(ROWS) % 400 == 3, 1e6, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", TAILS)
def test_heavy_tails_and_rare_events_are_not_outlying(name: str) -> None:
    observation = np.array(OBSERVATION)
    observation[:, 1] = TAILS[name]
    assert not found("outlying-values", observation=observation)


@pytest.mark.parametrize(
    "reward",
    [SPARSE, put(REWARD * 1e-3, LAST, 100.0), put(REWARD * 1e-3, RNG.choice(ROWS, 4), -100.0),
     put(REWARD, slice(20, 2000, 150), 1e3 * np.arange(1, 15))],
    ids=["sparse", "at ends", "of one size", "not few"],
)  # fmt: skip
def test_rewards_that_the_task_pays_rarely_are_not_outlying(reward: Any) -> None:
    assert not found("outlying-values", reward=reward)


def test_a_few_large_last_rewards_are_events() -> None:
    paid = put(REWARD * 1e-3, [499, 999, 1499], [90, 100, 110])
    assert not found("outlying-values", reward=paid, episode=np.arange(ROWS) // 500)
    assert found("outlying-values", reward=np.roll(paid, 5), episode=np.arange(ROWS) // 500)


def test_a_value_that_hardly_widens_its_column_is_not_outlying() -> None:
    """Some 100 deviations away: among 2,000 rows it rules the scale, among 60,000 it does not."""
    for times, wild in ((1, 1), (30, 0)):
        many = np.tile(REWARD, times)
        fixed = {"observation": np.tile(OBSERVATION, (times, 1)), "action": np.tile(ACTION, (times, 1))}
        episode = np.arange(len(many)) // LENGTH
        assert len(found("outlying-values", reward=put(many, 7, 130.0), episode=episode, **fixed)) == wild


def test_one_wild_reward_among_rare_ones_is_outlying() -> None:
    for rare in (np.where(np.arange(ROWS) % 70 == 3, 1.0, 0.0), put(0 * REWARD, LAST, RNG.normal(size=40))):
        (finding,) = found("outlying-values", reward=put(rare, 777, 1e6))
        assert finding.rows == (777,)
    (finding,) = found("outlying-values", reward=put(rare, 49, 1e6))
    assert finding.rows == (49,), "among the last rewards too"


def test_a_sensor_that_hung_is_named_and_what_stands_still_otherwise_is_not() -> None:
    hung = put(OBSERVATION, slice(410, 445), 1.2345)
    (finding,) = found("stuck-sensor", observation=hung)
    assert finding.rows == (410,)
    assert "first at 1.2345 from row 410 on" in finding.message
    assert not found("stuck-sensor", observation=put(OBSERVATION, slice(410, 435), 1.2345)), "for too short"
    assert not found("stuck-sensor", observation=put(OBSERVATION, slice(430, 470), 1.2345)), "two episodes"
    rested = np.array(OBSERVATION)
    rested[410:445] = rested[410]
    assert not found("stuck-sensor", observation=rested), "everything rests"
    often = put(hung, np.arange(1, 300, 3), hung[np.arange(0, 300, 3), 1])
    assert not found("stuck-sensor", observation=often), "it repeats itself elsewhere too"
    goal = put(OBSERVATION, slice(None), np.repeat(RNG.normal(size=40), LENGTH))
    assert not found("stuck-sensor", observation=goal), "a goal is set once for each episode"
    level = put(hung, slice(None), np.round(hung[:, 1], 1))
    assert not found("stuck-sensor", observation=level), "measured coarsely"

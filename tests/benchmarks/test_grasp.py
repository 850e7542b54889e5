"""The grasping benchmark: its intervals, and what its rows say."""

import pytest

pytest.importorskip("mujoco", reason="mujoco is an extra")
pytest.importorskip("array_record", reason="array-record is an extra")

import grasp
from _bench import wilson


@pytest.mark.parametrize(("successes", "trials"), [(0, 40), (7, 40), (400, 400), (613, 700)])
def test_at_the_ends_of_an_interval_the_share_is_1_96_deviations_away(successes: int, trials: int) -> None:
    share, ends = successes / trials, wilson(successes, trials)
    assert 0 <= ends[0] <= share <= ends[1] <= 1
    for end in ends:
        assert abs(share - end) == pytest.approx(1.96 * (end * (1 - end) / trials) ** 0.5, abs=1e-9)


def test_a_row_says_what_was_played_and_from_how_much() -> None:
    settings = grasp.Settings(episodes=500)
    row = grasp.row_of(
        "offline", "qt_opt", [True, False, True, True], settings, objects="train", updates=5_000
    )
    assert (row.ours, row.details["success"], row.details["episodes"]) == (0.75, 0.75, 4)
    assert (row.details["offline_episodes"], row.details["online_episodes"]) == (500, 0)
    assert grasp.brief(row).details == {"updates": "5,000", "objects": "train", "interval": "0.301 to 0.954"}


def test_an_update_costs_what_is_counted_by_hand() -> None:
    """Of 8 pixels: pictures of 4x4, 2x2, 2x2 behind the convolutions."""
    convolutions = [16 * 9 * 3 * 32, 4 * 9 * 32 * 32, 4 * 9 * 32 * 32]
    encode, ask = sum(convolutions) + 4 * 32 * 128, (128 + 3 + 8) * 128 + 128 * 128 + 128
    train = 3 * (encode + ask) - convolutions[0]
    assert grasp.multiplications(8, samples=0) == train + 2 * (encode + ask)
    assert grasp.multiplications(8) - grasp.multiplications(8, 0) == 128 * (8 * 128 + 128 * 128 + 128)
